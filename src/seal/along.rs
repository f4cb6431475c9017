//! What vouches for an image goes along where the image goes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, Index, Manifest, Tag, media_type};
use crate::seal::tagged::merged;
use crate::store::{Copied, Layout, Observe, Question, Repository, all, attach, copy_read};

/// The ends of tags under which cosign keeps lists of signatures, of attestations, and of
/// bills of materials.
const LISTS: [&str; 3] = ["sig", "att", "sbom"];
/// The most manifests that are looked at for one image.
const MOST: usize = 1000;
/// How often a list is written before it is given up: each time somebody else wrote it in
/// the same moment.
const RACES: u32 = 5;

/// What went along with an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Along {
    /// Referrers and lists that were brought, or added to.
    pub brought: usize,
    /// Those that were there.
    pub present: usize,
}

impl Along {
    fn count(&mut self, was_brought: bool) {
        if was_brought { self.brought += 1 } else { self.present += 1 }
    }
}

impl fmt::Display for Along {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.brought == 1 { "signature or attestation" } else { "signatures and attestations" };
        write!(f, "{} {what} taken along", self.brought)?;
        match self.present {
            0 => Ok(()),
            there => write!(f, ", {there} there before"),
        }
    }
}

/// What vouches for one manifest or index in the place that it is copied from.
struct Vouching {
    subject: Digest,
    /// What cosign keeps beside it, by tag.
    lists: Vec<(Tag, Descriptor)>,
    /// What refers to it.
    referrers: Vec<Descriptor>,
}

/// Copies an image as [`copy_read`], and all that refers to it, to its manifests, and to
/// that again; and what cosign keeps beside them under tags (`sha256-….sig`, `.att`,
/// `.sbom`). What is there stays, and nothing is added twice. All that refers to it is
/// looked for again where it was brought. It is looked for while the image is copied, and
/// brought after it.
///
/// # Errors
/// As [`copy_read`]; one of the places cannot be read: that is never taken for "nothing
/// refers to it"; something that refers to the image is of no kind that can be copied.
pub async fn copy_along(
    from: &Repository,
    (image, document): (&Descriptor, Vec<u8>),
    to: &Repository,
    observe: Observe,
) -> Result<(Copied, Along), Problem> {
    if from.is_same(to) {
        return Ok((copy_read(from, (image, document), to, observe).await?, Along::default()));
    }
    // Neither is dropped halfway because of the other.
    let found = Box::pin(find(from, (image, &document)));
    let (copied, found) = tokio::join!(copy_read(from, (image, document.clone()), to, observe), found);
    let (copied, found) = (copied?, found?);
    Ok((copied, Box::pin(bring(from, &found, to)).await?))
}

/// All that vouches for an image, of each subject before what vouches for that.
async fn find(from: &Repository, (image, document): (&Descriptor, &[u8])) -> Result<Vec<Vouching>, Problem> {
    let (mut found, mut seen) = (Vec::new(), HashSet::from([image.digest]));
    let mut level = vec![image.clone()];
    while !level.is_empty() {
        let mut asked: Vec<Question<'_, _>> = Vec::new();
        for subject in level {
            asked.push(Box::pin(async move {
                let known = (subject.digest == image.digest).then_some(document);
                let digest = &subject.digest;
                let [sig, att, sbom] = LISTS.map(|end| list(from, digest, end));
                let referrers = from.referrers(digest, None);
                let (sig, att, sbom, referrers, below) =
                    tokio::try_join!(sig, att, sbom, referrers, below(from, &subject, known))?;
                let lists = [sig, att, sbom].into_iter().flatten().collect();
                Ok((below, Vouching { subject: subject.digest, lists, referrers }))
            }));
        }
        level = Vec::new();
        for (below, vouching) in all(asked).await? {
            let open = below.into_iter().chain(vouching.referrers.iter().cloned());
            level.extend(open.filter(|one| seen.insert(one.digest)));
            found.push(vouching);
        }
        if seen.len() > MOST {
            let title = format!("more than {MOST} manifests belong to `{}`", image.digest);
            return Err(Problem::new(Code::Registry, title));
        }
    }
    Ok(found)
}

/// Brings what was found to a place that has the image.
async fn bring(from: &Repository, found: &[Vouching], to: &Repository) -> Result<Along, Problem> {
    let mut along = Along::default();
    for Vouching { subject, lists, referrers } in found {
        for (tag, list) in lists {
            along.count(bring_list(from, tag, list, to).await?);
        }
        if referrers.is_empty() {
            continue;
        }
        let known = digests(to, subject).await?;
        for referrer in referrers {
            let is_new = !known.contains(&referrer.digest);
            if is_new {
                attach(from, referrer, to).await?;
            }
            along.count(is_new);
        }
        let after = digests(to, subject).await?;
        if let Some(lost) = referrers.iter().find(|referrer| !after.contains(&referrer.digest)) {
            let title = format!("`{}` was taken along, and is not listed there", lost.digest);
            let problem = Problem::new(Code::Registry, title);
            return Err(problem.note(format!("it refers to `{subject}`")).help("run again"));
        }
    }
    Ok(along)
}

async fn digests(repository: &Repository, subject: &Digest) -> Result<HashSet<Digest>, Problem> {
    let listed = repository.referrers(subject, None).await?;
    Ok(listed.into_iter().map(|referrer| referrer.digest).collect())
}

/// The manifests and indexes that an index names, whose bytes may be `known`; none of a
/// manifest.
async fn below(
    from: &Repository,
    subject: &Descriptor,
    known: Option<&[u8]>,
) -> Result<Vec<Descriptor>, Problem> {
    if !media_type::is_index(&subject.media_type) {
        return Ok(Vec::new());
    }
    let parsed = match known {
        Some(bytes) => Index::parse(bytes),
        None => Index::parse(&from.read(subject).await?),
    };
    let index = parsed.map_err(|error| {
        let title = format!("what refers to `{}` cannot be found", subject.digest);
        Problem::new(Code::Registry, title).note(error.to_string())
    })?;
    Ok(index.manifests)
}

/// The list under a tag of cosign's, if there is one.
async fn list(from: &Repository, subject: &Digest, end: &str) -> Result<Option<(Tag, Descriptor)>, Problem> {
    let tag: Tag = format!("sha256-{}.{end}", subject.hex())
        .parse()
        .map_err(|_| Problem::new(Code::InvalidTag, "the tag of a list of signatures is none"))?;
    let found = from.resolve(tag.as_str()).await?;
    Ok(found.map(|list| (tag, list)))
}

/// Brings a list under its tag; `false` if it was there. Entries that the other place has
/// of its own stay.
async fn bring_list(
    from: &Repository,
    tag: &Tag,
    list: &Descriptor,
    to: &Repository,
) -> Result<bool, Problem> {
    let document = from.read(list).await?;
    let unfit =
        |why: String| Problem::new(Code::Registry, format!("`{tag}` cannot be taken along")).note(why);
    let ours = Manifest::parse(&document).map_err(|error| unfit(error.to_string()))?;
    for race in 0..=RACES {
        let held = to.resolve(tag.as_str()).await?;
        let theirs = match &held {
            Some(held) if held.digest == list.digest => return Ok(race > 0),
            Some(held) => {
                let bytes = to.read(held).await?;
                Some(Manifest::parse(&bytes).map_err(|error| unfit(error.to_string()))?)
            }
            None => None,
        };
        let is_in = |theirs: &Manifest| ours.layers.iter().all(|layer| theirs.layers.contains(layer));
        if theirs.as_ref().is_some_and(is_in) {
            return Ok(race > 0);
        }
        if race == RACES {
            break;
        }
        // All that it names first; then the list that is right there.
        copy_read(from, (list, document.clone()), to, Arc::new(|_| ())).await?;
        let expected = held.map(|held| held.digest);
        match theirs {
            None => drop(to.swap_tag(tag, None, (list, &document)).await?),
            Some(theirs) => {
                let (layout, _directory) = Layout::temporary()?;
                let (both, bytes) = merged(&layout, theirs, &ours)?;
                let between = Repository::Layout(layout);
                copy_read(&between, (&both, bytes.clone()), to, Arc::new(|_| ())).await?;
                to.swap_tag(tag, expected, (&both, &bytes)).await?;
            }
        }
    }
    let problem = Problem::new(Code::Registry, format!("`{tag}` is changed all the time"));
    Err(problem.note("what was written was not there afterwards").help("run again"))
}
