//! How exactly the workspace has to hold what a step made.

use std::path::{Path, PathBuf};

use crate::cache::Outputs;
use crate::config::ProjectPath;

/// Names that tools give to directories in which they keep what saves them work and
/// changes no result.
const CACHES: [&str; 9] = [
    ".babel-cache",
    ".cache",
    ".mypy_cache",
    ".parcel-cache",
    ".pytest_cache",
    ".ruff_cache",
    ".vite-temp",
    ".vitest",
    "__pycache__",
];

/// Likewise, directly below `node_modules` alone: elsewhere a build makes something of that
/// name (`dist/.vite/manifest.json`).
const OF_MODULES: &str = ".vite";

/// Marks a directory as such a cache (<https://bford.info/cachedir/>).
const TAG: &str = "CACHEDIR.TAG";

/// How exactly the workspace has to hold what a step made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactness {
    /// To the last file: all that lies there becomes part of something else.
    Whole,
    /// What lies in the caches of tools, below a directory that is an output, may be
    /// what it is: programs that use the outputs keep them there.
    ButCaches,
}

impl Exactness {
    /// Whether something at a path, below one of the `directories` that belong to the
    /// step, may be what it is.
    pub(super) fn spares(self, root: &Path, directories: &[PathBuf], outputs: &Outputs, path: &Path) -> bool {
        let below = |directory: &PathBuf| path.strip_prefix(directory).ok();
        let Some(below) = directories.iter().find_map(below).filter(|_| self == Self::ButCaches) else {
            return false;
        };
        // One that the step made, and that has a mark, is a product like others.
        let is_marked = |above: &&Path| {
            let is_made = || ProjectPath::root().join(above).is_ok_and(|path| outputs.get(&path).is_some());
            root.join(above).join(TAG).is_file() && !is_made()
        };
        let names: Vec<_> = path.iter().collect();
        let of_modules = names.windows(2).any(|names| names[0] == "node_modules" && names[1] == OF_MODULES);
        of_modules
            || below.iter().any(|name| CACHES.iter().any(|cache| name == *cache))
            || path.ancestors().take(below.iter().count()).any(|above| is_marked(&above))
    }
}
