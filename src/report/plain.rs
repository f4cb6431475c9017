//! A run as a log: for CI, for files, for pipes.

use std::io;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::report::ending::{aside, closing, ending, tag_lines, unpublished};
use crate::report::{Look, output_log, status};
use crate::run::{Event, Happening, Outcome, Reason, StepEnded};

/// Tells a run step by step: what a step wrote is held back until it ends, so
/// that the outputs of steps beside each other are not mixed.
#[derive(Debug)]
pub struct Plain {
    look: Look,
    verbose: bool,
    quiet: bool,
    waiting: IndexMap<String, Waiting>,
    /// Why standard output could not be written, the first time.
    lost: Option<io::Error>,
}

#[derive(Debug, Default)]
struct Waiting {
    reasons: Vec<Reason>,
    /// The log of what it wrote, and how much of that was told.
    log: Option<(Arc<Path>, u64)>,
}

impl Plain {
    /// A log with this look. `verbose` shows the recorded output of cached
    /// steps, too; `quiet` shows only the output of steps.
    #[must_use]
    pub fn new(look: Look, verbose: bool, quiet: bool) -> Self {
        Self { look, verbose, quiet, waiting: IndexMap::new(), lost: None }
    }

    /// Why some of the output of steps could not be written, if so.
    #[must_use]
    pub const fn lost(&self) -> Option<&io::Error> {
        self.lost.as_ref()
    }

    /// Tells what happened.
    pub fn see(&mut self, event: &Event) {
        match &event.what {
            Happening::StepStarted { step, reasons } => {
                self.waiting.entry(step.clone()).or_default().reasons.clone_from(reasons);
            }
            // What it wrote stays in the log until the step ends, of any size.
            Happening::Written(written) if self.verbose || !written.replayed => {
                let log = Some((Arc::clone(&written.log), written.size));
                self.waiting.entry(written.step.clone()).or_default().log = log;
            }
            what @ (Happening::StepRetried { .. }
            | Happening::Notice { .. }
            | Happening::Interrupted { .. }) => {
                self.say(&aside(what));
            }
            Happening::StepEnded(ended) => self.step_ended(ended),
            Happening::RunEnded(ended) => self.say(&closing(ended, self.look)),
            Happening::RunStarted(run) => {
                if let Some(reason) = &run.unpublished {
                    self.say(&unpublished(reason, self.look));
                }
            }
            Happening::StepReady { .. } | Happening::Written(_) | Happening::Output(_) => {}
        }
    }

    fn step_ended(&mut self, ended: &StepEnded) {
        let waiting = self.waiting.shift_remove(&ended.step).unwrap_or_default();
        let quietly = matches!(ended.outcome, Outcome::NotRun { .. }) && !self.verbose;
        if !quietly {
            self.say(&format!("{}\n", ending(ended, &waiting.reasons, self.look)));
            self.say(&tag_lines(&ended.tags, self.look));
        }
        if let Some((log, size)) = waiting.log {
            self.lost = self.lost.take().or(output_log(&log, size).err());
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            status(text);
        }
    }
}
