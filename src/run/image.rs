//! Carries out the steps of images.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OnceCell, watch};

use crate::diagnostic::Problems;
use crate::oci::Descriptor;
use crate::plan::{Action, BaseSource, Gap, Plan, PushStep, Step, StepIndex, TagStep};
use crate::release::{Publisher, TagChange, TagReport, TagResult, check_immutable, push, tag};
use crate::run::TagMove;
use crate::run::command::Unsuccessful;
use crate::run::process::Halt;
use crate::run::teller::{Teller, Told};
use crate::run::worker::not_available;
use crate::store::{Copied, Layout};

/// What the image steps of a run share.
pub(super) struct Images {
    /// Where built images lie.
    built: Layout,
    publisher: Arc<Publisher>,
    /// Whether the tags of the whole run may be moved; asked once, before the
    /// first of them is.
    immutable: OnceCell<Result<(), Problems>>,
}

/// The images that are known when a step starts, by the steps that made them.
pub(super) type Known = HashMap<StepIndex, Descriptor>;

impl Images {
    /// Built images lie in `built`.
    pub(super) fn new(built: Layout, publisher: Arc<Publisher>) -> Self {
        Self { built, publisher, immutable: OnceCell::new() }
    }

    /// Carries out a step of an image.
    ///
    /// # Errors
    /// What went wrong; or the step was asked to stop. The tags that were moved
    /// all the same come with both.
    pub(super) async fn act(
        &self,
        plan: &Plan,
        step: &Step,
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> (Vec<TagMove>, Result<Option<Descriptor>, Unsuccessful>) {
        match &step.action {
            Action::Push(push) => {
                let result = match known.get(&push.image) {
                    Some(image) => self.push(push, image, halt, teller).await,
                    None => Err(unknown(step)),
                };
                (Vec::new(), result.map(|()| None))
            }
            Action::Tag(tag) => match known.get(&tag.image) {
                Some(image) => self.tag(plan, tag, image, known, halt).await,
                None => (Vec::new(), Err(unknown(step))),
            },
            _ => (Vec::new(), Err(unknown(step))),
        }
    }

    async fn push(
        &self,
        step: &PushStep,
        image: &Descriptor,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<(), Unsuccessful> {
        let work = push(step, image, &self.built, &self.publisher, Arc::new(|_| ()));
        let pushed = unless_killed(halt, work).await?.map_err(Unsuccessful::failed)?;
        teller.tell(Told::Notice(told(pushed.copied))).await;
        Ok(())
    }

    async fn tag(
        &self,
        plan: &Plan,
        step: &TagStep,
        image: &Descriptor,
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
    ) -> (Vec<TagMove>, Result<Option<Descriptor>, Unsuccessful>) {
        let allowed = self.immutable.get_or_init(|| async {
            let steps: Vec<_> =
                tag_steps(plan).filter_map(|step| Some((step, known.get(&step.image)?))).collect();
            check_immutable(&steps, &self.publisher).await
        });
        match unless_killed(halt, allowed).await {
            Ok(Ok(())) => {}
            Ok(Err(problems)) => return (Vec::new(), Err(Unsuccessful::Failed(problems.clone()))),
            Err(halted) => return (Vec::new(), Err(halted)),
        }
        // Once tags move, this is not given up half way: it ends soon by itself.
        let TagReport { changes, problems } = tag(step, image, &self.publisher).await;
        let result = problems.or(None).map_err(Unsuccessful::Failed);
        (changes.into_iter().map(moved).collect(), result)
    }
}

/// The steps whose images a step needs to know.
pub(super) fn images_of(plan: &Plan, step: &Step) -> Vec<StepIndex> {
    match &step.action {
        Action::Assemble(assemble) => match assemble.base {
            BaseSource::Step(base) => vec![base],
            _ => Vec::new(),
        },
        Action::Index(index) => index.platforms.iter().map(|(_, step)| *step).collect(),
        Action::Test(test) => vec![test.image],
        Action::Budget(budget) => vec![budget.image],
        Action::Push(push) => vec![push.image],
        Action::Tag(_) => tag_steps(plan).map(|tag| tag.image).collect(),
        Action::Group | Action::Skip(_) | Action::Command(_) | Action::NotAvailable(_) => Vec::new(),
    }
}

fn tag_steps(plan: &Plan) -> impl Iterator<Item = &TagStep> {
    plan.steps.iter().filter_map(|step| match &step.action {
        Action::Tag(tag) => Some(&**tag),
        _ => None,
    })
}

fn unknown(step: &Step) -> Unsuccessful {
    let gap = Gap { what: format!("`{}`", step.id), span: step.span };
    Unsuccessful::failed(not_available(&gap))
}

fn moved(change: TagChange) -> TagMove {
    let TagChange { repository, tag, from, to, result } = change;
    let kept = match result {
        TagResult::Moved | TagResult::Already => None,
        TagResult::Kept(why) => Some(why),
    };
    let from = from.map(|digest| digest.to_string());
    TagMove { repository, tag: tag.to_string(), from, to: to.to_string(), kept }
}

fn told(copied: Copied) -> String {
    let Copied { sent, sent_bytes, mounted, present } = copied;
    format!(
        "{sent} blobs sent ({sent_bytes} bytes), {mounted} taken from another repository, {present} there before"
    )
}

/// What comes of some work, unless the step is killed first.
async fn unless_killed<T>(
    halt: &mut watch::Receiver<Halt>,
    work: impl Future<Output = T>,
) -> Result<T, Unsuccessful> {
    tokio::select! {
        done = work => Ok(done),
        _ = halt.wait_for(|halt| *halt == Halt::Now) => Err(Unsuccessful::Halted),
    }
}
