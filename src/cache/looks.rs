//! What the file system said of outputs, and what was in them.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::Blake3;
use crate::cache::content::digest_at;
use crate::config::ProjectPath;
use crate::facts::{Clock, KnownFiles, Seen};

/// What was known of files before, and what was seen of outputs since. Cheap to
/// clone, and shared by its clones.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks {
    known: Arc<KnownFiles>,
    fresh: Arc<Mutex<HashMap<Vec<u8>, Look>>>,
    /// How finely the file system counts time, where what was seen may be relied on.
    clock: Option<Clock>,
}

/// What the file system said of an output before it was read, and the digest of
/// its content if it is a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the file system said, and when.
    pub seen: Seen,
    /// The digest of a file's content.
    pub digest: Option<Blake3>,
}

impl Looks {
    /// These files are known from before.
    pub(super) fn new(known: KnownFiles) -> Self {
        Self { known: Arc::new(known), ..Self::default() }
    }

    /// The same, where what was seen of files that have settled need not be read again.
    pub(super) fn relying_on(&self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self.clone() }
    }

    /// The digest of a file that was just seen; it is read unless it is known.
    pub(super) fn digest(&self, path: &ProjectPath, full: &Path, seen: Seen) -> io::Result<Blake3> {
        let settled = |look: &Look| {
            look.seen.stat == seen.stat && self.clock.is_some_and(|clock| look.seen.is_settled(clock))
        };
        let fresh = || self.of(path).filter(settled);
        let known = self.known.digest(path.as_path(), &seen.stat).map(Blake3);
        let known = known.or_else(|| fresh()?.digest);
        let digest = match known {
            Some(digest) => digest,
            None => digest_at(full, seen.stat.size)?.0,
        };
        self.note(path, Look { seen, digest: Some(digest) });
        Ok(digest)
    }

    /// Remembers what was seen of an output.
    pub(super) fn note(&self, path: &ProjectPath, look: Look) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.insert(path.as_path().as_os_str().as_bytes().to_vec(), look);
    }

    /// What was seen last of an output.
    pub(super) fn of(&self, path: &ProjectPath) -> Option<Look> {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.get(path.as_path().as_os_str().as_bytes()).copied()
    }

    /// Forgets what was seen of outputs.
    pub(super) fn forget<'p>(&self, paths: impl Iterator<Item = &'p ProjectPath>) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        for path in paths {
            fresh.remove(path.as_path().as_os_str().as_bytes());
        }
    }

    /// What was known before.
    pub(super) fn known(&self) -> &KnownFiles {
        &self.known
    }

    /// What was seen of files that have settled.
    pub(super) fn seen(&self, clock: Clock) -> KnownFiles {
        let mut known = KnownFiles::new();
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, look) in fresh.iter() {
            if let Some(digest) = look.digest.filter(|_| look.seen.is_settled(clock)) {
                known.insert(path.clone(), look.seen.stat, digest.0);
            }
        }
        known
    }
}
