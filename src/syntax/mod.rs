//! Text to [`Document`].
//!
//! Owns the reading of KDL 2, its bounds, and the formatting. A text becomes
//! tokens, of which nothing is lost, and tokens become nodes; what cannot be read
//! is passed over, so that all mistakes are found at once. Its time is linear in
//! the text, its depth bounded, and every byte of every value knows its place:
//! the `kdl` crate can promise none of the three, and serves as an oracle in
//! tests. Knows nothing of what a node means; touches no file.

#[cfg(test)]
mod any_document;
mod document;
mod format;
mod indent;
mod parse;
mod string;
mod token;
mod word;
mod wrong;

pub use document::{Document, Node, Property, Value, ValueKind};
pub use format::format;
pub use parse::parse;
