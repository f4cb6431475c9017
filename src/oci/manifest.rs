//! Image manifests (OCI image specification, "Image Manifest Specification").

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::oci::document::{bytes, check_head, nullable, parse};
use crate::oci::written::with_unknown;
use crate::oci::{Descriptor, InvalidDocument, Unknown, media_type};

/// One image: its configuration and its layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(remote = "Self")]
pub struct Manifest {
    /// 2.
    pub schema_version: u64,
    /// [`media_type::MANIFEST`] or Docker's; older documents leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the content is, if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Further facts.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "IndexMap::is_empty")]
    pub annotations: IndexMap<String, String>,
    /// Fields of the future.
    #[serde(flatten, skip_deserializing)]
    pub unknown: Unknown,
}

with_unknown!(Manifest);

impl Manifest {
    /// An OCI manifest of a configuration and layers.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: IndexMap::new(),
            unknown: Unknown::new(),
        }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// Bytes that are no manifest, or could be taken for an index, too.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDocument> {
        let manifest: Self = parse(bytes)?;
        check_head(manifest.schema_version, manifest.media_type.as_deref(), media_type::is_manifest)?;
        if manifest.unknown.contains_key("manifests") {
            return Err(InvalidDocument::Ambiguous);
        }
        Ok(manifest)
    }

    /// Its bytes, the same each time.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Written;

    fn small() -> Manifest {
        let config = Descriptor::of(media_type::CONFIG, b"{}");
        Manifest::new(config, vec![Descriptor::of(media_type::LAYER, b"layer")])
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        assert_eq!(Manifest::parse(&small().to_bytes()), Ok(small()));
    }

    #[test]
    fn unknown_fields_of_a_manifest_and_its_layers_are_kept() {
        let mut manifest = small();
        manifest.unknown.insert("future".to_owned(), Written::of(&serde_json::json!({ "b": 1, "a": [2] })));
        manifest.layers[0].unknown.insert("urls".to_owned(), Written::of(&["https://example.org/x"]));
        let text = String::from_utf8(manifest.to_bytes()).unwrap();
        assert!(text.contains(r#""urls":["https://example.org/x"]"#), "{text}");
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest));
    }

    #[test]
    fn a_document_that_reads_as_manifest_and_as_index_is_refused() {
        let mut manifest = small();
        manifest.unknown.insert("manifests".to_owned(), Written::of(&[0; 0]));
        assert_eq!(Manifest::parse(&manifest.to_bytes()), Err(InvalidDocument::Ambiguous));
    }

    #[test]
    fn other_schemas_types_and_sizes_are_refused() {
        let old = Manifest { schema_version: 1, ..small() };
        assert_eq!(Manifest::parse(&old.to_bytes()), Err(InvalidDocument::SchemaVersion(1)));
        let index = Manifest { media_type: Some(media_type::INDEX.to_owned()), ..small() };
        let type_named = InvalidDocument::MediaType(media_type::INDEX.to_owned());
        assert_eq!(Manifest::parse(&index.to_bytes()), Err(type_named));
        let large = vec![b' '; (4 << 20) + 1];
        assert_eq!(Manifest::parse(&large), Err(InvalidDocument::TooLarge((4 << 20) + 1)));
        assert!(matches!(Manifest::parse(b"[]"), Err(InvalidDocument::Json(_))));
    }
}
