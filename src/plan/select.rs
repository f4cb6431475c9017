//! Goals to the steps that they need, and what must be known to plan them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::config::{
    Base, BuildContext, Command, Consulted, Dockerfile, GOALS, Image, Pattern, Place, ProjectPath, Recipe,
    Release, Target,
};
use crate::diagnostic::{Code, Problem, Problems, Span, Spanned};
use crate::facts::{ContextQuery, CopyQuery, InputQuery, Links, Needs, ToolQuery};
use crate::plan::Goals;
use crate::plan::edge::{Outline, Why};
use crate::plan::entering::{Entering, images_of_stage};
use crate::plan::files::{beside_outputs, filled, inputs_of};
use crate::plan::name::{Speaker, goal, is_explicit, resolve};
use crate::plan::unit::{Job, StageJob, Unit, channels, image_jobs, row_values, rows, stage_jobs};

/// What a run is to do, before facts are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// What must be known to plan it: the questions of targets in the order of
    /// their declaration, then those of images, by platform. Equal tools are
    /// asked for once.
    pub needs: Needs,
    /// The links that the paths of the release lead through.
    pub(super) links: Links,
    /// Whether a release is asked for as a whole.
    pub(super) release: bool,
    /// What is known of the stages that the run enters.
    pub(super) entering: Entering,
    /// The steps that the goals name.
    pub(super) roots: BTreeMap<Unit, Root>,
    /// Which answers belong to which step.
    pub(super) answers: BTreeMap<Unit, Answers>,
}

impl Selection {
    /// Whether some of its steps publish something, unless the event or the tree forbid
    /// it.
    #[must_use]
    pub fn publishes(&self) -> bool {
        self.answers.keys().any(|unit| unit.publishes())
    }

    /// Whether the event decides which stages are entered.
    #[must_use]
    pub const fn is_release(&self) -> bool {
        self.release
    }

    /// What is known of the stages that the run enters.
    #[must_use]
    pub const fn entering(&self) -> &Entering {
        &self.entering
    }
}

/// A step that a goal names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// The goal, where it names this very step, so that leaving it out would be
    /// wrong. A glob or `release` names what there is to do.
    pub(super) demanded: Option<Span>,
}

/// Positions in [`Needs`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) inputs: Option<usize>,
    pub(super) tools: Vec<usize>,
    pub(super) base: Option<usize>,
    pub(super) dockerfile: Option<usize>,
}

/// The steps that goals name, and what must be known to plan them; `links` are those among
/// the [places](crate::plan::places_of) of the release.
///
/// # Errors
/// Goals and needs that nothing has the name of; goals that are private.
pub fn select(release: &Release, goals: &Goals, links: &Links) -> Result<Selection, Problems> {
    select_entering(release, goals, links, Entering::default())
}

/// As [`select`], where it is known what enters stages: what is taken from another stage
/// is not built.
///
/// # Errors
/// As [`select`].
pub fn select_entering(
    release: &Release,
    goals: &Goals,
    links: &Links,
    entering: Entering,
) -> Result<Selection, Problems> {
    let mut problems = Problems::new();
    let mut roots = roots(release, goals, &mut problems);
    roots.retain(|unit, _| !is_spared(release, &entering, *unit));
    let links = beside_outputs(release, links);
    let outline = Outline::new(release, None, &links).entering(&entering);
    let mut reached: BTreeSet<Unit> = BTreeSet::new();
    let mut open: Vec<Unit> = roots.keys().rev().copied().collect();
    let mut generated: BTreeMap<Unit, BTreeSet<Unit>> = BTreeMap::new();
    while let Some(unit) = open.pop() {
        if !reached.insert(unit) {
            continue;
        }
        let edges = outline.needs(unit, &mut problems);
        let made = edges.iter().filter(|edge| matches!(edge.why, Why::Reads(..))).map(|edge| edge.to);
        generated.insert(unit, made.collect());
        open.extend(edges.iter().map(|edge| edge.to));
        open.extend(outline.finally(unit, &mut problems).iter().map(|(unit, _)| *unit));
    }
    let mut asking = Asking { release, needs: Needs::default(), tools: HashMap::new() };
    let answers = reached.iter().map(|unit| (*unit, asking.ask(*unit, &generated))).collect();
    let is_release = match goals {
        Goals::Release => true,
        Goals::Named(names) => names.iter().any(|name| means_release(release, &name.value)),
        Goals::Default => release.default.iter().any(|name| means_release(release, &name.value)),
        Goals::All | Goals::Stage(_) => false,
    };
    let needs = Needs { commit_only: commit_only(release, &reached), ..asking.needs };
    problems.or(Selection { needs, links, release: is_release, entering, roots, answers })
}

/// Whether it is work on an image that is there already, and passed all that is asked
/// of it.
pub(super) fn is_spared(release: &Release, entering: &Entering, unit: Unit) -> bool {
    let Unit::Image { image, job } = unit else { return false };
    let promoted = entering.promoted(&release.images[image]).is_some();
    promoted && !matches!(job, Job::Index | Job::Push(_) | Job::Tag(_))
}

/// Whether the steps depend on no more of git than the commit.
fn commit_only(release: &Release, reached: &BTreeSet<Unit>) -> bool {
    reached.iter().all(|unit| matches!(unit, Unit::Target { .. })) && Consulted::of(release).commit_only()
}

fn means_release(release: &Release, name: &str) -> bool {
    name == "release" && release.declared(name).is_none()
}

fn roots(release: &Release, goals: &Goals, problems: &mut Problems) -> BTreeMap<Unit, Root> {
    let mut roots = BTreeMap::new();
    let undemanded = |unit| (unit, Root { demanded: None });
    match goals {
        Goals::All => roots.extend(everything(release, problems).into_iter().map(undemanded)),
        Goals::Release => {
            roots.extend(
                problems.take(published(release, None)).unwrap_or_default().into_iter().map(undemanded),
            );
        }
        Goals::Stage(name) => {
            if let Some((at, _, stage)) = release.stages.get_full(name.as_str()) {
                let images = images_of_stage(release, stage);
                let of_images = images.flat_map(|(image, declared)| all_jobs(release, image, declared));
                let of_stage = stage_jobs(stage).into_iter().map(|job| Unit::Stage { stage: at, job });
                roots.extend(of_images.chain(of_stage).map(undemanded));
            }
        }
        Goals::Default if release.default.is_empty() => problems.push(nothing_named(release)),
        Goals::Default => named(release, &release.default, Speaker::File, &mut roots, problems),
        Goals::Named(names) => named(release, names, Speaker::User, &mut roots, problems),
    }
    roots
}

fn named(
    release: &Release,
    names: &[Spanned<String>],
    speaker: Speaker,
    roots: &mut BTreeMap<Unit, Root>,
    problems: &mut Problems,
) {
    for name in names {
        let is_goal = GOALS.contains(&name.value.as_str()) && release.declared(&name.value).is_none();
        let demanded = is_explicit(&name.value).then_some(name.span);
        let (units, demanded) = match (is_goal, name.value.as_str()) {
            (true, "release") => (published(release, Some(name.span)), None),
            (true, _) => (goal(release, name), demanded),
            (false, _) => (resolve(release, name, speaker), demanded),
        };
        for unit in problems.take(units).unwrap_or_default() {
            let root = roots.entry(unit).or_insert(Root { demanded });
            root.demanded = root.demanded.or(demanded);
        }
    }
}

fn nothing_named(release: &Release) -> Problem {
    let first = release.targets.values().find(|target| !target.private).map(|target| &target.name.value);
    let Some(name) = first.or_else(|| release.images.keys().next()) else {
        let title = "there is nothing to run: the file declares no target and no image";
        return Problem::new(Code::UnknownTarget, title).help("`hoist init --print` shows what it could say");
    };
    Problem::new(Code::UnknownTarget, "nothing is named to run, and the file has no `default`")
        .help(format!("type `hoist run {name}`, or write `default \"{name}\"` into the file"))
}

fn everything(release: &Release, problems: &mut Problems) -> Vec<Unit> {
    let mut units = Vec::new();
    for (target, declared) in release.targets.values().enumerate() {
        let rows = problems.take(rows(declared)).unwrap_or_default();
        units.extend((0..rows).map(|row| Unit::Target { target, row }));
    }
    let images = release.images.values().enumerate();
    units.extend(images.flat_map(|(image, declared)| all_jobs(release, image, declared)));
    units.extend(all_stages(release));
    units
}

fn all_jobs(release: &Release, image: usize, declared: &Image) -> Vec<Unit> {
    image_jobs(release, declared).into_iter().map(|job| Unit::Image { image, job }).collect()
}

fn all_stages(release: &Release) -> Vec<Unit> {
    let stages = release.stages.values().enumerate();
    stages
        .flat_map(|(stage, declared)| {
            stage_jobs(declared).into_iter().map(move |job: StageJob| Unit::Stage { stage, job })
        })
        .collect()
}

/// All that belongs to a release: the images that are published, and the stages.
fn published(release: &Release, asked: Option<Span>) -> Result<Vec<Unit>, Problem> {
    let images = release.images.values().enumerate();
    let images = images.filter(|(_, image)| !channels(release, image).is_empty());
    let units: Vec<Unit> = images.flat_map(|(at, image)| all_jobs(release, at, image)).collect();
    if units.is_empty() {
        let why = if release.images.is_empty() {
            "the file declares no image"
        } else {
            "no image declares a `push`"
        };
        let problem = Problem::new(Code::UnknownTarget, format!("there is nothing to release: {why}"));
        let problem = asked.into_iter().fold(problem, |problem, span| problem.label(span, ""));
        let problem = release
            .images
            .values()
            .fold(problem, |problem, image| problem.label(image.name.span, "built, and published nowhere"));
        return Err(problem.help("declare an `image`, and where it goes with `push`"));
    }
    Ok(units.into_iter().chain(all_stages(release)).collect())
}

/// Collects questions.
struct Asking<'a> {
    release: &'a Release,
    needs: Needs,
    /// Tools asked for, by all that tells them apart.
    tools: HashMap<String, usize>,
}

impl Asking<'_> {
    fn ask(&mut self, unit: Unit, generated: &BTreeMap<Unit, BTreeSet<Unit>>) -> Answers {
        let makers = generated.get(&unit).into_iter().flatten();
        let generated = makers.flat_map(|maker| outputs_of(self.release, *maker)).collect();
        match unit {
            Unit::Target { target, row } => self.ask_target(&self.release.targets[target], row, generated),
            Unit::Image { image, job: Job::Build(at) } => {
                self.ask_build(&self.release.images[image], at, generated)
            }
            _ => Answers::default(),
        }
    }

    fn ask_target(&mut self, target: &Target, row: usize, generated: Vec<Pattern>) -> Answers {
        let matrix = row_values(target, row);
        let inputs = target.inputs.is_some().then(|| {
            let patterns = inputs_of(target, row);
            self.input(InputQuery { patterns, generated, honour_ignore: true, ..InputQuery::default() })
        });
        let tool = |command: &Spanned<Command>| ToolQuery {
            owner: target.name.value.clone(),
            command: command.clone(),
            dir: target.dir.clone(),
            matrix: matrix.clone(),
            env: target.env.clone(),
            pass: target.pass_env.iter().map(|name| name.value.clone()).collect(),
        };
        let tools = target.tools.iter().map(tool).collect::<Vec<_>>();
        Answers {
            inputs,
            tools: tools.into_iter().map(|tool| self.tool(tool)).collect(),
            ..Answers::default()
        }
    }

    fn ask_build(&mut self, image: &Image, at: usize, generated: Vec<Pattern>) -> Answers {
        let recipe = match &image.recipe {
            Recipe::Assemble(recipe) => recipe,
            Recipe::Dockerfile(recipe) => return self.ask_dockerfile(recipe, generated),
        };
        let copies: Vec<_> = recipe.layers.iter().flat_map(|layer| &layer.copies).cloned().collect();
        let platform = image.platforms.get(at).map(|platform| platform.value.clone());
        let inputs = (!copies.is_empty()).then(|| {
            let copies = Some(CopyQuery { home: image.home.clone(), platform, copies });
            self.input(InputQuery { copies, generated, ..InputQuery::default() })
        });
        let base = matches!(recipe.from.value, Base::Layout { .. } | Base::Reference(_)).then(|| {
            self.needs.bases.push(recipe.from.clone());
            self.needs.bases.len() - 1
        });
        Answers { inputs, base, ..Answers::default() }
    }

    fn ask_dockerfile(&mut self, recipe: &Dockerfile, generated: Vec<Pattern>) -> Answers {
        self.needs.dockerfiles.push(recipe.path.clone());
        let dockerfile = Some(self.needs.dockerfiles.len() - 1);
        let Spanned { value, span } = &recipe.path;
        let glob = Spanned::new(value.to_string(), *span);
        let patterns = vec![Pattern { glob, negated: false }];
        let query = InputQuery {
            patterns,
            contexts: contexts_of(self.release, recipe),
            generated,
            ..InputQuery::default()
        };
        Answers { inputs: Some(self.input(query)), dockerfile, ..Answers::default() }
    }

    fn input(&mut self, query: InputQuery) -> usize {
        self.needs.inputs.push(query);
        self.needs.inputs.len() - 1
    }

    fn tool(&mut self, query: ToolQuery) -> usize {
        let command = match &query.command.value {
            Command::Script(script) => vec![script.clone()],
            Command::Argv(arguments) => arguments.iter().map(ToString::to_string).collect(),
        };
        let kind = matches!(query.command.value, Command::Script(_));
        let env: Vec<(&String, String)> =
            query.env.iter().map(|(name, value)| (name, value.to_string())).collect();
        let prefix = query.owner.rsplit_once('/').map_or("", |(prefix, _)| prefix);
        let key = format!(
            "{kind} {command:?} {:?} {:?} {env:?} {:?} {prefix:?}",
            query.dir, query.matrix, query.pass
        );
        let needs = &mut self.needs;
        *self.tools.entry(key).or_insert_with(|| {
            needs.tools.push(query);
            needs.tools.len() - 1
        })
    }
}

/// The directories that are sent for a Dockerfile: its context, and those that it names.
/// What is published into the project is no part of them.
pub(super) fn contexts_of(release: &Release, recipe: &Dockerfile) -> Vec<ContextQuery> {
    let layouts = release.registries.values().filter_map(|registry| match &registry.place {
        Place::Layout(path) => Some(path.clone()),
        Place::Remote(_) => None,
    });
    let without: Vec<ProjectPath> = layouts.collect();
    let context = |directory: Spanned<ProjectPath>, dockerfile: Option<ProjectPath>| ContextQuery {
        directory,
        dockerfile,
        without: without.clone(),
    };
    let named = recipe.contexts.iter().filter_map(|context| match context {
        BuildContext::Directory { name, path } => Some(Spanned::new(path.clone(), name.span)),
        BuildContext::Image { .. } => None,
    });
    let main = context(recipe.context.clone(), Some(recipe.path.value.clone()));
    [main].into_iter().chain(named.map(|directory| context(directory, None))).collect()
}

/// What a step of a target makes, by its declaration.
pub(super) fn outputs_of(release: &Release, unit: Unit) -> Vec<Pattern> {
    match unit {
        Unit::Target { target, row } => {
            let target = &release.targets[target];
            filled(&target.outputs, &row_values(target, row))
        }
        _ => Vec::new(),
    }
}
