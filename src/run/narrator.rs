//! Tells what happens: to the observer, and to the record of the run.
#![expect(clippy::disallowed_methods, reason = "events tell when they happened")]

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::diagnostic::{Class, Problem, Problems};
use crate::facts::{Event as Trigger, Facts};
use crate::plan::{Action, Effect, Plan, StepIndex};
use crate::run::record::Record;
use crate::run::teller::Told;
use crate::run::{
    Counts, Event, FORMAT, Fault, Happening, ImageFigures, LogPlace, Outcome, PlannedStep, Request, RunEnded,
    RunStarted, ScanFigures, StepEnded, TagMove, Written, result_word,
};

/// Tells the events of one run.
pub(super) struct Narrator<'a> {
    observe: &'a mut dyn FnMut(&Event),
    record: Option<Record>,
    names: Vec<String>,
    /// The logs of steps that wrote something and have not ended, and whether an
    /// earlier run wrote them.
    logs: HashMap<StepIndex, (Arc<Path>, bool)>,
}

impl<'a> Narrator<'a> {
    /// Tells of the plan's steps.
    pub(super) fn new(plan: &Plan, record: Option<Record>, observe: &'a mut dyn FnMut(&Event)) -> Self {
        let names = plan.steps.iter().map(|step| step.id.to_string()).collect();
        Self { observe, record, names, logs: HashMap::new() }
    }

    /// The name of a step.
    pub(super) fn name(&self, step: StepIndex) -> String {
        self.names.get(step.0 as usize).cloned().unwrap_or_default()
    }

    /// Tells that something happens now.
    pub(super) fn say(&mut self, what: Happening) {
        let flush = !matches!(what, Happening::StepReady { .. });
        let event = Event { time: Timestamp::now(), what };
        // Output stands in the logs, to which the ends of steps refer.
        if !matches!(event.what, Happening::Written(_)) {
            self.keep(|record| {
                record.write(&event)?;
                if flush { record.flush() } else { Ok(()) }
            });
        }
        (self.observe)(&event);
    }

    /// Sees to it that the record holds all that was told.
    pub(super) fn catch_up(&mut self) {
        self.keep(Record::flush);
    }

    /// Changes the record. If that fails, the run goes on without one.
    fn keep(&mut self, change: impl FnOnce(&mut Record) -> io::Result<()>) {
        let Some(record) = &mut self.record else { return };
        if let Err(error) = change(record) {
            self.record = None;
            let text = format!("the record of this run is not complete: {error}");
            let what = Happening::Notice { step: None, text };
            (self.observe)(&Event { time: Timestamp::now(), what });
        }
    }

    /// Tells what a step told.
    pub(super) fn relay(&mut self, at: StepIndex, told: Told) {
        let step = self.name(at);
        match told {
            Told::Started(reasons) => self.say(Happening::StepStarted { step, reasons }),
            Told::Wrote(log, size) => self.written(at, step, log, size, false),
            Told::Replayed(log, size) => self.written(at, step, log, size, true),
            Told::Retried { attempt, attempts, because } => {
                self.say(Happening::StepRetried { step, attempt, attempts, because });
            }
            Told::Notice(text) => self.say(Happening::Notice { step: Some(step), text }),
            Told::Learned(learned) => self.say(Happening::Learned(learned)),
        }
    }

    fn written(&mut self, at: StepIndex, step: String, log: Arc<Path>, size: u64, replayed: bool) {
        self.logs.insert(at, (Arc::clone(&log), replayed));
        self.say(Happening::Written(Written { step, log, size, replayed }));
    }

    /// The log of a step as its end refers to it.
    fn log(&mut self, step: StepIndex) -> Option<LogPlace> {
        let (path, replayed) = self.logs.remove(&step)?;
        let below = self.record.as_ref().and_then(|record| path.strip_prefix(&record.dir).ok());
        Some(LogPlace { file: below.unwrap_or(&path).to_str()?.to_owned(), replayed })
    }

    /// Tells how a step ended.
    pub(super) fn ended(&mut self, step: StepIndex, outcome: Outcome, took: Duration, left: Left) {
        let log = self.log(step);
        let (step, milliseconds) = (self.name(step), milliseconds(took));
        let Left { digest, tags, images, scan } = left;
        let scan = scan.map(Box::new);
        let ended = StepEnded { step, outcome, milliseconds, digest, tags, images, scan, log };
        self.say(Happening::StepEnded(ended));
    }

    /// Tells that the run begins.
    pub(super) fn run_started(&mut self, id: &str, request: &Request, jobs: usize) {
        let Request { plan, release, facts, goals, settled, .. } = request;
        let steps = plan.steps.iter().map(|step| PlannedStep {
            name: step.id.to_string(),
            kind: action_word(&step.action).to_owned(),
            effect: effect_word(step.effect).to_owned(),
            goal: step.goal,
            needs: step.needs.iter().map(|need| self.name(need.step)).collect(),
        });
        let started = RunStarted {
            format: FORMAT,
            run: id.to_owned(),
            project: release.project.clone(),
            hoist: env!("CARGO_PKG_VERSION").to_owned(),
            trigger: trigger(facts),
            goals: goals.clone(),
            jobs,
            part_of: request.options.part_of.clone(),
            unpublished: plan.unpublished.clone(),
            up_to_date: settled.up_to_date,
            steps: steps.collect(),
        };
        self.say(Happening::RunStarted(started));
    }

    /// Tells that the run is over.
    pub(super) fn run_ended(
        &mut self,
        counts: Counts,
        took: Duration,
        class: Option<Class>,
        problems: Vec<Fault>,
    ) {
        self.say(Happening::RunEnded(RunEnded {
            counts,
            milliseconds: milliseconds(took),
            result: result_word(class).to_owned(),
            exit: class.map_or(0, Class::exit_code),
            problems,
        }));
    }
}

/// What a step leaves to be told.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Digest of the image that it made or found.
    pub(super) digest: Option<String>,
    /// The tags that it was to give.
    pub(super) tags: Vec<TagMove>,
    /// What is measured of images.
    pub(super) images: Vec<ImageFigures>,
    /// What a scan found.
    pub(super) scan: Option<ScanFigures>,
}

/// Problems as they are told.
pub(super) fn faults(problems: &Problems, request: &Request) -> Vec<Fault> {
    let fault = |problem: &Problem| Fault::new(problem, &request.sources);
    problems.as_slice().iter().map(fault).collect()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn trigger(facts: &Facts) -> crate::run::Trigger {
    let name = match &facts.event {
        Trigger::Tag(name) | Trigger::Branch(name) => Some(name.clone()),
        Trigger::PullRequest(number) => Some(number.to_string()),
        Trigger::Schedule | Trigger::Unnamed => None,
    };
    let commit = facts.git.as_ref().map(|git| git.sha.clone());
    crate::run::Trigger { kind: facts.event.kind().to_owned(), name, commit }
}

const fn action_word(action: &Action) -> &'static str {
    match action {
        Action::Group => "group",
        Action::Skip(_) => "skip",
        Action::Command(_) => "command",
        Action::Assemble(_) => "assemble",
        Action::Dockerfile(_) => "build",
        Action::Index(_) => "index",
        Action::Test(_) => "test",
        Action::Budget(_) => "budget",
        Action::Scan(_) => "scan",
        Action::Push(_) => "push",
        Action::Sign(_) => "sign",
        Action::Attest(_) => "attest",
        Action::Tag(_) => "tag",
        Action::Found(_) => "found",
        Action::Enter(_) => "enter",
        Action::Deploy(_) => "deploy",
        Action::Verify(_) => "verify",
        Action::Record(_) => "record",
        Action::NotAvailable(_) => "not-available",
    }
}

const fn effect_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Always => "always",
        Effect::Cacheable => "cacheable",
        Effect::Publishing => "publishing",
    }
}
