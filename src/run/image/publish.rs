//! Brings images to registries, and names them there.

use tokio::sync::watch;

use crate::diagnostic::Problems;
use crate::oci::Descriptor;
use crate::plan::{Plan, PushStep, TagStep};
use crate::release::{TagReport, TagResult, check_immutable, note_layers, tag};
use crate::run::TagMove;
use crate::run::command::Unsuccessful;
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
        teller: &Teller,
    ) -> (Vec<TagMove>, Result<Yielded, Unsuccessful>) {
        let allowed = self.judged.get_or_init(|| self.may_move(plan, known, halt, teller)).await;
        if let Err(unsuccessful) = allowed {
            return (Vec::new(), Err(unsuccessful.clone()));
        }
        // Once tags move, this is not given up half way: it ends soon by itself.
        let all = self.kept(plan, step, image);
        let journal = self.journal.get().map(|journal| &**journal);
        let TagReport { changes, problems } = match self.as_looked(&all, image) {
            Some(changes) => {
                let settled = changes.iter().try_for_each(|change| {
                    journal.map_or(Ok(()), |journal| journal.settled(&change.repository, change.tag.as_str()))
                });
                let problems = settled.err().map(Problems::from).unwrap_or_default();
                TagReport { changes, problems }
            }
            None => tag(&all, image, &self.publisher, journal).await,
        };
        let mut report = TagReport { changes, problems };
        if report.problems.is_empty()
            && self.entrance.is_some()
            && self.note_left(&[(&all, image)], &report.changes)
        {
            // Others were faster: the image gets a tag that stays with it.
            report = tag(&self.kept(plan, step, image), image, &self.publisher, journal).await;
        }
        let TagReport { changes, problems } = report;
        self.note_tags(step.image, &changes);
        let again = changes.iter().all(|change| matches!(change.result, TagResult::Already));
        let made = if again { Yielded::Again } else { Yielded::Nothing };
        let result = problems.or(made).map_err(Unsuccessful::Failed);
        (changes.into_iter().map(moved).collect(), result)
    }
}
