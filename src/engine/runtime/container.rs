//! What runs in a container, and how it ended.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::runtime::Request;

/// A process that is run in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The program, as an absolute path in the container.
    pub program: String,
    /// Its arguments, the first of them its name.
    pub args: Vec<String>,
    /// Its variables, as `NAME=value`.
    pub env: Vec<String>,
    /// The directory that it starts in: absolute.
    pub cwd: String,
    /// The user that it runs as.
    pub uid: u32,
    /// The group that it runs as.
    pub gid: u32,
    /// Further groups that it belongs to.
    pub groups: Vec<u32>,
    /// The host's name as the container sees it.
    pub hostname: String,
    /// A root file system that is only read: what the container writes is put beside
    /// it. Without one it has that of its directory for itself.
    pub base: Option<PathBuf>,
    /// What is removed where hoist is killed; without it the container's directory, which
    /// lies in it.
    pub scratch: Option<PathBuf>,
    /// What it must answer, one after the other. When it has, it is stopped.
    pub requests: Vec<Request>,
    /// The signal that stops it, such as `SIGTERM`, which is the default.
    pub stop_signal: Option<String>,
}

/// When a container is killed.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// How long it may run.
    pub timeout: Duration,
    /// Set by whoever wants it to end.
    pub stop: &'a AtomicBool,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its process exited with this status.
    Exited(u8),
    /// Its process was killed by this signal.
    Signalled(u8),
    /// It was killed because it did not end in time.
    TimedOut,
    /// It was killed because its end was asked for.
    Stopped,
}

/// What came of a container, in the words of the child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    /// Of each request why it was not answered as it must be, if so.
    pub(super) unmet: Vec<Option<String>>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Exited(u8),
    Signalled(u8),
    /// It was not run, for this reason.
    Refused(String),
}
