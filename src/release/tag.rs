//! Tags, what became of them, and whether they may move.

use crate::diagnostic::{Problem, Problems};
use crate::oci::{Descriptor, Digest, Tag};
use crate::plan::TagStep;
use crate::release::label::Labels;
use crate::release::mover::{Mover, conflict};
use crate::release::publisher::{Publisher, place};
use crate::release::verdict::Verdict;
use crate::store::{Layout, Question, Repository, answers};
use crate::tags::{Movement, PlannedTag};

/// What is to be done about a release that is visible in part.
pub const RESUME: &str = "`hoist resume` finishes it, and so does the same again: what is done is not done \
                          twice; `hoist resume --back` puts back what can be";
/// A tag, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagChange {
    /// The repository, as a user would name it.
    pub repository: String,
    /// The tag.
    pub tag: Tag,
    /// What it held before, if it was there.
    pub from: Option<Digest>,
    /// What it holds now.
    pub to: Digest,
    /// What was done.
    pub result: TagResult,
}

/// What was done to a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagResult {
    /// It was set to the image; of one that was only looked at: it would be.
    Moved,
    /// It held the image.
    Already,
    /// It was left where it was, for this reason: a sentence without a period.
    Kept(String),
}

/// Makes sure that all tags of all steps can be read, that it can be said of each
/// whether it may move, and that no immutable one holds another image. To be asked for
/// all steps before the first tag moves. What is in `images` says of itself there what
/// it is; what is not, where it was pushed to. Returns what would become of each.
///
/// # Errors
/// All immutable tags that hold another image ([`Code::ImmutableTag`]); a destination
/// that cannot be read.
pub async fn check_tags(
    steps: &[(&TagStep, &Descriptor)],
    images: &Layout,
    publisher: &Publisher,
) -> Result<Vec<TagChange>, Problems> {
    check(steps, images, publisher, |_| true).await
}

/// As [`check_tags`], of the immutable tags alone: where the image is known, they are
/// looked at before it is sent anywhere.
///
/// # Errors
/// As [`check_tags`].
pub async fn check_immutable(
    steps: &[(&TagStep, &Descriptor)],
    images: &Layout,
    publisher: &Publisher,
) -> Result<(), Problems> {
    check(steps, images, publisher, |planned| planned.movement == Movement::Immutable).await.map(drop)
}

async fn check(
    steps: &[(&TagStep, &Descriptor)],
    images: &Layout,
    publisher: &Publisher,
    counts: fn(&PlannedTag) -> bool,
) -> Result<Vec<TagChange>, Problems> {
    let mut looks: Vec<Question<'_, _>> = Vec::new();
    for (step, image) in steps {
        looks.push(Box::pin(check_step((step, image), images, publisher, counts)));
    }
    let (mut problems, mut changes) = (Problems::new(), Vec::new());
    for (seen, wrong) in answers(looks).await {
        changes.extend(seen);
        problems.extend(wrong);
    }
    problems.or(changes)
}

/// As [`check`], of one step: what would become of its tags, and what is wrong.
async fn check_step(
    (step, image): (&TagStep, &Descriptor),
    images: &Layout,
    publisher: &Publisher,
    counts: fn(&PlannedTag) -> bool,
) -> (Vec<TagChange>, Vec<Problem>) {
    let name = place(&step.registry);
    let repository = match publisher.look(&step.registry).await {
        Ok(Some(repository)) => repository,
        Ok(None) => {
            let absent =
                published(step).map(|planned| seen(&name, planned, None, (image.digest, TagResult::Moved)));
            return (absent.collect(), Vec::new());
        }
        Err(problem) => return (Vec::new(), vec![problem]),
    };
    let staged = Repository::Layout(images.clone());
    let from = if images.has(&image.digest) { &staged } else { &repository };
    let labels = match Labels::read(from, image).await {
        Ok(labels) => labels,
        Err(problem) => return (Vec::new(), vec![problem]),
    };
    let mover = Mover::new((step, image), (&repository, &name), &labels, publisher, None);
    let mut looks: Vec<Question<'_, _>> = Vec::new();
    for planned in published(step).filter(|planned| counts(planned)) {
        let mover = &mover;
        looks.push(Box::pin(async move { (planned, mover.look(planned).await) }));
    }
    let (mut changes, mut wrong, mut unread) = (Vec::new(), Vec::new(), None);
    for (planned, found) in answers(looks).await {
        match found {
            Ok((Verdict::Conflict, Some(held))) => wrong.push(conflict(&name, planned, held, image.digest)),
            Ok((verdict, held)) => changes.push(seen(
                &name,
                planned,
                held,
                match verdict {
                    Verdict::Already => (image.digest, TagResult::Already),
                    Verdict::Keep(why) => (held.unwrap_or(image.digest), TagResult::Kept(why)),
                    Verdict::Move | Verdict::Advance | Verdict::Conflict => (image.digest, TagResult::Moved),
                },
            )),
            // The others would say the same.
            Err(problem) => drop(unread.get_or_insert(made_by(planned, problem))),
        }
    }
    wrong.extend(unread);
    (changes, wrong)
}

/// What would become of a tag.
fn seen(
    repository: &str,
    planned: &PlannedTag,
    from: Option<Digest>,
    (to, result): (Digest, TagResult),
) -> TagChange {
    TagChange { repository: repository.to_owned(), tag: planned.tag.clone(), from, to, result }
}

/// A problem with a tag that shows no place is shown at the rule that makes the tag.
pub(super) fn made_by(planned: &PlannedTag, problem: Problem) -> Problem {
    if problem.labels.is_empty() { problem.label(planned.span, "this rule makes the tag") } else { problem }
}

/// The tags of a step that are for its registry.
pub(super) fn published(step: &TagStep) -> impl Iterator<Item = &PlannedTag> {
    step.tags.iter().filter(|planned| !planned.local)
}
