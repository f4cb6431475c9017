//! A release with what it was read from.

use std::fs::{File, Metadata};

use serde::{Deserialize, Serialize};

use crate::config::{Include, ProjectPath, Release};
use crate::diagnostic::Sources;
use crate::facts::Project;
use crate::facts::load::{included, read};

/// A release, ready to be used while the files that it was read from say the
/// same. Its stored form is that of one build of hoist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compiled {
    /// What it was read from.
    pub origin: Origin,
    /// What they declare.
    pub release: Release,
}

/// What a release was read from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// How many other texts there were, which counts in its spans.
    pub(super) first: usize,
    /// The name of the project's directory, which the project has if the file
    /// gives it none.
    pub(super) directory: String,
    /// The files in the order in which they were read, and their BLAKE3.
    pub(super) files: Vec<(ProjectPath, [u8; 32])>,
    /// What wildcards of an `include` in a file meant.
    pub(super) wildcards: Vec<(ProjectPath, Include, Vec<ProjectPath>)>,
}

impl Origin {
    /// The digest of all files.
    #[must_use]
    pub fn files(&self) -> &[(ProjectPath, [u8; 32])] {
        &self.files
    }

    /// Whether the files still say the same, and come behind as many other texts. Holds
    /// none of them in memory.
    #[must_use]
    pub fn holds(&self, project: &Project, sources: &Sources) -> bool {
        let same = |(path, digest): &(ProjectPath, [u8; 32])| {
            let path = project.root.join(path.as_path());
            let file = path.metadata().ok().filter(Metadata::is_file).and_then(|_| File::open(&path).ok());
            file.is_some_and(|file| {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(file).is_ok_and(|hasher| hasher.finalize() == *digest)
            })
        };
        self.is_of(project, sources) && self.files.iter().all(same)
    }

    /// The texts with those of the files, if that [holds](Self::holds).
    #[must_use]
    pub fn read_again(&self, project: &Project, sources: &Sources) -> Option<Sources> {
        if !self.is_of(project, sources) {
            return None;
        }
        let mut sources = sources.clone();
        for (path, digest) in &self.files {
            let text = read(&project.root, path, None).ok()?;
            if blake3::hash(text.as_bytes()).as_bytes() != digest {
                return None;
            }
            sources.add(path.to_string(), text);
        }
        Some(sources)
    }

    /// Whether these are the names of the files, and their spans are those of the
    /// release.
    fn is_of(&self, project: &Project, sources: &Sources) -> bool {
        let name = project.root.file_name().unwrap_or_default().to_string_lossy();
        let file = project.file.strip_prefix(&project.root);
        let top = self.files.first().map(|(top, _)| top.as_path());
        let same = |(from, include, files): &(ProjectPath, Include, Vec<ProjectPath>)| {
            included(&project.root, from, include).is_ok_and(|found| found == *files)
        };
        file.is_ok_and(|file| Some(file) == top)
            && name == self.directory
            && sources.iter().count() == self.first
            && self.wildcards.iter().all(same)
    }
}
