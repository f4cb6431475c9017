//! Paths inside the project.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// What belongs to git and to hoist, at any depth: no part of the project's files.
pub const PRIVATE: [&str; 2] = [".git", ".hoist"];

/// A path relative to the project's directory, without `.` and `..`; empty for
/// the directory itself. It need not be valid UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProjectPath(PathBuf);

/// A path that leads out of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutsideProject;

impl ProjectPath {
    /// The project's own directory.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// `path` as seen from this directory, normalised by its text alone.
    ///
    /// # Errors
    /// An absolute path, or one whose `..` lead above the project.
    pub fn join(&self, path: impl AsRef<Path>) -> Result<Self, OutsideProject> {
        let mut joined = self.0.clone();
        for component in path.as_ref().components() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) => joined.push(name),
                Component::ParentDir if joined.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    return Err(OutsideProject);
                }
            }
        }
        Ok(Self(joined))
    }

    /// The path, relative to the project's directory.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Whether this is the project's own directory.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.as_os_str().is_empty()
    }

    /// The directory that it lies in; `None` for the project's own directory.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().map(|parent| Self(parent.to_owned()))
    }
}

impl fmt::Display for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str(".") } else { self.0.display().fmt(f) }
    }
}
