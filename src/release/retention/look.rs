//! What a repository holds, as it says.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Deserialize;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, ImageConfig, media_type};
use crate::plan::RegistryPlan;
use crate::release::publisher::Publisher;
use crate::release::retention::kind::Kind;
use crate::release::retention::rule::Ruling;
use crate::release::retention::{Held, Holding, Needed, Rules, Verdict, judge};
use crate::store::{Repository, each};

/// The annotation that says when something was made.
const CREATED: &str = "org.opencontainers.image.created";
/// How deep indexes may lie in each other.
const DEEPEST: usize = 8;

/// What a repository holds, and what is to become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// What it holds.
    pub(super) holding: Holding,
    /// What is to become of that.
    pub verdict: Verdict,
}

/// Looks at the repository of a registry, and judges it. One that is not there holds
/// nothing.
///
/// # Errors
/// The repository cannot be read: then nothing is known of what would go.
pub async fn propose_at(
    publisher: &Publisher,
    registry: &RegistryPlan,
    rules: &Rules,
    needed: &Needed,
    now: Timestamp,
) -> Result<Proposal, Problem> {
    let Some(repository) = publisher.look_to_read(registry).await? else { return Ok(Proposal::default()) };
    propose(&repository, rules, needed, now).await
}

/// Looks at a repository, and judges it.
///
/// # Errors
/// It cannot be read: then nothing is known of what would go.
pub(super) async fn propose(
    repository: &Repository,
    rules: &Rules,
    needed: &Needed,
    now: Timestamp,
) -> Result<Proposal, Problem> {
    let mut holding = look(repository, rules, needed).await?;
    loop {
        let verdict = judge(&holding, needed, rules, now);
        let unasked = verdict.digests().filter(|digest| !holding.referrers.contains_key(digest));
        let unasked: Vec<Digest> = unasked.collect();
        if unasked.is_empty() {
            return Ok(Proposal { holding, verdict });
        }
        let ask = |repository: Repository, subject: Digest| async move {
            Ok((subject, repository.referrers(&subject, None).await?))
        };
        let mut open = Vec::new();
        for (subject, referrers) in each(repository, unasked, ask).await? {
            holding.referrers.insert(subject, referrers.iter().map(|referrer| referrer.digest).collect());
            open.extend(referrers.into_iter().map(|referrer| Top { descriptor: referrer, whole: false }));
        }
        read(repository, open, &mut holding).await?;
    }
}

/// All manifests that tags lead to, and what is needed of the others.
async fn look(repository: &Repository, rules: &Rules, needed: &Needed) -> Result<Holding, Problem> {
    let mut holding = Holding::default();
    let mut tops: BTreeMap<Digest, Top> = BTreeMap::new();
    for (tag, found) in resolve(repository, repository.tags().await?).await? {
        // What is gone meanwhile needs nothing.
        let Some(descriptor) = found else { continue };
        let whole = matches!(rules.of(&tag, &descriptor.digest), Ruling::By(_));
        holding.tags.insert(tag, descriptor.digest);
        tops.entry(descriptor.digest).or_insert(Top { descriptor, whole: false }).whole |= whole;
    }
    read(repository, tops.into_values().collect(), &mut holding).await?;
    let unnamed: Vec<Digest> =
        needed.images().filter(|image| !holding.manifests.contains_key(image)).collect();
    let subjects = holding.tags.iter().filter_map(|(tag, digest)| match Kind::of(tag, digest) {
        Kind::List(subject) if !holding.manifests.contains_key(&subject) => Some(subject),
        _ => None,
    });
    let subjects: BTreeSet<Digest> = subjects.collect();
    let names = unnamed.iter().chain(&subjects).map(ToString::to_string).collect();
    let mut open = Vec::new();
    for (name, found) in resolve(repository, names).await? {
        match (found, name.parse::<Digest>()) {
            (Some(descriptor), _) => open.push(Top { descriptor, whole: false }),
            (None, Ok(digest)) if subjects.contains(&digest) => drop(holding.absent.insert(digest)),
            (None, _) => {}
        }
    }
    read(repository, open, &mut holding).await?;
    Ok(holding)
}

/// What names point to.
pub(super) async fn resolve(
    repository: &Repository,
    names: Vec<String>,
) -> Result<Vec<(String, Option<Descriptor>)>, Problem> {
    let ask = |repository: Repository, name: String| async move {
        let found = repository.resolve(&name).await?;
        Ok((name, found))
    };
    each(repository, names, ask).await
}

/// A manifest that is looked at.
pub(super) struct Top {
    pub(super) descriptor: Descriptor,
    /// With what it refers to, and all that says how old and how large it is.
    pub(super) whole: bool,
}

/// Reads manifests, and what they name, into a holding. One that is no document is an
/// error: what it needs is not known.
pub(super) async fn read(
    repository: &Repository,
    tops: Vec<Top>,
    holding: &mut Holding,
) -> Result<(), Problem> {
    let ask = |repository: Repository, top: Top| async move { top.read(&repository).await };
    let wanted = |top: &Top| {
        let known = holding.manifests.get(&top.descriptor.digest);
        known.is_none_or(|known| top.whole && known.size.is_none())
    };
    let tops = tops.into_iter().filter(wanted).collect();
    for found in each(repository, tops, ask).await? {
        for (digest, held) in found {
            let known = holding.manifests.entry(digest).or_default();
            // One that was looked at for itself says more than one that an index names.
            if known.size.is_none() {
                *known = if held == Held::default() { std::mem::take(known) } else { held };
            }
        }
    }
    Ok(())
}

/// What of a manifest or an index says what it needs, and how old it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<IndexMap<String, String>>,
}

impl Top {
    /// What it is, and each manifest that it names.
    async fn read(self, repository: &Repository) -> Result<BTreeMap<Digest, Held>, Problem> {
        let Self { descriptor: top, whole } = self;
        let mut found: BTreeMap<Digest, Held> = BTreeMap::new();
        let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
        let mut newest: Option<Timestamp> = None;
        let mut open = vec![(top.clone(), 0)];
        while let Some((descriptor, depth)) = open.pop() {
            let is_index = media_type::is_index(&descriptor.media_type);
            if found.contains_key(&descriptor.digest) {
                continue;
            }
            let mut held = Held::default();
            // What is no manifest leads nowhere.
            let is_document = media_type::is_manifest(&descriptor.media_type);
            let document = if is_index || (is_document && whole) {
                document(repository, &descriptor, depth > 0).await?
            } else {
                None
            };
            let Some(document) = document else {
                found.insert(descriptor.digest, held);
                continue;
            };
            held.subject = document.subject.map(|subject| subject.digest);
            held.children = document.manifests.iter().flatten().map(|child| child.digest).collect();
            let parts = document.config.iter().chain(document.layers.iter().flatten());
            blobs.extend(parts.map(|part| (part.digest, part.size)));
            if whole {
                let written = document.annotations.as_ref().and_then(|all| all.get(CREATED)?.parse().ok());
                newest = newest.max(match (written, &document.config) {
                    (None, Some(config)) => created(repository, config).await?,
                    (written, _) => written,
                });
            }
            if depth >= DEEPEST && !held.children.is_empty() {
                let title = format!("indexes lie more than {DEEPEST} deep in `{}`", top.digest);
                return Err(Problem::new(Code::Registry, title));
            }
            open.extend(document.manifests.into_iter().flatten().map(|child| (child, depth + 1)));
            found.insert(descriptor.digest, held);
        }
        if let Some(held) = found.get_mut(&top.digest).filter(|_| whole) {
            held.created = newest;
            held.size = Some(blobs.values().sum());
        }
        Ok(found)
    }
}

/// A document; `None` where it is not there, and need not be.
async fn document(
    repository: &Repository,
    descriptor: &Descriptor,
    may_be_absent: bool,
) -> Result<Option<Document>, Problem> {
    let bytes = match repository.read(descriptor).await {
        Ok(bytes) => bytes,
        Err(problem) if may_be_absent && problem.code == Code::NotFound => return Ok(None),
        Err(problem) => return Err(problem),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let title = format!("what `{}` needs cannot be told", descriptor.digest);
        Problem::new(Code::Registry, title)
            .note(error.to_string())
            .note("what it names may be part of what would go")
    })
}

/// When an image was made, as its configuration says; `None` of what is no image.
async fn created(repository: &Repository, config: &Descriptor) -> Result<Option<Timestamp>, Problem> {
    if !media_type::is_config(&config.media_type) {
        return Ok(None);
    }
    let bytes = match repository.read(config).await {
        Ok(bytes) => bytes,
        Err(problem) if problem.code == Code::NotFound => return Ok(None),
        Err(problem) => return Err(problem),
    };
    let config = ImageConfig::parse(&bytes).ok();
    Ok(config.and_then(|config| config.created?.parse().ok()))
}
