//! Entries of the ledger, attached to the images that entered: who has an image knows where
//! it ran, without the repository.

use crate::diagnostic::Problem;
use crate::oci::{Descriptor, Digest};
use crate::plan::RegistryPlan;
use crate::release::ledger::Entry;
use crate::release::publisher::Publisher;
use crate::seal;
use crate::store::Repository;

/// The type of an attached entry.
const ENTRY: &str = "application/vnd.hoist.entry.v1+json";
/// The name that its document goes by.
const NAME: &str = "entry.json";

/// Attaches an entry, by its id, to an image in a registry; `true` if it was not there
/// before.
///
/// # Errors
/// The registry cannot be read or written.
pub async fn attach_entry(
    publisher: &Publisher,
    registry: &RegistryPlan,
    image: &Descriptor,
    (id, entry): (&str, &Entry),
) -> Result<bool, Problem> {
    let repository = publisher.open(registry).await?;
    let document = entry.document(id).to_string();
    seal::attach_document(&repository, image, ENTRY, document.as_bytes(), NAME).await
}

/// The entries that are attached to an image and name it, with their ids, the newest first.
/// Anybody who may push there may attach what they like: what is no entry of a format that is
/// known, or names other images alone, is passed over.
///
/// # Errors
/// The repository cannot be read.
pub async fn attached_entries(
    repository: &Repository,
    image: &Digest,
) -> Result<Vec<(String, Entry)>, Problem> {
    let documents = seal::attached_documents(repository, image, ENTRY).await?;
    let entries = documents.iter().filter_map(|document| Entry::of_document(document).ok());
    let names = |entry: &Entry| entry.images.iter().any(|named| named.digest == *image);
    let mut entries: Vec<_> =
        entries.filter(|(_, entry)| entry.format <= Entry::FORMAT && names(entry)).collect();
    entries.sort_by(|(id, one), (other_id, other)| (other.at, other_id).cmp(&(one.at, id)));
    entries.dedup();
    Ok(entries)
}
