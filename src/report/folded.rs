//! A run in the log of a CI system that can be folded.
#![expect(clippy::disallowed_methods, reason = "a fold says when it began")]

use std::io;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::diagnostic::{Code, Problem, Problems, Sources};
use crate::report::dialect::Dialect;
use crate::report::ending::{aside, closing, ending, tag_lines, unpublished};
use crate::report::found::finding_lines;
use crate::report::held::{Held, Waiting, hold};
use crate::report::learned::learned_text;
use crate::report::measured::figure_lines;
use crate::report::plain::is_news;
use crate::report::writer::Writer;
use crate::report::{Look, render};
use crate::run::{Event, Fault, Happening, Outcome, RunEnded, StepEnded, Stream};

/// Most logs of failed steps that wait for the end of the run; those of more
/// failures are shown where they happen.
const AT_THE_END: usize = 64;

/// Tells a run step by step, each with its output folded below it. What failed
/// comes last, and is not folded; the problems are shown in the files, too, where
/// the system can do that.
///
/// All of it is written to standard output: a CI system reads the two streams
/// beside each other, and marks on one would not stand at their place between the
/// lines of the other. What others wrote can be no mark.
#[derive(Debug)]
pub struct Folded {
    dialect: Dialect,
    look: Look,
    verbose: bool,
    /// The path from the top of the repository to the project.
    above: String,
    waiting: IndexMap<String, Waiting>,
    /// What failed steps wrote, in the order in which they failed.
    failed: Vec<(String, Held)>,
    faults: Vec<Fault>,
    /// The end of the run, which is told when its problems are known.
    end: Option<RunEnded>,
    groups: usize,
    writer: Writer,
    /// Why output that was held back could not be shown, the first time.
    lost: Option<io::Error>,
}

impl Folded {
    /// A log in this dialect; `above` is the path from the top of the repository
    /// to the project, empty or with a `/` at its end.
    #[must_use]
    pub fn new(dialect: Dialect, look: Look, verbose: bool, above: String) -> Self {
        Self {
            dialect,
            look,
            verbose,
            above,
            waiting: IndexMap::new(),
            failed: Vec::new(),
            faults: Vec::new(),
            end: None,
            groups: 0,
            writer: Writer::new(Some(Stream::Stdout)),
            lost: None,
        }
    }

    /// Whether the recorded output of cached steps is shown.
    #[must_use]
    pub const fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Tells what happened.
    pub fn see(&mut self, event: &Event) {
        match &event.what {
            Happening::StepStarted { step, reasons } => {
                self.writer.started(step);
                self.waiting.entry(step.clone()).or_default().reasons.clone_from(reasons);
            }
            Happening::Output(line) if line.replayed && !self.verbose => {}
            Happening::Output(line) => hold(&mut self.waiting, line),
            what @ (Happening::StepRetried { .. }
            | Happening::Notice { .. }
            | Happening::Interrupted { .. }) => self.say(&aside(what)),
            Happening::StepEnded(ended) => self.step_ended(ended),
            Happening::RunEnded(ended) => {
                self.faults.extend(ended.problems.iter().cloned());
                self.end = Some(ended.clone());
            }
            Happening::RunStarted(run) => {
                if let Some(reason) = &run.unpublished {
                    self.say(&unpublished(reason, self.look));
                }
            }
            Happening::Learned(learned) => self.say(&learned_text(learned, self.look)),
            Happening::StepReady { .. } | Happening::Written(_) => {}
        }
    }

    fn step_ended(&mut self, ended: &StepEnded) {
        self.writer.ended(&ended.step);
        let waiting = self.waiting.swap_remove(&ended.step).unwrap_or_default();
        let lines = waiting.lines;
        let line = ending(ended, &waiting.reasons, self.look);
        if let Outcome::Failed { problems } = &ended.outcome {
            self.faults.extend(problems.iter().cloned());
            let later = !lines.is_empty && self.failed.len() < AT_THE_END;
            self.say(&format!("{line}{}\n", if later { " (its log is at the end)" } else { "" }));
            if later {
                self.failed.push((ended.step.clone(), lines));
            } else {
                self.fenced(lines);
            }
        } else if lines.is_empty {
            if self.verbose || is_news(&ended.outcome) {
                self.say(&format!("{line}\n"));
            }
        } else {
            self.groups += 1;
            let (open, group) = self.dialect.group(&line, self.groups, Timestamp::now().as_second());
            self.write(&open);
            self.fenced(lines);
            self.write(&group.close());
        }
        if self.verbose || is_news(&ended.outcome) {
            self.say(&figure_lines(ended, self.look));
            self.say(&finding_lines(ended, self.look));
            self.say(&tag_lines(&ended.tags, self.look));
        }
    }

    /// Tells how the run ended: the logs of what failed, what is wrong, and a line
    /// that sums it up. Why some of it could not be written, if so.
    #[must_use]
    pub fn close(mut self, problems: &Problems, sources: &Sources) -> Option<io::Error> {
        let logs = std::mem::take(&mut self.failed);
        // The log stands above its problem, which then need not repeat it.
        let shown: Vec<String> = logs.iter().map(|(step, _)| format!("`{step}`")).collect();
        for (step, lines) in logs {
            self.say(&format!("\n--- {step}\n"));
            self.fenced(lines);
        }
        let brief = |problem: Problem| {
            let of_command = matches!(problem.code, Code::CommandFailed | Code::TimedOut);
            if of_command && shown.iter().any(|step| problem.title.contains(step)) {
                Problem { notes: Vec::new(), ..problem }
            } else {
                problem
            }
        };
        let mut rest = Problems::new();
        rest.extend(problems.as_slice().iter().cloned().map(brief));
        if !rest.is_empty() {
            self.say(&format!("\n{}\n", render(&rest, sources, self.look)));
        }
        for fault in std::mem::take(&mut self.faults) {
            self.write(&self.dialect.annotation(&fault, &self.above));
        }
        if let Some(end) = self.end.take() {
            self.say(&closing(&end, self.look));
        }
        self.writer.close().or(self.lost)
    }

    /// Writes lines that can be no marks.
    fn fenced(&mut self, lines: Held) {
        let (open, close) = self.dialect.fence();
        self.write(&open);
        let dialect = self.dialect;
        let played = lines.play(|_, line| {
            self.writer.write_soon(Stream::Stdout, &format!("{}\n", dialect.harmless(line)));
            Ok(())
        });
        self.lost = self.lost.take().or(played.err());
        self.write(&close);
    }

    /// Writes a text of hoist's own, which may name what others chose.
    fn say(&mut self, text: &str) {
        let text = self.dialect.harmless(text).into_owned();
        // A reader may pass over characters that are not seen: what is left
        // without them counts.
        let is_mark = |line: &str| {
            let seen: String = line.chars().filter(char::is_ascii_graphic).collect();
            seen.starts_with("::")
        };
        if text.split(['\n', '\r']).any(is_mark) {
            let (open, close) = self.dialect.fence();
            self.write(&format!("{open}{text}{close}"));
        } else {
            self.write(&text);
        }
    }

    fn write(&mut self, text: &str) {
        self.writer.write(Stream::Stdout, text);
    }
}
