//! Releases and facts for the tests of plans.

use std::collections::BTreeMap;
use std::collections::HashMap;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::config::{LoadedDocument, ProjectPath, Release, decode};
use crate::diagnostic::{Problems, Sources, Spanned};
use crate::facts::{
    Environment, Event, EventSource, Facts, Git, InputFile, InputKind, Inputs, Links, Seen, Walked,
};
use crate::plan::{Goals, NeedKind, Options, Plan, Selection, build, select};
use crate::syntax::parse;

/// A `release.kdl` and the facts of a clean commit on the branch `main`.
pub(super) struct World {
    pub(super) sources: Sources,
    pub(super) release: Release,
    pub(super) facts: Facts,
    pub(super) options: Options,
    pub(super) links: Links,
}

impl World {
    /// Declarations must be valid.
    pub(super) fn new(text: &str) -> Self {
        let mut sources = Sources::new();
        let source = sources.add("release.kdl", text);
        let path = ProjectPath::root().join("release.kdl").unwrap();
        let document = LoadedDocument { document: parse(source, text).unwrap(), path, prefix: String::new() };
        let release = decode(&[document], "demo").unwrap_or_else(|problems| panic!("{problems:#?}"));
        Self { sources, release, facts: facts(), options: Options::default(), links: Links::default() }
    }

    pub(super) fn on(mut self, event: Event) -> Self {
        self.facts.event = event;
        self
    }

    pub(super) fn in_ci(mut self) -> Self {
        self.facts.event_source = EventSource::Ci("github");
        self
    }

    pub(super) fn dirty(mut self) -> Self {
        self.facts.git.as_mut().unwrap().dirty = true;
        self
    }

    pub(super) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.facts.environment.set_default(name, value);
        self
    }

    /// Goals as typed on the command line.
    pub(super) fn typed(&mut self, names: &[&str]) -> Goals {
        let text = names.join(" ");
        let source = self.sources.add("command line", text.as_str());
        let mut at = 0;
        let spans = names.iter().map(|name| {
            let span = crate::diagnostic::Span::new(source, at..at + name.len());
            at += name.len() + 1;
            Spanned::new((*name).to_owned(), span)
        });
        Goals::Named(spans.collect())
    }

    pub(super) fn select(&mut self, names: &[&str]) -> Result<Selection, Problems> {
        let goals = self.typed(names);
        select(&self.release, &goals, &self.links)
    }

    /// The plan of goals, where each query is answered with one file.
    pub(super) fn try_plan(&mut self, goals: &Goals) -> Result<Plan, Problems> {
        let selection = select(&self.release, goals, &self.links)?;
        let answer = |at: usize| {
            let path = ProjectPath::root().join(format!("input-{at}")).unwrap();
            let file = InputFile { path, kind: InputKind::File, digest: [1; 32], seen: Seen::default() };
            Inputs { files: vec![file], ..Inputs::default() }
        };
        self.facts.inputs = (0..selection.needs.inputs.len()).map(answer).collect();
        self.facts.tools = vec!["1.0".to_owned(); selection.needs.tools.len()];
        build(&self.release, &self.facts, &selection, &self.options)
    }

    pub(super) fn plan(&mut self, names: &[&str]) -> Plan {
        let goals = self.typed(names);
        self.try_plan(&goals).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    pub(super) fn release(&mut self) -> Plan {
        self.try_plan(&Goals::Release).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    /// Problems as their titles, each with the texts that its labels point to.
    pub(super) fn problems(&mut self, names: &[&str]) -> Vec<String> {
        let goals = self.typed(names);
        let result = self.try_plan(&goals);
        self.told(result.map(|plan| steps(&plan)))
    }

    pub(super) fn told(&self, result: Result<Vec<String>, Problems>) -> Vec<String> {
        let problems = match result {
            Ok(steps) => return vec![format!("no problem: {}", steps.join(", "))],
            Err(problems) => problems,
        };
        let lines = problems.as_slice().iter().map(|problem| {
            let labels = problem.labels.iter().map(|label| {
                let text = self.sources.slice(label.span);
                if label.text.is_empty() { text.to_owned() } else { format!("{text}: {}", label.text) }
            });
            let labels: Vec<String> = labels.collect();
            let help = problem.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{} [{}]{help}", problem.title, labels.join("; "))
        });
        lines.collect()
    }
}

fn facts() -> Facts {
    Facts {
        event: Event::Branch("main".to_owned()),
        event_source: EventSource::Head,
        git: Some(Git {
            sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            branch: Some("main".to_owned()),
            describe: "v1.2.2-3-g0123456".to_owned(),
            described_before: "v1.2.2-3-g0123456".to_owned(),
            dirty: false,
            time: Timestamp::from_second(1_700_000_000).unwrap(),
            branches: vec!["main".to_owned()],
            remote: Some("git@example.com:team/demo.git".to_owned()),
            shallow: false,
        }),
        environment: Environment::from_iter(BTreeMap::<String, String>::new()),
        dotenv: Vec::new(),
        overrides: IndexMap::new(),
        now: Timestamp::from_second(1_800_000_000).unwrap(),
        os: "linux",
        platform: crate::oci::Platform::host(),
        user: "dev".to_owned(),
        inputs: Vec::new(),
        walked: Walked::default(),
        tools: Vec::new(),
        dockerfiles: Vec::new(),
        bases: Vec::new(),
        images: HashMap::new(),
    }
}

/// The names of all steps.
pub(super) fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.id.to_string()).collect()
}

/// What each step needs: `b <- a` for its product, `b <~ a` for its success,
/// `b <. a` for its end.
pub(super) fn edges(plan: &Plan) -> Vec<String> {
    let mut edges = Vec::new();
    for step in &plan.steps {
        for need in &step.needs {
            let arrow = match need.kind {
                NeedKind::Product => "<-",
                NeedKind::Success => "<~",
                NeedKind::End => "<.",
            };
            edges.push(format!("{} {arrow} {}", step.id, plan.steps[need.step.0 as usize].id));
        }
    }
    edges
}
