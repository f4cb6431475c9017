//! Ignore files: `.dockerignore`, and `NAME.dockerignore` beside a Dockerfile
//! `NAME`, which then counts in its place (Dockerfile reference, "Filename and
//! location").

use crate::diagnostic::{Code, Problem, Problems, SourceId, Span, Spanned, bytes};
use crate::dockerfile::pattern::{Pattern, clean};
use crate::dockerfile::stage::MAX_PROBLEMS;

/// Most bytes of an ignore file that is read.
const MAX_BYTES: usize = 256 << 10;

/// What a build context leaves out. Without rules it leaves out nothing.
///
/// The rules mean what they mean to `docker build` (`github.com/moby/patternmatcher`):
/// a pattern names a path and all that is below it; the last one that names a path
/// decides; `!` takes back. A Dockerfile and an ignore file that are named are left
/// out of the context as well: `COPY` does not see them, while the builder reads them
/// from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreRules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    /// Whether it takes back.
    negated: bool,
}

/// Which rules name a directory, for what lies in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched(Vec<bool>);

impl IgnoreRules {
    /// Reads an ignore file; `text` is that of `source`.
    ///
    /// # Errors
    /// Each line that is no pattern ([`Code::InvalidIgnorePattern`]); a file of more
    /// than 256 kB ([`Code::TooLarge`]).
    pub fn parse(source: SourceId, text: &str) -> Result<Self, Problems> {
        if text.len() > MAX_BYTES {
            let size = bytes(u64::try_from(text.len()).unwrap_or(u64::MAX));
            let problem = Problem::new(Code::TooLarge, format!("the ignore file has {size}"));
            let problem = problem.label(Span::new(source, 0..0), "this file");
            return Err(problem.help("name directories rather than each file").into());
        }
        let mut problems = Problems::new();
        let mut rules = Vec::new();
        for line in lines(source, text) {
            let (negated, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern),
                None => (false, line.as_str()),
            };
            if let Some(pattern) = Pattern::parse(pattern).filter(|_| !pattern.is_empty()) {
                rules.push(Rule { pattern, negated });
                continue;
            }
            let problem =
                Problem::new(Code::InvalidIgnorePattern, format!("`{}` is not a pattern", line.value));
            let help = "a backslash makes `*`, `?`, `[`, and itself stand for themselves";
            let label = if pattern.is_empty() { "nothing behind `!`" } else { "a `[` or `\\` is not ended" };
            problems.push(problem.label(line.span, label).help(help));
            if problems.as_slice().len() >= MAX_PROBLEMS {
                break;
            }
        }
        problems.or(Self { rules })
    }

    /// Whether a path is left out, and with that what is known of what lies below it.
    ///
    /// `path` is relative to the context, with slashes between names and none at its
    /// ends; `above` is what the same call returned for the directory that it lies in,
    /// or nothing at the top.
    #[must_use]
    pub fn matches(&self, path: &str, above: &Matched) -> (bool, Matched) {
        let mut is_ignored = false;
        let mut matched = vec![false; self.rules.len()];
        for (at, rule) in self.rules.iter().enumerate() {
            let mut named = above.0.get(at) == Some(&true);
            if !named {
                // What changes nothing need not be looked at.
                if rule.negated != is_ignored {
                    continue;
                }
                named = rule.pattern.matches(path);
            }
            if let Some(state) = matched.get_mut(at) {
                *state = named;
            }
            if named {
                is_ignored = !rule.negated;
            }
        }
        (is_ignored, Matched(matched))
    }

    /// Whether a path is left out.
    #[must_use]
    pub fn is_ignored(&self, path: &str) -> bool {
        let mut above = Matched::default();
        for (end, _) in path.match_indices('/') {
            above = self.matches(path.get(..end).unwrap_or_default(), &above).1;
        }
        self.matches(path, &above).0
    }

    /// Whether something below a directory that is left out may not be: where not, the
    /// directory need not be looked into.
    #[must_use]
    pub fn may_take_back_below(&self, directory: &str) -> bool {
        self.rules.iter().any(|rule| rule.negated && rule.pattern.may_match_below(directory))
    }
}

/// The patterns of a file as `github.com/moby/patternmatcher/ignorefile` reads them:
/// comments and empty lines passed over, blanks and a leading slash cut off.
pub(super) fn lines(source: SourceId, text: &str) -> Vec<Spanned<String>> {
    let mut found = Vec::new();
    let mut start = 0;
    for written in text.split('\n') {
        let begin = start;
        start += written.len() + 1;
        let line = if begin == 0 { written.strip_prefix('\u{feff}').unwrap_or(written) } else { written };
        let trimmed = line.trim();
        if line.starts_with('#') || trimmed.is_empty() {
            continue;
        }
        let (sign, pattern) = trimmed.strip_prefix('!').map_or(("", trimmed), |rest| ("!", rest.trim()));
        let cleaned = if pattern.is_empty() { String::new() } else { clean(pattern) };
        let relative = cleaned.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&cleaned);
        let at = begin + written.len() - line.trim_start().len();
        found.push(Spanned::new(format!("{sign}{relative}"), Span::new(source, at..at + trimmed.len())));
    }
    found
}
