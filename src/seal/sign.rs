//! Signing a manifest.

use indexmap::IndexMap;
use serde_json::json;

use crate::diagnostic::Problem;
use crate::oci::Descriptor;
use crate::seal::attached::{Attached, Claim, List};
use crate::seal::ensure::{Wanted, ensure};
use crate::seal::statement::{SIGNED, Subject, statement};
use crate::seal::tagged::Entry;
use crate::seal::{Signer, simple};
use crate::store::Repository;

/// Signs a manifest or index that is in a repository, unless the key has signed it
/// already; `true` if it was signed now. At a registry it is signed in both forms; in a
/// layout, where tags are names of images, as a bundle.
///
/// # Errors
/// The place cannot be read or written; others change what is attached all the time.
pub async fn sign(repository: &Repository, subject: &Descriptor, signer: &Signer) -> Result<bool, Problem> {
    let entry = match repository {
        Repository::Registry(registry) => {
            let content = simple::payload(&registry.name().to_string(), &subject.digest);
            let annotations = IndexMap::from([(simple::SIGNATURE.to_owned(), signer.sign(&content))]);
            Some(Entry { media_type: simple::MEDIA_TYPE, content, annotations })
        }
        Repository::Layout(_) => None,
    };
    let about = Subject { name: None, digest: subject.digest };
    let is_it =
        |one: &Attached| one.claim(&subject.digest) == Ok(Claim::Signed) && one.is_signed_by(signer.public());
    let wanted = Wanted {
        list: List::Signatures,
        entry,
        predicate_type: SIGNED,
        statement: statement(&[about], SIGNED, &json!({})),
        is_it: &is_it,
    };
    ensure(repository, subject, &wanted, signer).await
}
