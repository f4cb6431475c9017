//! How a step ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::run::Fault;

/// How a step ended, or why it did not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It did its work.
    Ran,
    /// Its work had been done before.
    Cached {
        /// Whether what it makes was brought back or lay there.
        found: Found,
    },
    /// It does not apply.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It failed.
    Failed {
        /// What is wrong; at least one.
        problems: Vec<Fault>,
    },
    /// It was stopped while it ran.
    Cancelled,
    /// It did not start.
    NotRun {
        /// Why.
        cause: Cause,
    },
}

/// Where the results of a step that did not run were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// In their place already, or there is nothing to have.
    Present,
    /// In the cache, from which they were written to their place.
    Restored,
}

/// Why a step did not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cause {
    /// A step that it needs did not succeed.
    Need {
        /// The step that failed, cannot start, or was stopped: the one where it began.
        step: String,
    },
    /// Another step failed, and the run stops at the first failure.
    Failure {
        /// That step.
        step: String,
    },
    /// The run was interrupted.
    Interruption,
    /// The run was refused before its first step.
    Refusal,
}

impl Outcome {
    /// Whether steps that need this one may start.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Ran | Self::Cached { .. } | Self::Skipped { .. })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Need { step } => write!(f, "it needs `{step}`, which did not succeed"),
            Self::Failure { step } => write!(f, "`{step}` failed"),
            Self::Interruption => f.write_str("the run was interrupted"),
            Self::Refusal => f.write_str("the run was refused"),
        }
    }
}
