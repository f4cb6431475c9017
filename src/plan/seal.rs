//! Steps that vouch for an image in a registry.

use indexmap::IndexMap;

use crate::config::{Image, ProjectPath, Secret, Sign};
use crate::diagnostic::{Span, Spanned};
use crate::facts::{Event, Scope};
use crate::plan::label::web_address;
use crate::plan::lower::{Lower, Made};
use crate::plan::publish::{define, nothing};
use crate::plan::unit::Job;
use crate::plan::{Action, Effect, RegistryPlan, StepIndex, Subject};

/// Signs an image in a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct SignStep {
    /// The step that made the image.
    pub image: StepIndex,
    /// Where it lies.
    pub registry: RegistryPlan,
    /// The keys, by where they are found.
    pub keys: Vec<Sign>,
}

/// Attaches statements to an image in a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct AttestStep {
    /// The step that made the image.
    pub image: StepIndex,
    /// Where it lies.
    pub registry: RegistryPlan,
    /// The keys that sign the statements, by where they are found.
    pub keys: Vec<Sign>,
    /// How the image was made, if that is stated.
    pub provenance: Option<ProvenancePlan>,
    /// A software bill of materials.
    pub sbom: Option<Spanned<ProjectPath>>,
    /// The declaration.
    pub span: Span,
}

/// What is stated of how an image was made, as far as it is known before it is: the steps
/// that made it tell the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenancePlan {
    /// The image's name in the release file.
    pub image: String,
    /// What the run is for: the kind of event, and the name or number that it has.
    pub event: (&'static str, Option<String>),
    /// Variables of the release file that were given a value from outside, but for values
    /// that are secret.
    pub variables: IndexMap<String, String>,
    /// The commit that it is made from, if there is one.
    pub source: Option<SourcePlan>,
}

/// A commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePlan {
    /// Where the repository is looked at with a browser, if it has a remote.
    pub remote: Option<String>,
    /// The commit: 40 hex digits.
    pub commit: String,
    /// Whether tracked files differ from it.
    pub dirty: bool,
}

impl Lower<'_> {
    pub(super) fn sign(&mut self, at: usize, image: &Image, channel: usize) -> Made {
        let Some(registry) = self.registry(image, channel) else { return nothing() };
        let mut definition = define(&registry);
        definition.text(Subject::Setting("signatures".to_owned()), image.signs.len().to_string());
        let step = SignStep { image: self.place(at, Job::Index), registry, keys: image.signs.clone() };
        Made::new(Action::Sign(Box::new(step)), definition, Effect::Publishing)
    }

    pub(super) fn attest(&mut self, at: usize, image: &Image, channel: usize, span: Span) -> Made {
        let Some(registry) = self.registry(image, channel) else { return nothing() };
        let mut definition = define(&registry);
        let provenance = image.provenance.as_ref().is_some_and(|wanted| wanted.value);
        if provenance {
            definition.text(Subject::Setting("provenance".to_owned()), "SLSA 1");
        }
        if let Some(sbom) = &image.sbom {
            definition.text(Subject::Setting("sbom".to_owned()), sbom.value.to_string());
        }
        let step = AttestStep {
            image: self.place(at, Job::Index),
            registry,
            keys: image.signs.clone(),
            provenance: provenance.then(|| self.provenance(image)),
            sbom: image.sbom.clone(),
            span,
        };
        Made::new(Action::Attest(Box::new(step)), definition, Effect::Publishing)
    }

    fn provenance(&self, image: &Image) -> ProvenancePlan {
        let event = &self.facts.event;
        let name = match event {
            Event::Tag(name) | Event::Branch(name) => Some(name.clone()),
            Event::PullRequest(number) => Some(number.to_string()),
            Event::Schedule | Event::Unnamed => None,
        };
        let source = self.facts.git.as_ref().map(|git| SourcePlan {
            remote: git.remote.as_deref().and_then(web_address),
            commit: git.sha.clone(),
            dirty: git.dirty,
        });
        let scope = Scope::new(self.release, self.facts);
        let given = self.release.vars.keys().filter_map(|name| Some((name.clone(), scope.given(name)?)));
        let environment = &self.facts.environment;
        let declared = self.release.secrets().filter_map(|secret| match secret {
            Secret::Env(name) => environment.text(name).filter(|value| !value.is_empty()),
            Secret::File(_) | Secret::Command(_) => None,
        });
        let declared: Vec<&str> = declared.collect();
        let is_secret =
            |value: &str| self.is_secret(value) || declared.iter().any(|secret| value.contains(secret));
        let variables = given.filter(|(_, value)| !is_secret(value)).collect();
        ProvenancePlan { image: image.name.value.clone(), event: (event.kind(), name), variables, source }
    }
}
