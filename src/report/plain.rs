//! A run as a log: for files and for pipes.

use std::io;

use indexmap::IndexMap;

use crate::report::ending::{aside, closing, ending, tag_lines, unpublished};
use crate::report::found::finding_lines;
use crate::report::learned::learned_text;
use crate::report::measured::figure_lines;
use crate::report::print::break_line;
use crate::report::writer::Writer;
use crate::report::{Look, output_log};
use crate::run::{
    Event, Found, Happening, LogReader, Outcome, Reason, RunStarted, StepEnded, Stream, Written,
};

/// Tells a run step by step: what a step wrote is held back until it ends, so
/// that the outputs of steps beside each other are not mixed. Where only one step
/// may write, there is nothing to mix, and nothing is held back.
#[derive(Debug)]
pub struct Plain {
    look: Look,
    verbose: bool,
    quiet: bool,
    waiting: IndexMap<String, Waiting>,
    /// Whether only one step of the run may write.
    alone: bool,
    /// Whether both streams go to one place.
    one: bool,
    writer: Writer,
    /// Why output that was held back could not be shown, the first time.
    lost: Option<io::Error>,
}

/// What is known of a step that did not end yet.
#[derive(Debug, Default)]
struct Waiting {
    reasons: Vec<Reason>,
    /// The log of what it wrote, read as far as that was shown.
    log: Option<LogReader>,
    /// How much of it was told.
    size: u64,
}

impl Plain {
    /// A log with this look. `verbose` shows steps that were up to date and the
    /// recorded output of cached steps, too; `quiet` shows only the output of
    /// steps; `one` says that both streams go to one place.
    #[must_use]
    pub fn new(look: Look, verbose: bool, quiet: bool, one: bool) -> Self {
        let writer = Writer::new((!quiet).then_some(Stream::Stderr));
        Self { look, verbose, quiet, waiting: IndexMap::new(), alone: false, one, writer, lost: None }
    }

    /// Writes what waits. Why some of the output of steps could not be written, if
    /// so.
    #[must_use]
    pub fn close(self) -> Option<io::Error> {
        self.writer.close().or(self.lost)
    }

    /// Tells what happened.
    pub fn see(&mut self, event: &Event) {
        match &event.what {
            Happening::StepStarted { step, reasons } => {
                // The step may ask something, below all that was said.
                self.writer.write(Stream::Stderr, "");
                self.writer.started(step);
                self.waiting.entry(step.clone()).or_default().reasons.clone_from(reasons);
            }
            // What it wrote stays in the log until the step ends, of any size.
            Happening::Written(written) if self.verbose || !written.replayed => self.written(written),
            Happening::Learned(learned) => {
                self.writer.write(Stream::Stdout, &learned_text(learned, self.look));
            }
            what @ (Happening::StepRetried { .. }
            | Happening::Notice { .. }
            | Happening::Interrupted { .. }) => {
                self.break_lines();
                self.say(&aside(what));
            }
            Happening::StepEnded(ended) => self.step_ended(ended),
            Happening::RunEnded(ended) => self.say(&closing(ended, self.look)),
            Happening::RunStarted(run) => {
                self.alone = writers(run) == 1;
                if let Some(reason) = &run.unpublished {
                    self.say(&unpublished(reason, self.look));
                }
            }
            Happening::StepReady { .. } | Happening::Written(_) | Happening::Output(_) => {}
        }
    }

    fn step_ended(&mut self, ended: &StepEnded) {
        self.writer.ended(&ended.step);
        if self.alone {
            // What was shown as it came may have stopped within a line.
            self.show(&ended.step, true);
        }
        if self.verbose || is_news(&ended.outcome) {
            let reasons = self.waiting.get(&ended.step).map(|waiting| waiting.reasons.as_slice());
            self.say(&format!("{}\n", ending(ended, reasons.unwrap_or_default(), self.look)));
            self.say(&figure_lines(ended, self.look));
            self.say(&finding_lines(ended, self.look));
            self.say(&tag_lines(&ended.tags, self.look));
        }
        self.show(&ended.step, true);
        self.waiting.swap_remove(&ended.step);
    }

    /// A step wrote something. What is alone is shown as it comes.
    fn written(&mut self, written: &Written) {
        let waiting = self.waiting.entry(written.step.clone()).or_default();
        waiting.size = written.size;
        if waiting.log.is_none() {
            waiting.log = LogReader::open(&written.log).ok();
        }
        if self.alone {
            self.show(&written.step, false);
        }
    }

    /// Shows what a step wrote and was not shown yet, behind all that was said.
    fn show(&mut self, step: &str, is_end: bool) {
        let Some(Waiting { log: Some(log), size, .. }) = self.waiting.get_mut(step) else { return };
        self.writer.write(Stream::Stderr, "");
        self.lost = self.lost.take().or(output_log(log, *size, is_end).err());
    }

    /// Ends lines that a step is within, where its output is shown as it comes.
    fn break_lines(&mut self) {
        let logs = self.waiting.values_mut().filter_map(|waiting| waiting.log.as_mut());
        logs.filter(|_| self.alone && !self.quiet).for_each(|log| break_line(log, self.one));
    }

    fn say(&mut self, text: &str) {
        if !self.quiet {
            self.writer.write(Stream::Stderr, text);
        }
    }
}

/// Whether the end of a step is worth a line of its own: that something is as it
/// was, or was not come to, is only counted.
pub(super) const fn is_news(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::NotRun { .. } | Outcome::Cached { found: Found::Present })
}

/// How many steps of a run may write something.
pub(super) fn writers(run: &RunStarted) -> usize {
    run.steps.iter().filter(|step| matches!(step.kind.as_str(), "command" | "test")).count()
}
