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

/// Two images of the registry: `base`, and `app` that starts from it.
fn based(port: u16) -> (String, String) {
    let registry = format!("registry \"local\" \"127.0.0.1:{port}/team\" insecure=#true\n");
    let base = format!(
        r#"{registry}image "base" {{
            assemble from="scratch" {{ layer {{ copy "lib" "/lib/"; }}; env FROM="base"; }}
            platforms "linux/amd64" "linux/arm64"
            tags {{ raw "1"; }}
            push "local"
        }}
        "#
    );
    let app = format!(
        r#"{registry}image "app" {{
            assemble from="127.0.0.1:{port}/team/base:1" {{ layer {{ copy "app" "/app"; }}; }}
            platforms "linux/arm64" "linux/amd64"
            tags {{ raw "1"; }}
            push "local"
        }}
        "#
    );
    (base, app)
}

#[test]
fn an_image_starts_from_one_of_a_registry_and_its_layers_are_mounted() {
    if !installed("base images of registries", &["docker-registry", "skopeo"]) {
        return;
    }
    let (repo, registry) = project();
    let (base, app) = based(registry.port);
    repo.write("lib", "library\n".repeat(10_000));
    repo.write("app", "app\n");
    let release = |text: &str, message: &str| {
        repo.write("release.kdl", text);
        repo.commit(message);
        let ended = repo.hoist(&["release", "--yes"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stderr
    };
    release(&base, "The base");
    // Another machine: nothing of the base is in its cache.
    assert_eq!(repo.hoist(&["clean", "--cache"]).code, 0);
    let told = release(&app, "The application");
    assert!(told.contains("1 taken from another repository"), "{told}");
    let inspected = repo.hoist(&["inspect", "app", "--json"]).stdout;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).expect("it is JSON");
    let platforms = inspected["platforms"].as_array().expect("a list");
    let layers = platforms.iter().map(|platform| platform["layers"].as_array().map(Vec::len));
    assert_eq!(layers.collect::<Vec<_>>(), [Some(2), Some(2)]);
    assert_eq!(platforms[0]["config"]["config"]["Env"], serde_json::json!(["FROM=base"]));

    // The name stands for the same: nothing is to be done, and for another: it is.
    assert!(repo.hoist(&["run", "app"]).stderr.contains("up to date"));
    repo.write("lib", "another\n");
    release(&base, "Another base");
    repo.write("release.kdl", &app);
    let why = repo.hoist(&["why", "app:build@linux/amd64"]).stdout;
    assert!(why.contains("would run") && why.contains("base"), "{why}");
}

#[test]
fn a_base_that_is_not_there_or_not_for_the_platform_is_told_before_anything_runs() {
    if !installed("bases that are missing", &["docker-registry"]) {
        return;
    }
    let (repo, registry) = project();
    let (base, app) = based(registry.port);
    repo.write("lib", "1\n");
    repo.write("app", "1\n");
    repo.write("release.kdl", &app);
    let missing = repo.hoist(&["run", "app"]);
    assert_eq!(missing.code, 2, "{}", missing.stderr);
    assert!(missing.stderr.contains("::unknown_base"), "{}", missing.stderr);
    repo.write("release.kdl", &base);
    repo.commit("The base");
    assert_eq!(repo.hoist(&["release", "--yes"]).code, 0);
    repo.write("release.kdl", app.replace("linux/arm64", "linux/s390x"));
    let other = repo.hoist(&["run", "app"]);
    assert!(other.stderr.contains("the base image is not for `linux/s390x`"), "{}", other.stderr);
    drop(registry);
    let gone = repo.hoist(&["run", "app"]);
    assert!(gone.stderr.contains("cannot be reached"), "{}", gone.stderr);
}

#[test]
fn an_image_is_copied_between_registries_and_directories() {
    if !installed("copies of images", &["docker-registry", "skopeo"]) {
        return;
    }
    let (repo, registry) = project();
    let port = registry.port;
    assert_eq!(repo.hoist(&["release", "--event", "tag=v1.0.0", "--yes"]).code, 0);
    let released = digest(port, "1.0.0");
    // Where no release file is.
    let elsewhere = Repo::new();
    let copy = |from: &str, to: &str| elsewhere.hoist(&["copy", from, to]);
    let web = format!("127.0.0.1:{port}/team/web");

    let here = copy(&format!("docker://{web}:1.0.0"), "oci:images");
    assert_eq!((here.code, here.stdout.trim()), (0, &*released), "{}", here.stderr);
    let back = copy("oci:images", &format!("{web}:copied"));
    assert_eq!((back.code, &*digest(port, "copied")), (0, &*released), "{}", back.stderr);
    let named = copy(&format!("{web}@{released}"), &format!("127.0.0.1:{port}/team/other:1"));
    assert_eq!(named.code, 0, "{}", named.stderr);
    assert!(named.stderr.contains("taken from another repository"), "{}", named.stderr);

    let missing = copy(&format!("{web}:0.0.0"), "oci:images");
    assert_eq!(missing.code, 2, "{}", missing.stderr);
    assert!(missing.stderr.contains("hoist::store::not_found"), "{}", missing.stderr);
    let other = format!("{web}@sha256:{}", "0".repeat(64));
    let other = copy("oci:images:1.0.0", &other);
    assert!(other.stderr.contains("digest_mismatch"), "{}", other.stderr);
}
