//! The files of the project, walked once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::config::{PRIVATE, ProjectPath};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Seen, Visited, levels};

/// A place that is to be walked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    /// The directory, with all that is below.
    pub(super) directory: PathBuf,
    /// Also what `.gitignore` names.
    pub(super) ignored: bool,
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the project's directory.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) kind: EntryKind,
    /// Named by a `.gitignore`, or below what is.
    pub(super) ignored: bool,
}

/// What an entry is. Special files are no entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Symlink,
    Directory,
}

/// What lies in some directories of the project, sorted by path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    entries: Vec<Entry>,
    walked: Walked,
}

/// What says that a walk would find the same again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// The directories whose files were looked for, as they were before.
    pub directories: Vec<(PathBuf, Seen)>,
    /// Where a `.gitignore` counts, relative to the project's directory or
    /// absolute, and the file as it was before; `None` where there was none.
    pub rules: Vec<(PathBuf, Option<Seen>)>,
}

impl Walked {
    fn extend(&mut self, other: Self) {
        self.directories.extend(other.directories);
        self.rules.extend(other.rules);
    }
}

impl Tree {
    /// Walks the wanted places; `root` is absolute and without symbolic links.
    /// What `.gitignore` files say is looked at only where `honour_ignore`.
    pub(super) fn read(root: &Path, wanted: &[Wanted], honour_ignore: bool) -> Result<Self, Problems> {
        Self::read_open(root, wanted, honour_ignore, &|_| false)
    }

    /// As [`read`](Self::read), without what lies in directories that are `closed`: nobody
    /// wants any of it.
    pub(super) fn read_open(
        root: &Path,
        wanted: &[Wanted],
        honour_ignore: bool,
        closed: &(dyn Fn(&Path) -> bool + Sync),
    ) -> Result<Self, Problems> {
        let walk = Walk { root, wanted, honour_ignore, closed };
        let mut walked = Walked::default();
        let rules = if honour_ignore { rules_above(root, &mut walked) } else { None };
        let first = Visit { directory: PathBuf::new(), rules, ignored: false, within: Vec::new() };
        let (entries, beside) = levels(first, |visit| walk.directory(visit));
        let mut problems = Problems::new();
        for (more, wrong) in beside {
            walked.extend(more);
            problems.extend(wrong);
        }
        problems.or(Self { entries, walked })
    }

    /// What says that a walk would find the same again.
    pub(super) const fn walked(&self) -> &Walked {
        &self.walked
    }

    /// Everything below a directory, in order, the directory itself first.
    pub(super) fn below(&self, directory: &Path) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.path.as_path() < directory);
        let length = self.entries.get(start..).unwrap_or_default();
        let end = length.partition_point(|entry| entry.path.starts_with(directory));
        length.get(..end).unwrap_or_default()
    }

    /// All files and symbolic links below a directory, in order.
    pub(super) fn files_below<'t>(&'t self, directory: &Path) -> impl Iterator<Item = &'t Entry> + use<'t> {
        self.below(directory).iter().filter(|entry| entry.kind != EntryKind::Directory)
    }
}

/// The rules of one `.gitignore`, and those of the directories above.
struct Rules {
    own: Gitignore,
    above: Option<Arc<Self>>,
}

impl Rules {
    fn read(directory: &Path, above: Option<Arc<Self>>) -> Option<Arc<Self>> {
        let file = directory.join(".gitignore");
        // As git does, a link is not followed.
        if !file.symlink_metadata().is_ok_and(|found| found.is_file()) {
            return above;
        }
        let mut builder = GitignoreBuilder::new(directory);
        // A line that is no pattern is passed over, as git does.
        drop(builder.add(file));
        match builder.build() {
            Ok(own) => Some(Arc::new(Self { own, above })),
            Err(_) => above,
        }
    }

    /// The nearest file that names the path decides.
    fn ignore(&self, path: &Path, is_directory: bool) -> bool {
        let matched = self.own.matched(path, is_directory);
        if matched.is_none() {
            self.above.as_ref().is_some_and(|above| above.ignore(path, is_directory))
        } else {
            matched.is_ignore()
        }
    }
}

/// The rules of the directories between the top of the repository and the project.
fn rules_above(root: &Path, walked: &mut Walked) -> Option<Arc<Rules>> {
    let depth = repository_depth(root)?;
    let between: Vec<&Path> = root.ancestors().skip(1).take(depth).collect();
    let files = between.iter().map(|above| above.join(".gitignore"));
    walked.rules.extend(files.map(|file| (file.clone(), Seen::of(&file).ok())));
    between.into_iter().rev().fold(None, |rules, directory| Rules::read(directory, rules))
}

/// How many directories above a project the repository begins that it lies in, if
/// it lies in one: so far up do `.gitignore` files count.
#[must_use]
pub fn repository_depth(root: &Path) -> Option<usize> {
    root.ancestors().position(|above| above.join(".git").symlink_metadata().is_ok())
}

/// What `.gitignore` files say of single paths, as they are when asked.
pub(super) struct Ignored {
    root: PathBuf,
    above: Option<Arc<Rules>>,
}

impl Ignored {
    /// The rules for a project.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), above: rules_above(root, &mut Walked::default()) }
    }

    /// Whether a path of the project, or a directory above it, is named.
    pub(super) fn is(&self, path: &Path, is_directory: bool) -> bool {
        let mut rules = self.above.clone();
        let mut here = self.root.clone();
        let mut parts = path.iter().peekable();
        while let Some(part) = parts.next() {
            rules = Rules::read(&here, rules);
            here.push(part);
            let is_directory = is_directory || parts.peek().is_some();
            if rules.as_ref().is_some_and(|rules| rules.ignore(&here, is_directory)) {
                return true;
            }
        }
        false
    }
}

struct Walk<'a> {
    root: &'a Path,
    wanted: &'a [Wanted],
    honour_ignore: bool,
    closed: &'a (dyn Fn(&Path) -> bool + Sync),
}

/// A directory that is walked.
struct Visit {
    directory: PathBuf,
    rules: Option<Arc<Rules>>,
    ignored: bool,
    /// For each wanted place that it lies in, whether that place has ignored files, too.
    within: Vec<bool>,
}

impl Walk<'_> {
    /// Walks one directory.
    fn directory(&self, visit: Visit) -> Visited<Visit, Entry, (Walked, Problems)> {
        let Visit { directory, rules, ignored, mut within } = visit;
        let here = self.wanted.iter().filter(|wanted| wanted.directory == directory);
        // A directory that is named although it is ignored is meant with all it has.
        within.extend(here.map(|wanted| wanted.ignored || ignored));
        let full = self.root.join(&directory);
        let mut walked = Walked::default();
        if !within.is_empty() {
            walked.directories.extend(Seen::of(&full).ok().map(|seen| (directory.clone(), seen)));
        }
        if self.honour_ignore {
            let file = directory.join(".gitignore");
            let found = Seen::of(&self.root.join(&file)).ok();
            // That one was made shows in its directory, where that is looked at by all
            // whom it concerns.
            let above =
                |wanted: &Wanted| wanted.directory != directory && wanted.directory.starts_with(&directory);
            if found.is_some() || within.is_empty() || self.wanted.iter().any(above) {
                walked.rules.push((file, found));
            }
        }
        let rules = if self.honour_ignore { Rules::read(&full, rules) } else { rules };
        let (items, problems) = match self.list(&directory, &full, rules.as_deref(), ignored) {
            Ok(entries) => (entries, Problems::new()),
            Err(problem) => (Vec::new(), problem.into()),
        };
        let deeper = items.iter().zip(1..).filter_map(|(entry, behind)| {
            if entry.kind != EntryKind::Directory {
                return None;
            }
            let still: Vec<bool> = within.iter().copied().filter(|all| *all || !entry.ignored).collect();
            let leads = self.wanted.iter().any(|wanted| wanted.directory.starts_with(&entry.path));
            let descends = leads || !still.is_empty() && !(self.closed)(&entry.path);
            // What is in a directory comes right behind it: that is the order of paths.
            descends.then(|| {
                let (directory, rules) = (entry.path.clone(), rules.clone());
                (behind, Visit { directory, rules, ignored: entry.ignored, within: still })
            })
        });
        let deeper = deeper.collect();
        Visited { items, deeper, beside: (walked, problems) }
    }

    /// What is in a directory, in the order of names.
    fn list(
        &self,
        directory: &Path,
        full: &Path,
        rules: Option<&Rules>,
        ignored: bool,
    ) -> Result<Vec<Entry>, Problem> {
        let mut entries = Vec::new();
        let unreadable = |error: std::io::Error| self.unreadable(directory, &error);
        for entry in fs::read_dir(full).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let Some(kind) = kind(entry.file_type().map_err(unreadable)?) else { continue };
            if PRIVATE.iter().any(|private| name == *private) {
                continue;
            }
            let is_directory = kind == EntryKind::Directory;
            let by_rule = || rules.is_some_and(|rules| rules.ignore(&full.join(&name), is_directory));
            let ignored = ignored || by_rule();
            entries.push(Entry { path: directory.join(&name), kind, ignored });
        }
        // All of one directory: their names alone tell them apart.
        entries.sort_unstable_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        Ok(entries)
    }

    fn unreadable(&self, directory: &Path, error: &std::io::Error) -> Problem {
        let shown = if directory.as_os_str().is_empty() { self.root } else { directory };
        Problem::new(Code::Unreadable, format!("the directory `{}` cannot be read", shown.display()))
            .help("make it readable, or name it in `.gitignore`")
            .note(error.to_string())
    }
}

/// What a file is; nothing for a special file.
pub(super) fn kind(kind: fs::FileType) -> Option<EntryKind> {
    if kind.is_dir() {
        Some(EntryKind::Directory)
    } else if kind.is_symlink() {
        Some(EntryKind::Symlink)
    } else {
        kind.is_file().then_some(EntryKind::File)
    }
}

/// The path of an entry as one of the project.
pub(super) fn project_path(path: &Path) -> ProjectPath {
    // A walk makes no path that leads out of the project.
    ProjectPath::root().join(path).unwrap_or_default()
}
