//! Stages: where images go after they are published, and under which conditions.

use std::fmt;
use std::time::Duration;

use crate::config::{Bounds, ProjectPath, Rule, Secret, Template};
use crate::diagnostic::{Span, Spanned};
use serde::{Deserialize, Serialize};

/// `stage "name" { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name, with the prefix of an included file.
    pub name: Spanned<String>,
    /// What it is, in the list.
    pub about: Option<String>,
    /// Directory of the file that declares it.
    pub home: ProjectPath,
    /// Events that enter it by themselves.
    pub on: Vec<Spanned<EventPattern>>,
    /// The stages that its images are taken from: one of them runs these.
    pub from: Vec<Spanned<String>>,
    /// Its images; empty for all that have `push`.
    pub images: Vec<Spanned<String>>,
    /// Registry that promoted images are copied to.
    pub registry: Option<Spanned<String>>,
    /// Names that are added to the images' own.
    pub tags: Vec<Rule>,
    /// Conditions that must hold.
    pub require: Option<Spanned<Require>>,
    /// Who must agree.
    pub approve: Option<Spanned<Approve>>,
    /// What is done with the images, in order.
    pub deploys: Vec<Spanned<Deploy>>,
    /// What must hold afterwards.
    pub verify: Option<Spanned<Verify>>,
    /// What of that which it ran is kept, so that it can go back there.
    pub retain: Option<Bounds>,
    /// Its entries of the ledger are attached to the images that entered.
    pub record: Option<Spanned<bool>>,
}

impl Stage {
    /// Whether something is done with its images, or must hold, once it is entered.
    #[must_use]
    pub const fn is_deployed(&self) -> bool {
        !self.deploys.is_empty() || self.verify.is_some()
    }
}

/// One property of `on`: globs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventPattern {
    /// `branch="…"`.
    Branch(String),
    /// `tag="…"`.
    Tag(String),
    /// `pr=#true`.
    PullRequest,
    /// `schedule=#true`.
    Schedule,
}

/// How bad a finding of a scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Known, of no weight.
    Negligible,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// All, the worst first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Negligible];

    /// Its name, as in the language.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Negligible => "negligible",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `require …`: gates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Require {
    /// The image's tests passed.
    pub tests: bool,
    /// Scans found nothing of this severity or above.
    pub scan: Option<Severity>,
    /// The image is signed.
    pub signed: bool,
    /// The image has a provenance statement.
    pub provenance: bool,
    /// How long it ran in the stage before.
    pub soak: Option<Duration>,
    /// The commit is on this branch.
    pub branch: Option<String>,
    /// The tree was clean.
    pub clean: bool,
    /// Where each of them is written, by the name of its property.
    pub places: Vec<Spanned<String>>,
}

impl Require {
    /// Where a condition is written, by the name of its property.
    #[must_use]
    pub fn place(&self, condition: &str) -> Option<Span> {
        self.places.iter().find(|place| place.value == condition).map(|place| place.span)
    }
}

/// `approve "group" …`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approve {
    /// Who is asked.
    pub by: Vec<String>,
    /// The merged pull request that says so, too.
    pub pull_request: Option<MergedRequest>,
}

/// `pull-request base="…" …` of an `approve`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergedRequest {
    /// The branch that it was merged into; any by default.
    pub base: Option<String>,
    /// Where it is.
    pub at: ForgeAccess,
}

/// One `deploy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Deploy {
    /// Edits files of a git repository, commits, and pushes.
    Gitops {
        /// Where it is; the own repository by default.
        repo: Option<Template>,
        /// The branch that is edited; the repository's default.
        branch: Option<Template>,
        /// The edits, in order.
        edits: Vec<Spanned<Edit>>,
        /// Message of the commit.
        commit: Option<Template>,
        /// The pull request that is made instead of a push.
        pull_request: Option<PullRequest>,
    },
    /// Sets images of a Kubernetes cluster.
    Kubectl {
        /// The namespace.
        namespace: Option<Template>,
        /// The context of the client's configuration.
        context: Option<Template>,
        /// Workload, container, and image.
        sets: Vec<KubectlSet>,
        /// How long a rollout may take.
        within: Duration,
    },
    /// Restarts services of a compose file.
    Compose {
        /// The file.
        file: Spanned<ProjectPath>,
        /// The services; empty for those whose images are the stage's.
        services: Vec<Spanned<String>>,
    },
    /// Runs commands.
    Run(Vec<Spanned<crate::config::Command>>),
}

/// `set "deployment/django" container="django" image="…"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubectlSet {
    /// `kind/name`.
    pub workload: Spanned<String>,
    /// The container.
    pub container: String,
    /// The image, where the stage has several.
    pub image: Option<Spanned<String>>,
}

/// An edit of one manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Edit {
    /// Sets an entry of `images` in a kustomization.
    Kustomize {
        /// Directory of the kustomization.
        path: Template,
        /// The name that its entry has.
        image: Spanned<String>,
        /// The image of the stage that it is set to, where the name does not say it.
        is: Option<Spanned<String>>,
        /// Whether the digest is said, even where a tag is.
        digest: bool,
    },
    /// Sets a scalar of a YAML file.
    Yaml {
        /// The file.
        path: Template,
        /// Path of the scalar.
        set: String,
        /// Its new value.
        to: NewValue,
        /// Whether aliases of it may change with it.
        aliases: bool,
    },
    /// Replaces what a regular expression matches.
    Replace {
        /// The file.
        path: Template,
        /// The expression.
        regex: Spanned<String>,
        /// What stands in its place.
        with: Template,
    },
}

/// What a scalar is set to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum NewValue {
    /// `to="…"`.
    Text(Template),
    /// `digest-of="web"`: the digest of an image of the stage.
    DigestOf(Spanned<String>),
}

/// `pull-request title="…" …`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its title; the commit's message by default.
    pub title: Option<Template>,
    /// Where it is opened.
    pub at: ForgeAccess,
}

/// How what keeps a repository is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForgeAccess {
    /// What keeps the repository; by the name of the host by default.
    pub forge: Option<Forge>,
    /// Where its API is; below the host by default.
    pub api: Option<Spanned<String>>,
    /// What lets one in; a variable of the forge's own by default.
    pub token: Option<Spanned<Secret>>,
    /// The node in the source.
    pub span: Span,
}

/// What keeps repositories and takes pull requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forge {
    /// GitHub, and GitHub Enterprise Server.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea, and Forgejo.
    Gitea,
}

/// `verify within="5m" { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verify {
    /// How long it may take to hold.
    pub within: Duration,
    /// Whether a failure rolls back.
    pub rollback: bool,
    /// Requests that must succeed.
    pub http: Vec<HttpCheck>,
    /// Commands that must succeed.
    pub run: Vec<Spanned<crate::config::Command>>,
}

/// `http "https://…" status=200 ca="…"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// What is asked for.
    pub url: Template,
    /// The status that is expected.
    pub status: u16,
    /// A certificate authority beside those of the system.
    pub ca: Option<Spanned<ProjectPath>>,
    /// The node in the source.
    pub span: Span,
}
