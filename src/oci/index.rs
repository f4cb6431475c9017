//! Image indexes (OCI image specification, "Image Index Specification").

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::oci::document::{bytes, check_head, nullable, parse};
use crate::oci::{Descriptor, InvalidDocument, Platform, Unknown, media_type};

/// Images of several platforms under one digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u64,
    /// [`media_type::INDEX`] or Docker's; older documents leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests, each with its platform.
    #[serde(deserialize_with = "nullable")]
    pub manifests: Vec<Descriptor>,
    /// Further facts.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "IndexMap::is_empty")]
    pub annotations: IndexMap<String, String>,
    /// Fields of the future.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Index {
    /// An OCI index of manifests.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::INDEX.to_owned()),
            manifests,
            annotations: IndexMap::new(),
            unknown: Unknown::new(),
        }
    }

    /// Reads an index.
    ///
    /// # Errors
    /// Bytes that are no index, or could be taken for a manifest, too.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDocument> {
        let index: Self = parse(bytes)?;
        check_head(index.schema_version, index.media_type.as_deref(), media_type::is_index)?;
        if ["config", "layers"].iter().any(|field| index.unknown.contains_key(*field)) {
            return Err(InvalidDocument::Ambiguous);
        }
        Ok(index)
    }

    /// Its bytes, the same each time.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes(self)
    }

    /// The manifest for a platform: the first that names it, else the first that
    /// names the same system and processor in no particular variant.
    #[must_use]
    pub fn find(&self, platform: &Platform) -> Option<&Descriptor> {
        let general = Platform { variant: None, ..platform.clone() };
        let named = |wanted: &Platform| {
            let fits = |found: &Platform| found.to_string().parse().as_ref() == Ok(wanted);
            self.manifests.iter().find(|manifest| manifest.platform.as_ref().is_some_and(fits))
        };
        named(platform).or_else(|| named(&general))
    }

    /// The platforms that it has images for: attestations have no real one.
    #[must_use]
    pub fn platforms(self) -> Vec<Platform> {
        let platforms = self.manifests.into_iter().filter_map(|entry| entry.platform);
        platforms.filter(|found| found.architecture != "unknown").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(platform: &str, content: &[u8]) -> Descriptor {
        let platform = platform.split('/').collect::<Vec<_>>();
        Descriptor {
            platform: Some(Platform {
                os: platform[0].to_owned(),
                architecture: platform[1].to_owned(),
                variant: platform.get(2).map(|variant| (*variant).to_owned()),
            }),
            ..Descriptor::of(media_type::MANIFEST, content)
        }
    }

    #[test]
    fn a_platform_finds_its_manifest_by_its_normal_name() {
        let manifests = vec![entry("linux/amd64", b"a"), entry("linux/arm64/v8", b"b")];
        let index = Index::new(manifests.clone());
        let find = |platform: &str| index.find(&platform.parse().unwrap());
        assert_eq!(find("linux/x86_64"), Some(&manifests[0]));
        assert_eq!(find("linux/arm64"), Some(&manifests[1]));
        assert_eq!(find("linux/amd64/v3"), Some(&manifests[0]));
        assert_eq!(find("linux/arm/v7"), None);
    }

    #[test]
    fn an_index_is_read_as_it_was_written_and_never_as_a_manifest() {
        let mut index = Index::new(vec![entry("linux/amd64", b"a")]);
        assert_eq!(Index::parse(&index.to_bytes()), Ok(index.clone()));
        index.unknown.insert("layers".to_owned(), serde_json::json!([]));
        assert_eq!(Index::parse(&index.to_bytes()), Err(InvalidDocument::Ambiguous));
    }
}
