//! Making room for what a step is about to make.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cache::collect::{Found, is_missing, matched};
use crate::cache::restore::{DISPLACED, State, denied, displace, displaced_dir, set_mode, state};
use crate::cache::selection::Selection;
use crate::cache::{Cache, Output};
use crate::config::{Pattern, ProjectPath};
use crate::diagnostic::Problems;
use crate::facts::InputKind;
use crate::plan::StepId;

/// Who made what lies where a step makes its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The last run of the step, as far as it is still what that made. The rest is
    /// somebody's, and moved to `.hoist/displaced`.
    LastRun,
    /// An attempt to run the step, for which room was made before.
    Attempt,
}

impl Cache {
    /// Takes away what lies where a step makes its outputs, so that what it makes
    /// does not depend on what was there: a file that it does not make any more
    /// would be kept as if it had. What only a wildcard outside of output directories
    /// matches stays: it may be somebody's.
    ///
    /// `inputs` are the files that it reads: where one of them lies there, it works
    /// on its inputs in place, and nothing is touched.
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
        maker: Maker,
    ) -> Result<(), Problems> {
        let selection = Selection::new(patterns)?;
        let mut found: Vec<Found> = Vec::new();
        for rule in selection.rules().filter(|rule| rule.directory().is_some()) {
            let covered = matched(&self.root, rule)?.into_iter();
            found.extend(covered.filter(|found| selection.covers(&found.path)));
        }
        if found.is_empty() || found.iter().any(|found| inputs.contains(found.path.as_path())) {
            return Ok(());
        }
        let last = self.latest.get(&step.to_string()).map(|last| last.record.outputs).unwrap_or_default();
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
            if is_directory || maker == Maker::Attempt || is_ours(path) {
                remove(&self.root, path, is_directory).map_err(|error| denied(path, &error))?;
            } else {
                displaced.insert(path.clone());
            }
        }
        if !displaced.is_empty() {
            let to = displaced_dir(&self.root).map_err(|error| denied(Path::new(DISPLACED), &error))?;
            for path in &displaced {
                displace(&self.root, path, &to).map_err(|error| denied(path, &error))?;
            }
        }
        // Directories that held what was displaced.
        for Found { path, .. } in &found {
            let _holds_others = fs::remove_dir(self.root.join(path));
        }
        Ok(())
    }
}

/// Removes a file, or a directory if it is empty. A directory that its owner may
/// not write is opened for it.
fn remove(root: &Path, path: &Path, is_directory: bool) -> io::Result<()> {
    let full = root.join(path);
    let removed = || if is_directory { fs::remove_dir(&full) } else { fs::remove_file(&full) };
    let result = removed().or_else(|error| match full.parent() {
        Some(above) if error.kind() == io::ErrorKind::PermissionDenied => {
            set_mode(above, 0o700).and_then(|()| removed())
        }
        _ => Err(error),
    });
    match result {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty || is_missing(&error) => Ok(()),
        result => result,
    }
}
