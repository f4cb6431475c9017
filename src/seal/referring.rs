//! Manifests that refer to an image and bring one document.

use indexmap::IndexMap;

use crate::diagnostic::Problem;
use crate::oci::{Descriptor, Manifest, media_type};
use crate::store::{Layout, Repository, attach};

/// The type of the configuration of what has none (OCI image specification, "Guidance
/// for an empty descriptor").
pub(super) const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Attaches a document to a manifest; where the same is attached already, nothing changes.
///
/// # Errors
/// The place cannot be read or written.
pub(super) async fn refer(
    repository: &Repository,
    subject: &Descriptor,
    kind: &str,
    document: &[u8],
    annotations: IndexMap<String, String>,
) -> Result<(), Problem> {
    let (layout, _directory) = Layout::temporary()?;
    let config = layout.write(EMPTY, b"{}")?;
    let layer = layout.write(kind, document)?;
    let subject = Descriptor::new(&subject.media_type, subject.digest, subject.size);
    let mut manifest = Manifest::new(config, vec![layer]);
    manifest.artifact_type = Some(kind.to_owned());
    manifest.subject = Some(subject);
    manifest.annotations = annotations;
    let referrer = layout.write(media_type::MANIFEST, &manifest.to_bytes())?;
    attach(&Repository::Layout(layout), &referrer, repository).await
}
