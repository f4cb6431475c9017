//! The events of a recorded run, with what its steps wrote.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::run::record::{directory_of, log_of, outline};
use crate::run::{Event, Happening, LogLines, LogReader};

/// The events of a recorded run, complete: what a step wrote comes before its
/// end, or, where the run was killed before that, last. Nothing is held in memory
/// but a line. A log that is no longer there is left out.
///
/// # Errors
/// There is no such record, or it cannot be read.
pub fn events(root: &Path, id: &str) -> io::Result<impl Iterator<Item = Event> + use<>> {
    Ok(Events {
        directory: directory_of(root, id),
        outline: outline(root, id)?,
        steps: HashMap::new(),
        unended: BTreeMap::new(),
        lines: None,
        then: None,
        last: Timestamp::UNIX_EPOCH,
    })
}

/// The log of what a step wrote in a recorded run; `None` if it wrote nothing or
/// did not start.
///
/// # Errors
/// There is no such record, or it cannot be read.
pub fn log(root: &Path, id: &str, step: &str) -> io::Result<Option<PathBuf>> {
    let (directory, mut found) = (directory_of(root, id), None);
    for event in outline(root, id)? {
        match event.what {
            Happening::RunStarted(run) => {
                // Where a run was killed, nothing tells of a step's end.
                let index = run.steps.iter().position(|known| known.name == step);
                found = index.map(|index| log_of(&directory, index)).filter(|log| log.exists());
            }
            Happening::StepEnded(ended) if ended.step == step => {
                return Ok(ended.log.map(|log| directory.join(log.file)));
            }
            _ => {}
        }
    }
    Ok(found)
}

struct Events<I> {
    directory: PathBuf,
    outline: I,
    /// The steps of the run, with their places in its plan.
    steps: HashMap<String, usize>,
    /// Those that started and have not ended, by their index.
    unended: BTreeMap<usize, String>,
    /// The log that is read.
    lines: Option<LogLines>,
    /// What comes behind it.
    then: Option<Event>,
    /// When the last event happened.
    last: Timestamp,
}

impl<I: Iterator<Item = Event>> Iterator for Events<I> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.lines.as_mut().and_then(Iterator::next) {
                return Some(event);
            }
            self.lines = None;
            if let Some(event) = self.then.take() {
                return Some(event);
            }
            let Some(event) = self.outline.next() else {
                let (index, step) = self.unended.pop_first()?;
                self.lines = self.open(&log_of(&self.directory, index), step, false);
                continue;
            };
            self.last = event.time;
            match &event.what {
                Happening::RunStarted(run) => {
                    let places = run.steps.iter().enumerate();
                    self.steps = places.map(|(at, step)| (step.name.clone(), at)).collect();
                }
                Happening::StepStarted { step, .. } => {
                    if let Some(index) = self.index(step) {
                        self.unended.insert(index, step.clone());
                    }
                }
                Happening::StepEnded(ended) => {
                    if let Some(index) = self.index(&ended.step) {
                        self.unended.remove(&index);
                    }
                    if let Some(log) = &ended.log {
                        // A path in the cache is absolute.
                        let path = self.directory.join(&log.file);
                        self.lines = self.open(&path, ended.step.clone(), log.replayed);
                        self.then = Some(event);
                        continue;
                    }
                }
                _ => {}
            }
            return Some(event);
        }
    }
}

impl<I> Events<I> {
    fn index(&self, step: &str) -> Option<usize> {
        self.steps.get(step).copied()
    }

    fn open(&self, log: &Path, step: String, replayed: bool) -> Option<LogLines> {
        LogReader::open(log).ok().map(|log| log.lines(step, replayed, self.last))
    }
}
