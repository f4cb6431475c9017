//! Looks for what vouches for the images of stages.

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest};
use crate::plan::{Action, EnterStep, Plan, PushStep, RegistryPlan, StepIndex};
use crate::release::entrance::Entrance;
use crate::release::gate::{Candidate, Vouching};
use crate::release::ledger::EntryKind;
use crate::release::publisher::{Publisher, place};
use crate::release::push::source_of;
use crate::release::vouched::{Vouched, VouchedBy, asks};
use crate::seal::{Form, Judged, Signer, Verification, verify};
use crate::store::Repository;

/// What statements of how an image was made begin their type with.
const PROVENANCE: &str = "https://slsa.dev/provenance/";

/// What vouches for the images that are promoted, in the places that they are taken from.
///
/// # Errors
/// A place cannot be read, which is never taken for "unsigned"; a key cannot be used.
pub async fn vouched_at_sources(
    plan: &Plan,
    entrance: &Entrance,
    publisher: &Publisher,
) -> Result<Vec<Vouched>, Problem> {
    let mut found = Vec::new();
    for (candidate, image, vouching) in wanted(plan, entrance) {
        let Some(Action::Found(step)) = action(plan, image) else { continue };
        let Some(digest) = step.image.as_ref().map(|image| image.digest) else { continue };
        if candidate.kind != EntryKind::Promote {
            continue;
        }
        for push in pushes(plan, image) {
            let Some((source, repository)) = source_of(push, step, publisher).await? else { continue };
            look(&mut found, (source, &repository), digest, vouching, publisher).await?;
        }
    }
    Ok(found)
}

/// What vouches for the images of all stages that are entered, in the places that they
/// were brought to.
///
/// # Errors
/// As [`vouched_at_sources`].
pub async fn vouched_at_targets(
    plan: &Plan,
    entrance: &Entrance,
    known: impl Fn(StepIndex) -> Option<Descriptor>,
    publisher: &Publisher,
) -> Result<Vec<Vouched>, Problem> {
    let mut found = Vec::new();
    for (_, image, vouching) in wanted(plan, entrance) {
        let Some(digest) = known(image).map(|image| image.digest) else { continue };
        for push in pushes(plan, image) {
            let repository = publisher.open_to_read(&push.registry).await?;
            look(&mut found, (&push.registry, &repository), digest, vouching, publisher).await?;
        }
    }
    Ok(found)
}

/// The images of stages that ask who vouches for them.
fn wanted<'a>(
    plan: &'a Plan,
    entrance: &'a Entrance,
) -> impl Iterator<Item = (&'a Candidate, StepIndex, &'a Vouching)> {
    let asking = entrance.stages().iter().filter(|(stage, candidate)| {
        // What is gone back to was let in before.
        candidate.kind != EntryKind::Rollback
            && stage.require.as_ref().is_some_and(|require| asks(&require.value))
    });
    asking.flat_map(move |(stage, candidate)| {
        let images = enters(plan).filter(|step| step.stage == stage.name.value).flat_map(|step| &step.images);
        images.filter_map(move |image| {
            let vouching = candidate.vouching.iter().find(|vouching| vouching.image == image.name)?;
            Some((candidate, image.image, vouching))
        })
    })
}

fn enters(plan: &Plan) -> impl Iterator<Item = &EnterStep> {
    plan.steps.iter().filter_map(|step| match &step.action {
        Action::Enter(enter) => Some(&**enter),
        _ => None,
    })
}

fn action(plan: &Plan, step: StepIndex) -> Option<&Action> {
    plan.steps.get(step.0 as usize).map(|step| &step.action)
}

fn pushes(plan: &Plan, image: StepIndex) -> impl Iterator<Item = &PushStep> {
    plan.steps.iter().filter_map(move |step| match &step.action {
        Action::Push(push) if push.image == image => Some(&**push),
        _ => None,
    })
}

/// Looks at an image in one place, unless that was done.
async fn look(
    found: &mut Vec<Vouched>,
    (registry, repository): (&RegistryPlan, &Repository),
    digest: Digest,
    vouching: &Vouching,
    publisher: &Publisher,
) -> Result<(), Problem> {
    let (image, place) = (vouching.image.clone(), place(registry));
    if found.iter().any(|known| (&known.image, &known.place) == (&image, &place)) {
        return Ok(());
    }
    let mut signers = Vec::new();
    for key in &vouching.keys {
        signers.push((key, publisher.keyring().signer(key).await?));
    }
    let keys: Vec<_> = signers.iter().map(|(_, signer)| signer.public()).collect();
    let unread = |problem: Problem| {
        // That it fails before anything is done is a refusal: whoever asks says so.
        problem.note(format!("whether `{image}` is signed at `{place}` is not known"))
    };
    let verification = verify(repository, &digest, &keys).await.map_err(unread)?;
    let by = signers.iter().zip(0..).map(|((key, signer), at)| VouchedBy {
        key: shown(&key.key.value.place(), signer),
        signed: verification.forms(at),
        provenance: stated(&verification, at),
        flaw: flaw(&verification),
    });
    let by = by.collect();
    found.push(Vouched { image, place, by });
    Ok(())
}

fn shown(key: &str, signer: &Signer) -> String {
    format!("the key `{key}` ({})", signer.public().fingerprint().short())
}

fn stated(verification: &Verification, key: usize) -> Vec<Form> {
    let is_it = |one: &&Judged| {
        one.by.contains(&key)
            && one.predicate_type.as_deref().is_some_and(|kind| kind.starts_with(PROVENANCE))
    };
    let mut forms: Vec<_> = verification.attestations.iter().filter(is_it).map(|one| one.form).collect();
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Why the first of the signatures that count for nothing does.
fn flaw(verification: &Verification) -> Option<String> {
    let flaw = verification.signatures.iter().find_map(|one| one.flaw.as_ref())?;
    Some(format!("a signature there {flaw}"))
}

/// A place that cannot be read before anything was done.
#[must_use]
pub fn before(problem: Problem) -> Problem {
    match problem.code {
        Code::Registry | Code::DigestMismatch => Problem { code: Code::Unreachable, ..problem },
        _ => problem,
    }
}
