//! What an image in the staging store consists of.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::oci::{Descriptor, Digest, media_type};
use crate::store::Layout;

/// What a manifest or an index refers to; the other fields do not matter here.
#[derive(Deserialize)]
struct Links {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// As [`walk`], of the manifest or index with a digest.
pub(super) fn parts(layout: &Layout, image: Digest, all: &mut BTreeSet<Digest>) -> bool {
    let size = layout.blob_path(&image).metadata().map(|found| found.len());
    size.is_ok_and(|size| walk(layout, &Descriptor::new(media_type::MANIFEST, image, size), all))
}

/// Adds the digests of an image to `all`: its manifests, configurations, and
/// layers. Whether every one of them seems to be there.
pub(super) fn walk(layout: &Layout, image: &Descriptor, all: &mut BTreeSet<Digest>) -> bool {
    let there = layout.holds(image);
    if !all.insert(image.digest) || !there {
        return there;
    }
    let links_on = image.media_type.contains("manifest") || image.media_type.contains("index");
    if !links_on {
        return true;
    }
    let bytes = layout.read(image).unwrap_or_default();
    let Ok(links) = serde_json::from_slice::<Links>(&bytes) else { return false };
    let parts = links.manifests.iter().chain(&links.config).chain(&links.layers);
    // Every part is walked, also behind one that is missing.
    let missing = parts.filter(|part| !walk(layout, part, all)).count();
    missing == 0
}
