//! Several who enter one stage at the same time, and those who die over it: docker-registry
//! on loopback, and a bare git repository for the remote.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::faults::memory;
use crate::fixture::{Ended, Repo, done, installed, refused};
use crate::proxy::{Fault, Proxy, direct};
use crate::registry::{Registry, digest_of};
use crate::schemas::check;
use crate::signals::pid;

/// The version that is promoted.
const MIDDLE: &str = "1.3.5";

fn file(port: u16) -> String {
    format!(
        r#"
registry "dev" "127.0.0.1:{port}/team" insecure=#true
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; }}
    tags {{ semver "{{version}}" "{{major}}.{{minor}}"; latest; }}
    push "dev"
}}
stage "staging" {{ on branch="staging"; }}
stage "production" {{ on tag="v*.*.*"; tags {{ raw "live"; }}; }}
"#
    )
}

/// A project with a remote, and a registry behind a proxy.
struct World {
    repo: Repo,
    registry: Registry,
    proxy: Proxy,
}

impl World {
    fn new() -> Self {
        let repo = Repo::below(&memory());
        repo.write(".gitignore", "/.registry*\n/out\n");
        let registry = Registry::start(&repo);
        let proxy = Proxy::start(registry.port, Box::new(|_, _| None));
        repo.write("release.kdl", file(proxy.port));
        repo.write("web", "0\n");
        repo.git(&["init", "--quiet", "--initial-branch=staging"]);
        repo.commit("Begin");
        let remote = Self::beside(&repo, "remote.git");
        repo.git(&["init", "--quiet", "--bare", &remote.to_string_lossy()]);
        repo.git(&["remote", "add", "origin", &remote.to_string_lossy()]);
        Self { repo, registry, proxy }
    }

    fn beside(repo: &Repo, name: &str) -> PathBuf {
        repo.path().with_file_name(name)
    }

    /// A commit with other content, and a version.
    fn version(&self, version: &str) {
        self.repo.write("web", version);
        self.repo.commit(version);
        self.repo.git(&["tag", &format!("v{version}")]);
        self.repo.git(&["push", "--quiet", "origin", "staging", &format!("v{version}")]);
    }

    fn clone(&self, name: &str, at: &str) -> PathBuf {
        let path = Self::beside(&self.repo, name);
        let remote = Self::beside(&self.repo, "remote.git");
        let words = ["clone", "--quiet", "--branch", at, &remote.to_string_lossy(), &path.to_string_lossy()];
        self.repo.git(&words);
        path
    }

    fn command(&self, at: &Path, words: &[&str]) -> Command {
        let mut command = self.repo.command(words);
        command.current_dir(at).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Calls hoist in a clone, where who died is known to have after half a second.
    fn call(&self, at: &Path, words: &[&str]) -> Ended {
        let output = self.command(at, words).env("HOIST_TEST_LEASE", "500").output();
        ended(&output.expect("hoist can be started"))
    }

    fn digest(&self, tag: &str) -> String {
        digest_of(self.registry.port, &format!("web:{tag}"))
    }

    fn history(&self) -> Vec<Value> {
        let told = self.repo.hoist(&["history", "--json"]);
        done(&told);
        check("ledger", &told.stdout);
        told.stdout.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
    }

    fn production(&self, at: &Path) -> Value {
        let told = self.call(at, &["status", "--json"]);
        done(&told);
        check("status", &told.stdout);
        let line = told.stdout.lines().find(|line| line.contains("\"stage\":\"production\""));
        serde_json::from_str(line.expect("there is such a stage")).expect("it is JSON")
    }

    /// Releases a version in a clone, and kills that when it sets a tag.
    fn killed(&self, at: &Path, version: &str, tag: &str) {
        let path = format!("PUT /v2/team/web/manifests/{tag}");
        self.proxy.harm(Box::new(move |name, _| name.starts_with(&path).then_some(Fault::Delay(120_000))));
        let event = format!("tag=v{version}");
        let before = self.proxy.told();
        let mut child =
            self.command(at, &["release", "--event", &event, "--yes"]).spawn().expect("it starts");
        let deadline = Instant::now() + Duration::from_mins(2);
        while self.proxy.told() == before {
            assert!(Instant::now() < deadline, "a tag is set");
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process(pid(child.id()), Signal::KILL).expect("hoist runs");
        child.wait().expect("it ends");
        self.proxy.heal();
    }
}

fn ended(output: &Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn ready(what: &str) -> bool {
    installed(what, &["docker-registry", "skopeo", "git"])
}

#[test]
fn of_many_who_enter_a_stage_at_once_the_highest_version_stays_and_nobody_is_half_way() {
    if !ready("releases at the same time") {
        return;
    }
    let world = World::new();
    let versions: Vec<String> = (0..8).map(|at| format!("1.{at}.0")).collect();
    // What is promoted is in the middle of what is released.
    for version in &versions {
        world.version(version);
        if version == "1.3.0" {
            world.version(MIDDLE);
        }
    }
    let middle = world.clone("middle", &format!("v{MIDDLE}"));
    done(&world.call(&middle, &["release", "--event", "branch=staging", "--yes"]));
    let one = |at: usize| -> (PathBuf, Vec<String>) {
        let version = &versions[at / 2];
        let path = world.clone(&format!("clone{at}"), &format!("v{version}"));
        let event = format!("tag=v{version}");
        let words: &[&str] = if at.is_multiple_of(2) {
            &["release", "--event", &event, "--yes", "--jobs=1"]
        } else {
            &["promote", "production", "--from", "staging", "--yes", "--jobs=1"]
        };
        (path, words.iter().map(|word| (*word).to_owned()).collect())
    };
    let calls: Vec<_> = (0..16).map(one).collect();
    let children: Vec<Child> = calls
        .iter()
        .map(|(path, words)| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            world.command(path, &words).spawn().expect("hoist can be started")
        })
        .collect();
    let mut entered: BTreeMap<String, usize> = BTreeMap::new();
    for (child, (_, words)) in children.into_iter().zip(&calls) {
        let ended = ended(&child.wait_with_output().expect("it ends"));
        // Whoever is too late is refused, with nothing of it visible.
        let too_late = ended.code == 3 && ended.stderr.contains("order: it runs");
        assert!(ended.code == 0 || too_late, "{words:?}: {}\n{}", ended.code, ended.stderr);
        let version = words.iter().find_map(|word| word.strip_prefix("tag=v")).unwrap_or(MIDDLE);
        if ended.code == 0 {
            *entered.entry(version.to_owned()).or_default() += 1;
        } else if version != MIDDLE {
            assert_eq!(world.digest(version), "none", "{}", ended.stderr);
        }
    }
    let remote = World::beside(&world.repo, "remote.git");
    let chain =
        world.repo.git(&["--git-dir", &remote.to_string_lossy(), "log", "--format=%P", "refs/hoist/ledger"]);
    assert!(chain.lines().all(|parents| parents.split(' ').count() == 1), "{chain}");
    let history = world.history();
    let put = |version: &str| {
        let its = |one: &&Value| one["stage"] == "production" && one["version"] == *version;
        history.iter().filter(its).count()
    };
    for version in versions.iter().map(String::as_str).chain([MIDDLE]) {
        let (done, put) = (entered.get(version).copied().unwrap_or_default(), put(version));
        // The same once more makes no entry.
        assert!(put <= done && (put > 0) == (done > 0), "{version}: {done} succeeded, {put} entries");
    }
    // Behind whom nobody higher came, stays: the versions rise from entry to entry.
    let rising: Vec<_> = history.iter().filter(|one| one["stage"] == "production").collect();
    let rising: Vec<&str> = rising.iter().filter_map(|one| one["version"].as_str()).collect();
    assert!(rising.is_sorted_by(|later, earlier| later >= earlier), "{rising:?}");
    let highest = world.digest(rising[0]);
    assert_eq!(rising[0], "1.7.0");
    for tag in ["latest", "live"] {
        assert_eq!(world.digest(tag), highest, "{tag}");
    }
    for (version, minor) in entered.keys().filter_map(|version| Some((version, version.strip_suffix(".0")?)))
    {
        let highest = if minor == "1.3" && entered.contains_key(MIDDLE) { MIDDLE } else { version };
        assert_eq!(world.digest(minor), world.digest(highest), "{minor}");
    }
    assert_eq!(world.production(&world.repo.path())["entering"], Value::Null);
}

#[test]
fn what_died_on_another_machine_is_waited_for_and_finished_from_anywhere() {
    if !ready("releases that died elsewhere") {
        return;
    }
    let world = World::new();
    for version in ["1.0.0", "1.1.0", "1.2.0", "1.3.0"] {
        world.version(version);
    }
    let clones = ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]
        .map(|version| world.clone(&format!("at{version}"), &format!("v{version}")));
    let [zero, one, two, three] = &clones;
    done(&world.call(zero, &["release", "--event", "tag=v1.0.0", "--yes"]));
    world.killed(two, "1.2.0", "latest");
    assert_ne!(world.digest("1.2.0"), "none");
    let half = world.production(one);
    assert_eq!((&half["version"], &half["entering"]["version"]), (&"1.0.0".into(), &"1.2.0".into()));
    let run = half["entering"]["run"].as_str().expect("it has a name").to_owned();
    let table = world.call(one, &["status", "--no-drift"]);
    assert!(table.stdout.contains("being entered with 1.2.0 by"), "{}", table.stdout);

    // What would be left behind is not left behind.
    let said = [
        "is entered with 1.2.0 by",
        "that is waited for",
        "stopped half way there",
        "`hoist resume` finishes",
    ];
    refused(&world.call(one, &["release", "--event", "tag=v1.1.0", "--yes"]), 3, &said);
    refused(&world.call(one, &["rollback", "production", "--to", "1.0.0", "--yes"]), 3, &said[..3]);
    assert_eq!(
        (world.digest("1.1.0"), world.production(one)["entering"]["run"].clone()),
        ("none".to_owned(), run.clone().into())
    );
    refused(&world.call(one, &["resume", "--of", "nobody", "--yes"]), 2, &["no run nobody stopped half way"]);

    // From anywhere: without its files, or what it had built.
    done(&world.call(one, &["resume", "--of", &run, "--yes"]));
    let built = world.digest("1.2.0");
    assert_eq!(
        [world.digest("latest"), world.digest("live"), world.digest("1.2")],
        [built.clone(), built.clone(), built]
    );
    let after = world.production(one);
    assert_eq!((&after["version"], &after["entering"]), (&"1.2.0".into(), &Value::Null));
    // Who died finds nothing to do any more.
    done(&world.call(two, &["resume", "--yes"]));
    assert_eq!(world.history().len(), 2);

    // It can be put back from anywhere as well, once nothing was heard of it for too long.
    world.killed(three, "1.3.0", "latest");
    let back = world.call(one, &["resume", "--back", "--yes"]);
    refused(&back, 5, &["whether that goes on is waited for", "it never changes", "was put back in part"]);
    assert_eq!(
        [world.digest("latest"), world.digest("live")],
        [world.digest("1.2.0"), world.digest("1.2.0")]
    );
    let after = world.production(one);
    assert_eq!((&after["version"], &after["entering"]), (&"1.2.0".into(), &Value::Null));
    assert_eq!(world.history()[0]["kind"], "aborted");
    // The same release on a machine that knows nothing of it.
    let again = world.clone("again", "v1.3.0");
    done(&world.call(&again, &["release", "--event", "tag=v1.3.0", "--lift-hold", "--yes"]));
    assert_eq!(world.digest("live"), world.digest("1.3.0"));
}

#[test]
fn what_a_registry_refuses_keeps_nobody_waiting() {
    if !ready("a tag that is refused") {
        return;
    }
    let world = World::new();
    for version in ["1.0.0", "1.1.0"] {
        world.version(version);
    }
    let [one, two] =
        ["1.0.0", "1.1.0"].map(|version| world.clone(&format!("at{version}"), &format!("v{version}")));
    world.proxy.harm(Box::new(|name, _| {
        name.starts_with("PUT /v2/team/web/manifests/1.0.0").then_some(Fault::Status("403 Forbidden", None))
    }));
    let ended = world.call(&one, &["release", "--event", "tag=v1.0.0", "--yes"]);
    refused(&ended, 3, &["hoist::store::unauthorized", "403 Forbidden"]);
    assert!(!ended.stderr.contains("hoist resume"), "{}", ended.stderr);
    world.proxy.heal();
    assert_eq!(world.production(&two)["entering"], Value::Null);
    let ended = world.call(&two, &["release", "--event", "tag=v1.1.0", "--yes"]);
    done(&ended);
    assert!(!ended.stderr.contains("that is waited for"), "{}", ended.stderr);
    done(&world.call(&one, &["resume", "--yes"]));
    assert_eq!(world.digest("1.0.0"), "none");
}

/// Gives an image another name, as another tool does.
fn name(port: u16, from: &str, to: &str) {
    let bytes = direct(port, &format!("/v2/team/web/manifests/{from}")).expect("it is there");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the registry answers");
    let document: Value = serde_json::from_slice(&bytes).expect("it is JSON");
    let (kind, length) = (document["mediaType"].as_str().expect("it says what it is"), bytes.len());
    let head = format!(
        "PUT /v2/team/web/manifests/{to} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), &bytes].concat()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[test]
fn a_tag_that_another_tool_sets_between_plan_and_commit_is_found_before_anything_is_visible() {
    if !ready("tags that others set meanwhile") {
        return;
    }
    let world = World::new();
    world.version("1.0.0");
    let release = |version: &str| {
        world.call(&world.repo.path(), &["release", "--event", &format!("tag=v{version}"), "--yes"])
    };
    done(&release("1.0.0"));
    let one = world.digest("1.0.0");
    // While the image is sent, somebody else takes the version for another one.
    world.version("1.1.0");
    let port = world.registry.port;
    world.proxy.harm(Box::new(move |asked, times| {
        if asked.starts_with("PUT /v2/team/web/manifests/sha256") && times == 0 {
            name(port, "1.0.0", "1.1.0");
        }
        None
    }));
    refused(&release("1.1.0"), 3, &["hoist::release::immutable_tag", "web:1.1.0` holds another image"]);
    let held = ["1.1.0", "1.1", "latest", "live"].map(|tag| world.digest(tag));
    assert_eq!(held, [one.clone(), "none".to_owned(), one.clone(), one.clone()]);
    assert_eq!(world.production(&world.repo.path())["entering"], Value::Null);
}

#[test]
fn what_a_registry_collects_between_plan_and_commit_is_missed_before_anything_is_visible() {
    if !ready("a registry that collects its garbage meanwhile") {
        return;
    }
    let world = World::new();
    let release = |version: &str| {
        world.call(&world.repo.path(), &["release", "--event", &format!("tag=v{version}"), "--yes"])
    };
    world.version("1.0.0");
    done(&release("1.0.0"));
    let one = world.digest("1.0.0");
    // What has no tag yet is taken for garbage, just before it gets one.
    world.version("1.1.0");
    let config = world.repo.path().join(".registry.yml");
    world.proxy.harm(Box::new(move |asked, times| {
        if asked == "PUT /v2/team/web/manifests/1.1.0" && times == 0 {
            let words = ["garbage-collect", "--delete-untagged", &*config.to_string_lossy()];
            let collected = Command::new("docker-registry").args(words).output();
            assert!(collected.is_ok_and(|collected| collected.status.success()), "it collects");
        }
        None
    }));
    let said =
        ["MANIFEST_BLOB_UNKNOWN", "did not accept the manifest `team/web:1.1.0`", "`hoist resume` finishes"];
    refused(&release("1.1.0"), 1, &said);
    let held = || ["1.1.0", "1.1", "latest", "live"].map(|tag| world.digest(tag));
    let none = || "none".to_owned();
    assert_eq!(held(), [none(), none(), one.clone(), one]);
    // The same again sends it again.
    done(&release("1.1.0"));
    let two = world.digest("1.1.0");
    assert_eq!(held(), [two.clone(), two.clone(), two.clone(), two]);
    assert_eq!(world.production(&world.repo.path())["entering"], Value::Null);
}
