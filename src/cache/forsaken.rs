//! What a step made and does not declare any more.

use std::fs;
use std::path::Path;

use crate::cache::clear::remove;
use crate::cache::selection::Selection;
use crate::cache::{Cache, Output, OutputKind, Trace};
use crate::config::Pattern;
use crate::plan::StepId;

impl Cache {
    /// What the last run of a step made, lies there as it made it, and is covered by none of
    /// the `patterns` that the step declares now, with the trace that it is about to run
    /// with; what a directory holds comes before it.
    #[must_use]
    pub fn forsaken(&self, trace: &Trace, patterns: &[Pattern]) -> Vec<Output> {
        // Its patterns are part of its key.
        let step = trace.step();
        if self.latest.key(step) == Some(trace.key()) || !self.has_others(step, patterns) {
            return Vec::new();
        }
        let Ok(selection) = Selection::new(patterns) else { return Vec::new() };
        let made = self.made_by(step);
        let is_forsaken = |output: &&Output| {
            let path = output.path.as_path();
            !selection.covers(path)
                && !selection.is_denied(path)
                && !trace.reads(&output.path)
                && !path.ancestors().skip(1).any(|above| self.root.join(above).is_symlink())
                && self.is_made(&made, path)
        };
        made.iter().rev().filter(is_forsaken).cloned().collect()
    }

    /// Whether the last run of a step made what none of these patterns covers.
    #[must_use]
    pub fn has_forsaken(&self, step: &StepId, patterns: &[Pattern]) -> bool {
        self.has_others(&step.to_string(), patterns)
    }

    fn has_others(&self, step: &str, patterns: &[Pattern]) -> bool {
        let Some(made) = self.latest.made(step).filter(|made| !made.outputs.is_empty()) else { return false };
        let Ok(selection) = Selection::new(patterns) else { return false };
        made.outputs.iter().any(|output| !selection.covers(output.path.as_path()))
    }

    /// Removes a forsaken output, and says whether it is gone: not a directory that holds
    /// something else, or what may not be removed.
    #[must_use]
    pub fn remove_forsaken(&self, output: &Output) -> bool {
        let path = self.root.join(output.path.as_path());
        let is_directory = matches!(output.kind, OutputKind::Directory { .. });
        remove(&path, is_directory, false).is_ok() && is_gone(&path)
    }
}

fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err()
}
