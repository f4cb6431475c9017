//! Signatures and attestations of images: what vouches for a digest.
//!
//! Owns the keys that sign ([`Keyring`], [`Signer`], [`PublicKey`]), what is attached to
//! a manifest in the formats of Sigstore's cosign, and its verification ([`verify`]).
//! There are two of each: a list under a tag of its own (`sha256-….sig`, `sha256-….att`),
//! and a bundle that refers to the manifest. What is there is not added twice; that a
//! place cannot be read is never taken for "unsigned". Assumes that others sign the same
//! images at the same time. Knows nothing of tags' rules and of when something is signed;
//! must not import cache, engine, release, or run.

mod along;
mod attached;
mod attest;
mod bundle;
mod encrypted;
mod ensure;
mod envelope;
#[cfg(fuzzing)]
pub mod fuzzing;
mod key;
mod keyring;
mod pem;
mod provenance;
mod referring;
mod sbom;
mod sign;
mod simple;
mod statement;
mod tagged;
#[cfg(test)]
mod tests;
mod verify;

pub use along::{Along, copy_along};
pub use attached::{Form, attached_documents};
pub use attest::{Attestation, attach_document, attest};
pub use key::{InvalidKey, PublicKey, Signer};
pub use keyring::Keyring;
pub use provenance::{Invocation, Keyed, provenance};
pub use sbom::{Sbom, recognise};
pub use sign::sign;
pub use statement::Subject;
pub use verify::{Judged, Verification, verify};
