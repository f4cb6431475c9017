//! A run on a terminal: what ended scrolls up, what runs stands below.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::report::ending::{aside, closing, ending, tag_lines, unpublished};
use crate::report::found::finding_lines;
use crate::report::frame::{Progress, frame};
use crate::report::learned::learned_text;
use crate::report::measured::figure_lines;
use crate::report::plain::{is_news, writers};
use crate::report::screen::Screen;
use crate::report::{Look, Paint};
use crate::run::{Event, Found, Happening, Outcome, Output, RunStarted, StepEnded, Stream};

/// How often what runs is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// Tells a run as it goes: lines of output as they come, each with its step's
/// name; below them the steps that run, and how far the run is.
///
/// What happens between two drawings is written at once with the next one, so
/// that a step that writes much is not held up by the drawing.
#[derive(Debug)]
pub struct Live {
    shared: Arc<Shared>,
    painter: Option<JoinHandle<()>>,
    look: Look,
    verbose: bool,
    /// Steps that own the terminal while they run: nothing is drawn then.
    owners: Vec<String>,
    /// Width of the names before lines of output; 0 for none.
    names: usize,
    /// The line that sums the run up.
    closing: String,
}

/// What the run and the thread that draws share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stop: Condvar,
}

#[derive(Debug)]
struct State {
    progress: Progress,
    screen: Screen,
    stopped: bool,
    /// Why standard output could not be written, the first time.
    lost: Option<io::Error>,
}

impl Live {
    /// A view on standard error. `verbose` shows each cached step and its
    /// recorded output, too; `owners` are the steps that own the terminal while
    /// they run.
    #[must_use]
    pub fn new(look: Look, verbose: bool, owners: Vec<String>) -> Self {
        let state = State {
            progress: Progress::new(Instant::now()),
            screen: Screen::default(),
            stopped: false,
            lost: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), stop: Condvar::new() });
        let drawn = Arc::clone(&shared);
        // Without a thread, lines are written with the events that bring them.
        let painter = std::thread::Builder::new().name("terminal".to_owned());
        let painter = painter.spawn(move || drawn.paint_until_stopped(look)).ok();
        Self { shared, painter, look, verbose, owners, names: 0, closing: String::new() }
    }

    /// Takes what stands on the terminal away. The line that sums the run up, and
    /// why some of the output of steps could not be written, if so.
    #[must_use]
    pub fn close(mut self) -> (String, Option<io::Error>) {
        (std::mem::take(&mut self.closing), self.shared.lock().lost.take())
    }

    /// Whether the recorded output of cached steps is shown.
    #[must_use]
    pub const fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Tells what happened.
    pub fn see(&mut self, event: &Event) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        match &event.what {
            Happening::RunStarted(run) => self.run_started(&mut state, run),
            Happening::StepReady { .. } | Happening::Written(_) => {}
            Happening::Learned(learned) => {
                state.screen.push(Stream::Stdout, &learned_text(learned, self.look));
            }
            Happening::StepStarted { step, reasons } => {
                let owner = self.owners.contains(step);
                state.progress.started(step, reasons, owner, Instant::now());
                if owner {
                    state.paint(self.look);
                }
            }
            Happening::Output(line) => self.line(&mut state, line),
            what @ (Happening::StepRetried { .. } | Happening::Notice { .. }) => state.say(&aside(what)),
            what @ Happening::Interrupted { .. } => {
                state.say(&self.look.paint(Paint::Warn, &aside(what)));
            }
            Happening::StepEnded(ended) => self.step_ended(&mut state, ended),
            Happening::RunEnded(ended) => {
                state.progress.over();
                state.paint(self.look);
                self.closing = closing(ended, self.look);
            }
        }
        if state.screen.is_full() || self.painter.is_none() {
            state.paint(self.look);
        }
    }

    fn run_started(&mut self, state: &mut State, run: &RunStarted) {
        state.progress.plan(&run.steps);
        // With one writer there is nothing to tell apart.
        if writers(run) > 1 {
            let writing = run.steps.iter().filter(|step| step.kind == "command" || step.kind == "test");
            let longest = writing.map(|step| console::measure_text_width(&step.name)).max().unwrap_or(0);
            self.names = longest.min(24).min(self.look.width / 3);
        }
        if let Some(reason) = &run.unpublished {
            state.say(&unpublished(reason, self.look));
        }
    }

    fn step_ended(&self, state: &mut State, ended: &StepEnded) {
        let reasons = state.progress.ended(&ended.step, &ended.outcome);
        let restored = matches!(ended.outcome, Outcome::Cached { found: Found::Restored });
        if self.verbose || is_news(&ended.outcome) && !restored {
            state.say(&format!("{}\n", ending(ended, &reasons, self.look)));
            state.say(&figure_lines(ended, self.look));
            state.say(&finding_lines(ended, self.look));
        }
        let moved = ended.tags.iter().any(|tag| tag.from.as_ref() != Some(&tag.to));
        if moved || self.verbose {
            state.say(&tag_lines(&ended.tags, self.look));
        }
        // What comes next may be a question, which must not stand amid this.
        if state.progress.is_idle() {
            state.paint(self.look);
        }
    }

    fn line(&self, state: &mut State, line: &Output) {
        if line.replayed && !self.verbose {
            return;
        }
        let said = self.look.tame(&line.text);
        let text = if self.names == 0 {
            format!("{said}\n")
        } else {
            let name = self.look.pad(&self.look.cut_amid(&line.step, self.names), self.names);
            let bar = if self.look.unicode { "│" } else { "|" };
            format!("{} {said}\n", self.look.paint(Paint::Faint, &format!("{name} {bar}")))
        };
        state.screen.push(line.stream, &text);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.stop.notify_all();
        if let Some(painter) = self.painter.take() {
            // It has nothing to tell that could be told here.
            let _ended = painter.join();
        }
        let mut state = self.shared.lock();
        state.progress.over();
        state.paint(self.look);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is half changed is drawn half changed, once.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paint_until_stopped(&self, look: Look) {
        let mut state = self.lock();
        while !state.stopped {
            state.paint(look);
            let waited = self.stop.wait_timeout(state, TICK);
            state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

impl State {
    fn say(&mut self, text: &str) {
        self.screen.push(Stream::Stderr, text);
    }

    fn paint(&mut self, look: Look) {
        let (rows, columns) = Screen::size().unwrap_or((24, look.width));
        let look = Look { width: look.width.min(columns), ..look };
        let lines = frame(&self.progress, look, rows, Instant::now());
        let written = self.screen.paint(lines, columns);
        self.lost = self.lost.take().or(written.err());
    }
}
