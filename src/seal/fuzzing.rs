//! What the fuzz targets reach, and nobody else.

use crate::oci::Digest;
use crate::seal::attached::{Claim, read};
use crate::seal::{Form, PublicKey};

/// What some bytes that are attached to a manifest claim of it, in each form that they may
/// have, and whether a key has signed them.
#[must_use]
pub fn judged(bytes: &[u8], signature: &str, subject: &Digest, key: &PublicKey) -> Vec<(bool, bool)> {
    let found = read(bytes, signature).into_iter();
    found
        .map(|one| {
            let claims = one.claim(subject);
            assert!(one.form == Form::Tag || claims != Ok(Claim::Signed) || one.is_signature());
            (claims.is_ok(), one.is_signed_by(key))
        })
        .collect()
}
