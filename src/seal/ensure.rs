//! Making sure that something is attached to a manifest.

use indexmap::IndexMap;

use crate::diagnostic::{Code, Problem};
use crate::oci::Descriptor;
use crate::seal::attached::{Attached, List, attached};
use crate::seal::referring::refer;
use crate::seal::statement::PAYLOAD_TYPE;
use crate::seal::tagged::{Entry, append};
use crate::seal::{Form, Signer, bundle};
use crate::store::Repository;

/// What a bundle brings, as those who list referrers see it.
const CONTENT: &str = "dev.sigstore.bundle.content";
/// What the statement in a bundle says, as those who list referrers see it.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// How often something is written before it is given up: each time somebody else wrote in
/// the same moment, so that it was lost.
const RACES: u32 = 5;

/// Something that is to be attached in both forms.
pub(super) struct Wanted<'a> {
    /// The list under a tag that it belongs to, and its entry there; no entry where tags
    /// are names of images alone.
    pub(super) list: List,
    pub(super) entry: Option<Entry<'a>>,
    /// The statement of its bundle, and the kind of that.
    pub(super) predicate_type: &'a str,
    pub(super) statement: Vec<u8>,
    /// Whether something that is attached already is as good.
    pub(super) is_it: &'a (dyn Fn(&Attached) -> bool + Sync),
}

/// Attaches what is not attached to a manifest yet, and reads it again; `true` if
/// something was attached.
///
/// # Errors
/// The place cannot be read or written; others change what is attached all the time.
pub(super) async fn ensure(
    repository: &Repository,
    subject: &Descriptor,
    wanted: &Wanted<'_>,
    signer: &Signer,
) -> Result<bool, Problem> {
    for race in 0..=RACES {
        let there = attached(repository, &subject.digest, &[wanted.list]).await?;
        let is_in = |form| there.iter().any(|one| one.form == form && (wanted.is_it)(one));
        let (listed, bundled) = (is_in(Form::Tag), is_in(Form::Bundle));
        let entry = wanted.entry.as_ref().filter(|_| !listed);
        if entry.is_none() && bundled {
            return Ok(race > 0);
        }
        if race == RACES {
            break;
        }
        if let Some(entry) = entry {
            append(repository, &wanted.list.tag(&subject.digest)?, entry).await?;
        }
        if !bundled {
            let annotations = [(CONTENT, "dsse-envelope"), (PREDICATE_TYPE, wanted.predicate_type)];
            let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let bundle = bundle::bundle(PAYLOAD_TYPE, &wanted.statement, signer);
            refer(repository, subject, bundle::MEDIA_TYPE, &bundle, IndexMap::from(annotations)).await?;
        }
    }
    let title = format!("what is attached to `{}` is changed all the time", subject.digest);
    Err(Problem::new(Code::Registry, title)
        .note("what was written was not there afterwards")
        .help("run again: what is there is not added twice"))
}
