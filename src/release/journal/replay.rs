//! Going on with what a dead process began, or back.

use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::oci::{Descriptor, Digest};
use crate::plan::{RegistryPlan, StepIndex, TagStep};
use crate::release::commit::{Committed, Naming, commit};
use crate::release::journal::{IntentTag, Journal};
use crate::release::publisher::Publisher;
use crate::release::tag::TagChange;
use crate::tags::PlannedTag;

/// How a repository of a journal is reached.
pub type Reach<'a> = &'a dyn Fn(&str) -> Result<RegistryPlan, Problem>;

/// What became of tags that were put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Returned {
    /// Those that hold again what they held before: name and digest.
    pub restored: Vec<(String, Digest)>,
    /// What still holds the image, and why: sentences without a period.
    pub stands: Vec<String>,
    /// Those that somebody else has moved since, by name.
    pub others: Vec<String>,
}

impl Journal {
    /// Sets the tags of images of no stage that are not set. The same rules hold as in the
    /// release.
    ///
    /// # Errors
    /// As [`commit`]; what was done is returned all the same.
    pub async fn forward(
        &self,
        reach: Reach<'_>,
        publisher: &Publisher,
        span: Span,
    ) -> (Vec<TagChange>, Result<(), Problems>) {
        let mut steps = Vec::new();
        for (repository, image, tags) in self.groups(span) {
            match reach(&repository) {
                Ok(registry) => steps.push((TagStep { image: StepIndex(0), registry, tags }, image)),
                Err(problem) => return (Vec::new(), Err(problem.into())),
            }
        }
        let namings: Vec<Naming<'_>> =
            steps.iter().map(|(step, image)| Naming { step, image, keep: None }).collect();
        let Committed { changes, problems } = commit(&namings, &[], publisher, Some(self)).await;
        (changes.concat(), problems.or(()))
    }

    /// The tags of each repository and image, in their order.
    fn groups(&self, span: Span) -> Vec<(String, Descriptor, Vec<PlannedTag>)> {
        let mut groups: Vec<(String, Descriptor, Vec<PlannedTag>)> = Vec::new();
        let of_stage = |tag: &IntentTag| {
            let images = self.intent().entries.iter().flat_map(|entry| &entry.images);
            images.into_iter().any(|image| image.name == tag.image)
        };
        let tags = self.intent().tags.iter();
        for intended in tags.filter(|tag| !of_stage(tag)) {
            let Some(planned) = intended.planned(span) else { continue };
            let image = intended.descriptor();
            let is_it = |group: &&mut (String, Descriptor, Vec<PlannedTag>)| {
                group.0 == intended.repository && group.1 == image
            };
            match groups.iter_mut().find(is_it) {
                Some((.., tags)) => tags.push(planned),
                None => groups.push((intended.repository.clone(), image, vec![planned])),
            }
        }
        groups
    }

    /// Puts back what may be put back: moving tags that still hold what they were set to
    /// get what they held before, the last one that was set first.
    ///
    /// # Errors
    /// A repository cannot be reached or refuses; what was put back before stays so, and
    /// the same again goes on.
    pub async fn back(&self, reach: Reach<'_>, publisher: &Publisher) -> Result<Returned, Problem> {
        let mut returned = Returned::default();
        for (at, before) in self.moved() {
            let Some(intended) = self.intent().tags.get(at) else { continue };
            put_back(intended, before, reach, publisher, &mut returned).await?;
        }
        Ok(returned)
    }
}

async fn put_back(
    intended: &IntentTag,
    before: Option<Digest>,
    reach: Reach<'_>,
    publisher: &Publisher,
    returned: &mut Returned,
) -> Result<(), Problem> {
    let (name, ours) = (intended.name(), intended.digest);
    let repository = publisher.open(&reach(&intended.repository)?).await?;
    let held = repository.resolve(&intended.tag).await?.map(|held| held.digest);
    if held != Some(ours) {
        // It was about to be set, and was not; or it was, and somebody else moved it.
        if held != before {
            returned.others.push(name);
        }
        return Ok(());
    }
    let mut stands = |why: String| returned.stands.push(format!("`{name}` holds {ours}: {why}"));
    if intended.is_immutable() {
        stands("it never changes".to_owned());
        return Ok(());
    }
    let Some(before) = before else {
        stands("it was not there before, and nothing else could be in its place".to_owned());
        return Ok(());
    };
    let Some(image) = repository.resolve(&before.to_string()).await? else {
        stands(format!("what it held before, {before}, is gone"));
        return Ok(());
    };
    let document = repository.read(&image).await?;
    let tag = intended.tag.parse().map_err(|_| {
        Problem::new(Code::InvalidTag, format!("`{}` of the journal is no tag", intended.tag))
    })?;
    let swapped = repository.swap_tag(&tag, Some(ours), (&image, &document)).await?;
    let now = repository.resolve(&intended.tag).await?.map(|held| held.digest);
    if swapped && now == Some(before) {
        returned.restored.push((name, before));
    } else if now == Some(ours) {
        stands("the registry did not take back what it held".to_owned());
    } else {
        returned.others.push(name);
    }
    Ok(())
}
