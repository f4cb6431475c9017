//! Which files a query means, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use rayon::prelude::*;

use crate::config::{Copy, Pattern, ProjectPath, Release, Template};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::facts::tree::{Entry, EntryKind, Tree, Wanted, project_path};
use crate::facts::{Facts, InputFile, InputQuery, Scope, content, nearest};

/// The files of one query, sorted by path.
///
/// Wildcards do not match directories, and match nothing in `.git` and `.hoist`;
/// a directory that is named is all files below it. A symbolic link is an input
/// by its text, and, where it leads to a place in the project, that place is an
/// input, too.
///
/// # Errors
/// A named file that does not exist ([`Code::MissingInput`]), leads out of the
/// project ([`Code::OutsideProject`]), or cannot be read ([`Code::Unreadable`]);
/// a template that cannot be filled.
pub fn read_inputs(
    root: &Path,
    release: &Release,
    facts: &Facts,
    query: &InputQuery,
) -> Result<Vec<InputFile>, Problems> {
    let mut answers = read_all(root, release, facts, std::slice::from_ref(query))?;
    Ok(answers.pop().unwrap_or_default())
}

/// The files of all queries, from one walk of the project.
pub(super) fn read_all(
    root: &Path,
    release: &Release,
    facts: &Facts,
    queries: &[InputQuery],
) -> Result<Vec<Vec<InputFile>>, Problems> {
    let mut problems = Problems::new();
    let root = root.canonicalize().map_err(|error| {
        Problem::new(Code::Unreadable, format!("`{}` cannot be read", root.display())).note(error.to_string())
    })?;
    let meant: Vec<Meant> =
        queries.iter().filter_map(|query| problems.take(Meant::of(&root, release, facts, query))).collect();
    let wanted: BTreeSet<Wanted> = meant.iter().flat_map(Meant::wanted).collect();
    let wanted: Vec<Wanted> = wanted.into_iter().collect();
    let honour_ignore = queries.iter().any(|query| query.honour_ignore);
    let tree = if wanted.is_empty() {
        Tree::default()
    } else {
        problems.take(Tree::read(&root, &wanted, honour_ignore)).unwrap_or_default()
    };
    let chosen: Vec<BTreeSet<PathBuf>> =
        meant.iter().filter_map(|meant| problems.take(meant.choose(&root, &tree))).collect();
    let all: BTreeSet<&PathBuf> = chosen.iter().flatten().collect();
    let all: Vec<&PathBuf> = all.into_iter().collect();
    let read: Vec<_> = all.par_iter().map(|path| content::read(&root, &project_path(path))).collect();
    let read: BTreeMap<&PathBuf, InputFile> =
        all.into_iter().zip(read).filter_map(|(path, read)| Some((path, problems.take(read)?))).collect();
    let answer =
        |paths: &BTreeSet<PathBuf>| paths.iter().filter_map(|path| read.get(path).cloned()).collect();
    let answers = chosen.iter().map(answer).collect();
    problems.or(answers)
}

/// A query, with its templates filled and its globs compiled.
struct Meant {
    rules: Vec<Rule>,
    generated: Vec<Rule>,
    honour_ignore: bool,
}

/// One pattern.
struct Rule {
    place: Place,
    negated: bool,
    /// Globs of what is left out, relative to a directory.
    exclude: Vec<GlobMatcher>,
    from: PathBuf,
    span: Span,
    /// Whether a wildcard that matches a directory means all below it.
    whole_directories: bool,
}

enum Place {
    /// A path, and what is there.
    Named(PathBuf, Option<EntryKind>),
    /// A glob, and the directory below which it can match.
    Glob(Box<GlobMatcher>, PathBuf),
}

impl Meant {
    fn of(root: &Path, release: &Release, facts: &Facts, query: &InputQuery) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut rules: Vec<Rule> =
            query.patterns.iter().filter_map(|pattern| problems.take(Rule::of(root, pattern))).collect();
        let generated = query.generated.iter();
        let generated: Vec<Rule> = generated.filter_map(|it| problems.take(Rule::of(root, it))).collect();
        if let Some(copies) = &query.copies {
            let scope = Scope::new(release, facts);
            let scope = match &copies.platform {
                Some(platform) => scope.on(platform),
                None => scope,
            };
            for copy in &copies.copies {
                rules.extend(problems.take(Rule::copy(root, &copies.home, &scope, copy)));
            }
        }
        let meant = Self { rules, generated, honour_ignore: query.honour_ignore };
        problems.extend(meant.rules.iter().filter_map(|rule| meant.missing(root, rule)));
        problems.or(meant)
    }

    /// A named path that does not exist, and will not be made.
    fn missing(&self, root: &Path, rule: &Rule) -> Option<Problem> {
        let Place::Named(path, None) = &rule.place else { return None };
        if rule.negated || self.is_generated(path) || self.generated.iter().any(|made| made.lies_below(path))
        {
            return None;
        }
        let near = nearest::path(root, path).map(|near| format!("did you mean `{near}`?"));
        let problem =
            Problem::new(Code::MissingInput, format!("the input `{}` does not exist", path.display()))
                .label(rule.span, "no such file or directory");
        Some(problem.help("make it, or declare it as an output of the target that makes it").maybe_help(near))
    }

    fn wanted(&self) -> impl Iterator<Item = Wanted> {
        self.rules.iter().filter(|rule| !rule.negated).filter_map(|rule| {
            let directory = match &rule.place {
                Place::Named(path, Some(EntryKind::Directory)) => path,
                Place::Named(..) => return None,
                Place::Glob(_, base) => base,
            };
            Some(Wanted { directory: directory.clone(), ignored: !self.honour_ignore })
        })
    }

    fn is_generated(&self, path: &Path) -> bool {
        let last = self.generated.iter().rev().find(|made| made.covers(path));
        last.is_some_and(|made| !made.negated)
    }

    /// The files that are meant, by the patterns in order.
    fn choose(&self, root: &Path, tree: &Tree) -> Result<BTreeSet<PathBuf>, Problems> {
        let mut problems = Problems::new();
        let mut chosen = BTreeSet::new();
        for rule in &self.rules {
            if rule.negated {
                chosen.retain(|path: &PathBuf| !rule.covers(path));
                continue;
            }
            let mut found = rule.find(tree, self.honour_ignore);
            found.retain(|path| !self.is_generated(path) && !rule.excludes(path));
            if let Some(followed) = problems.take(self.follow(root, rule, &found)) {
                found.extend(followed);
            }
            chosen.extend(found);
        }
        problems.or(chosen)
    }

    /// The places in the project that symbolic links lead to. The layer of an
    /// image has the link itself, so for copies only a link that is named is
    /// followed.
    fn follow(&self, root: &Path, rule: &Rule, found: &[PathBuf]) -> Result<Vec<PathBuf>, Problems> {
        let named = matches!(rule.place, Place::Named(_, Some(EntryKind::Symlink)));
        let mut more = Vec::new();
        if !named && !self.honour_ignore {
            return Ok(more);
        }
        for path in found {
            let full = root.join(path);
            if !full.is_symlink() {
                continue;
            }
            let Ok(target) = full.canonicalize() else { continue };
            match target.strip_prefix(root) {
                Err(_) if named => return Err(outside(path, rule.span).into()),
                // What the link says is all that is known of it.
                Err(_) => {}
                // It leads to a directory that it lies in.
                Ok(target) if path.starts_with(target) => {}
                Ok(target) if root.join(target).is_dir() => {
                    let wanted = Wanted { directory: target.to_owned(), ignored: !self.honour_ignore };
                    let tree = Tree::read(root, &[wanted], self.honour_ignore)?;
                    more.extend(files_below(&tree, target, self.honour_ignore));
                }
                Ok(target) => more.push(target.to_owned()),
            }
        }
        more.retain(|path| !self.is_generated(path));
        Ok(more)
    }
}

impl Rule {
    fn of(root: &Path, pattern: &Pattern) -> Result<Self, Problem> {
        let span = pattern.glob.span;
        let place = Place::of(root, &pattern.glob.value, pattern.is_literal(), span, !pattern.negated)?;
        let exclude = Vec::new();
        let from = PathBuf::new();
        Ok(Self { place, negated: pattern.negated, exclude, from, span, whole_directories: pattern.negated })
    }

    fn copy(root: &Path, home: &ProjectPath, scope: &Scope<'_>, copy: &Copy) -> Result<Self, Problem> {
        let Template { span, .. } = copy.from;
        let text = scope.fill(&copy.from)?;
        let path = home.join(&text).map_err(|_| outside(Path::new(&text), span))?;
        let text = path.as_path().to_string_lossy().into_owned();
        let is_literal = !text.contains(['*', '?', '[', '{']);
        let place = Place::of(root, &text, is_literal, span, true)?;
        let from = match &place {
            Place::Named(path, _) | Place::Glob(_, path) => path.clone(),
        };
        let exclude = copy.exclude.iter().map(|glob| compile(glob, glob.span)).collect::<Result<_, _>>()?;
        Ok(Self { place, negated: false, exclude, from, span, whole_directories: true })
    }

    /// Whether it names this path, or a directory above it.
    fn covers(&self, path: &Path) -> bool {
        match &self.place {
            Place::Named(named, _) => path.starts_with(named),
            Place::Glob(glob, _) => path.ancestors().any(|above| glob.is_match(above)),
        }
    }

    /// Whether what it names can lie in this directory.
    fn lies_below(&self, directory: &Path) -> bool {
        let (Place::Named(place, _) | Place::Glob(_, place)) = &self.place;
        !self.negated && place.starts_with(directory)
    }

    fn excludes(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.from) else { return false };
        let mut parts = below.ancestors().filter(|part| !part.as_os_str().is_empty());
        parts.any(|part| self.exclude.iter().any(|glob| glob.is_match(part)))
    }

    fn find(&self, tree: &Tree, honour_ignore: bool) -> Vec<PathBuf> {
        match &self.place {
            Place::Named(_, None) => Vec::new(),
            Place::Named(path, Some(EntryKind::Directory)) => files_below(tree, path, honour_ignore),
            Place::Named(path, Some(_)) => vec![path.clone()],
            Place::Glob(glob, base) => {
                let seen =
                    |entry: &&Entry| entry.kind != EntryKind::Directory && !(honour_ignore && entry.ignored);
                let files = tree.below(base).iter().filter(seen).map(|entry| &entry.path);
                let matched =
                    |path: &&PathBuf| glob.is_match(path) || self.whole_directories && self.covers(path);
                files.filter(matched).cloned().collect()
            }
        }
    }
}

/// All files below a directory; those that are ignored only where nothing of it
/// is to be passed over, or the directory is ignored itself.
fn files_below(tree: &Tree, directory: &Path, honour_ignore: bool) -> Vec<PathBuf> {
    let entries = tree.below(directory);
    let named_anyway = entries.first().is_some_and(|entry| entry.path == directory && entry.ignored);
    let seen = |entry: &&Entry| !honour_ignore || named_anyway || !entry.ignored;
    let files = entries.iter().filter(|entry| entry.kind != EntryKind::Directory);
    files.filter(seen).map(|entry| entry.path.clone()).collect()
}

impl Place {
    fn of(root: &Path, text: &str, is_literal: bool, span: Span, look: bool) -> Result<Self, Problem> {
        if is_literal {
            let path = ProjectPath::root().join(text).map_err(|_| outside(Path::new(text), span))?;
            let kind = if look { kind_of(root, path.as_path(), span)? } else { None };
            return Ok(Self::Named(path.as_path().to_owned(), kind));
        }
        let text = text.strip_prefix("./").unwrap_or(text);
        let parts = Path::new(text).iter();
        let literal = |part: &&std::ffi::OsStr| !part.to_string_lossy().contains(['*', '?', '[', '{', '\\']);
        let base: PathBuf = parts.take_while(literal).collect();
        let base = ProjectPath::root().join(base).map_err(|_| outside(Path::new(text), span))?;
        Ok(Self::Glob(Box::new(compile(text, span)?), base.as_path().to_owned()))
    }
}

/// What is at a named path. Its directory must lie in the project.
fn kind_of(root: &Path, path: &Path, span: Span) -> Result<Option<EntryKind>, Problem> {
    let full = root.join(path);
    let Ok(metadata) = full.symlink_metadata() else { return Ok(None) };
    let directory = full.parent().and_then(|directory| directory.canonicalize().ok());
    if path.iter().count() > 1 && !directory.is_some_and(|directory| directory.starts_with(root)) {
        return Err(outside(path, span));
    }
    if metadata.is_symlink() {
        Ok(Some(EntryKind::Symlink))
    } else if metadata.is_dir() {
        Ok(Some(EntryKind::Directory))
    } else if metadata.is_file() {
        Ok(Some(EntryKind::File))
    } else {
        let title = format!("`{}` is neither a file nor a directory", path.display());
        Err(Problem::new(Code::Unreadable, title).label(span, "cannot be an input"))
    }
}

pub(super) fn compile(glob: &str, span: Span) -> Result<GlobMatcher, Problem> {
    let built = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
    let built = built.map_err(|error| {
        Problem::new(Code::InvalidValue, format!("`{glob}` is not a glob"))
            .label(span, error.kind().to_string())
            .help("a backslash makes `*`, `?`, `[`, and `{` stand for themselves")
    })?;
    Ok(built.compile_matcher())
}

pub(super) fn outside(path: &Path, span: Span) -> Problem {
    Problem::new(Code::OutsideProject, format!("`{}` leads out of the project", path.display()))
        .label(span, "not below the directory of the project")
        .help("copy it into the project, or have a target make it")
}
