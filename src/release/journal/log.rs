//! A journal on disk.
#![expect(clippy::disallowed_methods, reason = "how old a journal is, the clock and its file tell")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Problem};
use crate::oci::Digest;
use crate::release::journal::Intent;
use crate::release::lease::Lease;

/// Where journals lie, below the project's directory.
const DIRECTORY: &str = ".hoist/transactions";
/// How the names of their files end.
const END: &str = ".jsonl";
/// How the name of one ends that is not whole yet, behind a dot.
const FRESH: &str = "new";
/// How long it may take at most until one that was begun is locked.
const BEGINNING: Duration = Duration::from_mins(1);

/// A line behind the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// A tag, by its position in the intent, is about to be set; and what it holds.
    Moving { tag: usize, from: Option<Digest> },
    /// It is dealt with: it was set, held the image, or was left to what it held.
    Settled { tag: usize },
    /// The registry refused to set it: it holds what it held.
    Refused { tag: usize },
    /// The ledger says that the stage runs its images.
    Entered { stage: String },
}

/// How far a release has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// What tags held before they were set.
    moving: BTreeMap<usize, Option<Digest>>,
    settled: BTreeSet<usize>,
    entered: BTreeSet<String>,
}

impl Progress {
    fn note(&mut self, line: Line) {
        match line {
            Line::Moving { tag, from } => drop(self.moving.insert(tag, from)),
            Line::Settled { tag } => drop(self.settled.insert(tag)),
            Line::Refused { tag } => drop(self.moving.remove(&tag)),
            Line::Entered { stage } => drop(self.entered.insert(stage)),
        }
    }
}

/// A journal that this process holds: nobody else writes it, or goes on with it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Locked as long as it is open.
    file: Mutex<File>,
    intent: Intent,
    progress: Mutex<Progress>,
    /// The right to move the tags of its stages, once there is one.
    lease: OnceLock<Lease>,
}

/// The journals of a project.
#[derive(Debug, Default)]
pub struct Journals {
    /// Those of processes that died, the oldest first; held by this process now.
    pub dead: Vec<Journal>,
    /// The runs that go on, by their names.
    pub live: Vec<String>,
}

impl Journals {
    /// Those of the project in `root`.
    ///
    /// # Errors
    /// One cannot be read, or was written by a newer hoist ([`Code::Journal`]): what is
    /// half done is then not known.
    pub fn find(root: &Path) -> Result<Self, Problem> {
        let directory = root.join(DIRECTORY);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unusable("read", &directory, &error)),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut runs: Vec<String> =
            names.filter_map(|name| name.strip_suffix(END).map(str::to_owned)).collect();
        // Names begin with the time.
        runs.sort_unstable();
        let mut found = Self::default();
        for run in runs {
            let path = directory.join(format!("{run}{END}"));
            match open(&path)? {
                Held::Gone => {}
                Held::ByAnother => found.live.push(run),
                Held::Here(journal) => found.dead.push(*journal),
            }
        }
        Ok(found)
    }
}

enum Held {
    Gone,
    ByAnother,
    Here(Box<Journal>),
}

/// Takes hold of a journal that nobody holds.
fn open(path: &Path) -> Result<Held, Problem> {
    let file = match OpenOptions::new().read(true).append(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held::Gone),
        Err(error) => return Err(unusable("opened", path, &error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Held::ByAnother),
        Err(TryLockError::Error(error)) => return Err(unusable("locked", path, &error)),
    }
    // Who held it until now may have removed it.
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held::Gone),
        Err(error) => return Err(unusable("read", path, &error)),
    };
    let (intent, progress) = read(&text).map_err(|why| why.at(path))?;
    // What was torn off when its writer died is no beginning of what is added.
    if !text.ends_with('\n') {
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let cut = u64::try_from(whole).map_err(io::Error::other).and_then(|whole| file.set_len(whole));
        cut.map_err(|error| unusable("written", path, &error))?;
    }
    let (file, progress) = (Mutex::new(file), Mutex::new(progress));
    let (path, lease) = (path.to_owned(), OnceLock::new());
    Ok(Held::Here(Box::new(Journal { path, file, intent, progress, lease })))
}

/// Why a text is no journal.
#[derive(Debug, PartialEq, Eq)]
enum Unfit {
    Newer(u64),
    Damaged(String),
}

impl Unfit {
    fn at(self, path: &Path) -> Problem {
        let shown = shown(path);
        match self {
            Self::Newer(format) => {
                let title = format!("the journal `{shown}` was written by a newer hoist");
                Problem::new(Code::Journal, title)
                    .note(format!("its format is {format}, and this hoist knows {}", Intent::FORMAT))
                    .help("`hoist resume` of that version goes on with what it began")
            }
            Self::Damaged(why) => {
                let problem = Problem::new(Code::Journal, format!("the journal `{shown}` is damaged"));
                problem.note(why).help("look at what its tags hold, then remove it")
            }
        }
    }
}

/// Reads a journal. A last line that is not whole was torn off when its writer died: it
/// was never acted on.
fn read(text: &str) -> Result<(Intent, Progress), Unfit> {
    #[derive(Deserialize)]
    struct Head {
        format: u64,
    }
    let damaged = |at: usize, error: serde_json::Error| Unfit::Damaged(format!("line {}: {error}", at + 1));
    let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).enumerate();
    let (_, first) = lines.next().ok_or_else(|| Unfit::Damaged("it is empty".to_owned()))?;
    let head: Head = serde_json::from_str(first).map_err(|error| damaged(0, error))?;
    if head.format > u64::from(Intent::FORMAT) {
        return Err(Unfit::Newer(head.format));
    }
    let intent: Intent = serde_json::from_str(first).map_err(|error| damaged(0, error))?;
    let mut progress = Progress::default();
    for (at, line) in lines {
        progress.note(serde_json::from_str(line).map_err(|error| damaged(at, error))?);
    }
    Ok((intent, progress))
}

impl Journal {
    /// Begins a journal in the project in `root`; nothing of what is intended was done.
    ///
    /// # Errors
    /// It cannot be made safe on disk: then nothing may become visible.
    pub fn begin(root: &Path, intent: Intent) -> Result<Self, Problem> {
        let directory = root.join(DIRECTORY);
        let path = directory.join(format!("{}{END}", intent.run));
        // It has its name only when it is whole and locked: nobody takes it for one of the dead.
        let fresh = directory.join(format!("{}.{FRESH}", intent.run));
        let begin = || {
            fs::create_dir_all(&directory)?;
            sweep(&directory);
            let mut file = OpenOptions::new().read(true).append(true).create_new(true).open(&fresh)?;
            file.try_lock().map_err(io::Error::from)?;
            file.write_all(line(&intent)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&directory)?.sync_all()?;
            Ok(file)
        };
        let file = begin().map_err(|error: io::Error| {
            let problem = unusable("written", &path, &error);
            problem.note("no tag was set: what is about to be done is put down there first")
        })?;
        let (file, progress) = (Mutex::new(file), Mutex::default());
        Ok(Self { path, file, intent, progress, lease: OnceLock::new() })
    }

    /// Begins a journal of what a run elsewhere was about to make visible, which died: each
    /// tag may have been set.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn adopt(root: &Path, intent: Intent) -> Result<Self, Problem> {
        let journal = Self::begin(root, intent)?;
        for (tag, intended) in journal.intent.tags.iter().enumerate() {
            journal.add(Line::Moving { tag, from: intended.holds })?;
        }
        Ok(journal)
    }

    /// From here on tags are moved by this right.
    pub fn by(&self, lease: Lease) {
        let _first = self.lease.set(lease);
    }

    /// Whether there is a right to move tags.
    #[must_use]
    pub fn may_move(&self) -> bool {
        self.lease.get().is_some()
    }

    /// Makes sure that tags may be moved still.
    ///
    /// # Errors
    /// Somebody took the right over; the ledger cannot be written.
    pub(in crate::release) async fn hold(&self) -> Result<(), Problem> {
        match self.lease.get() {
            Some(lease) => lease.hold(&self.intent).await,
            None => Ok(()),
        }
    }

    /// What is to become visible.
    #[must_use]
    pub const fn intent(&self) -> &Intent {
        &self.intent
    }

    /// Puts down that a tag is about to be set, and what it holds; safe on disk before
    /// this returns.
    ///
    /// # Errors
    /// It cannot be put down: then the tag may not be set.
    pub fn moving(&self, repository: &str, tag: &str, from: Option<Digest>) -> Result<(), Problem> {
        let Some(tag) = self.position(repository, tag) else { return Ok(()) };
        self.add(Line::Moving { tag, from })
    }

    /// Puts down that a tag is dealt with.
    ///
    /// # Errors
    /// It cannot be put down.
    pub fn settled(&self, repository: &str, tag: &str) -> Result<(), Problem> {
        let Some(tag) = self.position(repository, tag) else { return Ok(()) };
        self.add(Line::Settled { tag })
    }

    /// Puts down that a tag was not set: the registry refused to.
    ///
    /// # Errors
    /// It cannot be put down.
    pub fn refused(&self, repository: &str, tag: &str) -> Result<(), Problem> {
        let Some(tag) = self.position(repository, tag) else { return Ok(()) };
        self.add(Line::Refused { tag })
    }

    /// Whether the ledger says that a stage runs its images.
    #[must_use]
    pub fn has_entered(&self, stage: &str) -> bool {
        self.progress().entered.contains(stage)
    }

    /// The stages of which the ledger says that they run its images.
    #[must_use]
    pub fn entered_stages(&self) -> Vec<String> {
        self.progress().entered.iter().cloned().collect()
    }

    /// Puts down that the ledger says that a stage runs its images.
    ///
    /// # Errors
    /// It cannot be put down.
    pub fn entered(&self, stage: &str) -> Result<(), Problem> {
        self.add(Line::Entered { stage: stage.to_owned() })
    }

    /// The tags that may have been set, each with what it held before, the last one first.
    #[must_use]
    pub fn moved(&self) -> Vec<(usize, Option<Digest>)> {
        self.progress().moving.iter().rev().map(|(at, from)| (*at, *from)).collect()
    }

    /// Whether nothing of it became visible.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        let progress = self.progress();
        progress.moving.is_empty() && progress.entered.is_empty()
    }

    /// How long ago something was put down in it; nothing where that is not known. Where the
    /// clock was set back since, that counts from now on.
    #[must_use]
    pub fn age(&self) -> Duration {
        let modified = fs::metadata(&self.path).and_then(|found| found.modified());
        let Ok(modified) = modified else { return Duration::ZERO };
        modified.elapsed().unwrap_or_else(|_| {
            let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            // What cannot be put right is young for as long as the clock is behind.
            drop(file.set_modified(SystemTime::now()));
            Duration::ZERO
        })
    }

    /// Whether something became visible, and something else that was to did not.
    #[must_use]
    pub fn is_half_done(&self) -> bool {
        let is_untouched = self.is_untouched();
        let progress = self.progress();
        let entered = |stage: &String| progress.entered.contains(stage);
        !is_untouched
            && (progress.settled.len() < self.intent.tags.len()
                || !self.intent.entries.iter().map(|entry| &entry.stage).all(entered))
    }

    /// Ends the journal: nothing is left to be done, or to be put back.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn end(&self) -> Result<(), Problem> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(unusable("removed", &self.path, &error))
            }
            _ => Ok(()),
        }
    }

    fn position(&self, repository: &str, tag: &str) -> Option<usize> {
        self.intent.tags.iter().position(|known| known.repository == repository && known.tag == tag)
    }

    fn add(&self, added: Line) -> Result<(), Problem> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = line(&added).and_then(|line| file.write_all(line.as_bytes()));
        let written = written.and_then(|()| file.sync_data());
        written.map_err(|error| unusable("written", &self.path, &error))?;
        self.progress().note(added);
        Ok(())
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what was about to become a journal when its writer died: nobody holds it, and it
/// was not begun just now. What cannot be removed is in nobody's way.
fn sweep(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.extension() == Some(FRESH.as_ref())) {
        let Ok(file) = File::open(&path) else { continue };
        let modified = file.metadata().and_then(|found| found.modified());
        // A time that is yet to come is one before the clock was set back.
        let is_old = modified.is_ok_and(|time| time.elapsed().map_or(true, |age| age > BEGINNING));
        if is_old && file.try_lock().is_ok() {
            drop(fs::remove_file(&path));
        }
    }
}

fn line(value: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}

/// A journal, or the directory of all, as seen from the project.
fn shown(path: &Path) -> String {
    let name = path.file_name().filter(|_| !path.ends_with(DIRECTORY)).unwrap_or_default();
    Path::new(DIRECTORY).join(name).display().to_string()
}

fn unusable(done: &str, path: &Path, error: &io::Error) -> Problem {
    let title = format!("the journal `{}` cannot be {done}", shown(path));
    Problem::new(Code::Journal, title).note(error.to_string())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::release::IntentTag;
    use crate::release::journal::intent::Follows;

    fn intent(run: &str) -> Intent {
        let tag = |tag: &str, follows| IntentTag {
            image: "web".to_owned(),
            digest: Digest::of(b"new"),
            media_type: "application/json".to_owned(),
            size: 3,
            repository: "host/web".to_owned(),
            tag: tag.to_owned(),
            semver: true,
            follows,
            holds: None,
        };
        Intent {
            format: Intent::FORMAT,
            run: run.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            allow_regress: false,
            approval: None,
            tags: vec![
                tag("1.2.3", Follows::Immutable),
                tag("latest", Follows::Version { version: "1.2.3".to_owned(), numbers: 0 }),
            ],
            entries: Vec::new(),
        }
    }

    /// The journals that nobody holds. What other tests start inherits, for a moment, what
    /// is open here: such a journal is still held.
    fn dead(root: &Path) -> Result<Vec<Journal>, Problem> {
        for _ in 0..1000 {
            let found = Journals::find(root)?;
            if found.live.is_empty() {
                return Ok(found.dead);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("somebody holds a journal");
    }

    #[test]
    fn a_journal_that_nobody_holds_is_of_the_dead_and_one_that_somebody_holds_is_not() {
        let root = tempfile::TempDir::new().unwrap();
        let journal = Journal::begin(root.path(), intent("1")).unwrap();
        journal.moving("host/web", "1.2.3", None).unwrap();
        let found = Journals::find(root.path()).unwrap();
        assert_eq!((found.dead.len(), found.live), (0, vec!["1".to_owned()]));
        drop(journal);

        let found = dead(root.path()).unwrap();
        let [dead] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(dead.intent(), &intent("1"));
        assert_eq!(dead.moved(), [(0, None)]);
        assert!(dead.is_half_done());
        // Whoever goes on with it holds it.
        assert_eq!(Journals::find(root.path()).unwrap().live, ["1"]);
        for (tag, from) in [("1.2.3", None), ("latest", Some(Digest::of(b"old")))] {
            dead.moving("host/web", tag, from).unwrap();
            dead.settled("host/web", tag).unwrap();
        }
        assert!(!dead.is_half_done());
        assert_eq!(dead.moved()[0], (1, Some(Digest::of(b"old"))));
        dead.end().unwrap();
        assert!(Journals::find(root.path()).unwrap().dead.is_empty());
    }

    #[test]
    fn a_line_that_was_torn_off_was_never_acted_on() {
        let root = tempfile::TempDir::new().unwrap();
        let journal = Journal::begin(root.path(), intent("1")).unwrap();
        journal.moving("host/web", "1.2.3", None).unwrap();
        drop(journal);
        let path = root.path().join(DIRECTORY).join("1.jsonl");
        let whole = fs::read_to_string(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            match dead(root.path()) {
                Ok(found) => {
                    assert_eq!(found[0].moved(), [], "{cut}");
                    found[0].moving("host/web", "latest", None).unwrap();
                    drop(found);
                    assert_eq!(dead(root.path()).unwrap()[0].moved(), [(1, None)]);
                }
                // The first line has its name only when it is whole.
                Err(problem) => {
                    assert_eq!(problem.code, Code::Journal);
                    assert!(!whole[..cut].contains('\n'), "{problem:?}");
                }
            }
        }
    }

    #[test]
    fn what_was_no_journal_yet_when_its_writer_died_goes_with_the_next_one() {
        let root = tempfile::TempDir::new().unwrap();
        let directory = root.path().join(DIRECTORY);
        fs::create_dir_all(&directory).unwrap();
        let make = |name: &str, age: u64| {
            let file = File::create(directory.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            file
        };
        let held = make("held.new", 3600);
        held.try_lock().unwrap();
        drop((make("young.new", 0), make("old.new", 3600), make("other.txt", 3600)));
        let _journal = Journal::begin(root.path(), intent("1")).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["1.jsonl", "held.new", "other.txt", "young.new"]);
    }

    #[test]
    fn a_journal_ages_although_the_clock_was_set_back() {
        let root = tempfile::TempDir::new().unwrap();
        let journal = Journal::begin(root.path(), intent("1")).unwrap();
        let ahead = SystemTime::now() + Duration::from_hours(1000);
        journal.file.lock().unwrap().set_modified(ahead).unwrap();
        assert_eq!(journal.age(), Duration::ZERO);
        let modified = fs::metadata(&journal.path).unwrap().modified().unwrap();
        assert!(modified <= SystemTime::now(), "{modified:?}");
    }

    #[test]
    fn a_journal_of_a_newer_format_is_refused() {
        let newer = "{\"format\":4,\"what\":\"ever\"}\n";
        assert_eq!(read(newer), Err(Unfit::Newer(4)));
        assert!(matches!(read("x\n"), Err(Unfit::Damaged(_))));
    }
}
