//! Words, against the cases of BuildKit's `frontend/dockerfile/shell/lex_test.go`
//! and what its `envVarTest` and `wordsTest` describe.

use crate::dockerfile::scope::Scope;
use crate::dockerfile::word::{InvalidWord, Style, expand};

/// A text, values of variables, and what it becomes; `None` where it is wrong.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);

fn filled(text: &str, scope: &[(&str, &str)]) -> Result<String, InvalidWord> {
    let scope: Scope = scope.iter().copied().collect();
    expand(text, &scope, Style::plain('\\')).map(|read| read.text)
}

#[test]
fn words_are_expanded_as_buildkit_does() {
    let scope = [("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")];
    let cases = [
        ("hello", Some("hello")),
        ("he'll'o", Some("hello")),
        ("he'llo", None),
        ("he\\'llo", Some("he'llo")),
        ("he\\\\'llo", None),
        ("abc\\tdef", Some("abctdef")),
        ("\"abc\\tdef\"", Some("abc\\tdef")),
        ("\"abc\\\\tdef\"", Some("abc\\tdef")),
        ("'abc\\tdef'", Some("abc\\tdef")),
        ("hello\\", Some("hello")),
        ("hello\\\\", Some("hello\\")),
        ("\"hello", None),
        ("\"hello\\\"", None),
        ("\"hel'lo\"", Some("hel'lo")),
        ("'hello\\'", Some("hello\\")),
        ("\"''\"", Some("''")),
        ("$.", Some("$.")),
        ("he$1x", Some("hex")),
        ("he$.x", Some("he$.x")),
        ("he$pwd.", Some("he.")),
        ("he$PWD", Some("he/home")),
        ("he\\$PWD", Some("he$PWD")),
        ("he\\\\$PWD", Some("he\\/home")),
        ("\"he\\$PWD\"", Some("he$PWD")),
        ("'he\\$PWD'", Some("he\\$PWD")),
        ("${PWD", None),
        ("he${PWD}xx", Some("he/homexx")),
        ("he${XXX:-\\$PWD:}xx", Some("he$PWD:xx")),
        ("he${XXX:-\"${PWD}\"}xx", Some("he/homexx")),
        ("he${XXX:-${PWD}z}xx", Some("he/homezxx")),
        ("he${XXX:-$PWD:}xx", Some("he/home:xx")),
        ("he${XXX:-${YYY:-$PWD}}", Some("he/home")),
        ("he${PWD:=xx}", None),
        ("he${PWD:+${PWD}:}xx", Some("he/home:xx")),
        ("he${XXX:+${PWD}:}xx", Some("hexx")),
        ("he${XXX:", None),
        ("he${XXX:-", None),
        ("${}", None),
        ("${:-x}", None),
        ("${{X}}", None),
        ("안녕${KOREAN}", Some("안녕한국어")),
        ("${NULL-x}", Some("")),
        ("${NULL:-x}", Some("x")),
        ("$$", Some("")),
        ("\"$\"", Some("$")),
        ("${$}", Some("")),
        ("he'$PWD'", Some("he$PWD")),
    ];
    for (text, expected) in cases {
        assert_eq!(filled(text, &scope).ok().as_deref(), expected, "{text}");
    }
}

#[test]
fn modifiers_mean_what_they_mean_in_buildkit() {
    let abc = [("FOO", "xxx"), ("BAR", "")];
    let xy = [("FOO", "xxyy")];
    let cases: &[Case<'_>] = &[
        ("x ${UNUSED}", &abc, Some("x ")),
        ("${FOO-aaa} ${BAR-bbb} ${BAZ-ccc}", &abc, Some("xxx  ccc")),
        ("${FOO:-aaa} ${BAR:-bbb} ${BAZ:-ccc}", &abc, Some("xxx bbb ccc")),
        ("${FOO+aaa} ${BAR+bbb} ${BAZ+ccc}", &abc, Some("aaa bbb ")),
        ("${FOO:+aaa} ${BAR:+bbb} ${BAZ:+ccc}", &abc, Some("aaa  ")),
        ("${FOO?aaa}", &abc, Some("xxx")),
        ("${BAR?bbb}", &abc, Some("")),
        ("${BAZ?ccc}", &abc, None),
        ("${BAR:?bbb}", &abc, None),
        ("${BAZ:?}", &abc, None),
        ("${FOO=aaa}", &abc, None),
        ("${FOO=:aaa}", &abc, None),
        (r"${FOO#()[]{\}^$.\*\?|\\}", &[("FOO", r"()[]{}^$.*?|\x")], Some("x")),
        (r"${FOO%%\**}", &[("FOO", "xx**")], Some("xx")),
        ("${FOO#*x*y}", &xy, Some("y")),
        ("${FOO#*}", &xy, Some("xxyy")),
        ("${FOO#$BAR}", &[("FOO", "xxyy"), ("BAR", "x")], Some("xyy")),
        ("${FOO#$BAR}", &[("FOO", "xxyy"), ("BAR", "")], Some("xxyy")),
        ("${FOO#}", &xy, Some("xxyy")),
        ("${FOO##*x}", &xy, Some("yy")),
        ("${FOO##}", &xy, Some("xxyy")),
        (r"${FOO#?\?}", &[("FOO", "???y")], Some("?y")),
        ("${ABC:-.}${FOO%x}${ABC:-.}", &xy, Some(".xxyy.")),
        (r"${FOO%%\**\*}", &[("FOO", "a***yy*")], Some("a")),
        ("${FOO%}", &xy, Some("xxyy")),
        ("${FOO%y*}", &xy, Some("xxy")),
        ("${FOO%%y*}", &xy, Some("xx")),
        (
            "${FOO/$N/.} - ${FOO//$N/.}",
            &[("FOO", "/foo*/*/*.txt"), ("N", "\\*/")],
            Some("/foo.*/*.txt - /foo..*.txt"),
        ),
        (
            "${FOO/$N/} - ${FOO//$N/}",
            &[("FOO", "/tmp/tmp/bar.txt"), ("N", "/tmp")],
            Some("/tmp/bar.txt - /bar.txt"),
        ),
        (
            "${FOO/$N/$R}",
            &[("FOO", "http://google.de"), ("N", "http://"), ("R", "https://")],
            Some("https://google.de"),
        ),
        (
            "${FOO/$N/$R} - ${FOO//$N/$R}",
            &[("FOO", "/a/foo/b/c.txt"), ("N", "/?/"), ("R", "/")],
            Some("/foo/b/c.txt - /foo/c.txt"),
        ),
        (r"${FOO//\//\/}", &[("FOO", "/tmp/foo.txt")], Some(r"\/tmp\/foo.txt")),
        ("${FOO/$BAR/ww}", &[("FOO", "xxyy"), ("BAR", "")], Some("wwxxyy")),
        ("${FOO//ww}", &xy, None),
        ("${FOO//}", &xy, None),
        ("${FOO///}", &xy, Some("xxyy")),
        ("${FOO///}", &[], Some("")),
        (
            "a-${V}.${OS}-${ARCH}${VAR:+-${VAR}}.tar.gz",
            &[("V", "v1"), ("OS", "linux"), ("ARCH", "arm"), ("VAR", "v7")],
            Some("a-v1.linux-arm-v7.tar.gz"),
        ),
    ];
    for (text, scope, expected) in cases {
        assert_eq!(filled(text, scope).ok().as_deref(), *expected, "{text}");
    }
    let required = InvalidWord::Required("VAR".to_owned(), "message herex".to_owned());
    assert_eq!(filled("${VAR:?message here$ARG}", &[("VAR", ""), ("ARG", "x")]), Err(required));
}

#[test]
fn words_are_divided_after_variables_are_filled_in() {
    let scope: Scope = [("X", "1 2"), ("Q", "'")].into_iter().collect();
    let cases: &[(&str, &[&str])] = &[
        ("hello", &["hello"]),
        ("hello world", &["hello", "world"]),
        ("  a   b ", &["a", "b"]),
        ("$X", &["1", "2"]),
        ("a$X", &["a1", "2"]),
        ("\"$X\"", &["1 2"]),
        ("'a b'c", &["a bc"]),
        ("a\\ b", &["a b"]),
        ("$Q", &["'"]),
    ];
    for (text, expected) in cases {
        assert_eq!(expand(text, &scope, Style::plain('\\')).unwrap().words, *expected, "{text}");
    }
}

#[test]
fn what_would_grow_without_a_bound_is_refused() {
    let nested = format!("{}{}", "${a:-".repeat(40), "}".repeat(40));
    assert_eq!(filled(&nested, &[]), Err(InvalidWord::TooDeep));
    let long = "x".repeat(60_000);
    assert_eq!(filled("$A$A", &[("A", &long)]), Err(InvalidWord::TooLarge));
    assert_eq!(filled("\"$A$A\"", &[("A", &long)]), Err(InvalidWord::TooLarge));
    assert_eq!(filled("${A//x/yy}", &[("A", &long)]), Err(InvalidWord::TooLarge));
}
