//! Digests of files that were read before.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::facts::{Clock, InputFile, InputKind, Stat};

/// So many files that are gone cost nothing that is worth looking for them, and so
/// many are looked at each time.
const MANY: usize = 1000;

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

    /// The digest of a file, by its path in the project, of which the file system says
    /// this.
    #[must_use]
    pub fn digest(&self, path: &Path, stat: &Stat) -> Option<[u8; 32]> {
        let (known, digest) = self.0.get(path.as_os_str().as_bytes())?;
        (known == stat).then_some(*digest)
    }

    /// Whether nothing can be [learnt](Self::learn) from files that were read.
    #[must_use]
    pub fn has_all<'a>(&self, files: impl IntoIterator<Item = &'a InputFile>, clock: Clock) -> bool {
        let known = |file: &InputFile| self.digest(file.path.as_path(), &file.seen.stat) == Some(file.digest);
        files.into_iter().all(|file| !is_worth(file, clock) || known(file))
    }

    /// Adds what was known before of other files of the project in `root`: they belong
    /// to other goals, or are gone. Where they are many more, some of them are looked
    /// at, and left out if they are gone.
    pub fn join(&mut self, earlier: &Self, root: &Path) {
        let others = earlier.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        let mut others: Vec<_> = others.map(|(path, known)| (path.clone(), *known)).collect();
        if others.len() > self.len() + MANY {
            let now = |path: &[u8]| root.join(OsStr::from_bytes(path)).symlink_metadata();
            // The order is another one in each process: all have their turn.
            let mut at = 0..;
            others.retain(|(path, (stat, _))| {
                at.next() >= Some(MANY) || now(path).is_ok_and(|found| Stat::of(&found) == *stat)
            });
        }
        self.0.extend(others);
    }

    /// Adds files that were read, as far as they have settled.
    pub fn learn<'a>(&mut self, files: impl IntoIterator<Item = &'a InputFile>, clock: Clock) {
        for file in files.into_iter().filter(|file| is_worth(file, clock)) {
            let path = file.path.as_path().as_os_str().as_bytes().to_vec();
            self.insert(path, file.seen.stat, file.digest);
        }
    }
}

/// Whether the digest of a file saves reading it, and later changes show.
fn is_worth(file: &InputFile, clock: Clock) -> bool {
    matches!(file.kind, InputKind::File | InputKind::Executable) && file.seen.is_settled(clock)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_that_are_gone_are_forgotten_before_they_are_many() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("there"), "1").unwrap();
        let stat = |name: &str| Stat::of(&root.path().join(name).metadata().unwrap());
        let mut earlier = KnownFiles::new();
        earlier.insert(b"there".to_vec(), stat("there"), [1; 32]);
        let mut most = 0;
        for number in 0..2 * MANY {
            earlier.insert(format!("gone-{number}").into_bytes(), stat("there"), [0; 32]);
            let mut joined = KnownFiles::new();
            joined.join(&earlier, root.path());
            assert!(joined.len() <= MANY && joined.0.contains_key(b"there".as_slice()));
            most = most.max(joined.len());
            earlier = joined;
        }
        assert!(most > 1);
    }
}
