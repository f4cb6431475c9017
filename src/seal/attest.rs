//! Attaching statements and documents to a manifest.

use indexmap::IndexMap;
use serde_json::Value;

use crate::diagnostic::Problem;
use crate::oci::Descriptor;
use crate::seal::attached::{Attached, Claim, List};
use crate::seal::ensure::{Wanted, ensure};
use crate::seal::envelope::{self, Envelope};
use crate::seal::referring::refer;
use crate::seal::statement::{PAYLOAD_TYPE, Subject, statement};
use crate::seal::tagged::Entry;
use crate::seal::{Signer, simple};
use crate::store::Repository;

/// The annotation of an attestation in a list that says what it states.
const PREDICATE_TYPE: &str = "predicateType";
/// The annotation that holds the name of a file (OCI image specification).
const TITLE: &str = "org.opencontainers.image.title";

/// Something to be stated.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// What kind of thing it is, as a URI.
    pub predicate_type: String,
    /// The statement itself.
    pub predicate: Value,
    /// Whether two of the kind state the same; times, say, may be different.
    pub states_the_same: fn(&Value, &Value) -> bool,
}

/// Attests something of a manifest or index that is in a repository, unless the key has
/// attested the same already; `true` if it was attested now. The statement may be about
/// further manifests. At a registry it is attached in both forms; in a layout as a bundle.
///
/// # Errors
/// The place cannot be read or written; others change what is attached all the time.
pub async fn attest(
    repository: &Repository,
    subject: &Descriptor,
    subjects: &[Subject],
    attestation: &Attestation,
    signer: &Signer,
) -> Result<bool, Problem> {
    let Attestation { predicate_type, predicate, states_the_same } = attestation;
    let is_it = |one: &Attached| {
        let Ok(Claim::Stated(stated)) = one.claim(&subject.digest) else { return false };
        let same = stated.predicate_type == *predicate_type && states_the_same(&stated.predicate, predicate);
        same && one.is_signed_by(signer.public())
    };
    let statement = statement(subjects, predicate_type, predicate);
    let entry = match repository {
        Repository::Registry(_) => {
            let envelope = Envelope::sign(PAYLOAD_TYPE, &statement, signer);
            let content = serde_json::to_vec(&envelope).unwrap_or_default();
            let annotations = [(simple::SIGNATURE, ""), (PREDICATE_TYPE, predicate_type)];
            let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Some(Entry {
                media_type: envelope::MEDIA_TYPE,
                content,
                annotations: IndexMap::from(annotations),
            })
        }
        Repository::Layout(_) => None,
    };
    let wanted = Wanted { list: List::Attestations, entry, predicate_type, statement, is_it: &is_it };
    ensure(repository, subject, &wanted, signer).await
}

/// Attaches a document that nobody signs, under its type and the name of its file; `true`
/// if it was not there before.
///
/// # Errors
/// The place cannot be read or written.
pub async fn attach_document(
    repository: &Repository,
    subject: &Descriptor,
    kind: &str,
    document: &[u8],
    title: &str,
) -> Result<bool, Problem> {
    let before = repository.referrers(&subject.digest, Some(kind)).await?.len();
    let annotations = IndexMap::from([(TITLE.to_owned(), title.to_owned())]);
    refer(repository, subject, kind, document, annotations).await?;
    Ok(repository.referrers(&subject.digest, Some(kind)).await?.len() > before)
}
