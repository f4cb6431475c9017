//! Signing a manifest.

use indexmap::IndexMap;
use serde_json::json;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest};
use crate::seal::attached::{Attached, Claim, List, attached};
use crate::seal::referring::refer;
use crate::seal::statement::{PAYLOAD_TYPE, SIGNED, Subject, statement};
use crate::seal::tagged::{Entry, append};
use crate::seal::{Form, PublicKey, Signer, bundle, simple};
use crate::store::Repository;

/// What a bundle brings, as those who list referrers see it.
const CONTENT: &str = "dev.sigstore.bundle.content";
/// What the statement in a bundle says, as those who list referrers see it.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// How often something is written before it is given up: each time somebody else wrote in
/// the same moment, so that it was lost.
pub(super) const RACES: u32 = 5;

/// Signs a manifest or index that is in a repository, unless the key has signed it
/// already; `true` if it was signed now. At a registry it is signed in both forms; in a
/// layout, where tags are names of images, as a bundle.
///
/// What was written is read again.
///
/// # Errors
/// The place cannot be read or written; others change what is attached all the time.
pub async fn sign(repository: &Repository, subject: &Descriptor, signer: &Signer) -> Result<bool, Problem> {
    for race in 0..=RACES {
        let there = attached(repository, &subject.digest, &[List::Signatures]).await?;
        let is_in = |form| is_signed(&there, form, &subject.digest, signer.public());
        let list = list_of(repository).filter(|_| !is_in(Form::Tag));
        let missing = !is_in(Form::Bundle);
        if list.is_none() && !missing {
            return Ok(race > 0);
        }
        if race == RACES {
            break;
        }
        if let Some(name) = list {
            let content = simple::payload(&name, &subject.digest);
            let annotations = IndexMap::from([(simple::SIGNATURE.to_owned(), signer.sign(&content))]);
            let entry = Entry { media_type: simple::MEDIA_TYPE, content, annotations };
            append(repository, &List::Signatures.tag(&subject.digest)?, entry).await?;
        }
        if missing {
            let about = Subject { name: None, digest: subject.digest };
            let statement = statement(&[about], SIGNED, &json!({}));
            attach_bundle(repository, subject, SIGNED, &statement, signer).await?;
        }
    }
    Err(changing(&subject.digest))
}

/// Whether a key has signed a manifest in a form.
fn is_signed(there: &[Attached], form: Form, subject: &Digest, key: &PublicKey) -> bool {
    let mut those = there.iter().filter(|one| one.form == form);
    those.any(|one| one.claim(subject) == Ok(Claim::Signed) && one.is_signed_by(key))
}

/// The repository's name, where lists under tags are kept.
pub(super) fn list_of(repository: &Repository) -> Option<String> {
    match repository {
        Repository::Registry(registry) => Some(registry.name().to_string()),
        Repository::Layout(_) => None,
    }
}

/// Signs a statement, and attaches it as a bundle.
pub(super) async fn attach_bundle(
    repository: &Repository,
    subject: &Descriptor,
    predicate_type: &str,
    statement: &[u8],
    signer: &Signer,
) -> Result<(), Problem> {
    let annotations = IndexMap::from([
        (CONTENT.to_owned(), "dsse-envelope".to_owned()),
        (PREDICATE_TYPE.to_owned(), predicate_type.to_owned()),
    ]);
    let bundle = bundle::bundle(PAYLOAD_TYPE, statement, signer);
    refer(repository, subject, bundle::MEDIA_TYPE, &bundle, annotations).await
}

/// What was written was not there each time that it was looked for.
pub(super) fn changing(subject: &Digest) -> Problem {
    let title = format!("what is attached to `{subject}` is changed all the time");
    Problem::new(Code::Registry, title)
        .note("what was written was not there afterwards")
        .help("run again: what is there is not added twice")
}
