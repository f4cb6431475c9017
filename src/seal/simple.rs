//! What a signature in cosign's first format says ("simple signing", as of
//! containers/image).

use serde::{Deserialize, Serialize};

use crate::oci::Digest;

/// The type of a payload.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of a payload that holds its signature.
pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What every payload says that it is.
const TYPE: &str = "cosign container image signature";

/// What is signed.
#[derive(Deserialize, Serialize)]
struct Payload {
    critical: Critical,
    #[serde(default)]
    optional: Option<serde_json::Value>,
}

#[derive(Deserialize, Serialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize, Serialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize, Serialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

/// The payload for a manifest of a repository; the same each time.
pub(super) fn payload(repository: &str, digest: &Digest) -> Vec<u8> {
    let critical = Critical {
        identity: Identity { reference: repository.to_owned() },
        image: Image { digest: *digest },
        kind: TYPE.to_owned(),
    };
    serde_json::to_vec(&Payload { critical, optional: None }).unwrap_or_default()
}

/// The manifest that a payload is about.
pub(super) fn subject(payload: &[u8]) -> Result<Digest, String> {
    let payload: Payload = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    if payload.critical.kind != TYPE {
        return Err(format!("it is a `{}`", payload.critical.kind));
    }
    Ok(payload.critical.image.digest)
}
