//! Moving the tags of one repository, where others may move them at the same time.

use std::time::Duration;

use semver::Version;
use tokio::sync::OnceCell;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, Tag};
use crate::plan::TagStep;
use crate::release::history::{Kinship, is_commit};
use crate::release::journal::Journal;
use crate::release::label::Labels;
use crate::release::lag::{PATIENCE, read_back};
use crate::release::publisher::Publisher;
use crate::release::rivals::Rivals;
use crate::release::tag::{TagChange, TagResult, published};
use crate::release::verdict::{Held, Verdict, judge, least_version, read_version};
use crate::store::Repository;
use crate::tags::{Movement, PlannedTag, Track};

/// As [`PATIENCE`], where it is set once more if it does not.
const SHORT: Duration = Duration::from_secs(3);
/// How often a tag is looked at again because somebody else just moved it.
const RACES: u32 = 5;
/// How long whoever releases a higher version is given to set the tags of that.
const SETTLE: Duration = Duration::from_secs(2);

/// Moves tags of one repository to one image.
pub(super) struct Mover<'a> {
    pub(super) step: &'a TagStep,
    pub(super) repository: &'a Repository,
    /// As a user would name it.
    pub(super) name: &'a str,
    pub(super) image: &'a Descriptor,
    /// The image's manifest or index, as the repository has it.
    document: OnceCell<Vec<u8>>,
    labels: &'a Labels,
    publisher: &'a Publisher,
    /// Where is put down what is about to be done.
    pub(super) journal: Option<&'a Journal>,
    /// The versions that were there before the first tag was moved that follows them;
    /// none where they cannot be listed.
    rivals: OnceCell<Option<Rivals>>,
}

impl<'a> Mover<'a> {
    /// For an image, and what it says of itself, in a repository and what that is called.
    pub(super) fn new(
        (step, image): (&'a TagStep, &'a Descriptor),
        (repository, name): (&'a Repository, &'a str),
        labels: &'a Labels,
        publisher: &'a Publisher,
        journal: Option<&'a Journal>,
    ) -> Self {
        let (document, rivals) = (OnceCell::new(), OnceCell::new());
        Self { step, repository, name, image, document, labels, publisher, journal, rivals }
    }

    /// Sets the immutable tags that are not there, where a registry takes several at
    /// once; those that are there then. All others are left to [`set`](Self::set).
    pub(super) async fn set_together(&self) -> Result<Vec<Tag>, Problem> {
        let immutable = published(self.step).filter(|planned| planned.movement == Movement::Immutable);
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
            if self.read_back(planned, (None, self.image.digest), SHORT).await? == Some(self.image.digest) {
                set.push(planned.tag.clone());
            }
        }
        Ok(set)
    }

    /// Sets a tag, unless it was not there and was set with others.
    pub(super) async fn set(&self, planned: &PlannedTag, was_set: bool) -> Result<TagChange, Problem> {
        // What it held before it was set, once it was.
        let mut before = was_set.then_some(None);
        let (mut found, mut waited) = (None, false);
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
                // think that they are right would go on for ever. An order ends that.
                Verdict::Move if before.is_some() => return Err(self.lost(planned, from)),
                Verdict::Move | Verdict::Advance => {}
            }
            if !waited && self.is_contested(planned).await {
                waited = true;
                tokio::time::sleep(SETTLE).await;
                continue;
            }
            self.note_moving(planned, from).await?;
            if !self.swap(planned, from).await? {
                found = from;
                continue;
            }
            before = Some(from);
            let shown = self.read_back(planned, (from, self.image.digest), PATIENCE).await;
            found = shown.map_err(|problem| self.unknown(planned, problem))?;
            if found == Some(self.image.digest) {
                return Ok(change(self.image.digest, TagResult::Moved));
            }
            if found.is_none() || found == from {
                return Err(self.unshown(planned, found));
            }
        }
        Err(self.lost(planned, found))
    }

    /// What was there before of versions; none for who may not list tags.
    async fn rivals(&self) -> Result<Option<&Rivals>, Problem> {
        let list = async || match self.repository.tags().await {
            Ok(names) => Ok(Some(Rivals::new(self.step, names))),
            Err(problem) if matches!(problem.code, Code::Unauthorized | Code::NotFound) => Ok(None),
            Err(problem) => Err(problem),
        };
        Ok(self.rivals.get_or_try_init(list).await?.as_ref())
    }

    /// Whether somebody who overwrites what they do not see may be about to move a tag to
    /// a higher version that is there already.
    async fn is_contested(&self, planned: &PlannedTag) -> bool {
        let Some(than) = self.overwritten(planned) else { return false };
        let rivals = self.rivals().await.ok().flatten();
        rivals.is_some_and(|rivals| rivals.highest_known(than).is_some())
    }

    /// The version that a tag is moved to, and how many numbers of it the tag has, where
    /// a higher one may be overwritten unseen.
    fn overwritten<'t>(&self, planned: &'t PlannedTag) -> Option<(&'t Version, u8)> {
        match &planned.movement {
            Movement::Moving(Track::Version { version, numbers })
                if !self.repository.is_comparing() && !self.publisher.may_regress() =>
            {
                Some((version, *numbers))
            }
            _ => None,
        }
    }

    /// Moves on what was moved, and may have overwritten a higher version that was
    /// released since it was looked for.
    pub(super) async fn put_right<'t>(
        &self,
        changes: impl Iterator<Item = (&'t PlannedTag, &'t mut TagChange)>,
    ) -> Result<(), Problem> {
        let moved = changes.filter(|(_, change)| change.result == TagResult::Moved);
        let moved: Vec<_> = moved
            .filter_map(|(planned, change)| Some((planned, self.overwritten(planned)?, change)))
            .collect();
        let Some(rivals) = self.rivals.get().and_then(Option::as_ref).filter(|_| !moved.is_empty()) else {
            return Ok(());
        };
        let names = rivals.new_ones(self.repository.tags().await?);
        for (planned, (version, numbers), change) in moved {
            let (mut names, mut above) = (names.clone(), version.clone());
            for _ in 0..RACES {
                let Some((higher, name)) = rivals.highest(&names, (&above, numbers)) else { break };
                let Some(to) = self.raise(planned, (&higher, name)).await? else {
                    let no_version = name.to_owned();
                    names.retain(|name| *name != no_version);
                    continue;
                };
                let why = format!("{higher} was released meanwhile, which is higher than {version}");
                (change.to, change.result) = (to, TagResult::Kept(why));
                above = higher;
                names = rivals.new_ones(self.repository.tags().await?);
            }
        }
        Ok(())
    }

    /// Lets a tag hold a higher version than the one that it was just moved to, unless
    /// that is there no more or says that it is another; what it holds then.
    async fn raise(
        &self,
        planned: &PlannedTag,
        (higher, name): (&Version, &str),
    ) -> Result<Option<Digest>, Problem> {
        let says = async |image: &Descriptor| {
            let labels = Labels::read(self.repository, image).await?;
            Ok::<_, Problem>(labels.version.as_deref().and_then(read_version))
        };
        let Some(image) = self.repository.resolve(name).await? else { return Ok(None) };
        // What was built before it had a version says another, or none.
        let is_it = |version: Version| {
            version.cmp_precedence(higher).is_eq() || (is_pre(&version) && is_release_of(higher, &version))
        };
        if says(&image).await?.is_some_and(|version| !is_it(version)) {
            return Ok(None);
        }
        let document = self.repository.read(&image).await?;
        let mut from = None;
        for _ in 0..RACES {
            let held = self.repository.resolve(planned.tag.as_str()).await?;
            from = held.as_ref().map(|held| held.digest);
            if let Some(held) = held.filter(|held| held.digest != self.image.digest)
                && says(&held).await?.is_none_or(|version| version.cmp_precedence(higher).is_ge())
            {
                return Ok(Some(held.digest));
            }
            if self.repository.swap_tag(&planned.tag, from, (&image, &document)).await? {
                let found = self.read_back(planned, (from, image.digest), PATIENCE).await?;
                if found.is_none() || found == from {
                    return Err(self.unshown(planned, found));
                }
            }
        }
        Err(self.lost(planned, from))
    }

    /// Puts down that a tag is about to be set, before it is, where it may be still.
    async fn note_moving(&self, planned: &PlannedTag, from: Option<Digest>) -> Result<(), Problem> {
        let Some(journal) = self.journal else { return Ok(()) };
        journal.hold().await?;
        journal.moving(self.name, planned.tag.as_str(), from)
    }

    pub(super) fn note_settled(&self, planned: &PlannedTag) -> Result<(), Problem> {
        self.journal.map_or(Ok(()), |journal| journal.settled(self.name, planned.tag.as_str()))
    }

    async fn document(&self) -> Result<&[u8], Problem> {
        self.document.get_or_try_init(|| self.repository.read(self.image)).await.map(Vec::as_slice)
    }

    /// What is to become of a tag, and what it holds.
    pub(super) async fn look(&self, planned: &PlannedTag) -> Result<(Verdict, Option<Digest>), Problem> {
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
        if let Movement::Moving(Track::Back { from }) = &planned.movement
            && ![*from, self.image.digest].contains(&found.digest)
        {
            // What is left to somebody else has to be there: registries err.
            self.repository.read(&found).await?;
        }
        let compared = names_commit(planned, self.labels.revision.as_deref())
            || matches!(planned.movement, Movement::Moving(Track::Branch | Track::Version { .. }));
        let labels = if compared && found.digest != self.image.digest {
            Labels::read(self.repository, &found).await?
        } else {
            Labels::default()
        };
        let version = self.version_of(planned, found.digest, &labels).await?;
        Ok(Some(Held { digest: found.digest, labels, version }))
    }

    /// The version that a tag holds, where it follows versions: the one that the image says,
    /// or a higher one that it was promoted as and has the name of.
    async fn version_of(
        &self,
        planned: &PlannedTag,
        held: Digest,
        labels: &Labels,
    ) -> Result<Option<Version>, Problem> {
        let Movement::Moving(Track::Version { version, numbers }) = &planned.movement else {
            return Ok(None);
        };
        let said = labels.version.as_deref().and_then(least_version);
        let is_settled = labels.version.as_deref().and_then(read_version).is_some_and(|said| !is_pre(&said));
        let is_higher = said.as_ref().is_some_and(|said| said.cmp_precedence(version).is_gt());
        if held == self.image.digest || is_settled || is_higher || self.publisher.may_regress() {
            return Ok(said);
        }
        let rivals = self.rivals().await?;
        let names = rivals.map(|rivals| rivals.all_higher((version, *numbers))).unwrap_or_default();
        for (higher, name) in names {
            if self.repository.resolve(name).await?.is_some_and(|image| image.digest == held) {
                return Ok(Some(higher));
            }
        }
        Ok(said)
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
            // That a stage goes back is asked for; what others set is not its own.
            verdict if matches!(planned.movement, Movement::Moving(Track::Back { .. })) => verdict,
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

    /// See [`read_back`].
    async fn read_back(
        &self,
        planned: &PlannedTag,
        (from, to): (Option<Digest>, Digest),
        patience: Duration,
    ) -> Result<Option<Digest>, Problem> {
        read_back(self.repository, planned.tag.as_str(), (from, to), patience).await
    }

    /// The registry took a tag, and does not show it.
    fn unshown(&self, planned: &PlannedTag, found: Option<Digest>) -> Problem {
        let title = format!("`{}:{}` was set, and is not shown yet", self.name, planned.tag);
        let shown = found.map_or("it is not there".to_owned(), |found| format!("it still holds {found}"));
        Problem::new(Code::HalfReleased, title)
            .label(planned.span, "this rule makes the tag")
            .note(format!("the registry took it, and says {} s later that {shown}", PATIENCE.as_secs()))
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

/// Whether an immutable tag names this commit and not a version. One commit may
/// be released several times, from its branch and by its tag: each image says
/// which version it is, so they are not the same, and the first one keeps the name.
fn names_commit(planned: &PlannedTag, commit: Option<&str>) -> bool {
    let short = commit.and_then(|commit| commit.get(..7));
    let named = short.is_some_and(|short| planned.tag.as_str().contains(short));
    named && planned.movement == Movement::Immutable && planned.rule != "semver"
}

fn is_pre(version: &Version) -> bool {
    !version.pre.is_empty()
}

/// Whether a version is what a pre-release came before.
fn is_release_of(version: &Version, pre: &Version) -> bool {
    (version.major, version.minor, version.patch) == (pre.major, pre.minor, pre.patch)
}

pub(super) fn conflict(repository: &str, planned: &PlannedTag, held: Digest, ours: Digest) -> Problem {
    let title = format!("`{repository}:{}` holds another image and never changes", planned.tag);
    Problem::new(Code::ImmutableTag, title)
        .label(planned.span, "this rule makes an immutable tag")
        .note(format!("it holds {held}, this is {ours}"))
        .help("release it under another version")
}
