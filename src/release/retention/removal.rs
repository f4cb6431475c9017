//! Deleting what was judged to go, if it still is what was judged.

use std::collections::BTreeSet;

use crate::diagnostic::{Code, Problem};
use crate::oci::Digest;
use crate::plan::RegistryPlan;
use crate::release::publisher::Publisher;
use crate::release::retention::judge::led_to;
use crate::release::retention::look::{Top, read, resolve};
use crate::release::retention::{Holding, Loose, Part, Proposal, Removal, Stays};
use crate::store::{Deletion, Repository};

/// Why a tag stays that could not be taken away alone.
const ONLY_WHOLE: &str = "the registry takes no tag away alone";
/// Why something stays that others changed in the meantime.
const MOVED: &str = "somebody moved it meanwhile";
/// Why something stays that leads to, or belongs to, what came in the meantime.
const NEEDED: &str = "somebody needs it since";

/// What became of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The images that were deleted, each with what went with it.
    pub removed: Vec<Removal>,
    /// The tags that were taken from images that stay.
    pub loose: Vec<Loose>,
    /// Tags that were to go, and stayed.
    pub kept: Vec<Stays>,
}

/// Deletes what a proposal says from the repository of a registry, in its order: images,
/// what went with them, then single tags. What holds something else than what was judged,
/// or is needed by what came meanwhile, stays. Before each image `holds_still` makes sure
/// that what stages need is what was judged. Blobs of a layout that nothing needs any more
/// go with it. What became of it is told as far as it came, also where the work is given up.
///
/// # Errors
/// The repository cannot be read, or does not let one delete; what `holds_still` fails with:
/// it ends there.
pub async fn remove_at(
    publisher: &Publisher,
    registry: &RegistryPlan,
    proposal: Proposal,
    holds_still: &(dyn Fn() -> Result<(), Problem> + Sync),
    outcome: &mut Outcome,
) -> Result<(), Problem> {
    let Some(repository) = publisher.look(registry).await? else { return Ok(()) };
    let done = delete(&repository, proposal, holds_still, outcome).await;
    if let Repository::Layout(layout) = &repository
        && !(outcome.removed.is_empty() && outcome.loose.is_empty())
    {
        // What is not collected now, is another time.
        drop(layout.collect());
    }
    done
}

async fn delete(
    repository: &Repository,
    proposal: Proposal,
    holds_still: &(dyn Fn() -> Result<(), Problem> + Sync),
    outcome: &mut Outcome,
) -> Result<(), Problem> {
    let Proposal { holding, verdict } = proposal;
    if verdict.is_empty() {
        return Ok(());
    }
    let new = came(repository, &holding).await?;
    // What is part of an image that stays after all.
    let mut spared: BTreeSet<Digest> = new.clone();
    let mut parts: Vec<(usize, Part)> = Vec::new();
    for mut removal in verdict.removals {
        let all = std::iter::once(removal.digest).chain(removal.parts.iter().map(|part| part.digest));
        let all: Vec<Digest> = all.collect();
        let why = if all.iter().any(|digest| new.contains(digest)) {
            Some(NEEDED)
        } else {
            moved(repository, &removal).await?.then_some(MOVED)
        };
        if let Some(why) = why {
            spared.extend(led_to(&holding, [removal.digest]));
            let stays = |tag: &str| stays(tag, removal.digest, why);
            outcome.kept.extend(removal.tags.iter().map(|gone| stays(&gone.tag)));
            continue;
        }
        tokio::task::block_in_place(holds_still)?;
        if let Deletion::NotAllowed(problem) = repository.delete(&removal.digest.to_string()).await? {
            return Err(not_allowed(problem));
        }
        let at = outcome.removed.len();
        parts.extend(std::mem::take(&mut removal.parts).into_iter().map(|part| (at, part)));
        outcome.removed.push(removal);
    }
    for (at, part) in parts {
        let why = if spared.contains(&part.digest) {
            Some(NEEDED)
        } else {
            (!holds(repository, &part.tags, part.digest).await?).then_some(MOVED)
        };
        if let Some(why) = why {
            outcome.kept.extend(part.tags.iter().map(|tag| stays(tag, part.digest, why)));
            continue;
        }
        if let Deletion::NotAllowed(problem) = repository.delete(&part.digest.to_string()).await? {
            return Err(not_allowed(problem));
        }
        if let Some(removal) = outcome.removed.get_mut(at) {
            removal.parts.push(part);
        }
    }
    take_away(repository, verdict.loose, outcome).await
}

/// What tags lead to that were set since a repository was looked at.
async fn came(repository: &Repository, holding: &Holding) -> Result<BTreeSet<Digest>, Problem> {
    let found = resolve(repository, repository.tags().await?).await?;
    let found = found.into_iter().filter_map(|(tag, found)| Some((tag, found?)));
    let new = found.filter(|(tag, found)| holding.tags.get(tag) != Some(&found.digest));
    let new: Vec<_> = new.map(|(_, descriptor)| descriptor).collect();
    let mut now = Holding::default();
    let tops: Vec<Digest> = new.iter().map(|descriptor| descriptor.digest).collect();
    let read_all = new.into_iter().map(|descriptor| Top { descriptor, whole: true }).collect();
    read(repository, read_all, &mut now).await?;
    let mut needed = led_to(&now, tops);
    // What refers to an image holds it as well.
    needed.extend(now.manifests.values().filter_map(|held| held.subject));
    Ok(needed)
}

/// Whether a tag of an image holds something else now.
async fn moved(repository: &Repository, removal: &Removal) -> Result<bool, Problem> {
    let tags: Vec<String> = removal.tags.iter().map(|gone| gone.tag.clone()).collect();
    Ok(!holds(repository, &tags, removal.digest).await?)
}

/// Whether tags hold a manifest, or are gone.
async fn holds(repository: &Repository, tags: &[String], digest: Digest) -> Result<bool, Problem> {
    for tag in tags {
        if repository.resolve(tag).await?.is_some_and(|found| found.digest != digest) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes single tags away, where the place can do that.
async fn take_away(repository: &Repository, tags: Vec<Loose>, outcome: &mut Outcome) -> Result<(), Problem> {
    let mut possible = true;
    for loose in tags {
        let tag = loose.gone.tag.clone();
        let why = if !possible {
            Some(ONLY_WHOLE)
        } else if !holds(repository, std::slice::from_ref(&tag), loose.digest).await? {
            Some(MOVED)
        } else {
            possible = !matches!(repository.delete(&tag).await?, Deletion::NotAllowed(_));
            (!possible).then_some(ONLY_WHOLE)
        };
        if let Some(why) = why {
            let why =
                if loose.stays.is_empty() { why.to_owned() } else { format!("{why}, and {}", loose.stays) };
            outcome.kept.push(Stays { tag, digest: loose.digest, why });
            continue;
        }
        let (digest, tag) = (loose.digest, loose.gone.tag.clone());
        outcome.loose.push(loose);
        if repository.resolve(&digest.to_string()).await?.is_none() {
            let title = format!("the registry deleted `{digest}` with its tag `{tag}`");
            let problem = Problem::new(Code::Registry, title).note("it was asked for the tag alone");
            return Err(problem.help("publish the image again: something else needs it"));
        }
    }
    Ok(())
}

fn stays(tag: &str, digest: Digest, why: &str) -> Stays {
    Stays { tag: tag.to_owned(), digest, why: why.to_owned() }
}

/// What is to be done where a registry lets nobody delete.
fn not_allowed(problem: Problem) -> Problem {
    problem.help(
        "turn deletion on in its settings (`REGISTRY_STORAGE_DELETE_ENABLED=true` of docker-registry), or use its \
         own retention rules",
    )
}
