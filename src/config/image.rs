//! Images: how they are made, checked, named, and published.

use std::time::Duration;

use indexmap::IndexMap;
use jiff::civil::Date;

use crate::config::{Command, ProjectPath, Rule, Secret, Severity, Template};
use crate::diagnostic::{Span, Spanned};
use crate::oci::{LayerCompression, Platform};
use serde::{Deserialize, Serialize};

/// `image "name" { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Its name, with the prefix of an included file.
    pub name: Spanned<String>,
    /// What it is, in the list.
    pub about: Option<String>,
    /// Directory of the file that declares it; its paths are relative to it.
    pub home: ProjectPath,
    /// Path of the repository below each registry's prefix.
    pub repository: Template,
    /// Targets, images, or steps that come before it is built.
    pub needs: Vec<Spanned<String>>,
    /// How it is made.
    pub recipe: Recipe,
    /// What it is built for; empty for the platform of the host.
    #[serde(with = "crate::config::platforms")]
    pub platforms: Vec<Spanned<Platform>>,
    /// Labels beside `org.opencontainers.image.*`, which hoist sets.
    pub labels: IndexMap<String, Template>,
    /// Rules that name it, named sets resolved.
    pub tags: Vec<Rule>,
    /// What it may weigh.
    pub budget: Option<Spanned<Budget>>,
    /// Commands that must succeed in it.
    pub tests: Vec<ImageTest>,
    /// What must be true of its configuration and files.
    pub expects: Vec<Spanned<Expect>>,
    /// Scanners that must find nothing above a severity.
    pub scans: Vec<Scan>,
    /// Keys that it is signed with.
    pub signs: Vec<Sign>,
    /// Whether a provenance statement is attached.
    pub provenance: Option<Spanned<bool>>,
    /// A software bill of materials to attach, by path.
    pub sbom: Option<Spanned<ProjectPath>>,
    /// Registries that it is published to.
    pub push: Vec<Push>,
}

impl Image {
    /// Where all its secrets are found: those that its build may mount, and the keys that
    /// it is signed with.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let secrets = match &self.recipe {
            Recipe::Dockerfile(recipe) => recipe.secrets.as_slice(),
            Recipe::Assemble(_) => &[],
        };
        let keys = self.signs.iter().flat_map(|sign| [&sign.key.value, &sign.password.value]);
        secrets.iter().map(|secret| &secret.from).chain(keys)
    }
}

/// How an image is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Recipe {
    /// By an engine, from a Dockerfile.
    Dockerfile(Box<Dockerfile>),
    /// By hoist itself, from files.
    Assemble(Box<Assemble>),
}

/// `dockerfile "path" context="." … { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dockerfile {
    /// The Dockerfile.
    pub path: Spanned<ProjectPath>,
    /// Directory that is sent to the engine.
    pub context: Spanned<ProjectPath>,
    /// Stage to build; the last one by default.
    pub target: Option<String>,
    /// Network mode of its `RUN` steps.
    pub network: Option<String>,
    /// Whether the engine's layer cache is left aside.
    pub no_cache: bool,
    /// Build arguments.
    pub args: IndexMap<String, Template>,
    /// Secrets that its `RUN` steps may mount.
    pub secrets: Vec<BuildSecret>,
    /// Agent sockets that its `RUN` steps may use.
    pub ssh: Vec<Spanned<String>>,
    /// Images and directories that stand in for a `FROM` or `COPY --from` name.
    pub contexts: Vec<BuildContext>,
    /// Where the engine's layers are kept between machines.
    pub caches: Vec<Spanned<BuildCache>>,
    /// The node in the source.
    pub span: Span,
}

/// `secret "id" env="NAME"` or `file="…"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSecret {
    /// Its id in the Dockerfile.
    pub id: Spanned<String>,
    /// Where its value is found.
    pub from: Secret,
}

/// `context "name" image="…"` or `dir="…"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildContext {
    /// Another image of the file.
    Image {
        /// The name in the Dockerfile.
        name: Spanned<String>,
        /// The image, with its prefix.
        image: Spanned<String>,
    },
    /// A directory.
    Directory {
        /// The name in the Dockerfile.
        name: Spanned<String>,
        /// The directory.
        path: ProjectPath,
    },
}

/// One `cache` of a dockerfile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum BuildCache {
    /// `inline=#true`: in the image itself.
    Inline,
    /// `registry="…" mode="max"`.
    Registry {
        /// Reference of the cache.
        reference: Template,
        /// Whether layers of intermediate stages are kept, too.
        max: bool,
    },
    /// `local="dir"`.
    Local(ProjectPath),
}

/// `assemble from="…" compression="zstd" { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assemble {
    /// What it starts from.
    pub from: Spanned<Base>,
    /// Layers on top of the base, in order.
    pub layers: Vec<AssembleLayer>,
    /// `ENTRYPOINT`; `None` keeps the base's.
    pub entrypoint: Option<Vec<Template>>,
    /// `CMD`; `None` keeps the base's, unless an entrypoint is given.
    pub cmd: Option<Vec<Template>>,
    /// `USER`.
    pub user: Option<Template>,
    /// `WORKDIR`: absolute.
    pub workdir: Option<Template>,
    /// `EXPOSE`: `8080` or `53/udp`.
    pub expose: Vec<String>,
    /// `VOLUME`.
    pub volumes: Vec<Template>,
    /// `ENV`, added to the base's.
    pub env: IndexMap<String, Template>,
    /// `STOPSIGNAL`.
    pub stop_signal: Option<String>,
    /// The node in the source.
    pub span: Span,
}

/// What an assembled image starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// `oci:DIR[:TAG]` or `oci:DIR@DIGEST`: an image of a layout directory.
    Layout {
        /// The directory.
        path: ProjectPath,
        /// Tag or digest; the only image of the layout by default.
        name: Option<String>,
    },
    /// `image:NAME`: another image of the file, assembled or built.
    Image(String),
    /// A reference to a registry.
    Reference(Template),
}

/// `layer { remove …; copy …; }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssembleLayer {
    /// How it is compressed.
    pub compression: LayerCompression,
    /// Absolute paths that are deleted of what lies below, before anything is
    /// copied.
    pub removes: Vec<Template>,
    /// Its contents; a later one wins over an earlier one.
    pub copies: Vec<Copy>,
    /// The node in the source.
    pub span: Span,
}

/// `copy "from" "to" mode="0755" owner="uid:gid" exclude="…"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// A file, a directory (its contents are copied), or a glob, relative to
    /// the image's home.
    pub from: Template,
    /// An absolute path in the image. With a trailing `/`, or where `from` is a
    /// glob, a directory to copy into.
    pub to: Template,
    /// Permission bits of files; by default 0755 if the owner may execute the
    /// source, else 0644. Directories are 0755.
    pub mode: Option<u32>,
    /// Numeric owner; 0 by default.
    pub uid: u32,
    /// Numeric group; 0 by default.
    pub gid: u32,
    /// Globs relative to `from` that are left out.
    pub exclude: Vec<Spanned<String>>,
    /// The node in the source.
    pub span: Span,
}

/// `budget size="500MB" layers=20 wasted="5%" growth="10%" since="latest"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Most bytes of its layers, unpacked.
    pub size: Option<u64>,
    /// Most layers.
    pub layers: Option<u64>,
    /// Most bytes that are in a layer and not visible in the image.
    pub wasted: Option<Waste>,
    /// Most bytes that are transferred in addition to what was published before.
    pub growth: Option<Waste>,
    /// The tag of that; `latest` where it is none.
    pub since: Option<Template>,
}

/// A bound on wasted or additional bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Waste {
    /// In bytes.
    Bytes(u64),
    /// In percent of the image's size.
    Percent(f64),
}

/// `test "name" { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageTest {
    /// Its name, unique in the image.
    pub name: Spanned<String>,
    /// Variables beside the image's own.
    pub env: IndexMap<String, Template>,
    /// Arguments: in place of the image's `CMD`.
    pub run: Vec<Template>,
    /// In place of the image's `ENTRYPOINT`.
    pub entrypoint: Option<Vec<Template>>,
    /// In place of the image's `USER`.
    pub user: Option<Template>,
    /// What must hold; exit status 0 where nothing is said of it, nor of answers.
    pub expects: Vec<Spanned<Expect>>,
    /// How long it may take; 60 s by default.
    pub timeout: Option<Duration>,
}

/// One property or child of `expect`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Expect {
    /// Exit status of the command.
    Exit(u8),
    /// Its standard output contains this.
    Stdout(Template),
    /// Its standard error contains this.
    Stderr(Template),
    /// A regular expression matches in its standard output.
    StdoutMatches(String),
    /// A regular expression matches in its standard error.
    StderrMatches(String),
    /// It answers a request.
    Http(HttpAnswer),
    /// The image's user is this; `!root` is anyone but root.
    User {
        /// The user's name or number.
        name: String,
        /// Written with a leading `!`.
        not: bool,
    },
    /// The image has this label, or with `name=value` this value of it.
    Label(String, Option<String>),
    /// The image has this file.
    File(String),
    /// The image exposes this port.
    Port(u16),
}

/// `http port=8080 path="/healthz" status=200 body="ok"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpAnswer {
    /// The port that it listens on, on its loopback interface.
    pub port: u16,
    /// What is asked for: begins with `/`.
    pub path: Template,
    /// The status that it answers with.
    pub status: u16,
    /// What the body of the answer contains.
    pub body: Option<Template>,
}

/// `scan "trivy" fail-on="high" { allow … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// Its name.
    pub scanner: Spanned<String>,
    /// The least severity that fails.
    pub fail_on: Severity,
    /// What a finding counts as of which the scanner does not know how bad it is.
    pub unknown: Severity,
    /// What it reports in.
    pub format: ScanFormat,
    /// How it is started; empty: as hoist knows it.
    pub run: Vec<Spanned<Command>>,
    /// Findings that are known and allowed for a time.
    pub allow: Vec<ScanAllow>,
    /// The node in the source.
    pub span: Span,
}

/// What a scanner reports in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScanFormat {
    /// JSON of trivy.
    Trivy,
    /// JSON of grype.
    Grype,
    /// JSON of `snyk container test`.
    Snyk,
    /// SARIF 2.1.0, an OASIS standard.
    Sarif,
}

impl ScanFormat {
    /// The format of this name; a scanner that hoist can start has the same name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "trivy" => Some(Self::Trivy),
            "grype" => Some(Self::Grype),
            "snyk" => Some(Self::Snyk),
            "sarif" => Some(Self::Sarif),
            _ => None,
        }
    }
}

/// `allow "CVE-…" until="2027-01-31" reason="…"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanAllow {
    /// The finding's id.
    pub id: Spanned<String>,
    /// The last day on which it is allowed.
    pub until: Spanned<Date>,
    /// Why.
    pub reason: String,
}

/// `sign key="…" password="…"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// Where the private key is found.
    pub key: Spanned<Secret>,
    /// Where the password of an encrypted key is found.
    pub password: Spanned<Secret>,
    /// The node in the source.
    pub span: Span,
}

/// One registry of `push`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The registry, with its prefix.
    pub registry: Spanned<String>,
    /// Kinds of event that publish; by default branch, tag, and schedule.
    pub on: Vec<String>,
}
