//! The table as a page of the documentation.

use std::fmt::Write;

use crate::config::Fact;
use crate::config::grammar::{ArgumentForm, Count, Kind, NodeForm, PropertyForm, ROOT};
use crate::diagnostic::Code;

/// What holds beside the table: values, names, templates, commands.
const PROSE: &str = include_str!("prose.md");

/// The reference of the language: the text of `docs/reference.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = PROSE.to_owned();
    // Writing to a string does not fail.
    let _ = page.write_str("\n## Nodes\n\n");
    for form in ROOT {
        let _ = writeln!(page, "- [`{}`](#{}): {}", form.name, form.name, form.about);
    }
    for form in ROOT {
        section(&[], form, &mut page);
    }
    facts(&mut page);
    codes(&mut page);
    page
}

/// A node, and after it those of its children that need a section of their own.
fn section(path: &[&str], form: &NodeForm, page: &mut String) {
    let level = if path.is_empty() { "###" } else { "####" };
    let variant = form.variant.map(|first| format!(" \"{first}\"")).unwrap_or_default();
    let title = path.iter().copied().chain([form.name]).collect::<Vec<_>>().join("` › `");
    let title = if path.is_empty() { form.name.to_owned() } else { format!("`{title}{variant}`") };
    let _ = write!(page, "\n{level} {title}\n\n{}\n\n```kdl\n{}\n```\n", form.about, form.usage());
    if !form.notes.is_empty() {
        let _ = write!(page, "\n{}\n", form.notes);
    }
    choices(form, page);
    values(form, page);
    if path.is_empty() || form.name != "tags" {
        children(form, page);
    }
    if !form.example.is_empty() {
        let _ = write!(page, "\nExample:\n\n```kdl\n{}```\n", form.example);
    }
    let inner: Vec<&str> = path.iter().copied().chain([form.name]).collect();
    for child in
        form.children.iter().filter(|child| has_section(child) && (path.is_empty() || form.name != "tags"))
    {
        section(&inner, child, page);
    }
}

/// Whether a node says more than a line of its parent's table can hold.
fn has_section(form: &NodeForm) -> bool {
    !form.children.is_empty()
        || form.properties.iter().any(|known| !known.about.is_empty())
            && form.name != "allow"
            && !is_rule(form)
}

/// Rules of tags are short and many: the table of `tags` holds them.
fn is_rule(form: &NodeForm) -> bool {
    form.properties.iter().any(|known| known.name == "immutable")
}

fn choices(form: &NodeForm, page: &mut String) {
    let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if !form.one_of.is_empty() {
        let _ = write!(page, "\nExactly one of {} is needed.\n", list(form.one_of));
    }
    if !form.some_of.is_empty() {
        let _ = write!(page, "\nAt least one of {} is needed.\n", list(form.some_of));
    }
}

/// Arguments and properties.
fn values(form: &NodeForm, page: &mut String) {
    let arguments = form.arguments.iter().filter(|_| form.variant.is_none()).map(argument_row);
    let properties = form.properties.iter().map(|known| property_row(known, &format!("`{}=`", known.name)));
    let open = form.open.iter().map(|known| property_row(known, &format!("`{}=`, any name", known.name)));
    let rows: Vec<String> = arguments.chain(properties).chain(open).collect();
    if !rows.is_empty() {
        let _ = write!(page, "\n| | value | says | default |\n|---|---|---|---|\n{}", rows.concat());
    }
}

fn argument_row(form: &ArgumentForm) -> String {
    let count = match form.count {
        Count::One | Count::Optional => "",
        Count::Many => ", one or more",
        Count::Any => ", any number",
    };
    let default = match form.count {
        Count::One | Count::Many => "needed",
        Count::Optional | Count::Any => form.default,
    };
    format!("| {}{count} | {} | {} | {default} |\n", form.name, kind(form.kind), cell(form.about))
}

fn property_row(form: &PropertyForm, name: &str) -> String {
    let default = if form.required { "needed" } else { form.default };
    format!("| {name} | {} | {} | {default} |\n", kind(form.kind), cell(form.about))
}

/// What a value is, with a link to where more is said of it.
fn kind(kind: Kind) -> String {
    let about = cell(&kind.about());
    match kind.section() {
        Some(section) => format!("[{about}](#{section})"),
        None => about,
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn children(form: &NodeForm, page: &mut String) {
    if form.children.is_empty() {
        return;
    }
    let _ = write!(page, "\nIn its braces:\n\n| node | says | value | times |\n|---|---|---|---|\n");
    for child in form.children {
        let times = match (child.required, child.repeatable) {
            (false, false) => "0–1",
            (false, true) => "any",
            (true, false) => "1",
            (true, true) => "1 or more",
        };
        let about = [child.about, child.notes].join(" ");
        let value = child.arguments.last().map(|argument| argument.kind).or(child.open.map(|open| open.kind));
        let value = value.map(kind).unwrap_or_default();
        let _ = writeln!(page, "| `{}` | {} | {value} | {times} |", cell(&child.usage()), cell(about.trim()));
    }
}

fn facts(page: &mut String) {
    let _ = page.write_str(
        "\n## Facts\n\nWhat is known of a run before it is planned. A fact without a value for the event, such as \
         `{major}` on a branch, is an error where it is used.\n\n| in a template | in a script | is |\n|---|---|---|\n",
    );
    for fact in Fact::ALL {
        let about = cell(fact.about().trim());
        let _ = writeln!(page, "| `{{{}}}` | `${}` | {about} |", fact.as_str(), fact.variable());
    }
}

fn codes(page: &mut String) {
    let _ = page.write_str(
        "\n## Codes\n\nEvery problem has a code. The exit code is that of the first problem; what is found before a release begins refuses it, with 3.\n\n\
         | code | means | exit code |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            code.as_str(),
            cell(code.about().trim()),
            code.class().exit_code()
        );
    }
}
