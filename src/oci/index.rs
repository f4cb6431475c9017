//! Image indexes (OCI image specification, "Image Index Specification").

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::oci::document::{bytes, check_head, nullable, parse};
use crate::oci::{Descriptor, InvalidDocument, Platform, Unknown, media_type};

/// How deep indexes are followed that lie in an index.
const MAX_DEPTH: usize = 4;
/// How many entries they may have in all.
const MAX_ENTRIES: usize = 1000;

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
            let mut images = self.manifests.iter().filter(|entry| !media_type::is_index(&entry.media_type));
            images.find(|manifest| manifest.platform.as_ref().is_some_and(fits))
        };
        named(platform).or_else(|| named(&general))
    }

    /// Whether one of its entries is an index itself.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.manifests.iter().any(|entry| media_type::is_index(&entry.media_type))
    }

    /// With the entries of the indexes in it, which `read` reads, in the place of those. What
    /// lies too deep, or would be too many, stays as it is: no image is found in it.
    ///
    /// # Errors
    /// What `read` fails with.
    pub fn flat<E>(mut self, mut read: impl FnMut(&Descriptor) -> Result<Self, E>) -> Result<Self, E> {
        for _ in 0..MAX_DEPTH {
            if !self.is_nested() || self.manifests.len() > MAX_ENTRIES {
                break;
            }
            let mut entries = Vec::new();
            for entry in self.manifests {
                if !media_type::is_index(&entry.media_type) || entries.len() > MAX_ENTRIES {
                    entries.push(entry);
                    continue;
                }
                // What is said of an index holds for what is in it.
                entries.extend(read(&entry)?.manifests.into_iter().map(|mut inner| {
                    inner.platform = inner.platform.or_else(|| entry.platform.clone());
                    inner
                }));
            }
            self.manifests = entries;
        }
        Ok(self)
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

    #[test]
    fn an_index_in_an_index_is_as_good_as_what_is_in_it() {
        let (amd64, arm64) = (entry("linux/amd64", b"a"), entry("linux/arm64", b"b"));
        let inner = Index::new(vec![Descriptor { platform: None, ..arm64.clone() }]);
        let named = Descriptor {
            platform: arm64.platform.clone(),
            ..Descriptor::of(media_type::INDEX, &inner.to_bytes())
        };
        let outer = Index::new(vec![amd64.clone(), named]);
        assert_eq!(outer.find(&"linux/arm64".parse().unwrap()), None);
        let flat = outer.flat(|_| Ok::<_, InvalidDocument>(inner.clone())).unwrap();
        assert_eq!(flat.manifests, [amd64, arm64]);
        assert_eq!(flat.clone().flat(|_| Err(())), Ok(flat));

        // One that has itself in it comes to an end.
        let (mut endless, mut reads) = (Index::new(Vec::new()), 0);
        endless.manifests = vec![Descriptor::of(media_type::INDEX, b"itself"); 20];
        let flat = endless.clone().flat(|_| {
            reads += 1;
            Ok::<_, ()>(endless.clone())
        });
        assert!(flat.unwrap().is_nested() && reads < 1000, "{reads}");
    }
}
