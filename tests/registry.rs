//! Releases to a registry of the network: docker-registry on loopback.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{Repo, installed};

/// A registry with its own storage, stopped when it is dropped.
struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    fn start(repo: &Repo) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("there is a free port").port();
        let settings = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: \"127.0.0.1:{port}\" }}\n",
            repo.path().join(".registry").display()
        );
        repo.write(".registry.yml", settings);
        let child = Command::new("docker-registry")
            .args(["serve", &repo.path().join(".registry.yml").to_string_lossy()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry can be started");
        let registry = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the registry answers");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn release(port: u16) -> String {
    format!(
        r#"
registry "local" "127.0.0.1:{port}/team" insecure=#true
image "web" {{
    assemble from="scratch" {{
        layer {{ copy "web" "/web"; }}
        entrypoint "/web"
    }}
    platforms "linux/amd64" "linux/arm64"
    tags {{
        semver "{{version}}" "{{major}}.{{minor}}"
        latest
        sha
    }}
    push "local"
}}
"#
    )
}

/// A project with one commit, whose image goes to a registry of its own.
fn project() -> (Repo, Registry) {
    let repo = Repo::new();
    repo.write(".gitignore", "/.registry*\n");
    let registry = Registry::start(&repo);
    repo.write("release.kdl", release(registry.port));
    repo.write("web", "1\n");
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    (repo, registry)
}

fn digest(port: u16, tag: &str) -> String {
    let reference = format!("docker://127.0.0.1:{port}/team/web:{tag}");
    let output = Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &reference]).output();
    let output = output.expect("skopeo is installed");
    if output.status.success() {
        hoist::oci::Digest::of(&output.stdout).to_string()
    } else {
        "none".to_owned()
    }
}

#[test]
fn a_release_to_a_registry_names_versions_and_never_moves_them_back() {
    if !installed("releases to a registry", &["docker-registry", "skopeo"]) {
        return;
    }
    let (repo, registry) = project();
    let port = registry.port;
    repo.git(&["tag", "v1.1.0"]);
    let at = |tag: &str| repo.hoist(&["release", "--event", &format!("tag={tag}"), "--yes"]);

    let first = at("v1.1.0");
    assert_eq!(first.code, 0, "{}", first.stderr);
    let one = digest(port, "1.1.0");
    assert_ne!(one, "none");
    assert_eq!([digest(port, "1.1"), digest(port, "latest")], [one.clone(), one.clone()]);

    // Again: nothing to do.
    let again = at("v1.1.0");
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);

    // An older version comes later: its own name is new, the moving ones stay.
    repo.write("web", "0\n");
    repo.commit("An older line");
    let older = at("v1.0.9");
    assert_eq!(older.code, 0, "{}", older.stderr);
    assert_ne!(digest(port, "1.0.9"), "none");
    assert_eq!([digest(port, "1.1.0"), digest(port, "latest")], [one.clone(), one.clone()]);

    // The same version with other content is refused before anything moves.
    repo.write("web", "2\n");
    repo.commit("Other content");
    let other = at("v1.1.0");
    assert_eq!(other.code, 3, "{}", other.stderr);
    assert!(other.stderr.contains("hoist::release::immutable_tag"), "{}", other.stderr);
    assert_eq!([digest(port, "1.1.0"), digest(port, "latest")], [one.clone(), one]);
}

#[test]
fn a_commit_is_released_from_its_branch_and_then_by_its_tag() {
    if !installed("releases of one commit", &["docker-registry", "skopeo"]) {
        return;
    }
    let (repo, registry) = project();
    let port = registry.port;
    let sha = repo.git(&["rev-parse", "HEAD"]);
    let branch = repo.hoist(&["release", "--yes"]);
    assert_eq!(branch.code, 0, "{}", branch.stderr);
    let first = digest(port, &sha);
    assert_ne!(first, "none");
    let tag = repo.hoist(&["release", "--event", "tag=v1.0.0", "--yes"]);
    assert_eq!(tag.code, 0, "{}", tag.stderr);
    assert_ne!(digest(port, "1.0.0"), "none");
    // The commit keeps the name that it has.
    assert_eq!(digest(port, &sha), first);
    assert!(tag.stderr.contains("it names this commit already"), "{}", tag.stderr);
}

#[test]
fn nobody_is_asked_where_nobody_could_answer() {
    if !installed("the question before a release", &["docker-registry"]) {
        return;
    }
    let (repo, _registry) = project();
    let ended = repo.hoist(&["release", "--event", "tag=v1.0.0"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("hoist::release::not_confirmed"), "{}", ended.stderr);
}
