//! Paths and patterns inside the project.

use crate::config::decode::Decoder;
use crate::config::{Pattern, ProjectPath, value};
use crate::diagnostic::{Code, Problem, Span, Spanned, nearest};
use crate::syntax::Value;

impl Decoder<'_> {
    /// The path that a string names, as seen from the document's directory.
    pub(super) fn path(&mut self, value: &Value) -> Option<Spanned<ProjectPath>> {
        let text = value.as_str()?;
        self.joined(text, value.span).map(|path| Spanned::new(path, value.span))
    }

    /// The same for a part of a string.
    pub(super) fn joined(&mut self, text: &str, span: Span) -> Option<ProjectPath> {
        if text.is_empty() {
            let problem = Problem::new(Code::InvalidValue, "an empty path")
                .label(span, "names nothing")
                .help("`.` is the directory of this file");
            self.problems.push(problem);
            return None;
        }
        let joined = self.home.join(text).ok();
        if joined.is_none() {
            self.problems.push(self.outside(text, span));
        }
        joined
    }

    /// The problem of a path that leaves the project.
    pub(super) fn outside(&self, text: &str, span: Span) -> Problem {
        let why =
            if text.starts_with('/') { "an absolute path" } else { "leads above the project's directory" };
        Problem::new(Code::OutsideProject, format!("`{text}` leads out of the project"))
            .label(span, why)
            .help(if self.home.is_root() {
                "paths are relative to the project's directory, and stay in it".to_owned()
            } else {
                format!("paths are relative to `{}`, and stay in the project", self.home)
            })
    }

    /// One string of `inputs` or `outputs`, relative to `dir`.
    pub(super) fn pattern(&mut self, value: &Value, dir: &ProjectPath) -> Option<Pattern> {
        let text = value.as_str()?;
        let (negated, bare) = match text.strip_prefix('!') {
            Some(bare) => (true, bare),
            None => (false, text),
        };
        let offset = text.len() - bare.len();
        let fields = self.check_braces(value, bare, offset);
        if bare.is_empty() {
            let problem = Problem::new(Code::InvalidValue, "an empty pattern")
                .label(value.span, "matches nothing")
                .help("`.` is the whole directory");
            self.problems.push(problem);
            return None;
        }
        let Some(glob) = joined_glob(dir, bare) else {
            self.problems.push(self.outside(bare, value.part(offset..text.len())));
            return None;
        };
        if let Err(why) = value::glob_fits(&glob) {
            let problem = Problem::new(Code::InvalidValue, format!("`{bare}` is not a glob"))
                .label(value.part(offset..text.len()), why)
                .help("a character with a meaning stands for itself in brackets: `[[]`, `[*]`");
            self.problems.push(problem);
            return None;
        }
        fields.then(|| Pattern { glob: Spanned::new(glob, value.span), negated })
    }

    /// Braces in a pattern are alternatives, `{a,b}`, or name a key of the
    /// matrix; nothing else is known before the files are looked at.
    pub(super) fn check_braces(&mut self, value: &Value, text: &str, offset: usize) -> bool {
        let mut fits = true;
        let mut rest = 0;
        while let Some(open) = text.get(rest..).and_then(|tail| tail.find('{')).map(|at| rest + at) {
            let Some(close) = text.get(open..).and_then(|tail| tail.find(['}', ','])).map(|at| open + at)
            else {
                break;
            };
            rest = close + 1;
            let word = text.get(open + 1..close).unwrap_or_default();
            if text.as_bytes().get(close) != Some(&b'}') || self.scope.matrix.iter().any(|key| key == word) {
                continue;
            }
            fits = false;
            let keys = self.scope.matrix.iter().map(String::as_str);
            let help = match nearest(word, keys) {
                Some(near) => format!("did you mean `{{{near}}}`?"),
                None => "only the keys of the target's `matrix` are filled in here".to_owned(),
            };
            let problem =
                Problem::new(Code::UnknownFact, format!("no variable or fact `{word}` is known here"))
                    .label(value.part(offset + open..offset + close + 1), "not a key of a matrix")
                    .help(help);
            self.problems.push(problem);
        }
        fits
    }
}

/// A pattern relative to `dir` as a glob relative to the project, without `.`
/// and `..`; `None` where it leaves the project.
fn joined_glob(dir: &ProjectPath, text: &str) -> Option<String> {
    if text.starts_with('/') {
        return None;
    }
    let dir = dir.as_path().to_string_lossy();
    let mut parts: Vec<String> =
        dir.split('/').filter(|part| !part.is_empty()).map(globset::escape).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part.to_owned()),
        }
    }
    Some(if parts.is_empty() { "**".to_owned() } else { parts.join("/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_relative_to_the_project() {
        let dir = ProjectPath::root().join("services/api").unwrap();
        let glob = |text| joined_glob(&dir, text);
        assert_eq!(glob("src/**/*.py").as_deref(), Some("services/api/src/**/*.py"));
        assert_eq!(glob("./../shared/*.{c,h}").as_deref(), Some("services/shared/*.{c,h}"));
        assert_eq!(glob("../../../x"), None);
        assert_eq!(glob("/etc/passwd"), None);
        assert_eq!(joined_glob(&ProjectPath::root(), ".").as_deref(), Some("**"));
        let odd = ProjectPath::root().join("a[1]").unwrap();
        assert_eq!(joined_glob(&odd, "*.c").as_deref(), Some("a[[]1[]]/*.c"));
    }
}
