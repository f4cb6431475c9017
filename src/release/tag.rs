//! Moving tags.

use std::time::Duration;

use tokio::sync::OnceCell;

use crate::diagnostic::{Code, Problem, Problems};
use crate::oci::{Descriptor, Digest, Tag};
use crate::plan::TagStep;
use crate::release::history::{Kinship, is_commit};
use crate::release::journal::Journal;
use crate::release::label::Labels;
use crate::release::publisher::{Publisher, place};
use crate::release::verdict::{Held, Verdict, judge};
use crate::store::{Layout, Question, Repository, answers};
use crate::tags::{Movement, PlannedTag, Track};

/// How often a tag is read until it shows what was just put there: some
/// registries answer from copies that are a little behind.
const READS: u32 = 5;
/// How often a tag is looked at again because somebody else just moved it.
const RACES: u32 = 5;
/// What is to be done about a release that is visible in part.
pub const RESUME: &str = "`hoist resume` finishes it, and so does the same again: what is done is not done \
                          twice; `hoist resume --back` puts back what can be";
/// How long is waited before it is read again the first time; then twice as long.
const LAG: Duration = Duration::from_millis(200);

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

/// What became of the tags of an image in one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct TagReport {
    /// Every tag that was dealt with, in order.
    pub changes: Vec<TagChange>,
    /// Why the others were not, if there are others.
    pub problems: Problems,
}

/// Gives an image its names, in their order, after it was pushed there and
/// [`check_tags`] found nothing in the way of any tag of the release.
///
/// If something goes wrong while a tag holds the image, whether since now or since
/// before, the problem is [`Code::HalfReleased`] and says what stands.
pub async fn tag(
    step: &TagStep,
    image: &Descriptor,
    publisher: &Publisher,
    journal: Option<&Journal>,
) -> TagReport {
    let mut report = TagReport::default();
    let repository = match publisher.open(&step.registry).await {
        Ok(repository) => repository,
        Err(problem) => return TagReport { problems: problem.into(), ..report },
    };
    let to = (&repository, publisher, journal);
    if let Err(problem) = set_all(step, image, to, &mut report.changes).await {
        report
            .problems
            .push(half_released(step, image, (&repository, journal), &report.changes, problem).await);
    }
    report
}

/// Sets the tags of a step; `changes` gets those that were dealt with.
async fn set_all(
    step: &TagStep,
    image: &Descriptor,
    (repository, publisher, journal): (&Repository, &Publisher, Option<&Journal>),
    changes: &mut Vec<TagChange>,
) -> Result<(), Problem> {
    let labels = Labels::read(repository, image).await?;
    let name = place(&step.registry);
    let document = OnceCell::new();
    let mover = Mover { repository, name: &name, image, document, labels: &labels, publisher, journal };
    let together = mover.set_together(step).await?;
    for planned in published(step) {
        let was_set = together.contains(&&planned.tag);
        changes.push(mover.set(planned, was_set).await.map_err(|problem| made_by(planned, problem))?);
        mover.note_settled(planned)?;
    }
    Ok(())
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
    let (document, repository, labels, journal) = (OnceCell::new(), &repository, &labels, None);
    let mover = Mover { repository, name: &name, image, document, labels, publisher, journal };
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
                    Verdict::Move | Verdict::Conflict => (image.digest, TagResult::Moved),
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
fn made_by(planned: &PlannedTag, problem: Problem) -> Problem {
    if problem.labels.is_empty() { problem.label(planned.span, "this rule makes the tag") } else { problem }
}

/// The tags of a step that are for its registry.
pub(super) fn published(step: &TagStep) -> impl Iterator<Item = &PlannedTag> {
    step.tags.iter().filter(|planned| !planned.local)
}

/// Whether an immutable tag names this commit and not a version. One commit may
/// be released several times, from its branch and by its tag: each image says
/// which version it is, so they are not the same, and the first one keeps the name.
fn names_commit(planned: &PlannedTag, commit: Option<&str>) -> bool {
    let short = commit.and_then(|commit| commit.get(..7));
    let named = short.is_some_and(|short| planned.tag.as_str().contains(short));
    named && planned.movement == Movement::Immutable && planned.rule != "semver"
}

fn conflict(repository: &str, planned: &PlannedTag, held: Digest, ours: Digest) -> Problem {
    let title = format!("`{repository}:{}` holds another image and never changes", planned.tag);
    Problem::new(Code::ImmutableTag, title)
        .label(planned.span, "this rule makes an immutable tag")
        .note(format!("it holds {held}, this is {ours}"))
        .help("release it under another version")
}

/// Moves tags of one repository to one image.
struct Mover<'a> {
    repository: &'a Repository,
    /// As a user would name it.
    name: &'a str,
    image: &'a Descriptor,
    /// The image's manifest or index, as the repository has it.
    document: OnceCell<Vec<u8>>,
    labels: &'a Labels,
    publisher: &'a Publisher,
    /// Where is put down what is about to be done.
    journal: Option<&'a Journal>,
}

impl Mover<'_> {
    /// Sets the immutable tags that are not there, where a registry takes several at
    /// once; those that are there then. All others are left to [`set`](Self::set).
    async fn set_together<'t>(&self, step: &'t TagStep) -> Result<Vec<&'t Tag>, Problem> {
        let immutable = published(step).filter(|planned| planned.movement == Movement::Immutable);
        let immutable: Vec<&PlannedTag> = immutable.collect();
        if immutable.len() < 2 || !self.repository.may_take_tags() {
            return Ok(Vec::new());
        }
        let mut absent = Vec::new();
        for planned in immutable {
            if self.repository.resolve(planned.tag.as_str()).await?.is_none() {
                absent.push(planned);
            }
        }
        if absent.len() < 2 {
            return Ok(Vec::new());
        }
        for planned in &absent {
            self.note_moving(planned, None).await?;
        }
        let tags: Vec<&Tag> = absent.iter().map(|planned| &planned.tag).collect();
        let taken = self.repository.put_tags(&tags, (self.image, self.document().await?)).await;
        let mut set = Vec::new();
        for planned in absent.iter().filter(|planned| taken.contains(&planned.tag)) {
            // That it was taken is a claim.
            if self.read_back(planned).await? == Some(self.image.digest) {
                set.push(&planned.tag);
            }
        }
        Ok(set)
    }

    /// Sets a tag, unless it was not there and was set with others.
    async fn set(&self, planned: &PlannedTag, was_set: bool) -> Result<TagChange, Problem> {
        // What it held before it was set, once it was.
        let mut before = was_set.then_some(None);
        let mut found = None;
        for _ in 0..RACES {
            let (verdict, from) = self.look(planned).await?;
            let change = |to, result| TagChange {
                repository: self.name.to_owned(),
                tag: planned.tag.clone(),
                from,
                to,
                result,
            };
            match verdict {
                Verdict::Already => {
                    let already = change(self.image.digest, TagResult::Already);
                    return Ok(match before {
                        Some(from) => TagChange { from, result: TagResult::Moved, ..already },
                        None => already,
                    });
                }
                Verdict::Keep(reason) => {
                    return Ok(change(from.unwrap_or(self.image.digest), TagResult::Kept(reason)));
                }
                Verdict::Conflict => return Err(self.lost(planned, from)),
                // It was ours, and is somebody else's again: two who each
                // think that they are right would go on for ever.
                Verdict::Move if before.is_some() => return Err(self.lost(planned, from)),
                Verdict::Move => {}
            }
            self.note_moving(planned, from).await?;
            if !self.swap(planned, from).await? {
                found = from;
                continue;
            }
            before = Some(from);
            let shown = self.read_back(planned).await;
            found = shown.map_err(|problem| self.unknown(planned, problem))?;
            if found == Some(self.image.digest) {
                return Ok(change(self.image.digest, TagResult::Moved));
            }
        }
        Err(self.lost(planned, found))
    }

    /// Puts down that a tag is about to be set, before it is, where it may be still.
    async fn note_moving(&self, planned: &PlannedTag, from: Option<Digest>) -> Result<(), Problem> {
        let Some(journal) = self.journal else { return Ok(()) };
        journal.hold().await?;
        journal.moving(self.name, planned.tag.as_str(), from)
    }

    fn note_settled(&self, planned: &PlannedTag) -> Result<(), Problem> {
        self.journal.map_or(Ok(()), |journal| journal.settled(self.name, planned.tag.as_str()))
    }

    async fn document(&self) -> Result<&[u8], Problem> {
        self.document.get_or_try_init(|| self.repository.read(self.image)).await.map(Vec::as_slice)
    }

    /// What is to become of a tag, and what it holds.
    async fn look(&self, planned: &PlannedTag) -> Result<(Verdict, Option<Digest>), Problem> {
        let held = self.held(planned).await?;
        let from = held.as_ref().map(|held| held.digest);
        Ok((self.judge(planned, held.as_ref()).await, from))
    }

    /// Sets a tag, if it still holds what is expected; `false` if it does not.
    async fn swap(&self, planned: &PlannedTag, from: Option<Digest>) -> Result<bool, Problem> {
        let document = self.document().await?;
        let problem = match self.repository.swap_tag(&planned.tag, from, (self.image, document)).await {
            Ok(swapped) => return Ok(swapped),
            Err(problem) => problem,
        };
        // It may be the answer that was lost, and not the tag.
        match self.repository.resolve(planned.tag.as_str()).await.map(|found| found.map(|found| found.digest))
        {
            Ok(found) if found == Some(self.image.digest) => Ok(true),
            Ok(found) if found == from => Err(problem),
            _ => Err(self.unknown(planned, problem)),
        }
    }

    /// A tag may have been set.
    fn unknown(&self, planned: &PlannedTag, problem: Problem) -> Problem {
        let unknown = format!("whether `{}:{}` was set is not known", self.name, planned.tag);
        Problem { code: Code::HalfReleased, ..problem }.note(unknown)
    }

    /// What a tag holds; labels are read where the verdict depends on them.
    async fn held(&self, planned: &PlannedTag) -> Result<Option<Held>, Problem> {
        let Some(found) = self.repository.resolve(planned.tag.as_str()).await? else { return Ok(None) };
        let compared = names_commit(planned, self.labels.revision.as_deref())
            || matches!(planned.movement, Movement::Moving(Track::Branch | Track::Version { .. }));
        let labels = if compared && found.digest != self.image.digest {
            Labels::read(self.repository, &found).await?
        } else {
            Labels::default()
        };
        Ok(Some(Held { digest: found.digest, labels }))
    }

    async fn judge(&self, planned: &PlannedTag, held: Option<&Held>) -> Verdict {
        let ours = self.labels.revision.as_deref();
        let other = held.filter(|held| held.digest != self.image.digest && names_commit(planned, ours));
        if other.is_some_and(|held| held.labels.revision.as_deref() == ours) {
            return Verdict::Keep("it names this commit already, by an image released before".to_owned());
        }
        let kinship = match planned.movement {
            Movement::Moving(Track::Branch) => self.kinship(held).await,
            _ => None,
        };
        match judge(&planned.movement, held, self.image.digest, kinship) {
            Verdict::Keep(_) if self.publisher.may_regress() => Verdict::Move,
            Verdict::Keep(reason) => {
                Verdict::Keep(format!("{reason}; `--allow-regress` moves it all the same"))
            }
            verdict => verdict,
        }
    }

    /// How the image's commit stands to that of what a tag holds, if both name one.
    async fn kinship(&self, held: Option<&Held>) -> Option<Kinship> {
        let held = held.filter(|held| held.digest != self.image.digest && !self.publisher.may_regress())?;
        let commit = |labels: &Labels| labels.revision.clone().filter(|revision| is_commit(revision));
        Some(self.publisher.kinship(commit(self.labels)?, commit(&held.labels)?).await)
    }

    /// What a tag shows that was just set.
    async fn read_back(&self, planned: &PlannedTag) -> Result<Option<Digest>, Problem> {
        let mut wait = LAG;
        for read in 1.. {
            let found = self.repository.resolve(planned.tag.as_str()).await?.map(|found| found.digest);
            if found == Some(self.image.digest) || read == READS {
                return Ok(found);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Ok(None)
    }

    /// A tag does not hold what it was set to.
    fn lost(&self, planned: &PlannedTag, found: Option<Digest>) -> Problem {
        if let (Movement::Immutable, Some(found)) = (&planned.movement, found) {
            return conflict(self.name, planned, found, self.image.digest);
        }
        let title = format!("`{}:{}` was moved by somebody else", self.name, planned.tag);
        let shown = found.map_or("nothing".to_owned(), |found| found.to_string());
        Problem::new(Code::Registry, title)
            .label(planned.span, "this rule makes the tag")
            .note(format!("it holds {shown}, this is {}", self.image.digest))
    }
}

/// Says what stands, if anything does, and what each of the other tags holds.
async fn half_released(
    step: &TagStep,
    image: &Descriptor,
    (repository, journal): (&Repository, Option<&Journal>),
    changes: &[TagChange],
    cause: Problem,
) -> Problem {
    let name = place(&step.registry);
    let mut stands = false;
    let mut notes = Vec::new();
    for (planned, change) in published(step).zip(changes.iter().map(Some).chain(std::iter::repeat(None))) {
        let tag = &planned.tag;
        let held = match change {
            Some(TagChange { result: TagResult::Kept(_), to, .. }) => {
                notes.push(format!("`{name}:{tag}` was not moved: it holds {to}"));
                continue;
            }
            Some(change) => Ok(Some(change.to)),
            None => repository.resolve(tag.as_str()).await.map(|held| held.map(|held| held.digest)),
        };
        notes.push(match held {
            Ok(Some(held)) if held == image.digest => {
                stands = true;
                format!("`{name}:{tag}` holds {held} now")
            }
            Ok(held) => {
                if cause.code == Code::Unauthorized {
                    // What is not put down is looked at once more by whoever goes on.
                    let _unsaid = journal.map(|journal| journal.refused(&name, tag.as_str()));
                }
                match held {
                    Some(held) => format!("`{name}:{tag}` was not moved: it holds {held}"),
                    None => format!("`{name}:{tag}` was not set: it is not there"),
                }
            }
            Err(_) => format!("`{name}:{tag}` cannot be read: whether it was set is not known"),
        });
    }
    if !stands && cause.code != Code::HalfReleased {
        // Unless it was refused, that it was begun is put down all the same.
        let begun = journal.is_none_or(|journal| !journal.is_untouched());
        return Problem { help: cause.help.or_else(|| begun.then(|| RESUME.to_owned())), ..cause };
    }
    let title = format!("`{name}` was tagged in part: {}", cause.title);
    let problem = Problem { code: Code::HalfReleased, title, ..cause };
    let problem = notes.into_iter().fold(problem, Problem::note);
    problem.help(RESUME)
}
