//! Content descriptors (OCI image specification, "descriptor").

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::oci::document::nullable;
use crate::oci::written::with_unknown;
use crate::oci::{Digest, Platform, Unknown, Written};

/// Points to content: what it is, how large, and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(remote = "Self")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// What the content runs on, for the entries of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Further facts about the content.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "IndexMap::is_empty")]
    pub annotations: IndexMap<String, String>,
    /// Other fields: `urls`, `data`, `artifactType`, and those of the future.
    #[serde(flatten, skip_deserializing)]
    pub unknown: Unknown,
}

with_unknown!(Descriptor);

impl Descriptor {
    /// Describes `bytes` as content of a media type.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Where else the content is, such as a layer that may not be distributed; `None`
    /// if nothing is said of that.
    #[must_use]
    pub fn urls(&self) -> Option<Vec<String>> {
        self.unknown.get("urls").and_then(Written::read).filter(|urls: &Vec<String>| !urls.is_empty())
    }

    /// Describes content whose digest and size are known.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: IndexMap::new(),
            unknown: Unknown::new(),
        }
    }
}
