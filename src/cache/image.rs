//! What an image in the staging store consists of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::oci::{Descriptor, Digest};

/// What a manifest or an index refers to; the other fields do not matter here.
#[derive(Deserialize)]
struct Links {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// Where a blob of a layout lies.
pub(super) fn blob(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.hex())
}

/// Adds the digests of an image to `all`: its manifests, configurations, and
/// layers. Whether every one of them seems to be there.
pub(super) fn walk(layout: &Path, image: &Descriptor, all: &mut BTreeSet<Digest>) -> bool {
    let there =
        fs::symlink_metadata(blob(layout, &image.digest)).is_ok_and(|found| found.len() == image.size);
    if !all.insert(image.digest) || !there {
        return there;
    }
    let links_on = image.media_type.contains("manifest") || image.media_type.contains("index");
    if !links_on {
        return true;
    }
    let bytes = fs::read(blob(layout, &image.digest)).unwrap_or_default();
    let Ok(links) = serde_json::from_slice::<Links>(&bytes) else { return false };
    let parts = links.manifests.iter().chain(&links.config).chain(&links.layers);
    // Every part is walked, also behind one that is missing.
    let missing = parts.filter(|part| !walk(layout, part, all)).count();
    missing == 0
}
