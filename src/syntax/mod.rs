//! Text to [`Document`].
//!
//! Owns the reading of KDL 2, its bounds, and the formatting; the only place that
//! names the `kdl` crate. A text is read twice. First by its tokens: in linear
//! time, within bounds, passing over what cannot be read, so that all mistakes
//! are found at once and every byte of every value knows its place. Then, if it
//! is right, by the `kdl` crate, which says what its names and values are; that
//! crate recurses on what it cannot read, and sees no such text. Knows nothing of
//! what a node means; touches no file.

#[cfg(test)]
mod any_document;
mod document;
mod format;
mod indent;
mod parse;
mod string;
mod token;
mod value;
mod word;
mod wrong;

pub use document::{Document, Node, Property, Value, ValueKind};
pub use format::format;
pub use parse::parse;
