//! A target in a sandbox: the kernel denies it files of the project that it does
//! not declare, and what it was denied is told by name.
//!
//! Landlock is what denies: hoist starts itself again as `hoist __sandbox
//! DIRECTORY COMMAND…`, which takes rules on from a file and becomes the command,
//! so that signals, process groups, and exit codes are those of the command.
//! Landlock says nothing of what it denied, so each call that opens, executes, or
//! changes a path is announced to hoist before it happens (seccomp's user
//! notification), which notes what will be denied. It also does what rules on
//! directories cannot express: an output in a directory that holds other files is
//! opened on behalf of the command. Where calls cannot be watched, everything is
//! denied all the same, and the path is not known.
//!
//! The same watch without rules finds out what a target reads (`--learn`).
//! Must not be called by anything but the worker and `main`.

#[cfg(target_os = "linux")]
mod call;
#[cfg(target_os = "linux")]
mod child;
mod deed;
#[cfg(target_os = "linux")]
mod enter;
#[cfg(target_os = "linux")]
mod filter;
mod learned;
#[cfg(target_os = "linux")]
mod memory;
mod notes;
#[cfg(target_os = "linux")]
mod notification;
#[cfg(target_os = "linux")]
mod places;
mod policy;
mod proposal;
mod reach;
mod report;
mod rules;
mod step;
#[cfg(target_os = "linux")]
mod watch;

#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod enter;

#[cfg(target_os = "linux")]
pub use child::{sandbox_main, sandbox_support};
pub use learned::Learned;

pub(super) use enter::{Entry, Left};
pub(super) use step::{Cage, Mode, no_sandbox, run, unchecked};

/// The word by which hoist knows that it was started for a sandbox.
const COMMAND: &str = "__sandbox";

/// What lies in the private directory of a step.
mod file {
    /// The rules; read by the child.
    pub(super) const RULES: &str = "rules";
    /// Where hoist listens for the child.
    pub(super) const SOCKET: &str = "socket";
    /// The step's directory for temporary files.
    pub(super) const TEMPORARY: &str = "tmp";
}

/// Does nothing where there is no sandbox.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn sandbox_main() -> Option<std::process::ExitCode> {
    None
}

/// There is no sandbox on other systems.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn sandbox_support() -> Result<(), String> {
    Err("sandboxes need Linux".to_owned())
}
