//! What was learned of a target, as it is told and recorded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::run::mask::Secrets;

/// What a target really reads and makes, and what follows for its declaration.
/// Paths and patterns are relative to the target's directory, as in release.kdl.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The step.
    pub step: String,
    /// The `inputs` that cover all that it read.
    pub inputs: Vec<String>,
    /// Files that it read, or executed.
    pub read: Vec<String>,
    /// Of those, what it does not declare.
    pub undeclared: Vec<String>,
    /// Declared patterns of inputs of which it read nothing.
    pub unread: Vec<String>,
    /// Directories that it listed.
    pub listed: Vec<String>,
    /// What it only looked at, and did not read.
    pub looked_at: Vec<String>,
    /// What it looked for, and was not there.
    pub missing: Vec<String>,
    /// Files that it made or changed, and does not declare as outputs.
    pub unkept: Vec<String>,
}

impl Learned {
    /// With the names of files as they may be seen.
    pub(in crate::run) fn hidden(mut self, secrets: &Arc<Secrets>) -> Self {
        let Self { step: _, inputs, read, undeclared, unread, listed, looked_at, missing, unkept } =
            &mut self;
        for names in [inputs, read, undeclared, unread, listed, looked_at, missing, unkept] {
            for name in names {
                *name = secrets.hide(name);
            }
        }
        self
    }
}
