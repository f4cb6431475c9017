//! Releases that are killed: whenever that is, `hoist resume`, or the same release again,
//! leaves no tag behind, and no entry of the ledger lost or made twice.
//!
//! `HOIST_KILL_ROUNDS` says how many are killed, `HOIST_KILL_SEED` with which seed they
//! begin.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::faults::{Story, memory, number};
use crate::fixture::{Ended, Repo, installed};
use crate::proxy::{Fault, Harm, Proxy, direct};
use crate::random::Random;
use crate::registry::Registry;
use crate::schemas::check;
use crate::signals::pid;

/// Rounds, unless something else is asked for: 300 are what the claim is made of.
const ROUNDS: usize = 8;
const IMAGES: [&str; 3] = ["api", "web", "worker"];

fn file(one: u16, two: u16) -> String {
    let image = |name: &str| {
        format!(
            "image \"{name}\" {{ assemble from=\"scratch\" {{ layer {{ copy \"content\" \"/{name}\"; }}; }}\n  \
             tags {{ semver \"{{version}}\" \"{{major}}.{{minor}}\"; latest; }}; push \"one\" \"two\"; }}\n"
        )
    };
    let images: String = IMAGES.iter().map(|name| image(name)).collect();
    format!(
        "var \"one\" \"127.0.0.1:{one}\" env=\"ONE\"\nvar \"two\" \"127.0.0.1:{two}\" env=\"TWO\"\n\
         registry \"one\" \"{{one}}/team\" insecure=#true\nregistry \"two\" \"{{two}}/team\" insecure=#true\n\
         {images}stage \"production\" {{ on tag=\"v*\"; }}\n"
    )
}

/// A project of three images that go to two registries.
struct World {
    repo: Repo,
    _homes: [Repo; 2],
    registries: [Registry; 2],
    version: u64,
}

impl World {
    fn new() -> Self {
        let repo = Repo::below(&memory());
        let homes = [Repo::below(&memory()), Repo::below(&memory())];
        let registries = [Registry::start(&homes[0]), Registry::start(&homes[1])];
        repo.write("release.kdl", file(registries[0].port, registries[1].port));
        repo.write("content", "0");
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        let world = Self { repo, _homes: homes, registries, version: 0 };
        world.repo.commit("Begin");
        let remote = world.repo.path().with_file_name("remote.git");
        world.repo.git(&["init", "--quiet", "--bare", &remote.to_string_lossy()]);
        world.repo.git(&["remote", "add", "origin", &remote.to_string_lossy()]);
        world
    }

    /// Another content and version.
    fn next(&mut self) -> String {
        self.version += 1;
        let version = format!("1.0.{}", self.version);
        self.repo.write("content", &version);
        self.repo.commit(&version);
        version
    }

    /// What the tags of all images in all registries hold that a release sets, by name.
    fn tags(&self, version: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (registry, at) in self.registries.iter().zip(0..) {
            for image in IMAGES {
                for tag in [version, "1.0", "latest"] {
                    let bytes = direct(registry.port, &format!("/v2/team/{image}/manifests/{tag}"));
                    let held = bytes.map(|bytes| hoist::oci::Digest::of(&bytes).to_string());
                    found.insert(format!("{at}/{image}:{tag}"), held.unwrap_or_default());
                }
            }
        }
        found
    }

    /// The versions of the entries of the ledger.
    fn entered(&self) -> Vec<String> {
        let ended = self.repo.hoist(&["history", "--json"]);
        let versions = ended.stdout.lines().map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
            entry["version"].as_str().expect("it has a version").to_owned()
        });
        versions.collect()
    }

    fn journals(&self) -> usize {
        let found = std::fs::read_dir(self.repo.path().join(".hoist/transactions"));
        found.map_or(0, |found| found.flatten().count())
    }
}

/// Whether all tags hold what they held before, or all of an image hold one new digest.
fn is_mixed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Result<bool, String> {
    if before == after {
        return Ok(false);
    }
    for image in IMAGES {
        let of = |tags: &BTreeMap<String, String>| -> BTreeSet<String> {
            let its = tags.iter().filter(|(name, _)| name.contains(&format!("/{image}:")));
            its.map(|(_, held)| held.clone()).collect()
        };
        let (old, new) = (of(before), of(after));
        if new.len() != 1 || new.contains("") || old.iter().any(|held| new.contains(held)) {
            return Err(format!("mixed: {after:#?}\nbefore: {before:#?}"));
        }
    }
    Ok(true)
}

fn variables(ports: [u16; 2]) -> [(&'static str, String); 3] {
    let [one, two] = ports.map(|port| format!("127.0.0.1:{port}"));
    [("ONE", one), ("TWO", two), ("HOIST_TEST_FIRST_WAIT", "1".to_owned())]
}

fn hoist(world: &World, words: &[&str], ports: [u16; 2]) -> Ended {
    let variables = variables(ports);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.repo.hoist_with(words, &variables)
}

/// Releases a version, and kills that after some requests to the registries.
fn killed(world: &World, event: &str, ports: [u16; 2], asked: &AtomicUsize, after: usize) {
    let mut child = world
        .repo
        .command(&["release", "--event", event, "--yes"])
        .envs(variables(ports))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("hoist can be started");
    let deadline = Instant::now() + Duration::from_mins(5);
    while asked.load(Ordering::Relaxed) < after && child.try_wait().expect("it can be asked").is_none() {
        assert!(Instant::now() < deadline, "the release ends");
        std::thread::sleep(Duration::from_micros(200));
    }
    if child.try_wait().expect("it can be asked").is_none() {
        kill_process(pid(child.id()), Signal::KILL).expect("hoist runs");
    }
    child.wait().expect("it ends");
}

/// A round: which fault happens in between, how far the release comes, and how it goes on.
fn round(world: &mut World, seed: u64, bad: bool) -> Result<(), String> {
    let mut random = Random::new(seed);
    let version = world.next();
    let event = format!("tag=v{version}");
    let (before, entries) = (world.tags(&version), world.entered());
    let asked = Arc::new(AtomicUsize::new(0));
    let proxies = [0, 1].map(|at| {
        let asked = Arc::clone(&asked);
        let harm: Option<Harm> = bad.then(|| Arc::new(Story::new(seed * 2 + at)).harm());
        let count = move |name: &str, times: usize| -> Option<Fault> {
            asked.fetch_add(1, Ordering::Relaxed);
            harm.as_ref().and_then(|harm| harm(name, times))
        };
        Proxy::start(world.registries[usize::try_from(at).expect("it is small")].port, Box::new(count))
    });
    let ports = [proxies[0].port, proxies[1].port];
    // Most of them where tags are set: that comes last.
    let all = LEARNED.load(Ordering::Relaxed);
    let least = if random.once_in(4) { 0 } else { all / 2 };
    killed(world, &event, ports, &asked, least + random.below(all - least));
    proxies.iter().for_each(Proxy::heal);
    let again = random.once_in(3);
    let ended = if again {
        hoist(world, &["release", "--event", &event, "--yes"], ports)
    } else {
        hoist(world, &["resume", "--yes"], ports)
    };
    if ended.code != 0 {
        return Err(format!("it does not go on:\n{}", ended.stderr));
    }
    let after = world.tags(&version);
    let is_new = is_mixed(&before, &after)?;
    let now = world.entered();
    let wanted: Vec<String> =
        is_new.then(|| version.clone()).into_iter().chain(entries.iter().cloned()).collect();
    if now != wanted || (again && !is_new) {
        return Err(format!("the ledger has {now:?}, and {wanted:?} is right\n{}", ended.stderr));
    }
    match world.journals() {
        0 => Ok(()),
        left => Err(format!("{left} journals are left")),
    }
}

/// How many requests a release makes.
static LEARNED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_release_that_is_killed_at_any_point_is_old_or_new_as_a_whole() {
    if !installed("releases that are killed", &["docker-registry", "git"]) {
        return;
    }
    let (rounds, first) = (number("HOIST_KILL_ROUNDS", ROUNDS), number("HOIST_KILL_SEED", 1));
    let mut world = World::new();
    let count = Arc::new(AtomicUsize::new(0));
    let proxies = [0, 1].map(|at: usize| {
        let count = Arc::clone(&count);
        let harm = move |_: &str, _: usize| -> Option<Fault> {
            count.fetch_add(1, Ordering::Relaxed);
            None
        };
        Proxy::start(world.registries[at].port, Box::new(harm))
    });
    let version = world.next();
    let ended = hoist(
        &world,
        &["release", "--event", &format!("tag=v{version}"), "--yes"],
        [proxies[0].port, proxies[1].port],
    );
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    LEARNED.store(count.load(Ordering::Relaxed) + 2, Ordering::Relaxed);
    let mut wrong = Vec::new();
    for at in 0..rounds {
        let seed = u64::try_from(first + at).expect("a seed");
        // Every other one on a bad way.
        if let Err(why) = round(&mut world, seed, seed.is_multiple_of(2)) {
            wrong.push(format!("HOIST_KILL_SEED={seed} ends badly: {why}"));
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_stopped_between_its_tags_is_put_back_as_far_as_it_can_be() {
    if !installed("releases that are put back", &["docker-registry", "git"]) {
        return;
    }
    let mut world = World::new();
    let own = [world.registries[0].port, world.registries[1].port];
    let first = world.next();
    let ended = hoist(&world, &["release", "--event", &format!("tag=v{first}"), "--yes"], own);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let nothing = hoist(&world, &["resume", "--yes"], own);
    assert!(nothing.code == 0 && nothing.stderr.contains("nothing to resume"), "{}", nothing.stderr);

    let version = world.next();
    let before = world.tags(&version);
    // The last tag of one image in one registry cannot be set.
    let harm = |name: &str, _: usize| -> Option<Fault> {
        let is_last = name == "PUT /v2/team/web/manifests/latest";
        is_last.then_some(Fault::Status("500 Internal Server Error", None))
    };
    let proxy = Proxy::start(own[1], Box::new(harm));
    let ports = [own[0], proxy.port];
    let event = format!("tag=v{version}");
    let failed = hoist(&world, &["release", "--event", &event, "--yes"], ports);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    let said = failed.stderr.replace("\n  | ", " ");
    assert!(said.contains("hoist resume") && said.contains("hoist resume --back"), "{}", failed.stderr);
    assert_eq!(world.journals(), 1);
    let journal = std::fs::read_dir(world.repo.path().join(".hoist/transactions")).unwrap().next().unwrap();
    check("journal", &std::fs::read_to_string(journal.unwrap().path()).unwrap());
    let status = hoist(&world, &["status", "--no-drift"], ports);
    assert!(status.code == 0 && status.stderr.contains("stopped half way"), "{}", status.stderr);
    // Nothing is done that nobody agreed to.
    let looked = hoist(&world, &["resume"], ports);
    assert_eq!(looked.code, 3, "nobody is there to agree: {}", looked.stderr);
    assert_eq!(world.journals(), 1);

    let back = hoist(&world, &["resume", "--back", "--yes"], ports);
    assert_eq!(back.code, 5, "{}", back.stderr);
    let said = back.stderr.replace("\n  | ", " ");
    for said_of_it in ["hoist::release::not_put_back", "it never changes", &format!("web:{version}` holds")] {
        assert!(said.contains(said_of_it), "{said_of_it}: {}", back.stderr);
    }
    let after = world.tags(&version);
    let moving = |tags: &BTreeMap<String, String>| -> Vec<(String, String)> {
        let moves = |name: &str| name.ends_with(":1.0") || name.ends_with(":latest");
        tags.iter().filter(|(name, _)| moves(name)).map(|(name, held)| (name.clone(), held.clone())).collect()
    };
    assert_eq!(moving(&after), moving(&before));
    assert_eq!(world.journals(), 0);
    // What was given up is in the ledger, and the stage runs what it ran.
    let history = world.repo.hoist(&["history", "--json"]);
    let newest: serde_json::Value = serde_json::from_str(history.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((newest["kind"].as_str(), newest["version"].as_str()), (Some("aborted"), Some(&*version)));
    let status = world.repo.hoist(&["status", "--json", "--no-drift"]);
    assert!(status.stdout.contains(&format!("\"version\":\"{first}\"")), "{}", status.stdout);

    // Only moving tags: all of it is put back.
    let text = world.repo.read("release.kdl").replace("semver \"{version}\" \"{major}.{minor}\"; ", "");
    world.repo.write("release.kdl", text.replace("stage \"production\" { on tag=\"v*\"; }", ""));
    let version = world.next();
    let event = format!("tag=v{version}");
    let failed = hoist(&world, &["release", "--event", &event, "--yes"], ports);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    let back = hoist(&world, &["resume", "--back", "--yes"], ports);
    assert!(back.code == 4 && back.stderr.contains("hoist::release::put_back"), "{}", back.stderr);
    assert_eq!(moving(&world.tags(&version)), moving(&before));
    proxy.heal();
    let failed = hoist(&world, &["release", "--event", &event, "--yes"], ports);
    assert_eq!(failed.code, 0, "{}", failed.stderr);
}
