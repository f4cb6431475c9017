//! Sigstore's bundles (version 0.3): an envelope with what one needs to verify it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::seal::envelope::Envelope;
use crate::seal::{PublicKey, Signer};

/// The type of a bundle, and of a manifest that brings one.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What the types of bundles of all versions begin with.
pub(super) const ANY: &str = "application/vnd.dev.sigstore.bundle";

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    #[serde(default)]
    verification_material: Value,
    dsse_envelope: Envelope,
}

/// A signed payload as a bundle; the same each time. Who verifies it knows the key, of
/// which it has the fingerprint alone.
pub(super) fn bundle(payload_type: &str, payload: &[u8], signer: &Signer) -> Vec<u8> {
    let bundle = Bundle {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: json!({ "publicKey": { "hint": PublicKey::hint(signer.public()) } }),
        dsse_envelope: Envelope::sign(payload_type, payload, signer),
    };
    serde_json::to_vec(&bundle).unwrap_or_default()
}

/// The envelope in a bundle.
pub(super) fn envelope(bytes: &[u8]) -> Result<Envelope, String> {
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !bundle.media_type.starts_with(ANY) {
        return Err(format!("it is a `{}`", bundle.media_type));
    }
    Ok(bundle.dsse_envelope)
}
