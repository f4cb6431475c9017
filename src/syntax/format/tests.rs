use proptest::prelude::ProptestConfig;

use super::*;
use crate::diagnostic::Sources;
use crate::syntax::any_document::text;

fn formatted(text: &str) -> String {
    let source = Sources::new().add("release.kdl", text);
    let once = format(source, text).expect("it can be formatted");
    assert_eq!(format(source, &once).expect("again"), once, "formatting twice");
    once
}

#[test]
fn indentation_and_the_space_between_parts_are_hoists_own() {
    let text = "\u{feff}\n\n// top\r\ntarget   \"a\"   about = \"x\"{\n\n\n run  \"b\"  ;\n\n\n\n\tinputs (t) 1 #true;\n\n}\n\n\n";
    let expected = "// top\ntarget \"a\" about=\"x\" {\n    run \"b\"\n\n    inputs (t)1 #true\n}\n";
    assert_eq!(formatted(text), expected);
}

#[test]
fn blocks_on_several_lines_have_lines_of_their_own() {
    let text = "a { b 1\n  c { d { e; f; }\n } }\ng {\n}\nh { // why\n\n i; } // end\n";
    let expected =
        "a {\n    b 1\n    c {\n        d { e; f; }\n    }\n}\ng {\n}\nh { // why\n    i\n} // end\n";
    assert_eq!(formatted(text), expected);
}

#[test]
fn blocks_on_one_line_stay_as_they_are() {
    let text = "test \"web\"    { run \"web\";   expect exit=0 ; }\ntest \"worker\" {run \"x\"}\na;b ;  c\n";
    let expected =
        "test \"web\"    { run \"web\";   expect exit=0 ; }\ntest \"worker\" {run \"x\"}\na; b; c\n";
    assert_eq!(formatted(text), expected);
}

#[test]
fn comments_stay_where_they_are_and_above_each_other() {
    let text = "a 1    // one\nbb  2  // two\n  /* b */ c /*d*/ 1 // three\n/- gone { x\n}\n";
    let expected = "a 1    // one\nbb 2   // two\n/* b */ c /*d*/ 1 // three\n";
    assert_eq!(formatted(text), format!("{expected}/- gone {{\n    x\n}}\n"));
}

#[test]
fn continued_lines_are_indented_below_the_first() {
    let text = "a {\ninputs \"x\" \\\n  \"y\"   \\ // why\n\"z\" {\nb\n}\n}\n";
    let expected =
        "a {\n    inputs \"x\" \\\n        \"y\" \\ // why\n        \"z\" {\n        b\n    }\n}\n";
    assert_eq!(formatted(text), expected);
}

#[test]
fn lines_of_a_string_move_with_the_line_that_it_begins_on() {
    let text = "a {\n\trun \"\"\"\n\t\tone\n   \n\t\t\ttwo \\\\\n\t\t\"\"\"\n  raw ##\"\"\"\n  x \\\n  \"\"\"##\n}\n";
    let expected = "a {\n    run \"\"\"\n        one\n\n        \ttwo \\\\\n        \"\"\"\n    raw ##\"\"\"\n    x \\\n    \"\"\"##\n}\n";
    assert_eq!(formatted(text), expected);
}

#[test]
fn strings_whose_lines_are_joined_stay_as_they_are() {
    let text = "  a \"\"\"\n    one \\\n  two\n    \"\"\"\n";
    assert_eq!(formatted(text), text.trim_start());
}

#[test]
fn a_text_that_is_not_kdl_is_refused() {
    let source = Sources::new().add("release.kdl", "");
    assert_eq!(format(source, "a {"), parse(source, "a {").map(|_| String::new()));
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_document_keeps_its_meaning_and_is_formatted_once_and_for_all(text in text()) {
        // Formatting compares what it made with what it was given.
        formatted(&text);
    }
}
