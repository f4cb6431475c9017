//! What happens in a run, as it is told and recorded.
//!
//! One [`Event`] is one line of `--json`; `.hoist/runs/<id>/events.jsonl` has the
//! same lines but for output, which stands in the logs of the steps.
//! `schema/events.schema.json` describes them. These types are the format: a
//! field is added, never renamed or given another meaning, within one
//! [`FORMAT`].

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::diagnostic::Class;
use crate::run::{Fault, ImageFigures, Learned, Outcome, Reason, ScanFigures, Settled};

/// The version of the format of events.
pub const FORMAT: u32 = 1;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, RFC 3339 in UTC.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened. Steps are named as on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// The first event of every run.
    RunStarted(RunStarted),
    /// A step could start, and waits for its turn.
    StepReady {
        /// The step.
        step: String,
    },
    /// A step starts, or is looked up in the cache and found missing there.
    StepStarted {
        /// The step.
        step: String,
        /// Why it runs; at least one reason.
        reasons: Vec<Reason>,
    },
    /// A step that failed is tried again.
    StepRetried {
        /// The step.
        step: String,
        /// The attempt that starts, 2 for the first repetition.
        attempt: u32,
        /// How many there may be.
        attempts: u32,
        /// How the last attempt failed.
        because: String,
    },
    /// A line that a step wrote.
    Output(Output),
    /// A step wrote something, which its log holds. Not part of the format: who
    /// wants the lines reads them from there, and who does not, need not.
    #[serde(skip)]
    Written(Written),
    /// hoist has something to say about a step, or about the run.
    Notice {
        /// The step that it is about, if it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// A sentence without a period.
        text: String,
    },
    /// A step was watched, and this is what it reads and makes.
    Learned(Box<Learned>),
    /// A step ended, or will not start. Every step has exactly one such event.
    StepEnded(StepEnded),
    /// A signal asked the run to stop.
    Interrupted {
        /// `SIGINT`, `SIGTERM`, or `SIGHUP`.
        signal: String,
        /// Whether what runs is killed, or only asked to stop.
        kill: bool,
    },
    /// The last event of a run that was not killed.
    RunEnded(RunEnded),
}

/// The beginning of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The version of the format: [`FORMAT`].
    pub format: u32,
    /// The run's id: sorts by time, names the directory of its record.
    pub run: String,
    /// The project.
    pub project: String,
    /// The version of hoist.
    pub hoist: String,
    /// What the run is for.
    pub trigger: Trigger,
    /// The goals, as they were asked for; empty for the default.
    pub goals: Vec<String>,
    /// Steps at once.
    pub jobs: usize,
    /// The id of the run that this one is part of: it takes a stage back that failed
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// Why images are built and checked but not published, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpublished: Option<String>,
    /// Steps that were found to be up to date before the run: no other event names
    /// them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub up_to_date: usize,
    /// All other steps, in the order of the plan.
    pub steps: Vec<PlannedStep>,
}

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// `tag`, `branch`, `pr`, `schedule`, or `unnamed`.
    pub kind: String,
    /// The tag, the branch, or the number of the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The commit: 40 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// A step of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its name.
    pub name: String,
    /// What it does: `group`, `skip`, `command`, `assemble`, `build`, `index`, `test`,
    /// `budget`, `scan`, `push`, `tag`, or `not-available`.
    pub kind: String,
    /// What running it means: `always`, `cacheable`, or `publishing`.
    pub effect: String,
    /// Whether a goal names it.
    pub goal: bool,
    /// Steps that come before it.
    pub needs: Vec<String>,
}

/// A line that a step wrote, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The step.
    pub step: String,
    /// Where it wrote.
    pub stream: Stream,
    /// The line without its end; what is not UTF-8 is replaced by `U+FFFD`.
    pub text: String,
    /// The bytes in base64, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Whether no line break followed: the last line of a stream, or a piece of
    /// a very long one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub open: bool,
    /// Whether this is a recorded line of the run that made what the cache holds.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replayed: bool,
}

/// Output that can be read from a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The step.
    pub step: String,
    /// The log: [`LogReader`](crate::run::LogReader) reads it.
    pub log: Arc<Path>,
    /// How many bytes of the log are written.
    pub size: u64,
    /// Whether the run wrote it that made what the cache holds.
    pub replayed: bool,
}

/// Where a step wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The end of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEnded {
    /// The step.
    pub step: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took, in milliseconds; 0 for what did not start.
    pub milliseconds: u64,
    /// Digest of the image that it made or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The tags that it was to give, in the order in which they became visible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<TagMove>,
    /// What is measured of the images that it made, found, or weighed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageFigures>,
    /// What it found, if it is a scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<Box<ScanFigures>>,
    /// The log of what it wrote, if it wrote something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogPlace>,
}

/// Where the output of a step is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// The file: in the directory of the run's record, or, where it was written by
    /// an earlier run, in the cache.
    pub file: String,
    /// Whether it was written by the run that made what the cache holds.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replayed: bool,
}

/// A tag and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMove {
    /// The repository, as a user would name it.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The digest that it held before, if it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The digest that it holds now.
    pub to: String,
    /// Why it was left where it was, if it was to move and did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnded {
    /// How many steps ended how.
    pub counts: Counts,
    /// How long the run took, in milliseconds.
    pub milliseconds: u64,
    /// What the exit code says: `done`, `failed`, `usage`, `refused`,
    /// `put-back`, `stands`, or `interrupted`.
    pub result: String,
    /// The exit code.
    pub exit: u8,
    /// What is wrong with the run as a whole; what is wrong with a step is told
    /// at its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Fault>,
}

/// How many steps ended how. Groups, which do nothing, are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Did their work.
    pub ran: usize,
    /// Had been done before.
    pub cached: usize,
    /// So many of them were brought back from the cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restored: usize,
    /// Do not apply.
    pub skipped: usize,
    /// Failed.
    pub failed: usize,
    /// Were stopped.
    pub cancelled: usize,
    /// Did not start.
    pub not_run: usize,
}

impl Counts {
    /// Those of the steps of which nothing is left to be done.
    pub(super) fn of_settled(settled: &Settled) -> Self {
        Self { cached: settled.up_to_date, skipped: settled.skipped, ..Self::default() }
    }
}

/// The word for how a run ended: `done`, or the class of what went wrong.
#[must_use]
pub const fn result_word(class: Option<Class>) -> &'static str {
    match class {
        None => "done",
        Some(Class::Failed) => "failed",
        Some(Class::Usage) => "usage",
        Some(Class::Refused) => "refused",
        Some(Class::PutBack) => "put-back",
        Some(Class::Stands) => "stands",
        Some(Class::Interrupted) => "interrupted",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &usize) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Times as RFC 3339 text.
mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
