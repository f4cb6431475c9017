//! Brings images to registries, and names them there.

use tokio::sync::watch;

use crate::diagnostic::{Problem, Problems};
use crate::oci::Descriptor;
use crate::plan::{Action, Plan, PushStep, TagStep};
use crate::release::{
    Intent, IntentTag, Journal, TagReport, TagResult, check_immutable, check_tags, note_layers, tag,
};
use crate::run::TagMove;
use crate::run::command::Unsuccessful;
use crate::run::enter::kept;
use crate::run::image::{Images, Known, Yielded, moved, remote_bases_of, tag_steps, unless};
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
    /// is about to move was put down.
    pub(super) async fn tag(
        &self,
        plan: &Plan,
        step: &TagStep,
        image: &Descriptor,
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
    ) -> (Vec<TagMove>, Result<Yielded, Unsuccessful>) {
        let allowed = self.judged.get_or_init(|| async {
            let steps: Vec<_> =
                tag_steps(plan).filter_map(|step| Some((step, known.get(&step.image)?))).collect();
            self.check_stages(plan, known).await?;
            check_tags(&steps, &self.built, &self.publisher).await?;
            self.begin_journal(plan, known).map_err(Problems::from)
        });
        match unless(halt, allowed).await {
            Ok(Ok(())) => {}
            Ok(Err(problems)) => return (Vec::new(), Err(Unsuccessful::Failed(problems.clone()))),
            Err(halted) => return (Vec::new(), Err(halted)),
        }
        // Once tags move, this is not given up half way: it ends soon by itself.
        let all = kept(plan, step, image);
        let TagReport { changes, problems } = tag(&all, image, &self.publisher, self.journal.get()).await;
        self.note_tags(step.image, &changes);
        let again = changes.iter().all(|change| matches!(change.result, TagResult::Already));
        let made = if again { Yielded::Again } else { Yielded::Nothing };
        let result = problems.or(made).map_err(Unsuccessful::Failed);
        (changes.into_iter().map(moved).collect(), result)
    }

    /// Puts down what is about to become visible, before any of it is.
    fn begin_journal(&self, plan: &Plan, known: &Known) -> Result<(), Problem> {
        let mut tags = Vec::new();
        for step in tag_steps(plan) {
            let Some(image) = known.get(&step.image) else { continue };
            let owner = plan.steps.get(step.image.0 as usize).map(|step| step.id.owner.clone());
            let (owner, place) = (owner.unwrap_or_default(), step.registry.place.to_string());
            let all = kept(plan, step, image);
            let published = all.tags.iter().filter(|planned| !planned.local);
            tags.extend(published.map(|planned| IntentTag::new(&owner, &place, image, planned)));
        }
        let entered = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Enter(enter) => Some(enter),
            _ => None,
        });
        let entrance = self.entrance.as_deref();
        let entries = entered.filter_map(|enter| {
            let images = enter.images.iter().filter_map(|image| self.entered(plan, image, known)).collect();
            entrance?.intended(&enter.stage, images)
        });
        let intent = Intent {
            format: Intent::FORMAT,
            run: self.run.clone(),
            at: self.now,
            allow_regress: self.publisher.may_regress(),
            approval: entrance.and_then(|entrance| entrance.approval()).map(str::to_owned),
            entries: entries.collect(),
            tags,
        };
        let journal = Journal::begin(&self.root, intent)?;
        // It is begun once: by whoever judges the tags of the whole run.
        let _begun = self.journal.set(journal);
        Ok(())
    }

    /// Puts down that a stage was entered.
    pub(in crate::run) fn note_entered(&self, stage: &str) -> Result<(), Problem> {
        self.journal.get().map_or(Ok(()), |journal| journal.entered(stage))
    }

    /// Ends the journal, unless what it is about is visible in part.
    pub(in crate::run) fn end_journal(&self) {
        if let Some(journal) = self.journal.get().filter(|journal| !journal.is_half_done()) {
            // What is left is found to be done by whoever goes on with it.
            let _left = journal.end();
        }
    }
}
