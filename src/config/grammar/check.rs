//! A document against the table: everything that can be said of its form.

use crate::config::grammar::kind::article;
use crate::config::grammar::typing::check_value;
use crate::config::grammar::unknown::{unknown_node, unknown_property};
use crate::config::grammar::{Count, NodeForm, PropertyForm, ROOT};
use crate::diagnostic::{Code, Problem, Problems, Span, nearest};
use crate::syntax::{Document, Node};

/// Everything that is wrong with the form of a document.
pub(crate) fn check(document: &Document, problems: &mut Problems) {
    check_nodes(&document.nodes, ROOT, None, problems);
}

/// Nodes beside each other; `parent` is what they stand in, with its form.
fn check_nodes(
    nodes: &[Node],
    forms: &[NodeForm],
    parent: Option<(&Node, &NodeForm)>,
    problems: &mut Problems,
) {
    let mut once: Vec<(&str, Span)> = Vec::new();
    for node in nodes {
        let Some(form) = form_of(node, forms, parent, problems) else { continue };
        if form.repeatable {
            check_node(node, form, forms, problems);
        } else if let Some((_, first)) = once.iter().find(|(name, _)| *name == node.name.value) {
            problems.push(repeated_node(node, *first));
        } else {
            once.push((&node.name.value, node.name.span));
            check_node(node, form, forms, problems);
        }
    }
    if let Some((parent, _)) = parent {
        let is_of = |form: &NodeForm, node: &Node| form.name.is_empty() || node.name.value == form.name;
        let missing = |form: &&NodeForm| form.required && !nodes.iter().any(|node| is_of(form, node));
        for form in forms.iter().filter(missing) {
            let name = &parent.name.value;
            let (title, what) = if form.name.is_empty() {
                (format!("`{name}` is empty"), "a name with what belongs to it".to_owned())
            } else {
                (format!("`{name}` has no `{}`", form.name), format!("`{}`", form.name))
            };
            let problem = Problem::new(Code::MissingNode, title)
                .label(parent.name.span, format!("needs {what} in its braces"))
                .help(format!("add `{{ {} }}`", form.usage()));
            problems.push(problem);
        }
    }
}

fn repeated_node(node: &Node, first: Span) -> Problem {
    Problem::new(Code::Repeated, format!("`{}` is given twice", node.name.value))
        .label(node.name.span, "given again")
        .label(first, "first given here")
        .help(format!("join the two, or remove one: there is one `{}` at this place", node.name.value))
}

/// The form of a node, or a problem if the language has none for it here.
fn form_of<'a>(
    node: &Node,
    forms: &'a [NodeForm],
    parent: Option<(&Node, &NodeForm)>,
    problems: &mut Problems,
) -> Option<&'a NodeForm> {
    let name = node.name.value.as_str();
    let named: Vec<&NodeForm> =
        forms.iter().filter(|form| form.name == name || form.name.is_empty()).collect();
    match named.as_slice() {
        [] => {
            problems.push(unknown_node(node, forms, parent));
            None
        }
        [form] if form.variant.is_none() => Some(form),
        variants => variant_of(node, variants, problems),
    }
}

fn variant_of<'a>(node: &Node, variants: &[&'a NodeForm], problems: &mut Problems) -> Option<&'a NodeForm> {
    let kinds: Vec<&str> = variants.iter().filter_map(|form| form.variant).collect();
    let all = kinds.iter().map(|kind| format!("`\"{kind}\"`")).collect::<Vec<_>>().join(", ");
    let Some(first) = node.arguments.first() else {
        let problem = Problem::new(Code::MissingArgument, format!("`{}` has no kind", node.name.value))
            .label(node.header, "needs its kind as the first argument")
            .help(format!("one of {all}"));
        problems.push(problem);
        return None;
    };
    let written = first.as_str().unwrap_or_default();
    let found = variants.iter().find(|form| form.variant == Some(written));
    if found.is_none() {
        let title = match first.as_str() {
            Some(text) => format!("there is no `{}` of the kind `{text}`", node.name.value),
            None => format!("the kind of `{}` is not a string", node.name.value),
        };
        let help = match nearest(written, kinds.iter().copied()) {
            Some(kind) => format!("did you mean `\"{kind}\"`? There are {all}"),
            None => format!("one of {all}"),
        };
        problems.push(Problem::new(Code::InvalidValue, title).label(first.span, "no such kind").help(help));
    }
    found.copied()
}

/// `beside` are the forms of what may stand beside the node.
fn check_node(node: &Node, form: &NodeForm, beside: &[NodeForm], problems: &mut Problems) {
    if let Some(problem) = not_ended(node, beside) {
        problems.push(problem);
        return;
    }
    check_arguments(node, form, problems);
    check_properties(node, form, problems);
    check_choices(node, form, problems);
    let children = node.children.as_deref().unwrap_or_default();
    check_nodes(children, form.children, Some((node, form)), problems);
}

/// A node that goes on with what was to be the next one: `run "x" inputs "y"`. A
/// word in quotes is meant as it stands, and so is the name of the node itself:
/// `run npm run build`.
fn not_ended(node: &Node, beside: &[NodeForm]) -> Option<Problem> {
    let name = &node.name.value;
    let is_node = |word: &str| word != name && beside.iter().any(|form| form.name == word);
    let mut later = node.arguments.iter().skip(1).filter(|value| value.is_word());
    let value = later.find(|value| value.as_str().is_some_and(is_node))?;
    let word = value.as_str()?;
    let problem = Problem::new(Code::UnexpectedArgument, format!("`{word}` is an argument of `{name}` here"));
    let problem = problem.label(value.span, format!("nothing ends `{name}` before it"));
    Some(problem.help(format!("put `;` before it; if it is meant as an argument, write `\"{word}\"`")))
}

fn check_arguments(node: &Node, form: &NodeForm, problems: &mut Problems) {
    let mut values = node.arguments.iter();
    for argument in form.arguments {
        let most = match argument.count {
            Count::One | Count::Optional => 1,
            Count::Many | Count::Any => usize::MAX,
        };
        let mut found = 0;
        for value in values.by_ref().take(most) {
            found += 1;
            check_value(
                value,
                argument.kind,
                &format!("the {} of `{}`", argument.name, node.name.value),
                problems,
            );
        }
        if found == 0 && matches!(argument.count, Count::One | Count::Many) {
            let title = format!("`{}` has no {}", node.name.value, argument.name);
            let problem = Problem::new(Code::MissingArgument, title)
                .label(node.header, format!("needs {} {}", article(argument.name), argument.name))
                .help(format!("write `{}`", form.usage()));
            problems.push(problem);
        }
    }
    if let Some(extra) = values.next() {
        let title = match form.arguments.len() {
            0 => format!("`{}` takes no argument", node.name.value),
            1 => format!("`{}` takes one argument", node.name.value),
            count => format!("`{}` takes {count} arguments", node.name.value),
        };
        let problem = Problem::new(Code::UnexpectedArgument, title)
            .label(extra.span, "one too many")
            .help(format!("write `{}`", form.usage()));
        problems.push(problem);
    }
}

fn check_properties(node: &Node, form: &NodeForm, problems: &mut Problems) {
    let mut seen: Vec<(&str, Span)> = Vec::new();
    for property in &node.properties {
        let name = property.name.value.as_str();
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
            let help = if form.repeatable && form.arguments.is_empty() && form.open.is_none() {
                format!("write another `{} {name}=…`", node.name.value)
            } else {
                format!("remove one `{name}=…`")
            };
            let problem = Problem::new(Code::Repeated, format!("the property `{name}` is given twice"))
                .label(property.name.span, "given again")
                .label(*first, "first given here")
                .help(help);
            problems.push(problem);
            continue;
        }
        seen.push((name, property.name.span));
        match form.property(name) {
            Some(known) => {
                check_value(
                    &property.value,
                    known.kind,
                    &format!("`{name}` of `{}`", node.name.value),
                    problems,
                );
            }
            None => problems.push(unknown_property(node, form, name, property.name.span)),
        }
    }
    let missing = |known: &&PropertyForm| known.required && !seen.iter().any(|(name, _)| *name == known.name);
    for known in form.properties.iter().filter(missing) {
        let problem =
            Problem::new(Code::MissingProperty, format!("`{}` has no `{}`", node.name.value, known.name))
                .label(node.header, format!("needs `{}=`", known.name))
                .help(format!("add `{}={}`", known.name, known.kind.placeholder()));
        problems.push(problem);
    }
}

/// Properties and children of which there must be one, or at least one.
fn check_choices(node: &Node, form: &NodeForm, problems: &mut Problems) {
    let choices = if form.one_of.is_empty() { form.some_of } else { form.one_of };
    let found: Vec<(&str, Span)> =
        choices.iter().filter_map(|name| place_of(node, name).map(|span| (*name, span))).collect();
    let is_property = |name: &str| form.properties.iter().any(|property| property.name == name);
    let shown = |name: &&str| if is_property(name) { format!("`{name}=`") } else { format!("`{name}`") };
    let all = choices.iter().map(shown).collect::<Vec<_>>().join(", ");
    // One that is misspelt is there.
    let unknown = || {
        let mut children = node.children.iter().flatten();
        node.properties.iter().any(|given| form.property(&given.name.value).is_none())
            || children.any(|child| form.children.iter().all(|known| known.name != child.name.value))
    };
    if let Some(first) = choices.first().filter(|_| found.is_empty() && !unknown()) {
        let code = if is_property(first) { Code::MissingProperty } else { Code::MissingNode };
        let how_many = if form.one_of.is_empty() { "at least one" } else { "one" };
        let problem = Problem::new(code, format!("`{}` has none of {all}", node.name.value))
            .label(node.header, "says nothing yet")
            .help(format!("give it {how_many} of {all}"));
        problems.push(problem);
    }
    if let Some(((first, first_span), others)) = found.split_first()
        && !form.one_of.is_empty()
    {
        problems.extend(others.iter().map(|(other, span)| {
            Problem::new(Code::Conflict, format!("`{first}` and `{other}` exclude each other"))
                .label(*span, format!("`{other}` here"))
                .label(*first_span, format!("`{first}` here"))
                .help(format!("keep one of {all}"))
        }));
    }
}

/// Where a node has a property or a child of this name.
fn place_of(node: &Node, name: &str) -> Option<Span> {
    let mut properties = node.properties.iter().map(|property| &property.name);
    let mut children = node.children.iter().flatten().map(|child| &child.name);
    let found = properties.find(|given| given.value == name);
    found.or_else(|| children.find(|given| given.value == name)).map(|given| given.span)
}
