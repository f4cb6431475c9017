//! Why a step runs, or why its outputs are written again.

use std::fmt;

use crate::cache::part::line;
use crate::cache::{Part, Value};
use crate::config::ProjectPath;

/// One reason. As text it is a line that stands behind the name of a step:
/// `src/main.rs changed`, `variable PORT: 1 → 2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no record of an earlier run in this project.
    NeverRan,
    /// It was asked for.
    Forced,
    /// The cache is switched off.
    CacheOff,
    /// It declares no inputs, so it is not known what it reads.
    NoInputs,
    /// It reads what a target makes that does not apply, so it is not known what it reads.
    MakerLeftOut,
    /// It failed the last time, with the same key.
    FailedBefore,
    /// It was stopped the last time, with the same key.
    StoppedBefore,
    /// It ran without the cache the last time, so that run was not kept.
    UnkeptBefore,
    /// Its last run was not kept: its inputs changed meanwhile, a sandbox denied it
    /// something, or not all of its output could be kept.
    InputsMoved,
    /// A part of the key has another value.
    Changed {
        /// Which part.
        part: Part,
        /// Its value at the last run.
        old: Value,
        /// Its value now.
        new: Value,
    },
    /// The key has a new part.
    Added(Part, Value),
    /// The key lost a part.
    Removed(Part),
    /// A step that is needed made something else.
    NeedChanged {
        /// Its name.
        step: String,
    },
    /// The record of its last run is no longer there.
    RecordGone,
    /// The record of its last run cannot be read.
    RecordCorrupt,
    /// A content that its record names is no longer in the cache.
    ContentGone(String),
    /// A content in the cache is not what its record says.
    ContentCorrupt(String),
    /// The workspace has no such output.
    OutputMissing(ProjectPath),
    /// The output in the workspace is another one.
    OutputChanged(ProjectPath),
    /// The workspace has this in an output directory, and the step did not make it.
    OutputStale(ProjectPath),
}

impl Reason {
    /// Why a step runs each time that publishes nothing.
    #[must_use]
    pub const fn always(declares_inputs: bool) -> Self {
        if declares_inputs { Self::MakerLeftOut } else { Self::NoInputs }
    }

    /// The difference between a part of an earlier trace and the same part now.
    pub(super) fn between(old: Option<&(Part, Value)>, new: Option<&(Part, Value)>) -> Option<Self> {
        match (old, new) {
            (Some((_, old)), Some((_, new))) if old.is(new) => None,
            (Some(_), Some((Part::Need(step), _))) => Some(Self::NeedChanged { step: step.clone() }),
            (Some((_, old)), Some((part, new))) => {
                Some(Self::Changed { part: part.clone(), old: old.clone(), new: new.clone() })
            }
            (None, Some((part, value))) => Some(Self::Added(part.clone(), value.clone())),
            (Some((part, _)), None) => Some(Self::Removed(part.clone())),
            (None, None) => None,
        }
    }
}

impl Reason {
    /// How far a difference is from what somebody edits, to say that first: files,
    /// then variables, then what the release file says, then what is had from elsewhere
    /// or follows from the rest.
    pub(super) fn distance(&self) -> u8 {
        match self {
            Self::Changed { part, .. } | Self::Added(part, _) | Self::Removed(part) => match part {
                Part::Input(_) => 0,
                // Facts of the commit are another with each.
                Part::Variable(name) if name.starts_with("HOIST_") => 5,
                Part::Variable(_) => 1,
                Part::Command(_) | Part::Directory | Part::Layer(_) | Part::Check(_) | Part::Output(_) => 2,
                Part::Platform | Part::Base | Part::Tool(_) | Part::Format => 3,
                Part::Need(_) => 4,
                Part::Setting(_) => 5,
            },
            Self::NeedChanged { .. } => 4,
            _ => 0,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverRan => f.write_str("never ran here"),
            Self::Forced => f.write_str("forced"),
            Self::CacheOff => f.write_str("the cache is off"),
            Self::NoInputs => f.write_str("declares no inputs, so it always runs"),
            Self::MakerLeftOut => {
                f.write_str("reads what a target makes that does not apply here, so it always runs")
            }
            Self::FailedBefore => f.write_str("failed the last time"),
            Self::StoppedBefore => f.write_str("was stopped the last time"),
            Self::UnkeptBefore => f.write_str("ran without the cache the last time"),
            Self::InputsMoved => f.write_str(
                "its last run was not kept: inputs changed, access was denied, or its log was cut",
            ),
            Self::Changed { part, old, new } => changed(f, part, old, new),
            Self::Added(part, value) => added(f, part, value),
            Self::Removed(part) => removed(f, part),
            Self::NeedChanged { step } => write!(f, "`{step}` made something else"),
            Self::RecordGone => f.write_str("its record is no longer in the cache"),
            Self::RecordCorrupt => f.write_str("its record in the cache cannot be read"),
            Self::ContentGone(what) => write!(f, "{} is no longer in the cache", line(what)),
            Self::ContentCorrupt(what) => write!(f, "{} is damaged in the cache", line(what)),
            Self::OutputMissing(path) => write!(f, "{} is missing", line(&path.to_string())),
            Self::OutputChanged(path) => write!(f, "{} is not what was made", line(&path.to_string())),
            Self::OutputStale(path) => write!(f, "{} is left over", line(&path.to_string())),
        }
    }
}

/// Old and new value where both may be shown, else only that they differ.
fn changed(f: &mut fmt::Formatter<'_>, part: &Part, old: &Value, new: &Value) -> fmt::Result {
    match (part, old, new) {
        (Part::Base, Value::Text(old), Value::Text(new)) => {
            write!(f, "{part}: {} → {}", base(old), base(new))
        }
        _ => match (old.short(), new.short()) {
            (Some(old), Some(new)) => write!(f, "{part}: {} → {}", shown(old), shown(new)),
            _ => write!(f, "{part} changed"),
        },
    }
}

/// A base image with as much of its digest as is read.
fn base(text: &str) -> String {
    let Some((name, hex)) = text.rsplit_once("sha256:") else { return line(text) };
    line(&format!("{name}sha256:{}", hex.get(..12).unwrap_or(hex)))
}

fn added(f: &mut fmt::Formatter<'_>, part: &Part, value: &Value) -> fmt::Result {
    match (part, value.short()) {
        (Part::Input(_), _) => write!(f, "now reads {part}"),
        (Part::Need(_), _) => write!(f, "now needs {part}"),
        (_, Some(value)) => write!(f, "{part} is new: {}", shown(value)),
        (_, None) => write!(f, "{part} is new"),
    }
}

fn removed(f: &mut fmt::Formatter<'_>, part: &Part) -> fmt::Result {
    match part {
        Part::Input(_) => write!(f, "no longer reads {part}"),
        Part::Need(_) => write!(f, "no longer needs {part}"),
        _ => write!(f, "{part} is gone"),
    }
}

/// A value between other words: an empty one would not be seen.
fn shown(value: &str) -> &str {
    if value.is_empty() { "nothing" } else { value }
}
