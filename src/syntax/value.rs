//! What the names and values of a text are, by the `kdl` crate.

use std::thread;

use kdl::{KdlDocument, KdlEntry, KdlNode, KdlValue};

use crate::diagnostic::{Code, Problem, Problems};
use crate::syntax::{Document, Node, ValueKind};

/// Stack of the thread on which the crate reads: it calls itself for each block,
/// and needs some 8 KiB for one.
const STACK: usize = 64 << 20;
/// Most braces, wherever they stand, of a text that the crate is given. Where it
/// refuses a text it loses its place, and takes what stands in strings for blocks.
const MAX_BRACES: usize = 1000;
/// Most slashdashes, for the same reason: its time doubles with each.
const MAX_SLASHDASHES: usize = 8;

/// The document with its names and values as the `kdl` crate reads them; their
/// places stay. The text is known to be right; the crate refuses some of what is
/// right, such as `/- a;`, and is not given what it could come to harm by: then
/// the first reading stands.
///
/// # Errors
/// The crate reads other nodes in the text.
pub(super) fn values(mut document: Document, text: &str) -> Result<Document, Problems> {
    let braces = text.bytes().filter(|byte| *byte == b'{').count();
    if braces > MAX_BRACES || text.matches("/-").count() > MAX_SLASHDASHES {
        return Ok(document);
    }
    let read = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let started = thread.spawn_scoped(scope, || KdlDocument::parse_v2(text));
        started.ok().and_then(|thread| thread.join().ok()).and_then(Result::ok)
    });
    let same = read.is_none_or(|read| nodes(&mut document.nodes, &read));
    if same { Ok(document) } else { Err(differ().into()) }
}

/// A fault of hoist: its two readers have the same grammar.
fn differ() -> Problem {
    Problem::new(Code::NotKdl, "the file cannot be understood for certain")
        .help("this is a mistake in hoist: please report it with the file")
}

fn nodes(nodes: &mut [Node], read: &KdlDocument) -> bool {
    let same = nodes.len() == read.nodes().len();
    same && nodes.iter_mut().zip(read.nodes()).all(|(node, read)| take(node, read))
}

/// Takes over what a node is; whether both are of one form.
fn take(node: &mut Node, read: &KdlNode) -> bool {
    read.name().value().clone_into(&mut node.name.value);
    let entries = read.entries().iter();
    let (named, plain): (Vec<&KdlEntry>, Vec<_>) = entries.partition(|entry| entry.name().is_some());
    if named.len() != node.properties.len() || plain.len() != node.arguments.len() {
        return false;
    }
    for (property, entry) in node.properties.iter_mut().zip(named) {
        let name = entry.name().map(kdl::KdlIdentifier::value).unwrap_or_default();
        name.clone_into(&mut property.name.value);
        property.value.kind = kind(entry.value());
    }
    for (argument, entry) in node.arguments.iter_mut().zip(plain) {
        argument.kind = kind(entry.value());
    }
    match (&mut node.children, read.children()) {
        (Some(children), Some(read)) => nodes(children, read),
        (None, None) => true,
        _ => false,
    }
}

fn kind(value: &KdlValue) -> ValueKind {
    match value {
        KdlValue::String(text) => ValueKind::String(text.clone()),
        KdlValue::Integer(number) => ValueKind::Integer(*number),
        KdlValue::Float(number) => ValueKind::Float(*number),
        KdlValue::Bool(truth) => ValueKind::Bool(*truth),
        KdlValue::Null => ValueKind::Null,
    }
}
