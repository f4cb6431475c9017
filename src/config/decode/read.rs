//! What nodes hold, for decoding. Values of a wrong type are absent here: the
//! check has reported them.

use crate::diagnostic::Spanned;
use crate::syntax::{Node, Property, Value, ValueKind};

pub(super) fn argument(node: &Node, index: usize) -> Option<&Value> {
    node.arguments.get(index)
}

pub(super) fn property<'a>(node: &'a Node, name: &str) -> Option<&'a Value> {
    whole_property(node, name).map(|property| &property.value)
}

pub(super) fn whole_property<'a>(node: &'a Node, name: &str) -> Option<&'a Property> {
    node.properties.iter().find(|property| property.name.value == name)
}

pub(super) fn children<'a>(node: &'a Node, name: &'a str) -> impl Iterator<Item = &'a Node> {
    node.children.iter().flatten().filter(move |child| child.name.value == name)
}

pub(super) fn child<'a>(node: &'a Node, name: &'a str) -> Option<&'a Node> {
    children(node, name).next()
}

/// All arguments of all children of a name.
pub(super) fn words<'a>(node: &'a Node, name: &'a str) -> impl Iterator<Item = &'a Value> {
    children(node, name).flat_map(|child| &child.arguments)
}

/// The first argument of the child of a name.
pub(super) fn word<'a>(node: &'a Node, name: &'a str) -> Option<&'a Value> {
    child(node, name).and_then(|child| child.arguments.first())
}

pub(super) fn text(value: &Value) -> Option<Spanned<String>> {
    value.as_str().map(|text| Spanned::new(text.to_owned(), value.span))
}

pub(super) fn string(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

pub(super) fn boolean(value: Option<&Value>) -> Option<bool> {
    match value?.kind {
        ValueKind::Bool(bool) => Some(bool),
        _ => None,
    }
}

pub(super) fn number<T: TryFrom<i128>>(value: Option<&Value>) -> Option<T> {
    match value?.kind {
        ValueKind::Integer(number) => T::try_from(number).ok(),
        _ => None,
    }
}

/// Whether the child `name` is there and does not say `#false`.
pub(super) fn flag(node: &Node, name: &str) -> Option<Spanned<bool>> {
    let child = child(node, name)?;
    Some(Spanned::new(boolean(child.arguments.first()).unwrap_or(true), child.header))
}

/// A text in one of the forms of [`crate::config::value`]; one that does not
/// fit is absent: the check has reported it.
pub(super) fn form<T, E>(value: Option<&Value>, read: impl Fn(&str) -> Result<T, E>) -> Option<T> {
    value.and_then(Value::as_str).and_then(|text| read(text).ok())
}
