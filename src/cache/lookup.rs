//! What passes between the cache and those who run steps.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::cache::small::Small;
use crate::cache::{KeptLog, Outputs, Reason, Record, Trace};
use crate::oci::Descriptor;

/// What the cache knows of a step.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// It ran with this key, and what it made is there.
    Hit(Box<Hit>),
    /// It has to run.
    Miss(Miss),
}

/// A step that need not run.
#[derive(Clone, Debug)]
pub struct Hit {
    /// What it left behind.
    pub record: Record,
    pub(super) trace: Trace,
    pub(super) small: Small,
}

/// A step that has to run: why, and the right to save what it makes.
#[derive(Clone, Debug)]
pub struct Miss {
    pub(super) trace: Trace,
    pub(super) reasons: Vec<Reason>,
}

impl Miss {
    /// What was looked up.
    #[must_use]
    pub fn into_trace(self) -> Trace {
        self.trace
    }

    /// What was looked up.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// A step that runs whatever the cache knows: [`Reason::Forced`], one that
    /// [always](Reason::always) runs and [`Reason::CacheOff`], which are not kept, or
    /// what a [restoration](Restoration::Lost) found.
    #[must_use]
    pub fn new(trace: Trace, reason: Reason) -> Self {
        Self { trace, reasons: vec![reason] }
    }

    /// Why it runs: at least one reason.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// Whether what it makes may stand for a later run.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let always = |reason: &Reason| matches!(reason, Reason::NoInputs | Reason::MakerLeftOut);
        !self.is_off() && !self.reasons.iter().any(always)
    }

    /// Whether the cache is left aside.
    pub(super) fn is_off(&self) -> bool {
        self.reasons.contains(&Reason::CacheOff)
    }
}

/// What a step made.
#[derive(Clone, Debug)]
pub struct Made {
    /// What [`Cache::collect`](crate::cache::Cache::collect) found.
    pub outputs: Outputs,
    /// The image, in the staging store.
    pub image: Option<Descriptor>,
    /// What it wrote, if that is kept: see
    /// [`Cache::keep_log`](crate::cache::Cache::keep_log).
    pub log: Option<KeptLog>,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Whether its inputs were the same after it ran as before; if not, it is
    /// not known what it read, and the run is not kept.
    pub steady: bool,
}

/// What became of what a step made.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The record.
    pub record: Record,
    /// Whether a later run finds it.
    pub kept: bool,
}

/// What became of the outputs of a hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restoration {
    /// The workspace holds exactly them; nothing was written.
    Current,
    /// They were written, for these reasons; at least one. What somebody had put in
    /// their place was moved to this directory of the project.
    Restored(Vec<Reason>, Option<PathBuf>),
    /// The cache does not hold them any more; nothing was written. The step has
    /// to run, for this reason.
    Lost(Reason),
}
