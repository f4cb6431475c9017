//! What the steps of stages do.

use std::time::Duration;

use crate::config::{Command, Deploy, HttpCheck, Image, ProjectPath, Stage};
use crate::diagnostic::{Code, Problem, Span, Spanned};
use crate::facts::{Scope, without_credentials};
use crate::oci::Descriptor;
use crate::plan::entering::{Promoted, images_of_stage, tests_of};
use crate::plan::lower::{Lower, Made};
use crate::plan::unit::{Job, StageJob, Unit, channels, image_jobs};
use crate::plan::{Action, CommandStep, Definition, Effect, RegistryPlan, StepIndex, Subject};

/// Finds an image that is there: a stage ran it, and it is not built again.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundStep {
    /// Its index or manifest; none where the plan is only looked at, and it is not known.
    pub image: Option<Descriptor>,
    /// Where it is.
    pub sources: Vec<RegistryPlan>,
}

/// Puts down in the ledger that a stage runs its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnterStep {
    /// The stage.
    pub stage: String,
    /// Its images.
    pub images: Vec<StageImage>,
}

/// Attaches what the ledger says of an entrance to the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordStep {
    /// The stage.
    pub stage: String,
    /// The steps that made its images, or found them.
    pub images: Vec<StepIndex>,
}

/// An image of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageImage {
    /// Its name.
    pub name: String,
    /// The step that made it, or found it.
    pub image: StepIndex,
    /// The tests that it passes before anything is tagged.
    pub tests: Vec<String>,
    /// The repository where the stage finds it, as a user would name it.
    pub place: Option<String>,
    /// A tag that it has there from before, and that never moves.
    pub stays: Option<String>,
}

impl StageImage {
    /// What its variables end with: `WEB` of `HOIST_IMAGE_WEB`.
    #[must_use]
    pub fn variable(&self) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        self.name.chars().map(letter).collect()
    }
}

/// An address that has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProbe {
    /// Where.
    pub address: String,
    /// With which status.
    pub status: u16,
    /// A certificate authority beside those of the system.
    pub ca: Option<Spanned<ProjectPath>>,
    /// The request in the source.
    pub span: Span,
}

/// Makes sure that a stage works.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyStep {
    /// How long it may take to.
    pub within: Duration,
    /// What is asked for.
    pub http: Vec<HttpProbe>,
    /// Commands that must succeed.
    pub command: CommandStep,
    /// The images; commands find them in variables.
    pub images: Vec<StageImage>,
}

impl Lower<'_> {
    /// An image that is taken from a stage.
    pub(super) fn found(promoted: &Promoted) -> Made {
        let mut definition = Definition::default();
        definition.text(Subject::Format, "found 1");
        if let Some(image) = &promoted.image {
            definition.text(Subject::Base, image.digest.to_string());
        }
        let step = FoundStep { image: promoted.image.clone(), sources: promoted.sources.clone() };
        Made::new(Action::Found(Box::new(step)), definition, Effect::Publishing)
    }

    pub(super) fn stage(&mut self, stage: &Stage, job: StageJob) -> Made {
        let entering = self.selection.entering();
        if !self.selection.is_release() && entering.by_hand.is_none() {
            let what = "entering a stage by the name of one of its steps";
            return Made::not_available(what, stage.name.span, Effect::Publishing);
        }
        match job {
            StageJob::Enter => self.enter(stage),
            StageJob::Deploy(at) => self.deploy(stage, at),
            StageJob::Verify => self.verify(stage),
            StageJob::Record => self.record(stage),
        }
    }

    fn enter(&mut self, stage: &Stage) -> Made {
        let images = self.stage_images(stage);
        for (at, image) in images_of_stage(self.release, stage) {
            if !self.is_published(at, image) {
                let title = format!(
                    "`{}` cannot be entered: its image `{}` is not published",
                    stage.name.value, image.name.value
                );
                let problem = Problem::new(Code::NotPublishable, title);
                self.problems.push(
                    problem
                        .label(stage.name.span, "this stage")
                        .label(image.name.span, "this image has no `push` for this kind of event")
                        .help("write `push … on=…`, or give the stage a `registry`"),
                );
            }
        }
        self.check_variables(stage, &images);
        let mut definition = Definition::default();
        definition.text(Subject::Format, "enter 1");
        let step = EnterStep { stage: stage.name.value.clone(), images };
        Made::new(Action::Enter(Box::new(step)), definition, Effect::Publishing)
    }

    fn record(&mut self, stage: &Stage) -> Made {
        let images = images_of_stage(self.release, stage).map(|(at, _)| at);
        let images: Vec<usize> = images.collect();
        let images = images.into_iter().map(|at| self.place(at, Job::Index)).collect();
        let mut definition = Definition::default();
        definition.text(Subject::Format, "record 1");
        let step = RecordStep { stage: stage.name.value.clone(), images };
        Made::new(Action::Record(step), definition, Effect::Publishing)
    }

    /// Two images that commands could not tell apart.
    fn check_variables(&mut self, stage: &Stage, images: &[StageImage]) {
        let deploys = stage.deploys.iter().any(|deploy| matches!(deploy.value, Deploy::Run(_)));
        if !deploys && stage.verify.as_ref().is_none_or(|verify| verify.value.run.is_empty()) {
            return;
        }
        for (at, image) in images.iter().enumerate() {
            let variable = image.variable();
            if let Some(other) = images.iter().take(at).find(|other| other.variable() == variable) {
                let title = format!(
                    "`{}` and `{}` are both `HOIST_IMAGE_{variable}` to the commands of `{}`",
                    other.name, image.name, stage.name.value
                );
                let problem = Problem::new(Code::DuplicateName, title).label(stage.name.span, "this stage");
                self.problems.push(problem.help("give one of the images another name"));
            }
        }
    }

    /// Whether this run brings an image somewhere.
    pub(super) fn is_published(&self, at: usize, image: &Image) -> bool {
        let pushed = |job: Job| {
            matches!(job, Job::Push(_)) && self.places.contains_key(&Unit::Image { image: at, job })
        };
        image_jobs(self.release, image).into_iter().any(pushed)
    }

    pub(super) fn stage_images(&mut self, stage: &Stage) -> Vec<StageImage> {
        let images: Vec<(usize, &Image)> = images_of_stage(self.release, stage).collect();
        let images = images.into_iter().map(|(at, image)| {
            let promoted = self.selection.entering().promoted(image);
            let place = self.place_in(stage, at, image);
            StageImage {
                name: image.name.value.clone(),
                image: self.place(at, Job::Index),
                tests: promoted.map_or_else(|| tests_of(image), |promoted| promoted.tests.clone()),
                stays: promoted.and_then(|promoted| promoted.stays.get(place.as_ref()?).cloned()),
                place,
            }
        });
        images.collect()
    }

    /// Where a stage finds an image: in its own registry, else in the first that the image
    /// goes to.
    fn place_in(&mut self, stage: &Stage, at: usize, image: &Image) -> Option<String> {
        let own = stage.registry.as_ref().map(|registry| registry.value.as_str());
        let channels = channels(self.release, image);
        let pushed =
            |channel: &usize| self.places.contains_key(&Unit::Image { image: at, job: Job::Push(*channel) });
        let mut pushed: Vec<usize> = (0..channels.len()).filter(pushed).collect();
        pushed.sort_by_key(|channel| channels.get(*channel).is_none_or(|channel| Some(channel.name) != own));
        // What is wrong with a registry is told where something is published there.
        let told = std::mem::take(&mut self.problems);
        let registry = pushed.first().and_then(|channel| self.registry(image, *channel));
        self.problems = told;
        Some(registry?.place.to_string())
    }

    fn verify(&mut self, stage: &Stage) -> Made {
        let Some(verify) = &stage.verify else { return Self::undefined(stage) };
        let scope = Scope::new(self.release, self.facts).of(&stage.name.value);
        let http = verify.value.http.iter();
        let http = http.map(|check| HttpProbe {
            address: self.address(&scope, check),
            status: check.status,
            ca: check.ca.clone(),
            span: check.span,
        });
        let http = http.collect();
        let command = self.stage_command(stage, &verify.value.run);
        let definition = self.define_command(&command);
        let step =
            VerifyStep { within: verify.value.within, http, command, images: self.stage_images(stage) };
        Made::new(Action::Verify(Box::new(step)), definition, Effect::Publishing)
    }

    /// What is asked over HTTP.
    fn address(&mut self, scope: &Scope<'_>, check: &HttpCheck) -> String {
        let address = self.fill(scope, &check.url);
        if !address.is_empty() && !is_http(&address) {
            let title = format!("`{}` is not the address of a web page", without_credentials(&address));
            let problem = Problem::new(Code::InvalidValue, title).label(check.span, "asked for here");
            self.problems.push(problem.help("write it as `https://HOST/PATH`, or with `http`"));
        }
        address
    }

    /// Commands of a stage: they see all of the caller's environment, as what always runs.
    pub(super) fn stage_command(&mut self, stage: &Stage, commands: &[Spanned<Command>]) -> CommandStep {
        let mut command = self.callers_command(&stage.name.value, &stage.home, commands);
        command.variables.set.insert("HOIST_STAGE".to_owned(), stage.name.value.clone());
        command
    }

    /// Stands for a step that is not declared.
    pub(super) fn undefined(stage: &Stage) -> Made {
        Made::not_available("a step that is not declared", stage.name.span, Effect::Publishing)
    }
}

/// Whether an address names a host to be asked over HTTP.
fn is_http(address: &str) -> bool {
    let scheme = address.split_once("://");
    let rest =
        scheme.filter(|(scheme, _)| ["http", "https"].iter().any(|it| it.eq_ignore_ascii_case(scheme)));
    let host = rest.and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let host = host.and_then(|host| host.rsplit('@').next()).unwrap_or_default();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_whole = !name.is_empty() && name.starts_with('[') == name.ends_with(']');
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    is_whole && is_port && !address.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_can_be_asked_are_taken() {
        for right in ["http://h", "https://h:8080/x?y", "HTTPS://h", "http://u:p@h/x", "http://[::1]:80/"] {
            assert!(is_http(right), "{right}");
        }
        for wrong in [
            "h",
            "h/x",
            "ftp://h",
            "http://",
            "http:///x",
            "http://:80",
            "http://a b/",
            "http://u@/x",
            "http://h:port",
            "http://h:99999",
            "http://[::1",
        ] {
            assert!(!is_http(wrong), "{wrong}");
        }
    }
}
