//! What can be known to go wrong before anything is built.

use std::path::Path;

use rustix::fs::Access;

use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::plan::{Action, Plan, RegistryPlace, RegistryPlan, StepIndex};
use crate::release::label::{Labels, REVISION};
use crate::release::publisher::{Publisher, place};
use crate::release::seal::check_seals;
use crate::release::tag::published;
use crate::store::{Question, Repository, answers};
use crate::tags::{Movement, PlannedTag};

/// Makes sure of all that publishing needs, before the first build: that every
/// registry can be reached and lets one write, that every layout can be
/// written, that all keys can be used, that no immutable tag is known to hold another image. Places are
/// asked at the same time.
///
/// # Errors
/// All of what is wrong, each at the steps that it would stop.
pub async fn preflight(plan: &Plan, publisher: &Publisher) -> Result<(), Problems> {
    let mut problems = Problems::new();
    problems.take(check_seals(plan, publisher).await);
    let mut places: Vec<(&RegistryPlan, Span)> = Vec::new();
    for step in &plan.steps {
        let registry = match &step.action {
            Action::Push(push) => &push.registry,
            Action::Sign(sign) => &sign.registry,
            Action::Attest(attest) => &attest.registry,
            Action::Tag(tag) => &tag.registry,
            _ => continue,
        };
        if places.iter().all(|(known, _)| *known != registry) {
            places.push((registry, step.span));
        }
    }
    let mut asked: Vec<Question<'_, _>> = Vec::new();
    for (registry, span) in places {
        asked.push(Box::pin(async move {
            (
                registry,
                check_place(registry, publisher).await.map_err(|problem| at((registry, span), problem)),
            )
        }));
    }
    let (mut usable, mut refused) = (Vec::new(), Vec::new());
    for (registry, checked) in answers(asked).await {
        match checked {
            Ok(()) => usable.push(registry),
            Err(problem) => refuse(&mut refused, problem),
        }
    }
    let mut asked: Vec<Question<'_, _>> = Vec::new();
    for step in &plan.steps {
        let Action::Tag(tag) = &step.action else { continue };
        if !usable.contains(&&tag.registry) {
            continue;
        }
        let revision = revision(plan, tag.image);
        // What moving tags hold is asked before they move: that one can be read says it of all.
        let mut moving = published(tag).filter(|planned| planned.movement != Movement::Immutable);
        let immutable = published(tag).filter(|planned| planned.movement == Movement::Immutable);
        for planned in immutable.chain(moving.next()) {
            asked.push(Box::pin(async move {
                let found = in_the_way(&tag.registry, (planned, revision), publisher).await;
                found.map_err(|problem| at((&tag.registry, step.span), problem))
            }));
        }
    }
    for found in answers(asked).await {
        match found {
            Ok(conflict) => refused.extend(conflict),
            Err(problem) => refuse(&mut refused, problem),
        }
    }
    problems.extend(refused);
    problems.or(())
}

/// Adds a problem to others: a registry that cannot be reached is one, at each step that it
/// stops.
fn refuse(problems: &mut Vec<Problem>, problem: Problem) {
    let same = |known: &&mut Problem| known.code == problem.code && known.title == problem.title;
    match problems.iter_mut().find(same) {
        Some(known) => {
            let new = problem.labels.into_iter().filter(|label| !known.labels.contains(label));
            let new: Vec<_> = new.collect();
            known.labels.extend(new);
        }
        None => problems.push(problem),
    }
}

/// A problem of a step that shows no place is shown where its registry is declared, and
/// at the step. That a registry fails is a refusal now: nothing was begun.
fn at((registry, span): (&RegistryPlan, Span), mut problem: Problem) -> Problem {
    if matches!(problem.code, Code::Registry | Code::DigestMismatch) {
        problem.code = Code::Unreachable;
        let again = "`hoist doctor` asks all registries; set the address right, or try again when it answers";
        problem.help.get_or_insert_with(|| again.to_owned());
    }
    if !problem.labels.is_empty() {
        return problem;
    }
    let problem = match registry.span {
        Some(declared) => problem.label(declared, "the registry"),
        None => problem,
    };
    problem.label(span, "published by this")
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

/// Why what a tag holds is in the way, if that is known: an image that does not say the
/// `revision` that the new one will.
async fn in_the_way(
    registry: &RegistryPlan,
    (planned, revision): (&PlannedTag, Option<&str>),
    publisher: &Publisher,
) -> Result<Option<Problem>, Problem> {
    let repository = publisher.look(registry).await?;
    let held = match &repository {
        Some(repository) => repository.resolve(planned.tag.as_str()).await?,
        None => None,
    };
    let mut conflict = None;
    if let (Movement::Immutable, Some(held), Some(repository), Some(ours)) =
        (&planned.movement, &held, &repository, revision)
    {
        // The commit is part of an image: one of another commit, or of none, is another image.
        let theirs = Labels::read_all(repository, held).await?;
        conflict = theirs.filter(|theirs| theirs.revision.as_deref() != Some(ours)).map(|theirs| {
            let theirs = match theirs.revision {
                Some(theirs) => format!("it was made from commit {theirs}"),
                None => "it does not say which commit it was made from".to_owned(),
            };
            let title =
                format!("`{}:{}` holds another image and never changes", place(registry), planned.tag);
            Problem::new(Code::ImmutableTag, title)
                .label(planned.span, "this rule makes an immutable tag")
                .note(format!("{theirs}, this is {ours}"))
                .help("release it under another version")
        });
    }
    Ok(conflict)
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
