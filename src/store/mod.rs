//! Where images lie.
//!
//! Owns OCI image layouts on disk ([`Layout`]). Content is named by its digest
//! and verified whenever it is read or written; names are set atomically.
//! Assumes that others write to the same places at the same time. Knows nothing
//! of steps, tags' rules, or what an image is for; must not import plan, cache,
//! engine, or release.

mod blob;
mod layout;

pub use blob::{BlobReader, BlobWriter};
pub use layout::Layout;
