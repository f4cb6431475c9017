//! One pattern of a query: where it can match, and what.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::config::{Copy, Pattern, ProjectPath, Template, glob_fits, of_directories};
use crate::diagnostic::{Code, Problem, Span, Spanned};
use crate::dockerfile::IgnoreRules;
use crate::facts::places::Places;
use crate::facts::tree::{Entry, EntryKind, Tree};
use crate::facts::{ContextQuery, Scope, tree};

/// One pattern.
pub(super) struct Rule {
    pub(super) place: Place,
    pub(super) negated: bool,
    /// Globs of what is left out, relative to a directory, and whether they mean directories
    /// alone.
    exclude: Vec<(GlobMatcher, bool)>,
    from: PathBuf,
    pub(super) span: Span,
    /// Of a copy: a wildcard that matches a directory means all below it, and a
    /// directory that is empty counts.
    pub(super) is_copy: bool,
    /// A symbolic link leads to the place.
    pub(super) linked: bool,
    /// Of a directory that is sent to an engine: what is left out.
    ignore: Option<IgnoreRules>,
    /// And what is, whatever that says.
    without: Vec<PathBuf>,
}

pub(super) enum Place {
    /// A path, and what is there.
    Named(PathBuf, Option<EntryKind>),
    /// A glob, and the directory below which it can match.
    Glob(Box<GlobMatcher>, PathBuf),
}

impl Rule {
    pub(super) fn of(places: &Places<'_>, pattern: &Pattern) -> Result<Self, Problem> {
        let span = pattern.glob.span;
        let (place, linked) =
            Place::of(places, &pattern.glob.value, pattern.is_literal(), span, !pattern.negated)?;
        let exclude = Vec::new();
        let from = PathBuf::new();
        Ok(Self {
            place,
            negated: pattern.negated,
            exclude,
            from,
            span,
            is_copy: false,
            linked,
            ignore: None,
            without: Vec::new(),
        })
    }

    pub(super) fn copy(
        places: &Places<'_>,
        home: &ProjectPath,
        scope: &Scope<'_>,
        copy: &Copy,
    ) -> Result<Self, Problem> {
        let Template { span, .. } = copy.from;
        let text = scope.fill(&copy.from)?;
        let path = home.join(&text).map_err(|_| outside(Path::new(&text), span))?;
        let text = path.as_path().to_string_lossy().into_owned();
        let is_literal = !text.contains(['*', '?', '[', '{']);
        let (place, linked) = Place::of(places, &text, is_literal, span, true)?;
        let from = match &place {
            Place::Named(path, _) | Place::Glob(_, path) => path.clone(),
        };
        let exclude = copy.exclude.iter().map(|glob| {
            let (text, is_of_directories) = of_directories(glob);
            compile(text, glob.span).map(|glob| (glob, is_of_directories))
        });
        let exclude = exclude.collect::<Result<_, _>>()?;
        Ok(Self {
            place,
            negated: false,
            exclude,
            from,
            span,
            is_copy: true,
            linked,
            ignore: None,
            without: Vec::new(),
        })
    }

    /// A directory that is sent to an engine.
    pub(super) fn context(
        places: &Places<'_>,
        context: &ContextQuery,
        ignore: IgnoreRules,
    ) -> Result<Self, Problem> {
        let Spanned { value, span } = &context.directory;
        let (place, linked) = Place::of(places, &value.as_path().to_string_lossy(), true, *span, true)?;
        let (Place::Named(from, _) | Place::Glob(_, from)) = &place;
        let is_link = matches!(place, Place::Named(_, Some(EntryKind::Symlink)));
        if linked || is_link {
            let title = format!("`{value}` leads through a symbolic link");
            let problem = Problem::new(Code::OutsideProject, title).label(*span, "is sent to an engine");
            return Err(problem.help("name the directory that it leads to"));
        }
        let (from, ignore) = (from.clone(), Some(ignore));
        let without = context.without.iter().map(|path| path.as_path().to_owned()).collect();
        Ok(Self {
            place,
            negated: false,
            exclude: Vec::new(),
            from,
            span: *span,
            is_copy: true,
            linked,
            ignore,
            without,
        })
    }

    /// Whether it names this path, or a directory above it.
    pub(super) fn covers(&self, path: &Path) -> bool {
        match &self.place {
            Place::Named(named, _) => path.starts_with(named),
            Place::Glob(glob, base) => {
                path.starts_with(base) && path.ancestors().any(|above| glob.is_match(above))
            }
        }
    }

    /// Whether what it names can lie in this directory.
    pub(super) fn lies_below(&self, directory: &Path) -> bool {
        let (Place::Named(place, _) | Place::Glob(_, place)) = &self.place;
        !self.negated && place.starts_with(directory)
    }

    /// Whether it means nothing that lies in this directory.
    pub(super) fn closes(&self, directory: &Path) -> bool {
        let (Place::Named(place, _) | Place::Glob(_, place)) = &self.place;
        if self.negated || !directory.starts_with(place) {
            return !self.lies_below(directory);
        }
        let Ok(below) = directory.strip_prefix(&self.from) else { return false };
        let takes_back = |rules: &IgnoreRules| rules.may_take_back_below(&below.to_string_lossy());
        self.is_without(directory)
            || self.excludes(directory, true) && !self.ignore.as_ref().is_some_and(takes_back)
    }

    fn is_without(&self, path: &Path) -> bool {
        self.without.iter().any(|without| path.starts_with(without))
    }

    /// Whether a file, or a directory, is left out.
    pub(super) fn excludes(&self, path: &Path, is_directory: bool) -> bool {
        if self.ignore.is_none() && self.exclude.is_empty() && self.without.is_empty() {
            return false;
        }
        let Ok(below) = path.strip_prefix(&self.from) else { return false };
        if self.is_without(path) {
            return true;
        }
        if let Some(ignore) = &self.ignore {
            return !below.as_os_str().is_empty() && ignore.is_ignored(&below.to_string_lossy());
        }
        let mut parts = below.ancestors().filter(|part| !part.as_os_str().is_empty());
        parts.any(|part| {
            let may_be_directory = is_directory || part != below;
            let mut all = self.exclude.iter();
            all.any(|(glob, of_directories)| (may_be_directory || !of_directories) && glob.is_match(part))
        })
    }

    /// What it means of what is there, sorted.
    pub(super) fn find<'t>(&'t self, tree: &'t Tree, honour_ignore: bool) -> Vec<(&'t Path, EntryKind)> {
        let seen = |entry: &&Entry| !(honour_ignore && entry.ignored);
        let directory = match &self.place {
            Place::Named(_, None) => return Vec::new(),
            Place::Named(path, Some(EntryKind::Directory)) => path,
            Place::Named(path, Some(kind)) => return vec![(path, *kind)],
            Place::Glob(_, base) => base,
        };
        if self.is_copy {
            return self.find_copied(tree, directory);
        }
        let files: Box<dyn Iterator<Item = &Entry>> = match &self.place {
            Place::Named(..) => Box::new(files_below(tree, directory, honour_ignore)),
            Place::Glob(glob, _) => {
                Box::new(tree.files_below(directory).filter(seen).filter(|entry| glob.is_match(&entry.path)))
            }
        };
        files.map(|entry| (entry.path.as_path(), entry.kind)).collect()
    }

    /// What is copied of a directory: with the files those directories of which no file
    /// is, for a layer has them, too.
    fn find_copied<'t>(&self, tree: &'t Tree, directory: &Path) -> Vec<(&'t Path, EntryKind)> {
        let mut found: Vec<(&Path, EntryKind)> = Vec::new();
        // Behind each directory comes what it holds.
        for entry in tree.below(directory).iter().rev() {
            let holds = || found.last().is_some_and(|(last, _)| last.starts_with(&entry.path));
            let is_whole = self.ignore.is_some() && entry.path == directory;
            let is_named = match &self.place {
                Place::Named(..) => !is_whole,
                Place::Glob(..) => self.covers(&entry.path),
            };
            let is_directory = entry.kind == EntryKind::Directory;
            let is_copied = is_named && !self.excludes(&entry.path, is_directory);
            if is_copied && !(is_directory && holds()) {
                found.push((&entry.path, entry.kind));
            }
        }
        found.reverse();
        found
    }
}

/// All files below a directory; those that are ignored only where nothing of it
/// is to be passed over, or the directory is ignored itself.
pub(super) fn files_below<'t>(
    tree: &'t Tree,
    directory: &Path,
    honour_ignore: bool,
) -> impl Iterator<Item = &'t Entry> + use<'t> {
    let first = tree.below(directory).first();
    let named_anyway = first.is_some_and(|entry| entry.path == directory && entry.ignored);
    tree.files_below(directory).filter(move |entry| !honour_ignore || named_anyway || !entry.ignored)
}

impl Place {
    /// The place that a text names, and whether a symbolic link leads to it.
    fn of(
        places: &Places<'_>,
        text: &str,
        is_literal: bool,
        span: Span,
        look: bool,
    ) -> Result<(Self, bool), Problem> {
        let literal =
            |part: &&OsStr| is_literal || !part.to_string_lossy().contains(['*', '?', '[', '{', '\\']);
        let fixed: PathBuf = Path::new(text).iter().take_while(literal).collect();
        let fixed = ProjectPath::root().join(fixed).map_err(|_| outside(Path::new(text), span))?;
        let fixed = fixed.as_path();
        if is_literal {
            let kind = if look { kind_of(places, fixed, span)? } else { None };
            let name = fixed.file_name().filter(|_| kind.is_some());
            let Some(name) = name else { return Ok((Self::Named(fixed.to_owned(), kind), false)) };
            let written = fixed.parent().unwrap_or(fixed);
            let directory = real_directory(places, written, span)?;
            let linked = directory != written;
            return Ok((Self::Named(directory.join(name), kind), linked));
        }
        let base = real_directory(places, fixed, span)?;
        let rest = text.strip_prefix("./").unwrap_or(text);
        let rest = Path::new(rest).strip_prefix(fixed).unwrap_or(Path::new(rest));
        let glob = Path::new(&globset::escape(&base.to_string_lossy())).join(rest);
        let linked = base != fixed;
        Ok((Self::Glob(Box::new(compile(&glob.to_string_lossy(), span)?), base), linked))
    }
}

/// What is at a named path; nothing where it does not exist.
fn kind_of(places: &Places<'_>, path: &Path, span: Span) -> Result<Option<EntryKind>, Problem> {
    let Some(kind) = places.kind(path) else { return Ok(None) };
    let kind = tree::kind(kind);
    kind.map(Some).ok_or_else(|| {
        let title = format!("`{}` is neither a file nor a directory", path.display());
        Problem::new(Code::Unreadable, title).label(span, "cannot be an input")
    })
}

/// A directory of the project by its path without symbolic links.
fn real_directory(places: &Places<'_>, directory: &Path, span: Span) -> Result<PathBuf, Problem> {
    let real = places.real(directory);
    if real.is_absolute() { Err(outside(directory, span)) } else { Ok(real) }
}

pub(super) fn compile(glob: &str, span: Span) -> Result<GlobMatcher, Problem> {
    let built = glob_fits(glob).and_then(|()| {
        let built = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
        built.map_err(|error| error.kind().to_string())
    });
    let built = built.map_err(|why| {
        Problem::new(Code::InvalidValue, format!("`{glob}` is not a glob"))
            .label(span, why)
            .help("a backslash makes `*`, `?`, `[`, and `{` stand for themselves")
    })?;
    Ok(built.compile_matcher())
}

pub(super) fn outside(path: &Path, span: Span) -> Problem {
    Problem::new(Code::OutsideProject, format!("`{}` leads out of the project", path.display()))
        .label(span, "not below the directory of the project")
        .help("copy it into the project, or have a target make it")
}
