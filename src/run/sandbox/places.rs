//! Where paths lead; for a moment, directories are remembered.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::run::sandbox::deed::There;

/// How long a directory is not looked at again: it may be changed by others, too,
/// and a change that was announced comes only later.
const MOMENT: Duration = Duration::from_millis(20);

/// Directories by the paths under which they were named.
#[derive(Debug)]
pub(super) struct Places {
    known: HashMap<PathBuf, PathBuf>,
    since: Instant,
}

impl Default for Places {
    fn default() -> Self {
        Self { known: HashMap::new(), since: Instant::now() }
    }
}

impl Places {
    /// The place that a path leads to, without symbolic links, and what is there.
    /// Where `follow` is not set, a link at its end stands for itself. `None` where
    /// the directory does not exist.
    pub(super) fn resolve(&mut self, path: &Path, follow: bool) -> Option<(PathBuf, There)> {
        let bytes = path.as_os_str().as_bytes();
        let whole = Path::new(OsStr::from_bytes(bytes.strip_suffix(b"/").unwrap_or(bytes)));
        let real = match whole.file_name() {
            Some(name) => self.directory(whole.parent()?)?.join(name),
            None => whole.canonicalize().ok()?,
        };
        let found = real.symlink_metadata().ok();
        if follow
            && found.as_ref().is_some_and(Metadata::is_symlink)
            && let Ok(real) = real.canonicalize()
        {
            let there = there(real.symlink_metadata().ok().as_ref());
            return Some((real, there));
        }
        Some((real, there(found.as_ref())))
    }

    /// Forgets all: something may go away that paths lead through.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    fn directory(&mut self, path: &Path) -> Option<PathBuf> {
        // What stands there means something else for each process.
        if path.starts_with("/proc") {
            return path.canonicalize().ok();
        }
        if self.since.elapsed() > MOMENT {
            self.forget();
            self.since = Instant::now();
        }
        if let Some(known) = self.known.get(path) {
            return Some(known.clone());
        }
        let real = path.canonicalize().ok()?;
        self.known.insert(path.to_owned(), real.clone());
        Some(real)
    }
}

fn there(found: Option<&Metadata>) -> There {
    match found {
        Some(found) if found.is_dir() => There::Directory,
        Some(_) => There::File,
        None => There::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_leads_through_links_and_to_another_place_when_those_change() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for file in ["a/x", "b/x"] {
            fs::create_dir(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        symlink("a", root.join("way")).unwrap();
        symlink("../b/x", root.join("a/link")).unwrap();
        symlink("nowhere", root.join("a/broken")).unwrap();
        let mut places = Places::default();
        let mut place = |path: &str, follow: bool| {
            let (path, there) = places.resolve(&root.join(path), follow)?;
            Some((path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), there))
        };
        let at = |path: &str, there: There| Some((path.to_owned(), there));
        assert_eq!(place("way/x", true), at("a/x", There::File));
        assert_eq!(place("way/../b", true), at("b", There::Directory));
        assert_eq!(place("way/link", true), at("b/x", There::File));
        assert_eq!(place("way/link", false), at("a/link", There::File));
        assert_eq!(place("way/broken", true), at("a/broken", There::File));
        assert_eq!(place("way/gone", true), at("a/gone", There::Nothing));
        assert_eq!(place("way/", true), at("a", There::Directory));
        assert_eq!(place("way/", false), at("way", There::File));
        assert_eq!(place("gone/x", true), None);
        fs::remove_file(root.join("way")).unwrap();
        symlink("b", root.join("way")).unwrap();
        places.forget();
        assert_eq!(places.resolve(&root.join("way/x"), true), Some((root.join("b/x"), There::File)));
    }
}
