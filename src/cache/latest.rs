//! The last run of each step of a project, to compare the next one with.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::journal::{Header, Journal};
use crate::cache::part::{path_text, text_path};
use crate::cache::record::StoredRecord;
use crate::cache::{Blake3, Key, Outputs, Part, Record, Trace, Value};
use crate::diagnostic::Problem;

/// The directory of a project's last runs, in its directory in the cache.
pub(super) const RUNS: &str = "runs";

/// How many files the last runs lie in: to know those of a few steps, little is read.
const SHARDS: u8 = 32;

/// The last run of a step in a project.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRun {
    /// What it left behind; of a run that did not come to its end, the outputs are
    /// what it made until then.
    pub record: Record,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a run of a step ended. Part of the format on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did its work.
    Done,
    /// It failed.
    Failed,
    /// It did its work while its inputs changed.
    Unsteady,
    /// It did its work without the cache.
    Unkept,
    /// It was stopped.
    Stopped,
}

/// The last runs of the steps of one project, read when they are asked for.
#[derive(Clone, Debug)]
pub(super) struct Latest {
    dir: PathBuf,
    root: PathBuf,
    staging: PathBuf,
    /// By the numbers of their files.
    shards: Arc<Vec<Mutex<Option<Journal>>>>,
    /// What last runs made that was asked for.
    made: Arc<Mutex<HashMap<String, Arc<MadeLast>>>>,
}

/// What the last run of a step made.
#[derive(Debug)]
pub(super) struct MadeLast {
    pub(super) outputs: Outputs,
    /// The digest of it.
    pub(super) digest: Blake3,
}

/// A run as it lies on disk. Behind it are the parts that its key was made of: of a step
/// that reads many files they are most of it, and are kept as bytes.
#[derive(Serialize, Deserialize)]
struct StoredLatest {
    /// Where the project lies, for a reader; the directory's name is its digest.
    root: String,
    record: StoredRecord,
}

impl StoredLatest {
    fn to_bytes(&self, parts: &[(Part, Value)]) -> Vec<u8> {
        let stored = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = u32::try_from(stored.len()).unwrap_or_default().to_le_bytes().to_vec();
        bytes.extend(stored);
        postcard::to_extend(parts, bytes).unwrap_or_default()
    }

    /// What was stored, and the parts as they lie behind it.
    fn from_bytes(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (stored, parts) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some((serde_json::from_slice(stored).ok()?, parts))
    }
}

impl Latest {
    /// Those of the project in `root`, kept below the cache's directory.
    pub(super) fn new(dir: &Path, root: &Path, staging: &Path) -> Self {
        Self {
            dir: dir.join("projects").join(name_of(root)).join(RUNS),
            root: root.to_owned(),
            staging: staging.to_owned(),
            shards: Arc::new((0..SHARDS).map(|_| Mutex::default()).collect()),
            made: Arc::default(),
        }
    }

    /// Begins with the last runs that others tell of, as far as they can be read.
    pub(super) fn take_over(&self, other: &Self) {
        // Whatever cannot be taken over is not known.
        let _made = fs::create_dir_all(&self.dir);
        for shard in 0..SHARDS {
            let copy = |bytes| fs::write(shard_path(&self.dir, shard), bytes);
            let _copied = fs::read(shard_path(&other.dir, shard)).and_then(copy);
        }
    }

    /// The last run of a step.
    pub(super) fn get(&self, step: &str) -> Option<LastRun> {
        self.with(step, |_, journal| journal.get(step).and_then(run).map(|(last, _)| last))
    }

    /// What the last run of a step made; many may ask for it, and it is read once.
    pub(super) fn made(&self, step: &str) -> Option<Arc<MadeLast>> {
        if let Some(made) = self.known().get(step) {
            return Some(Arc::clone(made));
        }
        let outputs = self.get(step)?.record.outputs;
        let made = Arc::new(MadeLast { digest: outputs.digest(), outputs });
        self.known().insert(step.to_owned(), Arc::clone(&made));
        Some(made)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<MadeLast>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last run of a step, and what its key was made of.
    pub(super) fn explained(&self, step: &str) -> Option<(LastRun, Option<Trace>)> {
        self.with(step, |_, journal| journal.get(step).and_then(explained))
    }

    /// Whether the last run of a step did its work, and had this key.
    pub(super) fn is_done(&self, step: &str, key: Key) -> bool {
        let done = |header: &Header| header.outcome == Outcome::Done && header.key == key;
        self.with(step, |_, journal| journal.header(step).is_some_and(done))
    }

    /// The key of the last run of a step.
    pub(super) fn key(&self, step: &str) -> Option<Key> {
        self.with(step, |_, journal| Some(journal.header(step)?.key))
    }

    /// How long the last run of a step took.
    pub(super) fn duration(&self, step: &str) -> Option<Duration> {
        self.with(step, |_, journal| Some(journal.header(step)?.duration))
    }

    /// The last runs of all steps, by their names.
    pub(super) fn all(&self) -> Vec<LastRun> {
        let mut all: Vec<LastRun> = (0..SHARDS).flat_map(|shard| self.with_shard(shard, runs)).collect();
        all.sort_unstable_by(|one, other| one.record.step.cmp(&other.record.step));
        all
    }

    /// Makes a run the last one of its step.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub(super) fn put(&self, trace: &Trace, last: &LastRun) -> Result<(), Problem> {
        let stored =
            StoredLatest { root: path_text(self.root.as_os_str()), record: StoredRecord::from(&last.record) };
        let body = stored.to_bytes(trace.parts());
        let header = Header {
            step: trace.step().to_owned(),
            key: last.record.key,
            outcome: last.outcome,
            duration: last.record.duration,
        };
        let put = self.with(trace.step(), |file, journal| journal.put(file, &self.staging, header, &body));
        self.known().remove(trace.step());
        put
    }

    /// Uses the journal that a step has its place in, which lies in this file.
    fn with<T>(&self, step: &str, use_it: impl FnOnce(&Path, &mut Journal) -> T) -> T {
        let [first, ..] = Blake3::of(step.as_bytes()).0;
        let shard = first % SHARDS;
        self.with_shard(shard, |journal| use_it(&shard_path(&self.dir, shard), journal))
    }

    fn with_shard<T>(&self, shard: u8, use_it: impl FnOnce(&mut Journal) -> T) -> T {
        let read = || Journal::read(&shard_path(&self.dir, shard));
        match self.shards.get(usize::from(shard)) {
            Some(place) => {
                let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
                use_it(place.get_or_insert_with(read))
            }
            None => use_it(&mut read()),
        }
    }
}

fn shard_path(dir: &Path, shard: u8) -> PathBuf {
    dir.join(format!("{shard:02x}"))
}

/// Whether a file holds last runs.
pub(super) fn holds_runs(file: &Path) -> bool {
    file.parent().is_some_and(|above| above.ends_with(RUNS))
}

/// Whether the project is still there to which a directory of last runs belongs.
pub(super) fn has_project(dir: &Path) -> bool {
    let root = (0..SHARDS).find_map(|shard| {
        let journal = Journal::read(&shard_path(dir, shard));
        let (stored, _) = journal.all().first().and_then(|(_, body)| StoredLatest::from_bytes(body))?;
        text_path(&stored.root)
    });
    root.is_some_and(|root| Path::new(&root).is_dir())
}

/// All last runs of a journal.
pub(super) fn runs(journal: &mut Journal) -> Vec<LastRun> {
    journal.all().into_iter().filter_map(run).map(|(last, _)| last).collect()
}

fn run<'b>((header, body): (&Header, &'b [u8])) -> Option<(LastRun, &'b [u8])> {
    let (stored, parts) = StoredLatest::from_bytes(body)?;
    Some((LastRun { record: stored.record.into_record()?, outcome: header.outcome }, parts))
}

/// A run, and what its key was made of; that is asked for one step at a time.
fn explained((header, body): (&Header, &[u8])) -> Option<(LastRun, Option<Trace>)> {
    let (last, parts) = run((header, body))?;
    let parts = postcard::from_bytes(parts).ok()?;
    let trace = Trace::stored(last.record.key, header.step.clone(), parts);
    Some((last, trace))
}

/// The name of what belongs to a project, by where the project lies.
pub(super) fn name_of(root: &Path) -> String {
    let mut name = Blake3::of(root.as_os_str().as_encoded_bytes()).to_string();
    name.truncate(32);
    name
}
