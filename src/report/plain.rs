//! A run as a log: for files and for pipes.

use std::io;

use indexmap::IndexMap;

use crate::report::Look;
use crate::report::ending::{aside, closing, ending, tag_lines, unpublished};
use crate::report::held::Held;
use crate::report::writer::Writer;
use crate::run::{Event, Found, Happening, Outcome, Output, Reason, RunStarted, StepEnded, Stream};

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
    writer: Writer,
    /// Why output that was held back could not be shown, the first time.
    lost: Option<io::Error>,
}

/// What is known of a step that did not end yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) reasons: Vec<Reason>,
    pub(super) lines: Held,
}

impl Plain {
    /// A log with this look. `verbose` shows steps that were up to date and the
    /// recorded output of cached steps, too; `quiet` shows only the output of
    /// steps.
    #[must_use]
    pub fn new(look: Look, verbose: bool, quiet: bool) -> Self {
        let writer = Writer::new((!quiet).then_some(Stream::Stderr));
        Self { look, verbose, quiet, waiting: IndexMap::new(), alone: false, writer, lost: None }
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
            Happening::Output(line) if line.replayed && !self.verbose => {}
            Happening::Output(line) if self.alone => {
                self.writer.write_soon(line.stream, &format!("{}\n", line.text));
            }
            Happening::Output(line) => hold(&mut self.waiting, line),
            what @ (Happening::StepRetried { .. }
            | Happening::Notice { .. }
            | Happening::Interrupted { .. }) => {
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
            Happening::StepReady { .. } => {}
        }
    }

    fn step_ended(&mut self, ended: &StepEnded) {
        self.writer.ended(&ended.step);
        let waiting = self.waiting.swap_remove(&ended.step).unwrap_or_default();
        if self.verbose || is_news(&ended.outcome) {
            self.say(&format!("{}\n", ending(ended, &waiting.reasons, self.look)));
            self.say(&tag_lines(&ended.tags, self.look));
        }
        let played = waiting.lines.play(|stream, text| {
            self.writer.write_soon(stream, &format!("{text}\n"));
            Ok(())
        });
        self.lost = self.lost.take().or(played.err());
    }

    fn say(&mut self, text: &str) {
        if !self.quiet {
            self.writer.write(Stream::Stderr, text);
        }
    }
}

/// Holds a line of a step.
pub(super) fn hold(waiting: &mut IndexMap<String, Waiting>, line: &Output) {
    if let Some(waiting) = waiting.get_mut(&line.step) {
        waiting.lines.push(line);
    } else {
        waiting.entry(line.step.clone()).or_default().lines.push(line);
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
