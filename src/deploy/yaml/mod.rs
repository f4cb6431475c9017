//! YAML as it is written: where each scalar stands, and how one is put in its place.
//!
//! Owns the tree of a text with the place of every node ([`Tree`]), how a text is spelled
//! as a scalar ([`spell`]), what an edit changes in other places ([`unshared`]), and the edit
//! of nothing but some bytes ([`Splices`]). What was edited is read again and compared with what it was to be: a text never comes to mean
//! more than was asked for.

mod path;
mod scalar;
mod shared;
mod splice;
mod tree;

pub(super) use path::Path;
pub(super) use scalar::spell;
pub(super) use shared::{anchors, unshared};
pub(super) use splice::{Splices, indent, line_end, lines_behind};
pub(super) use tree::{Document, Kind, Node, Style, Tree};
