//! A small project to run plans in, and what was told of it as lines.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;
use jiff::Timestamp;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::cache::Cache;
use crate::config::{Pattern, ProjectPath, Release, Settings};
use crate::diagnostic::{Sources, Span, Spanned};
use crate::facts::{
    Environment, Event as Trigger, EventSource, Facts, Host, InputQuery, KnownFiles, Walked, read_inputs,
};
use crate::oci::Platform;
use crate::plan::{
    Action, CommandStep, Definition, Effect, Exec, Need, NeedKind, Plan, Step, StepId, StepIndex, Subject,
    Variables,
};
use crate::run::executor::execute_until;
use crate::run::{Event, Followed, Happening, Options, Outcome, Request, Stream, Summary};

/// A project in a directory of its own.
pub(super) struct Project {
    dir: TempDir,
    sources: Sources,
    span: Span,
    pub(super) plan: Plan,
    pub(super) options: Options,
    pub(super) environment: Environment,
    pub(super) answer: Result<bool, String>,
    /// The questions that were asked.
    pub(super) asked: Arc<Mutex<Vec<String>>>,
}

/// What was told of a run, and what became of it.
pub(super) struct Told {
    pub(super) events: Vec<Event>,
    pub(super) summary: Summary,
}

impl Project {
    pub(super) fn new() -> Self {
        let mut sources = Sources::new();
        let source = sources.add("release.kdl", "target \"x\" {}\n");
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("project")).unwrap();
        Self {
            dir,
            sources,
            span: Span::new(source, 0..6),
            plan: Plan { steps: Vec::new(), unpublished: None, gaps: Vec::new() },
            options: Options { jobs: Some(1), ..Options::default() },
            environment: std::env::vars_os().filter(|(name, _)| name == "PATH").collect(),
            answer: Ok(true),
            asked: Arc::default(),
        }
    }

    pub(super) fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("project")
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        std::fs::write(self.root().join(path), text).unwrap();
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root().join(path)).ok()
    }

    /// Adds a target that runs a script, always.
    pub(super) fn target(&mut self, name: &str, script: &str, needs: &[u32]) -> &mut Step {
        let needs = needs.iter().map(|step| Need { step: StepIndex(*step), kind: NeedKind::Product });
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        let command = CommandStep {
            commands: vec![Exec { argv, span: self.span }],
            dir: ProjectPath::root(),
            variables: Variables::default(),
            outputs: Vec::new(),
            timeout: None,
            retries: 0,
            confirm: None,
            interactive: false,
            sandbox: false,
        };
        self.plan.steps.push(Step {
            id: StepId::target(name),
            action: Action::Command(Box::new(command)),
            needs: needs.collect(),
            definition: Definition::default(),
            inputs: None,
            answer: None,
            effect: Effect::Always,
            pool: None,
            span: self.span,
            goal: true,
        });
        self.plan.steps.last_mut().unwrap()
    }

    /// Adds a cacheable target: what it reads is a text, what it makes a file.
    pub(super) fn cached(
        &mut self,
        name: &str,
        script: &str,
        needs: &[u32],
        reads: &str,
        output: &[&str],
    ) -> &mut Step {
        let span = self.span;
        let pattern = |glob: &&str| Pattern { glob: Spanned::new((*glob).to_owned(), span), negated: false };
        let outputs = output.iter().map(pattern).collect();
        let step = self.target(name, script, needs);
        step.effect = Effect::Cacheable;
        step.definition.text(Subject::Variable("READS".into()), reads);
        step.command().outputs = outputs;
        step
    }

    /// Adds a cacheable target that reads a file.
    pub(super) fn reading(&mut self, name: &str, script: &str, needs: &[u32], file: &str) -> &mut Step {
        let glob = Spanned::new(file.to_owned(), self.span);
        let patterns = vec![Pattern { glob, negated: false }];
        let query = InputQuery { patterns, ..InputQuery::default() };
        let files =
            read_inputs(&self.root(), &release(), &facts(&self.environment), &query, &KnownFiles::new())
                .unwrap();
        let step = self.target(name, script, needs);
        step.effect = Effect::Cacheable;
        step.definition.inputs(&files);
        step.inputs = Some(query);
        step
    }

    pub(super) fn request(&self) -> Request {
        let cache = Cache::open(&self.dir.path().join("cache"), &self.root()).unwrap();
        let (answer, asked) = (self.answer.clone(), Arc::clone(&self.asked));
        Request {
            plan: Arc::new(self.plan.clone()),
            release: Arc::new(release()),
            facts: Arc::new(facts(&self.environment)),
            settled: Arc::default(),
            sources: Arc::new(self.sources.clone()),
            host: Arc::new(host(&self.root(), &self.environment)),
            root: self.root(),
            cache,
            goals: vec!["goal".to_owned()],
            entrance: None,
            options: self.options.clone(),
            confirm: Arc::new(move |question| {
                asked.lock().unwrap().push(question.to_owned());
                answer.clone()
            }),
        }
    }

    pub(super) fn run(&self) -> Told {
        self.run_and(|_, _| {})
    }

    /// Runs the plan; `on` hears each event, and may interrupt the run.
    pub(super) fn run_and(&self, mut on: impl FnMut(&Event, &mpsc::UnboundedSender<Signal>)) -> Told {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut events = Vec::new();
        let mut followed = Followed::default();
        let mut observe = |event: &Event| {
            followed.see(event, &mut |event| {
                on(event, &sender);
                events.push(event.clone());
            });
        };
        let summary = runtime.block_on(execute_until(self.request(), &mut observe, receiver));
        Told { events, summary }
    }
}

impl Step {
    /// The commands of a target's step.
    pub(super) fn command(&mut self) -> &mut CommandStep {
        match &mut self.action {
            Action::Command(command) => command,
            _ => panic!("not a target"),
        }
    }
}

impl Told {
    /// The events without times, one a line; that a step is ready is left out.
    pub(super) fn lines(&self) -> Vec<String> {
        self.events.iter().filter_map(|event| line(&event.what)).collect()
    }

    /// The ends of steps, sorted.
    pub(super) fn ends(&self) -> Vec<String> {
        let ends = self.events.iter().filter(|event| matches!(event.what, Happening::StepEnded(_)));
        let mut ends: Vec<String> = ends.filter_map(|event| line(&event.what)).collect();
        ends.sort();
        ends
    }
}

fn line(what: &Happening) -> Option<String> {
    Some(match what {
        Happening::StepReady { .. } | Happening::RunStarted(_) | Happening::Written(_) => return None,
        Happening::StepStarted { step, reasons } => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            format!("{step} starts: {}", reasons.join("; "))
        }
        Happening::StepRetried { step, attempt, attempts, because } => {
            format!("{step} again, {attempt} of {attempts}: {because}")
        }
        Happening::Output(output) => {
            let mark = match output.stream {
                Stream::Stdout => '>',
                Stream::Stderr => '!',
            };
            let replayed = if output.replayed { " (replayed)" } else { "" };
            format!("{} {mark} {}{replayed}", output.step, output.text)
        }
        Happening::Notice { step, text } => format!("{}: {text}", step.as_deref().unwrap_or("run")),
        Happening::Learned(learned) => format!("{} learned", learned.step),
        Happening::StepEnded(ended) => format!("{}: {}", ended.step, outcome(&ended.outcome)),
        Happening::Interrupted { signal, kill } => format!("{signal}{}", if *kill { ", kill" } else { "" }),
        Happening::RunEnded(ended) => format!("{} {}", ended.result, ended.exit),
    })
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ran => "ran".to_owned(),
        Outcome::Cached { found } => format!("cached, {found:?}"),
        Outcome::Skipped { reason } => format!("skipped, {reason}"),
        Outcome::Failed { problems } => {
            let labels = problems.iter().map(|problem| match problem.labels.first() {
                Some(label) => format!("{}, {}", problem.title, label.text),
                None => problem.title.clone(),
            });
            labels.collect::<Vec<_>>().join("; ")
        }
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::NotRun { cause } => format!("not run, {cause}"),
    }
}

pub(super) fn release() -> Release {
    let settings = Settings { jobs: None, shell: Vec::new(), timeout: None };
    Release { settings, ..Release::empty("project") }
}

pub(super) fn facts(environment: &Environment) -> Facts {
    Facts {
        event: Trigger::Branch("main".to_owned()),
        event_source: EventSource::CommandLine,
        git: None,
        environment: environment.clone(),
        dotenv: Vec::new(),
        overrides: IndexMap::new(),
        now: Timestamp::UNIX_EPOCH,
        os: "linux",
        platform: Platform::host(),
        user: "user".to_owned(),
        inputs: Vec::new(),
        walked: Walked::default(),
        tools: Vec::new(),
        dockerfiles: Vec::new(),
        bases: Vec::new(),
        images: HashMap::new(),
    }
}

fn host(root: &Path, environment: &Environment) -> Host {
    Host {
        program: None,
        directory: root.to_owned(),
        environment: environment.clone(),
        now: Timestamp::UNIX_EPOCH,
        os: "linux",
        processors: 2,
        user: "user".to_owned(),
        input_is_terminal: false,
        output_is_terminal: false,
        error_is_terminal: false,
        one_output: false,
    }
}
