//! What a run would make visible, as it is shown before anybody is asked.

use std::collections::HashSet;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::time::timeout;

use crate::cli::place::until_signalled;
use crate::cli::plan::look_ahead;
use crate::cli::session::{Planned, Session};
use crate::diagnostic::{Problem, Problems, counted};
use crate::oci::Tag;
use crate::plan::{Action, Plan, RegistryPlace, TagStep};
use crate::release::Publisher;
use crate::run::Options;
use crate::store::{Question, answers};
use crate::tags::PlannedTag;

/// How long registries may take to say what tags hold: what is not known then is shown as
/// what changes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What would become visible in registries on the network, and in stages with what each
/// `enters` with, a line each; tags that `stay` as they are counted.
pub(crate) fn visible(plan: &Plan, enters: &IndexMap<String, String>, stay: &Staying) -> Vec<String> {
    let line = |step: &TagStep| match &step.registry.place {
        RegistryPlace::Layout(_) => None,
        RegistryPlace::Remote(repository) => {
            let moves = |tag: &&PlannedTag| !stay.has(repository, &tag.tag);
            let tags = step.tags.iter().filter(moves).map(|tag| match &tag.returns {
                Some(to) => format!("{} (back to {})", tag.tag, to.digest.short()),
                None => tag.tag.to_string(),
            });
            let mut tags: Vec<_> = tags.collect();
            match step.tags.len() - tags.len() {
                0 => {}
                1 => tags.push("1 tag stays as it is".to_owned()),
                count => tags.push(format!("{} stay as they are", counted(count, "tag"))),
            }
            Some(format!("  {repository}: {}\n", tags.join(", ")))
        }
    };
    let steps = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Tag(tag) => line(tag),
        Action::Enter(enter) => match enters.get(&enter.stage) {
            Some(words) => Some(format!("  stage {}: {words}\n", enter.stage)),
            None => Some(format!("  stage {}\n", enter.stage)),
        },
        Action::Deploy(_) => Some(format!("  {}\n", step.id)),
        Action::Record(record) => {
            Some(format!("  {}: what the ledger says of {}, with its images\n", step.id, record.stage))
        }
        _ => None,
    });
    steps.collect()
}

/// Tags that hold already what they would be set to.
#[derive(Debug, Default)]
pub(crate) struct Staying(HashSet<(String, Tag)>);

impl Staying {
    fn has(&self, repository: &str, tag: &Tag) -> bool {
        self.0.contains(&(repository.to_owned(), tag.clone()))
    }

    /// Asks registries what the tags of images hold that are known without a build. What
    /// cannot be asked is left for the run to tell.
    ///
    /// # Errors
    /// It is interrupted; the workspace cannot be read.
    pub(crate) fn find(session: &Session, planned: &Planned, options: &Options) -> Result<Self, Problems> {
        let images = look_ahead(session, planned, options)?;
        let publisher = Publisher::new(planned.project.root.clone(), planned.facts.environment.clone());
        // One registry that is slow keeps no other from being heard.
        let mut asked: IndexMap<&str, Vec<Question<'_, _>>> = IndexMap::new();
        for step in &planned.plan.steps {
            let Action::Tag(step) = &step.action else { continue };
            let image = images.get(step.image.0 as usize).and_then(|forecast| forecast.image);
            let RegistryPlace::Remote(repository) = &step.registry.place else { continue };
            for tag in &step.tags {
                let Some(to) = tag.returns.as_ref().map(|to| to.digest).or(image) else { continue };
                let publisher = &publisher;
                asked.entry(&step.registry.name).or_default().push(Box::pin(async move {
                    let holds = publisher.resolve(&step.registry, tag.tag.as_str()).await.ok().flatten();
                    holds
                        .is_some_and(|holds| holds.digest == to)
                        .then(|| (repository.clone(), tag.tag.clone()))
                }));
            }
        }
        if asked.is_empty() {
            return Ok(Self::default());
        }
        let mut registries: Vec<Question<'_, Vec<_>>> = Vec::new();
        for asked in asked.into_values() {
            registries.push(Box::pin(async { timeout(PATIENCE, answers(asked)).await.unwrap_or_default() }));
        }
        let work = async { Ok::<_, Problem>(answers(registries).await) };
        let found = until_signalled(work, "nothing was published")?;
        Ok(Self(found.into_iter().flatten().flatten().collect()))
    }
}
