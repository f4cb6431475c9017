//! Steps that build an image from a Dockerfile.

use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::config::{BuildSecret, ProjectPath};
use crate::diagnostic::{SourceId, Span, Spanned};
use crate::oci::Platform;
use crate::plan::{RemoteBase, StepIndex};

/// Builds an image of one platform from a Dockerfile.
#[derive(Clone, Debug, PartialEq)]
pub struct DockerfileStep {
    /// What it is built for.
    pub platform: Platform,
    /// The Dockerfile; images of registries that it starts from are named by digest.
    pub dockerfile: Arc<str>,
    /// What spans into the Dockerfile as it is written name.
    pub source: SourceId,
    /// Directory whose files are sent to the engine.
    pub context: ProjectPath,
    /// Names that stand in [`dockerfile`](Self::dockerfile) for images of further
    /// directories, in the order of the step's inputs.
    pub directories: Vec<String>,
    /// Images of this plan that it starts from, by the names that stand for them in
    /// [`dockerfile`](Self::dockerfile).
    pub images: Vec<(String, StepIndex)>,
    /// The stage to build; the last one by default.
    pub target: Option<String>,
    /// Network mode of its `RUN` instructions.
    pub network: Option<String>,
    /// Whether what the engine has of earlier builds is left aside.
    pub no_cache: bool,
    /// Build arguments.
    pub arguments: IndexMap<String, String>,
    /// Secrets that its `RUN` instructions may mount; never their values.
    pub secrets: Vec<BuildSecret>,
    /// Agents of ssh that its `RUN` instructions may use.
    pub ssh: Vec<Spanned<String>>,
    /// Where layers are kept between machines.
    pub caches: Vec<CachePlan>,
    /// Images of registries that it starts from.
    pub bases: Vec<RemoteBase>,
    /// `Labels`, added to those of the Dockerfile, those of hoist among them.
    pub labels: IndexMap<String, String>,
    /// `created`: the commit's time.
    pub created: Timestamp,
    /// The declaration.
    pub span: Span,
}

/// Where an engine keeps layers between machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachePlan {
    /// In the image itself.
    Inline,
    /// At a reference, with the layers of all stages or of the last one.
    Registry {
        /// Its reference.
        reference: String,
        /// Whether layers of intermediate stages are kept, too.
        max: bool,
    },
    /// In a directory.
    Local(ProjectPath),
}
