//! Statements about images (in-toto attestation framework, "Statement").

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::oci::Digest;

/// The type of a statement in an envelope.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// What every statement says that it is, before its version.
const TYPE: &str = "https://in-toto.io/Statement/v";
/// The predicate of a signature in a bundle: that the image is signed, and no more.
pub(super) const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

/// A manifest that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The repository, if it is told.
    pub name: Option<String>,
    /// The manifest or index.
    pub digest: Digest,
}

/// A statement as it is found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stated {
    /// Hex digits of the SHA-256 of what it is about.
    pub(super) subjects: Vec<String>,
    pub(super) predicate_type: String,
    pub(super) predicate: Value,
}

/// The bytes of a statement; the same each time.
pub(super) fn statement(subjects: &[Subject], predicate_type: &str, predicate: &Value) -> Vec<u8> {
    let subject = |subject: &Subject| {
        let digest = json!({ "sha256": subject.digest.hex() });
        match &subject.name {
            Some(name) => json!({ "name": name, "digest": digest }),
            None => json!({ "digest": digest }),
        }
    };
    let statement = json!({
        "_type": format!("{TYPE}1"),
        "subject": subjects.iter().map(subject).collect::<Vec<_>>(),
        "predicateType": predicate_type,
        "predicate": predicate,
    });
    statement.to_string().into_bytes()
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(default)]
    subject: Vec<Resource>,
    predicate_type: String,
    #[serde(default)]
    predicate: Value,
}

#[derive(Deserialize, Serialize)]
struct Resource {
    #[serde(default)]
    digest: serde_json::Map<String, Value>,
}

/// Reads a statement, of whichever version.
pub(super) fn parse(bytes: &[u8]) -> Result<Stated, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !document.kind.starts_with(TYPE) {
        return Err(format!("it is a `{}`", document.kind));
    }
    let digest = |resource: &Resource| Some(resource.digest.get("sha256")?.as_str()?.to_owned());
    let subjects = document.subject.iter().filter_map(digest).collect();
    Ok(Stated { subjects, predicate_type: document.predicate_type, predicate: document.predicate })
}
