//! Nodes and properties that the table does not have: what may be meant.

use std::collections::BTreeSet;

use crate::config::grammar::{NodeForm, walk};
use crate::diagnostic::{Code, Problem, Span, nearest};
use crate::syntax::Node;

/// The problem of a node that has no form among `forms`, which are those of
/// the children of `parent`.
pub(super) fn unknown_node(node: &Node, forms: &[NodeForm], parent: Option<(&Node, &NodeForm)>) -> Problem {
    let name = node.name.value.as_str();
    let Some((parent, parent_form)) = parent else {
        return Problem::new(Code::UnknownNode, format!("there is no node `{name}`"))
            .label(node.name.span, "not a node of a release.kdl")
            .help(meant(name, forms));
    };
    let place = &parent.name.value;
    let title = format!("`{place}` has no node `{name}`");
    let problem =
        Problem::new(Code::UnknownNode, title).label(node.name.span, format!("not a node of `{place}`"));
    if parent_form.property(name).is_some() {
        return problem.help(format!("`{name}` is a property: write `{place} {name}=…`"));
    }
    problem.help(meant(name, forms))
}

/// What to write instead of a node that `forms` do not have.
fn meant(name: &str, forms: &[NodeForm]) -> String {
    if let Some(near) = nearest(name, forms.iter().map(|form| form.name).filter(|name| !name.is_empty())) {
        return format!("did you mean `{near}`?");
    }
    let homes = walk().into_iter().filter(|(_, form)| form.name == name);
    let homes: BTreeSet<&str> = homes.map(|(path, _)| path.last().copied().unwrap_or_default()).collect();
    if !homes.is_empty() {
        let home =
            |home: &str| if home.is_empty() { "the file itself".to_owned() } else { format!("`{home}`") };
        return format!(
            "`{name}` belongs in {}",
            homes.into_iter().map(home).collect::<Vec<_>>().join(" or ")
        );
    }
    if forms.is_empty() {
        return "remove the braces and what is in them".to_owned();
    }
    format!("there are {}", names(forms.iter().map(|form| form.name)))
}

/// The problem of a property that the form does not have.
pub(super) fn unknown_property(node: &Node, form: &NodeForm, name: &str, span: Span) -> Problem {
    let problem =
        Problem::new(Code::UnknownProperty, format!("`{}` has no property `{name}`", node.name.value))
            .label(span, "unknown property");
    if form.children.iter().any(|child| child.name == name) {
        return problem.help(format!("`{name}` is a node: write `{} {{ {name} … }}`", node.name.value));
    }
    if let Some(near) = nearest(name, form.properties.iter().map(|known| known.name)) {
        return problem.help(format!("did you mean `{near}`?"));
    }
    if form.properties.is_empty() {
        return problem.help(format!("write `{}`", form.usage()));
    }
    problem.help(format!("there are {}", names(form.properties.iter().map(|known| known.name))))
}

/// Names in backticks, each once, in order.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut seen = Vec::new();
    for name in all {
        let name = format!("`{name}`");
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen.join(", ")
}
