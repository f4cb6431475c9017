//! A run as a whole, put together from its events.

use std::collections::VecDeque;

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};

use crate::report::tally;
use crate::run::{
    Counts, Event, Found, Happening, Outcome, Output, PlannedStep, Reason, RunEnded, RunStarted, StepEnded,
    Stream,
};

/// Most bytes of a step's output that are remembered, of each stream: the last
/// ones.
const TAIL: usize = 64 * 1024;

/// Most notices that are remembered, of the run and of each step: the first ones.
const NOTICES: usize = 20;

/// What is known of a run from its events, as far as they go: a run that was
/// killed has no end.
///
/// Of output, only the end of what failed steps wrote is remembered, so that its
/// size does not depend on how much was written.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// How it began.
    pub started: Option<RunStarted>,
    /// When it began.
    pub begun: Option<Timestamp>,
    /// How far it is known: when the last event happened, or later for a run that still
    /// goes on.
    pub latest: Option<Timestamp>,
    /// What became of the steps, in the order in which they were first heard of.
    pub steps: IndexMap<String, Part>,
    /// What hoist had to say about it.
    pub notices: Vec<String>,
    /// The signal that asked it to stop.
    pub signal: Option<String>,
    /// How it ended.
    pub ended: Option<RunEnded>,
    /// Whether it has no end because hoist was killed: events alone do not tell that.
    pub cut_off: bool,
}

/// One step of a run.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// What was planned.
    pub planned: Option<PlannedStep>,
    /// When it could start.
    pub ready: Option<Timestamp>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Why it ran.
    pub reasons: Vec<Reason>,
    /// How often it was tried; 0 for a step that did not start.
    pub attempts: u32,
    /// What hoist had to say about it.
    pub notices: Vec<String>,
    /// When it ended.
    pub over: Option<Timestamp>,
    /// How it ended.
    pub end: Option<StepEnded>,
    /// The end of what it wrote to standard output, if it failed.
    pub stdout: Tail,
    /// The end of what it wrote to standard error, if it failed.
    pub stderr: Tail,
}

/// The last lines of a text that may be long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    omitted: u64,
}

impl Tail {
    fn push(&mut self, line: &str) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        while self.bytes > TAIL && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
            self.omitted += 1;
        }
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines, each with a line break, behind a note on how many came before.
    #[must_use]
    pub fn text(&self) -> String {
        let note = match self.omitted {
            0 => String::new(),
            count => format!("({count} lines before are left out; `hoist log` has them)\n"),
        };
        self.lines.iter().fold(note, |text, line| text + line + "\n")
    }
}

impl Story {
    /// The story that some events tell.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut story = Self::default();
        events.into_iter().for_each(|event| story.see(&event));
        story
    }

    /// Adds what happened next.
    pub fn see(&mut self, event: &Event) {
        self.latest = Some(event.time);
        match &event.what {
            Happening::RunStarted(started) => {
                self.begun = Some(event.time);
                let planned = started
                    .steps
                    .iter()
                    .map(|step| (step.name.clone(), Part { planned: Some(step.clone()), ..Part::default() }));
                self.steps.extend(planned);
                // They are kept with the steps.
                self.started = Some(RunStarted { steps: Vec::new(), ..started.clone() });
            }
            Happening::StepReady { step } => self.part(step).ready = Some(event.time),
            Happening::StepStarted { step, reasons } => {
                let part = self.part(step);
                part.started = Some(event.time);
                part.attempts = 1;
                part.reasons.clone_from(reasons);
            }
            Happening::StepRetried { step, attempt, .. } => self.part(step).attempts = *attempt,
            Happening::Output(line) => self.line(line),
            Happening::StepEnded(ended) => {
                let part = self.part(&ended.step);
                part.over = Some(event.time);
                part.end = Some(ended.clone());
                if !part.is_bad() {
                    (part.stdout, part.stderr) = (Tail::default(), Tail::default());
                }
            }
            Happening::Interrupted { signal, .. } => self.signal = Some(signal.clone()),
            Happening::RunEnded(ended) => self.ended = Some(ended.clone()),
            Happening::Notice { step, text } => {
                let notices = match step {
                    Some(step) => &mut self.part(step).notices,
                    None => &mut self.notices,
                };
                if notices.len() < NOTICES {
                    notices.push(text.clone());
                }
            }
            Happening::Written(_) | Happening::Learned(_) => {}
        }
    }

    fn part(&mut self, step: &str) -> &mut Part {
        if !self.steps.contains_key(step) {
            self.steps.insert(step.to_owned(), Part::default());
        }
        &mut self.steps[step]
    }

    fn line(&mut self, line: &Output) {
        if line.replayed {
            return;
        }
        let part = self.part(&line.step);
        match line.stream {
            Stream::Stdout => part.stdout.push(&line.text),
            Stream::Stderr => part.stderr.push(&line.text),
        }
    }

    /// The steps that do something, and that were heard of beyond the plan.
    pub fn told(&self) -> impl Iterator<Item = (&str, &Part)> {
        let told = self.steps.iter().filter(|(_, part)| !part.is_group());
        told.map(|(name, part)| (name.as_str(), part))
    }

    /// How many steps ended how: as the run says, else as it went until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.ended.as_ref().map_or_else(|| self.counted(), |ended| ended.counts)
    }

    /// [`Story::counts`] in words, and how many steps began and did not end.
    #[must_use]
    pub fn sum(&self) -> String {
        let unfinished = self.told().filter(|(_, part)| part.is_unfinished()).count();
        match (self.counts(), unfinished) {
            (counts, 0) if self.ended.is_some() || counts != Counts::default() => tally(counts),
            (_, 0) => "no step had begun".to_owned(),
            (counts, _) if counts == Counts::default() => format!("{unfinished} unfinished"),
            (counts, _) => format!("{}, {unfinished} unfinished", tally(counts)),
        }
    }

    fn counted(&self) -> Counts {
        // Those that are not part of the plan were up to date before it began.
        let cached = self.started.as_ref().map_or(0, |started| started.up_to_date);
        let mut counts = Counts { cached, ..Counts::default() };
        for (_, part) in self.told() {
            match part.end.as_ref().map(|end| &end.outcome) {
                Some(Outcome::Ran) => counts.ran += 1,
                Some(Outcome::Cached { found }) => {
                    counts.cached += 1;
                    counts.restored += usize::from(*found == Found::Restored);
                }
                Some(Outcome::Skipped { .. }) => counts.skipped += 1,
                Some(Outcome::Failed { .. }) => counts.failed += 1,
                Some(Outcome::Cancelled) => counts.cancelled += 1,
                Some(Outcome::NotRun { .. }) => counts.not_run += 1,
                None => {}
            }
        }
        counts
    }

    /// How long it took, until its last event if it has no end.
    #[must_use]
    pub fn milliseconds(&self) -> u64 {
        let until = || between(self.begun?, self.latest?);
        self.ended.as_ref().map_or_else(|| until().unwrap_or(0), |ended| ended.milliseconds)
    }

    /// What the goals were, as one would type them; what was asked for by default
    /// has none.
    #[must_use]
    pub fn goals(&self) -> String {
        self.started.as_ref().map(|started| started.goals.join(" ")).unwrap_or_default()
    }
}

impl Part {
    /// What it does, in the word of the events.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.planned.as_ref().map(|planned| planned.kind.as_str())
    }

    /// Whether it stands for what it needs, and does nothing itself.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.kind() == Some("group")
    }

    /// Whether it changes what others see.
    #[must_use]
    pub fn publishes(&self) -> bool {
        self.planned.as_ref().is_some_and(|planned| planned.effect == "publishing")
    }

    /// Milliseconds that it waited for its turn, with looking whether it has to run;
    /// `None` for what did not start.
    #[must_use]
    pub fn queued(&self) -> Option<u64> {
        between(self.ready?, self.started?)
    }

    /// Whether it began, and nothing tells of its end.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        self.end.is_none() && self.started.is_some()
    }

    /// Whether it failed, or was stopped.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        let outcome = self.end.as_ref().map(|end| &end.outcome);
        matches!(outcome, Some(Outcome::Failed { .. } | Outcome::Cancelled))
    }

    /// Whether it was found as it is to be, so that nothing was done.
    #[must_use]
    pub fn is_present(&self) -> bool {
        let outcome = self.end.as_ref().map(|end| &end.outcome);
        matches!(outcome, Some(Outcome::Cached { found: Found::Present }))
    }

    /// The word for how it ended: `ran`, `up to date`, `restored`, `skipped`,
    /// `failed`, `stopped`, `not run`, or `unfinished`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.end.as_ref().map(|end| &end.outcome) {
            Some(Outcome::Ran) => "ran",
            Some(Outcome::Cached { found: Found::Present }) => "up to date",
            Some(Outcome::Cached { found: Found::Restored }) => "restored",
            Some(Outcome::Skipped { .. }) => "skipped",
            Some(Outcome::Failed { .. }) => "failed",
            Some(Outcome::Cancelled) => "stopped",
            Some(Outcome::NotRun { .. }) => "not run",
            None => "unfinished",
        }
    }

    /// How long it took, in milliseconds; 0 for what did not start.
    #[must_use]
    pub fn milliseconds(&self) -> u64 {
        self.end.as_ref().map_or(0, |end| end.milliseconds)
    }
}

/// Milliseconds from one time to a later one.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Option<u64> {
    let span: SignedDuration = to.duration_since(from);
    u64::try_from(span.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{Script, failed};

    #[test]
    fn a_run_without_an_end_is_told_as_far_as_it_went() {
        let mut script = Script::begin(&[("a", &[]), ("b", &["a"])]);
        script.started("a").at(1500).ended("a", Outcome::Ran, 1500).started("b");
        let story = Story::of(script.events);
        assert_eq!(story.counts(), Counts { ran: 1, ..Counts::default() });
        assert_eq!(story.sum(), "1 ran, 1 unfinished");
        assert_eq!((story.milliseconds(), story.goals().as_str()), (1500, "all"));
        let words: Vec<_> = story.told().map(|(name, part)| (name, part.word())).collect();
        assert_eq!(words, [("a", "ran"), ("b", "unfinished")]);
    }

    #[test]
    fn of_output_the_end_of_what_failed_is_remembered() {
        let mut script = Script::begin(&[("a", &[]), ("b", &[])]);
        script.started("a").started("b").line("a", "fine");
        for number in 0..20_000 {
            script.line("b", &format!("line {number}"));
        }
        script.ended("a", Outcome::Ran, 1).ended("b", failed("`b` failed"), 2);
        let story = Story::of(script.events);
        assert!(story.steps["a"].stdout.is_empty());
        let text = story.steps["b"].stdout.text();
        assert!(text.len() < TAIL + 100 && text.ends_with("\nline 19999\n"), "{}", text.len());
        assert!(text.starts_with('(') && text.contains("lines before are left out"), "{}", &text[..80]);
    }
}
