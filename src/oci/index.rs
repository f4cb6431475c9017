//! Image indexes (OCI image specification, "Image Index Specification").

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::oci::document::{bytes, check_head, nullable, parse};
use crate::oci::written::with_unknown;
use crate::oci::{
    Descriptor, Foreign, ImageConfig, InvalidDocument, Manifest, Platform, Unknown, Written, media_type,
};

/// How deep indexes are followed that lie in an index.
const MAX_DEPTH: usize = 4;
/// The field of the entries.
const MANIFESTS: &str = "manifests";
/// How many entries they may have in all.
const MAX_ENTRIES: usize = 1000;
/// How many entries without a platform are looked into.
const MAX_OPEN: usize = 100;

/// Images of several platforms under one digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(remote = "Self")]
pub struct Index {
    /// 2.
    pub schema_version: u64,
    /// [`media_type::INDEX`] or Docker's; older documents leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests, each with its platform.
    #[serde(deserialize_with = "nullable")]
    pub manifests: Vec<Descriptor>,
    /// What else it names, by digests of other algorithms than sha256.
    #[serde(skip)]
    pub foreign: Vec<Foreign>,
    /// Further facts.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "IndexMap::is_empty")]
    pub annotations: IndexMap<String, String>,
    /// Fields of the future.
    #[serde(flatten, skip_deserializing)]
    pub unknown: Unknown,
}

with_unknown!(Index);

impl Index {
    /// An OCI index of manifests.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::INDEX.to_owned()),
            manifests,
            foreign: Vec::new(),
            annotations: IndexMap::new(),
            unknown: Unknown::new(),
        }
    }

    /// Reads an index. Entries that cannot be followed are in `foreign`.
    ///
    /// # Errors
    /// Bytes that are no index, or could be taken for a manifest, too.
    pub fn parse(document: &[u8]) -> Result<Self, InvalidDocument> {
        Self::parse_all(document).or_else(|error| {
            let mut fields: Unknown = parse(document)?;
            let entries = fields.get(MANIFESTS).and_then(Written::read::<Vec<Written>>).unwrap_or_default();
            let foreign: Vec<_> = entries.iter().filter_map(Foreign::of).collect();
            if foreign.is_empty() {
                return Err(error);
            }
            let known: Vec<_> = entries.iter().filter(|entry| Foreign::of(entry).is_none()).collect();
            fields.insert(MANIFESTS.to_owned(), Written::of(&known));
            Ok(Self { foreign, ..Self::parse_all(&bytes(&fields))? })
        })
    }

    /// Reads an index all of whose entries are to be followed.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); a digest of another algorithm than sha256.
    pub fn parse_all(bytes: &[u8]) -> Result<Self, InvalidDocument> {
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
        let document = bytes(self);
        if self.foreign.is_empty() {
            return document;
        }
        let mut fields: Unknown = parse(&document).unwrap_or_default();
        let known = self.manifests.iter().map(Written::of);
        let all: Vec<_> = known.chain(self.foreign.iter().map(|one| one.entry.clone())).collect();
        fields.insert(MANIFESTS.to_owned(), Written::of(&all));
        bytes(&fields)
    }

    /// The manifest for a platform: the first that names it, else the first that names the
    /// same system and processor in the highest variant below. Of entries that name none,
    /// [`with_platforms`](Self::with_platforms) knows it.
    #[must_use]
    pub fn find(&self, platform: &Platform) -> Option<&Descriptor> {
        let images = self.manifests.iter().filter(|entry| !media_type::is_index(&entry.media_type));
        let fitting = images.filter_map(|entry| Some((entry.platform.as_ref()?.fitness(platform)?, entry)));
        // Of several that fit as well, the last would be taken.
        fitting.rev().max_by_key(|(fitness, _)| *fitness).map(|(_, entry)| entry)
    }

    /// What it names for a platform by a digest that cannot be followed.
    #[must_use]
    pub fn find_foreign(&self, platform: &Platform) -> Option<&Foreign> {
        self.foreign.iter().find(|entry| entry.platform.as_ref().is_some_and(|found| found.serves(platform)))
    }

    /// Whether one of its entries is an index itself.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.manifests.iter().any(|entry| media_type::is_index(&entry.media_type))
    }

    /// Whether what it has images for stands in other documents, too: in an index in it, or
    /// in the configuration of an image that it names without a platform.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_nested() || self.manifests.iter().any(names_no_platform)
    }

    /// With the platform of each image that it names without one, which the configuration
    /// of that says: `read` reads manifests and configurations. Entries that are no images,
    /// are not there, or cannot be understood, stay without; so do those behind the first hundred.
    ///
    /// # Errors
    /// What `read` fails with.
    pub fn with_platforms<E>(
        mut self,
        mut read: impl FnMut(&Descriptor) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        for entry in self.manifests.iter_mut().filter(|entry| names_no_platform(entry)).take(MAX_OPEN) {
            let manifest = read(entry)?.and_then(|bytes| Manifest::parse(&bytes).ok());
            let config = manifest.map(|manifest| manifest.config);
            if let Some(config) = config.filter(|config| media_type::is_config(&config.media_type)) {
                let config = read(&config)?.and_then(|bytes| ImageConfig::parse(&bytes).ok());
                entry.platform = config.map(|config| config.platform());
            }
        }
        Ok(self)
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
                let index = read(&entry)?;
                self.foreign.extend(index.foreign);
                entries.extend(index.manifests.into_iter().map(|mut inner| {
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

/// Whether an entry may be an image, and does not say of which platform.
fn names_no_platform(entry: &Descriptor) -> bool {
    entry.platform.is_none() && media_type::is_manifest(&entry.media_type)
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
        let manifests =
            vec![entry("linux/arm/v5", b"a"), entry("linux/arm/v6", b"b"), entry("linux/arm", b"c")];
        let index = Index::new(manifests.clone());
        let find = |platform: &str| index.find(&platform.parse().unwrap());
        assert_eq!(find("linux/arm"), Some(&manifests[2]));
        assert_eq!(find("linux/arm/v8"), Some(&manifests[2]));
        assert_eq!(find("linux/arm/v6"), Some(&manifests[1]));
        assert_eq!(find("linux/arm64"), None);
    }

    #[test]
    fn an_image_that_is_named_without_a_platform_is_for_that_of_its_configuration() {
        let mut documents = std::collections::HashMap::new();
        let mut put = |kind: &str, bytes: Vec<u8>| {
            let descriptor = Descriptor::of(kind, &bytes);
            documents.insert(descriptor.digest, bytes);
            descriptor
        };
        let mut image = |platform: &str, kind: &str| {
            let config = put(kind, ImageConfig::new(&platform.parse().unwrap()).to_bytes());
            put(media_type::MANIFEST, Manifest::new(config, Vec::new()).to_bytes())
        };
        let images = ["linux/amd64", "linux/arm64"].map(|platform| image(platform, media_type::CONFIG));
        let chart = image("linux/s390x", "application/vnd.example.chart");
        let broken = put(media_type::MANIFEST, b"{}".to_vec());
        let mut open = Index::new(images.to_vec());
        let absent = Descriptor { platform: None, ..entry("linux/amd64", b"not there") };
        let named = entry("linux/arm/v7", b"not read");
        open.manifests.extend([chart.clone(), broken.clone(), absent.clone(), named]);
        assert!(open.is_open());
        assert_eq!(open.find(&"linux/arm64".parse().unwrap()), None);
        let read = |one: &Descriptor| Ok::<_, crate::oci::Digest>(documents.get(&one.digest).cloned());
        let known = open.clone().with_platforms(read).unwrap();
        for (platform, image) in ["linux/amd64", "linux/arm64"].into_iter().zip(&images) {
            let found = known.find(&platform.parse().unwrap()).unwrap();
            assert_eq!((found.digest, found.platform.clone()), (image.digest, platform.parse().ok()));
        }
        assert_eq!(known.manifests[2..5], [chart, broken, absent]);
        assert_eq!(open.with_platforms(|one| Err::<Option<Vec<u8>>, _>(one.digest)), Err(images[0].digest));

        // Nobody is kept busy without an end.
        let mut reads = 0;
        let many = Index::new(vec![images[0].clone(); 1000]).with_platforms(|one| {
            reads += 1;
            read(one)
        });
        assert!(many.unwrap().is_open() && reads < 1000, "{reads}");
    }

    #[test]
    fn an_index_is_read_as_it_was_written_and_never_as_a_manifest() {
        let mut index = Index::new(vec![entry("linux/amd64", b"a")]);
        assert_eq!(Index::parse(&index.to_bytes()), Ok(index.clone()));
        index.unknown.insert("layers".to_owned(), Written::of(&[0; 0]));
        assert_eq!(Index::parse(&index.to_bytes()), Err(InvalidDocument::Ambiguous));
    }

    #[test]
    fn what_has_another_digest_disturbs_nobody_who_does_not_want_it() {
        let known = Index::new(vec![entry("linux/amd64", b"a")]);
        let text = String::from_utf8(known.to_bytes()).unwrap();
        let digest = format!("sha512:{}", "0".repeat(128));
        let other = format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":1,"platform":{{"os":"linux","architecture":"arm64"}}}}"#,
            media_type::MANIFEST
        );
        let both = text.replace("}]", &format!("}},{other}]"));
        let why = Index::parse_all(both.as_bytes()).unwrap_err().to_string();
        assert!(why.contains("the digest algorithm `sha512` is not supported"), "{why}");
        let index = Index::parse(both.as_bytes()).unwrap();
        assert_eq!(index.manifests, known.manifests);
        assert_eq!(index.find_foreign(&"linux/arm64".parse().unwrap()).unwrap().digest, digest);
        assert_eq!(index.find_foreign(&"linux/amd64".parse().unwrap()), None);
        assert_eq!(String::from_utf8(index.to_bytes()).unwrap(), both);
        let wrong = both.replace("sha512:", "sha512;");
        assert!(matches!(Index::parse(wrong.as_bytes()), Err(InvalidDocument::Json(_))));
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
