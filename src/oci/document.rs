//! What the JSON documents of the image specification have in common.

use std::fmt;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::oci::written::Written;

/// Fields that this crate does not know, in their order.
pub type Unknown = IndexMap<String, Written>;

/// The largest document that is read, in bytes: what registries accept at
/// least, according to the distribution specification.
pub const MAX_DOCUMENT: u64 = 4 << 20;

/// Why bytes are not the document that they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidDocument {
    /// More than [`MAX_DOCUMENT`] bytes: this many.
    TooLarge(u64),
    /// Not JSON, or a field is missing or of another type.
    Json(String),
    /// A `schemaVersion` other than 2.
    SchemaVersion(u64),
    /// It says that it is something else: this media type.
    MediaType(String),
    /// It could be read as a manifest and as an index.
    Ambiguous,
}

impl fmt::Display for InvalidDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(size) => write!(f, "it has {size} bytes, more than {MAX_DOCUMENT}"),
            Self::Json(error) => f.write_str(error),
            Self::SchemaVersion(version) => write!(f, "its schema version is {version}, not 2"),
            Self::MediaType(media_type) => write!(f, "its media type is `{media_type}`"),
            Self::Ambiguous => f.write_str("it has the fields of a manifest and of an index"),
        }
    }
}

impl std::error::Error for InvalidDocument {}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidDocument> {
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(InvalidDocument::TooLarge(bytes.len() as u64));
    }
    serde_json::from_slice(bytes).map_err(|error| InvalidDocument::Json(error.to_string()))
}

/// The bytes of a document. Writing to memory values that were read from JSON
/// or are strings and numbers cannot fail.
pub(super) fn bytes<T: serde::Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

/// Reads `null` as the empty value: what Go writes for an empty list or map.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

pub(super) fn check_head(
    schema_version: u64,
    media_type: Option<&str>,
    fits: fn(&str) -> bool,
) -> Result<(), InvalidDocument> {
    if schema_version != 2 {
        return Err(InvalidDocument::SchemaVersion(schema_version));
    }
    match media_type {
        Some(media_type) if !fits(media_type) => Err(InvalidDocument::MediaType(media_type.to_owned())),
        _ => Ok(()),
    }
}
