//! What deployments write into manifests.

use std::path::Path;

use crate::deploy::{Aliases, Change, FileEdit, Gitops};
use crate::facts::Environment;
use crate::oci::Tag;
use crate::plan::{Action, Deployment, GitopsStep, ManifestChange, Plan, StageImage, StepIndex};
use crate::release::{Ledger, TagChange, TagResult, keep_alive_tag};
use crate::run::Request;
use crate::run::image::Known;
use crate::tags::Movement;

/// Stands for a digest before the image is made.
const UNKNOWN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// The rule whose tags say most of an image.
const VERSION: &str = "semver";

/// What is deployed, and where.
pub(super) struct World<'a> {
    plan: &'a Plan,
    root: &'a Path,
    environment: &'a Environment,
}

impl<'a> World<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        Self { plan: &request.plan, root: &request.root, environment: &request.facts.environment }
    }
}

/// The edits of all manifests that a plan deploys by, of images that it finds and does not
/// make; and of each whether a pull request asks for them.
#[must_use]
pub fn deployments(plan: &Plan, root: &Path, environment: &Environment) -> Vec<(Gitops, bool)> {
    let known: Known = (0..)
        .zip(&plan.steps)
        .filter_map(|(at, step)| match &step.action {
            Action::Found(found) => Some((StepIndex(at), found.image.clone()?)),
            _ => None,
        })
        .collect();
    let world = World { plan, root, environment };
    let deployed = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Deploy(deploy) => match &deploy.work {
            Deployment::Gitops(gitops) => {
                let edits = edits(&world, &[], gitops, (&deploy.images, &known));
                Some((edits, gitops.pull_request.is_some()))
            }
            _ => None,
        },
        _ => None,
    });
    deployed.collect()
}

/// What is edited, by what is known of the images and became of their tags.
pub(super) fn edits(
    world: &World<'_>,
    set: &[(StepIndex, TagChange)],
    step: &GitopsStep,
    (images, known): (&[StageImage], &Known),
) -> Gitops {
    let edits = step.edits.iter().filter_map(|edit| {
        let change = match &edit.change {
            ManifestChange::Image(name, at, by_digest) => {
                let (repository, tag, digest) = reference((world.plan, set), images.get(*at)?, known);
                Change::Image { name: name.clone(), repository, tag, digest, by_digest: *by_digest }
            }
            ManifestChange::Value(path, value, follow) => {
                Change::Value { path: path.clone(), value: value.clone(), aliases: aliases(*follow) }
            }
            ManifestChange::Digest(path, at, follow) => {
                let value = digest(images.get(*at)?, known);
                Change::Value { path: path.clone(), value, aliases: aliases(*follow) }
            }
            ManifestChange::Pattern(expression, with) => {
                Change::Pattern { expression: expression.clone(), with: with.clone() }
            }
        };
        Some(FileEdit { path: edit.path.clone(), change, span: edit.span })
    });
    // Where the project has none, the deployment says so.
    let ledger = Ledger::open(world.root, world.environment).ok();
    Gitops {
        repo: step.repo.clone(),
        remote: ledger.and_then(|ledger| ledger.remote().map(str::to_owned)),
        branch: step.branch.clone(),
        edits: edits.collect(),
        message: step.message.clone(),
        span: step.span,
    }
}

const fn aliases(follow: bool) -> Aliases {
    if follow { Aliases::Follow } else { Aliases::Stay }
}

/// The repository, a tag that never moves, and the digest of an image of a stage. The tag
/// is a version where there is one.
fn reference(
    (plan, set): (&Plan, &[(StepIndex, TagChange)]),
    image: &StageImage,
    known: &Known,
) -> (String, Option<String>, String) {
    let place = image.place.clone().unwrap_or_default();
    let tags = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Tag(tag) if tag.image == image.image && tag.registry.place.to_string() == place => {
            Some(&tag.tags)
        }
        _ => None,
    });
    let immutable: Vec<_> = tags.flatten().filter(|tag| tag.movement == Movement::Immutable).collect();
    // Whether the image has a tag, as far as it is known.
    let has = |tag: &Tag| {
        let its = |(of, change): &&(StepIndex, TagChange)| {
            *of == image.image && change.repository == place && change.tag == *tag
        };
        set.iter().find(its).map(|(_, change)| !matches!(change.result, TagResult::Kept(_)))
    };
    let own = immutable.iter().filter(|planned| has(&planned.tag) != Some(false));
    let own = own.min_by_key(|tag| tag.rule != VERSION);
    // Where others have all of them, the image got one that stays with it.
    let keep = || {
        let tag = keep_alive_tag(&known.get(&image.image)?.digest)?;
        (!immutable.is_empty() && has(&tag) == Some(true)).then_some(tag)
    };
    let tag = own.map(|planned| planned.tag.to_string()).or_else(|| image.stays.clone());
    let tag = tag.or_else(|| keep().map(|tag| tag.to_string()));
    (place, tag, digest(image, known))
}

pub(super) fn digest(image: &StageImage, known: &Known) -> String {
    known.get(&image.image).map_or_else(|| UNKNOWN.to_owned(), |found| found.digest.to_string())
}
