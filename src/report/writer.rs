//! Text to both streams, in order, many lines at once.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use crate::report::screen::Screen;
use crate::report::seconds;
use crate::run::Stream;

/// How long a line waits for others at most.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long nothing is written before it is said what still runs: some systems take
/// who is silent for dead.
const SILENCE: Duration = Duration::from_mins(1);

/// Most steps that are named then; the others are counted.
const NAMED: usize = 5;

/// Writes what comes within a short time at once: a step that writes a million
/// lines is not held up by as many writes.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Writes what waits too long; not there until something can.
    patient: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stop: Condvar,
    /// Where it is said what still runs, if it is.
    says: Option<Stream>,
}

#[derive(Debug)]
struct State {
    screen: Screen,
    running: IndexMap<String, Instant>,
    written: Instant,
    stopped: bool,
    lost: Option<io::Error>,
}

impl Writer {
    /// Nothing written yet. Where nothing is written for a minute, it is said on
    /// `says` what still runs.
    pub(super) fn new(says: Option<Stream>) -> Self {
        let state = State {
            screen: Screen::default(),
            running: IndexMap::new(),
            written: Instant::now(),
            stopped: false,
            lost: None,
        };
        Self {
            shared: Arc::new(Shared { state: Mutex::new(state), stop: Condvar::new(), says }),
            patient: None,
        }
    }

    /// A step starts.
    pub(super) fn started(&mut self, step: &str) {
        self.be_patient();
        self.shared.lock().running.insert(step.to_owned(), Instant::now());
    }

    /// A step ended.
    pub(super) fn ended(&mut self, step: &str) {
        self.shared.lock().running.swap_remove(step);
    }

    fn be_patient(&mut self) {
        if self.patient.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("output".to_owned());
            self.patient = thread.spawn(move || shared.flush_until_stopped()).ok();
        }
    }

    /// Writes a text now, behind all that waits.
    pub(super) fn write(&mut self, stream: Stream, text: &str) {
        let mut state = self.shared.lock();
        state.screen.push(stream, text);
        state.flush();
    }

    /// Writes a text soon.
    pub(super) fn write_soon(&mut self, stream: Stream, text: &str) {
        self.be_patient();
        let mut state = self.shared.lock();
        state.screen.push(stream, text);
        if state.screen.is_full() || self.patient.is_none() {
            state.flush();
        }
    }

    /// Writes what waits, and why standard output could not be written, if so.
    pub(super) fn close(self) -> Option<io::Error> {
        let mut state = self.shared.lock();
        state.flush();
        state.lost.take()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.stop.notify_all();
        if let Some(patient) = self.patient.take() {
            // It has nothing to tell that could be told here.
            let _ended = patient.join();
        }
        self.shared.lock().flush();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What waits is text, whoever was interrupted while adding to it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush_until_stopped(&self) {
        let mut state = self.lock();
        while !state.stopped {
            let silent = state.written.elapsed() > SILENCE && !state.running.is_empty();
            if let Some(stream) = self.says.filter(|_| silent) {
                let text = still(&state.running, Instant::now());
                state.screen.push(stream, &text);
            }
            state.flush();
            let waited = self.stop.wait_timeout(state, PATIENCE);
            state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

impl State {
    fn flush(&mut self) {
        if !self.screen.is_empty() {
            self.written = Instant::now();
        }
        let written = self.screen.paint(Vec::new(), 80);
        self.lost = self.lost.take().or(written.err());
    }
}

/// `still running: build 3m05s, test 1m00s, and 4 more`.
fn still(running: &IndexMap<String, Instant>, now: Instant) -> String {
    let named = running.iter().take(NAMED);
    let named = named.map(|(step, since)| format!("{step} {}", seconds(now.duration_since(*since))));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = running.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("still running: {named}{more}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_still_runs_is_named_as_far_as_it_can_be_read() {
        let now = Instant::now();
        let begun = |name: &str| (name.to_owned(), now);
        let running: IndexMap<String, Instant> = ["a", "b"].map(begun).into();
        let later = now + Duration::from_secs(65);
        assert_eq!(still(&running, later), "still running: a 1m05s, b 1m05s\n");
        let many: IndexMap<String, Instant> = ["a", "b", "c", "d", "e", "f", "g"].map(begun).into();
        assert!(still(&many, later).ends_with(", e 1m05s, and 2 more\n"));
    }
}
