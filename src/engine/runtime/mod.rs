//! The embedded runtime: a process in a container, started by hoist itself.
//!
//! The library that makes containers forks, which a program with threads must
//! not do. So hoist runs itself again as `hoist __runtime DIRECTORY`, and
//! [`runtime_main`] does there what is described in the directory. The parent
//! holds the child's standard input: when it writes to it, or is gone, however that
//! comes, the container is killed.
//!
//! A container has namespaces of its own for processes, mounts, the network
//! (nothing but a loopback interface), IPC, and the host's name. No limits are
//! set by cgroups, so none are needed. The child lies in the container's network:
//! it asks what the container must answer ([`Request`]), and stops it when it has.
//! Whatever ends hoist, the child kills the container, and removes its directory, and what
//! that shares with others, if hoist cannot any more; and whatever ends the child, the
//! kernel kills the container.

#[cfg(target_os = "linux")]
mod asking;
#[cfg(target_os = "linux")]
mod child;
mod container;
#[cfg(target_os = "linux")]
mod isolation;
mod output;
mod parent;
mod request;
#[cfg(target_os = "linux")]
mod spec;

#[cfg(target_os = "linux")]
pub use child::runtime_main;
pub use container::{Container, Ended, Limits};
pub use output::{Output, Stream};
pub use parent::Runtime;
pub(in crate::engine) use parent::clear;
pub use request::Request;

/// The word by which hoist knows that it was started as a runtime.
const COMMAND: &str = "__runtime";

/// What the child is told, as files in its directory.
mod file {
    /// The container, as JSON.
    pub(super) const CONTAINER: &str = "container.json";
    /// How it ended, as JSON; written by the child.
    pub(super) const REPORT: &str = "report.json";
    /// The root file system.
    pub(super) const ROOTFS: &str = "rootfs";
    /// What the container writes where it shares its files.
    pub(super) const UPPER: &str = "upper";
    /// For the kernel, which puts what is written upon what is shared.
    pub(super) const WORK: &str = "work";
    /// For the library that makes containers.
    pub(super) const STATE: &str = "state";
}

/// Does nothing where there is no embedded runtime.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn runtime_main() -> Option<std::process::ExitCode> {
    None
}
