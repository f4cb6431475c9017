//! What can be known to go wrong before anything is built.

use std::path::Path;

use rustix::fs::Access;

use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::oci::{Digest, Tag};
use crate::plan::{Action, Plan, RegistryPlace, RegistryPlan, StepIndex, TagStep};
use crate::release::label::{Labels, REVISION};
use crate::release::publisher::{Publisher, place};
use crate::release::seal::check_seals;
use crate::release::tag::published;
use crate::store::Repository;
use crate::tags::Movement;

/// A tag that the plan sets, and what it holds before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentTag {
    /// The step that sets it.
    pub step: StepIndex,
    /// The repository, as a user would name it.
    pub repository: String,
    /// The tag.
    pub tag: Tag,
    /// What it holds, if it is there.
    pub holds: Option<Digest>,
}

/// Makes sure of all that publishing needs, before the first build: that every
/// registry can be reached and lets one write, that every layout can be
/// written, that all keys can be used, that no immutable tag is known to hold another image. Returns what
/// every tag holds now.
///
/// # Errors
/// All of what is wrong, each at the step that it would stop.
pub async fn preflight(plan: &Plan, publisher: &Publisher) -> Result<Vec<PresentTag>, Problems> {
    let mut problems = Problems::new();
    problems.take(check_seals(plan, publisher).await);
    let mut checked: Vec<(&RegistryPlan, bool)> = Vec::new();
    let mut present = Vec::new();
    for (step, index) in plan.steps.iter().zip(0..) {
        let registry = match &step.action {
            Action::Push(push) => &push.registry,
            Action::Sign(sign) => &sign.registry,
            Action::Attest(attest) => &attest.registry,
            Action::Tag(tag) => &tag.registry,
            _ => continue,
        };
        let known = checked.iter().find(|(known, _)| *known == registry);
        let usable = if let Some((_, usable)) = known {
            *usable
        } else {
            let result = check_place(registry, publisher).await;
            let usable = result.is_ok();
            problems.take(result.map_err(|problem| at(step.span, problem)));
            checked.push((registry, usable));
            usable
        };
        if let Action::Tag(tag) = &step.action
            && usable
        {
            match read_tags(plan, StepIndex(index), tag, publisher).await {
                Ok((tags, conflicts)) => {
                    present.extend(tags);
                    problems.extend(conflicts);
                }
                Err(problem) => problems.push(at(step.span, problem)),
            }
        }
    }
    problems.or(present)
}

/// A problem of a step that shows no place is shown at the step. That a registry
/// fails is a refusal now: nothing was begun.
fn at(span: Span, mut problem: Problem) -> Problem {
    if matches!(problem.code, Code::Registry | Code::DigestMismatch) {
        problem.code = Code::Unreachable;
    }
    if problem.labels.is_empty() { problem.label(span, "published by this") } else { problem }
}

/// Makes sure that a place can be written: a registry lets one begin an upload, which
/// is given up; a layout's directory, or the one that it is made in, is one's own.
///
/// # Errors
/// It cannot be reached, or refuses.
pub async fn check_place(registry: &RegistryPlan, publisher: &Publisher) -> Result<(), Problem> {
    match &registry.place {
        RegistryPlace::Layout(path) => {
            // An existing directory that is something else is found here.
            publisher.look(registry).await?;
            check_writable(&publisher.inside(path)?)
        }
        RegistryPlace::Remote(_) => match publisher.open(registry).await? {
            Repository::Registry(registry) => registry.check_push().await,
            Repository::Layout(_) => Ok(()),
        },
    }
}

/// Whether a directory, or the nearest one above it that exists, can be written.
fn check_writable(path: &Path) -> Result<(), Problem> {
    let Some(existing) = path.ancestors().find(|above| above.exists()) else { return Ok(()) };
    let refuse = |note: String| {
        Problem::new(Code::ReadOnly, format!("`{}` cannot be written", existing.display())).note(note)
    };
    if !existing.is_dir() {
        return Err(refuse("it is not a directory".to_owned()));
    }
    rustix::fs::access(existing, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| refuse(error.to_string()))
}

/// What the tags of a step hold, and which of them are known to be in its way.
async fn read_tags(
    plan: &Plan,
    index: StepIndex,
    step: &TagStep,
    publisher: &Publisher,
) -> Result<(Vec<PresentTag>, Vec<Problem>), Problem> {
    let repository = publisher.look(&step.registry).await?;
    let revision = revision(plan, step.image);
    let (mut present, mut conflicts) = (Vec::new(), Vec::new());
    for planned in published(step) {
        let held = match &repository {
            Some(repository) => repository.resolve(planned.tag.as_str()).await?,
            None => None,
        };
        if let (Movement::Immutable, Some(held), Some(repository), Some(ours)) =
            (&planned.movement, &held, &repository, revision)
        {
            // The commit is part of an image: one of another commit is another image.
            let theirs = Labels::read(repository, held).await?.revision;
            if let Some(theirs) = theirs.filter(|theirs| theirs != ours) {
                let title = format!(
                    "`{}:{}` holds another image and never changes",
                    place(&step.registry),
                    planned.tag
                );
                let problem = Problem::new(Code::ImmutableTag, title)
                    .label(planned.span, "this rule makes an immutable tag")
                    .note(format!("it was made from commit {theirs}, this is {ours}"))
                    .help("release it under another version");
                conflicts.push(problem);
            }
        }
        present.push(PresentTag {
            step: index,
            repository: place(&step.registry),
            tag: planned.tag.clone(),
            holds: held.map(|held| held.digest),
        });
    }
    Ok((present, conflicts))
}

/// The commit that the image made by a step will say it was made from.
fn revision(plan: &Plan, image: StepIndex) -> Option<&str> {
    match &plan.steps.get(image.0 as usize)?.action {
        Action::Assemble(step) => step.settings.labels.get(REVISION).map(String::as_str),
        Action::Dockerfile(step) => step.labels.get(REVISION).map(String::as_str),
        Action::Index(step) => revision(plan, step.platforms.first()?.1),
        _ => None,
    }
}
