//! Making room for what a step is about to make.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cache::collect::{Found, is_missing, matched};
use crate::cache::restore::{State, denied, displace_all, set_mode, state};
use crate::cache::selection::Selection;
use crate::cache::{Cache, Output, Outputs};
use crate::config::{Pattern, ProjectPath};
use crate::diagnostic::Problems;
use crate::facts::{InputKind, Stat};
use crate::plan::{Effect, StepId};

/// What only a wildcard of a step's outputs matches, and that lay there before the
/// step ran, with links in the place of outputs of what always runs: it is somebody's,
/// unless the step writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    files: HashMap<PathBuf, Stat>,
    /// Whether it is right that the step leaves all of it as it was.
    pub(super) may_stay: bool,
}

impl Standing {
    /// Whether something that lies there now is not what lay there before.
    pub(super) fn is_made(&self, found: &Found) -> bool {
        self.files.get(&found.path) != Some(&found.seen.stat)
    }
}

/// What a step finds where it makes its outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What stays where it lies.
    pub standing: Standing,
    /// Where something was moved to, in the project.
    pub moved: Option<PathBuf>,
}

/// What the patterns of a step's outputs match.
#[derive(Default)]
struct Lying {
    /// In directories that belong to the step, and what is named by its path.
    own: Vec<Found>,
    /// What only a wildcard outside of these matches.
    wild: Vec<Found>,
}

impl Cache {
    /// Takes away what lies where a step makes its outputs, so that what it makes
    /// does not depend on what was there: a file that it does not make any more
    /// would be kept as if it had. What only a wildcard outside of output directories
    /// matches stays, unless the step's last run made it: it is somebody's. What
    /// always runs may build on what it made before: then all stays.
    ///
    /// `inputs` are the files that it reads: where one of them lies in its place, it
    /// works on its inputs in place, and nothing is taken away. `before` is the room
    /// that was made for an attempt of the same run that failed: what lies there now
    /// and did not then was made by that.
    ///
    /// # Errors
    /// The workspace cannot be written ([`ReadOnly`](crate::diagnostic::Code::ReadOnly));
    /// a symbolic link leads out of the project
    /// ([`OutsideProject`](crate::diagnostic::Code::OutsideProject)).
    pub fn clear(
        &self,
        (step, effect): (&StepId, Effect),
        patterns: &[Pattern],
        inputs: &HashSet<&Path>,
        before: Option<&Standing>,
    ) -> Result<Room, Problems> {
        let Lying { mut own, wild } = self.lying(patterns)?;
        let builds_on = effect != Effect::Cacheable;
        let mut room = Room::default();
        room.standing.may_stay = builds_on;
        if own.is_empty() && wild.is_empty() {
            return Ok(room);
        }
        let in_place = builds_on || own.iter().any(|found| inputs.contains(found.path.as_path()));
        let last = self.made_by(&step.to_string());
        let is_ours = |path: &Path| self.is_made(&last, path);
        for found in wild {
            let somebodys = match before {
                Some(before) => before.files.contains_key(&found.path),
                None => !is_ours(&found.path),
            };
            // What is read is part of the key, and may be made what it is.
            let is_read = inputs.contains(found.path.as_path());
            if somebodys && !is_read {
                let was = before.and_then(|before| before.files.get(&found.path));
                room.standing.files.insert(found.path, was.copied().unwrap_or(found.seen.stat));
            } else if !is_read && !in_place {
                own.push(found);
            }
        }
        if builds_on {
            // A link in an output's place that is written through stays somebody's.
            let is_link = |found: &Found| found.seen.stat.kind() == Some(InputKind::Symlink);
            let links = own.into_iter().filter(|found| is_link(found) && !is_ours(&found.path));
            room.standing.files.extend(links.map(|found| (found.path, found.seen.stat)));
            return Ok(room);
        }
        if in_place {
            return Ok(room);
        }
        // From the inside out, so that directories are empty by their turn.
        own.sort_by(|one, other| other.path.cmp(&one.path));
        own.dedup_by(|one, other| one.path == other.path);
        let mut displaced: BTreeSet<PathBuf> = BTreeSet::new();
        for Found { path, seen } in &own {
            let is_directory = seen.stat.kind() == Some(InputKind::Directory);
            if is_directory || before.is_some() || is_ours(path) {
                let may_open = path.parent().is_some_and(|above| own.iter().any(|found| found.path == above));
                remove(&self.root.join(path), is_directory, may_open)
                    .map_err(|error| denied(path, &error))?;
            } else {
                displaced.insert(path.clone());
            }
        }
        room.moved = displace_all(&self.root, &displaced)?;
        // Directories that held what was displaced.
        for Found { path, .. } in &own {
            let _holds_others = fs::remove_dir(self.root.join(path));
        }
        Ok(room)
    }

    fn lying(&self, patterns: &[Pattern]) -> Result<Lying, Problems> {
        let selection = Selection::new(patterns)?;
        let mut lying = Lying::default();
        for rule in selection.rules() {
            let directory = rule.directory();
            // What a link leads to is not the step's.
            if directory
                .as_ref()
                .is_some_and(|directory| !rule.matches(directory) && self.root.join(directory).is_symlink())
            {
                continue;
            }
            let covered = matched(&self.root, rule)?.into_iter();
            let covered = covered.filter(|found| selection.covers(&found.path));
            if directory.is_some() { lying.own.extend(covered) } else { lying.wild.extend(covered) }
        }
        let own: HashSet<&Path> = lying.own.iter().map(|found| found.path.as_path()).collect();
        lying.wild.retain(|found| !own.contains(found.path.as_path()));
        Ok(lying)
    }

    /// Whether what lies somewhere is as it was made.
    pub(super) fn is_made(&self, made: &Outputs, path: &Path) -> bool {
        let made = ProjectPath::root().join(path).ok().and_then(|path| {
            let kind = made.get(&path)?.clone();
            Some(Output { path, kind })
        });
        made.is_some_and(|made| matches!(state(&self.root, &made, &self.looks), Ok(State::Same)))
    }

    /// What the last run of a step made. Of one that worked on its inputs in place,
    /// nothing is taken for its own.
    pub(super) fn made_by(&self, step: &str) -> Outputs {
        let Some((last, trace)) = self.latest.explained(step) else { return Outputs::default() };
        let reads = |output: &Output| trace.as_ref().is_none_or(|trace| trace.reads(&output.path));
        let in_place = trace.is_none() || last.record.outputs.iter().any(reads);
        if in_place { Outputs::default() } else { last.record.outputs }
    }
}

/// Removes a file, or a directory if it is empty and nothing is mounted there.
/// Where `may_open`, the directory above belongs to the step, and is opened if its
/// owner may not write it.
pub(super) fn remove(path: &Path, is_directory: bool, may_open: bool) -> io::Result<()> {
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
