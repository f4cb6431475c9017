//! Lists of signatures and attestations under a tag (cosign's `SIGNATURE_SPEC`): an image
//! manifest of which each layer is one of them.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::json;

use crate::diagnostic::Problem;
use crate::oci::{Descriptor, Digest, Manifest, Tag, media_type};
use crate::seal::attached::under;
use crate::store::{Layout, Repository, copy_read};

/// The time that configurations give which are about no time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Something to be added to a list.
pub(super) struct Entry<'a> {
    pub(super) media_type: &'a str,
    pub(super) content: Vec<u8>,
    pub(super) annotations: IndexMap<String, String>,
}

/// Adds an entry to the list under a tag, which is made where there is none. Where
/// somebody else changes it in the same moment, one of both may be lost: whoever calls
/// this looks again.
///
/// # Errors
/// The list cannot be read or written; what is under the tag is no list.
pub(super) async fn append(repository: &Repository, tag: &Tag, entry: &Entry<'_>) -> Result<(), Problem> {
    let held = under(repository, tag).await?;
    let (held, mut manifest) = match held {
        Some((descriptor, manifest)) => (Some(descriptor.digest), manifest),
        None => (None, Manifest::new(Descriptor::of(media_type::CONFIG, b""), Vec::new())),
    };
    // What is there is there: the layout holds what is new alone.
    let (layout, _directory) = Layout::temporary()?;
    let mut layer = layout.write(entry.media_type, &entry.content)?;
    layer.annotations = entry.annotations.clone();
    manifest.layers.push(layer);
    manifest.config = layout.write(media_type::CONFIG, &config(&manifest.layers))?;
    let document = manifest.to_bytes();
    let descriptor = layout.write(media_type::MANIFEST, &document)?;
    let from = Repository::Layout(layout);
    copy_read(&from, (&descriptor, document.clone()), repository, Arc::new(|_| ())).await?;
    repository.swap_tag(tag, held, (&descriptor, &document)).await.map(drop)
}

/// A list that has the entries of another one, too, written to a layout with all that is
/// new; the entries themselves are where both lists are.
pub(super) fn merged(
    layout: &Layout,
    mut list: Manifest,
    other: &Manifest,
) -> Result<(Descriptor, Vec<u8>), Problem> {
    let new: Vec<_> = other.layers.iter().filter(|layer| !list.layers.contains(layer)).cloned().collect();
    list.layers.extend(new);
    list.config = layout.write(media_type::CONFIG, &config(&list.layers))?;
    let bytes = list.to_bytes();
    Ok((layout.write(media_type::MANIFEST, &bytes)?, bytes))
}

/// A configuration that says no more than which layers there are, so that tools that read
/// images can read the list.
fn config(layers: &[Descriptor]) -> Vec<u8> {
    let digests: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    let history: Vec<_> = layers.iter().map(|_| json!({ "created": NO_TIME })).collect();
    let config = json!({
        "architecture": "",
        "created": NO_TIME,
        "history": history,
        "os": "",
        "rootfs": { "type": "layers", "diff_ids": digests },
        "config": {},
    });
    config.to_string().into_bytes()
}
