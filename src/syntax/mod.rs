//! Text to [`Document`].
//!
//! Owns the bounds that a text must keep before it is parsed, the parsing, and
//! the formatting. The only place that names the `kdl` crate. Knows nothing of
//! what a node means; touches no file.

mod document;
mod guard;
mod parse;
mod string;

pub use document::{Document, Node, Property, Value, ValueKind};
pub use parse::parse;
