//! What each step needs, as far as declarations alone tell.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use crate::config::{Base, BuildContext, Copy, Image, Part, ProjectPath, Recipe, Release, Stage, Template};
use crate::diagnostic::{Problem, Problems, Span, Spanned};
use crate::facts::{Facts, Links, Scope};
use crate::plan::NeedKind;
use crate::plan::entering::{Entering, images_of_stage};
use crate::plan::files::{Files, Named, inputs_of};
use crate::plan::glob::HOLE;
use crate::plan::name::{Speaker, resolve};
use crate::plan::select::contexts_of;
use crate::plan::unit::{self, Job, StageJob, Unit, image_jobs, row_values};

/// That a step comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The step that comes before.
    pub(super) to: Unit,
    /// What is needed of it.
    pub(super) kind: NeedKind,
    /// Why.
    pub(super) why: Why,
}

/// Why a step comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A `needs` or a base names it.
    Named(Span),
    /// A `finally` of the step that comes before names the other.
    Finally(Span),
    /// It makes what the other reads: where it is read, where it is made, and
    /// whether that holds only if it makes a directory there.
    Reads(Span, Span, bool),
    /// The order of the work on an image.
    Order,
}

/// Declarations, and what follows from them for the order of steps.
pub(super) struct Outline<'a> {
    pub(super) release: &'a Release,
    pub(super) files: Files,
    pub(super) links: &'a Links,
    /// Facts, once they are known; before that, what depends on them is taken to
    /// need all that it could.
    facts: Option<&'a Facts>,
    /// What is known of stages.
    entering: Option<&'a Entering>,
}

impl<'a> Outline<'a> {
    pub(super) fn new(release: &'a Release, facts: Option<&'a Facts>, links: &'a Links) -> Self {
        Self { release, files: Files::new(release, links), links, facts, entering: None }
    }

    /// The same, where some images are taken from stages.
    pub(super) const fn entering(mut self, entering: &'a Entering) -> Self {
        self.entering = Some(entering);
        self
    }

    /// What `unit` needs; not the steps that it cleans up after, see
    /// [`Outline::finally`]. Needs that nothing has the name of are problems.
    pub(super) fn needs(&self, unit: Unit, problems: &mut Problems) -> Vec<Edge> {
        match unit {
            Unit::Target { target, row } => self.target_needs(target, row, problems),
            Unit::Image { image, job } => self.image_needs(image, job, problems),
            Unit::Stage { stage, job } => self.stage_needs(stage, job),
        }
    }

    /// The steps that run after `unit`, whatever happened.
    pub(super) fn finally(&self, unit: Unit, problems: &mut Problems) -> Vec<(Unit, Span)> {
        let Unit::Target { target, .. } = unit else { return Vec::new() };
        let declared = &self.release.targets[target];
        let names = declared.finally.iter();
        names
            .flat_map(|name| {
                let units = problems.take(resolve(self.release, name, Speaker::File)).unwrap_or_default();
                units.into_iter().map(move |unit| (unit, name.span))
            })
            .collect()
    }

    fn target_needs(&self, at: usize, row: usize, problems: &mut Problems) -> Vec<Edge> {
        let target = &self.release.targets[at];
        let matrix = row_values(target, row);
        let needs: Vec<Spanned<String>> =
            target.needs.iter().map(|need| filled_name(need, &matrix)).collect();
        let mut edges = self.named(&needs, problems);
        let inputs = Named::inputs(&inputs_of(target, row), self.links);
        let made = inputs.iter().flat_map(|input| self.made(input));
        edges.extend(made.filter(|edge| !matches!(edge.to, Unit::Target { target, .. } if target == at)));
        edges
    }

    /// The steps that make what a pattern names.
    pub(super) fn made<'b>(&'b self, wanted: &'b Named) -> impl Iterator<Item = Edge> {
        self.files.makers(wanted).map(|(to, made)| Edge {
            to,
            kind: NeedKind::Product,
            why: Why::Reads(wanted.span, made.span, wanted.guesses(made)),
        })
    }

    /// The steps that make a file, if some do.
    pub(super) fn makers_of(&self, path: &Spanned<ProjectPath>) -> Vec<Edge> {
        let named = path.value.as_path().to_str().map(|text| Named::copied(text, path.span, self.links));
        named
            .iter()
            .flatten()
            .flat_map(|named| self.made(named))
            .filter(|edge| !matches!(edge.why, Why::Reads(.., true)))
            .collect()
    }

    fn named(&self, names: &[Spanned<String>], problems: &mut Problems) -> Vec<Edge> {
        let edges = names.iter().flat_map(|name| {
            let units: Result<Vec<Unit>, Problem> = resolve(self.release, name, Speaker::File);
            let units = problems.take(units).unwrap_or_default();
            // What is published is there for others: nothing of it is read here.
            units.into_iter().map(move |to| Edge {
                to,
                kind: if to.publishes() { NeedKind::Success } else { NeedKind::Product },
                why: Why::Named(name.span),
            })
        });
        edges.collect()
    }

    fn image_needs(&self, image: usize, job: Job, problems: &mut Problems) -> Vec<Edge> {
        let declared = &self.release.images[image];
        let edge = |job: Job, kind: NeedKind| Edge { to: Unit::Image { image, job }, kind, why: Why::Order };
        let jobs = || image_jobs(self.release, declared).into_iter();
        match job {
            Job::Build(at) => {
                let edges = self.build_needs(declared, at, problems);
                let sent = self.sent(declared, &edges);
                edges.into_iter().chain(sent).collect()
            }
            Job::Index if self.entering.is_some_and(|entering| entering.promoted(declared).is_some()) => {
                Vec::new()
            }
            Job::Index => jobs()
                .filter(|job| matches!(job, Job::Build(_)))
                .map(|job| edge(job, NeedKind::Product))
                .collect(),
            Job::Test | Job::Budget | Job::Scan(_) | Job::Push(_) => {
                vec![edge(Job::Index, NeedKind::Product)]
            }
            Job::Sign(at) => {
                vec![edge(Job::Index, NeedKind::Product), edge(Job::Push(at), NeedKind::Success)]
            }
            Job::Attest(at) => {
                // What is stated of an image that is signed is stated after that.
                let sign = (!declared.signs.is_empty()).then(|| edge(Job::Sign(at), NeedKind::Success));
                let sbom = declared.sbom.iter().flat_map(|sbom| self.makers_of(sbom));
                let before = [edge(Job::Index, NeedKind::Product), edge(Job::Push(at), NeedKind::Success)];
                before.into_iter().chain(sign).chain(sbom).collect()
            }
            Job::Tag(at) => {
                let before =
                    |job: &Job| job.comes_before_tags() && job.channel().is_none_or(|channel| channel == at);
                let before = jobs().filter(before).map(|job| edge(job, NeedKind::Success));
                [edge(Job::Index, NeedKind::Product)].into_iter().chain(before).collect()
            }
        }
    }

    fn build_needs(&self, image: &Image, platform: usize, problems: &mut Problems) -> Vec<Edge> {
        let mut edges = self.named(&image.needs, problems);
        match &image.recipe {
            Recipe::Assemble(recipe) => {
                if let Base::Image(base) = &recipe.from.value {
                    edges.extend(self.bases(base, recipe.from.span, image, platform));
                }
                let copies = recipe.layers.iter().flat_map(|layer| &layer.copies);
                let read: Vec<Named> =
                    copies.filter_map(|copy| self.copied(image, copy, platform)).flatten().collect();
                edges.extend(read.iter().flat_map(|path| self.made(path)));
            }
            Recipe::Dockerfile(recipe) => {
                for context in &recipe.contexts {
                    if let BuildContext::Image { image: base, .. } = context {
                        edges.extend(self.bases(base, base.span, image, platform));
                    }
                }
            }
        }
        edges
    }

    /// What a build reads of its contexts that steps make which it needs. A context may
    /// hold whatever is there: what is read of it is only what was to be made before.
    fn sent(&self, image: &Image, edges: &[Edge]) -> Vec<Edge> {
        let Recipe::Dockerfile(recipe) = &image.recipe else { return Vec::new() };
        let contexts = contexts_of(self.release, recipe);
        let sent = contexts.iter().filter_map(|context| {
            let Spanned { value, span } = &context.directory;
            Some(Named::copied(value.as_path().to_str()?, *span, self.links))
        });
        let sent: Vec<Named> = sent.flatten().collect();
        let made: Vec<Edge> = sent.iter().flat_map(|named| self.made(named)).collect();
        if made.is_empty() {
            return made;
        }
        let before = self.behind(edges);
        made.into_iter().filter(|edge| before.contains(&edge.to)).collect()
    }

    /// All steps that come before one with these needs, but for what those read of
    /// contexts: that comes before them anyway.
    fn behind(&self, edges: &[Edge]) -> BTreeSet<Unit> {
        let mut behind = BTreeSet::new();
        let mut open: Vec<Unit> = edges.iter().map(|edge| edge.to).collect();
        // What is wrong with them is told where they are planned.
        let mut told = Problems::new();
        while let Some(unit) = open.pop() {
            if !behind.insert(unit) {
                continue;
            }
            let needs = match unit {
                Unit::Image { image, job: Job::Build(at) } => {
                    self.build_needs(&self.release.images[image], at, &mut told)
                }
                _ => self.needs(unit, &mut told),
            };
            open.extend(needs.iter().map(|edge| edge.to));
        }
        behind
    }

    /// What a copy reads. A path that cannot be filled in is reported where the
    /// step is made.
    fn copied(&self, image: &Image, copy: &Copy, at: usize) -> Option<Vec<Named>> {
        let from = match self.facts {
            Some(facts) => {
                let platform = unit::platform(image, at, &facts.platform);
                Scope::new(self.release, facts).on(platform).fill(&copy.from).ok()?
            }
            None => outline_text(&copy.from),
        };
        let path = image.home.join(from).ok()?;
        Some(Named::copied(path.as_path().to_str()?, copy.from.span, self.links))
    }

    /// The builds of another image that one for a platform starts from: the one
    /// for the same platform; the first where there is no such, which is then
    /// reported where the step is made.
    fn bases(&self, name: &str, span: Span, image: &Image, platform: usize) -> Vec<Edge> {
        let Some((at, _, base)) = self.release.images.get_full(name) else { return Vec::new() };
        let default = self.facts.map(|facts| &facts.platform);
        let wanted = image.platforms.get(platform).map(|platform| &platform.value).or(default);
        let same = base.platforms.iter().position(|platform| Some(&platform.value) == wanted);
        let builds = match (wanted, same) {
            (_, Some(same)) => same..same + 1,
            (Some(_), None) => 0..1,
            (None, None) => 0..base.platforms.len().max(1),
        };
        let edge = |build| Edge {
            to: Unit::Image { image: at, job: Job::Build(build) },
            kind: NeedKind::Product,
            why: Why::Named(span),
        };
        builds.map(edge).collect()
    }

    fn stage_needs(&self, stage: usize, job: StageJob) -> Vec<Edge> {
        let declared = &self.release.stages[stage];
        let order = |to: Unit| Edge { to, kind: NeedKind::Success, why: Why::Order };
        let deploy = |at: usize| order(Unit::Stage { stage, job: StageJob::Deploy(at) });
        let enter = || order(Unit::Stage { stage, job: StageJob::Enter });
        match job {
            StageJob::Enter => self.stage_tags(declared).into_iter().map(order).collect(),
            StageJob::Deploy(0) => vec![enter()],
            StageJob::Deploy(at) => vec![deploy(at - 1)],
            StageJob::Verify => vec![declared.deploys.len().checked_sub(1).map_or_else(enter, deploy)],
            // That it cannot be attached is no reason not to deploy anything.
            StageJob::Record => {
                let stages = self.release.stages.values().enumerate();
                let last = stages.filter_map(|(at, stage)| {
                    let mut jobs = unit::stage_jobs(stage).into_iter().filter(|job| *job != StageJob::Record);
                    Some(Unit::Stage { stage: at, job: jobs.next_back()? })
                });
                last.map(order).collect()
            }
        }
    }

    /// The steps that name the images of a stage.
    fn stage_tags(&self, stage: &Stage) -> Vec<Unit> {
        images_of_stage(self.release, stage)
            .flat_map(|(image, declared)| {
                let jobs = image_jobs(self.release, declared).into_iter();
                jobs.filter(|job| matches!(job, Job::Tag(_))).map(move |job| Unit::Image { image, job })
            })
            .collect()
    }
}

/// A name with the values of a matrix in it.
fn filled_name(name: &Spanned<String>, values: &IndexMap<String, String>) -> Spanned<String> {
    let fill = |text: String, (key, value): (&String, &String)| text.replace(&format!("{{{key}}}"), value);
    Spanned::new(values.iter().fold(name.value.clone(), fill), name.span)
}

/// A template's text with what is not known yet left open.
pub(super) fn outline_text(template: &Template) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Field(_) => HOLE.to_string(),
    };
    template.parts.iter().map(part).collect()
}
