//! Steps that build an image from a Dockerfile.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::config::{self, BuildCache, BuildContext, BuildSecret, Image, ProjectPath, Recipe, Release};
use crate::diagnostic::{Code, Problem, Problems, SourceId, Span, Spanned};
use crate::dockerfile::{Dockerfile, Feature, Origin, Request, Resolved};
use crate::facts::{Facts, ResolvedBase, Scope, Text};
use crate::oci::{Digest, Platform, Reference};
use crate::plan::base::{not_for, registry_of};
use crate::plan::edge::{Edge, Outline, Why};
use crate::plan::lower::{Lower, Made};
use crate::plan::select::Selection;
use crate::plan::unit::{Job, Unit, platform};
use crate::plan::{Action, Definition, Effect, RegistryPlan, RemoteBase, StepIndex, Subject};

/// What a Dockerfile has somewhere that starts from different images on different builders.
const NAMES_OF_BUILDERS: [&str; 2] = ["--platform", "BUILD"];
/// Changes where equal parts come to make another image.
const FORMAT: &str = "dockerfile 2";

/// Builds an image of one platform from a Dockerfile.
#[derive(Clone, Debug, PartialEq)]
pub struct DockerfileStep {
    /// What it is built for.
    pub platform: Platform,
    /// The Dockerfile; images of registries that it starts from are named by digest.
    pub dockerfile: Arc<str>,
    /// What spans into the Dockerfile as it is written name; `None` where it was not read.
    pub source: Option<SourceId>,
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
    /// Registries that builds of it are shared through.
    pub shared: Vec<RegistryPlan>,
    /// Images of registries of which the one for what the builder runs on is taken, by the
    /// names that stand for them in [`dockerfile`](Self::dockerfile).
    pub native: Vec<(String, RemoteBase)>,
    /// What the builder was taken to run on, where the name of an image depends on that.
    pub builder: Option<Platform>,
    /// What it uses that not every builder has.
    pub features: Vec<Feature>,
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

/// An image of a registry that a Dockerfile starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct DockerfileBase {
    /// Its name.
    pub reference: Reference,
    /// How its repository is reached.
    pub registry: RegistryPlan,
    /// The place that names it.
    pub span: Span,
}

/// The images of registries that the Dockerfiles of a selection start from, each once:
/// what their names stand for is a fact that the plan needs.
///
/// # Errors
/// All that is wrong with the Dockerfiles, and with the arguments that they are given.
pub fn dockerfile_bases(
    release: &Release,
    facts: &Facts,
    selection: &Selection,
) -> Result<Vec<DockerfileBase>, Problems> {
    let mut problems = Problems::new();
    let mut bases: IndexMap<String, DockerfileBase> = IndexMap::new();
    for (unit, answers) in &selection.answers {
        let Unit::Image { image, job: Job::Build(number) } = *unit else { continue };
        let Some(text) = answers.dockerfile.and_then(|at| facts.dockerfiles.get(at)) else { continue };
        let image = &release.images[image];
        let Recipe::Dockerfile(recipe) = &image.recipe else { continue };
        let platform = platform(image, number, &facts.platform);
        let scope = Scope::new(release, facts).on(platform);
        let filled = recipe.args.iter().map(|(name, value)| Ok((name.clone(), scope.fill(value)?)));
        let Some(arguments) = problems.take(filled.collect::<Result<_, Problem>>()) else { continue };
        let builder = builder(release, facts, platform);
        let resolved = problems.take(resolve(recipe, text, &arguments, platform, builder));
        for base in resolved.into_iter().flat_map(|resolved| resolved.bases) {
            let Spanned { value: reference, span } = base.reference;
            bases.entry(reference.to_string()).or_insert_with(|| DockerfileBase {
                registry: registry_of(release, facts, &reference.repository),
                reference,
                span,
            });
        }
    }
    problems.once().or(bases.into_values().collect())
}

/// What a build needs of a Dockerfile.
fn resolve(
    recipe: &config::Dockerfile,
    text: &Text,
    arguments: &IndexMap<String, String>,
    platform: &Platform,
    builder: &Platform,
) -> Result<Resolved, Problems> {
    let contexts: Vec<String> =
        recipe.contexts.iter().map(|context| context_name(context).value.clone()).collect();
    let request =
        Request { target: recipe.target.as_deref(), args: arguments, contexts: &contexts, platform, builder };
    Dockerfile::parse(text.source, &text.text)?.resolve(&request)
}

/// What builds for a platform is taken to run on: that itself where a `builder` is meant for
/// it, else what this machine does.
fn builder<'a>(release: &Release, facts: &'a Facts, platform: &'a Platform) -> &'a Platform {
    let natively = |builder: &config::Builder| builder.platforms.iter().any(|native| native.serves(platform));
    if release.builders.values().any(natively) { platform } else { &facts.platform }
}

/// The stage to build by its name as the Dockerfile has it: not every engine knows it by the
/// same in other letters.
fn target(recipe: &config::Dockerfile, text: Option<&Text>, name: Option<Span>) -> Option<String> {
    let written = text.zip(name).and_then(|(text, at)| text.text.get(at.start as usize..at.end as usize));
    written.map(ToOwned::to_owned).or_else(|| recipe.target.clone())
}

/// Another platform than that of a builder.
fn another(builder: &Platform) -> Platform {
    let architecture = if builder.architecture == "amd64" { "arm64" } else { "amd64" };
    Platform { architecture: architecture.to_owned(), variant: None, ..builder.clone() }
}

fn context_name(context: &BuildContext) -> &Spanned<String> {
    match context {
        BuildContext::Image { name, .. } | BuildContext::Directory { name, .. } => name,
    }
}

/// What stands in a Dockerfile for an image that is known by its digest when the build
/// begins.
fn stand_in(number: usize) -> String {
    format!("hoist.local/context-{number}:pending")
}

/// What stands in a Dockerfile for an image of which the one is taken that is for what the
/// builder runs on.
fn native_stand_in(number: usize) -> String {
    format!("hoist.local/native-{number}:pending")
}

/// Whether two names lead to the same, for whatever platform.
fn is_same((_, one): &(Span, Origin), (_, other): &(Span, Origin)) -> bool {
    match (one, other) {
        (Origin::Image(one, _), Origin::Image(other, _)) => one == other,
        _ => one == other,
    }
}

/// What the names of a Dockerfile stand for.
#[derive(Default)]
struct Named {
    /// What is written in their places.
    edits: BTreeMap<Span, String>,
    /// The images of registries.
    bases: Vec<RemoteBase>,
    /// As of [`DockerfileStep`].
    native: Vec<(String, RemoteBase)>,
}

impl Lower<'_> {
    /// The build of an image from a Dockerfile.
    pub(super) fn dockerfile(
        &mut self,
        at: usize,
        image: &Image,
        recipe: &config::Dockerfile,
        number: usize,
        edges: &[Edge],
    ) -> Made {
        self.check_dockerfile(recipe);
        for context in &recipe.contexts {
            if let BuildContext::Image { image: base, .. } = context {
                self.check_base(image, &base.value, base.span, number);
            }
        }
        let platform = platform(image, number, &self.facts.platform).clone();
        let scope = Scope::new(self.release, self.facts).on(&platform);
        let answers = self.answers(Unit::Image { image: at, job: Job::Build(number) });
        // Of a plan that is only looked at, the Dockerfile is not read.
        let text = answers.dockerfile.and_then(|at| self.facts.dockerfiles.get(at));
        let arguments = self.fill_map(&scope, &recipe.args);
        let builder = builder(self.release, self.facts, &platform);
        let resolved = text.map(|text| resolve(recipe, text, &arguments, &platform, builder));
        let resolved = resolved.and_then(|resolved| self.problems.take(resolved));
        let mut definition = Definition::default();
        definition.text(Subject::Format, FORMAT);
        definition.text(Subject::Platform, platform.to_string());
        let resolved = resolved.unwrap_or_default();
        let elsewhere = text.filter(|text| NAMES_OF_BUILDERS.iter().any(|name| text.text.contains(name)));
        let elsewhere =
            elsewhere.and_then(|text| resolve(recipe, text, &arguments, &platform, &another(builder)).ok());
        let elsewhere = elsewhere.map_or_else(|| resolved.origins.clone(), |resolved| resolved.origins);
        let depends = elsewhere.len() != resolved.origins.len()
            || !elsewhere.iter().zip(&resolved.origins).all(|(one, other)| is_same(one, other));
        let is_native = |origin: &(Span, Origin)| !depends && !elsewhere.contains(origin);
        let Named { edits, bases, native } =
            self.named(recipe, &resolved.origins, is_native, &mut definition);
        let (mut images, mut directories) = (Vec::new(), Vec::new());
        for (number, context) in recipe.contexts.iter().enumerate() {
            match context {
                BuildContext::Image { image: base, .. } => {
                    let is_it = |edge: &&Edge| edge.why == Why::Named(base.span);
                    let built = edges.iter().find(is_it).and_then(|edge| self.places.get(&edge.to));
                    images.extend(built.map(|step| (stand_in(number), *step)));
                }
                BuildContext::Directory { .. } => directories.push(stand_in(number)),
            }
        }
        let caches = recipe.caches.iter().map(|cache| match &cache.value {
            BuildCache::Inline => CachePlan::Inline,
            BuildCache::Registry { reference, max } => {
                CachePlan::Registry { reference: self.fill(&scope, reference), max: *max }
            }
            BuildCache::Local(path) => CachePlan::Local(path.clone()),
        });
        let caches = caches.collect();
        let step = DockerfileStep {
            platform: platform.clone(),
            dockerfile: text.map(|text| edited(&text.text, &edits)).unwrap_or_default().into(),
            source: text.map(|text| text.source),
            context: recipe.context.value.clone(),
            directories,
            images,
            target: target(recipe, text, resolved.name),
            network: recipe.network.clone(),
            no_cache: recipe.no_cache,
            arguments,
            secrets: recipe.secrets.clone(),
            ssh: recipe.ssh.clone(),
            caches,
            bases,
            shared: self.shared_registries(image),
            native,
            builder: depends.then(|| builder.clone()),
            features: resolved.features,
            labels: self.labels(&scope, image),
            created: self.created(),
            span: recipe.span,
        };
        self.define_dockerfile(&step, recipe, &mut definition);
        if let Some(files) = answers.inputs.and_then(|at| self.facts.inputs.get(at)) {
            definition.inputs(&files.files);
        }
        let inputs = answers.inputs.and_then(|at| self.selection.needs.inputs.get(at)).cloned();
        Made { action: Action::Dockerfile(Box::new(step)), definition, effect: Effect::Cacheable, inputs }
    }

    /// Finds what the names of a Dockerfile stand for.
    fn named(
        &mut self,
        recipe: &config::Dockerfile,
        origins: &[(Span, Origin)],
        is_native: impl Fn(&(Span, Origin)) -> bool,
        definition: &mut Definition,
    ) -> Named {
        let mut named = Named::default();
        let mut define = |what: String, digest: &Digest| {
            let subject = Subject::Setting(what);
            if !definition.parts.iter().any(|part| part.subject == subject) {
                definition.text(subject, digest.to_string());
            }
        };
        for origin in origins {
            let span = origin.0;
            let (reference, wanted) = match &origin.1 {
                Origin::Image(reference, wanted) => (reference, wanted),
                Origin::Context(name) => {
                    let is_it = |context| context_name(context).value == *name;
                    let number = recipe.contexts.iter().position(is_it);
                    named.edits.extend(number.map(|number| (span, stand_in(number))));
                    continue;
                }
                Origin::Stage(_) | Origin::Scratch => continue,
            };
            let Some(base) = self.remote(reference) else { continue };
            if is_native(origin) {
                // All of its platforms: which one is taken is known when there is an engine.
                define(format!("FROM {reference} for the builder"), &base.descriptor.digest);
                let name = native_stand_in(named.native.len());
                named.edits.insert(span, name.clone());
                named.native.push((name, base.clone()));
            } else {
                match base.for_platform(wanted) {
                    Ok(found) => {
                        define(format!("FROM {reference} for {wanted}"), &found.digest);
                        // Not the index: engines take what they have of it for any platform.
                        named.edits.insert(span, format!("{}@{}", reference.repository, found.digest));
                    }
                    Err(platforms) => {
                        self.problems.push(not_for(Code::InvalidPlatform, wanted, &platforms, span));
                    }
                }
            }
            if !named.bases.contains(&base) {
                named.bases.push(base);
            }
        }
        named
    }

    /// A Dockerfile is read before anything runs.
    fn check_dockerfile(&mut self, recipe: &config::Dockerfile) {
        for edge in
            Outline::new(self.release, Some(self.facts), &self.selection.links).makers_of(&recipe.path)
        {
            let Why::Reads(_, made, _) = edge.why else { continue };
            let title = format!("the Dockerfile `{}` is made by a step", recipe.path.value);
            let problem = Problem::new(Code::Conflict, title)
                .label(recipe.path.span, "read when it is planned")
                .label(made, "made here");
            let help = "check it in: what an image is built from is planned before anything runs";
            self.problems.push(problem.help(help));
        }
    }

    /// What the name of an image stands for; `None` if it was not asked for.
    fn remote(&self, reference: &Reference) -> Option<RemoteBase> {
        let ResolvedBase::Found(descriptor, bytes) = self.facts.images.get(reference)? else { return None };
        let registry = registry_of(self.release, self.facts, &reference.repository);
        let (reference, descriptor) = (reference.clone(), (**descriptor).clone());
        Some(RemoteBase { reference, registry, descriptor, bytes: Arc::clone(bytes) })
    }

    fn define_dockerfile(
        &self,
        step: &DockerfileStep,
        recipe: &config::Dockerfile,
        definition: &mut Definition,
    ) {
        let mut setting = |name: String, value: String| {
            self.define(definition, Subject::Setting(name), value);
        };
        setting("dockerfile".to_owned(), recipe.path.value.to_string());
        setting("context".to_owned(), step.context.to_string());
        for context in &recipe.contexts {
            let place = match context {
                BuildContext::Image { image, .. } => format!("image {}", image.value),
                BuildContext::Directory { path, .. } => format!("directory {path}"),
            };
            setting(format!("context {}", context_name(context).value), place);
        }
        let texts = [("target", &step.target), ("network", &step.network)];
        for (name, text) in texts {
            if let Some(text) = text {
                setting(name.to_owned(), text.clone());
            }
        }
        step.arguments.iter().for_each(|(name, value)| setting(format!("ARG {name}"), value.clone()));
        step.secrets.iter().for_each(|secret| setting(format!("secret {}", secret.id.value), String::new()));
        step.ssh.iter().for_each(|id| setting(format!("ssh {}", id.value), String::new()));
        if step.caches.contains(&CachePlan::Inline) {
            setting("cache inline".to_owned(), String::new());
        }
        step.labels.iter().for_each(|(name, value)| setting(format!("Labels {name}"), value.clone()));
        setting("created".to_owned(), step.created.to_string());
    }
}

/// A Dockerfile with other names in some places: a reference as it stands, or the `from`
/// of a flag.
fn edited(text: &str, edits: &BTreeMap<Span, String>) -> String {
    let mut edited = String::with_capacity(text.len());
    let mut at = 0;
    for (span, name) in edits {
        let (start, end) = (span.start as usize, span.end as usize);
        let (Some(before), Some(old)) = (text.get(at..start), text.get(start..end)) else { continue };
        edited.push_str(before);
        match value_of_from(old) {
            Some((start, end)) => {
                edited.extend([
                    old.get(..start).unwrap_or_default(),
                    name,
                    old.get(end..).unwrap_or_default(),
                ]);
            }
            None => edited.push_str(name),
        }
        at = end;
    }
    edited.push_str(text.get(at..).unwrap_or_default());
    edited
}

/// Where the value of `from` stands in a flag: `--from=x` or `--mount=type=bind,from=x`.
fn value_of_from(flag: &str) -> Option<(usize, usize)> {
    let flag = flag.starts_with("--").then(|| flag.to_ascii_lowercase())?;
    let keys = flag.match_indices("from=").map(|(at, key)| (at, at + key.len()));
    let is_key =
        |at: usize| flag.get(..at).is_some_and(|before| before.ends_with(['-', ',', '=', '"', '\'']));
    let (_, start) = keys.into_iter().find(|(at, _)| is_key(*at))?;
    let rest = flag.get(start..)?;
    Some((start, start + rest.find([',', '"', '\'']).unwrap_or(rest.len())))
}
