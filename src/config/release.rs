//! The whole of what a project declares.

use std::time::Duration;

use indexmap::IndexMap;

use crate::config::{
    ClientCertificate, Image, ProjectPath, Registry, Secret, Stage, TagSet, Target, Template,
};
use crate::diagnostic::{Span, Spanned};
use crate::oci::Platform;
use serde::{Deserialize, Serialize};

/// A `release.kdl` with all that it includes, checked.
///
/// Names of included files have their prefix (`api/lint`). Every map is in the
/// order of declaration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// `project "name"`, or the name of the project's directory.
    pub project: String,
    /// `settings`.
    pub settings: Settings,
    /// `var`.
    pub vars: IndexMap<String, Var>,
    /// `dotenv`: files read in order, a later one wins.
    pub dotenv: Vec<Spanned<ProjectPath>>,
    /// `default`: what a bare `hoist run` does.
    pub default: Vec<Spanned<String>>,
    /// `pool`.
    pub pools: IndexMap<String, Pool>,
    /// `registry`.
    pub registries: IndexMap<String, Registry>,
    /// Named `tags`.
    pub tag_sets: IndexMap<String, TagSet>,
    /// `target`.
    pub targets: IndexMap<String, Target>,
    /// `image`.
    pub images: IndexMap<String, Image>,
    /// `stage`.
    pub stages: IndexMap<String, Stage>,
    /// `builder`.
    pub builders: IndexMap<String, Builder>,
    /// `cache`.
    pub cache: CacheSettings,
    /// `execute`.
    pub execute: Option<Execute>,
}

/// What a name of the file stands for. Targets and images share one name space.
#[derive(Clone, Copy, Debug)]
pub enum Declared<'a> {
    /// A target.
    Target(&'a Target),
    /// An image.
    Image(&'a Image),
}

impl Release {
    /// A project that declares nothing.
    #[must_use]
    pub fn empty(project: &str) -> Self {
        Self {
            project: project.to_owned(),
            settings: Settings::default(),
            vars: IndexMap::new(),
            dotenv: Vec::new(),
            default: Vec::new(),
            pools: IndexMap::new(),
            registries: IndexMap::new(),
            tag_sets: IndexMap::new(),
            targets: IndexMap::new(),
            images: IndexMap::new(),
            stages: IndexMap::new(),
            builders: IndexMap::new(),
            cache: CacheSettings::default(),
            execute: None,
        }
    }

    /// The target or image of this name.
    #[must_use]
    pub fn declared(&self, name: &str) -> Option<Declared<'_>> {
        let target = self.targets.get(name).map(Declared::Target);
        target.or_else(|| self.images.get(name).map(Declared::Image))
    }

    /// Where all passwords and keys of registries, images, and builders are found.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let of_registries = self.registries.values().flat_map(Registry::secrets);
        let of_images = self.images.values().flat_map(Image::secrets);
        let of_builders = self.builders.values().filter_map(|builder| builder.client.as_ref());
        of_registries.chain(of_images).chain(of_builders.map(|client| &client.key.value))
    }
}

/// `settings { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Steps at once; by default the number of processors.
    pub jobs: Option<usize>,
    /// Program and arguments that a script is given to; `sh -eu -c` by default.
    pub shell: Vec<String>,
    /// How long a step may take where it does not say so itself.
    pub timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        let shell = ["sh", "-eu", "-c"].map(str::to_owned).to_vec();
        Self { jobs: None, shell, timeout: None }
    }
}

/// Goals: words of the command line and of `default` that stand for steps of
/// every image, unless a target or an image has their name.
pub const GOALS: &[&str] = &["build", "test", "scan", "push", "release"];

/// `var "name" "value" env="NAME" about="…"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Var {
    /// Its name, with the prefix of an included file.
    pub name: Spanned<String>,
    /// Its value where nothing overrides it; `None`: it must be given.
    pub value: Option<Template>,
    /// Variable of the environment that overrides it.
    pub env: Option<String>,
    /// What it is, in the list.
    pub about: Option<String>,
}

/// `pool "db" 1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: Spanned<String>,
    /// Steps of the pool at once; at least 1.
    pub size: usize,
}

/// `builder "arm" "ssh://ci@arm-1" platforms="linux/arm64"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Builder {
    /// Its name.
    pub name: Spanned<String>,
    /// Where it is.
    pub address: Spanned<Template>,
    /// What it builds natively; empty for what it says itself.
    #[serde(with = "crate::config::platforms")]
    pub platforms: Vec<Spanned<Platform>>,
    /// The authority that vouches for it; the connection is one over TLS then.
    pub ca: Option<Spanned<ProjectPath>>,
    /// A certificate to show; its key is in a file or a variable.
    pub client: Option<ClientCertificate>,
}

/// `cache dir="…" max-size="20GB" { remote … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheSettings {
    /// Its directory; `~/` stands for the user's home.
    pub dir: Option<Spanned<String>>,
    /// Most bytes that are kept.
    pub max_size: Option<u64>,
    /// Whether built images are shared through their registry.
    pub registry: bool,
    /// A cache on the network.
    pub remote: Option<RemoteCache>,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { dir: None, max_size: None, registry: true, remote: None }
    }
}

/// `remote "grpcs://…" instance="main" read-only=#false`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteCache {
    /// Its address.
    pub address: Spanned<Template>,
    /// Its instance name.
    pub instance: String,
    /// Whether it is only read.
    pub read_only: bool,
    /// The node in the source.
    pub span: Span,
}

/// `execute "grpcs://…" instance="main" { platform … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execute {
    /// Its address.
    pub address: Spanned<Template>,
    /// Its instance name.
    pub instance: String,
    /// Properties of the machines that are asked for.
    pub platform: IndexMap<String, String>,
    /// The node in the source.
    pub span: Span,
}
