use super::*;
use crate::diagnostic::Sources;

fn read(text: &str) -> (Sources, Result<Document, Problems>) {
    let mut sources = Sources::new();
    let source = sources.add("release.kdl", text);
    let document = parse(source, text);
    (sources, document)
}

fn refused(text: &str) -> Vec<(Code, String, String)> {
    let (sources, document) = read(text);
    let problems = document.expect_err("refused");
    let place =
        |problem: &Problem| problem.labels.first().map_or("", |label| sources.slice(label.span)).to_owned();
    problems.as_slice().iter().map(|p| (p.code, p.title.clone(), place(p))).collect()
}

#[test]
fn a_character_that_nobody_sees_is_named() {
    let (_, document) = read("a \"b\"\u{200b} c");
    let problems = document.expect_err("refused");
    let help = problems.as_slice().first().and_then(|problem| problem.help.clone());
    assert_eq!(help.as_deref(), Some("delete the invisible character U+200B that stands here"));
}

#[test]
fn values_know_their_places() {
    let text = "a \"x\\ty\" key = (t)\"va\" 0x10 {\n  b #\"r{w}\"#\n}\n/-gone 1\nword é=bare ; z";
    let (sources, document) = read(text);
    let document = document.expect("it is KDL");
    let names: Vec<_> = document.nodes.iter().map(|node| node.name.value.as_str()).collect();
    assert_eq!(names, ["a", "word", "z"]);
    let a = &document.nodes[0];
    assert_eq!(sources.slice(a.header), "a \"x\\ty\" key = (t)\"va\" 0x10");
    assert_eq!(sources.slice(a.span), "a \"x\\ty\" key = (t)\"va\" 0x10 {\n  b #\"r{w}\"#\n}");
    assert_eq!(sources.slice(a.arguments[0].part(1..3)), "\\ty");
    assert_eq!(sources.slice(a.properties[0].name.span), "key");
    assert_eq!(sources.slice(a.properties[0].value.span), "(t)\"va\"");
    assert_eq!(sources.slice(a.properties[0].value.part(0..2)), "va");
    assert_eq!(a.arguments[1].kind, ValueKind::Integer(16));
    let b = &a.children.as_ref().expect("a block")[0];
    assert_eq!(sources.slice(b.arguments[0].part(1..4)), "{w}");
    assert_eq!(sources.slice(document.nodes[1].properties[0].name.span), "é");
}

#[test]
fn lines_of_a_long_string_know_their_places() {
    let text = "run \"\"\"\n    echo {x}\n\n      é\\tb {y}\n    \"\"\"\n";
    let (sources, document) = read(text);
    let value = document.expect("it is KDL").nodes[0].arguments[0].clone();
    let string = value.as_str().expect("a string").to_owned();
    assert_eq!(string, "echo {x}\n\n  é\tb {y}");
    for field in ["{x}", "é", "b {y}"] {
        let at = string.find(field).expect("there");
        assert_eq!(sources.slice(value.part(at..at + field.len())), field);
    }
}

/// The problems of a text, each with what its first label covers.
#[track_caller]
fn refuses(text: &str, expected: &[(&str, &str)]) {
    let refused = refused(text);
    let refused: Vec<_> = refused.iter().map(|(_, title, place)| (title.as_str(), place.as_str())).collect();
    assert_eq!(refused, expected, "{text}");
}

#[test]
fn syntax_errors_point_at_their_place() {
    refuses("a\nb key=\nc", &[("a property has no value", "key=")]);
    refuses("a {\n b key= }", &[("a property has no value", "key=")]);
    refuses("a {\n  b\n", &[("a block is not closed", "{")]);
    refuses("a\n}\nb", &[("a `}` closes nothing", "}")]);
    refuses("a \"x\nb", &[("a string is not closed", "\"")]);
    refuses("a \"x\\\"\nb", &[("a string is not closed", "\"")]);
    refuses("a ##\"x\"#\nb", &[("a string is not closed", "##\"")]);
    refuses("a \"\"\"\nx\nb", &[("a string is not closed", "\"\"\"")]);
    refuses("a /* /* */\nb", &[("a comment is not closed", "/*")]);
    refuses("a \"x\\qy\"", &[("`\\q` is not an escape", "\\q")]);
    refuses("a \"\\u{d800}\"", &[("`\\u` names no character", "\\u")]);
    refuses("a \"\"\"x\n\"\"\"", &[("a string in `\"\"\"` does not begin on a new line", "\"\"\"")]);
    refuses("a \"\"\"\n x\"\"\"", &[("text stands before a closing `\"\"\"`", "\"\"\"")]);
    let indented = ("a line of a string is not indented as its closing `\"\"\"` is", "  ");
    refuses("a \"\"\"\n    x\n  y\n    \"\"\"", &[indented]);
    refuses("a src/app/main.rs b", &[("`src/app/main.rs` needs quotes", "src/app/main.rs")]);
    refuses(
        "a src/*.py b\nc k=",
        &[("`src/*.py` needs quotes", "src/*.py"), ("a property has no value", "k=")],
    );
    refuses("a src/**/*.py b", &[("`src/**/*.py` needs quotes", "src/**/*.py")]);
    refuses("a [x]", &[("`[x]` needs quotes", "[x]")]);
    refuses("a 3.11.1", &[("`3.11.1` is not a number", "3.11.1")]);
    refuses("a .5", &[("`.5` is not a number", ".5")]);
    refuses("a #yes", &[("`#yes` is not a keyword", "#yes")]);
    refuses("a nan", &[("`nan` is not a string", "nan")]);
    refuses("a (u8 1", &[("a type is not closed", "u8")]);
    refuses("a \"b\"c", &[("a space is missing", "c")]);
    refuses("a \"b\"\u{200b} c", &[("a space is missing", "\u{200b}")]);
    refuses("a {} b", &[("a node goes on behind its block", "b")]);
    refuses("a =1", &[("a `=` has no name before it", "=")]);
    refuses("1 2", &[("a name is not a string", "1")]);
    refuses("{ a; }", &[("a node has no name", "{")]);
    refuses("a;;b", &[("a `;` ends nothing", ";")]);
    refuses("a \\ b", &[("a `\\` stands in the middle of a line", "\\")]);
    refuses(
        "a \u{202e}b\u{0}",
        &[
            ("the character U+202E may not stand in a file", "\u{202e}"),
            ("the character U+0000 may not stand in a file", "\0"),
        ],
    );
}

#[test]
fn kdl_1_is_told_from_mistakes() {
    let kdl1 = |what: &str| format!("`{what}` is KDL 1; hoist reads KDL 2");
    let codes = |text: &str| refused(text).iter().map(|(code, ..)| *code).collect::<Vec<_>>();
    refuses("a true x=false\n", &[(&kdl1("true"), "true")]);
    refuses("a x=null\n", &[(&kdl1("null"), "null")]);
    refuses("a r\"x\" b\nc r#\"y\"#", &[(&kdl1("r\"…\""), "r"), (&kdl1("r\"…\""), "r")]);
    refuses("a \"x\\/y\"", &[(&kdl1("\\/"), "\\/")]);
    assert_eq!(codes("a true\nb r\"x\"\n"), [Code::Kdl1, Code::Kdl1]);
}

#[test]
fn reading_goes_on_behind_a_mistake() {
    let text = "a key=\nb { c \"x\n d 1x; e = 2; f }\ng";
    let expected = [
        ("a property has no value", "key="),
        ("a string is not closed", "\""),
        ("`1x` is not a number", "1x"),
        ("a `=` has no name before it", "="),
    ];
    refuses(text, &expected);
    let refused = refused(&"a 1.\n".repeat(100));
    assert_eq!(refused.len(), SHOWN + 1);
    assert_eq!(refused[SHOWN].1, "the file has 96 more mistakes like these");
}

#[test]
fn a_block_that_is_not_closed_is_found_by_its_indentation() {
    let text = "target \"a\" {\n    matrix {\n        os \"x\"\n}\ntarget \"b\" {\n}\n";
    let (sources, document) = read(text);
    let problems = document.expect_err("refused");
    let places = problems.as_slice().iter().flat_map(|problem| &problem.labels);
    let places: Vec<_> = places.map(|label| sources.position(label.span).expect("a place")).collect();
    assert_eq!(places, [(2, 12), (4, 1)]);
}

#[test]
fn bounds_are_kept_however_a_text_is_broken() {
    let code = |text: &str| refused(text).remove(0).0;
    assert_eq!(code(&"a {".repeat(100_000)), Code::TooDeep);
    assert_eq!(code(&"a /-{".repeat(100_000)), Code::TooDeep);
    assert_eq!(code(&" ".repeat((16 << 20) + 1)), Code::TooLarge);
    assert_eq!(code(&format!("a \"\\q {}\"", "b { ".repeat(100_000))), Code::NotKdl);
    assert_eq!(code(&"{".repeat(100_000)), Code::NotKdl);
    // These would take minutes if their time were not linear.
    for piece in ["a /* b\n", "\\ /*\n", "\"\"\" ", "a\"", "[ \" # = /* ", "a=", "##\" "] {
        assert_eq!(code(&piece.repeat(100_000)), Code::NotKdl);
    }
    for (open, most) in [("a {", MAX_DEPTH), ("a /-{", MAX_DASHED), ("/-a {", MAX_DASHED)] {
        let nested = |depth: usize| open.repeat(depth) + &"}".repeat(depth);
        assert!(read(&nested(most)).1.is_ok());
        assert_eq!(code(&nested(most + 1)), Code::TooDeep);
    }
    let quoted = format!("a \"{0}\" #\"{0}\"# \"\"\"\n{0}\n\"\"\" /* {0} */ // {0}\n", "{".repeat(200));
    assert!(read(&quoted).1.is_ok());
}

#[test]
fn a_right_text_that_the_crate_refuses_does_it_no_harm() {
    // Behind `/- a;` the crate takes the string for blocks without an end.
    for (piece, count) in [("{ ", 990), ("{ ", 100_000), ("b /-{ ", 8), ("b /-{ ", 100)] {
        assert!(read(&format!("/- a;\"b {}\"", piece.repeat(count))).1.is_ok());
    }
}

mod oracle {
    use kdl::{KdlDocument, KdlIdentifier, KdlNode, KdlValue};
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::any_document::{pieces, text};

    /// What the `kdl` crate reads, in the words of [`said`].
    fn read_by_kdl(document: &KdlDocument) -> Vec<String> {
        let value = |value: &KdlValue, ty: Option<&KdlIdentifier>| {
            let kind = match value {
                KdlValue::String(text) => ValueKind::String(text.clone()),
                KdlValue::Integer(number) => ValueKind::Integer(*number),
                KdlValue::Float(number) => ValueKind::Float(*number),
                KdlValue::Bool(truth) => ValueKind::Bool(*truth),
                KdlValue::Null => ValueKind::Null,
            };
            format!("{kind:?} {:?}", ty.map(KdlIdentifier::value))
        };
        let node = |node: &KdlNode| {
            let arguments = node.entries().iter().filter(|entry| entry.name().is_none());
            let arguments: Vec<_> = arguments.map(|entry| value(entry.value(), entry.ty())).collect();
            let properties = node.entries().iter().filter_map(|entry| {
                Some(format!("{:?}={}", entry.name()?.value(), value(entry.value(), entry.ty())))
            });
            let properties: Vec<_> = properties.collect();
            let children = node.children().map(read_by_kdl);
            format!("{:?} {arguments:?} {properties:?} {children:?}", node.name().value())
        };
        document.nodes().iter().map(node).collect()
    }

    fn said(nodes: &[Node]) -> Vec<String> {
        let value = |value: &Value| {
            let annotation = value.annotation.as_ref().map(|annotation| annotation.value.as_str());
            format!("{:?} {annotation:?}", value.kind)
        };
        let node = |node: &Node| {
            let arguments: Vec<_> = node.arguments.iter().map(value).collect();
            let property =
                |property: &Property| format!("{:?}={}", property.name.value, value(&property.value));
            let properties: Vec<_> = node.properties.iter().map(property).collect();
            let children = node.children.as_deref().map(said);
            format!("{:?} {arguments:?} {properties:?} {children:?}", node.name.value)
        };
        nodes.iter().map(node).collect()
    }

    /// Every value is written where its span is, and every byte of a string where
    /// it is said to be, if it is written as itself.
    fn places_are_true(sources: &Sources, nodes: &[Node]) {
        for node in nodes {
            for value in node.arguments.iter().chain(node.properties.iter().map(|property| &property.value)) {
                let written = sources.slice(value.span);
                assert!(!written.is_empty() && !written.starts_with([' ', '=']), "{written:?}");
                let Some(text) = value.as_str() else { continue };
                for (at, c) in text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
                    let place = value.part(at..at + c.len_utf8());
                    assert!(sources.slice(place).starts_with(c), "{c:?} of {written:?}");
                }
            }
            assert!(sources.slice(node.span).starts_with(sources.slice(node.name.span)));
            places_are_true(sources, node.children.as_deref().unwrap_or_default());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn documents_are_read_as_the_kdl_crate_reads_them(text in text()) {
            let mut sources = Sources::new();
            let source = sources.add("release.kdl", text.as_str());
            let document = first_reading(source, &text).expect("it is KDL");
            places_are_true(&sources, &document.nodes);
            // The crate refuses some of what is KDL, such as `/- a;`.
            if let Ok(expected) = KdlDocument::parse_v2(&text) {
                prop_assert_eq!(said(&document.nodes), read_by_kdl(&expected));
            }
        }

        #[test]
        fn what_both_read_they_read_alike(text in pieces()) {
            // The crate lets some pass that is not KDL, such as `a #true/-b`.
            let mut sources = Sources::new();
            let source = sources.add("release.kdl", text.as_str());
            let read = first_reading(source, &text);
            if let (Ok(document), Ok(expected)) = (read, KdlDocument::parse_v2(&text)) {
                places_are_true(&sources, &document.nodes);
                prop_assert_eq!(said(&document.nodes), read_by_kdl(&expected));
            }
        }
    }
}
