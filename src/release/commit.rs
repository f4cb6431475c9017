//! The commit of a release: images get their names.
//!
//! All repositories go through the same phases together, and none comes to the next before
//! all are done with this one: whoever reads a wide tag finds the narrow ones, of every
//! image. Where something goes wrong, no repository comes to a further phase.

use std::collections::BTreeSet;

use crate::diagnostic::{Code, Problem, Problems};
use crate::oci::{Descriptor, Tag};
use crate::plan::TagStep;
use crate::release::journal::Journal;
use crate::release::label::Labels;
use crate::release::mover::Mover;
use crate::release::publisher::{Publisher, place};
use crate::release::tag::{RESUME, TagChange, TagResult, made_by, published};
use crate::store::{Question, Repository, answers};
use crate::tags::{Movement, PlannedTag, Rank};

/// The tags of an image in one repository, as they are to be.
#[derive(Clone, Debug)]
pub struct Naming<'a> {
    /// Its tags, and where.
    pub step: &'a TagStep,
    /// The image, which was pushed there.
    pub image: &'a Descriptor,
    /// An immutable tag that it gets as well, where others have all its immutable ones.
    pub keep: Option<PlannedTag>,
}

/// What became of tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Committed {
    /// Of each [`Naming`], every tag that was dealt with, in the order of the step.
    pub changes: Vec<Vec<TagChange>>,
    /// Why the others were not, if there are others.
    pub problems: Problems,
}

/// Gives images their names, after they were pushed and
/// [`check_tags`](crate::release::check_tags) found nothing in the way of any of them:
/// immutable tags first in all repositories, then the moving ones from narrow to wide, those
/// that are as wide as each other at the same time.
///
/// If something goes wrong while a tag holds its image, whether since now or since before,
/// the first problem is [`Code::HalfReleased`] and says what stands in all repositories, also
/// of the tags that the same release has dealt with `before`.
pub async fn commit(
    namings: &[Naming<'_>],
    before: &[TagChange],
    publisher: &Publisher,
    journal: Option<&Journal>,
) -> Committed {
    let opening =
        namings.iter().map(|naming| -> Question<'_, _> { Box::pin(Place::open(naming, publisher)) });
    let (mut places, mut problems) = (Vec::new(), Vec::new());
    for (at, opened) in answers(opening.collect()).await.into_iter().enumerate() {
        match opened {
            Ok((place, unread)) => {
                places.push(place);
                problems.push((at, unread));
            }
            Err(problem) => {
                let changes = namings.iter().map(|_| Vec::new()).collect();
                let problems = half_released(&[], before, vec![(at, problem)]).await;
                return Committed { changes, problems };
            }
        }
    }
    problems.retain(|(_, problem)| problem.is_some());
    let mut all: Vec<Tagging<'_>> = namings
        .iter()
        .zip(&places)
        .map(|(naming, place)| Tagging {
            mover: Mover::new(
                (naming.step, naming.image),
                (&place.repository, &place.name),
                &place.labels,
                publisher,
                journal,
            ),
            keep: naming.keep.as_ref(),
            together: None,
            dealt: vec![Dealt::default(); naming.step.tags.len()],
            kept: Dealt::default(),
        })
        .collect();
    let phases: BTreeSet<Rank> =
        namings.iter().flat_map(|naming| published(naming.step)).map(PlannedTag::rank).collect();
    for phase in phases {
        if !problems.is_empty() {
            break;
        }
        let dealing = all.iter_mut().map(|tagging| -> Question<'_, _> { Box::pin(tagging.pass(phase)) });
        problems = answers(dealing.collect()).await.into_iter().enumerate().collect();
        problems.retain(|(_, problem)| problem.is_some());
    }
    // Also where others could not be set: nobody comes back to those that were.
    let righting = all.iter_mut().map(|tagging| -> Question<'_, _> { Box::pin(tagging.put_right()) });
    problems.extend(answers(righting.collect()).await.into_iter().enumerate());
    let causes = problems.into_iter().filter_map(|(at, problem)| Some((at, problem?))).collect();
    let problems = half_released(&all, before, causes).await;
    Committed { changes: all.into_iter().map(Tagging::into_changes).collect(), problems }
}

/// A repository, and what the image says of itself there.
struct Place {
    repository: Repository,
    labels: Labels,
    /// As a user would name it.
    name: String,
}

impl Place {
    /// Opens it; and why the image cannot be read there, if that is so.
    async fn open(naming: &Naming<'_>, publisher: &Publisher) -> Result<(Self, Option<Problem>), Problem> {
        let repository = publisher.open(&naming.step.registry).await?;
        let (labels, unread) = match Labels::read(&repository, naming.image).await {
            Ok(labels) => (labels, None),
            Err(problem) => (Labels::default(), Some(problem)),
        };
        Ok((Self { repository, labels, name: place(&naming.step.registry) }, unread))
    }
}

/// The tags of an image in one repository, and how far they have come.
struct Tagging<'a> {
    mover: Mover<'a>,
    keep: Option<&'a PlannedTag>,
    /// Immutable tags that were set in one request, once that was tried.
    together: Option<Vec<Tag>>,
    /// How far each tag of the step has come.
    dealt: Vec<Dealt>,
    /// How far the tag has come that it gets as well.
    kept: Dealt,
}

/// How far a tag has come.
#[derive(Clone, Default)]
struct Dealt {
    /// What became of it, once it was dealt with.
    change: Option<TagChange>,
    /// Why it was not, if that was tried.
    failed: Option<Code>,
}

impl Dealt {
    /// Takes note of what became of it; why it was not dealt with is left.
    fn note(&mut self, done: Result<TagChange, Problem>) -> Option<Problem> {
        match done {
            Ok(change) => self.change = Some(change),
            Err(problem) => {
                self.failed = Some(problem.code);
                return Some(problem);
            }
        }
        None
    }
}

impl Tagging<'_> {
    /// Deals with the tags of a phase at the same time: none of them is wider than another.
    /// Returns why one of them was not, of several the one of which it is not known.
    async fn pass(&mut self, phase: Rank) -> Option<Problem> {
        if self.together.is_none() {
            match self.mover.set_together().await {
                Ok(together) => self.together = Some(together),
                Err(problem) => return Some(problem),
            }
        }
        let together = self.together.as_deref().unwrap_or_default();
        let mover = &self.mover;
        let tags = mover.step.tags.iter().zip(&mut self.dealt);
        let mut setting: Vec<Question<'_, _>> = Vec::new();
        for (planned, dealt) in tags.filter(|(planned, _)| !planned.local && planned.rank() == phase) {
            setting.push(Box::pin(async move { dealt.note(set(mover, planned, together).await) }));
        }
        let mut failed: Vec<Problem> = answers(setting).await.into_iter().flatten().collect();
        if failed.is_empty()
            && let Some(keep) = self.keep.filter(|_| self.kept.change.is_none() && self.is_left())
        {
            failed.extend(self.kept.note(set(&self.mover, keep, &[]).await));
        }
        let worst = failed.iter().position(|problem| problem.code == Code::HalfReleased);
        (!failed.is_empty()).then(|| failed.swap_remove(worst.unwrap_or_default()))
    }

    /// Whether others have all immutable tags that the image was to get.
    fn is_left(&self) -> bool {
        let tags = self.mover.step.tags.iter().zip(&self.dealt);
        let its = |planned: &PlannedTag| !planned.local && planned.movement == Movement::Immutable;
        let mut immutable = tags.filter(|(planned, _)| its(planned)).map(|(_, dealt)| dealt).peekable();
        let is_left = |dealt: &Dealt| {
            dealt.change.as_ref().is_some_and(|change| matches!(change.result, TagResult::Kept(_)))
        };
        immutable.peek().is_some() && immutable.all(is_left)
    }

    async fn put_right(&mut self) -> Option<Problem> {
        let tags = self.mover.step.tags.iter().zip(&mut self.dealt);
        let tags = tags.filter_map(|(planned, dealt)| Some((planned, dealt.change.as_mut()?)));
        self.mover.put_right(tags).await.err()
    }

    fn into_changes(self) -> Vec<TagChange> {
        [self.kept].into_iter().chain(self.dealt).filter_map(|dealt| dealt.change).collect()
    }
}

async fn set(mover: &Mover<'_>, planned: &PlannedTag, together: &[Tag]) -> Result<TagChange, Problem> {
    let was_set = together.contains(&planned.tag);
    let change = mover.set(planned, was_set).await.map_err(|problem| made_by(planned, problem))?;
    mover.note_settled(planned)?;
    Ok(change)
}

/// Says what stands, if anything does, and what each of the other tags holds; `causes` say
/// why those at their places were not all dealt with.
async fn half_released(all: &[Tagging<'_>], before: &[TagChange], causes: Vec<(usize, Problem)>) -> Problems {
    if causes.is_empty() {
        return Problems::new();
    }
    let earlier = before.iter().filter(|change| !matches!(change.result, TagResult::Kept(_)));
    let mut notes: Vec<String> = earlier
        .map(|TagChange { repository, tag, to, .. }| format!("`{repository}:{tag}` holds {to} now"))
        .collect();
    let mut stands = !notes.is_empty() || causes.iter().any(|(_, cause)| cause.code == Code::HalfReleased);
    for tagging in all {
        let kept = tagging.keep.filter(|_| tagging.kept.change.is_some() || tagging.kept.failed.is_some());
        let kept = kept.map(|keep| (keep, &tagging.kept));
        let others = tagging.mover.step.tags.iter().zip(&tagging.dealt);
        for (planned, dealt) in kept.into_iter().chain(others).filter(|(planned, _)| !planned.local) {
            let (note, is_ours) = state(&tagging.mover, planned, dealt).await;
            notes.push(note);
            stands |= is_ours;
        }
    }
    let mut problems = Problems::new();
    for (at, cause) in causes {
        let (mover, cause_code) = (all.get(at).map(|tagging| &tagging.mover), cause.code);
        problems.push(if stands {
            let title = match mover {
                Some(mover) => format!("`{}` was tagged in part: {}", mover.name, cause.title),
                None => format!("only a part of the tags was set: {}", cause.title),
            };
            let problem = Problem { code: Code::HalfReleased, title, ..cause };
            // What holds what is said once.
            let problem = std::mem::take(&mut notes).into_iter().fold(problem, Problem::note);
            match (cause_code, problem.help.clone()) {
                // To go on would find the same again.
                (Code::ImmutableTag, Some(help)) => {
                    problem.help(format!("{help}; `hoist resume --back` puts back what can be"))
                }
                _ => problem.help(RESUME),
            }
        } else {
            // Unless it was refused, that it was begun is put down all the same.
            let journal = mover.map(|mover| mover.journal);
            let begun = journal.is_some_and(|journal| journal.is_none_or(|journal| !journal.is_untouched()));
            Problem { help: cause.help.or_else(|| begun.then(|| RESUME.to_owned())), ..cause }
        });
    }
    problems
}

/// What a tag holds, in words, and whether that is the image that it was to hold.
async fn state(mover: &Mover<'_>, planned: &PlannedTag, Dealt { change, failed }: &Dealt) -> (String, bool) {
    let (name, tag) = (mover.name, &planned.tag);
    let held = match change {
        Some(TagChange { result: TagResult::Kept(_), to, .. }) => {
            return (format!("`{name}:{tag}` was not moved: it holds {to}"), false);
        }
        Some(change) => Ok(Some(change.to)),
        None => mover.repository.resolve(tag.as_str()).await.map(|held| held.map(|held| held.digest)),
    };
    let text = match held {
        Ok(Some(held)) if held == mover.image.digest => {
            return (format!("`{name}:{tag}` holds {held} now"), true);
        }
        // Whether it was set is not known.
        Ok(held) if *failed == Some(Code::HalfReleased) => match held {
            Some(held) => format!("`{name}:{tag}` still holds {held}"),
            None => format!("`{name}:{tag}` is not there"),
        },
        Ok(held) => {
            if *failed == Some(Code::Unauthorized) {
                // What is not put down is looked at once more by whoever goes on.
                let _unsaid = mover.journal.map(|journal| journal.refused(name, tag.as_str()));
            }
            match held {
                Some(held) => format!("`{name}:{tag}` was not moved: it holds {held}"),
                None => format!("`{name}:{tag}` was not set: it is not there"),
            }
        }
        Err(_) => format!("`{name}:{tag}` cannot be read: whether it was set is not known"),
    };
    (text, false)
}
