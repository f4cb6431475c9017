//! Manifests that refer to others: signatures, attestations, and what else is said
//! about an image (OCI image specification, "subject").

use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, Index, Manifest, Written, media_type};
use crate::store::copy::bring;
use crate::store::whole::Part;
use crate::store::{Meter, Repository, copy, copy_read};

/// Where a descriptor says what the content is.
const ARTIFACT_TYPE: &str = "artifactType";

/// The parts of a manifest or an index that a list of referrers shows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referring {
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    annotations: Option<IndexMap<String, String>>,
}

/// What a manifest refers to, and how a list of referrers shows it; `None` if it
/// refers to nothing.
pub(super) fn listing(descriptor: &Descriptor, bytes: &[u8]) -> Option<(Digest, Descriptor)> {
    let referring: Referring = serde_json::from_slice(bytes).ok()?;
    let mut entry = Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size);
    let artifact_type = referring.artifact_type.filter(|given| !given.is_empty());
    if let Some(kind) = artifact_type.or(referring.config.map(|config| config.media_type)) {
        entry.unknown.insert(ARTIFACT_TYPE.to_owned(), Written::of(&kind));
    }
    entry.annotations = referring.annotations.unwrap_or_default();
    Some((referring.subject?.digest, entry))
}

/// Whether an entry of a list of referrers is of a type, if one is asked for.
pub(super) fn is_of(entry: &Descriptor, artifact_type: Option<&str>) -> bool {
    let own = entry.unknown.get(ARTIFACT_TYPE).and_then(Written::text);
    artifact_type.is_none_or(|asked| own.as_deref() == Some(asked))
}

/// The tag that lists what refers to a manifest where nothing else does.
pub(super) fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// Brings a manifest or an index that has a `subject` to the repository of the subject,
/// and lists it there as referring to it. The subject need not be there yet. Where it is
/// already, nothing changes.
///
/// # Errors
/// It has no subject; a part of it is missing or damaged; the place cannot be reached or
/// refuses.
pub async fn attach(from: &Repository, referrer: &Descriptor, to: &Repository) -> Result<(), Problem> {
    let bytes = from.read(referrer).await?;
    let (subject, entry) = listing(referrer, &bytes).ok_or_else(|| {
        let problem = Problem::new(Code::Registry, format!("`{}` cannot be attached", referrer.digest));
        problem.note("it refers to nothing")
    })?;
    match to {
        Repository::Registry(registry) => {
            bring_below(from, (referrer, &bytes), to).await?;
            registry.put_referrer(&subject, &entry, &bytes).await
        }
        Repository::Layout(layout) => {
            copy_read(from, (referrer, bytes), to, Arc::new(|_| ())).await?;
            layout.list(&entry)
        }
    }
}

/// Brings what a manifest or an index names, and not itself.
async fn bring_below(
    from: &Repository,
    (referrer, bytes): (&Descriptor, &[u8]),
    to: &Repository,
) -> Result<(), Problem> {
    let unfit = |note: String| {
        Problem::new(Code::Registry, format!("`{}` cannot be attached", referrer.digest)).note(note)
    };
    if media_type::is_index(&referrer.media_type) {
        for below in Index::parse_all(bytes).map_err(|error| unfit(error.to_string()))?.manifests {
            copy(from, &below, to, Arc::new(|_| ())).await?;
        }
        return Ok(());
    }
    let manifest = Manifest::parse(bytes).map_err(|error| unfit(error.to_string()))?;
    let meter = Arc::new(Meter::silent());
    for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
        bring(from, &Part::layer(blob), to, &meter).await?;
    }
    Ok(())
}
