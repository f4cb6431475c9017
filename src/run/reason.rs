//! Why a step runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cache;

/// Why a step runs, or would run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Which kind of reason.
    pub kind: ReasonKind,
    /// The reason as a line to stand behind the step's name: `src/main.rs
    /// changed`, `variable PORT: 1 → 2`.
    pub text: String,
}

/// A kind of reason to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonKind {
    /// It publishes, which is done each time.
    Publishing,
    /// It is not known what it reads: it declares no inputs, or reads what a target makes
    /// that does not apply.
    NoInputs,
    /// `--force` asks for it.
    Forced,
    /// `--no-cache` leaves the cache aside.
    CacheOff,
    /// There is no record of an earlier run in this project.
    NeverRan,
    /// It failed the last time, or was stopped.
    FailedBefore,
    /// Its last run was not kept: its inputs changed meanwhile, or a sandbox denied
    /// it something.
    InputsMoved,
    /// Something that its key is made of was added, removed, or changed.
    Changed,
    /// A step that it needs made something else.
    NeedChanged,
    /// What the cache held of it is gone or damaged, or was not kept.
    Lost,
    /// An output is not as it was made.
    Output,
}

impl Reason {
    /// A publishing step runs each time.
    pub(super) fn publishing() -> Self {
        Self::new(ReasonKind::Publishing, "publishes, which is done each time")
    }

    /// A reason and its text.
    pub fn new(kind: ReasonKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<&cache::Reason> for Reason {
    fn from(reason: &cache::Reason) -> Self {
        let kind = match reason {
            cache::Reason::NeverRan => ReasonKind::NeverRan,
            cache::Reason::Forced => ReasonKind::Forced,
            cache::Reason::CacheOff => ReasonKind::CacheOff,
            cache::Reason::NoInputs | cache::Reason::MakerLeftOut => ReasonKind::NoInputs,
            cache::Reason::FailedBefore | cache::Reason::StoppedBefore => ReasonKind::FailedBefore,
            cache::Reason::InputsMoved => ReasonKind::InputsMoved,
            cache::Reason::Changed { .. } | cache::Reason::Added(..) | cache::Reason::Removed(_) => {
                ReasonKind::Changed
            }
            cache::Reason::NeedChanged { .. } => ReasonKind::NeedChanged,
            cache::Reason::UnkeptBefore
            | cache::Reason::RecordGone
            | cache::Reason::RecordCorrupt
            | cache::Reason::ContentGone(_)
            | cache::Reason::ContentCorrupt(_) => ReasonKind::Lost,
            cache::Reason::OutputMissing(_)
            | cache::Reason::OutputChanged(_)
            | cache::Reason::OutputStale(_) => ReasonKind::Output,
        };
        Self::new(kind, reason.to_string())
    }
}
