//! Logging in to registries: a password is shown to the registry and to nobody else.

use std::path::Path;

use crate::fixture::{Repo, files_with, installed};
use crate::registry::Registry;

/// `user` with the password `s3cret`, as `htpasswd -B` writes it.
pub(crate) const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

fn release(port: u16, password: &str) -> String {
    format!(
        r#"
registry "local" "127.0.0.1:{port}/team" {{ login username="user" password="{password}"; }}
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; }}
    tags {{ raw "dev"; }}
    push "local"
}}
"#
    )
}

/// The names of files below a directory that hold a text.
pub(crate) fn that_hold(directory: &Path, text: &str) -> Vec<String> {
    let names = files_with(directory, text).into_iter();
    names.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_password_is_in_no_output_and_no_file() {
    if !installed("passwords of registries", &["docker-registry"]) {
        return;
    }
    let repo = Repo::new();
    repo.write(".gitignore", "/.registry*\n/.hidden\n");
    repo.write(".registry-users", HTPASSWD);
    let users = repo.path().join(".registry-users").display().to_string();
    let registry =
        Registry::start_with(&repo, &format!("auth: {{ htpasswd: {{ realm: test, path: {users} }} }}\n"));
    repo.write("web", "1\n");
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    for (password, source) in ["s3cret", "wr0ng"].into_iter().flat_map(|password| {
        ["env:PASSWORD", "file:.hidden", "command:cat .hidden"].map(|source| (password, source))
    }) {
        repo.write(".hidden", format!("{password}\n"));
        repo.write("release.kdl", release(registry.port, source));
        repo.commit(&format!("{password} {source}").replace(password, "A password"));
        let ended = repo.hoist_with(&["release", "--yes", "--color", "never"], &[("PASSWORD", password)]);
        let expected = if password == "s3cret" { 0 } else { 3 };
        assert_eq!(ended.code, expected, "{password} {source}: {}", ended.stderr);
        let events = repo.hoist_with(&["release", "--yes", "--json"], &[("PASSWORD", password)]);
        for text in [&ended.stdout, &ended.stderr, &events.stdout, &events.stderr] {
            assert!(!text.contains(password), "{source}: {text}");
        }
        if password == "wr0ng" {
            assert!(
                ended.stderr.contains("asked as `user`, from the `login` of the registry"),
                "{}",
                ended.stderr
            );
        }
        let root = repo.path();
        assert_eq!(that_hold(root.parent().unwrap(), password), [".hidden"], "{source}");
    }
}

#[test]
fn what_a_step_reads_of_a_file_with_a_password_is_masked() {
    let release = r#"
registry "local" "127.0.0.1:1/team" { login username="user" password="file:.hidden"; }
target "leak" { run "cat .hidden"; }
"#;
    let repo = Repo::with(release);
    repo.write(".hidden", "s3cret-of-file\n");
    let ended = repo.hoist(&["leak"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "***\n"), "{}", ended.stderr);
    assert_eq!(that_hold(&repo.path(), "s3cret-of-file"), [".hidden"]);
}

#[test]
fn the_examples_for_registries_are_right() {
    let page = include_str!("../docs/registries.md");
    let examples: Vec<&str> =
        page.split("```kdl\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest)).collect();
    assert!(examples.len() >= 7, "one for each registry");
    for example in examples {
        let name = example.split('"').nth(1).unwrap_or_default();
        let image = "image \"web\" { assemble from=\"scratch\"; tags { raw \"dev\"; }; push";
        let repo = Repo::with(&format!("{example}\n{image} \"{name}\"; }}\n"));
        let planned = repo.hoist(&["plan", "--event", "branch=main"]);
        assert_eq!(planned.code, 0, "{example}\n{}", planned.stderr);
    }
}
