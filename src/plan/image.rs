//! What the steps of an image do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::config::{Budget, ClientCertificate, ProjectPath, Secret};
use crate::diagnostic::{Problem, Span, Spanned};
use crate::oci::{Descriptor, LayerCompression, Platform, Tag};
use crate::plan::{RemoteBase, StepIndex};
use crate::tags::PlannedTag;

/// Makes an image of one platform from files.
#[derive(Clone, Debug, PartialEq)]
pub struct AssembleStep {
    /// What it is built for.
    pub platform: Platform,
    /// What it starts from.
    pub base: BaseSource,
    /// Layers on top of the base, in order.
    pub layers: Vec<LayerPlan>,
    /// The configuration.
    pub settings: ImageSettings,
    /// The declaration.
    pub span: Span,
}

/// Where the base of an assembled image is found.
#[derive(Clone, Debug, PartialEq)]
pub enum BaseSource {
    /// There is none.
    Scratch,
    /// In a layout directory: the index or manifest, and its bytes.
    Layout(ProjectPath, Box<Descriptor>, Arc<[u8]>),
    /// In a registry.
    Registry(Box<RemoteBase>),
    /// Made by a step of this plan for the same platform.
    Step(StepIndex),
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPlan {
    /// How it is compressed.
    pub compression: LayerCompression,
    /// What is deleted of the layers below, before anything is copied.
    pub removes: Vec<RemovePlan>,
    /// Its contents; a later one wins over an earlier one.
    pub copies: Vec<CopyPlan>,
}

/// Something to delete of the layers below.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovePlan {
    /// An absolute path in the image.
    pub path: String,
    /// The declaration.
    pub span: Span,
}

/// Files to put into a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyPlan {
    /// A file, a directory (its contents are copied), or a glob; relative to the
    /// project's directory.
    pub from: String,
    /// An absolute path in the image; with a trailing `/` a directory to copy into.
    pub to: String,
    /// Permission bits of files, where not those that follow from the source.
    pub mode: Option<u32>,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Globs relative to `from` that are left out.
    pub exclude: Vec<String>,
    /// The declaration.
    pub span: Span,
}

/// The configuration of an assembled image; `None` keeps the base's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSettings {
    /// `Entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// `Cmd`.
    pub cmd: Option<Vec<String>>,
    /// `User`.
    pub user: Option<String>,
    /// `WorkingDir`.
    pub workdir: Option<String>,
    /// `ExposedPorts`, as `8080/tcp`, added to the base's.
    pub expose: Vec<String>,
    /// `Volumes`, added to the base's.
    pub volumes: Vec<String>,
    /// `Env`, added to the base's.
    pub env: IndexMap<String, String>,
    /// `Labels`, added to the base's, those of hoist among them.
    pub labels: IndexMap<String, String>,
    /// `StopSignal`.
    pub stop_signal: Option<String>,
    /// `created`: the commit's time.
    pub created: Timestamp,
}

/// Joins the images of several platforms; with one platform its image is passed
/// on as it is. The step's needs are the builds, in the order of the platforms.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexStep {
    /// The platforms, in order.
    pub platforms: Vec<(Platform, StepIndex)>,
    /// Annotations of the index.
    pub annotations: IndexMap<String, String>,
    /// What the image is called in the engine of this machine, and the rule that says so.
    pub local: Vec<(String, Span)>,
}

/// Tests an image.
#[derive(Clone, Debug, PartialEq)]
pub struct TestStep {
    /// The step that made the image.
    pub image: StepIndex,
    /// Its platforms, in order.
    pub platforms: Vec<Platform>,
    /// Commands that must succeed in it.
    pub tests: Vec<TestPlan>,
    /// What must be true of its configuration and files.
    pub expects: Vec<ExpectPlan>,
}

/// A command that must succeed in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct TestPlan {
    /// Its name.
    pub name: String,
    /// Variables beside the image's own.
    pub env: IndexMap<String, String>,
    /// In place of the image's `Cmd`, if not empty.
    pub run: Vec<String>,
    /// In place of the image's `Entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the image's `User`.
    pub user: Option<String>,
    /// What must hold.
    pub expects: Vec<ExpectPlan>,
    /// How long it may take.
    pub timeout: Duration,
    /// The declaration.
    pub span: Span,
}

/// One thing that must hold, filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectPlan {
    /// What; templates are texts without fields here.
    pub what: crate::config::Expect,
    /// The declaration.
    pub span: Span,
}

/// Weighs an image.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetStep {
    /// The step that made the image.
    pub image: StepIndex,
    /// What it may weigh.
    pub budget: Budget,
    /// What it is compared with, where its growth is bounded.
    pub since: Option<Box<SincePlan>>,
    /// The declaration.
    pub span: Span,
}

/// An image that was published before.
#[derive(Clone, Debug, PartialEq)]
pub struct SincePlan {
    /// Where it is.
    pub registry: RegistryPlan,
    /// The tag that holds it.
    pub tag: Tag,
    /// Whether it has to be read: the run publishes what is compared with it.
    pub required: bool,
}

/// A registry with its templates filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistryPlan {
    /// Its name in the file.
    pub name: String,
    /// Where the file says so; `None` for one that it does not declare.
    pub span: Option<Span>,
    /// Where it is.
    pub place: RegistryPlace,
    /// Whether plain HTTP is spoken.
    pub insecure: bool,
    /// A certificate authority of its own.
    pub ca: Option<ProjectPath>,
    /// A certificate to show there.
    pub client: Option<ClientCertificate>,
    /// Who one is there, if the file says so.
    pub login: Option<LoginPlan>,
}

/// Who one is at a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct LoginPlan {
    /// The user; or why it is not known here, such as a variable that only CI
    /// sets. That matters when something is published, and not before.
    pub username: Result<String, Box<Problem>>,
    /// Where the password is found; never its value.
    pub password: Spanned<Secret>,
}

/// Where a registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryPlace {
    /// `host[:port]/path` of the repository, without tag or digest.
    Remote(String),
    /// The layout directory of the repository: the registry's directory and the
    /// repository's path below it.
    Layout(ProjectPath),
}

impl fmt::Display for RegistryPlace {
    /// As a user would name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(name) => f.write_str(name),
            Self::Layout(path) => write!(f, "oci:{path}"),
        }
    }
}

/// Copies an image to a registry, by digest. Nothing becomes visible.
#[derive(Clone, Debug, PartialEq)]
pub struct PushStep {
    /// The step that made the image.
    pub image: StepIndex,
    /// Where to.
    pub registry: RegistryPlan,
}

/// Gives an image its names in a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct TagStep {
    /// The step that made the image.
    pub image: StepIndex,
    /// Where.
    pub registry: RegistryPlan,
    /// The names, in the order in which they become visible.
    pub tags: Vec<PlannedTag>,
}
