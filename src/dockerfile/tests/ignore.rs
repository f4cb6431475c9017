//! Ignore files, against the cases of `github.com/moby/patternmatcher`.

use proptest::prelude::*;

use crate::diagnostic::{Code, Problems, Sources};
use crate::dockerfile::ignore::lines;
use crate::dockerfile::pattern::{Pattern, clean};
use crate::dockerfile::{IgnoreRules, Matched};

fn rules(text: &str) -> Result<IgnoreRules, Problems> {
    IgnoreRules::parse(Sources::new().add(".dockerignore", text), text)
}

fn ignored(text: &str, path: &str) -> bool {
    rules(text).unwrap().is_ignored(path)
}

#[test]
fn a_file_is_read_line_by_line() {
    let text = "\u{feff}test1\n/test2\n/a/file/here\r\n\nlastfile\n# this is a comment\n! /inverted/abs/path\n  b/ \n./c/../d\n #x\n/\n";
    let mut sources = Sources::new();
    let source = sources.add(".dockerignore", text);
    let found = lines(source, text);
    let patterns: Vec<_> = found.iter().map(|line| line.value.as_str()).collect();
    assert_eq!(
        patterns,
        ["test1", "test2", "a/file/here", "lastfile", "!inverted/abs/path", "b", "d", "#x", "/"]
    );
    let places: Vec<_> = found.iter().map(|line| sources.slice(line.span)).collect();
    assert_eq!(places[..3], ["test1", "/test2", "/a/file/here"]);
    assert_eq!(places[4..7], ["! /inverted/abs/path", "b/", "./c/../d"]);
}

#[test]
fn paths_have_one_spelling() {
    let cases = [
        ("a/", "a"),
        ("./a//b/.", "a/b"),
        ("a/../..", ".."),
        ("/../a", "/a"),
        ("", "."),
        ("/", "/"),
        ("**/", "**"),
    ];
    for (path, expected) in cases {
        assert_eq!(clean(path), expected, "{path}");
    }
}

/// Pattern, path, whether it matches by itself, whether with the directories above.
const CASES: &[(&str, &str, bool, bool)] = &[
    ("**", "file", true, true),
    ("**/", "file", true, true),
    ("**", "dir/file", true, true),
    ("**/**", "dir/file", true, true),
    ("dir/**", "dir/file", true, true),
    ("dir/**", "dir/dir2/file", true, true),
    ("**/dir", "dir", true, true),
    ("**/dir", "dir/file", false, true),
    ("**/dir2/*", "dir/dir2/file", true, true),
    ("**/dir2/**", "dir/dir2/dir3/file", true, true),
    ("**file", "file", true, true),
    ("**file", "dir/file", true, true),
    ("**/file", "dir/file", true, true),
    ("**file", "dir/dir/file", true, true),
    ("**/file*", "dir/dir/file", true, true),
    ("**/file*", "dir/dir/file.txt", true, true),
    ("**/file*txt", "dir/dir/file.txt", true, true),
    ("**/file*.txt", "dir/dir/file.txt", true, true),
    ("**/file*.txt*", "dir/dir/file.txt", true, true),
    ("**/**/*.txt", "dir/dir/file.txt", true, true),
    ("**/**/*.txt2", "dir/dir/file.txt", false, false),
    ("**/*.txt", "file.txt", true, true),
    ("**/**/*.txt", "file.txt", true, true),
    ("a**/*.txt", "a/file.txt", true, true),
    ("a**/*.txt", "a/dir/file.txt", true, true),
    ("a**/*.txt", "a/dir/dir/file.txt", true, true),
    ("a/*.txt", "a/dir/file.txt", false, false),
    ("a/*.txt", "a/file.txt", true, true),
    ("a/*.txt**", "a/file.txt", true, true),
    ("a[b-d]e", "ae", false, false),
    ("a[b-d]e", "ace", true, true),
    ("a[b-d]e", "aae", false, false),
    ("a[^b-d]e", "aze", true, true),
    (".*", ".foo", true, true),
    (".*", "foo", false, false),
    ("abc.def", "abcdef", false, false),
    ("abc.def", "abc.def", true, true),
    ("abc.def", "abcZdef", false, false),
    ("abc?def", "abcZdef", true, true),
    ("abc?def", "abcdef", false, false),
    ("**/foo/bar", "foo/bar", true, true),
    ("**/foo/bar", "dir/foo/bar", true, true),
    ("**/foo/bar", "dir/dir2/foo/bar", true, true),
    ("abc/**", "abc", false, false),
    ("abc/**", "abc/def", true, true),
    ("abc/**", "abc/def/ghi", true, true),
    ("**/.foo", ".foo", true, true),
    ("**/.foo", "bar.foo", false, false),
    ("a(b)c/def", "a(b)c/def", true, true),
    ("a(b)c/def", "a(b)c/xyz", false, false),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", true, true),
    ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true, true),
    ("a\\*b", "a*b", true, true),
    ("a\\*b", "ab", false, false),
    ("*", "a/b", false, true),
    ("*c", "abc", true, true),
    ("a*", "ab/c", false, true),
    ("a*/b", "abc/b", true, true),
    ("a*/b", "a/c/b", false, false),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true, true),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false, false),
    ("a*b?c*x", "abxbbxdbxebxczzx", true, true),
    ("a*b?c*x", "abxbbxdbxebxczzy", false, false),
    ("ab[^e-g]", "abc", true, true),
    ("ab[^c]", "abc", false, false),
    ("a?b", "a☺b", true, true),
    ("a[^a]b", "a☺b", true, true),
    ("a???b", "a☺b", false, false),
    ("[a-ζ]*", "α", true, true),
    ("*[a-ζ]", "A", false, false),
    ("a?b", "a/b", false, false),
    ("[\\]a]", "]", true, true),
    ("[\\-]", "-", true, true),
    ("[x\\-]", "z", false, false),
    ("[\\-x]", "-", true, true),
    ("*x", "xxx", true, true),
];

#[test]
fn patterns_mean_what_they_mean_to_moby() {
    for (pattern, path, exact, with_parents) in CASES {
        assert_eq!(Pattern::parse(&clean(pattern)).unwrap().matches(path), *exact, "{pattern} {path}");
        assert_eq!(ignored(pattern, path), *with_parents, "{pattern} {path}");
    }
    // A backslash at the end of an ignore file's line is one.
    assert!(ignored("a\\\\", "a\\"));
}

#[test]
fn what_is_taken_back_depends_on_the_order() {
    let cases = [
        ("!fileutils.go\n*.go", "fileutils.go", true),
        ("*.go\n!fileutils.go", "fileutils.go", false),
        ("docs\n!docs/README.md", "docs/README.md", false),
        ("docs/\n!docs/README.md", "docs/README.md", false),
        ("docs/*\n!docs/README.md", "docs/README.md", false),
        ("docs\n  !docs/README.md  ", "docs/README.md", false),
        ("**\n!util/docker/web", "util/docker/web/foo", false),
        ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", true),
        ("**\n!dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", false),
        ("*\n!src/**\n**/*.log", "src/a/b.log", true),
        // What is taken back before it is left out stays so for what lies below, too.
        ("a/x\n!a", "a/x", true),
        ("", "any/path", false),
        (".", "any/path", false),
        ("/", "any/path", false),
        ("..", "any/path", false),
    ];
    for (text, path, expected) in cases {
        assert_eq!(ignored(text, path), expected, "{text:?} {path}");
    }
}

#[test]
fn what_is_no_pattern_is_told_where_it_stands() {
    let bad = ["!", "[", "[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[^", "[^bc", "a[", "! [", "a/[/b"];
    for text in bad {
        let problems = rules(text).unwrap_err();
        let problem = &problems.as_slice()[0];
        assert_eq!((problem.code, problems.as_slice().len()), (Code::InvalidIgnorePattern, 1), "{text}");
        assert_eq!(problem.labels[0].span.range(), 0..text.len(), "{text}");
    }
    assert_eq!(rules(&bad.join("\n")).unwrap_err().as_slice().len(), bad.len());
    assert_eq!(rules(&"x\n".repeat(200_000)).unwrap_err().as_slice()[0].code, Code::TooLarge);
}

/// Paths and patterns of few names, so that they meet.
fn patterns() -> impl Strategy<Value = String> {
    let pieces = ["a", "b", "/", "/", "*", "**", "?", "[ab]", "!", "\n", "\n", "..", ".", "\\a"];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..16)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_taken_back_where_that_is_ruled_out(text in patterns(), path in "[ab](/[ab]{1,2}){0,4}") {
        let Ok(rules) = rules(&text) else { return Ok(()) };
        let parts: Vec<_> = path.match_indices('/').map(|(at, _)| &path[..at]).collect();
        let closed = parts.iter().find(|part| rules.is_ignored(part) && !rules.may_take_back_below(part));
        if let Some(closed) = closed {
            prop_assert!(rules.is_ignored(&path), "{:?} {} below {}", text, path, closed);
        }
    }

    #[test]
    fn no_text_is_too_much(text in "\\PC{0,60}", path in "\\PC{0,20}") {
        if let Ok(rules) = rules(&text) {
            let _ = rules.matches(&path, &Matched::default());
        }
    }
}
