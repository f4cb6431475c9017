//! Who has a pipe open.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;

/// Pipes, by what the system calls them.
#[derive(Clone, Debug)]
pub struct Pipes(Vec<PathBuf>);

impl Pipes {
    /// Those of these numbers, which are those of their inodes.
    #[must_use]
    pub fn new(numbers: &[u64]) -> Self {
        Self(numbers.iter().map(|number| format!("pipe:[{number}]").into()).collect())
    }

    /// Whether a process has one of them open, as far as the system tells.
    #[must_use]
    pub fn are_held_by(&self, process: impl Display) -> bool {
        let open = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        open.filter_map(|open| fs::read_link(open.path()).ok()).any(|open| self.0.contains(&open))
    }
}
