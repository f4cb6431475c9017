//! Signed envelopes (Dead Simple Signing Envelope, version 1.0.2).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use crate::seal::{PublicKey, Signer};

/// The type of an envelope in a list under a tag.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";

/// A payload with who vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    payload: String,
    pub(super) payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Signature {
    sig: String,
}

impl Envelope {
    /// Signs a payload.
    pub(super) fn sign(payload_type: &str, payload: &[u8], signer: &Signer) -> Self {
        let sig = signer.sign(&encoded(payload_type, payload));
        Self {
            payload: STANDARD.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: vec![Signature { sig }],
        }
    }

    /// What is in it.
    pub(super) fn payload(&self) -> Result<Vec<u8>, String> {
        // The specification allows both alphabets.
        let decoded = STANDARD.decode(&self.payload).or_else(|_| URL_SAFE.decode(&self.payload));
        decoded.map_err(|_| "its payload is not base64".to_owned())
    }

    /// Whether a key has signed it.
    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Ok(payload) = self.payload() else { return false };
        let message = encoded(&self.payload_type, &payload);
        self.signatures.iter().any(|signature| key.verifies(&message, &signature.sig))
    }
}

/// What is signed: the type and the payload, each behind its length in bytes, so that one
/// cannot be taken for a part of the other.
fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_as_the_example_of_the_specification() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(encoded("http://example.com/HelloWorld", b"hello world"), expected);
    }
}
