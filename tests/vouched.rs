//! What vouches for images goes where they go, and stages ask for it: docker-registry on
//! loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fixture::{Ended, Repo, installed};
use crate::proxy::{Fault, Proxy};
use crate::registry::{Registry, digest_of};
use crate::schemas::check;

/// Two keys that sign nothing but images of these tests.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3uBL1jZp65dHCHuE
6mHtRUyHqbgfTrliK0qX1Aef4FqhRANCAAQFP4GGGYenn2VIOO5ip8LjZe03lc8s
+dZhTCr+fT1Pmv1mOgGzhUg9bB/VETnGRvjVeC+6zFAKaRZ+1O8HavnW
-----END PRIVATE KEY-----\n";
const OTHER: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgiLMB/XftyelFSaOY
WM9MbBEhDvtrEZ/DN8HEtoJ+fRahRANCAASWSl+RXBJsjZHadLCY12gNQ3Q/Wi0L
GqCI6GwAbBpwc9LLhjYNvLzwqDth22kpFWk5zUjrEECa12AYGuUoXBDv
-----END PRIVATE KEY-----\n";

fn file(staging: u16, production: u16, seals: &str) -> String {
    format!(
        r#"
var "dev" "127.0.0.1:{staging}/team" env="DEV"
registry "dev" "{{dev}}" insecure=#true
registry "prod" "127.0.0.1:{production}/team/prod" insecure=#true
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; entrypoint "/web"; }}
    platforms "linux/amd64" "linux/arm64"
    tags {{ semver "{{version}}"; branch "{{branch}}-latest"; }}
    {seals}
    push "dev"
}}
stage "staging" {{ on branch="staging"; }}
stage "production" {{
    on tag="v*.*.*"
    from "staging"
    registry "prod"
    require signed=#true provenance=#true
}}
"#
    )
}

const SEALS: &str = "sign key=\"env:KEY\"; attest provenance=#true";

struct World {
    repo: Repo,
    registry: Registry,
}

impl World {
    fn new(seals: &str) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n/out\n");
        let registry = Registry::start(&repo);
        repo.write("release.kdl", file(registry.port, registry.port, seals));
        repo.write("web", "1\n");
        repo.git(&["init", "--quiet", "--initial-branch=staging"]);
        repo.commit("Begin");
        Self { repo, registry }
    }

    fn hoist(&self, words: &[&str], key: &str) -> Ended {
        self.repo.hoist_with(words, &[("KEY", key), ("HOIST_TEST_FIRST_WAIT", "1")])
    }

    fn release(&self, event: &str, key: &str) -> Ended {
        self.hoist(&["release", "--event", event, "--yes"], key)
    }

    fn at(&self, image: &str) -> String {
        format!("127.0.0.1:{}/team/{image}", self.registry.port)
    }

    fn digest(&self, image: &str) -> String {
        digest_of(self.registry.port, image)
    }
}

#[track_caller]
fn ends(ended: &Ended, code: i32, said: &[&str]) {
    assert_eq!(ended.code, code, "{}\n{}", ended.stdout, ended.stderr);
    let text = ended.stderr.replace("\n  | ", " ");
    for said in said {
        assert!(text.contains(said), "{said}: {}", ended.stderr);
    }
}

fn ready(what: &str) -> bool {
    installed(what, &["docker-registry", "skopeo", "git"])
}

#[test]
fn a_promotion_takes_signatures_along_and_a_stage_looks_at_them() {
    if !ready("signatures of promoted images") {
        return;
    }
    let world = World::new(SEALS);
    ends(&world.release("branch=staging", KEY), 0, &[]);
    let built = world.digest("web:staging-latest");
    let promoted = world.release("tag=v1.0.0", KEY);
    ends(&promoted, 0, &["taken along"]);
    assert_eq!(world.digest("prod/web:1.0.0"), built);
    let verified = world.hoist(&["verify", &world.at("prod/web:1.0.0"), "--json"], KEY);
    ends(&verified, 0, &[]);
    let verified: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(verified["keys"][0]["forms"], serde_json::json!(["tag", "bundle"]));
    assert_eq!(verified["keys"][0]["attested"], serde_json::json!(["https://slsa.dev/provenance/v1"]));

    let history = world.hoist(&["history", "production", "--json"], KEY);
    check("ledger", &history.stdout);
    let entry: serde_json::Value = serde_json::from_str(history.stdout.lines().next().unwrap()).unwrap();
    let place = world.at("prod/web");
    for (at, gate) in ["signed", "provenance"].iter().enumerate() {
        assert_eq!(entry["gates"][at]["gate"], *gate);
        let evidence = entry["gates"][at]["evidence"].as_str().unwrap();
        assert!(evidence.starts_with("`web` by the key `env:KEY` ("), "{evidence}");
        assert!(evidence.contains(&place) && evidence.contains("bundle"), "{evidence}");
    }
    // Nothing is added twice.
    ends(&world.hoist(&["promote", "production", "--yes"], KEY), 0, &["Nothing to do"]);
}

#[test]
fn what_is_not_vouched_for_enters_no_stage_that_asks() {
    if !ready("stages that ask for signatures") {
        return;
    }
    let world = World::new("");
    ends(&world.release("branch=staging", KEY), 0, &[]);
    let said = ["hoist::release::gate_not_met", "signed: `web` declares no `sign`", "sign key="];
    ends(&world.release("tag=v1.0.0", KEY), 3, &said);
    // Declared since, and never signed.
    let port = world.registry.port;
    world.repo.write("release.kdl", file(port, port, SEALS));
    let said = ["signed: `web` is not signed by the key `env:KEY`", "release it again where it was built"];
    ends(&world.hoist(&["promote", "production", "--yes"], KEY), 3, &said);
    world.repo.commit("Sign");
    world.repo.git(&["tag", "--force", "v1.0.0"]);
    ends(&world.release("branch=staging", OTHER), 0, &[]);
    let said = ["is not signed by the key `env:KEY`", "was not made by this key"];
    ends(&world.release("tag=v1.0.0", KEY), 3, &said);
    assert_eq!(world.digest("prod/web:1.0.0"), "none");

    // That it cannot be found out is never "unsigned".
    let is_bad = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_bad);
    let harm = move |name: &str, _| {
        let is_list = name.contains("/referrers/") || name.contains(".sig");
        let is_bad = shared.load(Ordering::Relaxed);
        (is_bad && is_list).then_some(Fault::Status("500 Internal Server Error", None))
    };
    let proxy = Proxy::start(port, Box::new(harm));
    let through = |staging: u16, production: u16| {
        world.repo.write("release.kdl", file(staging, production, SEALS));
        world.repo.write("web", staging.to_string());
        world.repo.commit("Next");
        world.repo.git(&["tag", "--force", "v1.1.0"]);
        is_bad.store(false, Ordering::Relaxed);
        ends(&world.release("branch=staging", KEY), 0, &[]);
        is_bad.store(true, Ordering::Relaxed);
        let ended = world.release("tag=v1.1.0", KEY);
        assert!(!ended.stderr.contains("not signed"), "{}", ended.stderr);
        assert_eq!(world.digest("prod/web:1.1.0"), "none");
        ended
    };
    // Where it comes from, before anything is done; and where it goes to, before a tag is set.
    let said = ["hoist::release::unreachable", "500 Internal Server Error", "is signed at", "is not known"];
    ends(&through(proxy.port, port), 3, &said);
    ends(&through(port, proxy.port), 1, &["500 Internal Server Error"]);
    is_bad.store(false, Ordering::Relaxed);
    ends(&world.release("tag=v1.1.0", KEY), 0, &[]);
}

#[test]
fn a_copy_takes_along_what_refers_to_the_image_unless_it_is_told_not_to() {
    if !ready("copies with signatures") {
        return;
    }
    let world = World::new(SEALS);
    ends(&world.release("branch=staging", KEY), 0, &[]);
    let from = world.at("web:staging-latest");
    let verify = |image: &str| world.hoist(&["verify", image], KEY);
    let layout = format!("oci:{}", world.repo.path().join("out").display());
    let (there, back) = (format!("{layout}:1"), world.at("back/web:1"));
    let copied = world.hoist(&["copy", &from, &there, "--json"], KEY);
    ends(&copied, 0, &[]);
    check("copy", &copied.stdout);
    ends(&verify(&there), 0, &[]);
    // A layout still has one image.
    ends(&world.hoist(&["copy", &layout, &back], KEY), 0, &["taken along"]);
    ends(&verify(&back), 0, &[]);
    let again = world.hoist(&["copy", &layout, &back, "--json"], KEY);
    let again: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["referrers"]["brought"], 0, "{again}");
    assert!(again["referrers"]["present"].as_u64().unwrap() > 0, "{again}");

    let bare = world.at("bare/web:1");
    let copied = world.hoist(&["copy", &from, &bare, "--no-referrers", "--json"], KEY);
    check("copy", &copied.stdout);
    ends(&verify(&bare), 3, &["hoist::seal::unsigned"]);
    // What somebody else signed there stays, beside what comes along.
    let theirs = world.at("theirs/web:staging-latest");
    let words = ["release", "--event", "branch=staging", "--yes"];
    let place = world.at("theirs");
    ends(&world.repo.hoist_with(&words, &[("KEY", OTHER), ("DEV", &place)]), 0, &[]);
    assert_eq!(world.digest("theirs/web:staging-latest"), world.digest("web:staging-latest"));
    ends(&verify(&theirs), 3, &["hoist::seal::wrong_signature"]);
    ends(&world.hoist(&["copy", &from, &theirs], KEY), 0, &["taken along"]);
    for key in [KEY, OTHER] {
        let verified = world.hoist(&["verify", &theirs, "--json"], key);
        let verified: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
        assert_eq!(verified["keys"][0]["forms"], serde_json::json!(["tag", "bundle"]));
    }
}
