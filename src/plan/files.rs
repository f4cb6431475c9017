//! Which targets make which files, by what they declare.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use indexmap::IndexMap;

use crate::config::{Pattern, Release, Target};
use crate::diagnostic::{Code, Problem, Span};
use crate::plan::glob::{Glob, meet};
use crate::plan::unit::{Unit, fill_matrix, row_values, rows};

/// One pattern of a list, and the later ones that take away from it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    glob: Glob,
    /// The same without what lies below, where it can only be files.
    files: Option<Glob>,
    /// Whether it may be a file as well as a directory.
    unsure: bool,
    without: Vec<Glob>,
    /// Its text, for messages.
    text: String,
    /// The pattern in the source.
    pub(super) span: Span,
}

impl Named {
    /// What is copied from a path or glob.
    pub(super) fn copied(text: &str, span: Span) -> Self {
        let (glob, text) = (Glob::tree(text), text.to_owned());
        Self { glob, files: None, unsure: false, without: Vec::new(), text, span }
    }

    /// The inputs of a list: each pattern that adds to it.
    pub(super) fn inputs(patterns: &[Pattern]) -> Vec<Self> {
        Self::list(patterns, Glob::files).map(|(_, named)| named).collect()
    }

    /// The outputs of a target for one combination of its matrix: each pattern that
    /// adds to them.
    ///
    /// One is a directory if it is written with a `/` at its end, and is files if its
    /// name has an extension. Any other may be either, and is taken for a directory
    /// where a pattern could match something in it: a need too many shows as a cycle
    /// at worst, without one the other target would read what is half-made.
    fn outputs(target: &Target, row: usize) -> Vec<Self> {
        let patterns = filled(&target.outputs, &row_values(target, row));
        let outputs = Self::list(&patterns, Glob::tree).map(|(at, named)| {
            let directory = target.directories.contains(&at);
            let files = (!directory && has_extension(&named.text)).then(|| Glob::exact(&named.text));
            Self { unsure: !directory && files.is_none(), files, ..named }
        });
        outputs.collect()
    }

    fn list(patterns: &[Pattern], read: fn(&str) -> Glob) -> impl Iterator<Item = (usize, Self)> {
        let adding = patterns.iter().enumerate().filter(|(_, pattern)| !pattern.negated);
        adding.map(move |(at, pattern)| {
            let later = patterns.iter().skip(at).filter(|later| later.negated);
            let named = Self {
                glob: read(&pattern.glob.value),
                files: None,
                unsure: false,
                without: later.map(|later| Glob::tree(&later.glob.value)).collect(),
                text: pattern.glob.value.clone(),
                span: pattern.glob.span,
            };
            (at, named)
        })
    }

    fn meets(&self, other: &Self) -> bool {
        let without: Vec<&Glob> = self.without.iter().chain(&other.without).collect();
        meet(self.as_seen_by(other), other.as_seen_by(self), &without)
    }

    /// What is below files counts only for what says that they are directories.
    fn as_seen_by(&self, other: &Self) -> &Glob {
        self.files.as_ref().filter(|files| !other.lies_in(files)).unwrap_or(&self.glob)
    }

    /// Whether its text leads through a path that a pattern names.
    fn lies_in(&self, outer: &Glob) -> bool {
        let prefix = self.glob.prefix();
        let mut above = prefix.match_indices('/').filter_map(|(at, _)| prefix.get(..at));
        above.any(|directory| outer.has(directory))
    }

    /// Whether it meets an output only where that is a directory, which neither of
    /// them says.
    pub(super) fn guesses(&self, output: &Self) -> bool {
        let path = output.glob.path().filter(|_| output.unsure);
        path.is_some_and(|path| !self.glob.has(path) && !self.lies_in(&output.glob))
    }
}

/// Whether a name ends as those of files do: `a.o`, `*.js`; not `v1.2` or `.next`.
fn has_extension(text: &str) -> bool {
    let extension = Path::new(text).extension().unwrap_or_default().to_string_lossy();
    extension.chars().all(char::is_alphanumeric) && extension.contains(char::is_alphabetic)
}

/// The outputs of all targets.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    made: Vec<(Unit, Named)>,
    /// By what the paths of a pattern begin with.
    by_prefix: BTreeMap<String, Vec<usize>>,
}

impl Files {
    pub(super) fn new(release: &Release) -> Self {
        let mut files = Self::default();
        for (at, target) in release.targets.values().enumerate() {
            if target.outputs.is_empty() {
                continue;
            }
            for row in 0..rows(target).unwrap_or_default() {
                let outputs = Named::outputs(target, row).into_iter();
                files.made.extend(outputs.map(|named| (Unit::Target { target: at, row }, named)));
            }
        }
        for (at, (_, named)) in files.made.iter().enumerate() {
            files.by_prefix.entry(named.glob.prefix().to_owned()).or_default().push(at);
        }
        files
    }

    /// The steps that make something of what `wanted` names, and the outputs.
    pub(super) fn makers<'a>(&'a self, wanted: &'a Named) -> impl Iterator<Item = (Unit, &'a Named)> {
        let near = self.near(wanted.glob.prefix());
        near.filter_map(|at| self.made.get(at))
            .filter(|(_, made)| made.meets(wanted))
            .map(|(unit, made)| (*unit, made))
    }

    /// Outputs that could have a path that begins like this.
    fn near(&self, prefix: &str) -> impl Iterator<Item = usize> {
        let shorter = (0..prefix.len()).filter_map(|end| self.by_prefix.get(prefix.get(..end)?));
        let longer = self.by_prefix.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let longer = longer.take_while(|(other, _)| other.starts_with(prefix)).map(|(_, made)| made);
        let mut found: Vec<usize> = shorter.chain(longer).flatten().copied().collect();
        found.sort_unstable();
        found.into_iter()
    }

    /// Pairs of steps that would write the same path, each pair once.
    pub(super) fn overlaps(
        &self,
        runs: impl Fn(Unit) -> bool,
        name: impl Fn(Unit) -> String,
    ) -> Vec<Problem> {
        let mut problems: IndexMap<(usize, usize), Problem> = IndexMap::new();
        for (at, (unit, named)) in self.made.iter().enumerate().filter(|(_, (unit, _))| runs(*unit)) {
            for earlier in self.near(named.glob.prefix()).take_while(|earlier| *earlier < at) {
                let Some((other, made)) = self.made.get(earlier) else { continue };
                let same_target = target_of(*other) == target_of(*unit);
                let pair = (target_of(*other), target_of(*unit));
                if other == unit || problems.contains_key(&pair) || !runs(*other) || !made.meets(named) {
                    continue;
                }
                let title = format!("`{}` and `{}` make the same files", name(*other), name(*unit));
                let problem = Problem::new(Code::OverlappingOutputs, title)
                    .label(named.span, format!("`{}` of `{}`", named.text, name(*unit)));
                problems.insert(
                    pair,
                    if same_target {
                        problem.help("put the values of the matrix into the path")
                    } else {
                        problem
                            .label(made.span, format!("`{}` of `{}`", made.text, name(*other)))
                            .help("let each path be an output of one target")
                    },
                );
            }
        }
        problems.into_values().collect()
    }
}

const fn target_of(unit: Unit) -> usize {
    match unit {
        Unit::Target { target, .. } => target,
        _ => usize::MAX,
    }
}

/// Patterns with the values of a matrix in them.
pub(super) fn filled(patterns: &[Pattern], values: &IndexMap<String, String>) -> Vec<Pattern> {
    let fill =
        |pattern: &Pattern| Pattern { glob: fill_matrix(&pattern.glob, values), negated: pattern.negated };
    patterns.iter().map(fill).collect()
}

/// What a step of a target reads, by its declaration.
pub(super) fn inputs_of(target: &Target, row: usize) -> Vec<Pattern> {
    filled(target.inputs.as_deref().unwrap_or_default(), &row_values(target, row))
}
