//! Text to both streams, in order, many lines at once.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::report::screen::Screen;
use crate::run::Stream;

/// How long a line waits for others at most.
const PATIENCE: Duration = Duration::from_millis(50);

/// Writes what comes within a short time at once: a step that writes a million
/// lines is not held up by as many writes.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Writes what waits too long; not there until something waits.
    patient: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    stop: Condvar,
}

#[derive(Debug, Default)]
struct State {
    screen: Screen,
    stopped: bool,
    lost: Option<io::Error>,
}

impl Writer {
    /// Nothing written yet.
    pub(super) fn new() -> Self {
        Self { shared: Arc::default(), patient: None }
    }

    /// Writes a text now, behind all that waits.
    pub(super) fn write(&mut self, stream: Stream, text: &str) {
        let mut state = self.shared.lock();
        state.screen.push(stream, text);
        state.flush();
    }

    /// Writes a text soon.
    pub(super) fn write_soon(&mut self, stream: Stream, text: &str) {
        if self.patient.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("output".to_owned());
            self.patient = thread.spawn(move || shared.flush_until_stopped()).ok();
        }
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
            state.flush();
            let waited = self.stop.wait_timeout(state, PATIENCE);
            state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

impl State {
    fn flush(&mut self) {
        let written = self.screen.paint(Vec::new(), 80);
        self.lost = self.lost.take().or(written.err());
    }
}
