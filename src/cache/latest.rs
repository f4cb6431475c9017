//! The last run of each step of a project, to compare the next one with.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::content::write_whole;
use crate::cache::part::path_text;
use crate::cache::record::StoredRecord;
use crate::cache::stamps::Stamps;
use crate::cache::{Blake3, Key, Record, Trace};
use crate::diagnostic::Problem;

/// The last run of a step in a project.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRun {
    /// What it left behind; of a run that failed, the outputs are those of the
    /// run before it.
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
}

/// The last runs of the steps of one project, and the traces of all.
#[derive(Clone, Debug)]
pub(super) struct Latest {
    project: PathBuf,
    root: PathBuf,
    traces: PathBuf,
    stamps: PathBuf,
    staging: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct StoredLatest {
    /// Where the project lies, for a reader; the directory's name is its digest.
    root: String,
    outcome: Outcome,
    record: StoredRecord,
}

impl Latest {
    /// Those of the project in `root`, kept below the cache's directory.
    pub(super) fn new(dir: &Path, root: &Path, staging: &Path) -> Self {
        Self {
            project: dir.join("latest").join(name_of(root.as_os_str().as_encoded_bytes())),
            root: root.to_owned(),
            traces: dir.join("traces"),
            stamps: dir.join("stamps"),
            staging: staging.to_owned(),
        }
    }

    /// The last run of a step.
    pub(super) fn get(&self, step: &str) -> Option<LastRun> {
        read(&self.path(step)).filter(|last| last.record.step == step)
    }

    /// The last runs of all steps, by their names.
    pub(super) fn all(&self) -> Vec<LastRun> {
        let files = fs::read_dir(&self.project).into_iter().flatten().flatten();
        let mut all: Vec<LastRun> = files.filter_map(|file| read(&file.path())).collect();
        all.sort_by(|one, other| one.record.step.cmp(&other.record.step));
        all
    }

    /// Makes a run the last one of its step.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub(super) fn put(&self, trace: &Trace, last: &LastRun) -> Result<(), Problem> {
        let parts = self.trace_path(trace.key());
        if !parts.exists() {
            write_whole(&self.staging, &parts, &trace.to_json())?;
        }
        let stored = StoredLatest {
            root: path_text(self.root.as_os_str()),
            outcome: last.outcome,
            record: StoredRecord::from(&last.record),
        };
        let bytes = serde_json::to_vec(&stored).unwrap_or_default();
        write_whole(&self.staging, &self.path(trace.step()), &bytes)
    }

    /// The parts that a key was made of.
    pub(super) fn trace(&self, key: Key) -> Option<Trace> {
        Trace::from_json(key, &fs::read(self.trace_path(key)).ok()?)
    }

    /// What is known of the files that a step made.
    pub(super) fn stamps(&self, step: &str) -> Stamps {
        let project = self.project.file_name().unwrap_or_default();
        Stamps::read(self.stamps.join(project).join(file_name(step)))
    }

    fn path(&self, step: &str) -> PathBuf {
        self.project.join(file_name(step))
    }

    fn trace_path(&self, key: Key) -> PathBuf {
        self.traces.join(format!("{key}.json"))
    }
}

/// The last run that a file holds.
pub(super) fn read(path: &Path) -> Option<LastRun> {
    let stored: StoredLatest = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(LastRun { record: stored.record.into_record()?, outcome: stored.outcome })
}

/// A step's name can hold a `/` and be longer than a file's name.
fn file_name(step: &str) -> String {
    format!("{}.json", name_of(step.as_bytes()))
}

fn name_of(bytes: &[u8]) -> String {
    let mut name = Blake3::of(bytes).to_string();
    name.truncate(32);
    name
}
