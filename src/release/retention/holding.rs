//! What a repository holds, as far as it bears on what is kept.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::oci::Digest;

/// The tags and manifests of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    /// What each tag holds.
    pub(super) tags: BTreeMap<String, Digest>,
    /// The manifests that were looked at.
    pub(super) manifests: BTreeMap<Digest, Held>,
    /// What refers to manifests of which that was asked.
    pub(super) referrers: BTreeMap<Digest, Vec<Digest>>,
    /// What lists of signatures are about, and is not there.
    pub(super) absent: BTreeSet<Digest>,
}

/// A manifest or an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The manifests that an index names.
    pub(super) children: Vec<Digest>,
    /// What it refers to.
    pub(super) subject: Option<Digest>,
    /// When the image was made, if it says so.
    pub(super) created: Option<Timestamp>,
    /// Bytes of its layers and configurations, each once, where they were looked at.
    pub(super) size: Option<u64>,
}

impl Holding {
    /// The tags of a manifest.
    pub(super) fn tags_of(&self, digest: Digest) -> impl Iterator<Item = &str> {
        let named = self.tags.iter().filter(move |(_, held)| **held == digest);
        named.map(|(tag, _)| tag.as_str())
    }
}
