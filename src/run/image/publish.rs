//! Brings images to registries, and names them there.

use std::borrow::Cow;

use tokio::sync::watch;

use crate::diagnostic::Problems;
use crate::oci::Descriptor;
use crate::plan::{Action, Plan, PushStep, Step, TagStep};
use crate::release::{Committed, Naming, TagChange, TagResult, check_immutable, commit, note_layers};
use crate::run::TagMove;
use crate::run::command::Unsuccessful;
use crate::run::enter::{of, staying};
use crate::run::image::{Images, Known, Named, Yielded, moved, remote_bases_of, tag_steps, unless};
use crate::run::process::Halt;
use crate::run::teller::{Teller, Told};

impl Images {
    /// Brings an image to a registry, where nobody sees it yet.
    pub(super) async fn push(
        &self,
        plan: &Plan,
        step: &PushStep,
        image: &Descriptor,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<Yielded, Unsuccessful> {
        for base in plan.steps.iter().flat_map(remote_bases_of) {
            // Without it, layers are sent that could have been mounted.
            let _ = note_layers(base, &self.publisher, &self.built).await;
        }
        // Nobody sees what is given up half way: it has no name.
        let work = async {
            let its = |tag: &&TagStep| tag.image == step.image && tag.registry == step.registry;
            let tags: Vec<_> = tag_steps(plan).filter(its).map(|tag| (tag, image)).collect();
            check_immutable(&tags, &self.built, &self.publisher).await?;
            let pushed = self.send(plan, step, image).await;
            pushed.map_err(Problems::from).map(|pushed| (pushed, tags.is_empty()))
        };
        let pushed = unless(halt, Box::pin(work)).await?;
        let (pushed, unnamed) = pushed.map_err(Unsuccessful::Failed)?;
        let by = if unnamed { ", without a tag: by its digest alone" } else { "" };
        teller.tell(Told::Notice(format!("{}@{}{by}", pushed.repository, image.digest))).await;
        if pushed.along.brought > 0 {
            teller.tell(Told::Notice(pushed.along.to_string())).await;
        }
        if pushed.copied.sent + pushed.copied.mounted + pushed.along.brought == 0 {
            return Ok(Yielded::Again);
        }
        if pushed.copied.sent + pushed.copied.mounted > 0 {
            teller.tell(Told::Notice(pushed.copied.to_string())).await;
        }
        Ok(Yielded::Nothing)
    }

    /// Moves the tags of an image, once all that comes before is seen to be right, and what
    /// is about to move was put down. Together with them move those of all steps that wait
    /// for nothing else.
    pub(super) async fn tag(
        &self,
        plan: &Plan,
        step: &TagStep,
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> (Vec<TagMove>, Result<Yielded, Unsuccessful>) {
        let allowed = self.judged.get_or_init(|| self.may_move(plan, known, halt, teller)).await;
        if let Err(unsuccessful) = allowed {
            return (Vec::new(), Err(unsuccessful.clone()));
        }
        // Once tags move, this is not given up half way: it ends soon by itself.
        let mut named = self.named.lock().await;
        if !named.changes.contains_key(&of(step)) && !named.failed {
            self.name(plan, step, known, &mut named).await;
        }
        let changes = named.changes.get(&of(step)).cloned().unwrap_or_default();
        let result = match (named.failed, std::mem::take(&mut named.problems)) {
            (false, _) if changes.iter().all(|change| matches!(change.result, TagResult::Already)) => {
                Ok(Yielded::Again)
            }
            (false, _) => Ok(Yielded::Nothing),
            // What stands in all places was said by the first.
            (true, problems) if problems.is_empty() => Err(Unsuccessful::Halted),
            (true, problems) => Err(Unsuccessful::Failed(problems)),
        };
        (changes.into_iter().map(moved).collect(), result)
    }

    /// Moves the tags of a step, and of all others that are ready as well.
    async fn name(&self, plan: &Plan, step: &TagStep, known: &Known, named: &mut Named) {
        let ready = ready(plan, step).filter(|other| !named.changes.contains_key(&of(other)));
        let ready: Vec<(Cow<'_, TagStep>, &Descriptor)> = ready
            .filter_map(|other| Some((other, known.get(&other.image)?)))
            .flat_map(|(other, image)| self.by_image(plan, other, image))
            .collect();
        let journal = self.journal.get().map(|journal| &**journal);
        let Committed { changes, problems } = if let Some(changes) = self.as_looked(&ready) {
            let settled = changes.iter().flatten().try_for_each(|change| {
                journal.map_or(Ok(()), |journal| journal.settled(&change.repository, change.tag.as_str()))
            });
            Committed { changes, problems: settled.err().map(Problems::from).unwrap_or_default() }
        } else {
            let namings = ready.iter();
            let namings =
                namings.map(|(step, image)| Naming { step, image, keep: staying(plan, step, image) });
            let before: Vec<TagChange> = named.changes.values().flatten().cloned().collect();
            commit(&namings.collect::<Vec<_>>(), &before, &self.publisher, journal).await
        };
        let steps: Vec<(&TagStep, &Descriptor)> =
            ready.iter().map(|(step, image)| (&**step, *image)).collect();
        self.note_left(&steps, &changes.concat());
        for ((step, _), changes) in steps.iter().zip(changes) {
            self.note_tags(step.image, &changes);
            named.changes.entry(of(step)).or_default().extend(changes);
        }
        named.failed = !problems.is_empty();
        named.problems = problems;
    }
}

/// The steps of tags that wait for nothing that a given one does not wait for.
fn ready<'a>(plan: &'a Plan, step: &TagStep) -> impl Iterator<Item = &'a TagStep> {
    let at = |one: &Step| matches!(&one.action, Action::Tag(tag) if **tag == *step);
    let mut behind = vec![false; plan.steps.len()];
    let mut open: Vec<usize> = plan.steps.iter().position(at).into_iter().collect();
    while let Some(needs) = open.pop().and_then(|at| plan.steps.get(at)).map(|step| &step.needs) {
        for at in needs.iter().map(|need| need.step.0 as usize) {
            if let Some(seen) = behind.get_mut(at).filter(|seen| !**seen) {
                *seen = true;
                open.push(at);
            }
        }
    }
    let is_ready = move |one: &&Step| {
        one.needs.iter().all(|need| behind.get(need.step.0 as usize).is_some_and(|behind| *behind))
    };
    plan.steps.iter().filter(is_ready).filter_map(|one| match &one.action {
        Action::Tag(tag) => Some(&**tag),
        _ => None,
    })
}
