//! Which targets make which files, by what they declare.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::config::{Pattern, Release, Target};
use crate::diagnostic::{Code, Problem, Span};
use crate::plan::glob::{Glob, meet};
use crate::plan::unit::{Unit, fill_matrix, row_values, rows};

/// One pattern of a list, and the later ones that take away from it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    glob: Glob,
    without: Vec<Glob>,
    /// Its text, for messages.
    text: String,
    /// The pattern in the source.
    pub(super) span: Span,
}

impl Named {
    /// What is copied from a path or glob.
    pub(super) fn copied(text: &str, span: Span) -> Self {
        Self { glob: Glob::tree(text), without: Vec::new(), text: text.to_owned(), span }
    }

    /// The inputs of a list: each pattern that adds to it.
    pub(super) fn inputs(patterns: &[Pattern]) -> Vec<Self> {
        Self::list(patterns, Glob::files)
    }

    /// The outputs of a list: each pattern that adds to it.
    fn outputs(patterns: &[Pattern]) -> Vec<Self> {
        Self::list(patterns, Glob::tree)
    }

    fn list(patterns: &[Pattern], read: fn(&str) -> Glob) -> Vec<Self> {
        let adding = patterns.iter().enumerate().filter(|(_, pattern)| !pattern.negated);
        let named = |(at, pattern): (usize, &Pattern)| {
            let later = patterns.iter().skip(at).filter(|later| later.negated);
            Self {
                glob: read(&pattern.glob.value),
                without: later.map(|later| Glob::tree(&later.glob.value)).collect(),
                text: pattern.glob.value.clone(),
                span: pattern.glob.span,
            }
        };
        adding.map(named).collect()
    }

    fn meets(&self, other: &Self) -> bool {
        let without: Vec<&Glob> = self.without.iter().chain(&other.without).collect();
        meet(&self.glob, &other.glob, &without)
    }
}

/// The outputs of all targets.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    made: Vec<(Unit, Named)>,
    /// By the directory that a pattern lies in.
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
                let patterns = filled(&target.outputs, &row_values(target, row));
                files.made.extend(
                    Named::outputs(&patterns)
                        .into_iter()
                        .map(|named| (Unit::Target { target: at, row }, named)),
                );
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

    /// Outputs that could have a path below, at, or above `prefix`.
    fn near(&self, prefix: &str) -> impl Iterator<Item = usize> {
        let mut above = vec![""];
        above.extend(prefix.match_indices('/').filter_map(|(at, _)| prefix.get(..at)));
        let at = (!prefix.is_empty()).then_some(prefix);
        let below = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let exact = above.into_iter().chain(at).filter_map(|path| self.by_prefix.get(path));
        let deeper =
            self.by_prefix.range(below.clone()..).take_while(move |(path, _)| path.starts_with(&below));
        let deeper = deeper.filter(|(path, _)| !path.is_empty()).map(|(_, made)| made);
        let mut found: Vec<usize> = exact.chain(deeper).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
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
