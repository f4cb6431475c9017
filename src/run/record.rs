//! Records of runs: `.hoist/runs/<id>/events.jsonl`.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::diagnostic::{Code, Problem};
use crate::run::Event;

/// Where hoist keeps what belongs to a project and not into its history.
const DIRECTORY: &str = ".hoist";

/// The events of a run, in its directory.
const EVENTS: &str = "events.jsonl";

/// How many runs are kept.
const KEPT: usize = 20;

/// The record of a run that goes on.
#[derive(Debug)]
pub(super) struct Record {
    /// The run's id: sorts by time.
    pub(super) id: String,
    /// The run's directory.
    pub(super) dir: PathBuf,
    events: BufWriter<File>,
}

impl Record {
    /// Begins a record below the project's directory, and removes the oldest
    /// ones.
    ///
    /// # Errors
    /// The project's directory cannot be written.
    pub(super) fn create(root: &Path, now: Timestamp) -> Result<Self, Problem> {
        let begin = || {
            let runs = root.join(DIRECTORY).join("runs");
            fs::create_dir_all(&runs)?;
            keep_out_of_git(root)?;
            let id = new_id(now);
            let dir = runs.join(&id);
            fs::create_dir(&dir)?;
            let events = BufWriter::new(File::create_new(dir.join(EVENTS))?);
            Ok(Self { id, dir, events })
        };
        let record = begin().map_err(|error: io::Error| {
            Problem::new(Code::ReadOnly, format!("`{}` cannot be written", root.join(DIRECTORY).display()))
                .note(error.to_string())
                .help("hoist keeps the record of each run there: make the project's directory writable")
        })?;
        for old in recorded(root).into_iter().skip(KEPT) {
            // Another run may be removing it, too.
            let _gone = fs::remove_dir_all(root.join(DIRECTORY).join("runs").join(old));
        }
        Ok(record)
    }

    /// Adds an event.
    pub(super) fn write(&mut self, event: &Event) -> io::Result<()> {
        serde_json::to_writer(&mut self.events, event)?;
        self.events.write_all(b"\n")
    }

    /// Hands all events to the system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.events.flush()
    }
}

/// The ids of the runs that are recorded for a project, newest first.
#[must_use]
pub fn recorded(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join(DIRECTORY).join("runs"));
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name().into_string());
    let mut ids: Vec<String> = names.flatten().collect();
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids
}

/// The events of a recorded run but for what its steps wrote. A line that is
/// none, such as the last one of a run that was killed, is left out.
///
/// # Errors
/// There is no such record, or it cannot be read.
pub fn outline(root: &Path, id: &str) -> io::Result<impl Iterator<Item = Event> + use<>> {
    let file = File::open(directory_of(root, id).join(EVENTS))?;
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    Ok(lines.filter_map(|line| serde_json::from_str(&line).ok()))
}

/// The directory of a run's record.
pub(super) fn directory_of(root: &Path, id: &str) -> PathBuf {
    root.join(DIRECTORY).join("runs").join(id)
}

/// The log of a step, by the step's index in the plan, in the directory of a
/// run's record.
pub(super) fn log_of(directory: &Path, index: usize) -> PathBuf {
    directory.join("logs").join(format!("{index}.log"))
}

/// What hoist keeps beside the project is never committed, whatever the
/// project's own `.gitignore` says.
fn keep_out_of_git(root: &Path) -> io::Result<()> {
    match File::create_new(root.join(DIRECTORY).join(".gitignore")) {
        Ok(mut file) => file.write_all(b"*\n"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// `20261121T123456.789Z-1f2e3d4c`.
fn new_id(now: Timestamp) -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("{}-{:08x}", now.strftime("%Y%m%dT%H%M%S.%3fZ"), random >> 32)
}

#[cfg(test)]
mod tests {
    use crate::run::Happening;

    use super::*;

    fn notice(text: &str) -> Event {
        Event {
            time: "2026-11-21T12:34:56.789Z".parse().unwrap(),
            what: Happening::Notice { step: None, text: text.into() },
        }
    }

    #[test]
    fn events_are_read_as_they_were_written() {
        let root = tempfile::tempdir().unwrap();
        let mut record = Record::create(root.path(), Timestamp::UNIX_EPOCH).unwrap();
        let written = vec![notice("one"), notice("two\nlines")];
        for event in &written {
            record.write(event).unwrap();
        }
        record.events.write_all(b"{\"time\":\"2026").unwrap();
        record.flush().unwrap();
        assert_eq!(outline(root.path(), &record.id).unwrap().collect::<Vec<_>>(), written);
    }

    #[test]
    fn only_the_newest_runs_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let ids: Vec<String> = (0..25)
            .map(|second| Record::create(root.path(), Timestamp::from_second(second).unwrap()).unwrap().id)
            .collect();
        assert_eq!(recorded(root.path()), ids.into_iter().rev().take(KEPT).collect::<Vec<_>>());
    }

    #[test]
    fn an_id_begins_with_the_time() {
        let id = new_id("2026-11-21T12:34:56.789Z".parse().unwrap());
        assert_eq!(id.split_once('-').unwrap().0, "20261121T123456.789Z");
    }
}
