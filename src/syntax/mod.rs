//! Text to [`Document`].
//!
//! Owns the bounds that a text must keep before it is parsed, the parsing, and
//! the formatting. The only place that names the `kdl` crate. Knows nothing of
//! what a node means; touches no file.

mod document;
mod format;
mod guard;
mod indent;
mod parse;
mod string;
mod token;

pub use document::{Document, Node, Property, Value, ValueKind};
pub use format::format;
pub use parse::parse;
