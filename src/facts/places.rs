//! What lies at places of the project, each looked at once.

use std::collections::HashMap;
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::ProjectPath;
use crate::facts::InputQuery;

/// Places of a project, as they were when they were first looked at.
pub(super) struct Places<'a> {
    root: &'a Path,
    /// What is asked of them: a link in the place of something that is made leads nowhere,
    /// for it will not be there.
    queries: &'a [InputQuery],
    kinds: Mutex<HashMap<PathBuf, Option<FileType>>>,
    real: Mutex<HashMap<PathBuf, PathBuf>>,
}

impl<'a> Places<'a> {
    /// Those of the project in `root`, which is absolute and without symbolic links.
    pub(super) fn new(root: &'a Path) -> Self {
        Self::asked_by(root, &[])
    }

    /// Those that these queries are about.
    pub(super) fn asked_by(root: &'a Path, queries: &'a [InputQuery]) -> Self {
        Self { root, queries, kinds: Mutex::default(), real: Mutex::default() }
    }

    /// The project's directory.
    pub(super) const fn root(&self) -> &'a Path {
        self.root
    }

    /// What is at a path; `None` if nothing is.
    pub(super) fn kind(&self, path: &Path) -> Option<FileType> {
        if let Some(known) = locked(&self.kinds).get(path) {
            return *known;
        }
        let kind = self.root.join(path).symlink_metadata().ok().map(|found| found.file_type());
        locked(&self.kinds).insert(path.to_owned(), kind);
        kind
    }

    /// A directory by its path without symbolic links, which is absolute where it lies
    /// outside of the project. One that does not exist is as it is written.
    pub(super) fn real(&self, directory: &Path) -> PathBuf {
        if let Some(known) = locked(&self.real).get(directory) {
            return known.clone();
        }
        let real = match self.root.join(directory).canonicalize() {
            Ok(real) => real.strip_prefix(self.root).map(Path::to_owned).unwrap_or(real),
            Err(_) => directory.to_owned(),
        };
        let real = if real != directory && self.is_made(directory) { directory.to_owned() } else { real };
        locked(&self.real).insert(directory.to_owned(), real.clone());
        real
    }

    /// Whether a directory is an output that is named, or lies in one.
    fn is_made(&self, directory: &Path) -> bool {
        let made = self.queries.iter().flat_map(|query| &query.generated);
        let mut named = made.filter(|made| !made.negated && made.is_literal());
        named.any(|made| {
            let made = ProjectPath::root().join(&made.glob.value);
            made.is_ok_and(|made| directory.starts_with(made.as_path()))
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
