//! Making room for what a step is about to make.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cache::collect::{Found, is_missing, matched};
use crate::cache::part::path_text;
use crate::cache::restore::{State, denied, displace_all, set_mode, state};
use crate::cache::selection::Selection;
use crate::cache::{Cache, Output, Outputs, Part, Trace};
use crate::config::{Pattern, ProjectPath};
use crate::diagnostic::Problems;
use crate::facts::InputKind;
use crate::plan::StepId;

impl Cache {
    /// Takes away what lies where a step makes its outputs, so that what it makes
    /// does not depend on what was there: a file that it does not make any more
    /// would be kept as if it had. What only a wildcard outside of output directories
    /// matches stays: it may be somebody's.
    ///
    /// `inputs` are the files that it reads: where one of them lies there, it works
    /// on its inputs in place, and nothing is touched. Says where something was moved
    /// to, in the project.
    ///
    /// # Errors
    /// The workspace cannot be written ([`ReadOnly`](crate::diagnostic::Code::ReadOnly));
    /// a symbolic link leads out of the project
    /// ([`OutsideProject`](crate::diagnostic::Code::OutsideProject)).
    pub fn clear(
        &self,
        step: &StepId,
        patterns: &[Pattern],
        inputs: &HashSet<&Path>,
    ) -> Result<Option<PathBuf>, Problems> {
        let selection = Selection::new(patterns)?;
        let mut found: Vec<Found> = Vec::new();
        for rule in selection.rules() {
            let Some(directory) = rule.directory() else { continue };
            // What a link leads to is not the step's.
            if !rule.matches(&directory) && self.root.join(&directory).is_symlink() {
                continue;
            }
            let covered = matched(&self.root, rule)?.into_iter();
            found.extend(covered.filter(|found| selection.covers(&found.path)));
        }
        if found.is_empty() || found.iter().any(|found| inputs.contains(found.path.as_path())) {
            return Ok(None);
        }
        let last = self.made_by(&step.to_string());
        let is_ours = |path: &Path| {
            let made = ProjectPath::root().join(path).ok().and_then(|path| {
                let kind = last.get(&path)?.clone();
                Some(Output { path, kind })
            });
            made.is_some_and(|made| matches!(state(&self.root, &made, &self.looks), Ok(State::Same)))
        };
        // From the inside out, so that directories are empty by their turn.
        found.sort_by(|one, other| other.path.cmp(&one.path));
        found.dedup_by(|one, other| one.path == other.path);
        let mut displaced: BTreeSet<PathBuf> = BTreeSet::new();
        for Found { path, seen } in &found {
            let is_directory = seen.stat.kind() == Some(InputKind::Directory);
            if is_directory || is_ours(path) {
                let may_open =
                    path.parent().is_some_and(|above| found.iter().any(|found| found.path == above));
                remove(&self.root.join(path), is_directory, may_open)
                    .map_err(|error| denied(path, &error))?;
            } else {
                displaced.insert(path.clone());
            }
        }
        let moved = displace_all(&self.root, &displaced)?;
        // Directories that held what was displaced.
        for Found { path, .. } in &found {
            let _holds_others = fs::remove_dir(self.root.join(path));
        }
        Ok(moved)
    }

    /// What the last run of a step made. Of one that worked on its inputs in place,
    /// nothing is taken for its own.
    pub(super) fn made_by(&self, step: &str) -> Outputs {
        let Some((last, trace)) = self.latest.explained(step) else { return Outputs::default() };
        let parts = trace.as_ref().map(Trace::parts).unwrap_or_default();
        let read = |path: &ProjectPath| {
            let path = Part::Input(path_text(path.as_path().as_os_str()));
            parts.binary_search_by(|(part, _)| part.cmp(&path)).is_ok()
        };
        let in_place = trace.is_none() || last.record.outputs.iter().any(|output| read(&output.path));
        if in_place { Outputs::default() } else { last.record.outputs }
    }
}

/// Removes a file, or a directory if it is empty and nothing is mounted there.
/// Where `may_open`, the directory above belongs to the step, and is opened if its
/// owner may not write it.
fn remove(path: &Path, is_directory: bool, may_open: bool) -> io::Result<()> {
    let removed = || if is_directory { fs::remove_dir(path) } else { fs::remove_file(path) };
    let result = removed().or_else(|error| match path.parent() {
        Some(above) if may_open && error.kind() == io::ErrorKind::PermissionDenied => {
            set_mode(above, 0o700).and_then(|()| removed())
        }
        _ => Err(error),
    });
    match result {
        Err(error) if is_missing(&error) => Ok(()),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy) =>
        {
            Ok(())
        }
        result => result,
    }
}
