//! Releases to a registry of the network: docker-registry on loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::fixture::{Repo, done, installed, refused};
use crate::proxy::{Fault, Proxy, direct};
use crate::signals::pid;

/// A registry with its own storage, stopped when it is dropped.
pub(crate) struct Registry {
    child: Child,
    pub(crate) port: u16,
}

impl Registry {
    pub(crate) fn start(repo: &Repo) -> Self {
        Self::start_with(repo, "")
    }

    /// As [`start`](Self::start), with further settings in YAML.
    pub(crate) fn start_with(repo: &Repo, more: &str) -> Self {
        Self::start_at(repo, "", more)
    }

    /// As [`start`](Self::start), over TLS with a certificate and its key.
    pub(crate) fn start_over_tls(repo: &Repo, certificate: &str, key: &str) -> Self {
        let path = |name: &str| repo.path().join(name).display().to_string();
        let tls = format!(", tls: {{ certificate: {}, key: {} }}", path(certificate), path(key));
        Self::start_at(repo, &tls, "")
    }

    fn start_at(repo: &Repo, http: &str, more: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("there is a free port").port();
        let settings = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }}, \
             delete: {{ enabled: true }} }}\n\
             http: {{ addr: \"127.0.0.1:{port}\", relativeurls: true{http} }}\n{more}",
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

impl Registry {
    /// From here on nobody answers.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
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
    digest_of(port, &format!("web:{tag}"))
}

pub(crate) fn digest_of(port: u16, image: &str) -> String {
    let reference = format!("docker://127.0.0.1:{port}/team/{image}");
    let output = Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &reference]).output();
    let output = output.expect("skopeo is installed");
    if output.status.success() {
        hoist::oci::Digest::of(&output.stdout).to_string()
    } else {
        "none".to_owned()
    }
}

#[test]
fn a_copy_waits_for_a_registry_that_shows_late_what_it_took() {
    if !installed("copies to a registry that lags", &["docker-registry", "skopeo"]) {
        return;
    }
    let (repo, registry) = project();
    done(&repo.hoist(&["run", "web"]));
    // The first look is before the tag is set.
    let late = |name: &str, at| {
        name.ends_with("/manifests/late") && name.starts_with("HEAD") && (1..4).contains(&at)
    };
    let never = |name: &str, at| name.ends_with("/manifests/never") && name.starts_with("HEAD") && at > 0;
    let harm = move |name: &str, at| {
        (late(name, at) || never(name, at)).then_some(Fault::Status("404 Not Found", None))
    };
    let proxy = Proxy::start(registry.port, Box::new(harm));
    let place = |tag: &str| format!("127.0.0.1:{}/team/other:{tag}", proxy.port);
    done(&repo.hoist(&["copy", "web", &place("late"), &place("late-too")]));
    assert_eq!(digest(registry.port, "late"), "none");
    assert_ne!(digest_of(registry.port, "other:late"), "none");
    assert_eq!(digest_of(registry.port, "other:late"), digest_of(registry.port, "other:late-too"));
    // What was set and is not shown is not said to be missing.
    let ended = repo.hoist(&["copy", "web", &place("never")]);
    refused(&ended, 5, &["hoist::release::half_released", "was set to `never`", "is not shown there"]);
    assert_eq!(digest_of(registry.port, "other:never"), digest_of(registry.port, "other:late"));
}

#[test]
fn a_version_that_is_overwritten_by_a_slower_release_of_a_lower_one_has_its_tags_again() {
    if !installed("two releases at the same time", &["docker-registry", "skopeo"]) {
        return;
    }
    let (quick, registry) = project();
    let port = registry.port;
    let is_held = |name: &str, at| name.ends_with("/manifests/1.5") && name.starts_with("PUT") && at == 0;
    let proxy = Proxy::start(port, Box::new(move |name, at| is_held(name, at).then_some(Fault::Hold(6000))));
    let slow = Repo::with(&release(proxy.port));
    slow.write("web", "0\n");
    slow.commit("A file");
    let ended = std::thread::scope(|scope| {
        let slower = scope.spawn(|| {
            slow.git(&["tag", "v1.5.0"]);
            slow.hoist(&["release", "--event", "tag=v1.5.0", "--yes"])
        });
        while !proxy.told().contains("/manifests/1.5 ") && !slower.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        quick.git(&["tag", "v1.5.1"]);
        done(&quick.hoist(&["release", "--event", "tag=v1.5.1", "--yes"]));
        slower.join().expect("it ends")
    });
    done(&ended);
    let said = "1.5.1 was released meanwhile, which is higher than 1.5.0";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    let higher = digest(port, "1.5.1");
    assert_eq!([digest(port, "1.5"), digest(port, "latest")], [higher.clone(), higher.clone()]);
    assert!(![higher, "none".to_owned()].contains(&digest(port, "1.5.0")));
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
    let lie = at("v1.1.0");
    assert_eq!(lie.code, 3, "{}", lie.stderr);
    let looks = |command| repo.hoist(&[command, "--event", "tag=v1.1.0"]);
    refused(&looks("tags"), 0, &["Nothing would be published: the git tag `v1.1.0` names commit"]);
    refused(&looks("plan"), 3, &["the git tag `v1.1.0` names commit"]);
    assert!(lie.stderr.contains("the git tag `v1.1.0` names commit"), "{}", lie.stderr);
    repo.git(&["tag", "--force", "v1.1.0"]);
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
    let told = repo.hoist(&["release", "--event", "tag=v1.0.0", "--json"]);
    assert_eq!((told.code, &*told.stderr), (3, ""), "{}", told.stdout);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("it is one line of JSON");
    let told = told.to_string();
    assert!(
        told.contains("hoist::release::not_confirmed") && told.contains("would publish 127.0.0.1:"),
        "{told}"
    );
    // What holds its image already is counted.
    done(&repo.hoist(&["release", "--event", "tag=v1.0.0", "--yes"]));
    let again = repo.hoist(&["release", "--event", "tag=v1.0.0"]);
    assert_eq!(again.code, 3, "{}", again.stderr);
    assert!(again.stderr.contains("/team/web: 4 tags stay as they are\n"), "{}", again.stderr);
    let told = repo.hoist(&["release", "--event", "tag=v1.0.0", "--json"]);
    assert!(told.stdout.contains("/team/web: 4 tags stay as they are"), "{}", told.stdout);
}

#[test]
fn a_release_that_dies_between_two_tags_says_what_stands_each_time() {
    if !installed("releases that die", &["docker-registry", "skopeo"]) {
        return;
    }
    let (repo, registry) = project();
    let harm = |name: &str, _| {
        name.starts_with("PUT /v2/team/web/manifests/latest").then_some(Fault::Status("403 Forbidden", None))
    };
    let proxy = Proxy::start(registry.port, Box::new(harm));
    repo.write("release.kdl", release(proxy.port));
    repo.commit("Through a proxy");
    let place = format!("127.0.0.1:{}/team/web", proxy.port);
    let at_once = || repo.hoist(&["release", "--event", "tag=v1.0.0", "--yes"]);
    for _ in 0..2 {
        let ended = at_once();
        assert_eq!(ended.code, 5, "{}", ended.stderr);
        let image = digest(registry.port, "1.0.0");
        for tag in ["1.0.0", "1.0"] {
            assert!(ended.stderr.contains(&format!("`{place}:{tag}` holds {image} now")), "{}", ended.stderr);
        }
        let missing = format!("`{place}:latest` was not set");
        assert!(ended.stderr.contains(&missing) && ended.stderr.contains("release.kdl:"), "{}", ended.stderr);
    }
    proxy.heal();
    let healed = at_once();
    assert_eq!(healed.code, 0, "{}", healed.stderr);
    // What to deploy by is said, whether it was sent now or earlier.
    let image = digest(registry.port, "latest");
    assert!(healed.stderr.contains(&format!("{place}@{image}")), "{}", healed.stderr);
}

#[test]
fn an_image_without_tags_is_pushed_by_its_digest_and_that_is_said() {
    if !installed("images without tags", &["docker-registry", "skopeo"]) {
        return;
    }
    let (repo, registry) = project();
    let text = release(registry.port).replace("sha\n", "").replace("latest\n", "");
    repo.write("release.kdl", text.replace("semver", "schedule \"nightly\"; //"));
    repo.commit("No tags");
    let ended = repo.hoist(&["release", "--event", "branch=main", "--yes", "--json"]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    let said = format!("127.0.0.1:{}/team/web@sha256:", registry.port);
    let line = ended.stdout.lines().find(|line| line.contains(&said)).expect("the reference is told");
    assert!(line.contains("by its digest alone"), "{line}");
}

#[test]
fn a_push_is_given_up_when_the_release_is_interrupted() {
    if !installed("releases that are interrupted", &["docker-registry"]) {
        return;
    }
    let (repo, registry) = project();
    let harm = |name: &str, _| {
        let sends = name.starts_with("PUT /v2/team/web/blobs/");
        sends.then_some(Fault::Delay(120_000))
    };
    let proxy = Proxy::start(registry.port, Box::new(harm));
    repo.write("release.kdl", release(proxy.port));
    repo.commit("Through a proxy");
    let mut child = repo
        .command(&["release", "--event", "tag=v1.0.0", "--yes"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("hoist can be started");
    let deadline = Instant::now() + Duration::from_mins(1);
    while proxy.told().is_empty() {
        assert!(Instant::now() < deadline, "a blob is sent");
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    kill_process(pid(child.id()), Signal::INT).expect("hoist runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(begun.elapsed() < Duration::from_mins(1), "it does not wait for the registry");
    assert!(direct(registry.port, "/v2/team/web/tags/list").is_none(), "nothing is visible");
}

#[test]
fn a_registry_that_never_answers_is_given_up_soon() {
    let repo = Repo::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it has an address").port();
    // The system accepts connections, and nobody reads them.
    repo.write("release.kdl", release(port));
    repo.write("web", "1\n");
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    let waits = [("HOIST_TEST_ANSWER_WAIT", "100"), ("HOIST_TEST_FIRST_WAIT", "1")];
    let ended = repo.hoist_with(&["release", "--event", "branch=main", "--yes"], &waits);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    for said in [
        "hoist::release::unreachable",
        &format!("the registry `127.0.0.1:{port}` does not answer"),
        "nothing came for 0.1 s, 3 times",
        &format!("nothing came from the registry `127.0.0.1:{port}` for 0.1 s: it is asked again"),
        "asked for `POST /v2/team/web/blobs/uploads/`",
        "push \"local\"",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

#[test]
fn a_release_whose_base_cannot_be_asked_for_is_refused_once() {
    let repo = Repo::new();
    repo.write("app", "1\n");
    repo.write("release.kdl", based(1).1);
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    let refused = repo.hoist(&["release", "--event", "branch=main", "--yes"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert_eq!(refused.stderr.matches("cannot be reached").count(), 1, "{}", refused.stderr);
    // What is only built is not begun either.
    assert_eq!(repo.hoist(&["run", "app"]).code, 3);
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
    if !installed("bases that are missing", &["docker-registry", "skopeo"]) {
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
    // By its digest, a base that is here needs no network.
    repo.write("release.kdl", &app);
    assert_eq!(repo.hoist(&["run", "app"]).code, 0);
    let pinned = digest_of(registry.port, "base:1");
    drop(registry);
    repo.write("release.kdl", app.replace("base:1\"", &format!("base@{pinned}\"")));
    repo.write("app", "2\n");
    let offline = repo.hoist(&["run", "app"]);
    assert_eq!(offline.code, 0, "{}", offline.stderr);
    repo.write("release.kdl", &app);
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
    let again = copy(&format!("{web}:1.0.0"), &format!("127.0.0.1:{port}/team/other:1"));
    assert!(again.stderr.contains("/team/other:1  as it was"), "{}", again.stderr);

    for to in ["oci:", "oci:x:ba d", "x"] {
        let refused = copy(&format!("{web}:1.0.0"), to);
        assert!(refused.stderr.contains("hoist::") && refused.code == 2, "{to}: {}", refused.stderr);
    }
    assert_eq!(copy(&format!("{web}:0.0.0"), "oci:new").code, 2);
    assert!(!elsewhere.has("new") && !elsewhere.has("x"), "what failed leaves nothing");
    let missing = copy(&format!("{web}:0.0.0"), "oci:images");
    assert_eq!(missing.code, 2, "{}", missing.stderr);
    assert!(missing.stderr.contains("hoist::store::not_found"), "{}", missing.stderr);
    let other = format!("{web}@sha256:{}", "0".repeat(64));
    let other = copy("oci:images:1.0.0", &other);
    assert!(other.stderr.contains("digest_mismatch"), "{}", other.stderr);
}

#[test]
fn an_image_that_lost_a_layer_at_the_registry_is_whole_after_a_release_or_a_copy() {
    if !installed("images that lost a layer", &["docker-registry"]) {
        return;
    }
    let (repo, registry) = project();
    let release = || repo.hoist(&["release", "--event", "tag=v1.0.0", "--yes"]);
    assert_eq!(release().code, 0);
    let get = |path: &str| direct(registry.port, &format!("/v2/team/web/{path}"));
    let digest = |pointer: &str, document: &[u8]| {
        let document: serde_json::Value = serde_json::from_slice(document).expect("it is JSON");
        document.pointer(pointer).and_then(|digest| digest.as_str()).expect("it has it").to_owned()
    };
    let index = get("manifests/1.0.0").expect("it was released");
    let child = get(&format!("manifests/{}", digest("/manifests/1/digest", &index))).expect("it is there");
    let layer = format!("blobs/{}", digest("/layers/0/digest", &child));
    let place = format!("127.0.0.1:{}/team/web", registry.port);
    assert_eq!(repo.hoist(&["copy", &format!("{place}:1.0.0"), "oci:kept"]).code, 0);

    let lose = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", registry.port)).expect("it listens");
        write!(stream, "DELETE /v2/team/web/{layer} HTTP/1.0\r\nHost: x\r\n\r\n").expect("it takes it");
        std::io::Read::read_to_string(&mut stream, &mut String::new()).expect("it answers");
        assert_eq!(get(&layer), None);
    };
    lose();
    let again = release();
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(get(&layer).is_some(), "{}", again.stderr);
    lose();
    let copied = repo.hoist(&["copy", "oci:kept", &format!("{place}:1.0.0")]);
    assert_eq!(copied.code, 0, "{}", copied.stderr);
    assert!(copied.stderr.contains("1 blob sent"), "{}", copied.stderr);
    assert!(get(&layer).is_some(), "{}", copied.stderr);
}

#[test]
fn a_copy_has_the_tag_of_its_image_or_no_name() {
    if !installed("copies of images without tags", &["docker-registry", "skopeo"]) {
        return;
    }
    let (repo, registry) = project();
    let port = registry.port;
    assert_eq!(repo.hoist(&["release", "--event", "tag=v1.0.0", "--yes"]).code, 0);
    let released = digest(port, "latest");
    let elsewhere = Repo::new();
    let copy = |from: &str, to: &str| {
        let ended = elsewhere.hoist(&["copy", from, to]);
        assert_eq!((ended.code, ended.stdout.trim()), (0, &*released), "{from} {to}: {}", ended.stderr);
    };
    let names = |layout: &str| -> Vec<Option<String>> {
        let index = elsewhere.read(&format!("{layout}/index.json"));
        let index: serde_json::Value = serde_json::from_str(&index).expect("it is JSON");
        let name = |entry: &serde_json::Value| {
            Some(entry["annotations"]["org.opencontainers.image.ref.name"].as_str()?.to_owned())
        };
        index["manifests"].as_array().expect("a list").iter().map(name).collect()
    };
    let team = format!("127.0.0.1:{port}/team");
    let at = |path: &str| {
        let manifest = format!("docker://{team}/{path}");
        let output =
            Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &manifest]).output();
        hoist::oci::Digest::of(&output.expect("skopeo is installed").stdout).to_string()
    };

    copy(&format!("{team}/web"), "oci:implicit");
    assert_eq!(names("implicit"), [Some("latest".to_owned())]);
    copy(&format!("{team}/web@{released}"), "oci:pinned");
    assert_eq!(names("pinned"), [None]);
    copy(&format!("{team}/web:1.0.0"), &format!("oci:by-digest@{released}"));
    assert_eq!(names("by-digest"), [None]);
    copy(&format!("{team}/web:1.0.0"), "oci:tagged");
    assert_eq!(names("tagged"), [Some("1.0.0".to_owned())]);

    copy(&format!("{team}/web"), &format!("{team}/second"));
    assert_eq!(at("second:latest"), released);
    copy("oci:pinned", &format!("{team}/third"));
    assert_eq!(at(&format!("third@{released}")), released);
    assert_ne!(at("third:latest"), released);
    copy(&format!("{team}/web:1.0.0"), &format!("{team}/fourth"));
    assert_eq!(at("fourth:1.0.0"), released);
}

/// A stand-in for a registry that has one image, and begins to send its layer.
fn that_stalls() -> (u16, std::sync::mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it has an address").port();
    let digest = format!("sha256:{}", "1".repeat(64));
    let blob = |kind: &str| {
        let media_type = format!("application/vnd.oci.image.{kind}");
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": 1000 })
    };
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let document = serde_json::json!({
        "schemaVersion": 2, "mediaType": manifest, "config": blob("config.v1+json"), "layers": [],
    })
    .to_string();
    let (sender, stalled) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let (length, body) = if request.contains("/blobs/") {
                (1000, "the first bytes")
            } else {
                (document.len(), if request.starts_with("HEAD") { "" } else { &*document })
            };
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {manifest}\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            );
            if request.contains("/blobs/") {
                open.push(stream);
                let _ = sender.send(());
            }
        }
    });
    (port, stalled)
}

#[test]
fn a_copy_that_is_interrupted_leaves_nothing_of_what_it_staged() {
    if !installed("copies that are interrupted", &["docker-registry"]) {
        return;
    }
    let repo = Repo::new();
    let registry = Registry::start(&repo);
    let staging = repo.path().join("staging");
    for signal in [Signal::INT, Signal::TERM] {
        repo.write("staging/.keep", "");
        let (port, stalled) = that_stalls();
        let to = format!("127.0.0.1:{}/team/web:1", registry.port);
        let mut child = repo
            .command(&["copy", &format!("127.0.0.1:{port}/acme/web:1"), &to])
            .env("TMPDIR", &staging)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("hoist can be started");
        stalled.recv_timeout(Duration::from_secs(30)).expect("a layer is asked for");
        let staged = || std::fs::read_dir(&staging).expect("it is there").count();
        assert_eq!(staged(), 2);
        kill_process(pid(child.id()), signal).expect("hoist runs");
        assert_eq!(child.wait().expect("it ends").code(), Some(130));
        assert_eq!(staged(), 1);
    }
}
