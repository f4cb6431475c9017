//! Why a step runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a step runs, or would run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// It declares no inputs, so it always runs.
    Always,
    /// It publishes, which is done each time.
    Publishing,
    /// `--force` asks for it.
    Forced,
    /// `--no-cache` leaves the cache aside.
    CacheOff,
    /// There is no record of an earlier run.
    First,
    /// Something that its key is made of was added, removed, or changed.
    Changed {
        /// What: ``input `src/a.c` ``, ``variable `CC` ``, ``product of `gen` ``.
        part: String,
        /// What it was, where it was there and can be shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// What it is, where it is there and can be shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// The cache holds a record that cannot be used.
    Unusable {
        /// Why.
        because: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("it declares no inputs, so it always runs"),
            Self::Publishing => f.write_str("it publishes, which is done each time"),
            Self::Forced => f.write_str("`--force`"),
            Self::CacheOff => f.write_str("`--no-cache`"),
            Self::First => f.write_str("it has not run before"),
            Self::Changed { part, before: None, after: None } => write!(f, "{part} changed"),
            Self::Changed { part, before: None, after: Some(after) } => write!(f, "{part} is new: {after}"),
            Self::Changed { part, before: Some(before), after: None } => {
                write!(f, "{part} is gone: it was {before}")
            }
            Self::Changed { part, before: Some(before), after: Some(after) } => {
                write!(f, "{part} changed from {before} to {after}")
            }
            Self::Unusable { because } => f.write_str(because),
        }
    }
}
