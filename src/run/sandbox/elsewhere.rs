//! One command of a step, where there is no sandbox.

use std::convert::Infallible;
use std::io;

/// A command in a sandbox: there is none.
#[derive(Debug)]
pub(in crate::run) struct Entry(Infallible);

/// What became of entering the sandbox.
#[derive(Debug)]
pub(in crate::run) enum Left {
    /// The command ran.
    Ran,
    /// The command could not be started.
    NotStarted(io::Error),
    /// There is no sandbox, for this reason.
    Refused(String),
}

impl Entry {
    /// What is to be started in place of the command.
    pub(in crate::run) fn argv(&self) -> &[String] {
        match self.0 {}
    }

    /// What became of it, after the command has ended.
    pub(in crate::run) fn left(self) -> Left {
        match self.0 {}
    }
}
