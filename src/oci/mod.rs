//! The specifications as values: bytes in, bytes out.
//!
//! Owns digests, references, tags, platforms, descriptors, manifests, indexes,
//! and image configurations, as the OCI image and distribution specifications
//! 1.1 define them. Assumes nothing of where bytes lie; reads and writes
//! nothing; imports no other module of the crate.

mod descriptor;
mod digest;
mod platform;
mod tag;

pub use descriptor::Descriptor;
pub use digest::{Digest, Digester};
pub use platform::Platform;
pub use tag::Tag;
