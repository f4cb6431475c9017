//! One declared step to a [`Step`] with all that it needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Image, Release, Stage, Target, Template};
use crate::diagnostic::{Problems, Span};
use crate::facts::{Facts, InputQuery, Scope};
use crate::plan::edge::Edge;
use crate::plan::select::Answers;
use crate::plan::unit::{Job, StageJob, Unit};
use crate::plan::{Action, Definition, Effect, Gap, Need, Selection, Step, StepIndex};

/// Makes steps; collects what is wrong.
pub(super) struct Lower<'a> {
    pub(super) release: &'a Release,
    pub(super) facts: &'a Facts,
    pub(super) selection: &'a Selection,
    pub(super) places: &'a BTreeMap<Unit, StepIndex>,
    pub(super) problems: Problems,
    /// Values that a definition does not show.
    secrets: Vec<&'a str>,
}

/// What a step does, and what its key is made of.
pub(super) struct Made {
    pub(super) action: Action,
    pub(super) definition: Definition,
    pub(super) effect: Effect,
    pub(super) inputs: Option<InputQuery>,
}

impl Made {
    pub(super) const fn new(action: Action, definition: Definition, effect: Effect) -> Self {
        Self { action, definition, effect, inputs: None }
    }

    /// Part of the language that this version plans and cannot execute.
    pub(super) fn not_available(what: &str, span: Span, effect: Effect) -> Self {
        let gap = Gap { what: what.to_owned(), span };
        Self::new(Action::NotAvailable(gap), Definition::default(), effect)
    }
}

impl<'a> Lower<'a> {
    pub(super) fn new(
        release: &'a Release,
        facts: &'a Facts,
        selection: &'a Selection,
        places: &'a BTreeMap<Unit, StepIndex>,
        problems: Problems,
    ) -> Self {
        let passed = release.targets.values().flat_map(|target| &target.pass_env);
        let names: BTreeSet<&String> = facts.dotenv.iter().chain(passed.map(|name| &name.value)).collect();
        let secrets = names.into_iter().filter_map(|name| facts.environment.text(name));
        let secrets = secrets.filter(|secret| !secret.is_empty()).collect();
        Self { release, facts, selection, places, problems, secrets }
    }

    /// The step of a unit; a target that is skipped for a reason does nothing.
    pub(super) fn step(
        &mut self,
        unit: Unit,
        edges: &[Edge],
        needs: Vec<Need>,
        skip: Option<String>,
    ) -> Step {
        let (made, span) = match (unit, skip) {
            (Unit::Target { target, .. }, Some(reason)) => {
                let made = Made::new(Action::Skip(reason), Definition::default(), Effect::Always);
                (made, self.release.targets[target].name.span)
            }
            (Unit::Target { target, row }, None) => {
                let target = &self.release.targets[target];
                (self.target(unit, target, row, edges), target.name.span)
            }
            (Unit::Image { image, job }, _) => {
                let declared = &self.release.images[image];
                (self.image(image, declared, job, edges), span_of(declared, job))
            }
            (Unit::Stage { stage, job }, _) => {
                let stage = &self.release.stages[stage];
                (self.stage(stage, job), span_of_stage(stage, job))
            }
        };
        Step {
            id: unit.id(self.release, &self.facts.platform),
            action: made.action,
            needs,
            definition: made.definition,
            answer: made.inputs.is_some().then(|| self.answers(unit).inputs).flatten(),
            inputs: made.inputs,
            effect: made.effect,
            pool: self.pool(unit),
            span,
            goal: self.selection.roots.contains_key(&unit),
        }
    }

    fn pool(&self, unit: Unit) -> Option<(String, usize)> {
        let Unit::Target { target, .. } = unit else { return None };
        let name = &self.release.targets[target].pool.as_ref()?.value;
        self.release.pools.get(name).map(|pool| (name.clone(), pool.size.max(1)))
    }

    fn image(&mut self, at: usize, image: &'a Image, job: Job, edges: &[Edge]) -> Made {
        match job {
            Job::Build(platform) => self.build(at, image, platform, edges),
            Job::Index => match self.selection.entering().promoted(image) {
                Some(promoted) => Self::found(promoted),
                None => self.index(at, image),
            },
            Job::Test => self.test(at, image),
            Job::Budget => self.budget(at, image),
            Job::Scan(number) => self.scan(at, image, number),
            Job::Push(channel) => self.push(at, image, channel),
            Job::Sign(channel) => self.sign(at, image, channel),
            Job::Attest(channel) => self.attest(at, image, channel, span_of(image, job)),
            Job::Tag(channel) => self.tag(at, image, channel),
        }
    }

    /// The place of a step that an image's later work is about.
    pub(super) fn place(&self, image: usize, job: Job) -> StepIndex {
        let unit = Unit::Image { image, job };
        // What works on an image needs its index and builds, so they are there.
        self.places.get(&unit).copied().unwrap_or(StepIndex(u32::MAX))
    }

    pub(super) fn answers(&self, unit: Unit) -> Answers {
        self.selection.answers.get(&unit).cloned().unwrap_or_default()
    }

    /// The text of a template; a problem is kept and the text is then empty.
    pub(super) fn fill(&mut self, scope: &Scope<'_>, template: &Template) -> String {
        self.problems.take(scope.fill(template)).unwrap_or_default()
    }

    pub(super) fn fill_all(&mut self, scope: &Scope<'_>, templates: &[Template]) -> Vec<String> {
        templates.iter().map(|template| self.fill(scope, template)).collect()
    }

    /// Whether a text holds the value of a `dotenv` file or of `pass-env`.
    pub(super) fn is_secret(&self, text: &str) -> bool {
        self.secrets.iter().any(|secret| text.contains(secret))
    }

    /// Adds a text to a definition; where it holds a secret, the value of a
    /// `dotenv` file or of `pass-env`, only its digest.
    pub(super) fn define(&self, definition: &mut Definition, subject: crate::plan::Subject, text: String) {
        if self.is_secret(&text) {
            definition.digest(subject, *blake3::hash(text.as_bytes()).as_bytes());
        } else {
            definition.text(subject, text);
        }
    }
}

/// Where the work on an image is declared.
fn span_of(image: &Image, job: Job) -> Span {
    let span = match job {
        Job::Build(_) | Job::Index => None,
        Job::Test => {
            let test = image.tests.first().map(|test| test.name.span);
            test.or_else(|| image.expects.first().map(|expect| expect.span))
        }
        Job::Budget => image.budget.as_ref().map(|budget| budget.span),
        Job::Scan(at) => image.scans.get(at).map(|scan| scan.span),
        Job::Push(at) | Job::Tag(at) => image.push.get(at).map(|push| push.registry.span),
        Job::Sign(_) => image.signs.first().map(|sign| sign.span),
        Job::Attest(_) => {
            let sbom = image.sbom.as_ref().map(|sbom| sbom.span);
            image.provenance.as_ref().map(|wanted| wanted.span).or(sbom)
        }
    };
    span.unwrap_or(image.name.span)
}

/// Where the work of a stage is declared.
fn span_of_stage(stage: &Stage, job: StageJob) -> Span {
    let span = match job {
        StageJob::Enter => None,
        StageJob::Deploy(at) => stage.deploys.get(at).map(|deploy| deploy.span),
        StageJob::Verify => stage.verify.as_ref().map(|verify| verify.span),
        StageJob::Record => stage.record.as_ref().map(|record| record.span),
    };
    span.unwrap_or(stage.name.span)
}

/// Whether a target is one of those that do nothing themselves.
pub(super) fn is_group(target: &Target) -> bool {
    target.run.is_empty() && target.inputs.is_none() && target.outputs.is_empty()
}
