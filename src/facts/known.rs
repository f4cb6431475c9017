//! Digests of files that were read before.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;

use serde::{Deserialize, Serialize};

use crate::config::ProjectPath;
use crate::facts::{Clock, InputFile, InputKind, Stat};

/// Digests of files that were read before, each with what the file system said
/// of the file: while it says the same, the file need not be read again. Holds
/// only what has settled, see [`Seen::is_settled`](crate::facts::Seen).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KnownFiles(HashMap<Vec<u8>, (Stat, [u8; 32])>);

impl KnownFiles {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file by its path in the project.
    pub fn insert(&mut self, path: Vec<u8>, stat: Stat, digest: [u8; 32]) {
        self.0.insert(path, (stat, digest));
    }

    /// All files.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Stat, &[u8; 32])> {
        self.0.iter().map(|(path, (stat, digest))| (path.as_slice(), stat, digest))
    }

    /// How many files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digest of a file of which the file system says this.
    #[must_use]
    pub fn digest(&self, path: &ProjectPath, stat: &Stat) -> Option<[u8; 32]> {
        let (known, digest) = self.0.get(path.as_path().as_os_str().as_bytes())?;
        (known == stat).then_some(*digest)
    }

    /// Adds files that were read, as far as they have settled.
    pub fn learn<'a>(&mut self, files: impl IntoIterator<Item = &'a InputFile>, clock: Clock) {
        for file in files {
            let worth = matches!(file.kind, InputKind::File | InputKind::Executable);
            if worth && file.seen.is_settled(clock) {
                let path = file.path.as_path().as_os_str().as_bytes().to_vec();
                self.insert(path, file.seen.stat, file.digest);
            }
        }
    }
}
