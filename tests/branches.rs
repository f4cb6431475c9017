//! Tags of branches, set from clones that do not have all of the history: docker-registry on
//! loopback, and a bare git repository for the remote.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::fixture::{Repo, installed};
use crate::registry::{Registry, digest_of};

fn release(port: u16) -> String {
    format!(
        r#"
registry "dev" "127.0.0.1:{port}/team" insecure=#true
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; }}
    tags {{ branch "{{branch}}-{{short}}" "{{branch}}-latest"; latest branch="main,other"; }}
    push "dev"
}}
"#
    )
}

/// A project with a remote, and a registry.
struct World {
    repo: Repo,
    registry: Registry,
}

/// How a release from a clone ended.
struct Released {
    code: i32,
    said: String,
}

impl World {
    fn new() -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n");
        let registry = Registry::start(&repo);
        repo.write("release.kdl", release(registry.port));
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        let world = Self { repo, registry };
        world.repo.git(&["init", "--quiet", "--bare", &world.remote().to_string_lossy()]);
        world.repo.git(&["remote", "add", "origin", &world.remote().to_string_lossy()]);
        world
    }

    fn remote(&self) -> PathBuf {
        self.repo.path().with_file_name("remote.git")
    }

    /// A commit with this content, on what is checked out, and pushed to that branch.
    fn push(&self, content: &str, branch: &str) {
        self.repo.write("web", content);
        self.repo.commit(content);
        self.repo.git(&["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
    }

    /// A clone of what the remote has of a branch now.
    fn clone(&self, name: &str, branch: &str, more: &[&str]) -> PathBuf {
        let path = self.repo.path().with_file_name(name);
        let from = format!("file://{}", self.remote().display());
        let words = ["clone", "--quiet", "--branch", branch];
        self.repo.git(&[&words[..], more, &[&from, &path.to_string_lossy()]].concat());
        path
    }

    fn release(&self, clone: &Path, branch: &str, more: &[&str]) -> Released {
        let event = format!("branch={branch}");
        let words = [&["release", "--event", &event, "--yes"], more].concat();
        let mut command = self.repo.command(&words);
        let output = command.current_dir(clone).stdin(Stdio::null()).output().expect("hoist can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Released { code: output.status.code().unwrap_or(-1), said }
    }

    /// As [`release`](Self::release), of one that must end well; what a tag holds then.
    fn held(&self, clone: &Path, (branch, tag): (&str, &str), more: &[&str]) -> (String, String) {
        let released = self.release(clone, branch, more);
        assert_eq!(released.code, 0, "{}", released.said);
        (digest_of(self.registry.port, &format!("web:{tag}")), released.said)
    }
}

const MAIN: (&str, &str) = ("main", "main-latest");

fn ready(what: &str) -> bool {
    installed(what, &["docker-registry", "skopeo", "git"])
}

/// All files below a directory, with their content.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_branch_tag_does_not_go_back_from_a_clone_of_one_commit() {
    if !ready("tags of branches from shallow clones") {
        return;
    }
    let world = World::new();
    world.push("1", "main");
    let old = world.clone("old", "main", &["--depth=1"]);
    world.push("2", "main");
    let new = world.clone("new", "main", &["--depth=1"]);
    let (second, _) = world.held(&new, MAIN, &[]);
    let (held, said) = world.held(&old, MAIN, &[]);
    assert_eq!(held, second, "{said}");
    assert!(said.contains("which comes after this one; `--allow-regress`"), "{said}");

    // On it goes, and nothing of the clone is another then.
    world.push("3", "main");
    let newer = world.clone("newer", "main", &["--depth=1"]);
    // The remote is reached as that is set up for the clone.
    let at = newer.to_string_lossy();
    let instead = format!("url.file://{}/.insteadOf", world.remote().parent().unwrap().display());
    world.repo.git(&["-C", &at, "config", &instead, "https://code.example/"]);
    world.repo.git(&["-C", &at, "remote", "set-url", "origin", "https://code.example/remote.git"]);
    let before = files(&newer.join(".git"));
    let (third, said) = world.held(&newer, MAIN, &[]);
    assert_ne!(third, second, "{said}");
    assert!(files(&newer.join(".git")) == before);

    // Whoever allows it goes back, and forward from there.
    assert_ne!(world.held(&old, MAIN, &["--allow-regress"]).0, third);
    assert_eq!(world.held(&newer, MAIN, &[]).0, third);
}

#[test]
fn a_branch_tag_stays_where_it_is_not_known_what_came_first() {
    if !ready("tags of branches without a remote") {
        return;
    }
    let world = World::new();
    world.push("1", "main");
    let old = world.clone("old", "main", &["--depth=1"]);
    world.push("2", "main");
    let (second, _) = world.held(&world.clone("new", "main", &[]), MAIN, &[]);
    std::fs::rename(world.remote(), world.remote().with_extension("away")).unwrap();
    let (held, said) = world.held(&old, MAIN, &[]);
    assert_eq!(held, second, "{said}");
    assert!(said.contains("it is not known whether this commit comes after"), "{said}");
    assert!(said.contains("`--allow-regress` moves it all the same"), "{said}");
    assert_ne!(world.held(&old, MAIN, &["--allow-regress"]).0, second);
}

#[test]
fn a_branch_that_was_rewritten_is_followed_and_another_branch_is_not() {
    if !ready("tags of branches that were rewritten") {
        return;
    }
    let world = World::new();
    world.push("1", "main");
    world.push("2", "main");
    let whole = world.clone("whole", "main", &[]);
    let (second, _) = world.held(&whole, MAIN, &[]);

    // From a commit beside it, on a branch of its own, nothing that both name is moved.
    world.repo.git(&["checkout", "--quiet", "--detach", "HEAD~1"]);
    world.push("side", "other");
    for (name, more) in [("side", &[][..]), ("side-shallow", &["--depth=1"])] {
        let side = world.clone(name, "other", more);
        let (held, said) = world.held(&side, ("other", "latest"), &[]);
        assert_eq!(held, second, "{said}");
        assert!(said.contains("which this one does not follow"), "{said}");
    }

    // Once no branch has the commit that it holds, there is nothing to go back from.
    let mut before = second.clone();
    for (name, content, more) in [("again", "3", &[][..]), ("again-shallow", "4", &["--depth=1"])] {
        world.repo.git(&["checkout", "--quiet", "--detach", "HEAD~1"]);
        world.push(content, "main");
        let (held, said) = world.held(&world.clone(name, "main", more), MAIN, &[]);
        assert_ne!(held, before, "{said}");
        assert_eq!(held, digest_of(world.registry.port, "web:latest"));
        before = held;
    }
    // What was dropped does not come back.
    let (held, said) = world.held(&whole, MAIN, &[]);
    assert_eq!(held, before, "{said}");
}
