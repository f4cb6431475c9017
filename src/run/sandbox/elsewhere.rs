//! One command of a step, where there is no sandbox.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::run::sandbox::notes::Notes;
use crate::run::sandbox::rules::Rules;

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
    /// Says that there is none.
    ///
    /// # Errors
    /// Always.
    pub(super) fn new(_: &Path, _: &[String], _: &Rules, _: &Arc<Notes>) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has Landlock"))
    }

    /// What is to be started in place of the command.
    pub(in crate::run) fn argv(&self) -> &[String] {
        match self.0 {}
    }

    /// What became of it, after the command has ended.
    pub(in crate::run) fn left(self) -> Left {
        match self.0 {}
    }
}
