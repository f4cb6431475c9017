//! Releases, promotions, and rollbacks that are killed: whenever that is, `hoist resume`,
//! or the same again, leaves no tag behind, and no entry of the ledger lost or made twice.
//!
//! `HOIST_KILL_ROUNDS` says how many are killed, `HOIST_KILL_SEED` with which seed they
//! begin.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::faults::{FIRST_WAIT, Story, memory, number};
use crate::fixture::{Ended, Repo, done, installed};
use crate::proxy::{Fault, Harm, Proxy, direct};
use crate::random::Random;
use crate::registry::Registry;
use crate::schemas::check;
use crate::signals::pid;

/// Rounds, unless something else is asked for: 300 are what the claim is made of.
const ROUNDS: usize = 12;
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
        "registry \"one\" \"127.0.0.1:{one}/team\" insecure=#true\n\
         registry \"two\" \"127.0.0.1:{two}/team\" insecure=#true\n\
         {images}stage \"production\" {{ on tag=\"v*\"; }}\n\
         stage \"live\" {{ from \"production\"; tags {{ raw \"live\"; }}; }}\n"
    )
}

/// A project of three images that go to two registries.
struct World {
    repo: Repo,
    _homes: [Repo; 2],
    registries: [Registry; 2],
    /// Before the registries: what stands in the ledger has their names.
    proxies: [Proxy; 2],
    version: u64,
}

impl World {
    fn new() -> Self {
        let repo = Repo::below(&memory());
        let homes = [Repo::below(&memory()), Repo::below(&memory())];
        let registries = [Registry::start(&homes[0]), Registry::start(&homes[1])];
        let proxies = [0, 1].map(|at: usize| Proxy::start(registries[at].port, Box::new(|_, _| None)));
        repo.write("release.kdl", file(proxies[0].port, proxies[1].port));
        repo.write("content", "0");
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        let world = Self { repo, _homes: homes, registries, proxies, version: 0 };
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
                for tag in [version, "1.0", "latest", "live"] {
                    let bytes = direct(registry.port, &format!("/v2/team/{image}/manifests/{tag}"));
                    let held = bytes.map(|bytes| hoist::oci::Digest::of(&bytes).to_string());
                    found.insert(format!("{at}/{image}:{tag}"), held.unwrap_or_default());
                }
            }
        }
        found
    }

    /// The entries of the ledger: what was done to which stage, and the version.
    fn entered(&self) -> Vec<String> {
        let ended = self.repo.hoist(&["history", "--json"]);
        let entries = ended.stdout.lines().map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
            let word = |name: &str| entry[name].as_str().expect("it is a text").to_owned();
            format!("{} {} {}", word("kind"), word("stage"), word("version"))
        });
        entries.collect()
    }

    fn journals(&self) -> usize {
        let found = std::fs::read_dir(self.repo.path().join(".hoist/transactions"));
        found.map_or(0, |found| found.flatten().count())
    }
}

/// What is done to the stages, and killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// A version is built, and enters `production`.
    Release,
    /// What runs in `production` enters `live`.
    Promote,
    /// `production` goes back to the version before.
    Rollback,
}

impl Deed {
    const ALL: [Self; 3] = [Self::Release, Self::Promote, Self::Rollback];

    /// The words of the same deed, however often it is done, for a version and the one
    /// that `production` ran before.
    fn words(self, version: &str, before: &str) -> Vec<String> {
        let event = format!("tag=v{version}");
        let words: &[&str] = match self {
            Self::Release => &["release", "--lift-hold", "--event", &event],
            Self::Promote => &["promote", "live"],
            Self::Rollback => &["rollback", "production", "--to", before],
        };
        words.iter().chain(&["--yes"]).map(|word| (*word).to_owned()).collect()
    }

    /// The entry that it makes.
    fn entry(self, version: &str, before: &str) -> String {
        match self {
            Self::Release => format!("release production {version}"),
            Self::Promote => format!("promote live {version}"),
            Self::Rollback => format!("rollback production {before}"),
        }
    }

    /// Whether it sets a tag.
    fn sets(self, version: &str, tag: &str) -> bool {
        match self {
            Self::Release => tag != "live",
            Self::Promote => tag == "live",
            Self::Rollback => tag != "live" && tag != version,
        }
    }
}

/// Whether all tags hold what they held before, or all that the deed sets hold, of each
/// image, one other digest.
fn is_new(
    deed: Deed,
    version: &str,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Result<bool, String> {
    if before == after {
        return Ok(false);
    }
    let mixed = || Err(format!("mixed: {after:#?}\nbefore: {before:#?}"));
    let sets = |name: &str| deed.sets(version, name.rsplit(':').next().unwrap_or_default());
    if before.iter().any(|(name, held)| !sets(name) && after.get(name) != Some(held)) {
        return mixed();
    }
    for image in IMAGES {
        let of = |tags: &BTreeMap<String, String>| -> BTreeSet<String> {
            let is_its = |name: &str| name.contains(&format!("/{image}:")) && sets(name);
            tags.iter().filter(|(name, _)| is_its(name)).map(|(_, held)| held.clone()).collect()
        };
        let (old, new) = (of(before), of(after));
        if new.len() != 1 || new.contains("") || old.iter().any(|held| new.contains(held)) {
            return mixed();
        }
    }
    Ok(true)
}

fn hoist(world: &World, words: &[impl AsRef<str>]) -> Ended {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    world.repo.hoist_with(&words, &[FIRST_WAIT])
}

/// Does something, and kills that after some requests to the registries.
fn killed(world: &World, words: &[String], asked: &AtomicUsize, after: usize) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut child = world
        .repo
        .command(&words)
        .envs([FIRST_WAIT])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("hoist can be started");
    let deadline = Instant::now() + Duration::from_mins(5);
    while asked.load(Ordering::Relaxed) < after && child.try_wait().expect("it can be asked").is_none() {
        assert!(Instant::now() < deadline, "it ends");
        std::thread::sleep(Duration::from_micros(200));
    }
    if child.try_wait().expect("it can be asked").is_none() {
        kill_process(pid(child.id()), Signal::KILL).expect("hoist runs");
    }
    child.wait().expect("it ends");
}

/// From here on, counts what is asked for, and harms it.
fn count(world: &World, mut harm: impl FnMut(u64) -> Option<Harm>) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    for (proxy, at) in world.proxies.iter().zip(0..) {
        let (asked, harm) = (Arc::clone(&asked), harm(at));
        proxy.harm(Box::new(move |name, times| {
            asked.fetch_add(1, Ordering::Relaxed);
            harm.as_ref().and_then(|harm| harm(name, times))
        }));
    }
    asked
}

/// What has to be there before a deed.
fn prepare(world: &mut World, deed: Deed) -> Result<[String; 2], String> {
    let before = format!("1.0.{}", world.version);
    let version = world.next();
    if deed != Deed::Release {
        let ended = hoist(world, &Deed::Release.words(&version, &before));
        if ended.code != 0 {
            return Err(format!("it cannot be prepared:\n{}", ended.stderr));
        }
    }
    Ok([version, before])
}

/// A round: what is done, which fault happens in between, how far it comes, and how it
/// goes on.
fn round(world: &mut World, seed: u64, bad: bool, learned: &[usize; 3]) -> Result<(), String> {
    let mut random = Random::new(seed);
    let at = usize::try_from(seed / 2).expect("it is small") % Deed::ALL.len();
    let deed = Deed::ALL[at];
    let [version, earlier] = prepare(world, deed)?;
    let (before, entries) = (world.tags(&version), world.entered());
    let asked = count(world, |at| bad.then(|| Arc::new(Story::new(seed * 2 + at)).harm()));
    // Most of them where tags are set: that comes last.
    let all = learned[at];
    let least = if random.once_in(4) { 0 } else { all / 2 };
    let words = deed.words(&version, &earlier);
    // On every third bad way, it is left to itself.
    let after = if bad && random.once_in(3) { usize::MAX } else { least + random.below(all - least) };
    killed(world, &words, &asked, after);
    world.proxies.iter().for_each(Proxy::heal);
    let status = hoist(world, &["status", "--no-drift"]);
    let half = world.tags(&version) != before && world.entered() == entries;
    if status.code != 0 || (half && !status.stderr.contains("stopped half way")) {
        return Err(format!("{deed:?}: the status does not say that it stopped:\n{}", status.stderr));
    }
    let again = random.once_in(3);
    let ended = if again { hoist(world, &words) } else { hoist(world, &["resume", "--yes"]) };
    if ended.code != 0 {
        return Err(format!("{deed:?} does not go on:\n{}", ended.stderr));
    }
    let is_new = is_new(deed, &version, &before, &world.tags(&version))?;
    let now = world.entered();
    let entry = is_new.then(|| deed.entry(&version, &earlier));
    let wanted: Vec<String> = entry.into_iter().chain(entries.iter().cloned()).collect();
    if now != wanted || (again && !is_new) {
        return Err(format!("{deed:?}: the ledger has {now:?}, and {wanted:?} is right\n{}", ended.stderr));
    }
    match world.journals() {
        0 => Ok(()),
        left => Err(format!("{deed:?}: {left} journals are left\n{}", ended.stderr)),
    }
}

/// How many requests each deed makes.
fn learn(world: &mut World) -> [usize; 3] {
    Deed::ALL.map(|deed| {
        let [version, before] = prepare(world, deed).expect("nothing is in the way");
        let asked = count(world, |_| None);
        let ended = hoist(world, &deed.words(&version, &before));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        asked.load(Ordering::Relaxed) + 2
    })
}

#[test]
fn what_is_killed_at_any_point_is_old_or_new_as_a_whole() {
    if !installed("releases that are killed", &["docker-registry", "git"]) {
        return;
    }
    let (rounds, first) = (number("HOIST_KILL_ROUNDS", ROUNDS), number("HOIST_KILL_SEED", 1));
    let mut world = World::new();
    let learned = learn(&mut world);
    for at in 0..rounds {
        let seed = u64::try_from(first + at).expect("a seed");
        // Every other one on a bad way.
        if let Err(why) = round(&mut world, seed, seed.is_multiple_of(2), &learned) {
            panic!("HOIST_KILL_SEED={seed} ends badly: {why}");
        }
    }
}

#[test]
fn what_stopped_between_its_tags_is_put_back_as_far_as_it_can_be() {
    if !installed("releases that are put back", &["docker-registry", "git"]) {
        return;
    }
    let mut world = World::new();
    let first = world.next();
    let ended = hoist(&world, &["release", "--event", &format!("tag=v{first}"), "--yes"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let nothing = hoist(&world, &["resume", "--yes"]);
    assert!(nothing.code == 0 && nothing.stderr.contains("nothing to resume"), "{}", nothing.stderr);

    let version = world.next();
    let before = world.tags(&version);
    // The last tag of one image in one registry cannot be set.
    let harm = |name: &str, _: usize| -> Option<Fault> {
        let is_last = name == "PUT /v2/team/web/manifests/latest";
        is_last.then_some(Fault::Status("500 Internal Server Error", None))
    };
    world.proxies[1].harm(Box::new(harm));
    let event = format!("tag=v{version}");
    let failed = hoist(&world, &["release", "--event", &event, "--yes"]);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    let said = failed.stderr.replace("\n  | ", " ");
    assert!(said.contains("hoist resume") && said.contains("hoist resume --back"), "{}", failed.stderr);
    assert_eq!(world.journals(), 1);
    let journal = std::fs::read_dir(world.repo.path().join(".hoist/transactions")).unwrap().next().unwrap();
    check("journal", &std::fs::read_to_string(journal.unwrap().path()).unwrap());
    let status = hoist(&world, &["status", "--no-drift"]);
    assert!(status.code == 0 && status.stderr.contains("stopped half way"), "{}", status.stderr);
    // Nothing is done that nobody agreed to.
    let looked = hoist(&world, &["resume"]);
    assert_eq!(looked.code, 3, "nobody is there to agree: {}", looked.stderr);
    assert_eq!(looked.stderr.matches("--yes").count(), 1, "{}", looked.stderr);
    assert_eq!(world.journals(), 1);

    // What would be done is shown, and is not.
    let half = world.tags(&version);
    let new = &half[&format!("1/web:{version}")];
    let shown = hoist(&world, &["resume", "--dry-run"]);
    done(&shown);
    let said = shown.stderr.replace("\n  | ", " ");
    for said_of_it in
        ["it would be finished", &format!("team/web:latest would hold {new} instead of sha256:")]
    {
        assert!(said.contains(said_of_it), "{said_of_it}: {said}");
    }
    assert!(said.contains(&format!("production would run {version}")), "{said}");
    let shown = hoist(&world, &["resume", "--back", "--dry-run"]);
    done(&shown);
    let old = &before["0/web:1.0"];
    for said in
        [format!("web:1.0 would hold {old} again"), format!("web:{version} would stay: it never changes")]
    {
        assert!(shown.stderr.contains(&said), "{said}: {}", shown.stderr);
    }
    assert_eq!((world.tags(&version), world.journals()), (half, 1));

    let back = hoist(&world, &["resume", "--back", "--yes"]);
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
    let without = text.split("stage ").next().unwrap_or_default();
    world.repo.write("release.kdl", without);
    let version = world.next();
    let event = format!("tag=v{version}");
    let failed = hoist(&world, &["release", "--event", &event, "--yes"]);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    let back = hoist(&world, &["resume", "--back", "--yes"]);
    assert!(back.code == 4 && back.stderr.contains("hoist::release::put_back"), "{}", back.stderr);
    assert_eq!(moving(&world.tags(&version)), moving(&before));
    world.proxies[1].heal();
    let failed = hoist(&world, &["release", "--event", &event, "--yes"]);
    assert_eq!(failed.code, 0, "{}", failed.stderr);
}
