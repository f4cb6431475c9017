//! The plan for other programs: `schema/plan.schema.json` describes it.
//!
//! These types are the format. They hold no command lines and no values of
//! variables but those of the key, where what is secret is a digest already.

use serde::Serialize;
use serde_json::Value;

use crate::diagnostic::{Sources, Span};
use crate::facts::without_credentials;
use crate::plan::{
    Action, Deployment, Effect, Gap, KeyPart, NeedKind, PartValue, Plan, RegistryPlan, Step, Subject,
};
use crate::tags::Movement;

/// The version of the format: raised when a reader of an earlier one would read
/// something wrong.
const VERSION: u32 = 1;

/// The plan as JSON, with places in the files that it comes from.
#[must_use]
pub fn json(plan: &Plan, sources: &Sources) -> Value {
    // Strings, numbers, and lists of them always have a form in JSON.
    serde_json::to_value(PlanView::new(plan, sources)).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PlanView {
    version: u32,
    steps: Vec<StepView>,
    unpublished: Option<String>,
    gaps: Vec<GapView>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct StepView {
    step: String,
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verb: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qualifier: Option<String>,
    #[serde(flatten)]
    does: Does,
    effect: &'static str,
    goal: bool,
    needs: Vec<NeedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<PoolView>,
    key: Vec<PartView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    declared: Option<PlaceView>,
}

/// What a step does, by its action.
#[derive(Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
enum Does {
    Group,
    Skip {
        reason: String,
    },
    Command {
        outputs: Vec<String>,
    },
    Assemble {
        platform: String,
    },
    Build {
        platform: String,
    },
    Index {
        platforms: Vec<String>,
    },
    Test {
        image: String,
        tests: Vec<String>,
    },
    Budget {
        image: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    },
    Scan {
        image: String,
        scanner: String,
        #[serde(rename = "fail-on")]
        fail_on: &'static str,
    },
    Push {
        image: String,
        registry: String,
        repository: String,
    },
    Sign {
        image: String,
        registry: String,
        repository: String,
        keys: usize,
    },
    Attest {
        image: String,
        registry: String,
        repository: String,
        provenance: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        sbom: Option<String>,
    },
    Tag {
        image: String,
        registry: String,
        repository: String,
        tags: Vec<TagView>,
    },
    Found {
        digest: Option<String>,
        repositories: Vec<String>,
    },
    Enter {
        stage: String,
        images: Vec<String>,
    },
    Record {
        stage: String,
        images: Vec<String>,
    },
    Deploy {
        #[serde(skip_serializing_if = "Option::is_none")]
        commands: Option<usize>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        edits: Vec<String>,
    },
    Verify {
        http: Vec<String>,
        commands: usize,
    },
    NotAvailable {
        what: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TagView {
    tag: String,
    rule: &'static str,
    immutable: bool,
}

#[derive(Serialize)]
struct NeedView {
    step: String,
    kind: &'static str,
}

#[derive(Serialize)]
struct PoolView {
    name: String,
    size: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PartView {
    subject: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

#[derive(Serialize)]
struct GapView {
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    declared: Option<PlaceView>,
}

#[derive(Serialize)]
struct PlaceView {
    file: String,
    line: usize,
    column: usize,
}

impl PlanView {
    fn new(plan: &Plan, sources: &Sources) -> Self {
        Self {
            version: VERSION,
            steps: plan.steps.iter().map(|step| StepView::new(step, plan, sources)).collect(),
            unpublished: plan.unpublished.clone(),
            gaps: plan.gaps.iter().map(|gap| GapView::new(gap, sources)).collect(),
        }
    }
}

impl StepView {
    fn new(step: &Step, plan: &Plan, sources: &Sources) -> Self {
        let needs = step.needs.iter().map(|need| NeedView {
            step: name(plan, need.step),
            kind: match need.kind {
                NeedKind::Product => "product",
                NeedKind::Success => "success",
                NeedKind::End => "end",
            },
        });
        Self {
            step: step.id.to_string(),
            owner: step.id.owner.clone(),
            verb: step.id.verb.map(crate::plan::Verb::as_str),
            qualifier: step.id.qualifier.clone(),
            does: Does::new(&step.action, plan),
            effect: match step.effect {
                Effect::Always => "always",
                Effect::Cacheable => "cacheable",
                Effect::Publishing => "publishing",
            },
            goal: step.goal,
            needs: needs.collect(),
            pool: step.pool.clone().map(|(name, size)| PoolView { name, size }),
            key: step.definition.parts.iter().map(PartView::new).collect(),
            declared: place(step.span, sources),
        }
    }
}

fn name(plan: &Plan, at: crate::plan::StepIndex) -> String {
    plan.steps.get(at.0 as usize).map(|step| step.id.to_string()).unwrap_or_default()
}

impl Does {
    fn new(action: &Action, plan: &Plan) -> Self {
        match action {
            Action::Group => Self::Group,
            Action::Skip(reason) => Self::Skip { reason: reason.clone() },
            Action::Command(step) => {
                let sign = |negated: bool| if negated { "!" } else { "" };
                let outputs = step.outputs.iter();
                let outputs = outputs.map(|output| format!("{}{}", sign(output.negated), output.glob.value));
                Self::Command { outputs: outputs.collect() }
            }
            Action::Assemble(step) => Self::Assemble { platform: step.platform.to_string() },
            Action::Dockerfile(step) => Self::Build { platform: step.platform.to_string() },
            Action::Index(step) => {
                let platforms = step.platforms.iter().map(|(platform, _)| platform.to_string());
                Self::Index { platforms: platforms.collect() }
            }
            Action::Test(step) => Self::Test {
                image: name(plan, step.image),
                tests: step.tests.iter().map(|test| test.name.clone()).collect(),
            },
            Action::Budget(step) => {
                let since = step.since.as_ref();
                let since = since.map(|since| format!("{}:{}", since.registry.place, since.tag));
                Self::Budget { image: name(plan, step.image), since }
            }
            Action::Scan(step) => Self::Scan {
                image: name(plan, step.image),
                scanner: step.scan.scanner.value.clone(),
                fail_on: step.scan.fail_on.as_str(),
            },
            Action::Push(step) => Self::Push {
                image: name(plan, step.image),
                registry: step.registry.name.clone(),
                repository: repository(&step.registry),
            },
            Action::Sign(step) => Self::Sign {
                image: name(plan, step.image),
                registry: step.registry.name.clone(),
                repository: repository(&step.registry),
                keys: step.keys.len(),
            },
            Action::Attest(step) => Self::Attest {
                image: name(plan, step.image),
                registry: step.registry.name.clone(),
                repository: repository(&step.registry),
                provenance: step.provenance.is_some(),
                sbom: step.sbom.as_ref().map(|sbom| sbom.value.to_string()),
            },
            Action::Tag(step) => Self::Tag {
                image: name(plan, step.image),
                registry: step.registry.name.clone(),
                repository: repository(&step.registry),
                tags: step
                    .tags
                    .iter()
                    .map(|tag| TagView {
                        tag: tag.tag.to_string(),
                        rule: tag.rule,
                        immutable: tag.movement == Movement::Immutable,
                    })
                    .collect(),
            },
            Action::Found(step) => Self::Found {
                digest: step.image.as_ref().map(|image| image.digest.to_string()),
                repositories: step.sources.iter().map(|source| source.place.to_string()).collect(),
            },
            Action::Enter(step) => Self::Enter {
                stage: step.stage.clone(),
                images: step.images.iter().map(|image| name(plan, image.image)).collect(),
            },
            Action::Record(step) => Self::Record {
                stage: step.stage.clone(),
                images: step.images.iter().map(|image| name(plan, *image)).collect(),
            },
            Action::Deploy(step) => {
                let (mut commands, mut edits) = (None, Vec::new());
                match &step.work {
                    Deployment::Run(command) => commands = Some(command.commands.len()),
                    Deployment::Gitops(gitops) => {
                        edits = gitops.edits.iter().map(|edit| edit.path.clone()).collect();
                    }
                    Deployment::Kubectl(_) | Deployment::Compose(_) => {}
                }
                Self::Deploy { commands, edits }
            }
            Action::Verify(step) => Self::Verify {
                http: step.http.iter().map(|probe| without_credentials(&probe.address)).collect(),
                commands: step.command.commands.len(),
            },
            Action::NotAvailable(gap) => Self::NotAvailable { what: gap.what.clone() },
        }
    }
}

fn repository(registry: &RegistryPlan) -> String {
    registry.place.to_string()
}

impl PartView {
    fn new(part: &KeyPart) -> Self {
        let number = |at: usize| Some(at.to_string());
        let (subject, name) = match &part.subject {
            Subject::Command(at) => ("command", number(*at)),
            Subject::Directory => ("directory", None),
            Subject::Variable(name) => ("variable", Some(name.clone())),
            Subject::Tool(command) => ("tool", Some(command.clone())),
            Subject::Input(path) => ("input", Some(path.to_string())),
            Subject::Output(at) => ("output", number(*at)),
            Subject::Platform => ("platform", None),
            Subject::Base => ("base", None),
            Subject::Layer(at) => ("layer", number(*at)),
            Subject::Setting(name) => ("setting", Some(name.clone())),
            Subject::Check(name) => ("check", Some(name.clone())),
            Subject::Format => ("format", None),
        };
        let (text, digest) = match &part.value {
            PartValue::Text(text) => (Some(text.clone()), None),
            PartValue::Digest(digest) => (None, Some(blake3::Hash::from(*digest).to_hex().to_string())),
        };
        Self { subject, name, text, digest }
    }
}

impl GapView {
    fn new(gap: &Gap, sources: &Sources) -> Self {
        Self { what: gap.what.clone(), declared: place(gap.span, sources) }
    }
}

fn place(span: Span, sources: &Sources) -> Option<PlaceView> {
    let (line, column) = sources.position(span)?;
    Some(PlaceView { file: sources.get(span.source)?.name.clone(), line, column })
}
