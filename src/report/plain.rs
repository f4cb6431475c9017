//! A run as a log: for CI, for files, for pipes.

use std::io;

use indexmap::IndexMap;

use crate::report::ending::{aside, closing, ending, tag_lines, unpublished};
use crate::report::learned::learned_text;
use crate::report::{Look, output, output_log, status};
use crate::run::{Event, Happening, LogReader, Outcome, Reason, StepEnded, Written};

/// Most bytes of a step's output that are held back.
const HELD: u64 = 1024 * 1024;

/// Tells a run step by step: what a step wrote is held back until it ends, so
/// that the outputs of steps beside each other are not mixed.
#[derive(Debug)]
pub struct Plain {
    look: Look,
    verbose: bool,
    quiet: bool,
    waiting: IndexMap<String, Waiting>,
    /// The step whose output is shown as it comes.
    front: Option<String>,
    /// Steps that ended meanwhile.
    ended: Vec<StepEnded>,
    /// Why standard output could not be written, the first time.
    lost: Option<io::Error>,
}

#[derive(Debug, Default)]
struct Waiting {
    reasons: Vec<Reason>,
    /// The log of what it wrote, as far as that was shown.
    log: Option<LogReader>,
    /// How much of it was told.
    size: u64,
}

impl Plain {
    /// A log with this look. `verbose` shows the recorded output of cached
    /// steps, too; `quiet` shows only the output of steps.
    #[must_use]
    pub fn new(look: Look, verbose: bool, quiet: bool) -> Self {
        Self { look, verbose, quiet, waiting: IndexMap::new(), front: None, ended: Vec::new(), lost: None }
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
            Happening::Written(written) if self.verbose || !written.replayed => self.written(written),
            what @ (Happening::StepRetried { .. }
            | Happening::Notice { .. }
            | Happening::Interrupted { .. }) => {
                self.say(&aside(what));
            }
            Happening::Learned(learned) => {
                self.lost = self.lost.take().or(output(&learned_text(learned, self.look)).err());
            }
            Happening::StepEnded(ended) => match &self.front {
                Some(front) if *front != ended.step => self.ended.push(ended.clone()),
                _ => self.step_ended(ended),
            },
            Happening::RunEnded(ended) => self.say(&closing(ended, self.look)),
            Happening::RunStarted(run) => {
                if let Some(reason) = &run.unpublished {
                    self.say(&unpublished(reason, self.look));
                }
            }
            Happening::StepReady { .. } | Happening::Written(_) | Happening::Output(_) => {}
        }
    }

    /// A step that writes much is not held back, one at a time: the others wait
    /// for its end.
    fn written(&mut self, written: &Written) {
        let waiting = self.waiting.entry(written.step.clone()).or_default();
        if waiting.log.is_none() {
            waiting.log = LogReader::open(&written.log).ok();
        }
        waiting.size = written.size;
        if self.front.is_none() && written.size > HELD && !written.replayed {
            self.front = Some(written.step.clone());
            self.say(&format!("{}: writes much, which is shown as it comes\n", written.step));
        }
        if self.front.as_ref() == Some(&written.step) {
            self.show(&written.step, false);
        }
    }

    fn show(&mut self, step: &str, is_end: bool) {
        let Some(Waiting { log: Some(log), size, .. }) = self.waiting.get_mut(step) else { return };
        self.lost = self.lost.take().or(output_log(log, *size, is_end).err());
    }

    fn step_ended(&mut self, ended: &StepEnded) {
        let was_front = self.front.take().is_some();
        if was_front {
            self.show(&ended.step, true);
        }
        let quietly = matches!(ended.outcome, Outcome::NotRun { .. }) && !self.verbose;
        if !quietly {
            let reasons = self.waiting.get(&ended.step).map(|waiting| waiting.reasons.as_slice());
            self.say(&format!("{}\n", ending(ended, reasons.unwrap_or_default(), self.look)));
            self.say(&tag_lines(&ended.tags, self.look));
        }
        if !was_front {
            self.show(&ended.step, true);
        }
        self.waiting.shift_remove(&ended.step);
        for ended in std::mem::take(&mut self.ended) {
            self.step_ended(&ended);
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            status(text);
        }
    }
}
