//! What a `.dockerignore` keeps out of a build context, as `moby/patternmatcher` and
//! BuildKit read it.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use regex::bytes::{Regex, RegexBuilder};

use crate::diagnostic::{Code, Problem};
use crate::facts::{ContextQuery, Seen};

/// The name of ignore files, and what names of those of a single Dockerfile end with.
const NAME: &str = ".dockerignore";

/// Most bytes of what a pattern is compiled to.
const LARGEST: usize = 1 << 20;

/// The patterns of a file, in its order.
#[derive(Debug, Default)]
pub(super) struct DockerIgnore {
    patterns: Vec<Pattern>,
}

/// One line.
#[derive(Debug)]
struct Pattern {
    /// Whether it brings back what earlier lines left out (`!`).
    restores: bool,
    regex: Regex,
}

/// A line that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InvalidPattern {
    /// Its number, from 1.
    pub(super) line: usize,
    /// What it says.
    pub(super) text: String,
}

impl DockerIgnore {
    /// Reads the lines of a file.
    ///
    /// # Errors
    /// The first line that is no pattern.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            // Only where it begins the line does `#` begin a comment.
            let pattern = line.trim();
            if line.starts_with('#') || pattern.is_empty() {
                continue;
            }
            let (restores, pattern) = match pattern.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, pattern),
            };
            let invalid = || InvalidPattern { line: number, text: line.to_owned() };
            if pattern.is_empty() {
                return Err(invalid());
            }
            let pattern = clean(pattern);
            let pattern = pattern.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&pattern);
            let regex = expression(pattern).and_then(|expression| {
                RegexBuilder::new(&expression).dot_matches_new_line(true).size_limit(LARGEST).build().ok()
            });
            patterns.push(Pattern { restores, regex: regex.ok_or_else(invalid)? });
        }
        Ok(Self { patterns })
    }

    /// Whether a path, relative to the context, is left out, itself or by a directory
    /// above it.
    pub(super) fn excludes(&self, path: &Path) -> bool {
        let path = path.as_os_str().as_bytes();
        let mut excluded = false;
        for pattern in self.patterns.iter().filter(|_| !path.is_empty()) {
            if pattern.restores == excluded && pattern.covers(path) {
                excluded = !excluded;
            }
        }
        excluded
    }
}

impl Pattern {
    fn covers(&self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| path.get(..end).is_some_and(|above| self.regex.is_match(above)))
    }
}

/// Reads the ignore file of a context: that of the Dockerfile, else that of the
/// directory. Both are added to `looked` as they were before, whether they are there
/// or not.
///
/// # Errors
/// It cannot be read, or has a line that is no pattern.
pub(super) fn read(
    root: &Path,
    context: &ContextQuery,
    looked: &mut Vec<(PathBuf, Option<Seen>)>,
) -> Result<DockerIgnore, Problem> {
    let mut own = context.dockerfile.as_path().as_os_str().to_owned();
    own.push(NAME);
    let of_directory = context.directory.value.as_path().join(NAME);
    for path in [PathBuf::from(own), of_directory] {
        let seen = Seen::of(&root.join(&path)).ok();
        let is_there = seen.is_some();
        looked.push((path.clone(), seen));
        if !is_there {
            continue;
        }
        let here = |title: String| {
            Problem::new(Code::Unreadable, title).label(context.directory.span, "says what is sent of this")
        };
        let text = fs::read_to_string(root.join(&path))
            .map_err(|error| here(format!("`{}` cannot be read", path.display())).note(error.to_string()))?;
        return DockerIgnore::parse(&text).map_err(|InvalidPattern { line, text }| {
            here(format!("line {line} of `{}` is not a pattern", path.display()))
                .note(text)
                .help("`\\` takes the meaning from the character behind it; `[` has to be closed by `]`")
        });
    }
    Ok(DockerIgnore::default())
}

/// The shortest path that means the same (Go's `path.Clean`).
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let rooted = pattern.starts_with('/');
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// A pattern as a regular expression; `None` if it is not well formed.
fn expression(pattern: &str) -> Option<String> {
    let mut expression = String::from("(?-u)^");
    let mut rest = pattern.chars().peekable();
    let literal = |expression: &mut String, c: char| {
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            expression.push_str(&format!("\\x{byte:02x}"));
        }
    };
    // One character, whatever the number of its bytes.
    let any = r"(?:[\x00-\x2e\x30-\x7f]|[\xc0-\xff][\x80-\xbf]*|[\x80-\xbf])";
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                // Of `**/` and of `**` the same is made.
                if rest.peek() == Some(&'/') {
                    rest.next();
                }
                expression.push_str(if rest.peek().is_none() { ".*" } else { "(?:.*/)?" });
            }
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str(any),
            '[' => class(&mut rest, &mut expression)?,
            '\\' => literal(&mut expression, rest.next()?),
            c => literal(&mut expression, c),
        }
    }
    expression.push('$');
    Some(expression)
}

/// A class such as `[a-z]` or `[^0-9_]`.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, expression: &mut String) -> Option<()> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let one = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    };
    while rest.peek() != Some(&']') || ranges.is_empty() {
        let low = one(rest)?;
        let high = if rest.next_if_eq(&'-').is_some() { one(rest)? } else { low };
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
    rest.next();
    let ranges: String = ranges
        .iter()
        .map(|(low, high)| format!("\\x{{{:x}}}-\\x{{{:x}}}", *low as u32, *high as u32))
        .collect();
    // Of characters, not of bytes.
    expression.push_str(&format!("(?u:[{}{ranges}])", if negated { "^/" } else { "" }));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excludes(text: &str, path: &str) -> bool {
        DockerIgnore::parse(text).unwrap().excludes(Path::new(path))
    }

    /// Patterns, a path, and whether the path is left out: the cases of
    /// `moby/patternmatcher`'s own tests that concern a Unix.
    #[test]
    fn paths_are_left_out_as_moby_does() {
        let cases = [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "file", true),
            ("**/", "dir/file", true),
            ("**/**", "dir/file", true),
            ("**/dir", "dir/file", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**file", "file", true),
            ("**file", "dir/file", true),
            ("**/file", "dir/dir/file", true),
            ("**/file*", "dir/dir/file.txt", true),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("**/file*.txt", "dir/dir/file.txt", true),
            ("**/file*.txt*", "dir/dir/file.txt", true),
            ("**/**/*.txt", "dir/dir/file.txt", true),
            ("**/**/*.txt2", "dir/dir/file.txt", false),
            ("**/*.txt", "file.txt", true),
            ("**/*.txt", "dir/dir/file.txt", true),
            ("a**/*.txt", "a/file.txt", true),
            ("a**/*.txt", "a/dir/file.txt", true),
            ("a**/*.txt", "a/dir/dir/file.txt", true),
            ("a/*.txt", "a/dir/file.txt", false),
            ("a/*.txt", "a/file.txt", true),
            ("a[b-d]e", "ae", false),
            ("a[b-d]e", "ace", true),
            ("a[b-d]e", "aae", false),
            ("a[^b-d]e", "aze", true),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("abc.def", "abcdef", false),
            ("abc.def", "abcZdef", false),
            ("abc?def", "abcZdef", true),
            ("abc?def", "abcdef", false),
            ("a\\\\", "a\\", true),
            ("a\\[b", "a[b", true),
            ("**/foo/bar", "foo/bar", true),
            ("**/foo/bar", "dir/foo/bar", true),
            ("**/foo/bar", "dir/dir2/foo/bar", true),
            ("abc/**", "abc", false),
            ("abc/**", "abc/def", true),
            ("abc/**", "abc/def/ghi", true),
            ("**/.foo", ".foo", true),
            ("**/.foo", "bar.foo", false),
            ("a(b)c/def", "a(b)c/def", true),
            ("a(b)c/def", "a(b)c/xyz", false),
            ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
            (
                "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
                "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
                true,
            ),
            ("/foo", "foo", true),
            ("./foo/", "foo/bar", true),
            ("foo/../bar", "bar", true),
            ("*", "é/ü", true),
            ("?", "é", true),
            ("[é-ü]", "ö", true),
            ("*\n!a/b", "a/b/c", false),
            ("*\n!a/b", "a/c", true),
            ("docs\n!docs/README.md\ndocs/README.md", "docs/README.md", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README.md", false),
            ("**\n!util/docker/web", "util/docker/web/foo", false),
            ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", true),
        ];
        for (patterns, path, expected) in cases {
            assert_eq!(excludes(patterns, path), expected, "{patterns:?} {path}");
        }
    }

    #[test]
    fn lines_are_read_as_moby_does() {
        assert!(excludes("\u{feff}a", "a"));
        assert!(excludes("  a  \r\n", "a"));
        assert!(!excludes("#a", "#a"));
        // Behind a space it is no comment.
        assert!(excludes(" #a", "#a"));
        assert!(!excludes("a\n! a", "a"));
        assert!(!excludes("", "a"));
        for wrong in ["a\n!", "[", "a\n\n[z-a]", "[]", "a\\"] {
            let error = DockerIgnore::parse(wrong).unwrap_err();
            assert_eq!(error.line, wrong.lines().count(), "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[ab*?!#/\\\\\\[\\]^\\-. \n]{0,40}", path in "[ab/]{1,8}") {
            if let Ok(ignore) = DockerIgnore::parse(&text) {
                ignore.excludes(Path::new(&path));
            }
        }
    }
}
