//! The specifications as values: bytes in, bytes out.
//!
//! Owns digests, references, tags, platforms, descriptors, manifests, indexes,
//! and image configurations, as the OCI image and distribution specifications
//! 1.1 define them. Assumes nothing of where bytes lie; reads and writes
//! nothing; imports no other module of the crate.

mod archive;
mod compressor;
mod config;
mod descriptor;
mod digest;
mod document;
mod efficiency;
mod foreign;
mod index;
mod layer;
mod manifest;
pub mod media_type;
mod platform;
mod reference;
mod tag;
mod unpacked;
mod written;

pub use archive::{ArchiveEntry, ArchiveKind, MAX_ARCHIVE_ENTRIES, decompress, is_hostile, read_archive};
pub use compressor::LayerCompression;
pub use config::{ContainerConfig, History, ImageConfig, Nothing, RootFs};
pub use descriptor::Descriptor;
pub use digest::{Digest, Digester, InvalidDigest};
pub use document::{InvalidDocument, MAX_DOCUMENT, Unknown};
pub use efficiency::{Access, FileTree, Node, NodeKind, Waste};
pub use foreign::Foreign;
pub use index::Index;
pub use layer::{InvalidEntry, Layer, LayerEntry, LayerEntryKind};
pub use manifest::Manifest;
pub use platform::{InvalidPlatform, Platform};
pub use reference::{InvalidReference, LATEST, Reference, RepositoryName};
pub use tag::{InvalidTag, Tag, list_tag};
pub use unpacked::{is_other_content, unpacked};
pub use written::Written;
