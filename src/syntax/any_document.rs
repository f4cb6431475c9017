//! Documents of all shapes, for tests of properties.

use proptest::prelude::*;

fn gap() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => Just(" "),
        1 => Just("  \t"),
        1 => Just(" /* c */ "),
        1 => Just("/*d\n  e*/"),
        1 => Just(" \\\n"),
        1 => Just("  \\ // f\n  "),
    ]
}

fn value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "1",
        "-0x1F",
        "1_0.5e+3",
        "#true",
        "#null",
        "#-inf",
        "bare",
        "\"q \\\"{\\n\"",
        "#\"r\"} { \"#",
        "(t)\"x\"",
        "( t ) 2",
        "\"\"\"\n  a {\n\n    b\n  \"\"\"",
        "\"\"\"\n\t\tc \\\n  d\n\t\t\"\"\"",
        "#\"\"\"\n   e\\\n   \"\"\"#",
        "\"f \\\n   g\"",
    ])
}

fn entry() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["", "", "", "k=", "\"k k\" = ", "k =\t", "/-", "/- k="]);
    (key, value()).prop_map(|(key, value)| format!("{key}{value}"))
}

fn end() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        5 => Just("\n"), 1 => Just(";"), 1 => Just("  ;\t"), 1 => Just(";\n"), 1 => Just("  // g  \r\n"),
        1 => Just(" //h\n\n\n"), 1 => Just("\n\n \n"), 1 => Just(" ; // i\n"), 1 => Just(" /* j */\n"),
    ]
}

fn lead() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        8 => Just(""), 1 => Just("   "), 1 => Just("\t// k\n"), 1 => Just("/* l\n m */ "), 1 => Just("/- "),
        1 => Just("/-\n"), 1 => Just("\n\n"), 1 => Just("(t) "),
    ]
}

fn node(children: impl Strategy<Value = Option<String>>) -> impl Strategy<Value = String> {
    let entries = prop::collection::vec((gap(), entry()), 0..4);
    (lead(), prop::sample::select(vec!["n", "\"m m\"", "#\"o\"#"]), entries, gap(), children, end()).prop_map(
        |(lead, name, entries, gap, children, end)| {
            let entries = entries.into_iter().map(|(gap, entry)| gap.to_owned() + &entry);
            let children = children.map(|children| format!("{gap}{{{children}}}"));
            format!("{lead}{name}{}{}{end}", entries.collect::<String>(), children.unwrap_or_default())
        },
    )
}

/// A text with a few nodes and all that may stand in and around them.
pub(super) fn text() -> impl Strategy<Value = String> {
    let leaf = node(Just(None)).boxed();
    let tree = leaf.prop_recursive(4, 40, 4, |inner| {
        let block = prop::collection::vec(inner, 0..4).prop_map(|nodes| Some(nodes.concat()));
        node(prop_oneof![Just(None), block])
    });
    prop::collection::vec(tree, 0..5).prop_map(|nodes| nodes.concat())
}

/// Pieces of documents in any order: most of these texts are broken.
pub(super) fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", " ", " ", "\n", "{", "}", ";", "=", "\"b\"", "\"", "#", "\"\"\"\n", "\n  ", "\\", "/-", "/*",
        "*/", "//", "1", "-", ".", "#true", "(t)", "(", ")", "k=", "é", "\u{2003}", "\r\n", "\\u{e9}",
        "#\"c\"#", "true", "x_1",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
