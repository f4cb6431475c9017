//! What a query means: its globs compiled, its templates filled.

use std::path::{Path, PathBuf};

use crate::config::{Pattern, Release};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::facts::pattern::{Place, Rule, files_below, outside};
use crate::facts::places::Places;
use crate::facts::tree::{EntryKind, Tree, Wanted};
use crate::facts::{Facts, InputQuery, Scope, Seen, dockerignore, nearest_path};

/// The files that a query means.
pub(super) struct Chosen {
    pub(super) files: Vec<PathBuf>,
    /// The directories that symbolic links among them lead to.
    pub(super) directories: Vec<PathBuf>,
    pub(super) followed: bool,
}

/// A query, with its templates filled and its globs compiled.
pub(super) struct Meant {
    pub(super) rules: Vec<Rule>,
    pub(super) generated: Vec<Rule>,
    honour_ignore: bool,
    /// The first of the patterns, if none of them names a path.
    wild: Option<Span>,
    /// The files that say what is left out of contexts, as they were before they were
    /// read.
    pub(super) ignore_files: Vec<(PathBuf, Option<Seen>)>,
}

impl Meant {
    pub(super) fn of(
        places: &Places<'_>,
        release: &Release,
        facts: &Facts,
        query: &InputQuery,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut rules: Vec<Rule> =
            query.patterns.iter().filter_map(|pattern| problems.take(Rule::of(places, pattern))).collect();
        let generated = query.generated.iter();
        let generated: Vec<Rule> = generated.filter_map(|it| problems.take(Rule::of(places, it))).collect();
        if let Some(copies) = &query.copies {
            let scope = Scope::new(release, facts);
            let scope = match &copies.platform {
                Some(platform) => scope.on(platform),
                None => scope,
            };
            for copy in &copies.copies {
                rules.extend(problems.take(Rule::copy(places, &copies.home, &scope, copy)));
            }
        }
        let mut ignore_files = Vec::new();
        for context in &query.contexts {
            let ignore = problems.take(dockerignore::read(places.root(), context, &mut ignore_files));
            let Some(ignore) = ignore else { continue };
            rules.extend(problems.take(Rule::context(places, context, ignore)));
        }
        let wanted = || query.patterns.iter().filter(|pattern| !pattern.negated);
        let wild = wanted().next().filter(|_| wanted().all(|pattern| !pattern.is_literal()));
        let wild = wild.map(|pattern| pattern.glob.span);
        let meant = Self { rules, generated, honour_ignore: query.honour_ignore, wild, ignore_files };
        problems.extend(meant.rules.iter().filter_map(|rule| meant.missing(places.root(), rule)));
        problems.or(meant)
    }

    /// A query whose mistakes have been told: what is wrong with it means nothing.
    pub(super) fn lenient(places: &Places<'_>, release: &Release, facts: &Facts, query: &InputQuery) -> Self {
        let mut rules = rules_of(places, &query.patterns);
        if let Some(copies) = &query.copies {
            let scope = Scope::new(release, facts);
            let scope = copies.platform.iter().fold(scope, Scope::on);
            let rule = |copy| Rule::copy(places, &copies.home, &scope, copy).ok();
            rules.extend(copies.copies.iter().filter_map(rule));
        }
        for context in &query.contexts {
            let ignore = dockerignore::read(places.root(), context, &mut Vec::new()).unwrap_or_default();
            rules.extend(Rule::context(places, context, ignore));
        }
        let generated = rules_of(places, &query.generated);
        let (honour_ignore, ignore_files) = (query.honour_ignore, Vec::new());
        Self { rules, generated, honour_ignore, wild: None, ignore_files }
    }

    /// What targets make that have these outputs.
    pub(super) fn made(places: &Places<'_>, outputs: &[Pattern]) -> Self {
        let (rules, generated, ignore_files) = (Vec::new(), rules_of(places, outputs), Vec::new());
        Self { rules, generated, honour_ignore: false, wild: None, ignore_files }
    }

    /// Whether a path is made by a target.
    pub(super) fn makes(&self, path: &Path) -> bool {
        self.is_generated(path)
    }

    /// Whether a file at this path is meant, or would be. `ignored` says whether
    /// `.gitignore` names a path.
    pub(super) fn means(&self, path: &Path, ignored: &dyn Fn(&Path) -> bool) -> bool {
        let mut meant = false;
        for rule in &self.rules {
            if rule.negated {
                meant = meant && !rule.covers(path);
                continue;
            }
            let (matches, named) = match &rule.place {
                Place::Named(named, _) => (path.starts_with(named), path == named || ignored(named)),
                Place::Glob(glob, _) => (glob.is_match(path) || rule.is_copy && rule.covers(path), false),
            };
            let seen = || named || !self.honour_ignore || !ignored(path);
            meant = meant || matches && !rule.excludes(path, false) && seen();
        }
        meant && !self.is_generated(path)
    }

    /// The directories in which the named files lie.
    pub(super) fn parents(&self) -> impl Iterator<Item = PathBuf> {
        self.rules.iter().filter_map(|rule| match &rule.place {
            Place::Named(path, _) if !rule.negated => path.parent().map(Path::to_owned),
            _ => None,
        })
    }

    /// The files, of which there is one at least, unless some are made later:
    /// who reads nothing would never run again.
    pub(super) fn some(&self, chosen: Chosen) -> Result<Chosen, Problems> {
        match self.wild {
            Some(span) if chosen.files.is_empty() && self.generated.is_empty() => {
                let problem = Problem::new(Code::MissingInput, "the inputs match no file");
                let problem = problem.label(span, "nothing there, or `.gitignore` names it");
                Err(problem
                    .help("correct the patterns, or leave `inputs` out: the target then runs each time")
                    .into())
            }
            _ => Ok(chosen),
        }
    }

    /// Whether more may come to be meant than can be seen now: a link leads to a
    /// place, or something is to be made that may be a directory.
    pub(super) fn is_open(&self) -> bool {
        let made_later = |rule: &Rule| match &rule.place {
            // What others declare to make by this very name, their product stands for.
            Place::Named(path, None) => !rule.negated && !self.is_generated(path),
            _ => false,
        };
        self.rules.iter().any(|rule| rule.linked || made_later(rule))
    }

    /// A named path that does not exist, and will not be made.
    fn missing(&self, root: &Path, rule: &Rule) -> Option<Problem> {
        let Place::Named(path, None) = &rule.place else { return None };
        if rule.negated || self.is_generated(path) || self.generated.iter().any(|made| made.lies_below(path))
        {
            return None;
        }
        let near = nearest_path(root, path).map(|near| format!("did you mean `{near}`?"));
        let problem =
            Problem::new(Code::MissingInput, format!("the input `{}` does not exist", path.display()))
                .label(rule.span, "no such file or directory");
        Some(problem.help("make it, or declare it as an output of the target that makes it").maybe_help(near))
    }

    pub(super) fn wanted(&self) -> impl Iterator<Item = Wanted> {
        self.rules.iter().filter(|rule| !rule.negated).filter_map(|rule| {
            let directory = match &rule.place {
                Place::Named(path, Some(EntryKind::Directory)) => path,
                Place::Named(..) => return None,
                Place::Glob(_, base) => base,
            };
            Some(Wanted { directory: directory.clone(), ignored: !self.honour_ignore })
        })
    }

    /// Whether nothing is meant of what lies in a directory.
    pub(super) fn closes(&self, directory: &Path) -> bool {
        self.rules.iter().all(|rule| rule.closes(directory))
    }

    fn is_generated(&self, path: &Path) -> bool {
        let last = self.generated.iter().rev().find(|made| made.covers(path));
        last.is_some_and(|made| !made.negated)
    }

    /// The files that are meant by the patterns, taken in order; sorted.
    pub(super) fn choose(&self, root: &Path, tree: &Tree) -> Result<Chosen, Problems> {
        let mut problems = Problems::new();
        let mut followed = false;
        let mut chosen: Vec<PathBuf> = Vec::new();
        let mut directories = Vec::new();
        for rule in &self.rules {
            if rule.negated {
                chosen.retain(|path| !rule.covers(path));
                continue;
            }
            let mut found = rule.find(tree, self.honour_ignore);
            found.retain(|(path, _)| !self.is_generated(path));
            if rule.is_copy {
                // A directory is empty only until something is made in it.
                found.retain(|(path, _)| !self.generated.iter().any(|made| made.lies_below(path)));
            }
            let links = found.iter().filter(|(_, kind)| *kind == EntryKind::Symlink).map(|(path, _)| *path);
            let led_to = problems.take(self.follow(root, rule, links, &mut directories)).unwrap_or_default();
            followed = followed || found.iter().any(|(_, kind)| *kind == EntryKind::Symlink);
            chosen.extend(found.into_iter().map(|(path, _)| path.to_owned()));
            chosen.extend(led_to);
        }
        chosen.sort();
        chosen.dedup();
        problems.or(Chosen { files: chosen, directories, followed })
    }

    /// The files in the project that symbolic links lead to, and the directories. The
    /// layer of an image has the link itself, so for copies only a link that is named
    /// is followed.
    fn follow<'t>(
        &self,
        root: &Path,
        rule: &Rule,
        links: impl Iterator<Item = &'t Path>,
        directories: &mut Vec<PathBuf>,
    ) -> Result<Vec<PathBuf>, Problems> {
        let named = matches!(rule.place, Place::Named(_, Some(EntryKind::Symlink)));
        let mut more = Vec::new();
        if !named && !self.honour_ignore {
            return Ok(more);
        }
        for path in links {
            let Ok(target) = root.join(path).canonicalize() else { continue };
            match target.strip_prefix(root) {
                Err(_) if named => return Err(outside(path, rule.span).into()),
                // What the link says is all that is known of it.
                Err(_) => {}
                // It leads to a directory that it lies in.
                Ok(target) if path.starts_with(target) => {}
                Ok(target) if root.join(target).is_dir() => {
                    let wanted = Wanted { directory: target.to_owned(), ignored: !self.honour_ignore };
                    let tree = Tree::read(root, &[wanted], self.honour_ignore)?;
                    let files = files_below(&tree, target, self.honour_ignore);
                    more.extend(files.map(|entry| entry.path.clone()));
                    directories.push(target.to_owned());
                }
                Ok(target) => more.push(target.to_owned()),
            }
        }
        more.retain(|path| !self.is_generated(path));
        Ok(more)
    }
}

/// The rules of some patterns; one that is none means nothing.
fn rules_of(places: &Places<'_>, patterns: &[Pattern]) -> Vec<Rule> {
    patterns.iter().filter_map(|pattern| Rule::of(places, pattern).ok()).collect()
}
