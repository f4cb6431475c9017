//! What is attached to a manifest, in whichever form.

use std::io::Read as _;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, Manifest, Tag, Written, media_type};
use crate::seal::envelope::{self, Envelope};
use crate::seal::referring::EMPTY;
use crate::seal::statement::{self, SIGNED, Stated};
use crate::seal::{PublicKey, bundle, simple};
use crate::store::Repository;

/// The largest signature or attestation that is read, in bytes: a bill of materials may
/// be in it.
const MAX_CONTENT: u64 = 64 << 20;
/// The most that is looked at of what is attached to one manifest.
const MOST: usize = 500;
/// The most bytes that are read of it, all together: others may attach what they like.
const MOST_BYTES: u64 = 512 << 20;

/// How something is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// In the list under a tag of its own: signatures under `sha256-….sig`, attestations
    /// under `sha256-….att`. Every version of cosign, and containers/image, read it.
    Tag,
    /// As a bundle that refers to the manifest.
    Bundle,
}

impl Form {
    /// Its name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Bundle => "bundle",
        }
    }
}

/// A list under a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Signatures,
    Attestations,
}

impl List {
    /// The tag of the list of a manifest.
    pub(super) fn tag(self, subject: &Digest) -> Result<Tag, Problem> {
        let end = match self {
            Self::Signatures => "sig",
            Self::Attestations => "att",
        };
        let tag = format!("sha256-{}.{end}", subject.hex());
        tag.parse().map_err(|_| Problem::new(Code::InvalidTag, format!("`{tag}` is not a tag")))
    }

    /// What is in it, with the signature that stands beside it.
    fn read(self, bytes: Vec<u8>, signature: String) -> Content {
        match self {
            Self::Signatures => Content::Simple { payload: bytes, signature },
            Self::Attestations => match serde_json::from_slice(&bytes) {
                Ok(envelope) => Content::Envelope(envelope),
                Err(error) => Content::Unreadable(error.to_string()),
            },
        }
    }

    /// The type of what is in it.
    const fn media_type(self) -> &'static str {
        match self {
            Self::Signatures => simple::MEDIA_TYPE,
            Self::Attestations => envelope::MEDIA_TYPE,
        }
    }
}

/// Something that is attached.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    pub(super) form: Form,
    /// The blob that it is.
    pub(super) digest: Digest,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Simple {
        payload: Vec<u8>,
        signature: String,
    },
    Envelope(Envelope),
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// What is claimed of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Claim {
    /// That it is what the signer vouches for.
    Signed,
    /// A statement about it.
    Stated(Stated),
}

impl Attached {
    /// Whether a key has signed it.
    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        match &self.content {
            Content::Simple { payload, signature } => key.verifies(payload, signature),
            Content::Envelope(envelope) => envelope.is_signed_by(key),
            Content::Unreadable(_) => false,
        }
    }

    /// What it claims of a manifest.
    ///
    /// # Errors
    /// Why it claims nothing of it: a clause whose subject is the signature.
    pub(super) fn claim(&self, subject: &Digest) -> Result<Claim, String> {
        let unreadable = |why: String| format!("cannot be read: {why}");
        match &self.content {
            Content::Simple { payload, .. } => match simple::subject(payload).map_err(unreadable)? {
                found if found == *subject => Ok(Claim::Signed),
                found => Err(format!("is for another image, `{found}`")),
            },
            Content::Envelope(envelope) => {
                if envelope.payload_type != statement::PAYLOAD_TYPE {
                    return Err(format!("holds a `{}`", envelope.payload_type));
                }
                let stated = envelope.payload().and_then(|payload| statement::parse(&payload));
                let stated = stated.map_err(unreadable)?;
                if !stated.subjects.contains(&subject.hex()) {
                    let others: Vec<_> =
                        stated.subjects.iter().map(|hex| format!("`sha256:{hex}`")).collect();
                    return Err(format!("is for another image, {}", others.join(", ")));
                }
                // In the list of attestations nothing is a mere signature.
                let signed = self.form == Form::Bundle && stated.predicate_type == SIGNED;
                Ok(if signed { Claim::Signed } else { Claim::Stated(stated) })
            }
            Content::Unreadable(why) => Err(unreadable(why.clone())),
        }
    }

    /// Whether it is in a place for signatures, whatever it claims.
    pub(super) fn is_signature(&self) -> bool {
        match &self.content {
            Content::Simple { .. } => true,
            Content::Envelope(envelope) => {
                let stated = envelope.payload().and_then(|payload| statement::parse(&payload));
                self.form == Form::Bundle && stated.is_ok_and(|stated| stated.predicate_type == SIGNED)
            }
            Content::Unreadable(_) => false,
        }
    }
}

/// What is attached to a manifest: in some lists, and as bundles.
///
/// # Errors
/// The place cannot be read: that is never taken for an empty list.
pub(super) async fn attached(
    repository: &Repository,
    subject: &Digest,
    lists: &[List],
) -> Result<Vec<Attached>, Problem> {
    let mut found = Vec::new();
    let mut seen = Seen::default();
    for list in lists {
        found.extend(listed(repository, *list, subject, &mut seen).await?);
    }
    for referrer in repository.referrers(subject, None).await? {
        let kind = referrer.unknown.get("artifactType").and_then(Written::text);
        // Where cosign 2 keeps the list itself, it says the type of the configuration.
        if kind.is_some_and(|kind| kind != EMPTY && !kind.starts_with(bundle::ANY)) {
            continue;
        }
        seen.one(subject)?;
        found.extend(bundled(repository, &referrer, subject, &mut seen).await?);
    }
    Ok(found)
}

/// The documents of a type that are attached to a manifest and that nobody signed.
///
/// # Errors
/// The place cannot be read; or there is more than is looked at.
pub async fn attached_documents(
    repository: &Repository,
    subject: &Digest,
    kind: &str,
) -> Result<Vec<Vec<u8>>, Problem> {
    let (mut documents, mut seen) = (Vec::new(), Seen::default());
    for referrer in repository.referrers(subject, Some(kind)).await? {
        seen.one(subject)?;
        let bytes = repository.read(&referrer).await.map_err(torn)?;
        let manifest = Manifest::parse(&bytes).map_err(|error| {
            let title = format!("`{}`, which is attached to `{subject}`, cannot be read", referrer.digest);
            Problem::new(Code::Registry, title).note(error.to_string())
        })?;
        for layer in manifest.layers.iter().filter(|layer| layer.media_type == kind) {
            seen.bytes(layer, subject)?;
            documents.push(content(repository, layer).await?);
        }
    }
    Ok(documents)
}

/// What was read so far of what is attached to a manifest.
#[derive(Default)]
struct Seen {
    count: usize,
    bytes: u64,
}

impl Seen {
    fn one(&mut self, subject: &Digest) -> Result<(), Problem> {
        self.count += 1;
        if self.count <= MOST {
            return Ok(());
        }
        let title = format!("more than {MOST} signatures and attestations are attached to `{subject}`");
        Err(Problem::new(Code::Registry, title))
    }

    fn bytes(&mut self, blob: &Descriptor, subject: &Digest) -> Result<(), Problem> {
        self.bytes = self.bytes.saturating_add(blob.size);
        if self.bytes <= MOST_BYTES {
            return Ok(());
        }
        let title = format!(
            "signatures and attestations of more than {MOST_BYTES} bytes are attached to `{subject}`"
        );
        Err(Problem::new(Code::Registry, title))
    }
}

/// What is in the list under a tag.
async fn listed(
    repository: &Repository,
    list: List,
    subject: &Digest,
    seen: &mut Seen,
) -> Result<Vec<Attached>, Problem> {
    let Some((_, manifest)) = under(repository, &list.tag(subject)?).await? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for layer in manifest.layers.iter().filter(|layer| layer.media_type == list.media_type()) {
        seen.one(subject)?;
        seen.bytes(layer, subject)?;
        let bytes = content(repository, layer).await?;
        let signature = layer.annotations.get(simple::SIGNATURE).cloned().unwrap_or_default();
        found.push(Attached { form: Form::Tag, digest: layer.digest, content: list.read(bytes, signature) });
    }
    Ok(found)
}

/// The manifest under a tag, with its descriptor.
pub(super) async fn under(
    repository: &Repository,
    tag: &Tag,
) -> Result<Option<(Descriptor, Manifest)>, Problem> {
    // A registry gives both at once: what it says of a list cannot be about another one.
    let found = match repository {
        Repository::Registry(registry) => registry.resolve_and_read(tag.as_str()).await?,
        Repository::Layout(_) => match repository.resolve(tag.as_str()).await? {
            Some(descriptor) => {
                let bytes = repository.read(&descriptor).await.map_err(torn)?;
                Some((descriptor, bytes))
            }
            None => None,
        },
    };
    let Some((descriptor, bytes)) = found else { return Ok(None) };
    let unfit = |why: String| {
        let title = format!("`{tag}` is no list of signatures or attestations");
        Problem::new(Code::Registry, title).note(why)
    };
    if !media_type::is_manifest(&descriptor.media_type) {
        return Err(unfit(format!("it is a `{}`", descriptor.media_type)));
    }
    let manifest = Manifest::parse(&bytes).map_err(|error| unfit(error.to_string()))?;
    Ok(Some((descriptor, manifest)))
}

/// The bundle that a referrer brings, if it brings one.
async fn bundled(
    repository: &Repository,
    referrer: &Descriptor,
    subject: &Digest,
    seen: &mut Seen,
) -> Result<Option<Attached>, Problem> {
    let bytes = repository.read(referrer).await.map_err(torn)?;
    let (kind, layers) = match Manifest::parse(&bytes) {
        Ok(manifest) => (manifest.artifact_type, manifest.layers),
        Err(error) => return Ok(Some(unreadable(referrer, error.to_string()))),
    };
    let is_bundle = |kind: &str| kind.starts_with(bundle::ANY);
    if !kind.as_deref().is_some_and(is_bundle) && !layers.iter().any(|layer| is_bundle(&layer.media_type)) {
        return Ok(None);
    }
    let [layer] = layers.as_slice() else {
        return Ok(Some(unreadable(referrer, "it is not one bundle".to_owned())));
    };
    seen.bytes(layer, subject)?;
    Ok(Some(match bundle::envelope(&content(repository, layer).await?) {
        Ok(envelope) => {
            Attached { form: Form::Bundle, digest: layer.digest, content: Content::Envelope(envelope) }
        }
        Err(why) => unreadable(referrer, why),
    }))
}

/// Some bytes in each form that they may have.
#[cfg(fuzzing)]
pub(super) fn read(bytes: &[u8], signature: &str) -> Vec<Attached> {
    let digest = Digest::of(bytes);
    let lists = [List::Signatures, List::Attestations].into_iter();
    let listed = lists.map(|list| list.read(bytes.to_vec(), signature.to_owned()));
    let listed = listed.map(|content| Attached { form: Form::Tag, digest, content });
    let bundled = bundle::envelope(bytes).map(Content::Envelope).unwrap_or_else(Content::Unreadable);
    listed.chain([Attached { form: Form::Bundle, digest, content: bundled }]).collect()
}

fn unreadable(referrer: &Descriptor, why: String) -> Attached {
    Attached { form: Form::Bundle, digest: referrer.digest, content: Content::Unreadable(why) }
}

/// A blob as a whole.
async fn content(repository: &Repository, blob: &Descriptor) -> Result<Vec<u8>, Problem> {
    if blob.size > MAX_CONTENT {
        let title = format!("`{}` is too large for a signature or an attestation", blob.digest);
        return Err(Problem::new(Code::Registry, title).note(format!("it has {} bytes", blob.size)));
    }
    let digest = blob.digest;
    let read = move |blob: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        blob.take(MAX_CONTENT).read_to_end(&mut bytes).map_err(|error| {
            Problem::new(Code::Registry, format!("`{digest}` cannot be read")).note(error.to_string())
        })?;
        Ok(bytes)
    };
    repository.stream(blob, read).await.map_err(torn)
}

/// What is listed and not there is a fault of the place, not of who asked for an image.
fn torn(mut problem: Problem) -> Problem {
    if problem.code == Code::NotFound {
        problem.code = Code::Registry;
    }
    problem
}
