//! Records of runs: `.hoist/runs/<id>/events.jsonl`.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::diagnostic::{Class, Code, Problem, Problems, Sources};
use crate::facts::any_number;
use crate::run::event::result_word;
use crate::run::{Event, Fault, Happening};

/// Where hoist keeps what belongs to a project and not into its history.
const DIRECTORY: &str = ".hoist";

/// The events of a run, in its directory.
const EVENTS: &str = "events.jsonl";

/// Most runs that are kept.
const KEPT: usize = 100;

/// Runs that are kept however old they are, the newest ones.
const KEPT_ANYWAY: usize = 10;

/// How long the others are kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Runs of one call of hoist say that they begin within this time.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(1);

/// What tells the ids of two runs apart.
const STEP: SignedDuration = SignedDuration::from_millis(1);

/// Most runs that one run removes: what is left is for the next one.
const REMOVED_AT_ONCE: usize = 100;

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
    /// Begins a record below the project's directory, and removes old ones: those
    /// behind the newest 100, and of those behind the newest 10 what is older than
    /// 30 days.
    ///
    /// # Errors
    /// The project's directory cannot be written.
    pub(super) fn create(root: &Path, now: Timestamp) -> Result<Self, Problem> {
        let ids = recorded(root);
        let begin = || {
            let runs = root.join(DIRECTORY).join("runs");
            fs::create_dir_all(&runs)?;
            keep_out_of_git(root)?;
            let id = new_id(behind(ids.first(), now));
            let dir = runs.join(&id);
            fs::create_dir(&dir)?;
            let events = File::create_new(dir.join(EVENTS))?;
            // Held as long as it is written; where there are no locks, age alone
            // protects it from being removed.
            let _unprotected = events.try_lock();
            let events = BufWriter::new(events);
            Ok(Self { id, dir, events })
        };
        let record = begin().map_err(|error: io::Error| {
            Problem::new(Code::ReadOnly, format!("`{}` cannot be written", root.join(DIRECTORY).display()))
                .note(error.to_string())
                .help("hoist keeps the record of each run there: make the project's directory writable")
        })?;
        remove_old(root, &ids, now);
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

/// When a run is said to begin: now, or just behind the newest run, where that began in the
/// same call of hoist, so that their ids are in order.
fn behind(newest: Option<&String>, now: Timestamp) -> Timestamp {
    let newest = newest.and_then(|id| begun(id)).filter(|newest| newest.duration_since(now) < AT_ONCE);
    newest.and_then(|newest| newest.checked_add(STEP).ok()).filter(|next| *next > now).unwrap_or(now)
}

/// Removes what is neither young enough nor among the newest, and which nobody
/// writes.
fn remove_old(root: &Path, ids: &[String], now: Timestamp) {
    let outlived = |id: &str| begun(id).is_some_and(|begun| now.duration_since(begun) > KEPT_FOR);
    // Behind the one that begins.
    let old = (1..).zip(ids).skip(KEPT_ANYWAY - 1).filter(|(at, id)| *at >= KEPT || outlived(id));
    for (_, id) in old.filter(|(_, id)| !is_written(root, id)).take(REMOVED_AT_ONCE) {
        // Another run may be removing it, too.
        let _gone = fs::remove_dir_all(root.join(DIRECTORY).join("runs").join(id));
    }
}

/// The ids of the runs that are recorded for a project, newest first.
#[must_use]
pub fn recorded(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join(DIRECTORY).join("runs"));
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name().into_string());
    let mut ids: Vec<String> = names.flatten().filter(|name| is_id(name)).collect();
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids
}

/// Whether a hoist writes the record of this run at the moment. Where the file
/// system knows no locks, that is never known.
#[must_use]
pub fn is_written(root: &Path, id: &str) -> bool {
    let file = File::open(root.join(DIRECTORY).join("runs").join(id).join(EVENTS));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// When a run began, by its id.
#[must_use]
pub fn begun(id: &str) -> Option<Timestamp> {
    let (time, _) = id.split_once('-')?;
    let time = DateTime::strptime("%Y%m%dT%H%M%S%.fZ", time).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Whether this can be the id of a run: what else lies there is not hoist's.
fn is_id(name: &str) -> bool {
    let (time, random) = name.split_once('-').unwrap_or_default();
    time.len() == "20261121T123456.789Z".len() && time.ends_with('Z') && !random.is_empty()
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

/// Adds to the record of a run that is over how it ended at last, where it was not left at
/// that: what entered a stage was put back, or stands. Returns the event.
///
/// # Errors
/// There is no such record, or it cannot be written.
pub fn amend(root: &Path, id: &str, problems: &Problems, sources: &Sources) -> io::Result<Event> {
    let ends = outline(root, id)?.filter(|event| matches!(event.what, Happening::RunEnded(_)));
    let Some(Event { time, what: Happening::RunEnded(mut ended) }) = ends.last() else {
        return Err(io::Error::other("the record has no end"));
    };
    let classes: Vec<Class> = problems.as_slice().iter().map(|problem| problem.code.class()).collect();
    let class = classes.iter().find(|class| **class == Class::Stands).or(classes.first()).copied();
    result_word(class).clone_into(&mut ended.result);
    ended.exit = class.map_or(ended.exit, Class::exit_code);
    ended.problems.extend(problems.as_slice().iter().map(|problem| Fault::new(problem, sources)));
    let event = Event { time, what: Happening::RunEnded(ended) };
    let mut file = File::options().append(true).open(directory_of(root, id).join(EVENTS))?;
    file.write_all(format!("{}\n", serde_json::to_string(&event)?).as_bytes())?;
    Ok(event)
}

/// The directory of a run's record.
#[must_use]
pub fn directory_of(root: &Path, id: &str) -> PathBuf {
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
    format!("{}-{:08x}", now.strftime("%Y%m%dT%H%M%S.%3fZ"), any_number() >> 32)
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

    fn create(root: &Path, seconds: i64) -> Record {
        Record::create(root, Timestamp::from_second(seconds).unwrap()).unwrap()
    }

    #[test]
    fn only_the_newest_runs_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let count = i64::try_from(KEPT).unwrap() + 5;
        let ids: Vec<String> = (0..count).map(|second| create(root.path(), second).id).collect();
        assert_eq!(recorded(root.path()), ids.into_iter().rev().take(KEPT).collect::<Vec<_>>());
    }

    #[test]
    fn of_old_runs_the_newest_few_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let ids: Vec<String> = (0..15).map(|second| create(root.path(), second).id).collect();
        let now = create(root.path(), KEPT_FOR.as_secs() + 100).id;
        let kept = ids.into_iter().rev().take(KEPT_ANYWAY - 1);
        assert_eq!(recorded(root.path()), [now].into_iter().chain(kept).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_that_is_written_is_never_removed() {
        let root = tempfile::tempdir().unwrap();
        let held = create(root.path(), 0);
        assert!(is_written(root.path(), &held.id));
        for second in 1..=i64::try_from(KEPT).unwrap() {
            create(root.path(), second);
        }
        assert_eq!(recorded(root.path()).len(), KEPT + 1);
        let id = held.id.clone();
        drop(held);
        assert!(!is_written(root.path(), &id));
        create(root.path(), 1000);
        assert!(!recorded(root.path()).contains(&id));
    }

    #[test]
    fn what_is_no_record_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let id = create(root.path(), 0).id;
        fs::create_dir(root.path().join(".hoist/runs/notes")).unwrap();
        assert_eq!(recorded(root.path()), [id]);
    }

    #[test]
    fn runs_that_begin_at_one_time_are_in_the_order_in_which_they_began() {
        let root = tempfile::tempdir().unwrap();
        let ids: Vec<String> = (0..20).map(|_| create(root.path(), 7).id).collect();
        assert_eq!(recorded(root.path()), ids.into_iter().rev().collect::<Vec<_>>());
        // A clock that was set back is believed.
        assert_eq!(begun(&create(root.path(), 1).id), Some(Timestamp::from_second(1).unwrap()));
    }

    #[test]
    fn an_id_begins_with_the_time() {
        let id = new_id("2026-11-21T12:34:56.789Z".parse().unwrap());
        assert_eq!(id.split_once('-').unwrap().0, "20261121T123456.789Z");
        assert_eq!(begun(&id), Some("2026-11-21T12:34:56.789Z".parse().unwrap()));
    }
}
