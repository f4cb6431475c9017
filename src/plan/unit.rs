//! Steps before facts are known: which there are, and what they are called.

use indexmap::IndexMap;

use crate::config::{Deploy, Image, Push, Release, Stage, Target};
use crate::diagnostic::{Code, Problem, Spanned};
use crate::oci::Platform;
use crate::plan::entering::is_of_stage;
use crate::plan::{StepId, Verb};

/// A step, by the place of its declaration in the release that it is about: the
/// numbers are made by this station and always in bounds. The order is that of the declarations, and
/// of the work on an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Unit {
    /// A target, for one combination of its matrix.
    Target { target: usize, row: usize },
    /// Work on an image.
    Image { image: usize, job: Job },
    /// Work of a stage.
    Stage { stage: usize, job: StageJob },
}

/// Work on an image; the numbers are positions in its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Job {
    Build(usize),
    Index,
    Test,
    Budget,
    Scan(usize),
    Push(usize),
    Sign(usize),
    Attest(usize),
    Tag(usize),
}

/// Work of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum StageJob {
    /// Puts down that it runs its images.
    Enter,
    /// By its position.
    Deploy(usize),
    Verify,
    /// Attaches what was put down to its images.
    Record,
}

/// A registry that an image is published to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel<'a> {
    /// Name of the registry.
    pub(super) name: &'a str,
    /// The declaration; `None` for the layout that stands in where the file
    /// declares no registry, and for the registry of a stage.
    pub(super) push: Option<&'a Push>,
    /// It belongs to stages alone: the image goes there when one of them is entered.
    pub(super) of_stages: bool,
}

/// Name and directory of the registry of a file that declares none.
pub(super) const DEFAULT_REGISTRY: (&str, &str) = ("layout", ".hoist/images");

/// Most combinations of one matrix.
const MOST_ROWS: usize = 1000;

impl Job {
    pub(super) const fn verb(self) -> Verb {
        match self {
            Self::Build(_) => Verb::Build,
            Self::Index => Verb::Index,
            Self::Test => Verb::Test,
            Self::Budget => Verb::Budget,
            Self::Scan(_) => Verb::Scan,
            Self::Push(_) => Verb::Push,
            Self::Sign(_) => Verb::Sign,
            Self::Attest(_) => Verb::Attest,
            Self::Tag(_) => Verb::Tag,
        }
    }

    /// The registry that it changes.
    pub(super) const fn channel(self) -> Option<usize> {
        match self {
            Self::Push(at) | Self::Sign(at) | Self::Attest(at) | Self::Tag(at) => Some(at),
            _ => None,
        }
    }

    /// Whether it must have succeeded before any tag of the plan becomes visible.
    pub(super) const fn comes_before_tags(self) -> bool {
        !matches!(self, Self::Build(_) | Self::Index | Self::Tag(_))
    }
}

impl StageJob {
    pub(super) const fn verb(self) -> Verb {
        match self {
            Self::Enter => Verb::Enter,
            Self::Deploy(_) => Verb::Deploy,
            Self::Verify => Verb::Verify,
            Self::Record => Verb::Record,
        }
    }
}

impl Unit {
    /// Whether others see what it does.
    pub(super) const fn publishes(self) -> bool {
        match self {
            Self::Target { .. } => false,
            Self::Image { job, .. } => job.channel().is_some(),
            Self::Stage { .. } => true,
        }
    }

    /// Its name, where `default` is what images without platforms are built for.
    pub(super) fn id(self, release: &Release, default: &Platform) -> StepId {
        match self {
            Self::Target { target, row } => {
                let target = &release.targets[target];
                let values = row_values(target, row);
                let cells: Vec<String> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let name = &target.name.value;
                StepId::target(if cells.is_empty() {
                    name.clone()
                } else {
                    format!("{name}[{}]", cells.join(","))
                })
            }
            Self::Image { image, job } => {
                let image = &release.images[image];
                let qualifier = match job {
                    Job::Build(at) => Some(platform(image, at, default).to_string()),
                    Job::Index | Job::Test | Job::Budget => None,
                    Job::Scan(at) => image.scans.get(at).map(|scan| scan.scanner.value.clone()),
                    Job::Push(at) | Job::Sign(at) | Job::Attest(at) | Job::Tag(at) => {
                        channels(release, image).get(at).map(|channel| channel.name.to_owned())
                    }
                };
                StepId::of(&image.name.value, job.verb(), qualifier)
            }
            Self::Stage { stage, job } => {
                let stage = &release.stages[stage];
                let qualifier = match job {
                    StageJob::Deploy(at) => deploy_name(stage, at),
                    StageJob::Enter | StageJob::Verify | StageJob::Record => None,
                };
                StepId::of(&stage.name.value, job.verb(), qualifier)
            }
        }
    }
}

/// The kind of a deployment, numbered where a stage has several of it.
fn deploy_name(stage: &Stage, at: usize) -> Option<String> {
    let kind = deploy_kind(&stage.deploys.get(at)?.value);
    let earlier = stage.deploys.iter().take(at).filter(|other| deploy_kind(&other.value) == kind).count();
    Some(if earlier == 0 { kind.to_owned() } else { format!("{kind}-{}", earlier + 1) })
}

fn deploy_kind(deploy: &Deploy) -> &'static str {
    match deploy {
        Deploy::Gitops { .. } => "gitops",
        Deploy::Kubectl { .. } => "kubectl",
        Deploy::Compose { .. } => "compose",
        Deploy::Run(_) => "run",
    }
}

/// The platform of a build, where `default` stands in for none declared.
pub(super) fn platform<'a>(image: &'a Image, at: usize, default: &'a Platform) -> &'a Platform {
    image.platforms.get(at).map_or(default, |platform| &platform.value)
}

/// Where an image is published.
pub(super) fn channels<'a>(release: &'a Release, image: &'a Image) -> Vec<Channel<'a>> {
    if release.registries.is_empty() {
        return vec![Channel { name: DEFAULT_REGISTRY.0, push: None, of_stages: false }];
    }
    let declared = image.push.iter();
    let declared =
        declared.map(|push| Channel { name: &push.registry.value, push: Some(push), of_stages: false });
    let mut channels: Vec<Channel<'a>> = declared.collect();
    for stage in release.stages.values().filter(|stage| is_of_stage(release, stage, image)) {
        let Some(name) = stage.registry.as_ref().map(|name| name.value.as_str()) else { continue };
        if channels.iter().all(|known| known.name != name) {
            channels.push(Channel { name, push: None, of_stages: true });
        }
    }
    channels
}

/// All work on an image, in order.
pub(super) fn image_jobs(release: &Release, image: &Image) -> Vec<Job> {
    let mut jobs: Vec<Job> = (0..image.platforms.len().max(1)).map(Job::Build).collect();
    jobs.push(Job::Index);
    if !image.tests.is_empty() || !image.expects.is_empty() {
        jobs.push(Job::Test);
    }
    jobs.extend(image.budget.is_some().then_some(Job::Budget));
    jobs.extend((0..image.scans.len()).map(Job::Scan));
    let channels = channels(release, image).len();
    jobs.extend((0..channels).map(Job::Push));
    if !image.signs.is_empty() {
        jobs.extend((0..channels).map(Job::Sign));
    }
    if attests(image) {
        jobs.extend((0..channels).map(Job::Attest));
    }
    jobs.extend((0..channels).map(Job::Tag));
    jobs
}

/// Whether anything is attached to an image.
pub(super) fn attests(image: &Image) -> bool {
    image.sbom.is_some() || image.provenance.as_ref().is_some_and(|wanted| wanted.value)
}

/// All work of a stage, in order.
pub(super) fn stage_jobs(stage: &Stage) -> Vec<StageJob> {
    let mut jobs = vec![StageJob::Enter];
    jobs.extend(stage.record.is_some_and(|wanted| wanted.value).then_some(StageJob::Record));
    jobs.extend((0..stage.deploys.len()).map(StageJob::Deploy));
    jobs.extend(stage.verify.is_some().then_some(StageJob::Verify));
    jobs
}

/// How many steps a target has.
///
/// # Errors
/// A matrix of more combinations than a plan holds.
pub(super) fn rows(target: &Target) -> Result<usize, Problem> {
    let sizes = target.matrix.values().map(Vec::len);
    let product = sizes.into_iter().try_fold(1usize, usize::checked_mul);
    product.filter(|rows| *rows <= MOST_ROWS).ok_or_else(|| {
        let title = format!("the matrix of `{}` has more than {MOST_ROWS} combinations", target.name.value);
        Problem::new(Code::InvalidValue, title).label(target.name.span, "declared here")
    })
}

/// The values of one combination of a matrix: the last key varies fastest.
pub(super) fn row_values(target: &Target, row: usize) -> IndexMap<String, String> {
    let mut rest = row;
    let mut values: Vec<(String, String)> = Vec::with_capacity(target.matrix.len());
    for (key, choices) in target.matrix.iter().rev() {
        let at = rest.checked_rem(choices.len()).unwrap_or_default();
        rest = rest.checked_div(choices.len()).unwrap_or_default();
        values.extend(choices.get(at).map(|choice| (key.clone(), choice.value.clone())));
    }
    values.into_iter().rev().collect()
}

/// `text` with `{key}` of a matrix replaced by its value; in a pattern a value
/// stands for itself whatever its characters are.
pub(super) fn fill_matrix(text: &Spanned<String>, values: &IndexMap<String, String>) -> Spanned<String> {
    let fill = |text: String, (key, value): (&String, &String)| {
        text.replace(&format!("{{{key}}}"), &globset::escape(value))
    };
    Spanned::new(values.iter().fold(text.value.clone(), fill), text.span)
}
