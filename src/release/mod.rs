//! Publishing: what consumers can see.
//!
//! Owns the check of all destinations before the first build ([`preflight`]),
//! the copy of an image by digest ([`push`]), what vouches for it there ([`sign`],
//! [`attest`]), and the move of its tags
//! ([`tag`]): in order, immutable ones never to another image, moving ones never
//! backwards, each read back. Doing any of it again changes nothing. Assumes
//! that others publish to the same places at the same time. Says what it did as
//! values; must not import run, report, or cli.

mod base;
mod history;
mod label;
mod likeness;
mod preflight;
mod publisher;
mod push;
mod seal;
mod shared;
mod tag;
#[cfg(test)]
mod tests;
mod transfer;
mod verdict;

pub use base::{find_base, last_base, note_layers, pull};
pub use likeness::repository_meant;
pub use preflight::{PresentTag, check_place, preflight};
pub use publisher::Publisher;
pub use push::{Pushed, push};
pub use seal::{Document, attest, sign};
pub use shared::{content_tag, fetch_shared, share};
pub use tag::{TagChange, TagReport, TagResult, check_immutable, check_tags, tag};
pub use transfer::{Delivered, End, Source, Transferred, shown};
