//! Which places of the project matter to a run, and whether a change does.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::{PRIVATE, Pattern, Release};
use crate::diagnostic::Sources;
use crate::facts::meant::Meant;
use crate::facts::places::Places;
use crate::facts::tree::{Entry, EntryKind, Ignored, Tree, Wanted, project_path};
use crate::facts::{Facts, InputKind, KnownFiles, Needs, content};

/// More links one behind the other lead to nothing.
const MOST_LINKS: usize = 40;

const SECOND: Duration = Duration::from_secs(1);

/// What is to be watched for one plan: where changes can matter, and what is known
/// of what lies there.
///
/// A change matters if it is one of a release file, or of a file that an input of
/// a selected step means, now or since it is there. What a target makes does not,
/// nor what `.gitignore` names unless an input is that very path, nor anything in
/// `.git` and `.hoist`. Where a selected step declares no inputs, it may read the
/// whole project: then every file counts that is left by these rules.
pub struct Watch {
    root: PathBuf,
    /// Directories in which something can matter, relative to the project.
    directories: BTreeSet<PathBuf>,
    queries: Vec<Meant>,
    /// Whether all of the project counts.
    everything: bool,
    /// What targets make: it counts only where it is an input.
    made: Meant,
    /// Release files and files of variables, relative to the project.
    files: BTreeSet<PathBuf>,
    ignored: Ignored,
    /// The content of what was seen, to tell a change from a touch.
    known: HashMap<PathBuf, Seen>,
    /// Where symbolic links that matter lead over and to, relative to the project.
    ways: BTreeSet<PathBuf>,
}

/// What was seen at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing that can be read.
    Nothing,
    /// Something that nobody looked into.
    Something,
    /// A file, or where a symbolic link leads.
    Content(InputKind, [u8; 32]),
}

/// What is watched, and what the last plan was made of.
#[derive(Clone, Copy)]
pub struct Watched<'a> {
    /// The project's directory, absolute and without symbolic links.
    pub root: &'a Path,
    /// All texts that were read.
    pub sources: &'a Sources,
    /// The release, and what is needed of the world; `None` where the release
    /// files could not be read.
    pub planned: Option<(&'a Release, &'a Needs, &'a Facts)>,
    /// What targets make.
    pub outputs: &'a [Pattern],
    /// Whether a selected step declares no inputs.
    pub everything: bool,
}

impl Watch {
    /// What matters to a plan; what is known from an earlier one is kept.
    #[must_use]
    pub fn new(watched: Watched<'_>, earlier: Option<Self>) -> Self {
        let Watched { root, sources, planned, outputs, everything } = watched;
        let mut files: BTreeSet<PathBuf> = sources
            .iter()
            .map(|(_, source)| PathBuf::from(&source.name))
            .filter(|path| root.join(path).is_file())
            .collect();
        let watch =
            match (planned, earlier) {
                // Until the files can be read again, what mattered before does.
                (None, Some(earlier)) => {
                    files.extend(earlier.files.iter().cloned());
                    Self { files, ..earlier }
                }
                (planned, earlier) => {
                    let places = Places::new(root);
                    let mut queries = Vec::new();
                    let mut known = earlier.map(|earlier| earlier.known).unwrap_or_default();
                    if let Some((release, needs, facts)) = planned {
                        queries.extend(
                            needs.inputs.iter().map(|query| Meant::lenient(&places, release, facts, query)),
                        );
                        files.extend(release.dotenv.iter().map(|file| file.value.as_path().to_owned()));
                        let read = facts.inputs.iter().flat_map(|inputs| &inputs.files);
                        known.extend(read.map(|file| {
                            (file.path.as_path().to_owned(), Seen::Content(file.kind, file.digest))
                        }));
                    }
                    Self {
                        root: root.to_owned(),
                        directories: BTreeSet::new(),
                        queries,
                        everything,
                        made: Meant::made(&places, outputs),
                        files,
                        ignored: Ignored::new(root),
                        known,
                        ways: BTreeSet::new(),
                    }
                }
            };
        watch.look()
    }

    /// The same, with the directories that are there now.
    #[must_use]
    pub fn refreshed(self) -> Self {
        self.look()
    }

    /// Finds the directories, and what lies there that was not looked into.
    fn look(mut self) -> Self {
        for file in &self.files {
            self.known.entry(file.clone()).or_insert_with(|| seen(&self.root, file));
        }
        let mut directories: BTreeSet<PathBuf> = BTreeSet::new();
        for file in &self.files {
            // Beside a release file another may appear that it includes.
            directories.extend(file.ancestors().skip(1).take(2).map(Path::to_owned));
        }
        let mut wanted: BTreeSet<Wanted> = BTreeSet::new();
        for query in &self.queries {
            wanted.extend(query.wanted());
            directories.extend(query.parents());
        }
        if self.everything {
            wanted.insert(Wanted { directory: PathBuf::new(), ignored: false });
        }
        let wanted: Vec<Wanted> = wanted.into_iter().collect();
        // What cannot be listed now is told by the run that reads it.
        let tree = Tree::read(&self.root, &wanted, true).unwrap_or_default();
        for wanted in &wanted {
            let below = tree.below(&wanted.directory);
            let named_anyway =
                below.first().is_some_and(|entry| entry.path == wanted.directory && entry.ignored);
            let has_more = |entry: &&Entry| {
                entry.kind == EntryKind::Directory && (wanted.ignored || named_anyway || !entry.ignored)
            };
            directories.extend(below.iter().filter(has_more).map(|entry| entry.path.clone()));
            directories.insert(wanted.directory.clone());
            // It, too, can be removed and made again.
            directories.extend(wanted.directory.parent().map(Path::to_owned));
        }
        if self.everything {
            let files = tree.files_below(Path::new("")).filter(|entry| !entry.ignored);
            for entry in files {
                let Entry { path, .. } = entry;
                // What is new may still be written to, and only its content tells.
                let first = || {
                    if is_recent(&self.root.join(path)) { seen(&self.root, path) } else { Seen::Something }
                };
                self.known.entry(path.clone()).or_insert_with(first);
            }
        }
        self.directories = directories;
        let links = self.known.keys().filter(|link| self.matters(link));
        self.ways = links.flat_map(|link| way(&self.root, link)).collect();
        for path in &self.ways {
            self.known.entry(path.clone()).or_insert_with(|| seen(&self.root, path));
            self.directories.extend(path.parent().map(Path::to_owned));
        }
        self.directories.retain(|directory| self.root.join(directory).is_dir());
        self
    }

    /// The directories in which something can matter, absolute; a change in one of
    /// them means its own entries.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.directories.iter().map(|directory| self.root.join(directory))
    }

    /// How many files that are there now are watched.
    #[must_use]
    pub fn files(&self) -> usize {
        let there = self.known.iter().filter(|(_, seen)| **seen != Seen::Nothing);
        there.filter(|(path, _)| self.matters(path)).count()
    }

    /// What is known and was changed at this time or later, by the clock of the file
    /// system: what may have been changed before it was watched.
    #[must_use]
    pub fn changed_since(&self, time: SystemTime) -> BTreeSet<PathBuf> {
        // The clock of a file system may be as coarse as a second.
        let changed = |path: &PathBuf| changed_at(path).is_some_and(|at| at + SECOND >= time);
        self.known.keys().map(|path| self.root.join(path)).filter(changed).collect()
    }

    /// Of paths at which something happened, those relative to the project that
    /// matter and are not as they were when last asked. Directories that are new
    /// count with all files that matter in them.
    pub fn changed(&mut self, paths: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for path in paths {
            let above = self.root.starts_with(path).then_some(Path::new(""));
            let Some(path) = above.or(path.strip_prefix(&self.root).ok()).map(Path::to_owned) else {
                continue;
            };
            if path.iter().any(|part| PRIVATE.iter().any(|private| part == *private)) {
                continue;
            }
            let full = self.root.join(&path);
            let is_directory = full.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            if is_directory {
                let wanted = Wanted { directory: path.clone(), ignored: true };
                let tree = Tree::read(&self.root, &[wanted], true).unwrap_or_default();
                let files: Vec<PathBuf> = tree.files_below(&path).map(|entry| entry.path.clone()).collect();
                changed.extend(files.into_iter().filter(|file| self.is_change(file)));
                continue;
            }
            // What was a directory is gone with all that was in it.
            let gone = self.known.keys().filter(|known| **known != path && known.starts_with(&path));
            let gone: Vec<PathBuf> = gone.cloned().collect();
            changed.extend(gone.into_iter().filter(|file| self.is_change(file)));
            if self.is_change(&path) {
                changed.push(path);
            }
        }
        changed.sort();
        changed.dedup();
        changed
    }

    /// Whether a directory that is not watched yet may hold what matters. Something happens
    /// at one that is watched where it was removed and made again: it is another one.
    #[must_use]
    pub fn has_new_directory(&self, paths: &BTreeSet<PathBuf>) -> bool {
        paths.iter().any(|path| {
            let Ok(below) = path.strip_prefix(&self.root) else { return false };
            let private = below.iter().any(|part| PRIVATE.iter().any(|private| part == *private));
            let is_watched = || self.directories.contains(below) || !self.ignored.is(below, true);
            !private && path.is_dir() && is_watched()
        })
    }

    fn is_change(&mut self, path: &Path) -> bool {
        if !self.matters(path) {
            return false;
        }
        let now = seen(&self.root, path);
        // What is not there and was not known is no change.
        let before = self.known.insert(path.to_owned(), now).unwrap_or(Seen::Nothing);
        before != now
    }

    /// Whether a change at a path, relative to the project, could matter.
    fn matters(&self, path: &Path) -> bool {
        let ignored = |path: &Path| self.ignored.is(path, self.root.join(path).is_dir());
        if self.files.contains(path) || self.ways.contains(path) {
            return true;
        }
        let is_release = path.extension().is_some_and(|extension| extension == "kdl");
        if is_release && path.parent().is_some_and(|parent| self.directories.contains(parent)) {
            return !ignored(path);
        }
        let declared = || self.queries.iter().any(|query| query.means(path, &ignored));
        declared() || self.everything && !is_scratch(path) && !self.made.makes(path) && !ignored(path)
    }
}

/// The paths in the project, relative to it, over which a symbolic link leads to where it
/// leads; none for what is no link.
fn way(root: &Path, link: &Path) -> impl Iterator<Item = PathBuf> {
    let next = move |at: &PathBuf| {
        let to = root.join(at).read_link().ok()?;
        let above = root.join(at.parent()?).join(to);
        // What does not lead to anything is found again by what appears there.
        let real = above.parent()?.canonicalize().ok()?.join(above.file_name()?);
        Some(real.strip_prefix(root).ok()?.to_owned())
    };
    std::iter::successors(Some(link.to_owned()), next).skip(1).take(MOST_LINKS)
}

/// Whether it is a file by which an editor remembers what is not saved.
fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(['~']) || name.ends_with(".swp") || name.ends_with(".swx") || name.starts_with(".#")
}

/// Whether a file was changed within the last seconds.
fn is_recent(path: &Path) -> bool {
    let age = changed_at(path).and_then(|at| at.elapsed().ok());
    age.is_none_or(|age| age < 2 * SECOND)
}

/// When a file was changed, or its mode, in whole seconds.
fn changed_at(path: &Path) -> Option<SystemTime> {
    let metadata = path.symlink_metadata().ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(metadata.ctime()).ok()?))
}

/// What lies at a path now.
fn seen(root: &Path, path: &Path) -> Seen {
    let there = content::read(root, &project_path(path), &KnownFiles::new());
    there.map_or(Seen::Nothing, |file| Seen::Content(file.kind, file.digest))
}
