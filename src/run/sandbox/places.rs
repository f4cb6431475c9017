//! Where paths lead; for a moment, directories are remembered.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::run::sandbox::deed::There;

/// How long a directory is not looked at again: it may be changed by others, too,
/// and a change that was announced comes only later.
const MOMENT: Duration = Duration::from_millis(20);

/// More links are on no way: Linux follows 40. They may be changed while they are read.
const MOST_LINKS: usize = 64;

/// Directories by the paths under which they were named.
#[derive(Debug)]
pub(super) struct Places {
    known: HashMap<PathBuf, Place>,
    since: Instant,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Without symbolic links.
    pub(super) path: PathBuf,
    /// The symbolic links on the way, where they lie.
    pub(super) links: Vec<PathBuf>,
}

impl Default for Places {
    fn default() -> Self {
        Self { known: HashMap::new(), since: Instant::now() }
    }
}

impl Places {
    /// The place that a path leads to, and what is there. Where `follow` is not set, a
    /// link at its end stands for itself. `None` where the directory does not exist.
    pub(super) fn resolve(&mut self, path: &Path, follow: bool) -> Option<(Place, There)> {
        let bytes = path.as_os_str().as_bytes();
        // The root of all is nothing without its slash.
        let bytes = if bytes.len() > 1 { bytes.strip_suffix(b"/").unwrap_or(bytes) } else { bytes };
        let whole = Path::new(OsStr::from_bytes(bytes));
        let mut place = match whole.file_name() {
            Some(name) => {
                let Place { path, links } = self.directory(whole.parent()?)?;
                Place { path: path.join(name), links }
            }
            None => walk(whole)?,
        };
        let found = place.path.symlink_metadata().ok();
        if follow
            && found.as_ref().is_some_and(Metadata::is_symlink)
            && let Some(Place { path, links }) = walk(&place.path)
        {
            let there = there(path.symlink_metadata().ok().as_ref());
            place.links.extend(links);
            return Some((Place { path, ..place }, there));
        }
        Some((place, there(found.as_ref())))
    }

    /// Forgets all: something may go away that paths lead through.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    fn directory(&mut self, path: &Path) -> Option<Place> {
        // What stands there means something else for each process.
        if path.starts_with("/proc") {
            return path.canonicalize().ok().map(|path| Place { path, links: Vec::new() });
        }
        if self.since.elapsed() > MOMENT {
            self.forget();
            self.since = Instant::now();
        }
        if let Some(known) = self.known.get(path) {
            return Some(known.clone());
        }
        let place = walk(path)?;
        self.known.insert(path.to_owned(), place.clone());
        Some(place)
    }
}

/// Where an absolute path leads, whose links lead somewhere.
fn walk(path: &Path) -> Option<Place> {
    let mut place = Place { path: path.canonicalize().ok()?, links: Vec::new() };
    if place.path == path {
        return Some(place);
    }
    let mut here = PathBuf::from("/");
    let mut rest: Vec<OsString> = path.iter().rev().map(OsStr::to_owned).collect();
    while let Some(name) = rest.pop() {
        match name.as_bytes() {
            b"/" => here = PathBuf::from("/"),
            b"." => {}
            b".." => drop(here.pop()),
            _ => match here.join(&name).read_link() {
                // That it comes to an end is known: there are no circles.
                Ok(to) => {
                    place.links.push(here.join(&name));
                    rest.extend(to.iter().rev().map(OsStr::to_owned));
                }
                Err(_) => here.push(name),
            },
        }
        if place.links.len() > MOST_LINKS {
            return None;
        }
    }
    Some(place)
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
            let (Place { path, .. }, there) = places.resolve(&root.join(path), follow)?;
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
        let top = Place { path: "/".into(), links: Vec::new() };
        assert_eq!(Places::default().resolve(Path::new("/"), true), Some((top, There::Directory)));
        fs::remove_file(root.join("way")).unwrap();
        symlink("b", root.join("way")).unwrap();
        places.forget();
        let links = vec![root.join("way")];
        let place = Place { path: root.join("b/x"), links };
        assert_eq!(places.resolve(&root.join("way/x"), true), Some((place, There::File)));
        let (place, _) = places.resolve(&root.join("a/../way/../a/link"), true).unwrap();
        assert_eq!(
            place,
            Place { path: root.join("b/x"), links: vec![root.join("way"), root.join("a/link")] }
        );
    }
}
