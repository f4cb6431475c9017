#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::diagnostic::{Code, Problem};
use crate::facts::Environment;
use crate::oci::{Digest, media_type};

/// An entry of a stage that runs one image, of which `what` is the digest.
pub(in crate::release) fn entry(kind: EntryKind, stage: &str, version: &str, what: &str, at: i64) -> Entry {
    let tag = |tag: &str, immutable| EntryTag { tag: tag.to_owned(), immutable, digest: None };
    Entry {
        format: Entry::FORMAT,
        kind,
        stage: stage.to_owned(),
        at: Timestamp::from_second(at).unwrap(),
        by: "tester".to_owned(),
        does: None,
        deploys: false,
        run: None,
        event: "branch=main".to_owned(),
        commit: "1".repeat(40),
        tree: "2".repeat(40),
        version: version.to_owned(),
        dirty: false,
        untracked: false,
        from: None,
        source: None,
        follows: None,
        overtakes: None,
        images: vec![EntryImage {
            name: "web".to_owned(),
            digest: Digest::of(what.as_bytes()),
            media_type: media_type::MANIFEST.to_owned(),
            size: 1,
            tests: Vec::new(),
            scans: Vec::new(),
            places: vec![EntryPlace {
                registry: "prod".to_owned(),
                repository: "host/web".to_owned(),
                tags: vec![tag(version, true), tag("latest", false)],
            }],
        }],
        gates: Vec::new(),
        reason: None,
    }
}

fn release(stage: &str, version: &str) -> Entry {
    entry(EntryKind::Release, stage, version, version, 1_800_000_000)
}

/// Repositories in a directory of their own.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A repository with a commit.
    fn repository(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir(&path).unwrap();
        git(&path, &["init", "--quiet", "--initial-branch=main"]);
        git(&path, &["commit", "--quiet", "--allow-empty", "--message", "Begin"]);
        path
    }

    /// A bare repository with one commit.
    fn remote(&self) -> PathBuf {
        let first = self.repository("first");
        let bare = self.path("remote.git");
        git(&first, &["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
        bare
    }

    fn clone(&self, name: &str, options: &[&str]) -> PathBuf {
        let (from, to) = (format!("file://{}", self.path("remote.git").display()), self.path(name));
        let words = [&["clone", "--quiet"], options, &[&from, to.to_str().unwrap()]].concat();
        git(self.dir.path(), &words);
        to
    }
}

fn environment() -> Environment {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::temp_dir().into_os_string();
    let config = [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")];
    let config = config.map(|(name, value)| (name, value.into()));
    [("PATH", path), ("HOME", home)].into_iter().chain(config).collect()
}

fn git(directory: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(words).current_dir(directory);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "T").env(format!("GIT_{role}_EMAIL"), "t@example.org");
    }
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn open(directory: &Path) -> Ledger {
    Ledger::open(directory, &environment()).unwrap()
}

fn put(ledger: &Ledger, entry: &Entry) -> String {
    ledger.append(|_| Ok(Some(entry.clone()))).unwrap().unwrap()
}

fn versions(ledger: &Ledger, stage: Option<&str>) -> Vec<String> {
    ledger.history(stage, usize::MAX).unwrap().into_iter().map(|(_, entry)| entry.version).collect()
}

#[test]
fn without_a_remote_it_is_in_the_repository() {
    let world = World::new();
    let path = world.repository("project");
    let ledger = open(&path);
    assert_eq!((ledger.remote(), ledger.fetch()), (None, Ok(Page::default())));
    let one = put(&ledger, &release("staging", "1.0.0"));
    let two = put(&ledger, &release("production", "1.0.0"));
    let three = put(&ledger, &release("staging", "1.1.0"));
    let page = ledger.fetch().unwrap();
    assert_eq!(page.head.as_deref(), Some(three.as_str()));
    let running = |stage: &str| {
        let running = page.state.running(stage).unwrap();
        (running.entry.version.clone(), running.id.clone().unwrap())
    };
    assert_eq!(running("staging"), ("1.1.0".to_owned(), three.clone()));
    assert_eq!(running("production"), ("1.0.0".to_owned(), two.clone()));
    assert_eq!(versions(&ledger, Some("staging")), ["1.1.0", "1.0.0"]);
    assert_eq!(versions(&ledger, None).len(), 3);
    let newest = ledger.history(None, 2).unwrap();
    assert_eq!(newest.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&three, &two]);
    assert_eq!(newest[0].1.follows.as_ref(), Some(&one));
    assert_eq!(ledger.entry(&one).unwrap(), release("staging", "1.0.0"));
    assert_eq!(git(&path, &["rev-parse", "refs/hoist/ledger"]), three);
    // It is no branch, and nothing is checked out.
    assert_eq!(git(&path, &["status", "--porcelain"]), "");
}

#[test]
fn what_was_put_into_the_remote_is_seen_by_all_clones_shallow_ones_and_worktrees_too() {
    let world = World::new();
    let remote = world.remote();
    let (one, two) = (world.clone("one", &[]), world.clone("two", &["--depth=1"]));
    let first = put(&open(&one), &release("staging", "1.0.0"));
    assert_eq!(open(&two).read().unwrap(), Page::default());
    assert_eq!(open(&two).fetch().unwrap().head, Some(first));
    let second = put(&open(&two), &release("staging", "1.1.0"));
    assert_eq!(git(&remote, &["rev-parse", "refs/hoist/ledger"]), second);
    let tree = world.path("tree");
    git(&one, &["worktree", "add", "--quiet", "-b", "other", tree.to_str().unwrap()]);
    assert_eq!(open(&tree).fetch().unwrap().head, Some(second.clone()));
    // A worktree has no ledger of its own.
    assert_eq!(open(&one).read().unwrap().head, Some(second));
    assert_eq!(git(&two, &["rev-parse", "--is-shallow-repository"]), "true");
    assert_eq!(git(&two, &["for-each-ref", "refs/hoist/fetched"]), "");
}

#[test]
fn entries_that_are_made_at_the_same_time_stand_one_behind_the_other() {
    let world = World::new();
    let remote = world.remote();
    let clones: Vec<_> = (0..4).map(|at| world.clone(&format!("clone{at}"), &[])).collect();
    std::thread::scope(|scope| {
        for at in 0..16 {
            let path = &clones[at % clones.len()];
            scope.spawn(move || put(&open(path), &release("staging", &format!("1.{at}.0"))));
        }
    });
    let chain = git(&remote, &["log", "--format=%P", "refs/hoist/ledger"]);
    // All have one parent, but for the first.
    assert_eq!(chain.split_whitespace().count(), 15);
    let ledger = open(&clones[0]);
    let last = ledger.fetch().unwrap();
    let mut all = versions(&ledger, None);
    assert_eq!(
        last.state.running("staging").map(|running| running.entry.version.clone()),
        all.first().cloned()
    );
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 16);
}

#[test]
fn whoever_lost_a_race_is_asked_again_with_what_the_others_put() {
    let world = World::new();
    world.remote();
    let (one, two) = (world.clone("one", &[]), world.clone("two", &[]));
    let (mut seen, other) = (Vec::new(), open(&two));
    let id = open(&one)
        .append(|page| {
            if seen.is_empty() {
                put(&other, &release("staging", "2.0.0"));
            }
            seen.push(page.state.running("staging").map(|running| running.entry.version.clone()));
            Ok(Some(release("staging", "2.1.0")))
        })
        .unwrap();
    assert_eq!(seen, [None, Some("2.0.0".to_owned())]);
    assert_eq!(other.fetch().unwrap().head, id);
    // Who finds that there is nothing to put down any more puts nothing down.
    let none = open(&one).append(|_| Ok(None)).unwrap();
    assert_eq!((none, other.fetch().unwrap().head), (None, id));
}

#[test]
fn a_ledger_that_was_rewritten_is_told_and_left_alone() {
    let world = World::new();
    let remote = world.remote();
    let path = world.clone("one", &[]);
    let ledger = open(&path);
    let first = put(&ledger, &release("staging", "1.0.0"));
    let second = put(&ledger, &release("staging", "1.1.0"));
    let told = |result: Result<Page, Problem>| result.map_err(|problem| problem.code).unwrap_err();
    // Back to an entry before.
    git(&remote, &["update-ref", "refs/hoist/ledger", &first]);
    assert_eq!(told(ledger.fetch()), Code::LedgerDiverged);
    let append = || ledger.append(|_| Ok(Some(release("staging", "1.2.0")))).unwrap_err();
    // What it lost is not brought back by an entry behind it.
    assert_eq!(append().as_slice()[0].code, Code::LedgerDiverged);
    assert_eq!(git(&remote, &["rev-parse", "refs/hoist/ledger"]), first);
    // Another history.
    let other = git(&remote, &["commit-tree", "-m", "x", &format!("{second}^{{tree}}")]);
    git(&remote, &["update-ref", "refs/hoist/ledger", &other]);
    let refused = append();
    assert_eq!(refused.as_slice()[0].code, Code::LedgerDiverged);
    let notes = refused.as_slice()[0].notes.join("\n");
    assert!(notes.contains(&other) && notes.contains(&second), "{notes}");
    assert_eq!(git(&remote, &["rev-parse", "refs/hoist/ledger"]), other);
    assert_eq!(git(&path, &["rev-parse", "refs/hoist/ledger"]), second);
}

#[test]
fn a_ledger_that_the_remote_lost_is_not_begun_again() {
    let world = World::new();
    let remote = world.remote();
    let ledger = open(&world.clone("one", &[]));
    let entry = put(&ledger, &release("staging", "1.0.0"));
    // Another clone has only read it.
    let reader = open(&world.clone("two", &[]));
    reader.fetch().unwrap();
    git(&remote, &["update-ref", "-d", "refs/hoist/ledger"]);
    for ledger in [&ledger, &reader] {
        let problem = ledger.fetch().unwrap_err();
        assert_eq!(problem.code, Code::LedgerDiverged);
        assert!(problem.notes[0].ends_with(&entry), "{problem:?}");
        let refused = ledger.append(|_| Ok(Some(release("staging", "1.1.0")))).unwrap_err();
        assert_eq!(refused.as_slice()[0].code, Code::LedgerDiverged);
    }
    assert_eq!(git(&remote, &["for-each-ref", "refs/hoist"]), "");
    // As the help says.
    git(&world.path("two"), &["push", "--quiet", "origin", &format!("{entry}:refs/hoist/ledger")]);
    assert!(ledger.fetch().is_ok());
    git(&remote, &["update-ref", "-d", "refs/hoist/ledger"]);
    git(&world.path("one"), &["update-ref", "-d", "refs/hoist/seen/origin"]);
    put(&ledger, &release("staging", "1.1.0"));
    assert_eq!(git(&remote, &["rev-list", "--count", "refs/hoist/ledger"]), "2");
}

#[test]
fn entries_from_before_there_was_a_remote_are_sent_there() {
    let world = World::new();
    let path = world.repository("project");
    put(&open(&path), &release("staging", "1.0.0"));
    let bare = world.path("remote.git");
    git(world.dir.path(), &["init", "--quiet", "--bare", bare.to_str().unwrap()]);
    git(&path, &["remote", "add", "origin", bare.to_str().unwrap()]);
    let ledger = open(&path);
    assert_eq!(ledger.remote(), Some("origin"));
    let second = put(&ledger, &release("staging", "1.1.0"));
    assert_eq!(git(&bare, &["rev-parse", "refs/hoist/ledger"]), second);
    assert_eq!(git(&bare, &["rev-list", "--count", "refs/hoist/ledger"]), "2");
}

#[test]
fn a_remote_that_takes_no_entries_or_cannot_be_reached_is_told() {
    let world = World::new();
    let remote = world.remote();
    let path = world.clone("one", &[]);
    let hook = remote.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho not for you >&2\nexit 1\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).unwrap();
    let refused = open(&path).append(|_| Ok(Some(release("staging", "1.0.0")))).unwrap_err();
    let problem = &refused.as_slice()[0];
    assert_eq!(problem.code, Code::Ledger);
    assert!(
        problem.notes[0].contains("pre-receive hook declined") && problem.notes[1] == "remote: not for you",
        "{:?}",
        problem.notes
    );
    assert_eq!(open(&path).read().unwrap(), Page::default());
    std::fs::remove_dir_all(&remote).unwrap();
    let gone = open(&path).fetch().unwrap_err();
    assert_eq!(gone.code, Code::Unreachable);
}

#[test]
fn the_newest_entry_alone_says_what_runs() {
    let world = World::new();
    let path = world.repository("project");
    let ledger = open(&path);
    let first = put(&ledger, &release("staging", "1.0.0"));
    put(&ledger, &release("production", "1.0.0"));
    // What came before need not be read, however much it is.
    let object = path.join(".git/objects").join(&first[..2]).join(&first[2..]);
    std::fs::remove_file(object).unwrap();
    let page = ledger.read().unwrap();
    let running = page.state.running("staging").unwrap();
    assert_eq!((running.entry.version.as_str(), running.id.as_deref()), ("1.0.0", Some(first.as_str())));
}

#[test]
fn an_entry_of_a_newer_hoist_is_refused_and_not_misread() {
    let world = World::new();
    let path = world.repository("project");
    let ledger = open(&path);
    let id = put(&ledger, &Entry { format: 4, ..release("staging", "1.0.0") });
    let problem = ledger.entry(&id).unwrap_err();
    assert_eq!(problem.code, Code::Ledger);
    assert!(problem.notes[0].contains("it is of format 4, and this hoist reads 3"), "{:?}", problem.notes);
    // Nothing is put behind it.
    assert_eq!(ledger.read().unwrap_err(), problem);
    assert!(ledger.append(|_| Ok(Some(release("staging", "1.1.0")))).is_err());
}

#[test]
fn who_is_about_to_enter_a_stage_is_said_until_it_is_done_and_is_no_part_of_its_history() {
    let world = World::new();
    let path = world.repository("project");
    let ledger = open(&path);
    let by = |kind, version: &str, run: &str| Entry {
        kind,
        run: Some(run.to_owned()),
        ..release("staging", version)
    };
    let first = put(&ledger, &release("staging", "1.0.0"));
    let one = by(EntryKind::Entering, "1.1.0", "one");
    let entries = [one.clone(), Entry { stage: "production".to_owned(), ..one }];
    let last = ledger.append_all(Some("{\"run\":\"one\"}"), |_| Ok(entries.to_vec())).unwrap().unwrap();
    let page = ledger.fetch().unwrap();
    let entering = |page: &Page, stage: &str| page.state.entering(stage).map(|one| one.run().to_owned());
    assert_eq!(
        [entering(&page, "staging"), entering(&page, "production")],
        [Some("one".into()), Some("one".into())]
    );
    assert_eq!(page.state.entering("production").unwrap().id.as_deref(), Some(last.as_str()));
    // What it is about is kept with it; what the stage runs is what it ran.
    assert_eq!(ledger.intent::<serde_json::Value>(&last).unwrap()["run"], "one");
    assert_eq!(page.state.stages["staging"].last.as_deref(), Some(first.as_str()));
    assert_eq!(page.state.stages["production"].last, None);
    assert_eq!(versions(&ledger, None), ["1.0.0"]);
    // Somebody else's end is not its own.
    put(&ledger, &by(EntryKind::Left, "1.1.0", "other"));
    assert_eq!(entering(&ledger.fetch().unwrap(), "staging").as_deref(), Some("one"));
    put(&ledger, &Entry { stage: "production".to_owned(), ..by(EntryKind::Left, "1.1.0", "one") });
    put(&ledger, &by(EntryKind::Release, "1.1.0", "one"));
    let page = ledger.fetch().unwrap();
    assert_eq!([entering(&page, "staging"), entering(&page, "production")], [None, None]);
    assert_eq!(
        (versions(&ledger, None), versions(&ledger, Some("staging"))),
        (vec!["1.1.0".to_owned(), "1.0.0".to_owned()], vec!["1.1.0".to_owned(), "1.0.0".to_owned()])
    );
}

#[test]
fn entries_of_format_1_are_read_still() {
    let text = serde_json::to_string(&release("staging", "1.0.0")).unwrap();
    let old: Entry = serde_json::from_str(&text.replace("\"format\":3", "\"format\":1")).unwrap();
    assert_eq!(old, Entry { format: 1, ..release("staging", "1.0.0") });
    let state = "{\"stages\":{\"staging\":{\"running\":{\"id\":null,\"since\":\"2027-01-15T08:00:00Z\",\"entry\":ENTRY},\"last\":null}}}";
    let state: State = serde_json::from_str(&state.replace("ENTRY", &text)).unwrap();
    assert_eq!(state.running("staging").map(|running| running.number), Some(0));
}

#[test]
fn a_stage_runs_its_images_since_they_entered_it_first() {
    let at = |kind, what: &str, at| entry(kind, "staging", "1.0.0", what, at);
    let after = |state: State, entry: &Entry, id: &str| state.after(entry).at(id);
    let since = |state: &State| state.running("staging").unwrap().since.as_second();
    let hold = |state: &State| state.stages["staging"].hold.is_some();
    let state = after(State::default(), &at(EntryKind::Release, "a", 10), "one");
    let again = after(state.clone(), &at(EntryKind::Release, "a", 20), "two");
    assert_eq!((since(&again), again.running("staging").unwrap().id.as_deref()), (10, Some("two")));
    let other = after(again, &at(EntryKind::Promote, "b", 30), "three");
    assert_eq!((since(&other), hold(&other)), (30, false));
    let back = after(other.clone(), &at(EntryKind::Rollback, "a", 40), "four");
    assert_eq!((since(&back), hold(&back)), (40, true));
    // What failed and stands is what runs.
    let failure = |state: &State| state.stages["staging"].failure().map(str::to_owned);
    let given_up = after(other.clone(), &at(EntryKind::Aborted, "c", 40), "four");
    assert_eq!((since(&given_up), hold(&given_up), failure(&given_up)), (30, true, None));
    let aborted = after(other, &at(EntryKind::Aborted, "b", 40), "four");
    assert_eq!((since(&aborted), hold(&aborted), failure(&aborted).is_some()), (30, true, true));
    assert_eq!(aborted.stages["staging"].last.as_deref(), Some("four"));
    // It was not seen to work until it entered again.
    let again = after(aborted, &at(EntryKind::Promote, "b", 50), "five");
    assert_eq!((since(&again), hold(&again)), (50, false));
    // Nor was what was deployed by a run that died over that, until another one does it again.
    let by = |kind, run: &str, at: i64| Entry {
        run: Some(run.to_owned()),
        deploys: true,
        ..entry(kind, "staging", "1.0.0", "b", at)
    };
    let died = after(State::default(), &by(EntryKind::Promote, "one", 10), "one");
    let resumed = after(died.clone(), &by(EntryKind::Entering, "two", 60), "two");
    assert_eq!((since(&resumed), since(&after(died, &by(EntryKind::Promote, "two", 60), "two"))), (60, 60));
    let same = after(resumed, &by(EntryKind::Entering, "two", 70), "three");
    let done = after(same, &by(EntryKind::Left, "two", 80), "four");
    assert_eq!(since(&after(done, &by(EntryKind::Entering, "three", 90), "five")), 60);
}

#[test]
fn who_enters_a_stage_while_another_run_deploys_there_says_so() {
    let world = World::new();
    let path = world.repository("project");
    let ledger = open(&path);
    let by = |version: &str, run: &str, deploys| Entry {
        run: Some(run.to_owned()),
        deploys,
        ..release("staging", version)
    };
    let overtakes = |id: &str| ledger.entry(id).unwrap().overtakes;
    assert_eq!(overtakes(&put(&ledger, &by("1.0.0", "one", true))), None);
    assert_eq!(overtakes(&put(&ledger, &by("1.0.1", "one", true))), None);
    assert_eq!(overtakes(&put(&ledger, &by("1.1.0", "two", true))).as_deref(), Some("one"));
    put(&ledger, &Entry { kind: EntryKind::Left, ..by("1.1.0", "two", true) });
    assert_eq!(overtakes(&put(&ledger, &by("1.2.0", "three", false))), None);
}
