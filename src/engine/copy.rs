//! The files that a `copy` names.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use rayon::prelude::*;

use crate::config::{PRIVATE, of_directories};
use crate::diagnostic::{Code, Problem};
use crate::facts::{Stat, Visited, levels, nearest_path};
use crate::plan::CopyPlan;

/// So many entries of a directory are looked at by one thread.
const FEW: usize = 16;

/// What a `copy` puts into a layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// Whether `to` is a directory that the sources are put into.
    pub(super) into: bool,
    /// What is copied, each directory before what it holds.
    pub(super) sources: Vec<Source>,
}

/// One file, directory, or link to copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Where it is put: below `to`, or empty for `to` itself.
    pub(super) below: PathBuf,
    /// What it is.
    pub(super) kind: SourceKind,
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundFile {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// What the file system said of it.
    pub(super) stat: Stat,
}

/// What a source is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// A directory.
    Directory,
    /// A symbolic link and its text.
    Symlink(PathBuf),
    /// A file.
    File {
        /// Where it lies.
        found: FoundFile,
        /// Whether its owner may execute it.
        executable: bool,
    },
}

/// Finds what a `copy` names below the project's directory.
///
/// A file is copied as it is, a directory with all that it holds, and of a glob
/// each match under its path below the part before the first wildcard. A link that
/// `from` itself names is followed; those that are found are kept as they are.
pub(super) fn find(copy: &CopyPlan, root: &Path) -> Result<Copied, Problem> {
    let (fixed, pattern) = divide(&copy.from);
    let start = start(copy, root, fixed)?;
    let (directories, all): (Vec<_>, Vec<_>) = copy
        .exclude
        .iter()
        .map(|glob| of_directories(glob))
        .partition(|(_, is_of_directories)| *is_of_directories);
    let exclude = |all: Vec<(&str, bool)>| globs(copy, all.into_iter().map(|(glob, _)| glob));
    let (exclude, exclude_directories) = (exclude(all)?, exclude(directories)?);
    let mut walk = Walk { copy, exclude, exclude_directories, only: None };
    if let Some(pattern) = pattern {
        walk.only = Some(globs(copy, [&*pattern])?);
        let sources = walk.directory(&start, Path::new(""), false)?;
        if sources.is_empty() {
            return Err(Problem::new(Code::Assemble, format!("nothing matches `{}`", copy.from))
                .label(copy.span, "no such file")
                .help("change the glob, or copy a directory, which may be empty"));
        }
        return Ok(Copied { into: true, sources });
    }
    let metadata = fs::symlink_metadata(&start).map_err(|error| unreadable(copy, &start, &error))?;
    if metadata.is_dir() {
        let mut sources = vec![Source { below: PathBuf::new(), kind: SourceKind::Directory }];
        sources.extend(walk.directory(&start, Path::new(""), true)?);
        return Ok(Copied { into: true, sources });
    }
    let into = copy.to.ends_with('/');
    let name = Path::new(fixed).file_name().filter(|_| into);
    let below = name.map(PathBuf::from).unwrap_or_default();
    let source = walk.leaf(&start, below, &metadata)?;
    Ok(Copied { into, sources: vec![source] })
}

/// The directory before the first wildcard, and the glob that is left.
fn divide(from: &str) -> (&str, Option<String>) {
    let Some(wildcard) = from.find(['*', '?', '[', '{']) else { return (from, None) };
    let (fixed, _) = from.split_at(wildcard);
    let cut = fixed.rfind('/').map_or(0, |slash| slash + 1);
    let (fixed, pattern) = from.split_at(cut);
    (fixed, Some(pattern.to_owned()))
}

/// Where the sources lie: within the project, however links lead there.
fn start(copy: &CopyPlan, root: &Path, fixed: &str) -> Result<PathBuf, Problem> {
    let relative = Path::new(fixed);
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(outside(copy, "not below the directory of the project"));
    }
    let root = root.canonicalize().map_err(|error| unreadable(copy, root, &error))?;
    let real = root.join(relative).canonicalize().map_err(|_| missing(copy, &root, relative))?;
    if !real.starts_with(&root) {
        return Err(outside(copy, &format!("leads to `{}`", real.display())));
    }
    Ok(real)
}

struct Walk<'a> {
    copy: &'a CopyPlan,
    exclude: GlobSet,
    /// Globs with a slash at their end.
    exclude_directories: GlobSet,
    /// Of a glob: what matches, with all below it.
    only: Option<GlobSet>,
}

/// A directory that is looked at.
struct Place {
    path: PathBuf,
    below: PathBuf,
    /// Whether all that is in it is copied.
    taken: bool,
}

/// What is copied of an entry, and what is looked at below it.
type Found = (Option<Source>, Option<Place>);

impl Walk<'_> {
    /// What is copied of a directory, in the order of names.
    fn directory(&self, path: &Path, below: &Path, taken: bool) -> Result<Vec<Source>, Problem> {
        let first = Place { path: path.to_owned(), below: below.to_owned(), taken };
        let (sources, failed) = levels(first, |place| {
            let (found, failed) = match self.list(&place) {
                Ok(found) => (found, None),
                Err(problem) => (Vec::new(), Some(problem)),
            };
            let (mut items, mut deeper) = (Vec::new(), Vec::new());
            for (source, below) in found {
                items.extend(source);
                deeper.extend(below.map(|below| (items.len(), below)));
            }
            Visited { items, deeper, beside: failed }
        });
        failed.into_iter().flatten().next().map_or(Ok(sources), Err)
    }

    /// What is copied of each entry of a directory, and what is looked at below it.
    fn list(&self, place: &Place) -> Result<Vec<Found>, Problem> {
        let mut entries = entries(&place.path).map_err(|error| unreadable(self.copy, &place.path, &error))?;
        entries.sort_by_cached_key(DirEntry::file_name);
        entries.par_iter().with_min_len(FEW).map(|entry| self.entry(entry, place)).collect()
    }

    fn entry(&self, entry: &DirEntry, place: &Place) -> Result<Found, Problem> {
        let below = place.below.join(entry.file_name());
        if self.exclude.is_match(&below) {
            return Ok((None, None));
        }
        let path = entry.path();
        let taken = place.taken || self.only.as_ref().is_none_or(|only| only.is_match(&below));
        let metadata = entry.metadata().map_err(|error| unreadable(self.copy, &path, &error))?;
        if metadata.is_dir() {
            if self.exclude_directories.is_match(&below) {
                return Ok((None, None));
            }
            let source = taken.then(|| Source { below: below.clone(), kind: SourceKind::Directory });
            return Ok((source, Some(Place { path, below, taken })));
        }
        let source = taken.then(|| self.leaf(&path, below, &metadata)).transpose()?;
        Ok((source, None))
    }

    /// A file or a link.
    fn leaf(&self, path: &Path, below: PathBuf, metadata: &Metadata) -> Result<Source, Problem> {
        let kind = metadata.file_type();
        let kind = if kind.is_symlink() {
            SourceKind::Symlink(fs::read_link(path).map_err(|error| unreadable(self.copy, path, &error))?)
        } else if kind.is_file() {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            SourceKind::File {
                found: FoundFile { path: path.to_owned(), stat: Stat::of(metadata) },
                executable,
            }
        } else {
            let what = match kind {
                kind if kind.is_socket() => "a socket",
                kind if kind.is_fifo() => "a pipe",
                _ => "a device",
            };
            let title = format!("`{}` cannot be copied into an image", path.display());
            return Err(Problem::new(Code::Assemble, title)
                .label(self.copy.span, format!("{what} is no content"))
                .help("leave it out with `exclude=`"));
        };
        Ok(Source { below, kind })
    }
}

/// What is in a directory, less what belongs to git and to hoist: it is no part
/// of a step's key.
fn entries(directory: &Path) -> io::Result<Vec<DirEntry>> {
    let private = |entry: &DirEntry| PRIVATE.iter().any(|private| entry.file_name() == *private);
    fs::read_dir(directory)?.filter(|entry| !entry.as_ref().is_ok_and(private)).collect()
}

fn globs<'a>(copy: &CopyPlan, patterns: impl IntoIterator<Item = &'a str>) -> Result<GlobSet, Problem> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        set.add(glob.map_err(|error| invalid_glob(copy, pattern, &error))?);
    }
    set.build().map_err(|error| invalid_glob(copy, &copy.exclude.join(", "), &error))
}

fn invalid_glob(copy: &CopyPlan, pattern: &str, error: &globset::Error) -> Problem {
    Problem::new(Code::Assemble, format!("`{pattern}` is not a glob"))
        .label(copy.span, error.kind().to_string())
}

fn outside(copy: &CopyPlan, how: &str) -> Problem {
    Problem::new(Code::OutsideProject, format!("`{}` leaves the project", copy.from))
        .label(copy.span, how)
        .help("copy the files into the project first, with a target that comes before the image")
}

fn unreadable(copy: &CopyPlan, path: &Path, error: &io::Error) -> Problem {
    Problem::new(Code::Assemble, format!("`{}` cannot be read", path.display()))
        .label(copy.span, error.to_string())
}

fn missing(copy: &CopyPlan, root: &Path, relative: &Path) -> Problem {
    let title = format!("`{}` does not exist", copy.from);
    Problem::new(Code::Assemble, title)
        .label(copy.span, "no such file or directory")
        .maybe_help(nearest_path(root, relative).map(|near| format!("did you mean `{near}`?")))
}
