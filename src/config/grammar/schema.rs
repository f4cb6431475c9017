//! The table as a schema in the KDL Schema Language.

use std::fmt::Write;

use crate::config::grammar::kind::Type;
use crate::config::grammar::{ArgumentForm, Count, Kind, NodeForm, PropertyForm, ROOT};

/// The language as a KDL Schema: the text of `schema/release.schema.kdl`.
///
/// A schema says less than the table: it has no alternatives (`dockerfile` or
/// `assemble`), so nodes that their first argument tells apart are one node here
/// that may hold what any of them may.
#[must_use]
pub fn schema() -> String {
    let mut lines = Lines::default();
    lines.add("// Generated from the grammar of hoist; `HOIST_UPDATE=1 cargo test` writes it anew.");
    lines.open("document");
    lines.open("info");
    lines.add("title \"release.kdl\" lang=en");
    lines.add("description \"How a project is built, tested, and released by hoist\" lang=en");
    lines.add(&format!("version {:?}", env!("CARGO_PKG_VERSION")));
    lines.close();
    nodes(ROOT, true, &mut lines);
    lines.close();
    lines.text
}

/// Lines with the indentation of their braces.
#[derive(Default)]
struct Lines {
    text: String,
    depth: usize,
}

impl Lines {
    fn add(&mut self, line: &str) {
        let indent = 4 * self.depth;
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{:indent$}{line}", "");
    }

    fn open(&mut self, line: &str) {
        self.add(&format!("{line} {{"));
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.add("}");
    }
}

/// Nodes beside each other; those of one name are joined. They are `exact` where
/// their parent is not joined of several itself: else what one of these needs
/// the others may not have.
fn nodes(forms: &[NodeForm], exact: bool, lines: &mut Lines) {
    let mut done: Vec<&str> = Vec::new();
    for form in forms {
        if !done.contains(&form.name) {
            done.push(form.name);
            let variants: Vec<&NodeForm> = forms.iter().filter(|other| other.name == form.name).collect();
            node(&variants, exact, lines);
        }
    }
}

fn node(variants: &[&NodeForm], exact: bool, lines: &mut Lines) {
    let Some(first) = variants.first() else { return };
    let name = if first.name.is_empty() { String::new() } else { format!(" {:?}", first.name) };
    let about = variants.iter().map(|form| form.about).collect::<Vec<_>>().join(" ");
    lines.open(&format!("node{name} description={}", quoted(&about)));
    if first.required && exact {
        lines.add("min 1");
    }
    if !first.repeatable {
        lines.add("max 1");
    }
    for form in joined(variants.iter().flat_map(|form| form.properties), |form| form.name) {
        property(form, Some(form.name), lines);
    }
    if let Some(open) = &first.open {
        lines.add("other-props-allowed #true");
        property(open, None, lines);
    }
    let kinds: Vec<&str> = variants.iter().filter_map(|form| form.variant).collect();
    for (index, form) in first.arguments.iter().enumerate() {
        argument(form, if index == 0 { &kinds } else { &[] }, lines);
    }
    let children = joined(variants.iter().flat_map(|form| form.children), |form| (form.name, form.variant));
    let children: Vec<NodeForm> = children.into_iter().copied().collect();
    if !children.is_empty() {
        lines.open("children");
        nodes(&children, variants.len() == 1, lines);
        lines.close();
    }
    lines.close();
}

/// What several variants have, each name once.
fn joined<'a, T, N: PartialEq>(all: impl Iterator<Item = &'a T>, name: impl Fn(&T) -> N) -> Vec<&'a T> {
    let mut joined: Vec<&T> = Vec::new();
    for one in all {
        if !joined.iter().any(|other| name(other) == name(one)) {
            joined.push(one);
        }
    }
    joined
}

fn property(form: &PropertyForm, name: Option<&str>, lines: &mut Lines) {
    let name = name.map(|name| format!(" {name:?}")).unwrap_or_default();
    let about =
        if form.about.is_empty() { String::new() } else { format!(" description={}", quoted(form.about)) };
    lines.open(&format!("prop{name}{about}"));
    if form.required {
        lines.add("required #true");
    }
    validations(form.kind, lines);
    lines.close();
}

fn argument(form: &ArgumentForm, kinds: &[&str], lines: &mut Lines) {
    lines.open(&format!("value description={}", quoted(form.name)));
    if matches!(form.count, Count::One | Count::Many) {
        lines.add("min 1");
    }
    if matches!(form.count, Count::One | Count::Optional) {
        lines.add("max 1");
    }
    validations(form.kind, lines);
    if !kinds.is_empty() {
        lines.add(&words("enum", kinds));
    }
    lines.close();
}

fn validations(kind: Kind, lines: &mut Lines) {
    if let [one] = kind.types() {
        let name = match one {
            Type::String => "string",
            Type::Integer => "number",
            Type::Bool => "boolean",
        };
        lines.add(&format!("type {name:?}"));
    }
    match kind {
        Kind::Integer(least, most) => {
            lines.add("% 1");
            lines.add(&format!("\">=\" {least}"));
            lines.add(&format!("\"<=\" {most}"));
        }
        Kind::Word(all) => lines.add(&words("enum", all)),
        Kind::Date => lines.add("format date"),
        Kind::Regex => lines.add("format regex"),
        Kind::Variable => lines.add(r##"pattern #"^[A-Za-z_][A-Za-z0-9_]*$"#"##),
        Kind::Mode => lines.add(r##"pattern #"^[0-7]{3,4}$"#"##),
        Kind::Secret => lines.add(r##"pattern #"^(env|file|command):."#"##),
        _ => {}
    }
}

fn words(name: &str, all: &[&str]) -> String {
    all.iter().fold(name.to_owned(), |line, word| format!("{line} {word:?}"))
}

/// A string of KDL: Rust's escapes of what the table holds are KDL's, too.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}
