//! Whether an image is signed, and what is attested of it.

use crate::diagnostic::{Code, Problem, counted};
use crate::oci::Digest;
use crate::seal::attached::{Attached, Claim, List, attached};
use crate::seal::{Form, PublicKey};
use crate::store::Repository;

/// Something that is attached to a manifest, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// How it is attached.
    pub form: Form,
    /// The blob that it is.
    pub digest: Digest,
    /// What it states; `None` for a signature.
    pub predicate_type: Option<String>,
    /// The keys that made it, by their positions; none where it claims nothing of the
    /// manifest.
    pub by: Vec<usize>,
    /// Why it counts for nothing: a clause whose subject is the signature.
    pub flaw: Option<String>,
}

/// What is attached to a manifest, judged by some keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Signatures, in the order in which they were found.
    pub signatures: Vec<Judged>,
    /// Attestations.
    pub attestations: Vec<Judged>,
}

/// Looks at all that is attached to a manifest or index, in both forms.
///
/// # Errors
/// The place cannot be read: that is never taken for an unsigned image.
pub async fn verify(
    repository: &Repository,
    subject: &Digest,
    keys: &[&PublicKey],
) -> Result<Verification, Problem> {
    let lists = [List::Signatures, List::Attestations];
    let there = attached(repository, subject, &lists).await?;
    let (signatures, attestations): (Vec<_>, Vec<_>) =
        there.iter().map(|one| (one, judge(one, subject, keys))).partition(|(one, _)| one.is_signature());
    let judged = |those: Vec<(&Attached, Judged)>| those.into_iter().map(|(_, judged)| judged).collect();
    Ok(Verification { signatures: judged(signatures), attestations: judged(attestations) })
}

fn judge(one: &Attached, subject: &Digest, keys: &[&PublicKey]) -> Judged {
    let made = keys.iter().zip(0..).filter(|(key, _)| one.is_signed_by(key)).map(|(_, at)| at);
    let made: Vec<usize> = made.collect();
    let (predicate_type, by, flaw) = match one.claim(subject) {
        Ok(_) if made.is_empty() => (None, made, Some("was not made by this key".to_owned())),
        Ok(Claim::Signed) => (None, made, None),
        Ok(Claim::Stated(stated)) => (Some(stated.predicate_type), made, None),
        Err(flaw) => (None, Vec::new(), Some(flaw)),
    };
    Judged { form: one.form, digest: one.digest, predicate_type, by, flaw }
}

impl Verification {
    /// The forms in which a key has signed the manifest; none if it has not.
    #[must_use]
    pub fn forms(&self, key: usize) -> Vec<Form> {
        let by_it = self.signatures.iter().filter(|one| one.by.contains(&key));
        let mut forms: Vec<_> = by_it.map(|one| one.form).collect();
        forms.sort_unstable();
        forms.dedup();
        forms
    }

    /// The kinds of statements that a key has made of it, each once.
    #[must_use]
    pub fn attested(&self, key: usize) -> Vec<&str> {
        let by_it = self.attestations.iter().filter(|one| one.by.contains(&key));
        let mut kinds: Vec<_> = by_it.filter_map(|one| one.predicate_type.as_deref()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Why the manifest does not count as signed by a key, if it does not: `image` is its
    /// name, `shown` that of the key.
    #[must_use]
    pub fn refusal(&self, image: &str, key: usize, shown: &str) -> Option<Problem> {
        if !self.forms(key).is_empty() {
            return None;
        }
        if self.signatures.is_empty() {
            let problem = Problem::new(Code::Unsigned, format!("`{image}` is not signed"));
            return Some(problem.note("nothing that is attached to it is a signature"));
        }
        let title = format!("`{image}` is not signed by {shown}");
        let count = counted(self.signatures.len(), "signature");
        let mut problem = Problem::new(Code::WrongSignature, title).note(format!("it has {count}"));
        for one in &self.signatures {
            let flaw = one.flaw.as_deref().unwrap_or("was not made by this key");
            problem = problem.note(format!("the signature `{}` {flaw}", one.digest));
        }
        problem.notes.dedup();
        Some(problem)
    }
}
