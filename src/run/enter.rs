//! Carries out the steps of stages.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::ProjectPath;
use crate::deploy::{Authorities, status_of};
use crate::diagnostic::{Code, Problem, Problems, Spanned};
use crate::facts::{short, without_credentials};
use crate::oci::{Descriptor, Digest};
use crate::plan::{
    Action, CommandStep, EnterStep, FoundStep, HttpProbe, Plan, PushStep, StageImage, Step, StepIndex,
    TagStep, VerifyStep,
};
use crate::release::{
    Entered, Entrance, EntryImage, EntryPlace, EntryTag, Held, Patience, Pushed, RESUME, Standing, TagChange,
    TagResult, Vouched, bring, check_tags, find, keep_alive_tag, push, vouched_at_targets,
};
use crate::run::Request;
use crate::run::command::Unsuccessful;
use crate::run::image::{Images, Known, Yielded, tag_steps, unless};
use crate::run::process::Halt;
use crate::run::room::Room;
use crate::run::teller::{Teller, Told};
use crate::run::worker::{Worker, blocking};
use crate::tags::{Movement, PlannedTag};

/// How long is waited before what does not hold is looked at again.
const PAUSE: Duration = Duration::from_secs(1);
/// What is left of the time for the last look.
const LAST: Duration = Duration::from_millis(200);

impl Images {
    /// Finds an image that a stage ran.
    pub(super) async fn found(
        &self,
        step: &FoundStep,
        halt: &mut watch::Receiver<Halt>,
    ) -> Result<Yielded, Unsuccessful> {
        let found = unless(halt, find(step, &self.publisher)).await?.map_err(Unsuccessful::failed)?;
        Ok(Yielded::Image(Box::new(found), None))
    }

    /// Brings an image to a registry: one that was found, from where it is.
    pub(super) async fn send(
        &self,
        plan: &Plan,
        step: &PushStep,
        image: &Descriptor,
    ) -> Result<Pushed, Problem> {
        let maker = plan.steps.get(step.image.0 as usize).map(|step| &step.action);
        match maker {
            Some(Action::Found(found)) => bring(step, found, &self.publisher, Arc::new(|_| ())).await,
            _ => push(step, image, &self.built, &self.publisher, Arc::new(|_| ())).await,
        }
    }

    /// Makes sure once more, before anything becomes visible, that all conditions are met.
    /// Returns where the stages stand, and one that somebody else enters; nothing where none
    /// is entered.
    pub(super) async fn check_stages(
        &self,
        plan: &Plan,
        known: &Known,
    ) -> Result<Option<(Standing, Option<Held>)>, Problems> {
        let Some(entrance) = self.entrance.clone() else { return Ok(None) };
        let vouched = self.vouched(plan, &entrance, known).await?;
        blocking(move || entrance.check(vouched.as_deref())).await.map(Some)
    }

    /// What vouches for the images of the stages where they were brought to, if a stage
    /// asks for that; looked for once.
    pub(super) async fn vouched(
        &self,
        plan: &Plan,
        entrance: &Entrance,
        known: &Known,
    ) -> Result<Option<Vec<Vouched>>, Problem> {
        if !entrance.asks_for_seals() {
            return Ok(None);
        }
        let known = |image: StepIndex| known.get(&image).cloned();
        let look = || vouched_at_targets(plan, entrance, known, &self.publisher);
        self.vouched.get_or_try_init(look).await.map(|found| Some(found.clone()))
    }

    /// Keeps in mind what became of the tags of an image.
    pub(super) fn note_tags(&self, image: StepIndex, changes: &[TagChange]) {
        if let Ok(mut tagged) = self.tagged.lock() {
            tagged.extend(changes.iter().map(|change| (image, change.clone())));
        }
    }

    /// What became so far of the tags of all images.
    pub(super) fn tagged(&self) -> Vec<(StepIndex, TagChange)> {
        self.tagged.lock().map(|tagged| tagged.clone()).unwrap_or_default()
    }

    /// What became so far of the tags of an image.
    fn tags_of(&self, image: StepIndex) -> Vec<TagChange> {
        let Ok(tagged) = self.tagged.lock() else { return Vec::new() };
        tagged.iter().filter(|(of, _)| *of == image).map(|(_, change)| change.clone()).collect()
    }

    /// Puts down that a stage runs its images.
    pub(super) async fn enter(
        &self,
        plan: &Plan,
        step: &EnterStep,
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<Yielded, Unsuccessful> {
        let Some(entrance) = self.entrance.clone() else {
            let title = format!("`{}` is not entered by this run", step.stage);
            let problem = Problem::new(Code::NotAvailable, title);
            return Err(Unsuccessful::failed(
                problem.help("`hoist release` and `hoist promote` enter stages"),
            ));
        };
        let images: Vec<EntryImage> =
            step.images.iter().filter_map(|image| self.entered(plan, image, known)).collect();
        let images = self.with_scans(step, images);
        let failed = |problems: Problems| {
            let moved = self.moved_of(step);
            Unsuccessful::Failed(half_entered(&step.stage, &moved, problems))
        };
        if !self.has_journal() {
            // No tag is set: it is not known yet whether the conditions are met.
            let stands = self.check_stages(plan, known).await.map_err(failed)?;
            if let Some((standing, _)) = stands {
                self.begin_without_tags(plan, known, &standing).map_err(Unsuccessful::failed)?;
            }
        }
        let vouched = self.vouched(plan, &entrance, known).await.map_err(|problem| failed(problem.into()))?;
        let Some(intent) = self.intent() else { return Ok(Yielded::Nothing) };
        let mut patience = Patience::new(&self.facts.environment);
        let follows = intent.entries.iter().find(|entry| entry.stage == step.stage);
        let follows = follows.and_then(|entry| entry.follows.clone());
        let mut looked = self.looked.get().map(|_| follows);
        loop {
            let (entrance, intent, stage) = (Arc::clone(&entrance), intent.clone(), step.stage.clone());
            let (put, vouched, seen) = (images.clone(), vouched.clone(), looked.clone());
            let entered =
                blocking(move || entrance.enter((&intent, &stage, seen.as_ref()), &put, vouched.as_deref()))
                    .await;
            match entered.map_err(failed)? {
                Entered::Already => {
                    self.note_entered(&step.stage).map_err(Unsuccessful::failed)?;
                    self.keep_right();
                    return Ok(Yielded::Again);
                }
                Entered::As(id) => {
                    self.note_entered(&step.stage).map_err(Unsuccessful::failed)?;
                    self.keep_right();
                    let short = short(&id);
                    teller.tell(Told::Notice(format!("entry {short} of the ledger"))).await;
                    return Ok(Yielded::Nothing);
                }
                Entered::Changed(last) => {
                    unless(halt, self.look_again(plan, step, known)).await?.map_err(failed)?;
                    looked = Some(last);
                }
                Entered::Busy(held) => match self.wait(&mut patience, &held, halt, teller).await {
                    Err(Unsuccessful::Failed(problems)) => return Err(failed(problems)),
                    waited => waited?,
                },
            }
        }
    }

    /// The tags of all images that are known by now.
    pub(super) fn tags_known<'a>(
        &self,
        plan: &'a Plan,
        known: &'a Known,
    ) -> Vec<(Cow<'a, TagStep>, &'a Descriptor)> {
        let steps = tag_steps(plan).filter_map(|step| Some((step, known.get(&step.image)?)));
        steps.flat_map(|(step, image)| self.by_image(plan, step, image)).collect()
    }

    /// The tags of a step, by the image that they are to hold: that of the step, and those
    /// that tags return to.
    pub(super) fn by_image<'a>(
        &self,
        plan: &Plan,
        step: &'a TagStep,
        image: &'a Descriptor,
    ) -> Vec<(Cow<'a, TagStep>, &'a Descriptor)> {
        let own = self.kept(plan, step, image);
        let mut returning: Vec<&Descriptor> = Vec::new();
        for other in step.tags.iter().filter_map(|planned| planned.returns.as_ref()) {
            if !returning.contains(&other) {
                returning.push(other);
            }
        }
        if returning.is_empty() {
            return vec![(own, image)];
        }
        let holding = |other: Option<&Descriptor>| {
            let tags = own.tags.iter().filter(|planned| planned.returns.as_ref() == other);
            Cow::Owned(TagStep { tags: tags.cloned().collect(), ..step.clone() })
        };
        let returned = returning.into_iter().map(|other| (holding(Some(other)), other));
        [(holding(None), image)].into_iter().chain(returned).collect()
    }

    /// Makes sure that the tags of a stage still hold its images, where somebody else entered
    /// it since they were seen to.
    async fn look_again(&self, plan: &Plan, step: &EnterStep, known: &Known) -> Result<(), Problems> {
        let all = self.tags_known(plan, known);
        let its = all.iter().filter(|(tag, _)| step.images.iter().any(|image| image.image == tag.image));
        let steps: Vec<(&TagStep, &Descriptor)> = its.map(|(tag, image)| (&**tag, *image)).collect();
        let changes = check_tags(&steps, &self.built, &self.publisher).await?;
        let Some(moved) = changes.iter().find(|change| change.result == TagResult::Moved) else {
            return Ok(());
        };
        let title = format!("`{}` was entered by somebody else since its tags were looked at", step.stage);
        let problem = Problem::new(Code::GateNotMet, title)
            .note(format!("`{}:{}` was moved; this run has set no tag", moved.repository, moved.tag));
        Err(problem.help("run the same again").into())
    }

    /// The tags that this run has set to images of a stage, and the images.
    fn moved_of(&self, step: &EnterStep) -> Vec<(String, Digest)> {
        let Ok(tagged) = self.tagged.lock() else { return Vec::new() };
        let its = tagged.iter().filter(|(image, change)| {
            change.result == TagResult::Moved && step.images.iter().any(|entered| entered.image == *image)
        });
        its.map(|(_, change)| (format!("{}:{}", change.repository, change.tag), change.to)).collect()
    }

    /// An image of a stage with the places where it is, and the tags that it has there.
    pub(super) fn entered(&self, plan: &Plan, image: &StageImage, known: &Known) -> Option<EntryImage> {
        let descriptor = known.get(&image.image)?;
        let changes = self.tags_of(image.image);
        let places = pushes(plan, image.image).map(|push| {
            let repository = push.registry.place.to_string();
            let set = changes.iter().filter(|change| {
                change.repository == repository && !matches!(change.result, TagResult::Kept(_))
            });
            let tags = set.map(|change| EntryTag {
                tag: change.tag.to_string(),
                immutable: self.is_immutable(plan, (image.image, descriptor), change.tag.as_str()),
                digest: Some(change.to).filter(|digest| *digest != descriptor.digest),
            });
            EntryPlace { registry: push.registry.name.clone(), tags: tags.collect(), repository }
        });
        Some(EntryImage {
            name: image.name.clone(),
            digest: descriptor.digest,
            media_type: descriptor.media_type.clone(),
            size: descriptor.size,
            tests: image.tests.clone(),
            scans: Vec::new(),
            places: places.collect(),
        })
    }

    fn is_immutable(&self, plan: &Plan, image: (StepIndex, &Descriptor), tag: &str) -> bool {
        let steps = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Tag(step) if step.image == image.0 => Some(self.kept(plan, step, image.1)),
            _ => None,
        });
        let mut tags = steps.flat_map(|step| step.into_owned().tags);
        tags.any(|planned| planned.tag.as_str() == tag && planned.movement == Movement::Immutable)
    }

    /// The tags of an image; where it enters a stage and none of them stays with it, with one
    /// more that does.
    pub(super) fn kept<'a>(&self, plan: &Plan, step: &'a TagStep, image: &Descriptor) -> Cow<'a, TagStep> {
        let stays = step.tags.iter().any(|planned| planned.movement == Movement::Immutable);
        let stays = stays && !self.left.lock().is_ok_and(|left| left.contains(&of(step)));
        match staying(plan, step, image).filter(|_| !stays) {
            Some(keep) => {
                let mut step = step.clone();
                step.tags.insert(0, keep);
                Cow::Owned(step)
            }
            None => Cow::Borrowed(step),
        }
    }

    /// Keeps in mind of which images all immutable tags are going to be left to others.
    /// Returns whether that is news.
    pub(super) fn note_left(&self, steps: &[(&TagStep, &Descriptor)], changes: &[TagChange]) -> bool {
        let is_left = |step: &TagStep, planned: &PlannedTag| {
            let place = step.registry.place.to_string();
            let its = |change: &&TagChange| change.repository == place && change.tag == planned.tag;
            changes.iter().find(its).is_some_and(|change| matches!(change.result, TagResult::Kept(_)))
        };
        let Ok(mut left) = self.left.lock() else { return false };
        let before = left.len();
        for (step, _) in steps {
            let immutable = step.tags.iter().filter(|planned| planned.movement == Movement::Immutable);
            let mut immutable = immutable.filter(|planned| !planned.local).peekable();
            if immutable.peek().is_some() && immutable.all(|planned| is_left(step, planned)) {
                left.insert(of(step));
            }
        }
        left.len() > before
    }
}

/// The tag that stays with an image that enters a stage, where no other does: some
/// registries drop an image whose last tag moved on, and a rollback needs it.
pub(super) fn staying(plan: &Plan, step: &TagStep, image: &Descriptor) -> Option<PlannedTag> {
    let enters = plan.steps.iter().any(|other| match &other.action {
        Action::Enter(enter) => enter.images.iter().any(|entered| entered.image == step.image),
        _ => false,
    });
    let span = step.tags.first().filter(|_| enters)?.span;
    let tag = keep_alive_tag(&image.digest)?;
    Some(PlannedTag { tag, rule: "keep", span, movement: Movement::Immutable, local: false, returns: None })
}

/// What tells a step of tags from others: the image, and where it has them.
pub(super) fn of(step: &TagStep) -> (StepIndex, String) {
    (step.image, step.registry.place.to_string())
}

/// The copies of an image to registries.
pub(super) fn pushes(plan: &Plan, image: StepIndex) -> impl Iterator<Item = &PushStep> {
    plan.steps.iter().filter_map(move |step| match &step.action {
        Action::Push(push) if push.image == image => Some(&**push),
        _ => None,
    })
}

/// Says that tags are visible of which the ledger does not know.
fn half_entered(stage: &str, moved: &[(String, Digest)], problems: Problems) -> Problems {
    let stands: Vec<String> =
        moved.iter().map(|(name, digest)| format!("`{name}` holds {digest} now")).collect();
    if stands.is_empty() {
        return problems;
    }
    let mut told = Problems::new();
    told.extend(problems.into_iter().map(|problem| {
        let title = format!("tags were set, and `{stage}` was not entered: {}", problem.title);
        let problem = Problem { code: Code::HalfReleased, title, ..problem };
        let problem = stands.iter().cloned().fold(problem, Problem::note);
        Problem { help: problem.help.or_else(|| Some(RESUME.to_owned())), ..problem }
    }));
    told
}

/// Commands of a stage, with its images in variables: `HOIST_IMAGE_WEB` is
/// `REPOSITORY@DIGEST`, `HOIST_DIGEST_WEB` the digest alone.
pub(super) fn with_images(command: &CommandStep, images: &[StageImage], known: &Known) -> CommandStep {
    let mut command = command.clone();
    for image in images {
        let Some(found) = known.get(&image.image) else { continue };
        let name = image.variable();
        let set = &mut command.variables.set;
        set.insert(format!("HOIST_DIGEST_{name}"), found.digest.to_string());
        if let Some(place) = &image.place {
            set.insert(format!("HOIST_IMAGE_{name}"), reference(place, found.digest));
        }
    }
    command
}

fn reference(place: &str, digest: Digest) -> String {
    format!("{place}@{digest}")
}

impl Worker {
    /// Runs commands of a stage, which make nothing that is kept.
    pub(super) async fn run_for_stage(
        &self,
        step: &Step,
        command: &CommandStep,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<(), Unsuccessful> {
        let mut standing = None;
        let mut room = Room::new(self.request(), (step, command), &step.definition, None, &mut standing);
        self.commands().run(&step.id.to_string(), command, (None, &mut room), halt, teller).await
    }

    /// Makes sure that a stage works: all that is asked for holds at one moment before the
    /// time is up.
    pub(super) async fn verify(
        &self,
        (step, check): (&Step, &VerifyStep),
        command: &CommandStep,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<Yielded, Unsuccessful> {
        let deadline = Instant::now() + check.within;
        let mut said = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let failed = match answers(check, &self.request().root, left, halt).await? {
                Ok(()) if command.commands.is_empty() => return Ok(Yielded::Nothing),
                Ok(()) => {
                    let command = CommandStep { timeout: Some(left), ..command.clone() };
                    match self.run_for_stage(step, &command, halt, teller).await {
                        Ok(()) => return Ok(Yielded::Nothing),
                        Err(Unsuccessful::Failed(problems)) => problems.into_iter().map(within).collect(),
                        Err(Unsuccessful::Halted) => return Err(Unsuccessful::Halted),
                    }
                }
                Err(problem) => problem.into(),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left <= LAST {
                return Err(Unsuccessful::Failed(failed));
            }
            let why = failed.as_slice().first().map(reason).unwrap_or_default();
            if why != said {
                teller.tell(Told::Notice(format!("not yet: {why}"))).await;
                said = why;
            }
            unless(halt, tokio::time::sleep(PAUSE.min(left.saturating_sub(LAST)))).await?;
        }
    }
}

/// What a command of `verify` failed of: how long it may take is not said by `timeout`.
fn within(problem: Problem) -> Problem {
    if problem.code == Code::TimedOut {
        problem.help("raise `within`, or find out what it waits for")
    } else {
        problem
    }
}

/// What does not hold, and how that was seen.
fn reason(problem: &Problem) -> String {
    let is_command = problem.code != Code::NotVerified;
    let seen = problem.labels.first().map(|label| label.text.as_str()).filter(|_| is_command);
    seen.map_or_else(|| problem.sentence(), |seen| format!("{}: {seen}", problem.title))
}

/// Makes sure that the certificates can be read by which stages are verified.
///
/// # Errors
/// All that cannot.
pub(super) fn check_authorities(request: &Request) -> Result<(), Problems> {
    let mut problems = Problems::new();
    let verified = request.plan.steps.iter().filter_map(|step| match &step.action {
        Action::Verify(verify) => Some(&verify.http),
        _ => None,
    });
    for ca in verified.flatten().filter_map(|probe| probe.ca.as_ref()) {
        problems.take(authority(&request.root, ca));
    }
    problems.or(())
}

/// Makes sure that what stages are going to run can be put down, before it is made. Of what is
/// there it is soon said, before anything is visible, that it is about to be: to try that before
/// would be to ask the remote once more.
///
/// # Errors
/// The remote does not take it.
pub(super) async fn check_ledger(request: &Request) -> Result<(), Problem> {
    let makes = request.plan.steps.iter().any(|step| {
        matches!(
            step.action,
            Action::Command(_)
                | Action::Assemble(_)
                | Action::Dockerfile(_)
                | Action::Test(_)
                | Action::Scan(_)
        )
    });
    let Some(entrance) = request.entrance.clone().filter(|_| makes) else { return Ok(()) };
    blocking(move || entrance.check_ledger()).await
}

/// The certificates of an authority of the release file.
fn authority(root: &Path, ca: &Spanned<ProjectPath>) -> Result<Authorities, Problem> {
    Authorities::read(&root.join(ca.value.as_path())).map_err(|why| {
        let title = format!("cannot use the certificates in `{}`", ca.value);
        Problem::new(Code::Unreadable, title).label(ca.span, "trusted by this").note(why)
    })
}

/// Whether every address answers as it has to.
async fn answers(
    step: &VerifyStep,
    root: &Path,
    left: Duration,
    halt: &mut watch::Receiver<Halt>,
) -> Result<Result<(), Problem>, Unsuccessful> {
    for HttpProbe { address, status: wanted, ca, span } in &step.http {
        let problem =
            |title: String| Problem::new(Code::NotVerified, title).label(*span, "this has to be answered");
        let trusted = match ca.as_ref().map(|ca| authority(root, ca)).transpose() {
            Ok(trusted) => trusted.unwrap_or_default(),
            Err(problem) => return Ok(Err(problem)),
        };
        // What is said goes into the ledger, too.
        let shown = without_credentials(address);
        match unless(halt, status_of(address, *wanted, trusted, left)).await? {
            Ok(status) if status == *wanted => {}
            Ok(status) => {
                return Ok(Err(problem(format!("`{shown}` answers {status}, and not {wanted}"))));
            }
            Err(why) => {
                return Ok(Err(
                    problem(format!("`{shown}` does not answer")).note(why.replace(address, &shown))
                ));
            }
        }
    }
    Ok(Ok(()))
}
