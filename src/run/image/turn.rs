//! Who may move tags: what is to become visible is put down, and one run at a time has the
//! right to it.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::sync::watch;

use crate::diagnostic::{Code, Problem, Problems};
use crate::oci::{Descriptor, Digest};
use crate::plan::{Action, Plan, TagStep};
use crate::release::{
    Entrance, Entry, Held, Intent, IntentTag, Journal, Lease, Patience, Standing, TagChange, TagResult, Turn,
    Wait, check_tags, renewal,
};
use crate::run::command::Unsuccessful;
use crate::run::image::{Images, Known, tag_steps, unless};
use crate::run::process::Halt;
use crate::run::teller::{Teller, Told};
use crate::run::worker::blocking;

impl Images {
    /// Makes sure that all that comes before is right, puts down what is about to become
    /// visible, and gets the right to it where stages are entered.
    pub(super) async fn may_move(
        &self,
        plan: &Plan,
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<(), Unsuccessful> {
        let mut patience = Patience::new(&self.facts.environment);
        loop {
            let all = self.tags_known(plan, known);
            let steps: Vec<(&TagStep, &Descriptor)> =
                all.iter().map(|(step, image)| (&**step, *image)).collect();
            let look = async {
                let stands = self.check_stages(plan, known).await?;
                // Whoever comes later looks at tags when the others are done.
                let changes = match &stands {
                    Some((_, Some(_))) => Vec::new(),
                    _ => check_tags(&steps, &self.built, &self.publisher).await?,
                };
                Ok::<_, Problems>((stands, changes))
            };
            let (stands, changes) = unless(halt, look).await?.map_err(Unsuccessful::Failed)?;
            if let Some((_, Some(held))) = &stands {
                self.wait(&mut patience, held, halt, teller).await?;
                continue;
            }
            if self.note_left(&steps, &changes) && self.entrance.is_some() {
                // The tag that stays with the image is looked at as well.
                continue;
            }
            let asked = Lease::moment();
            let standing = stands.map(|(standing, _)| standing);
            let journal = self.begin(plan, known, (standing.as_ref(), &changes));
            let journal = journal.map_err(Unsuccessful::failed)?;
            let moves = changes.iter().any(|change| change.result == TagResult::Moved);
            let (Some(entrance), Some(standing)) = (&self.entrance, standing) else {
                self.keep(journal);
                return Ok(());
            };
            if !moves {
                let _first = self.looked.set(changes);
                self.keep(journal);
                return Ok(());
            }
            let turn = self.take(plan, known, entrance, (journal.intent(), standing)).await;
            match turn {
                Ok(Turn::Taken) => {
                    journal.by(Lease::new(Arc::clone(entrance), asked));
                    self.keep(journal);
                    self.keep_right();
                    return Ok(());
                }
                Ok(Turn::Changed) => journal.end().map_err(Unsuccessful::failed)?,
                Ok(Turn::Busy(held)) => {
                    journal.end().map_err(Unsuccessful::failed)?;
                    self.wait(&mut patience, &held, halt, teller).await?;
                }
                Err(problems) => {
                    let _unsaid = self.give_up(&journal).await;
                    return Err(Unsuccessful::Failed(problems));
                }
            }
        }
    }

    /// Asks for the right to move tags. It is not given up half way: it ends soon.
    async fn take(
        &self,
        plan: &Plan,
        known: &Known,
        entrance: &Arc<Entrance>,
        (intent, standing): (&Intent, Standing),
    ) -> Result<Turn, Problems> {
        let vouched = self.vouched(plan, entrance, known).await?;
        let (entrance, intent) = (Arc::clone(entrance), intent.clone());
        blocking(move || entrance.take(&intent, &standing, vouched.as_deref())).await
    }

    /// Waits for somebody who enters a stage, or finds that they died over it.
    pub(in crate::run) async fn wait(
        &self,
        patience: &mut Patience,
        held: &Held,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<(), Unsuccessful> {
        if patience.is_fresh() {
            teller.tell(Told::Notice(format!("{} at the moment: that is waited for", held.words()))).await;
        }
        match patience.with(held).map_err(Unsuccessful::failed)? {
            Wait::For(time) => unless(halt, tokio::time::sleep(time)).await,
            Wait::Over => {
                let run = held.entering.run();
                let text = format!("nothing was heard of the run {run} for too long: it has died");
                teller.tell(Told::Notice(text)).await;
                if let Some(entrance) = &self.entrance {
                    entrance.take_over(run);
                }
                Ok(())
            }
        }
    }

    fn keep(&self, journal: Journal) {
        // It is begun once: by whoever judges the tags of the whole run.
        let _first = self.journal.set(Arc::new(journal));
    }

    /// Puts down what is about to become visible, before any of it is.
    fn begin(
        &self,
        plan: &Plan,
        known: &Known,
        (standing, changes): (Option<&Standing>, &[TagChange]),
    ) -> Result<Journal, Problem> {
        let held = |repository: &str, tag: &str| -> Option<Digest> {
            let change =
                changes.iter().find(|change| change.repository == repository && change.tag.as_str() == tag);
            change?.from
        };
        let mut tags = Vec::new();
        for step in tag_steps(plan) {
            let Some(image) = known.get(&step.image) else { continue };
            let owner = plan.steps.get(step.image.0 as usize).map(|step| step.id.owner.clone());
            let (owner, place) = (owner.unwrap_or_default(), step.registry.place.to_string());
            let all = self.kept(plan, step, image);
            let published = all.tags.iter().filter(|planned| !planned.local);
            tags.extend(published.map(|planned| {
                let image = planned.returns.as_ref().unwrap_or(image);
                IntentTag::new(&owner, &place, image, (planned, held(&place, planned.tag.as_str())))
            }));
        }
        let entered = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Enter(enter) => Some(enter),
            _ => None,
        });
        let entrance = self.entrance.as_deref();
        let entries = entered.filter_map(|enter| {
            let images = enter.images.iter().filter_map(|image| self.entered(plan, image, known)).collect();
            entrance?.intended(standing?, &enter.stage, images)
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
        Journal::begin(&self.root, intent)
    }

    /// Puts down that a stage is about to be entered, where no tag is set for it.
    pub(in crate::run) fn begin_without_tags(
        &self,
        plan: &Plan,
        known: &Known,
        standing: &Standing,
    ) -> Result<(), Problem> {
        if self.journal.get().is_none() {
            self.keep(self.begin(plan, known, (Some(standing), &[]))?);
        }
        Ok(())
    }

    /// Whether it was put down what is about to become visible.
    pub(in crate::run) fn has_journal(&self) -> bool {
        self.journal.get().is_some()
    }

    /// What is about to become visible, once it was put down.
    pub(in crate::run) fn intent(&self) -> Option<Intent> {
        self.journal.get().map(|journal| journal.intent().clone())
    }

    /// Says from time to time that this run goes on, until it ends.
    pub(in crate::run) fn keep_right(&self) {
        let (Some(entrance), Some(journal)) = (self.entrance.clone(), self.journal.get().cloned()) else {
            return;
        };
        let after = renewal(&self.facts.environment);
        let renew = async move {
            loop {
                tokio::time::sleep(after).await;
                let (entrance, journal) = (Arc::clone(&entrance), Arc::clone(&journal));
                // Where it is not taken, the next one may be; that others took a stage over is
                // seen before the next deployment, and at the end.
                let _unsaid = blocking(move || entrance.goes_on(journal.intent())).await;
            }
        };
        if let Ok(mut renewing) = self.renewing.lock()
            && renewing.is_empty()
        {
            renewing.spawn(renew);
        }
    }

    /// Makes sure that nobody took a stage over that this run entered, before it deploys there.
    /// Where the ledger cannot be asked, the right is as good as it was a moment before.
    pub(in crate::run) async fn may_deploy(
        &self,
        stage: &str,
        halt: &mut watch::Receiver<Halt>,
    ) -> Result<(), Unsuccessful> {
        let (Some(entrance), Some(journal)) = (self.entrance.clone(), self.journal.get().cloned()) else {
            return Ok(());
        };
        let name = stage.to_owned();
        let look = blocking(move || entrance.taken_by_others(&name, &journal.intent().run));
        match unless(halt, look).await? {
            Ok(Some(Entry { version, by, .. })) => {
                let title = format!("`{stage}` was taken over with {version} by {by}");
                let problem = Problem::new(Code::Overtaken, title);
                Err(Unsuccessful::failed(problem.note("nothing more was deployed there")))
            }
            _ => Ok(()),
        }
    }

    /// Puts down that a stage was entered.
    pub(in crate::run) fn note_entered(&self, stage: &str) -> Result<(), Problem> {
        self.journal.get().map_or(Ok(()), |journal| journal.entered(stage))
    }

    /// What became of the tags of each of these steps, where all are as they have to be.
    pub(super) fn as_looked(&self, steps: &[(Cow<'_, TagStep>, &Descriptor)]) -> Option<Vec<Vec<TagChange>>> {
        let looked = self.looked.get()?;
        let of = |(step, image): &(Cow<'_, TagStep>, &Descriptor)| {
            let place = step.registry.place.to_string();
            let its = |change: &&TagChange| {
                change.repository == place && step.tags.iter().any(|planned| planned.tag == change.tag)
            };
            let all: Vec<TagChange> = looked.iter().filter(its).cloned().collect();
            let is_its =
                |change: &TagChange| change.to == image.digest || change.result != TagResult::Already;
            all.iter().all(is_its).then_some(all)
        };
        steps.iter().map(of).collect()
    }

    /// Ends a journal, and the right to move tags, of which nothing became visible.
    async fn give_up(&self, journal: &Journal) -> Result<(), Problems> {
        if let Some(entrance) = self.entrance.clone() {
            let run = self.run.clone();
            blocking(move || entrance.withdraw(&run)).await?;
        }
        journal.end().map_err(Problems::from)
    }

    /// Ends the journal, unless what it is about is visible in part; where stages are entered,
    /// it ends when it is settled whether they work. Returns what is to be said.
    pub(in crate::run) async fn end_journal(&self) -> Option<String> {
        let journal = self.journal.get()?;
        if journal.is_untouched() {
            let problems = self.give_up(journal).await.err()?;
            return Some(format!(
                "that nothing is entered any more was not said: {}; `hoist resume` does it",
                problems.title()
            ));
        }
        match &self.entrance {
            Some(entrance) => entrance.keep(Arc::clone(journal)),
            None if journal.is_half_done() => {}
            // What is left is found to be done by whoever goes on with it.
            None => drop(journal.end()),
        }
        None
    }
}
