//! Entries of the ledger, attached to the images that entered: who has an image knows where
//! it ran, without the repository.

use std::cmp::Reverse;

use crate::diagnostic::{Code, Problem};
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

/// The entries that are attached to an image, with their ids, the newest first.
///
/// # Errors
/// The repository cannot be read, or holds one that is none.
pub async fn attached_entries(
    repository: &Repository,
    image: &Digest,
) -> Result<Vec<(String, Entry)>, Problem> {
    let mut entries = Vec::new();
    for document in seal::attached_documents(repository, image, ENTRY).await? {
        entries.push(Entry::of_document(&document).map_err(|error| {
            let title = format!("what is attached to `{}` is no entry of a ledger", image.short());
            Problem::new(Code::Ledger, title).note(error.to_string())
        })?);
    }
    entries.sort_by_key(|(_, entry)| Reverse(entry.at));
    entries.dedup();
    Ok(entries)
}
