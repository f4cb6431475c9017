//! Deployments of one stage, one after the other: two clones of a remote, and a deployment
//! that takes as long as a test wants.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fixture::{Ended, Repo, done, installed, refused};
use crate::registry::Registry;
use crate::schemas::check;

/// Nothing was heard of a run for so many milliseconds: it has died.
const DEAD: &str = "4000";

struct World {
    repo: Repo,
    /// A clone for each version.
    clones: Vec<PathBuf>,
    _registry: Registry,
}

/// A release that goes on, and where its output goes.
struct Going {
    child: Child,
    told: PathBuf,
}

impl World {
    /// With these versions in a remote, `v1.0.0` and so on.
    fn new(versions: usize) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n");
        let registry = Registry::start(&repo);
        let port = registry.port;
        let text = format!(
            r#"
registry "dev" "127.0.0.1:{port}/team" insecure=#true
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; }}
    tags {{ semver "{{version}}"; latest; }}
    push "dev"
}}
stage "production" {{ on tag="v*.*.*"; deploy "run" {{ run "./deploy.sh $HOIST_VERSION"; }}; }}
stage "eu" {{ from "production"; }}
"#
        );
        repo.write("release.kdl", text);
        let (log, hold) = (Self::beside(&repo, "log"), Self::beside(&repo, "hold"));
        let remote = Self::beside(&repo, "remote.git");
        let (log, hold, remote) = (log.display(), hold.display(), remote.display());
        let script = format!(
            "#!/bin/sh\nset -eu\necho $$ > '{hold}'-by\necho begin $1 >> '{log}'\n\
             while [ -e '{hold}'-$1 ]; do sleep 0.05; done\n\
             test ! -e '{hold}'-away || mv '{remote}' '{remote}.away'\necho end $1 >> '{log}'\n"
        );
        repo.write_program("deploy.sh", &script);
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        let remote = Self::beside(&repo, "remote.git");
        repo.git(&["init", "--quiet", "--bare", &remote.to_string_lossy()]);
        repo.git(&["remote", "add", "origin", &remote.to_string_lossy()]);
        let clones = (1..=versions).map(|number| {
            repo.write("web", number.to_string());
            repo.commit(&number.to_string());
            let tag = format!("v{number}.0.0");
            repo.git(&["tag", &tag]);
            repo.git(&["push", "--quiet", "origin", "main", &tag]);
            let clone = Self::beside(&repo, &tag);
            let words =
                ["clone", "--quiet", "--branch", &tag, &remote.to_string_lossy(), &clone.to_string_lossy()];
            repo.git(&words);
            clone
        });
        let clones = clones.collect();
        Self { repo, clones, _registry: registry }
    }

    fn beside(repo: &Repo, name: &str) -> PathBuf {
        repo.path().with_file_name(name)
    }

    /// What was deployed, in its order.
    fn log(&self) -> String {
        fs::read_to_string(Self::beside(&self.repo, "log")).unwrap_or_default()
    }

    fn hold(&self, version: usize) -> PathBuf {
        Self::beside(&self.repo, &format!("hold-{version}.0.0"))
    }

    /// Begins to release a version, the deployment of which goes on until it is let go.
    fn begin(&self, version: usize) -> Going {
        let told = Self::beside(&self.repo, &format!("told-{version}"));
        let event = format!("tag=v{version}.0.0");
        let mut command = self.repo.command(&["release", "--event", &event, "--yes"]);
        command.current_dir(self.at(version)).env("HOIST_TEST_LEASE", DEAD).stdin(Stdio::null());
        let file = fs::File::create(&told).expect("it can be written");
        command.stdout(file.try_clone().expect("there are files")).stderr(file);
        Going { child: command.spawn().expect("hoist can be started"), told }
    }

    fn held(&self, version: usize) -> Going {
        fs::write(self.hold(version), "").expect("it can be written");
        let going = self.begin(version);
        until(|| self.log().contains(&format!("begin {version}.0.0")), || going.text());
        going
    }

    /// Kills a release in its deployment, and all that this started.
    fn kill(&self, mut going: Going) {
        let by = fs::read_to_string(Self::beside(&self.repo, "hold-by")).expect("it says who it is");
        let by = by.trim().parse().expect("it is a number");
        for id in [i32::try_from(going.child.id()).expect("it is a process"), by] {
            kill_process(Pid::from_raw(id).expect("it is a process"), Signal::KILL).expect("it runs");
        }
        going.child.wait().expect("it ends");
    }

    fn let_go(&self, version: usize) {
        fs::remove_file(self.hold(version)).expect("it is held");
    }

    fn at(&self, version: usize) -> &Path {
        self.clones.get(version - 1).expect("there is a clone")
    }

    /// Calls hoist in the clone of a version.
    fn call(&self, version: usize, words: &[&str]) -> Ended {
        let mut command = self.repo.command(words);
        let output = command.current_dir(self.at(version)).env("HOIST_TEST_LEASE", DEAD).output();
        let output = output.expect("hoist can be started");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn production(&self, version: usize) -> Value {
        let told = self.call(version, &["status", "--json", "--no-drift"]);
        done(&told);
        check("status", &told.stdout);
        let line = told.stdout.lines().find(|line| line.contains("\"stage\":\"production\""));
        serde_json::from_str(line.expect("there is such a stage")).expect("it is JSON")
    }
}

impl Going {
    fn text(&self) -> String {
        fs::read_to_string(&self.told).unwrap_or_default()
    }

    fn end(mut self) -> (Option<i32>, String) {
        (self.child.wait().expect("it ends").code(), self.text())
    }
}

fn until(mut is_so: impl FnMut() -> bool, told: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", told());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ready(what: &str) -> bool {
    installed(what, &["docker-registry", "git"])
}

#[test]
fn two_deployments_of_one_stage_do_not_mix() {
    if !ready("two deployments of one stage") {
        return;
    }
    let world = World::new(2);
    let one = world.held(1);
    let two = world.begin(2);
    until(|| two.text().contains("`production` is deployed with 1.0.0 by"), || two.text());
    // What has not been seen to work goes nowhere.
    let shown = world.call(2, &["status", "--no-drift"]);
    assert!(shown.stdout.contains("being deployed with 1.0.0 by"), "{}", shown.stdout);
    assert_eq!(world.production(2)["entering"]["deploys"], true);
    refused(&world.call(2, &["promote", "eu", "--yes"]), 3, &["`production` is still deployed with 1.0.0"]);
    // It goes on for longer than a run is silent that has died.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(world.log(), "begin 1.0.0\n", "{}", two.text());
    world.let_go(1);
    let (one, two) = (one.end(), two.end());
    assert_eq!((one.0, two.0), (Some(0), Some(0)), "{}{}", one.1, two.1);
    assert_eq!(world.log(), "begin 1.0.0\nend 1.0.0\nbegin 2.0.0\nend 2.0.0\n");
    let production = world.production(2);
    assert_eq!((&production["version"], &production["entering"]), (&"2.0.0".into(), &Value::Null));
    let history = world.call(2, &["history", "production", "--json"]);
    check("ledger", &history.stdout);
    assert_eq!(history.stdout.lines().count(), 2, "{}", history.stdout);
    done(&world.call(2, &["promote", "eu", "--yes"]));
    // The same again is deployed again, and leaves nothing behind.
    done(&world.call(2, &["release", "--event", "tag=v2.0.0", "--yes"]));
    assert!(world.log().ends_with("begin 2.0.0\nend 2.0.0\nbegin 2.0.0\nend 2.0.0\n"), "{}", world.log());
    assert_eq!(world.production(2)["entering"], Value::Null);
}

#[test]
fn who_goes_back_does_not_wait_for_a_deployment_which_says_that_it_was_overtaken() {
    if !ready("a rollback during a deployment") {
        return;
    }
    let world = World::new(2);
    done(&world.call(1, &["release", "--event", "tag=v1.0.0", "--yes"]));
    let two = world.held(2);
    let back = world.call(1, &["rollback", "production", "--yes"]);
    done(&back);
    assert!(back.stderr.contains("production is still deployed with 2.0.0 by"), "{}", back.stderr);
    world.let_go(2);
    let (code, told) = two.end();
    assert_eq!(code, Some(5), "{told}");
    for said in ["hoist::deploy::overtaken", "`production` was taken over with 1.0.0"] {
        assert!(told.contains(said), "{told}");
    }
    assert!(world.log().ends_with("begin 2.0.0\nbegin 1.0.0\nend 1.0.0\nend 2.0.0\n"), "{}", world.log());
    let production = world.production(1);
    assert_eq!((&production["version"], &production["entering"]), (&"1.0.0".into(), &Value::Null));
    assert_ne!(production["hold"], Value::Null);
}

#[test]
fn a_deployment_that_died_elsewhere_is_done_again_or_taken_over() {
    if !ready("deployments that died elsewhere") {
        return;
    }
    let world = World::new(3);
    world.kill(world.held(1));
    let entering = world.production(2)["entering"].clone();
    assert_eq!((&entering["version"], &entering["deploys"]), (&"1.0.0".into(), &true.into()));
    let run = entering["run"].as_str().expect("it has a name");
    refused(&world.call(2, &["promote", "eu", "--yes"]), 3, &["`production` is still deployed with 1.0.0"]);
    world.let_go(1);
    done(&world.call(2, &["resume", "--of", run, "--yes"]));
    assert_eq!(world.log(), "begin 1.0.0\nbegin 1.0.0\nend 1.0.0\n");
    assert_eq!(world.production(2)["entering"], Value::Null);
    done(&world.call(2, &["promote", "eu", "--yes"]));
    // The machine on which it died has nothing left to do.
    done(&world.call(1, &["resume", "--yes"]));
    assert_eq!(world.production(2)["entering"], Value::Null);

    world.kill(world.held(2));
    let three = world.call(3, &["release", "--event", "tag=v3.0.0", "--yes"]);
    done(&three);
    for said in ["`production` is deployed with 2.0.0 by", "it has died"] {
        assert!(three.stderr.contains(said), "{}", three.stderr);
    }
    assert!(world.log().ends_with("begin 2.0.0\nbegin 3.0.0\nend 3.0.0\n"), "{}", world.log());
    let production = world.production(3);
    assert_eq!((&production["version"], &production["entering"]), (&"3.0.0".into(), &Value::Null));
}

#[test]
fn what_was_gone_back_from_is_not_entered_again_by_who_goes_on() {
    if !ready("a rollback of a deployment that died") {
        return;
    }
    let world = World::new(2);
    done(&world.call(1, &["release", "--event", "tag=v1.0.0", "--yes"]));
    world.kill(world.held(2));
    world.let_go(2);
    done(&world.call(1, &["rollback", "production", "--yes"]));
    // Its machine still knows of it.
    refused(&world.call(2, &["resume", "--back", "--yes"]), 3, &["it has entered `production` already"]);
    let resumed = world.call(2, &["resume", "--yes"]);
    done(&resumed);
    assert!(resumed.stderr.contains("runs something else since, and stays so"), "{}", resumed.stderr);
    assert!(world.log().ends_with("begin 2.0.0\nbegin 1.0.0\nend 1.0.0\n"), "{}", world.log());
    let production = world.production(2);
    assert_eq!((&production["version"], &production["entering"]), (&"1.0.0".into(), &Value::Null));
    assert_ne!(production["hold"], Value::Null);
    assert!(world.call(2, &["resume", "--yes"]).stderr.contains("nothing to resume"));
}

#[test]
fn that_nobody_learns_of_the_end_of_a_deployment_is_said() {
    if !ready("a remote that goes away") {
        return;
    }
    let world = World::new(1);
    let away = World::beside(&world.repo, "hold-away");
    fs::write(&away, "").expect("it can be written");
    let ended = world.call(1, &["release", "--event", "tag=v1.0.0", "--yes"]);
    let said = ["hoist::release::half_released", "the ledger does not say that this run has ended"];
    refused(&ended, 5, &said);
    fs::remove_file(&away).expect("it is there");
    let remote = World::beside(&world.repo, "remote.git");
    fs::rename(remote.with_extension("git.away"), &remote).expect("it was moved");
    assert_eq!(world.production(1)["entering"]["deploys"], true);
    done(&world.call(1, &["resume", "--yes"]));
    assert_eq!(world.log(), "begin 1.0.0\nend 1.0.0\nbegin 1.0.0\nend 1.0.0\n");
    assert_eq!(world.production(1)["entering"], Value::Null);
}
