//! The examples, as a reader of the README meets them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fixture::{Repo, installed, left_out};

/// An example as a repository of its own, with one commit on `main`.
pub(crate) fn example(name: &str) -> Repo {
    let repo = Repo::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    copy(&from, &repo.path());
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    repo
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("an example can be listed") {
        let entry = entry.expect("an example can be listed");
        let name = entry.file_name();
        if ["dist", ".hoist"].iter().any(|made| name == *made) {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(&name));
        } else {
            fs::copy(entry.path(), to.join(&name)).expect("a file can be copied");
        }
    }
}

/// Whether containers can be run here: the embedded runtime needs root or user
/// namespaces.
pub(crate) fn containers(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        left_out(what, "the embedded runtime is tested as root");
    }
    root
}

#[test]
fn hello_is_released_and_released_again_without_doing_anything() {
    if !containers("the release of examples/hello") {
        return;
    }
    let repo = example("hello");
    let first = repo.hoist(&["release"]);
    assert_eq!(first.code, 0, "{}\n{}", first.stdout, first.stderr);
    let short = repo.git(&["rev-parse", "--short=7", "HEAD"]);
    let index: serde_json::Value =
        serde_json::from_str(&repo.read("dist/images/hello/index.json")).expect("it is JSON");
    let images = index["manifests"].as_array().expect("there are manifests").iter();
    let mut names: Vec<_> =
        images.filter_map(|one| one["annotations"]["org.opencontainers.image.ref.name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["latest", &format!("main-{short}")]);
    let second = repo.hoist(&["release"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_eq!(second.stdout, "");
    assert!(second.stderr.contains("Nothing to do"), "{}", second.stderr);
}

#[test]
fn promotion_brings_what_was_built_once_to_production_and_back() {
    let repo = example("promotion");
    let at = |event: &str| {
        let ended = repo.hoist(&["release", "--event", event, "--yes"]);
        assert_eq!(ended.code, 0, "{event}: {}", ended.stderr);
        ended.stderr
    };
    repo.git(&["branch", "staging"]);
    at("branch=develop");
    at("branch=staging");
    let promoted = at("tag=v1.0.0");
    assert!(!promoted.contains("site:build"), "{promoted}");
    let first = repo.read("out/live/running");
    assert!(first.starts_with("1.0.0 oci:out/prod/site@sha256:"), "{first}");
    repo.write("site/index.html", "<h1>Hello again</h1>\n");
    repo.commit("Say it again");
    repo.git(&["branch", "--force", "staging"]);
    repo.git(&["tag", "v1.1.0"]);
    at("branch=staging");
    let promoted = repo.hoist(&["promote", "production", "--yes"]);
    assert_eq!(promoted.code, 0, "{}", promoted.stderr);
    assert!(repo.read("out/live/running").starts_with("1.1.0 "));
    let back = repo.hoist(&["rollback", "production", "--yes"]);
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert_eq!(repo.read("out/live/running"), first);
    let status = repo.hoist(&["status"]).stdout;
    assert!(status.contains("on hold by tester: it was"), "{status}");
}

#[test]
fn the_life_of_a_release_is_run_by_one_command() {
    if cfg!(not(target_os = "linux")) {
        left_out("examples/promotion/run", "its tools are those of Linux");
        return;
    }
    let repo = Repo::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/promotion/run");
    // What isolates a call of hoist does the same for the script.
    let mut command = Command::new(script);
    let isolated = repo.command(&[]);
    command.env_clear().envs(isolated.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("HOIST", env!("CARGO_BIN_EXE_hoist")).arg(repo.path());
    let ended = command.output().expect("the script can be started");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    // It was refused by the hold, and promoted by hand then.
    assert!(said.contains("`hold` is not met") && said.contains("exit code 3"), "{said}");
    assert!(repo.read("shop/out/live/running").starts_with("0.2.0 "), "{said}");
    if installed("the registry of examples/promotion/run", &["docker-registry"]) {
        assert!(repo.has("registry/docker/registry/v2/repositories/prod/site"), "{said}");
    }
}

#[test]
fn hello_is_the_same_image_whoever_builds_it() {
    let digest = || {
        let repo = example("hello");
        let ended = repo.hoist(&["run", "hello:build*", "--json"]);
        assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
        let events =
            ended.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut digests = events.filter_map(|event| event["digest"].as_str().map(ToOwned::to_owned));
        digests.next_back().expect("an image was made")
    };
    assert_eq!(digest(), digest());
}

#[test]
fn the_examples_of_others_check_and_plan() {
    for name in ["inclusive_world_portal", "senex_trader"] {
        let repo = example(name);
        let check = repo.hoist(&["check"]);
        assert_eq!(check.code, 0, "{name}: {}", check.stderr);
        for event in ["tag=v1.2.3", "branch=develop", "pr=42"] {
            let plan = repo.hoist(&["plan", "--event", event]);
            // What a stage would refuse is told behind the plan.
            let codes: &[i32] = if event.starts_with("tag") { &[0, 3] } else { &[0] };
            assert!(codes.contains(&plan.code), "{name} at {event}: {}", plan.stderr);
            assert!(plan.stdout.contains(" run"), "{name} at {event}: {}", plan.stdout);
        }
        let refused = repo.hoist_with(&["release", "--event", "tag=v1.2.3", "--yes"], &[]);
        assert_eq!(refused.code, 3, "{name}: {}", refused.stderr);
        // Its bases are asked for first, and not every machine reaches their registry.
        // Or what production takes from staging is asked for: nothing runs there.
        let reasons = [
            "hoist::plan::not_available",
            "hoist::release::not_promotable",
            "the registry `docker.io` cannot be reached",
        ];
        let is_said = reasons.iter().any(|reason| refused.stderr.contains(reason));
        assert!(is_said, "{name}: {}", refused.stderr);
    }
}

#[test]
fn every_example_is_formatted() {
    for name in ["hello", "promotion", "inclusive_world_portal", "senex_trader"] {
        let ended = example(name).hoist(&["fmt", "--check"]);
        assert_eq!(ended.code, 0, "{name}: {}", ended.stdout);
    }
}
