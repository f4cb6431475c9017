//! Which paths the output patterns of a step cover.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::config::{Pattern, ProjectPath};
use crate::diagnostic::{Code, Problem, Problems};

/// The output patterns of a step. A pattern covers what it matches, and if that
/// is a directory, all that it holds; a negated one takes that away from what
/// the patterns before it cover.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    rules: Vec<Rule<'a>>,
}

/// The directories that belong to a step with all that they hold, by its output
/// patterns.
///
/// # Errors
/// Patterns that are not well formed.
pub(super) fn output_directories(patterns: &[Pattern]) -> Result<Vec<ProjectPath>, Problems> {
    let directories = Selection::new(patterns)?.directories();
    Ok(directories.iter().filter_map(|directory| ProjectPath::root().join(directory).ok()).collect())
}

/// Whether a path, relative to the project's directory, is an output by these patterns.
#[must_use]
pub fn covers(patterns: &[Pattern], path: &Path) -> bool {
    Selection::new(patterns).is_ok_and(|selection| selection.covers(path))
}

/// One pattern.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    /// As it was declared.
    pub(super) pattern: &'a Pattern,
    /// What it matches, if not only its own text.
    glob: Option<GlobMatcher>,
}

impl<'a> Selection<'a> {
    /// # Errors
    /// Patterns that are not well formed.
    pub(super) fn new(patterns: &'a [Pattern]) -> Result<Self, Problems> {
        let (mut rules, mut problems) = (Vec::new(), Problems::new());
        for pattern in patterns {
            rules.extend(problems.take(Rule::new(pattern)));
        }
        problems.or(Self { rules })
    }

    /// The patterns that are not negated.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule<'a>> {
        self.rules.iter().filter(|rule| !rule.pattern.negated)
    }

    /// Whether a path, relative to the project's directory, is an output.
    pub(super) fn covers(&self, path: &Path) -> bool {
        let last = self.rules.iter().rev().find(|rule| rule.covers(path));
        last.is_some_and(|rule| !rule.pattern.negated)
    }

    /// Whether a pattern takes a path away from the outputs.
    pub(super) fn is_denied(&self, path: &Path) -> bool {
        self.rules.iter().any(|rule| rule.pattern.negated && rule.covers(path))
    }

    /// The directories that belong to the step with all that they hold: those
    /// declared by their paths, or by a path and `/**`. Never the project's own.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        self.rules().filter_map(Rule::directory).collect()
    }
}

impl<'a> Rule<'a> {
    fn new(pattern: &'a Pattern) -> Result<Self, Problem> {
        if pattern.is_literal() {
            return Ok(Self { pattern, glob: None });
        }
        let text = trimmed(pattern);
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| {
            Problem::new(Code::InvalidValue, format!("`{text}` is not a glob"))
                .label(pattern.glob.span, error.kind().to_string())
        })?;
        Ok(Self { pattern, glob: Some(glob.compile_matcher()) })
    }

    /// Whether the pattern matches the path itself.
    pub(super) fn matches(&self, path: &Path) -> bool {
        match &self.glob {
            Some(glob) => glob.is_match(path),
            None => path == Path::new(trimmed(self.pattern)),
        }
    }

    fn covers(&self, path: &Path) -> bool {
        path.ancestors().filter(|above| !above.as_os_str().is_empty()).any(|above| self.matches(above))
    }

    /// The path that all matches lie below, or the only one that can match.
    pub(super) fn start(&self) -> PathBuf {
        let text = trimmed(self.pattern);
        if self.pattern.is_literal() {
            return text.into();
        }
        text.split('/').take_while(|name| !name.contains(['*', '?', '[', '{', '\\'])).collect()
    }

    /// How many names the longest path has that it can match; `None` for any.
    pub(super) fn depth(&self) -> Option<usize> {
        let text = trimmed(self.pattern);
        (!text.contains("**") && !text.contains('{')).then(|| text.split('/').count())
    }

    /// The directory that belongs to the step with all that it holds, if it is one.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        let text = trimmed(self.pattern);
        let below = text.strip_suffix("/**/*").or_else(|| text.strip_suffix("/**"));
        let start = self.start();
        let whole = self.pattern.is_literal() || below.is_some_and(|below| Path::new(below) == start);
        (whole && !start.as_os_str().is_empty()).then_some(start)
    }
}

fn trimmed(pattern: &Pattern) -> &str {
    let text = pattern.glob.value.trim_end_matches('/');
    text.strip_prefix("./").unwrap_or(text)
}
