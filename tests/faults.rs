//! Whatever happens between hoist and a registry: a release is there as a whole or says
//! what is wrong, no tag ever leads to something incomplete, and the same again, without
//! faults, heals it.
//!
//! Stories of faults come from seeds: `HOIST_FAULT_ROUNDS` says how many there are,
//! `HOIST_FAULT_SEED` with which seed they begin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hoist::diagnostic::{Code, Problem};
use hoist::oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform, media_type};
use hoist::store::{Access, Layout, Network, Repository, Surroundings, copy};

use crate::fixture::{Repo, installed, left_out};
use crate::proxy::{Fault, Harm, Proxy, direct};
use crate::random::Random;
use crate::registry::Registry;

/// Stories, unless something else is asked for; of so many one is told by the program
/// itself, the others by the library.
const ROUNDS: usize = 300;
const PROGRAM: usize = 6;
/// Stories that are told at once: they wait more than they work.
const AT_ONCE: usize = 6;
/// Makes waits short.
pub(crate) const FIRST_WAIT: (&str, &str) = ("HOIST_TEST_FIRST_WAIT", "1");

/// What a seed says about the faults of a story.
#[derive(Debug)]
pub(crate) struct Story {
    seed: u64,
    /// Of so many requests one is harmed.
    rate: usize,
    /// Only those of this method.
    only: Option<&'static str>,
    /// How often the same request is harmed.
    times: usize,
    /// Always the same fault.
    fault: Option<Fault>,
}

impl Story {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let only = [None, None, Some("HEAD"), Some("GET"), Some("PUT"), Some("POST")];
        let fault = random.once_in(3).then(|| fault(&mut random));
        Self {
            seed,
            rate: *random.pick(&[1, 2, 4, 8, 16]),
            only: *random.pick(&only),
            times: *random.pick(&[1, 1, 2, 4, usize::MAX]),
            fault,
        }
    }

    /// What happens to a request depends on what it is, not on when it comes.
    pub(crate) fn harm(self: Arc<Self>) -> Harm {
        Box::new(move |name, at| {
            let name_hash =
                name.bytes().fold(self.seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(31));
            let mut random = Random::new(name_hash ^ (at as u64) << 32);
            let is_meant = self.only.is_none_or(|only| name.starts_with(only));
            if at >= self.times || !is_meant || !random.once_in(self.rate) {
                return None;
            }
            Some(self.fault.unwrap_or_else(|| fault(&mut random)))
        })
    }
}

fn fault(random: &mut Random) -> Fault {
    let status = ["429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable"];
    let wait = [None, Some("0"), Some("Thu, 01 Jan 2026 00:00:00 GMT")];
    match random.below(9) {
        0 | 1 => Fault::Status(random.pick::<&str>(&status), *random.pick(&wait)),
        2 | 3 => Fault::CutRequest(random.below(1001)),
        4 => Fault::CutAnswer(random.below(1000)),
        5 => Fault::Delay(u64::try_from(random.below(20)).expect("it is small")),
        6 => Fault::Shorten(random.below(1000)),
        7 => Fault::Flip(random.below(1 << 20)),
        _ => Fault::WrongDigest,
    }
}

/// Every tag of a repository with its digest, if all that it leads to is there and is
/// what its digest says.
fn tags(port: u16, repository: &str) -> Result<BTreeMap<String, Digest>, String> {
    let Some(list) = direct(port, &format!("/v2/{repository}/tags/list")) else { return Ok(BTreeMap::new()) };
    let list: serde_json::Value = serde_json::from_slice(&list).map_err(|error| error.to_string())?;
    let names = list["tags"].as_array().cloned().unwrap_or_default();
    let digest = |name: serde_json::Value| {
        let name = name.as_str().ok_or("a tag is a text")?.to_owned();
        let bytes =
            direct(port, &format!("/v2/{repository}/manifests/{name}")).ok_or("a tag leads nowhere")?;
        complete(port, repository, &bytes).map_err(|why| format!("{name}: {why}"))?;
        Ok((name, Digest::of(&bytes)))
    };
    names.into_iter().map(digest).collect()
}

/// Whether all that a manifest or an index names is there, read without the proxy.
fn complete(port: u16, repository: &str, bytes: &[u8]) -> Result<(), String> {
    let read = |kind: &str, part: &Descriptor| {
        let found = direct(port, &format!("/v2/{repository}/{kind}/{}", part.digest));
        let found = found.ok_or_else(|| format!("{} is missing", part.digest))?;
        if Digest::of(&found) == part.digest { Ok(found) } else { Err(format!("{} is wrong", part.digest)) }
    };
    if let Ok(index) = Index::parse(bytes) {
        return index
            .manifests
            .iter()
            .try_for_each(|part| complete(port, repository, &read("manifests", part)?));
    }
    let manifest = Manifest::parse(bytes).map_err(|error| error.to_string())?;
    std::iter::once(&manifest.config)
        .chain(&manifest.layers)
        .try_for_each(|part| read("blobs", part).map(drop))
}

/// Whether a problem says where it happened and what: a status, or what was not as it
/// has to be.
fn says_what(text: &str, host: &str, repository: &str) -> Result<(), String> {
    let what = [
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
        "cannot be reached",
        "does not answer as specified",
        "announced as",
        "holds another image",
        "was moved by somebody else",
        "that is not shown there",
        "cannot be copied",
        "there is no image",
        "404 Not Found",
    ];
    // Long titles are told on several lines.
    let text = &text.replace("\n  | ", " ");
    for (name, said) in [
        ("the host", text.contains(host)),
        ("the repository", text.contains(repository)),
        ("what happened", what.iter().any(|what| text.contains(what))),
    ] {
        if !said {
            return Err(format!("{name} is not said:\n{text}"));
        }
    }
    Ok(())
}

const RELEASE: &str = r#"
var "place" env="PLACE"
registry "local" "{place}"
image "web" {
    assemble from="scratch" {
        layer { copy "web" "/web"; }
        layer { copy "library" "/library"; }
        entrypoint "/web"
    }
    platforms "linux/amd64" "linux/arm64"
    label place="{place}"
    tags { semver "{version}" "{major}.{minor}"; latest; }
    push "local"
}
"#;

/// Where files are written quickly, if there is such a place: thousands of them are made
/// safe on disk.
pub(crate) fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn project() -> Repo {
    let repo = Repo::below(&memory());
    repo.write(".gitignore", "/.registry*\n");
    repo.write("release.kdl", RELEASE);
    repo.write("web", "1\n");
    repo.write("library", "library\n".repeat(2000));
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    repo
}

fn release(repo: &Repo, place: &str) -> crate::fixture::Ended {
    let arguments = ["release", "--event", "tag=v1.0.0", "--yes"];
    repo.hoist_with(&arguments, &[("PLACE", place), FIRST_WAIT])
}

/// A release by the program.
fn told_by_program(repo: &Repo, proxy: &Proxy, upstream: u16, seed: u64) -> Result<(), String> {
    let (host, path) = (format!("127.0.0.1:{}", proxy.port), format!("s{seed}/web"));
    let place = format!("{host}/s{seed}");
    let ended = release(repo, &place);
    let found = tags(upstream, &path)?;
    let all = ["1.0", "1.0.0", "latest"];
    match ended.code {
        0 if found.keys().eq(all) => {}
        // Refused before anything was done, or a step failed before the first tag.
        1 | 3 if found.is_empty() => says_what(&ended.stderr, &host, &path)?,
        // What stands is said, and the rest does not.
        5 => {
            says_what(&ended.stderr, &host, &path)?;
            let stands = |tag: &&str| ended.stderr.contains(&format!("`{place}/web:{tag}` holds"));
            let stands: Vec<_> = all.iter().filter(|tag| stands(tag)).collect();
            let unsaid: Vec<_> = found.keys().filter(|tag| !stands.contains(&&tag.as_str())).collect();
            // Where the answer to the last was lost, and to whether it is set, nobody knows.
            let unknown =
                |tag: &&String| ended.stderr.contains(&format!("whether `{place}/web:{tag}` was set"));
            if !unsaid.iter().all(unknown) || stands.iter().any(|tag| !found.contains_key(**tag)) {
                return Err(format!("{found:?} is there:\n{}", ended.stderr));
            }
        }
        code => return Err(format!("exit code {code}, and there is {found:?}:\n{}", ended.stderr)),
    }
    proxy.heal();
    let healed = release(repo, &place);
    let after = tags(upstream, &path)?;
    let is_one = after.values().all(|digest| Some(digest) == after.values().next());
    if healed.code != 0 || !after.keys().eq(all) || !is_one {
        return Err(format!("it is not healed, {after:?}:\n{}", healed.stderr));
    }
    match found.iter().find(|(tag, digest)| after.get(*tag) != Some(digest)) {
        Some((tag, _)) => Err(format!("`{tag}` was another image")),
        None => Ok(()),
    }
}

/// An index of two platforms in a layout.
fn image(layout: &Layout, random: &mut Random) -> Descriptor {
    let mut manifests = Vec::new();
    for name in ["linux/amd64", "linux/arm64"] {
        let platform: Platform = name.parse().expect("it is one");
        let most = *random.pick(&[10, 1000, 100_000]);
        let size = random.below(most);
        let content: Vec<u8> = (0..size).flat_map(|_| random.next().to_le_bytes()).take(size).collect();
        let write = |kind: &str, bytes: &[u8]| layout.write(kind, bytes).expect("it can be written");
        let layer = write(media_type::LAYER, &content);
        let mut config = ImageConfig::new(&platform);
        config.rootfs.diff_ids.push(layer.digest);
        let config = write(media_type::CONFIG, &config.to_bytes());
        let manifest = write(media_type::MANIFEST, &Manifest::new(config, vec![layer]).to_bytes());
        manifests.push(Descriptor { platform: Some(platform), ..manifest });
    }
    layout.write(media_type::INDEX, &Index::new(manifests).to_bytes()).expect("it can be written")
}

/// There, named, and back into another layout.
async fn there_and_back(from: &Layout, top: &Descriptor, name: &str, to: &Layout) -> Result<(), Problem> {
    let environment = [FIRST_WAIT].into_iter().collect();
    let network = Network::new(Surroundings { root: "/nonexistent".into(), environment });
    let name = name.parse().expect("it is a name");
    let registry = Repository::Registry(network.open(&name, &Access::default()).await?);
    let [from, to] = [from, to].map(|layout| Repository::Layout(layout.clone()));
    copy(&from, top, &registry, Arc::new(|_| {})).await?;
    let (tag, document) = ("1".parse().expect("it is a tag"), registry.read(top).await?);
    registry.swap_tag(&tag, None, (top, &document)).await?;
    let found = registry
        .resolve("1")
        .await?
        .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no image `1` in `{name}`")))?;
    copy(&registry, &found, &to, Arc::new(|_| {})).await?;
    let document = to.read(&found).await?;
    to.swap_tag(&tag, None, (&found, &document)).await.map(drop)
}

/// Whether a layout holds nothing half-written, and its names lead to what is there.
fn sound(layout: &Layout) -> Result<(), String> {
    let list = |path: &Path| {
        std::fs::read_dir(path).expect("it can be listed").map(|entry| entry.expect("it is there").path())
    };
    // What is written at the moment when another part fails is removed a little later.
    let left = || list(layout.path()).find(|path| path.to_string_lossy().contains("/.hoist-"));
    for _ in 0..100 {
        if left().is_none() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if let Some(left) = left() {
        return Err(format!("{} is left", left.display()));
    }
    for path in list(&layout.path().join("blobs/sha256")) {
        let bytes = std::fs::read(&path).expect("it can be read");
        if !path.ends_with(Digest::of(&bytes).hex()) {
            return Err(format!("{} is not what its name says", path.display()));
        }
    }
    Ok(())
}

/// A copy there and back by the library.
fn told_by_library(proxy: &Proxy, upstream: u16, seed: u64) -> Result<(), String> {
    let directory = tempfile::tempdir_in(memory()).expect("a directory can be made");
    let [from, to] =
        ["from", "to"].map(|name| Layout::create(directory.path().join(name)).expect("it can be made"));
    let top = image(&from, &mut Random::new(!seed));
    let (host, path) = (format!("127.0.0.1:{}", proxy.port), format!("s{seed}/web"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it can be made");
    let again = || runtime.block_on(there_and_back(&from, &top, &format!("{host}/{path}"), &to));
    let ended = again();
    let found = tags(upstream, &path)?;
    if found.get("1").is_some_and(|digest| *digest != top.digest) {
        return Err("the tag leads to something else".to_owned());
    }
    sound(&to)?;
    let named = to.resolve("1").map_err(|problem| format!("{problem:?}"))?;
    match &ended {
        Ok(()) if found.len() == 1 && named.is_some_and(|named| named.digest == top.digest) => {}
        Ok(()) => return Err("it succeeded, and is not there".to_owned()),
        Err(problem) => says_what(&format!("{}\n{}", problem.title, problem.notes.join("\n")), &host, &path)?,
    }
    proxy.heal();
    again().map_err(|problem| format!("it is not healed: {problem:?}"))?;
    sound(&to)?;
    let (after, named) = (tags(upstream, &path)?, to.resolve("1").map_err(|problem| format!("{problem:?}"))?);
    let is_there =
        after.get("1") == Some(&top.digest) && named.is_some_and(|named| named.digest == top.digest);
    if is_there { Ok(()) } else { Err("it is healed, and is not there".to_owned()) }
}

pub(crate) fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn whatever_happens_on_the_way_a_release_is_whole_or_says_what_is_wrong() {
    if !installed("faults of registries", &["docker-registry"]) {
        return;
    }
    let home = Repo::below(&memory());
    let registry = Registry::start(&home);
    let (rounds, first) = (number("HOIST_FAULT_ROUNDS", ROUNDS), number("HOIST_FAULT_SEED", 1));
    let next = AtomicUsize::new(0);
    let work = || {
        let repo = project();
        let mut bad = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= rounds {
                return bad;
            }
            let seed = u64::try_from(first + at).expect("a seed");
            let story = Arc::new(Story::new(seed));
            let proxy = Proxy::start(registry.port, Arc::clone(&story).harm());
            let ended = if seed % PROGRAM as u64 == 0 {
                told_by_program(&repo, &proxy, registry.port, seed)
            } else {
                told_by_library(&proxy, registry.port, seed)
            };
            if let Err(why) = ended {
                bad.push(format!("HOIST_FAULT_SEED={seed} ends badly: {why}\n{story:?}\n{}", proxy.told()));
            }
        }
    };
    let bad: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
    });
    assert!(bad.is_empty(), "{} of {rounds} stories:\n{}", bad.len(), bad.join("\n\n"));
}

/// A release through a proxy where everything is harmed that `harm` says.
fn refused(harm: impl Fn(&str) -> Option<Fault> + Send + 'static) -> Option<(crate::fixture::Ended, Repo)> {
    if !installed("refusals of registries", &["docker-registry"]) {
        return None;
    }
    let repo = project();
    let registry = Registry::start(&repo);
    let proxy = Proxy::start(registry.port, Box::new(move |name, _| harm(name)));
    Some((release(&repo, &format!("127.0.0.1:{}/team", proxy.port)), repo))
}

#[test]
fn who_may_not_push_is_told_before_anything_is_built() {
    let denied = |name: &str| name.starts_with("POST").then_some(Fault::Status("403 Forbidden", None));
    let Some((ended, repo)) = refused(denied) else { return };
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    for said in ["hoist::store::unauthorized", "did not let you write to `team/web`", "403 Forbidden"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    assert!(ended.stderr.contains("published by this"), "it points into the file: {}", ended.stderr);
    let why = repo.hoist_with(&["why", "web:build@linux/amd64"], &[("PLACE", "127.0.0.1:1/team")]);
    assert!(why.stdout.contains("would run"), "nothing was built: {}", why.stdout);
}

#[test]
fn a_registry_that_is_down_is_told_before_anything_is_built() {
    let Some((ended, _repo)) = refused(|_| Some(Fault::CutRequest(0))) else { return };
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("hoist::release::unreachable"), "{}", ended.stderr);
    assert!(ended.stderr.contains("POST /v2/team/web/blobs/uploads/"), "{}", ended.stderr);
}

#[test]
fn an_image_that_is_handed_out_otherwise_than_it_was_sent_gets_no_tag() {
    for what in ["manifests", "blobs"] {
        let handed_out = format!("GET /v2/team/web/{what}/sha256:");
        let harm = move |name: &str| name.starts_with(&handed_out).then_some(Fault::Flip(40));
        let Some((ended, repo)) = refused(harm) else { return };
        assert_ne!(ended.code, 0, "{what}: {}", ended.stderr);
        let said = ended.stderr.replace("\n  | ", " ");
        assert!(said.contains("is something else") && said.contains("a proxy on the way"), "{what}: {said}");
        assert!(
            repo.has(".registry/docker/registry/v2/repositories/team/web/_manifests/revisions"),
            "{what}"
        );
        assert!(!repo.has(".registry/docker/registry/v2/repositories/team/web/_manifests/tags"), "{what}");
    }
}

#[test]
fn a_disk_that_is_full_is_said_to_be_and_holds_nothing_half_written() {
    if !installed("a full disk", &["docker-registry", "mount", "umount"]) {
        return;
    }
    let repo = project();
    let registry = Registry::start(&repo);
    let mut random = Random::new(1);
    let large: Vec<u8> = (0..(3 << 20) / 8).flat_map(|_| random.next().to_le_bytes()).collect();
    repo.write("library", large);
    repo.commit("A large file");
    let place = format!("127.0.0.1:{}/team", registry.port);
    let released = release(&repo, &place);
    assert_eq!(released.code, 0, "{}", released.stderr);
    let disk = tempfile::tempdir().expect("a directory can be made");
    let mount = |options: &str| {
        let mut call = std::process::Command::new("mount");
        call.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(disk.path());
        call.stderr(std::process::Stdio::null()).status().expect("it can be started").success()
    };
    if !mount("size=1m") {
        left_out("a full disk", "nothing can be mounted");
        return;
    }
    let to = format!("oci:{}", disk.path().join("images").display());
    let copied = |repo: &Repo| repo.hoist_with(&["copy", &format!("{place}/web:1.0.0"), &to], &[FIRST_WAIT]);
    let full = copied(&repo);
    let layout = Layout::open(disk.path().join("images"));
    let left = layout.as_ref().map(|layout| (sound(layout), layout.refs()));
    let grown = mount("remount,size=16m");
    let healed = copied(&repo);
    let unmounted = std::process::Command::new("umount").arg(disk.path()).status();
    assert!(unmounted.expect("it can be started").success());
    assert_eq!(full.code, 1, "{}", full.stderr);
    assert!(full.stderr.contains("No space left on device"), "{}", full.stderr);
    assert_eq!(left, Ok((Ok(()), Ok(vec![]))));
    assert!(grown && healed.code == 0, "{}", healed.stderr);
}
