//! A run as a log: for CI, for files, for pipes.

use std::io;

use indexmap::IndexMap;

use crate::report::ending::{aside, closing, ending, tag_lines, unpublished};
use crate::report::learned::learned_text;
use crate::report::{Look, output, status};
use crate::run::{Event, Happening, Outcome, Output, Reason, StepEnded, Stream};

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
    lines: Vec<Output>,
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
            Happening::Output(line) => {
                self.waiting.entry(line.step.clone()).or_default().lines.push(line.clone());
            }
            what @ (Happening::StepRetried { .. }
            | Happening::Notice { .. }
            | Happening::Interrupted { .. }) => {
                self.say(&aside(what));
            }
            Happening::Learned(learned) => {
                self.lost = self.lost.take().or(output(&learned_text(learned, self.look)).err());
            }
            Happening::StepEnded(ended) => self.step_ended(ended),
            Happening::RunEnded(ended) => self.say(&closing(ended, self.look)),
            Happening::RunStarted(run) => {
                if let Some(reason) = &run.unpublished {
                    self.say(&unpublished(reason, self.look));
                }
            }
            Happening::StepReady { .. } => {}
        }
    }

    fn step_ended(&mut self, ended: &StepEnded) {
        let waiting = self.waiting.shift_remove(&ended.step).unwrap_or_default();
        let quietly = matches!(ended.outcome, Outcome::NotRun { .. }) && !self.verbose;
        if !quietly {
            self.say(&format!("{}\n", ending(ended, &waiting.reasons, self.look)));
            self.say(&tag_lines(&ended.tags, self.look));
        }
        for line in waiting.lines.iter().filter(|line| self.verbose || !line.replayed) {
            let text = format!("{}\n", line.text);
            match line.stream {
                Stream::Stdout => self.lost = self.lost.take().or(output(&text).err()),
                Stream::Stderr => status(&text),
            }
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            status(text);
        }
    }
}
