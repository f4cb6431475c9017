//! What `hoist clean` removes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cache::collect::{is_missing, kind_of, stay_inside};
use crate::cache::latest::{RUNS, has_project};
use crate::cache::{Cache, Output, OutputKind};
use crate::config::ProjectPath;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::Stat;

/// A list of what is to be removed, before anything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaning {
    /// What is removed, in this order.
    pub items: Vec<Item>,
    /// Outputs that are left alone: they are no longer what their step made.
    pub kept: Vec<ProjectPath>,
    /// Outputs that are left alone: they are tracked.
    pub tracked: Vec<ProjectPath>,
}

/// One thing to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// Its size in bytes; of a directory that is removed whole, with all that it
    /// holds.
    pub bytes: u64,
    /// What is removed.
    pub extent: Extent,
}

/// What is removed of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A file or a link.
    File,
    /// A directory, if it is empty by then.
    Empty,
    /// A directory with all that it holds.
    Whole,
    /// All that a directory holds, but for the last runs in it.
    AllButRuns,
}

impl Cache {
    /// What `hoist clean` removes of the outputs in the project: those of the last run
    /// of each step, as far as they are still what the step made, and nobody tracks
    /// them. The cache can bring them back.
    #[must_use]
    pub fn project_cleaning(&self, is_tracked: impl Fn(&Path) -> bool) -> Cleaning {
        let mut cleaning = Cleaning::default();
        for last in self.latest.all() {
            // From the inside out, so that directories are empty by their turn.
            for output in self.made_by(&last.record.step).as_slice().iter().rev() {
                cleaning.add_output(&self.root, output, &is_tracked);
            }
        }
        cleaning
    }

    /// What `hoist clean --cache` removes: all that the cache holds, of all
    /// projects, but for what tells which files in a project are its steps' own: they
    /// would be taken for somebody else's. Whoever uses it at that moment builds again
    /// or fails.
    #[must_use]
    pub fn cache_cleaning(&self) -> Cleaning {
        let names = ["content", "records", "images", "tmp"];
        let mut items: Vec<Item> = names.iter().filter_map(|name| Item::whole(self.dir.join(name))).collect();
        let projects = fs::read_dir(self.dir.join("projects")).into_iter().flatten().flatten();
        items.extend(projects.filter_map(|project| Item::project(project.path())));
        Cleaning { items, ..Cleaning::default() }
    }
}

impl Item {
    /// A directory with all that it holds, if it is there.
    #[must_use]
    pub fn whole(path: PathBuf) -> Option<Self> {
        let found = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_dir);
        let bytes = |path: &Path| files(path).iter().map(|(_, found)| found.len()).sum();
        found.map(|_| Self { bytes: bytes(&path), path, extent: Extent::Whole })
    }

    /// What the cache holds of a project, if there is anything to remove.
    fn project(path: PathBuf) -> Option<Self> {
        let runs = path.join(RUNS);
        if !has_project(&runs) {
            return Self::whole(path);
        }
        let bytes = files(&path)
            .iter()
            .filter(|(path, _)| !path.starts_with(&runs))
            .map(|(_, found)| found.len())
            .sum();
        (bytes > 0).then_some(Self { path, bytes, extent: Extent::AllButRuns })
    }
}

impl Cleaning {
    fn add_output(&mut self, root: &Path, output: &Output, is_tracked: &impl Fn(&Path) -> bool) {
        let path = root.join(output.path.as_path());
        let Ok(found) = fs::symlink_metadata(&path) else { return };
        let is_directory = matches!(output.kind, OutputKind::Directory { .. });
        if !is_directory && is_tracked(output.path.as_path()) {
            self.tracked.push(output.path.clone());
            return;
        }
        let inside = stay_inside(root, output.path.as_path()).is_ok();
        let extent = match &output.kind {
            _ if is_directory && found.is_dir() && inside => Extent::Empty,
            kind => {
                let same = kind_of(&path, &Stat::of(&found)).is_ok_and(|found| found.as_ref() == Some(kind));
                if !same || !inside {
                    self.kept.push(output.path.clone());
                    return;
                }
                Extent::File
            }
        };
        let bytes = if extent == Extent::File { found.len() } else { 0 };
        self.items.push(Item { path, bytes, extent });
    }

    /// The size of all items.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }

    /// Removes all items. What is gone already is no problem, and neither is an
    /// output directory that holds something else.
    ///
    /// # Errors
    /// Those that could not be removed ([`ReadOnly`](Code::ReadOnly)).
    pub fn remove(&self) -> Result<(), Problems> {
        let mut problems = Problems::new();
        for item in &self.items {
            let removed = match item.extent {
                Extent::File => fs::remove_file(&item.path),
                Extent::Whole => fs::remove_dir_all(&item.path),
                Extent::AllButRuns => remove_all_but_runs(&item.path),
                Extent::Empty => match fs::remove_dir(&item.path) {
                    Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                    removed => removed,
                },
            };
            match removed {
                Err(error) if !is_missing(&error) => problems.push(
                    Problem::new(Code::ReadOnly, format!("`{}` cannot be removed", item.path.display()))
                        .note(error.to_string()),
                ),
                _ => {}
            }
        }
        problems.or(())
    }
}

fn remove_all_but_runs(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if !path.ends_with(RUNS) {
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    Ok(())
}

/// All files below a directory, links not followed.
pub(super) fn files(dir: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let mut pending = vec![dir.to_owned()];
    let mut found = Vec::new();
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                Ok(metadata) => found.push((entry.path(), metadata)),
                Err(_) => {}
            }
        }
    }
    found
}
