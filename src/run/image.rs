//! Carries out the steps of images.

mod measure;
mod publish;
mod record;
mod scanned;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use jiff::Timestamp;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

use crate::cache::{Cache, clock};
use crate::diagnostic::{Code, Problem, Problems};
use crate::engine::{self, Assembled, Weight};
use crate::facts::{Facts, KnownFiles, Stat};
use crate::inspect::{ImageReport, View, image, weigh};
use crate::oci::Descriptor;
use crate::plan::{
    Action, AssembleStep, BaseSource, BudgetStep, IndexStep, Plan, RemoteBase, SincePlan, Step, StepIndex,
    TagStep,
};
use crate::release::{Entrance, Journal, Publisher, TagChange, TagResult, Vouched, pull};
use crate::run::build::Builds;
use crate::run::command::Unsuccessful;
use crate::run::jobserver::Jobserver;
use crate::run::mask::Secrets;
use crate::run::place::Turn;
use crate::run::process::Halt;
use crate::run::seal::Seals;
use crate::run::teller::{Teller, Told};
use crate::run::test::Tests;
use crate::run::worker::blocking;
use crate::run::{Request, Reused, ScanFigures, TagMove, Unit};
use crate::store::{Layout, Repository};

/// What the image steps of a run share.
pub(super) struct Images {
    /// The project's directory.
    root: PathBuf,
    /// When the run began.
    now: Timestamp,
    pub(super) facts: Arc<Facts>,
    cache: Cache,
    /// Where built images lie.
    pub(super) built: Layout,
    secrets: Arc<Secrets>,
    pub(super) publisher: Arc<Publisher>,
    /// The places of what steps start.
    jobserver: Arc<Jobserver>,
    builds: Builds,
    pub(super) seals: Seals,
    /// Whether the tags of the whole run may be moved; asked once, before the
    /// first of them is.
    judged: OnceCell<Result<(), Unsuccessful>>,
    /// What tags hold, where none has to be moved.
    pub(super) looked: OnceLock<Vec<TagChange>>,
    /// Which stages are entered, if any are.
    pub(super) entrance: Option<Arc<Entrance>>,
    /// The name of the run.
    pub(super) run: String,
    /// What is about to become visible, once something is.
    journal: OnceLock<Arc<Journal>>,
    /// What vouches for the images of stages; looked for once.
    pub(super) vouched: OnceCell<Vec<Vouched>>,
    /// What became of tags, which move together.
    named: tokio::sync::Mutex<Named>,
    /// What became of the tags of each image.
    pub(super) tagged: Mutex<Vec<(StepIndex, TagChange)>>,
    /// Says that this run goes on, as long as it does.
    renewing: Mutex<JoinSet<()>>,
    /// Images, and places, in which others have all their immutable tags.
    pub(super) left: Mutex<BTreeSet<(StepIndex, String)>>,
    /// What was found in each image, when.
    scanned: Mutex<Vec<(StepIndex, Timestamp, ScanFigures)>>,
}

/// What became of tags that moved together.
#[derive(Default)]
struct Named {
    /// By the image, and where.
    changes: BTreeMap<(StepIndex, String), Vec<TagChange>>,
    /// Whether some could not be moved: then none is any more.
    failed: bool,
    /// Why, until a step has said it.
    problems: Problems,
}

/// What a step that succeeded leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Yielded {
    /// What it was to do, as far as it was not denied to.
    Partly,
    /// An image in the staging store, and how much of it had been made before, where
    /// anything of it was made.
    Image(Box<Descriptor>, Option<Reused>),
    /// No image.
    Nothing,
    /// What was there already: nothing was published.
    Again,
}

/// The images that are known when a step starts, by the steps that made them.
pub(super) type Known = HashMap<StepIndex, Descriptor>;

impl Images {
    /// Images of files of the project, built into the store of its cache.
    pub(super) fn new(
        request: &Request,
        secrets: Arc<Secrets>,
        publisher: Arc<Publisher>,
        jobserver: Arc<Jobserver>,
        record: &Path,
    ) -> Self {
        let run = record.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            root: request.root.clone(),
            now: request.host.now,
            facts: Arc::clone(&request.facts),
            cache: request.cache.clone(),
            built: request.cache.images().clone(),
            builds: Builds::new(request, Arc::clone(&secrets), Arc::clone(&publisher)),
            seals: Seals::new(request, Arc::clone(&publisher), run.clone()),
            secrets,
            publisher,
            jobserver,
            judged: OnceCell::new(),
            looked: OnceLock::new(),
            entrance: request.entrance.clone(),
            run,
            journal: OnceLock::new(),
            vouched: OnceCell::new(),
            named: tokio::sync::Mutex::default(),
            tagged: Mutex::default(),
            renewing: Mutex::default(),
            left: Mutex::default(),
            scanned: Mutex::default(),
        }
    }

    /// Carries out a step of an image, which has begun in its turn.
    ///
    /// # Errors
    /// What went wrong; or the step was asked to stop. The tags that were moved
    /// all the same come with both.
    pub(super) async fn act(
        &self,
        plan: &Plan,
        step: &Step,
        (known, turn): (&Known, &Turn),
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> (Vec<TagMove>, Result<Yielded, Unsuccessful>) {
        let made = match &step.action {
            Action::Assemble(assemble) => {
                let made = self.assemble(assemble, known, step, halt).await;
                made.map(|made| {
                    let reused = Reused::new(Unit::Layer, made.hits);
                    Yielded::Image(Box::new(made.image), Some(reused))
                })
            }
            Action::Dockerfile(build) => {
                let made = Box::pin(self.builds.build(build, step, known, halt, teller)).await;
                made.map(|(image, hits)| {
                    let reused = hits.map(|hits| Reused::new(Unit::Instruction, hits));
                    Yielded::Image(Box::new(image), reused)
                })
            }
            Action::Index(index) => {
                let made = self.index(index, known, step, halt, teller).await;
                made.map(|image| Yielded::Image(Box::new(image), None))
            }
            Action::Budget(budget) => match known.get(&budget.image) {
                Some(image) => self.weigh(budget, image, halt, teller).await.map(|()| Yielded::Nothing),
                None => Err(no_image(step)),
            },
            Action::Push(push) => match known.get(&push.image) {
                Some(image) => {
                    let pushed = self.push(plan, push, image, halt, teller).await;
                    pushed.map_err(|failed| at(step, "pushed by this", failed))
                }
                None => Err(no_image(step)),
            },
            Action::Sign(_) | Action::Attest(_) => {
                let sealed = self.seals.act(plan, step, known, halt, teller).await;
                sealed.map_err(|failed| at(step, "attached by this", failed))
            }
            Action::Tag(tag) => match known.get(&tag.image) {
                Some(_) => {
                    let (moved, tagged) = self.tag(plan, tag, known, halt, teller).await;
                    return (moved, tagged.map_err(|failed| at(step, "tagged by this", failed)));
                }
                None => Err(no_image(step)),
            },
            Action::Test(image_test) => match known.get(&image_test.image) {
                Some(image) => {
                    let tests = Tests { step: image_test, image, built: &self.built };
                    let tested = tests.run((&self.jobserver, turn), &self.secrets, halt, teller).await;
                    tested.map(|()| Yielded::Nothing)
                }
                None => Err(no_image(step)),
            },
            Action::Found(found) => {
                self.found(found, halt).await.map_err(|failed| at(step, "taken from a stage", failed))
            }
            Action::Enter(enter) => {
                let entered = self.enter(plan, enter, known, halt, teller).await;
                entered.map_err(|failed| at(step, "entered by this", failed))
            }
            Action::Record(record) => {
                let recorded = Box::pin(self.record(plan, record, known, halt, teller)).await;
                recorded.map_err(|failed| at(step, "asked for here", failed))
            }
            // These are carried out elsewhere, and have no image.
            Action::Group
            | Action::Skip(_)
            | Action::Command(_)
            | Action::Scan(_)
            | Action::Deploy(_)
            | Action::Verify(_)
            | Action::NotAvailable(_) => Err(no_image(step)),
        };
        (Vec::new(), made)
    }

    async fn assemble(
        &self,
        assemble: &AssembleStep,
        known: &Known,
        step: &Step,
        halt: &mut watch::Receiver<Halt>,
    ) -> Result<Assembled, Unsuccessful> {
        let base = match &assemble.base {
            BaseSource::Scratch => None,
            BaseSource::Layout(path, descriptor, _) => {
                let layout = Layout::open(self.root.join(path.as_path())).map_err(Unsuccessful::failed)?;
                Some((layout, (**descriptor).clone()))
            }
            BaseSource::Step(base) => {
                let image = known.get(base).ok_or_else(|| no_image(step))?;
                Some((self.built.clone(), image.clone()))
            }
            BaseSource::Registry(base) => {
                let pulled = pull(base, &assemble.platform, &self.publisher, &self.built);
                let at = |problem: Problem| problem.label(assemble.span, "the base of this image");
                unless(halt, pulled).await?.map_err(|problem| Unsuccessful::failed(at(problem)))?;
                Some((self.built.clone(), base.descriptor.clone()))
            }
        };
        let (assemble, root, built) = (assemble.clone(), self.root.clone(), self.built.clone());
        let (cache, facts, answer) = (self.cache.clone(), Arc::clone(&self.facts), step.answer);
        let work = move || {
            let base = base.as_ref().map(|(layout, descriptor)| (layout, descriptor));
            let fresh = known_files(&cache, &root, &facts, answer);
            let known = |path: &Path, stat: &Stat| {
                let path = path.strip_prefix(&root).ok()?;
                fresh.digest(path, stat).or_else(|| cache.known().digest(path, stat))
            };
            engine::assemble(&assemble, &root, base, &built, &known)
        };
        blocking(work).await.map_err(Unsuccessful::failed)
    }

    async fn index(
        &self,
        index: &IndexStep,
        known: &Known,
        step: &Step,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<Descriptor, Unsuccessful> {
        let manifests = index.platforms.iter().map(|(_, build)| known.get(build).cloned());
        let manifests: Vec<Descriptor> = manifests.collect::<Option<_>>().ok_or_else(|| no_image(step))?;
        if !index.local.is_empty() {
            unless(halt, self.builds.name(index, &manifests, teller)).await??;
        }
        let (index, built) = (index.clone(), self.built.clone());
        blocking(move || engine::index(&index, &manifests, &built)).await.map_err(Unsuccessful::failed)
    }

    async fn weigh(
        &self,
        step: &BudgetStep,
        descriptor: &Descriptor,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<(), Unsuccessful> {
        let (view, built) = (View { files: true, ..View::default() }, Repository::Layout(self.built.clone()));
        let report = image(&built, descriptor, &view).await.map_err(Unsuccessful::failed)?;
        for platform in &report.platforms {
            if let Some(files) = &platform.files {
                Weight::of(files).remember(&platform.manifest.digest, &self.built);
            }
        }
        let before = match &step.since {
            Some(since) => self.before(since, halt, teller).await?,
            None => None,
        };
        weigh(step, &report, before.as_ref()).map_err(Unsuccessful::Failed)
    }

    /// What an image is compared with, if there is something. A run that does not publish it
    /// may not be allowed to read what was published, as that of a fork: it says so.
    async fn before(
        &self,
        since: &SincePlan,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<Option<ImageReport>, Unsuccessful> {
        let found = match Box::pin(unless(halt, self.published(since))).await? {
            Err(problem) if since.required || !is_out_of_reach(&problem) => {
                return Err(Unsuccessful::failed(problem));
            }
            found => found,
        };
        let name = format!("{}:{}", since.registry.place, since.tag);
        let notice = match &found {
            Ok(Some(_)) => return Ok(found.ok().flatten()),
            Ok(None) => format!("`growth` has no bound: {name} is not there"),
            Err(problem) => {
                format!("`growth` is not looked at, for {name} cannot be read: {}", problem.sentence())
            }
        };
        teller.tell(Told::Notice(notice)).await;
        Ok(None)
    }

    /// What a tag of a registry holds.
    async fn published(&self, since: &SincePlan) -> Result<Option<ImageReport>, Problem> {
        let Some(repository) = self.publisher.look_to_read(&since.registry).await? else { return Ok(None) };
        let Some(found) = repository.resolve(since.tag.as_str()).await? else { return Ok(None) };
        image(&repository, &found, &View::default()).await.map(Some)
    }
}

/// Whether somebody who may read a registry, and reaches it, would know more.
fn is_out_of_reach(problem: &Problem) -> bool {
    matches!(problem.code, Code::Unauthorized | Code::Registry | Code::Unreachable)
}

/// What is known of the files of an answer and of what steps of this run made, of which
/// every change would show.
pub(super) fn known_files(cache: &Cache, root: &Path, facts: &Facts, answer: Option<usize>) -> KnownFiles {
    let clock = clock(&root.join(".hoist"));
    let mut known = cache.seen(clock);
    let inputs = answer.and_then(|at| facts.inputs.get(at));
    known.learn(inputs.into_iter().flat_map(|inputs| &inputs.files), clock);
    known
}

/// The steps whose images a step needs to know.
pub(super) fn images_of(plan: &Plan, step: &Step) -> Vec<StepIndex> {
    match &step.action {
        Action::Assemble(assemble) => match assemble.base {
            BaseSource::Step(base) => vec![base],
            _ => Vec::new(),
        },
        Action::Dockerfile(build) => build.images.iter().map(|(_, step)| *step).collect(),
        Action::Index(index) => index.platforms.iter().map(|(_, step)| *step).collect(),
        Action::Test(test) => vec![test.image],
        Action::Budget(budget) => vec![budget.image],
        Action::Scan(scan) => vec![scan.image],
        Action::Push(push) => vec![push.image],
        Action::Sign(sign) => vec![sign.image],
        Action::Attest(attest) => vec![attest.image],
        Action::Tag(_) => tag_steps(plan).map(|tag| tag.image).chain(entered(plan)).collect(),
        Action::Enter(enter) => enter.images.iter().map(|image| image.image).collect(),
        Action::Deploy(deploy) => deploy.images.iter().map(|image| image.image).collect(),
        Action::Verify(verify) => verify.images.iter().map(|image| image.image).collect(),
        Action::Record(record) => record.images.clone(),
        Action::Group | Action::Skip(_) | Action::Command(_) | Action::Found(_) | Action::NotAvailable(_) => {
            Vec::new()
        }
    }
}

fn remote_bases_of(step: &Step) -> Vec<&RemoteBase> {
    match &step.action {
        Action::Assemble(assemble) => match &assemble.base {
            BaseSource::Registry(base) => vec![base],
            _ => Vec::new(),
        },
        Action::Dockerfile(build) => build.bases.iter().collect(),
        _ => Vec::new(),
    }
}

/// The images of the stages that are entered.
fn entered(plan: &Plan) -> impl Iterator<Item = StepIndex> {
    plan.steps.iter().flat_map(|step| match &step.action {
        Action::Enter(enter) => enter.images.iter().map(|image| image.image).collect(),
        _ => Vec::new(),
    })
}

pub(super) fn tag_steps(plan: &Plan) -> impl Iterator<Item = &TagStep> {
    plan.steps.iter().filter_map(|step| match &step.action {
        Action::Tag(tag) => Some(&**tag),
        _ => None,
    })
}

/// The step that was to make the image made none: a fault of the plan.
pub(super) fn no_image(step: &Step) -> Unsuccessful {
    let problem = Problem::new(Code::NotFound, format!("`{}` has no image to work on", step.id));
    Unsuccessful::failed(problem.label(step.span, "the step that was to make it made none"))
}

/// Shows problems that show no place at a step.
fn at(step: &Step, what: &str, failed: Unsuccessful) -> Unsuccessful {
    let Unsuccessful::Failed(problems) = failed else { return failed };
    let shown = |problem: Problem| {
        if problem.labels.is_empty() { problem.label(step.span, what) } else { problem }
    };
    let mut placed = Problems::new();
    placed.extend(problems.into_iter().map(shown));
    Unsuccessful::Failed(placed)
}

fn moved(change: TagChange) -> TagMove {
    let TagChange { repository, tag, from, to, result } = change;
    let kept = match result {
        TagResult::Moved | TagResult::Already => None,
        TagResult::Kept(why) => Some(why),
    };
    let from = from.map(|digest| digest.to_string());
    TagMove { repository, tag: tag.to_string(), from, to: to.to_string(), kept }
}

/// What comes of some work that can be given up at any time, unless the step is asked to
/// stop.
pub(super) async fn unless<T>(
    halt: &mut watch::Receiver<Halt>,
    work: impl Future<Output = T>,
) -> Result<T, Unsuccessful> {
    tokio::select! {
        done = work => Ok(done),
        _ = halt.wait_for(|halt| *halt != Halt::No) => Err(Unsuccessful::Halted),
    }
}
