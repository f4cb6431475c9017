//! The files that are written from the grammar.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::fs;
use std::path::Path;

use crate::config::decode;
use crate::config::grammar::{reference, schema, walk};
use crate::diagnostic::Sources;
use crate::syntax::parse;

/// Compares a file of the repository with what it should be, or writes it.
fn is_current(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("HOIST_UPDATE").is_some() {
        fs::write(&file, text).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == text,
        "{path} is not what the grammar says: `HOIST_UPDATE=1 cargo test --lib config::` writes it"
    );
}

#[test]
fn the_schema_is_what_the_grammar_says() {
    is_current("schema/release.schema.kdl", &schema());
}

#[test]
fn the_reference_is_what_the_grammar_says() {
    is_current("docs/reference.md", &reference());
}

#[test]
fn the_schema_is_a_document_of_kdl() {
    let text = schema();
    let document = parse(Sources::new().add("release.schema.kdl", text.as_str()), &text).unwrap();
    let [root] = document.nodes.as_slice() else { panic!("one node") };
    assert_eq!(root.name.value, "document");
    let nodes = root.children.iter().flatten().filter(|node| node.name.value == "node").count();
    assert_eq!(nodes, crate::config::grammar::ROOT.len());
}

#[test]
fn every_node_of_the_language_says_what_it_is_for() {
    for (path, form) in walk() {
        assert!(form.about.ends_with('.'), "{path:?} {} has a sentence about it", form.name);
        for property in form.properties {
            let known = property.about.is_empty() || property.about.ends_with('.');
            assert!(known, "{path:?} {} {} has a sentence about it", form.name, property.name);
        }
    }
}

#[test]
fn an_empty_file_is_a_project_without_anything() {
    let release = decode(&[], "directory").unwrap();
    assert_eq!(release.project, "directory");
    assert!(release.targets.is_empty() && release.images.is_empty());
}
