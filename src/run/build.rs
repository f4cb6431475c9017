//! Builds images from Dockerfiles, with the engines of a run.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::cache::Cache;
use crate::config::{BuildSecret, ProjectPath, Release, Secret};
use crate::diagnostic::{Code, Problem, Problems, Sources, Span, counted};
use crate::dockerfile::{Dockerfile, FeatureKind, Spot};
use crate::engine::Weight;
use crate::engine::builder::{
    self, Build, BuildKey, CacheHits, Engine, EngineError, EngineKind, Engines, Login, Offer,
    directory_image, fingerprint, finish, recall_build, remember_build, repository, take_turn,
};
use crate::facts::{Facts, InputFile, InputQuery, any_number, read_inputs};
use crate::oci::Descriptor;
use crate::plan::{Action, CachePlan, DockerfileStep, Plan, Step, StepId, StepIndex};
use crate::release::{Publisher, content_tag, fetch_shared, share};
use crate::run::command::Unsuccessful;
use crate::run::engines::{engines, no_engine, owner, plain};
use crate::run::image::{Known, known_files, no_image, unless};
use crate::run::line::Written;
use crate::run::mask::Secrets;
use crate::run::process::Halt;
use crate::run::teller::{Teller, Told};
use crate::run::worker::blocking;
use crate::run::{Options, Request, Stream};
use crate::store::{Layout, Turn, read_secret_file, secret_file};

/// Lines of an engine that nobody heard yet: more than this, and the build waits.
const BACKLOG: usize = 64;

/// The exit status of a process that was killed, as engines tell it.
const KILLED: [&str; 2] = ["exit code: 137", "exit status 137"];
/// All that is known where an engine closes the connection in the middle of a build.
const GAVE_UP: &str = "transport error";
/// What a system says of a disk that is full, in small letters.
const NO_SPACE: &str = "no space left on device";

/// How often it is looked whether another hoist has built.
const TICK: Duration = Duration::from_millis(50);

/// What Podman reads in the place of `.dockerignore`.
const CONTAINERIGNORE: &str = ".containerignore";

/// What the builds of a run share.
pub(super) struct Builds {
    root: PathBuf,
    facts: Arc<Facts>,
    release: Arc<Release>,
    sources: Arc<Sources>,
    options: Options,
    cache: Cache,
    pub(super) built: Layout,
    secrets: Arc<Secrets>,
    publisher: Arc<Publisher>,
    /// What is wrong with them is told by whoever needs one.
    pub(super) engines: Result<Engines, Problems>,
    /// The builds of which this run publishes something.
    published: HashSet<StepId>,
}

/// The files that are sent for a directory.
struct Context {
    directory: ProjectPath,
    files: Vec<InputFile>,
}

impl Builds {
    /// Builds of files of the project, into the store of its cache.
    pub(super) fn new(request: &Request, secrets: Arc<Secrets>, publisher: Arc<Publisher>) -> Self {
        let Request { root, facts, release, cache, sources, options, .. } = request;
        Self {
            root: root.clone(),
            facts: Arc::clone(facts),
            release: Arc::clone(release),
            sources: Arc::clone(sources),
            options: options.clone(),
            cache: cache.clone(),
            built: cache.images().clone(),
            secrets,
            publisher,
            engines: engines(root, release, facts),
            published: published(&request.plan),
        }
    }

    /// Builds an image, and returns its manifest, with how much of it the engine had if one
    /// built it. What an engine built before of the same parts is not built again, whatever
    /// hoist adds to it.
    ///
    /// # Errors
    /// There is no engine for it; the build fails; or the step was asked to stop.
    pub(super) async fn build(
        &self,
        build: &DockerfileStep,
        step: &Step,
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<(Descriptor, Option<CacheHits>), Unsuccessful> {
        let contexts = self.contexts(step).await.map_err(Unsuccessful::Failed)?;
        let mut images = Vec::new();
        for (name, from) in &build.images {
            images.push((name.clone(), known.get(from).ok_or_else(|| no_image(step))?.clone()));
        }
        let key = key(build, &contexts, &images);
        let forced = self.options.no_cache || (self.options.force && step.goal);
        let mut before = if forced { None } else { recall_build(&key, &self.built) };
        // One builds, and all others wait for it.
        let mut _turn = None;
        if before.is_none() && !forced {
            _turn = unless(halt, self.turn(&key, teller)).await?;
            before = recall_build(&key, &self.built);
        }
        if before.is_none() && !forced {
            before = unless(halt, self.fetch(build, &key, teller)).await?;
        }
        let (made, hits) = match before {
            Some(before) => (before, None),
            None => Box::pin(self.build_with_engine(build, step, contexts, images, halt, teller)).await?,
        };
        // What is not what it was to be is not kept for anybody.
        let finished = finish(build, &made, &self.built).map_err(Unsuccessful::failed)?;
        remember_build(&key, &made, &self.built).map_err(Unsuccessful::failed)?;
        let (image, images) = (finished.clone(), self.built.clone());
        blocking(move || Weight::measure(&image, &images)).await;
        if self.published.contains(&step.id) {
            unless(halt, self.share(build, &key, &made, teller)).await?;
        }
        Ok((finished, hits))
    }

    /// Waits until no other hoist of this machine builds the same. Where nobody can know,
    /// each builds by itself.
    async fn turn(&self, key: &BuildKey, teller: &Teller) -> Option<Turn> {
        let mut is_told = false;
        while let Ok(turn) = take_turn(key, &self.built) {
            if turn.is_some() {
                return turn;
            }
            if !is_told {
                teller.tell(Told::Notice("another hoist builds the same: waiting for it".to_owned())).await;
                is_told = true;
            }
            sleep(TICK).await;
        }
        None
    }

    /// What another machine built of the same parts.
    async fn fetch(&self, build: &DockerfileStep, key: &BuildKey, teller: &Teller) -> Option<Descriptor> {
        let tag = content_tag(&key.hex())?;
        for registry in &build.shared {
            match fetch_shared(&tag, registry, &self.publisher, &self.built).await {
                Ok(Some(found)) => {
                    teller.tell(Told::Notice(format!("built before: `{tag}` of {}", registry.name))).await;
                    return Some(found);
                }
                Ok(None) => {}
                Err(problem) => teller.tell(Told::Notice(not_shared(&problem))).await,
            }
        }
        None
    }

    /// Leaves what was built for other machines.
    async fn share(&self, build: &DockerfileStep, key: &BuildKey, made: &Descriptor, teller: &Teller) {
        let Some(tag) = content_tag(&key.hex()) else { return };
        for registry in &build.shared {
            if let Err(problem) = share(&tag, made, registry, &self.publisher, &self.built).await {
                teller.tell(Told::Notice(not_shared(&problem))).await;
            }
        }
    }

    /// Builds an image with an engine, and brings it here.
    async fn build_with_engine(
        &self,
        build: &DockerfileStep,
        step: &Step,
        contexts: Vec<Context>,
        mut images: Vec<(String, Descriptor)>,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<(Descriptor, Option<CacheHits>), Unsuccessful> {
        let secrets = self.secrets_of(build).map_err(Unsuccessful::Failed)?;
        let engines = self.engines.as_ref().map_err(|problems| Unsuccessful::Failed(problems.clone()))?;
        let engine = unless(halt, engines.find(&build.platform)).await?;
        let missing = |error| Unsuccessful::failed(no_engine(&build.platform, build.span, error));
        let engine = engine.map_err(missing)?;
        check_features(build, &engine).map_err(Unsuccessful::Failed)?;
        check_builder(build, &engine).map_err(Unsuccessful::failed)?;
        let dockerfile = native(build, &engine).map_err(Unsuccessful::failed)?;
        let wrong = |error| Unsuccessful::failed(self.failed(build, &engine, error));
        let sent = |Context { directory, files }: Context| {
            builder::Context::new(&self.root, directory.as_path(), files)
        };
        let is_podman = engine.about().kind == EngineKind::Podman;
        let contexts = contexts.into_iter().map(|mut context| {
            // To Podman hoist sends its own, in the place of this one.
            let own = context.directory.join(CONTAINERIGNORE).ok();
            context.files.retain(|file| !is_podman || Some(&file.path) != own.as_ref());
            context
        });
        let mut contexts = contexts.map(sent);
        // A build has a context, and it is the first.
        let main = contexts.next().ok_or_else(|| no_image(step))?;
        if !engine.about().has_buildkit {
            check_links(build, &main, &engine).map_err(Unsuccessful::Failed)?;
        }
        for (name, directory) in build.directories.iter().zip(contexts) {
            let archive = directory.archive();
            let made = directory_image(&archive, &build.platform, &self.built);
            images.push((name.clone(), unless(halt, made).await?.map_err(wrong)?));
        }
        let owner = owner(&self.root);
        let offer = self.offer(build, dockerfile, main, secrets).await.map_err(Unsuccessful::failed)?;
        let asked = Build {
            id: id(),
            name: name(&owner, step),
            owner,
            platform: build.platform.clone(),
            images,
            target: build.target.clone(),
            arguments: build.arguments.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            network: build.network.clone(),
            no_cache: build.no_cache || self.options.no_cache,
            caches: build.caches.clone(),
            root: self.root.clone(),
            offer,
        };
        let (sender, mut lines) = mpsc::channel::<Vec<u8>>(BACKLOG);
        let mut output = Written::new(Stream::Stdout, Arc::clone(&self.secrets));
        let result = {
            let mut building = pin!(unless(halt, engine.build(asked, &self.built, sender)));
            loop {
                tokio::select! {
                    Some(line) = lines.recv() => take(line, &mut output, teller).await,
                    result = &mut building => break result,
                }
            }
        };
        while let Ok(line) = lines.try_recv() {
            take(line, &mut output, teller).await;
        }
        teller.finish(&mut output).await;
        let made = result?.map_err(|error| {
            let problem = self.failed(build, &engine, error);
            Unsuccessful::failed(match teller.tail() {
                Some(tail) => match tail_remedy(&tail, &engine).filter(|_| problem.help.is_none()) {
                    Some(remedy) => problem.note(tail).help(remedy),
                    None => problem.note(tail),
                },
                None => problem,
            })
        })?;
        if made.without_cache {
            teller.tell(Told::Notice(no_cache(engine.about().kind))).await;
        }
        let CacheHits { steps, cached } = made.hits;
        let told = format!("built by {engine}: {cached} of {} from its cache", counted(steps, "instruction"));
        teller.tell(Told::Notice(told)).await;
        Ok((made.image, Some(made.hits)))
    }

    /// What the engine may ask for.
    async fn offer(
        &self,
        build: &DockerfileStep,
        dockerfile: String,
        context: builder::Context,
        secrets: HashMap<String, Vec<u8>>,
    ) -> Result<Offer, Problem> {
        let mut logins = HashMap::new();
        for base in &build.bases {
            if let Some((user, secret)) = self.publisher.hand_over(&base.registry).await? {
                logins.insert(base.reference.repository.host().to_owned(), Login { user, secret });
            }
        }
        let agents = self.agents(build)?;
        let (archive, dockerfile) = (context.archive(), Bytes::from(dockerfile));
        Ok(Offer { context: archive, files: Some(context), dockerfile, secrets, agents, logins })
    }

    /// The files of the context and of the directories that the Dockerfile names, with
    /// those that other steps made meanwhile.
    async fn contexts(&self, step: &Step) -> Result<Vec<Context>, Problems> {
        let (cache, root, facts, answer) =
            (self.cache.clone(), self.root.clone(), Arc::clone(&self.facts), step.answer);
        let known = Arc::new(blocking(move || known_files(&cache, &root, &facts, answer)).await);
        let mut contexts = Vec::new();
        for query in step.inputs.iter().flat_map(|inputs| &inputs.contexts) {
            let directory = query.directory.value.clone();
            let query = InputQuery { contexts: vec![query.clone()], ..InputQuery::default() };
            let (root, release, facts, known) =
                (self.root.clone(), Arc::clone(&self.release), Arc::clone(&self.facts), Arc::clone(&known));
            let read = move || read_inputs(&root, &release, &facts, &query, &known);
            contexts.push(Context { directory, files: blocking(read).await? });
        }
        Ok(contexts)
    }

    /// Sockets of the agents of ssh.
    fn agents(&self, build: &DockerfileStep) -> Result<HashMap<String, PathBuf>, Problem> {
        let socket = self.facts.environment.get("SSH_AUTH_SOCK").map(PathBuf::from);
        let agents = build.ssh.iter().map(|id| {
            let socket = socket.clone().ok_or_else(|| {
                Problem::new(Code::BuildSecret, "there is no ssh agent")
                    .label(id.span, "`SSH_AUTH_SOCK` is not set")
                    .help("start one: `eval $(ssh-agent) && ssh-add`")
            });
            Ok((id.value.clone(), socket?))
        });
        agents.collect()
    }

    /// A build did not succeed.
    fn failed(&self, build: &DockerfileStep, engine: &Engine, error: EngineError) -> Problem {
        let problem = |title: &str| Problem::new(Code::BuildFailed, title);
        let here = |problem: Problem| problem.label(build.span, "built from this");
        match error {
            EngineError::Local(problem) => *problem,
            EngineError::Unserved(words) => here(problem(&words)),
            EngineError::Failed { words, spot } => {
                let remedy = remedy(&words, engine.about().kind);
                let help = |problem: Problem| match &remedy {
                    Some(remedy) => problem.help(remedy.clone()),
                    None => problem,
                };
                match spot.and_then(|spot| self.span(build, &spot)) {
                    Some(place) => help(problem("the build failed").label(place, words)),
                    None => help(here(problem("the build failed")).note(words)),
                }
            }
            EngineError::Refused(words) => {
                let place = Spot::in_words(&words).and_then(|spot| self.span(build, &spot));
                let problem = problem("the engine refused").note(format!("{engine}: {words}"));
                let problem = match place {
                    Some(place) => problem.label(place, "it does not read this"),
                    None => here(problem),
                };
                match remedy(&words, engine.about().kind) {
                    Some(remedy) => problem.help(remedy),
                    None => problem,
                }
            }
            EngineError::Unreachable(words) | EngineError::Denied(words) | EngineError::Broken(words) => {
                here(problem("the build broke off")).note(format!("{engine}: {words}"))
            }
        }
    }

    /// Where an instruction stands that an engine names. What is sent has other words than
    /// the Dockerfile, but no other lines.
    fn span(&self, build: &DockerfileStep, spot: &Spot) -> Option<Span> {
        let source = build.source?;
        let text = &self.sources.get(source)?.text;
        Dockerfile::parse(source, text).ok()?.at(spot, text)
    }

    /// The values of all secrets.
    fn secrets_of(&self, build: &DockerfileStep) -> Result<HashMap<String, Vec<u8>>, Problems> {
        let mut problems = Problems::new();
        let value =
            |secret: &BuildSecret| Some((secret.id.value.clone(), problems.take(self.secret(secret))?));
        let values = build.secrets.iter().filter_map(value).collect();
        problems.or(values)
    }

    /// The value of a secret.
    fn secret(&self, secret: &BuildSecret) -> Result<Vec<u8>, Problem> {
        let id = &secret.id;
        let missing = |label: String| {
            Problem::new(Code::BuildSecret, format!("the secret `{}` has no value", id.value))
                .label(id.span, label)
        };
        match &secret.from {
            Secret::Env(name) => match self.facts.environment.get(name) {
                Some(value) => Ok(value.as_encoded_bytes().to_vec()),
                None => Err(missing(format!("`{name}` is not set"))
                    .help(format!("set `{name}` in the environment or in a `dotenv` file"))),
            },
            Secret::File(path) => read_secret_file(&secret_file(path, &self.root, &self.facts.environment))
                .map_err(|error| missing(format!("`{path}` cannot be read")).note(error.to_string())),
            Secret::Command(_) => Err(missing("a command is no place of a build secret".to_owned())),
        }
    }
}

/// What helps against what a machine is short of, as the last words of a build tell it.
fn remedy(words: &str, kind: EngineKind) -> Option<String> {
    let prune = match kind {
        EngineKind::Docker => "docker builder prune",
        EngineKind::Podman => "podman system prune",
        EngineKind::BuildKit => "buildctl prune",
    };
    if words == GAVE_UP {
        return Some(format!(
            "the engine's own log says why; of a full disk, `hoist clean` and `{prune}` free some"
        ));
    }
    if words.to_lowercase().contains(NO_SPACE) {
        return Some(format!("the disk of the engine is full: `hoist clean` and `{prune}` free some of it"));
    }
    let killed = "137 is what is left of a process that was killed: the engine may have too little memory";
    KILLED.iter().any(|killed| words.contains(killed)).then(|| killed.to_owned())
}

/// What helps against a failure that the last lines of a build show. What was given up
/// because something else failed was killed, too, and shows nothing.
fn tail_remedy(tail: &str, engine: &Engine) -> Option<String> {
    let lines: Vec<&str> = tail.lines().filter(|line| !line.contains("context canceled")).collect();
    remedy(&lines.join("\n"), engine.about().kind)
}

/// Keeps a line that an engine wrote.
async fn take(line: Vec<u8>, output: &mut Written, teller: &mut Teller) {
    let space = output.space(line.len() + 1);
    space.extend_from_slice(&line);
    space.push(b'\n');
    teller.take(output).await;
}

/// A name for a build that no other has.
fn id() -> String {
    format!("{:016x}{:016x}", any_number(), any_number())
}

/// What an image is called at an engine; one of an earlier build gives the name up.
fn name(owner: &str, step: &Step) -> String {
    format!("{}:{}", repository(owner), plain(&step.id.to_string()))
}

/// All that a build depends on; not what hoist adds to the image that comes of it.
fn key(build: &DockerfileStep, contexts: &[Context], images: &[(String, Descriptor)]) -> BuildKey {
    let mut sum = blake3::Hasher::new_derive_key("hoist 2026-11 build of a Dockerfile");
    let mut part = |text: &str| {
        sum.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    part(&build.platform.to_string());
    part(&build.dockerfile);
    part(build.target.as_deref().unwrap_or_default());
    part(build.network.as_deref().unwrap_or_default());
    for (name, value) in &build.arguments {
        part(name);
        part(value);
    }
    part("images");
    for (name, image) in images {
        part(name);
        part(&image.digest.to_string());
    }
    // Which one of its platforms is taken follows from who builds.
    for (name, base) in &build.native {
        part(name);
        part(&base.descriptor.digest.to_string());
    }
    part("secrets");
    build.secrets.iter().for_each(|secret| part(&secret.id.value));
    part("ssh");
    build.ssh.iter().for_each(|id| part(&id.value));
    // The image itself says then what its layers were made of.
    if build.caches.contains(&CachePlan::Inline) {
        part("cache inline");
    }
    for context in contexts {
        sum.update(b"context");
        fingerprint(context.directory.as_path(), &context.files, &mut sum);
    }
    BuildKey(*sum.finalize().as_bytes())
}

/// What a Dockerfile uses that the engine does not have.
fn check_features(build: &DockerfileStep, engine: &Engine) -> Result<(), Problems> {
    let mut problems = Problems::new();
    if !engine.about().has_buildkit {
        let about = engine.about();
        let has = |feature: &FeatureKind| match about.kind {
            EngineKind::Docker => false,
            EngineKind::BuildKit => true,
            EngineKind::Podman if about.is_before(4, 4) => feature.is_in_buildah(),
            // Later ones have more, and say themselves what they do not have; but of this
            // flag they take the patterns for paths of the context, and copy too much.
            EngineKind::Podman => !matches!(feature, FeatureKind::Flag(_, name) if name == "exclude"),
        };
        let missing = build.features.iter().filter(|feature| !has(&feature.kind));
        // Named contexts are bridged on every engine.
        let missing = missing.filter(|feature| feature.kind != FeatureKind::NamedContext);
        problems.extend(missing.map(|feature| {
            Problem::new(Code::NoEngine, format!("{engine} does not have {}", feature.kind))
                .label(feature.span, "used here")
                .help(
                    "build it with Docker, whose BuildKit has it: `DOCKER_HOST=unix:///var/run/docker.sock`",
                )
        }));
        problems.extend(build.ssh.iter().map(|id| {
            Problem::new(Code::NoEngine, format!("{engine} reaches no agent of ssh"))
                .label(id.span, "asks for one")
                .help("build it with Docker, whose BuildKit does: `DOCKER_HOST=unix:///var/run/docker.sock`")
        }));
    }
    problems.or(())
}

/// The Dockerfile with the images that are for what the engine runs on.
fn native(build: &DockerfileStep, engine: &Engine) -> Result<String, Problem> {
    let (mut dockerfile, platform) = (build.dockerfile.to_string(), &engine.about().platform);
    for (name, base) in &build.native {
        let found = base.for_platform(platform).map_err(|platforms| {
            let title = format!("`{}` is not for `{platform}`, which {engine} runs on", base.reference);
            let there: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            Problem::new(Code::NoEngine, title)
                .label(build.span, "its `FROM --platform` names what the builder runs on")
                .note(format!("it is for {}", there.join(", ")))
                .help("take a base that is, or a `builder` that runs on what it is for")
        })?;
        dockerfile = dockerfile.replace(name, &format!("{}@{}", base.reference.repository, found.digest));
    }
    Ok(dockerfile)
}

/// Images whose names depend on what the builder runs on were found before the builder was.
fn check_builder(build: &DockerfileStep, engine: &Engine) -> Result<(), Problem> {
    let found = &engine.about().platform;
    let other = build.builder.as_ref().filter(|planned| planned.architecture != found.architecture);
    let Some(planned) = other else { return Ok(()) };
    let title = format!("a stage starts from an image named for `{planned}`, and {engine} runs on `{found}`");
    let problem = Problem::new(Code::NoEngine, title);
    let problem = problem.label(build.span, "a `FROM` of it names what the builder runs on");
    Err(problem.help(format!(
        "say what the engine builds natively: `builder \"NAME\" \"{}\" platforms=\"{found}\"`",
        engine.address()
    )))
}

/// Links that lead out of a context make engines without BuildKit refuse all of it.
fn check_links(build: &DockerfileStep, context: &builder::Context, engine: &Engine) -> Result<(), Problems> {
    let mut problems = Problems::new();
    for (path, text) in context.links_out() {
        let title = format!("the link `{path}` leads out of the context, to `{text}`");
        let problem = Problem::new(Code::BuildFailed, title).label(build.span, "the context of this");
        let help = "leave it out with `.dockerignore`, or let it lead to a file of the context";
        problems.push(problem.note(format!("{engine} takes no context that has one")).help(help));
    }
    problems.or(())
}

/// The builds whose images a plan pushes.
fn published(plan: &Plan) -> HashSet<StepId> {
    let step = |at: StepIndex| plan.steps.get(at.0 as usize);
    let pushed = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Push(push) => Some(push.image),
        _ => None,
    });
    let builds = pushed.filter_map(step).flat_map(|index| match &index.action {
        Action::Index(index) => index.platforms.iter().map(|(_, build)| *build).collect(),
        _ => Vec::new(),
    });
    builds.filter_map(step).map(|build| build.id.clone()).collect()
}

/// A `cache` has no effect with an engine, and what has.
fn no_cache(kind: EngineKind) -> String {
    let remedy = match kind {
        EngineKind::Docker => {
            "Docker has it with `\"features\": {\"containerd-snapshotter\": true}` in its \
                               `daemon.json`, and BuildKit's own daemon, as a `builder`, has it always"
        }
        EngineKind::Podman | EngineKind::BuildKit => "Docker's BuildKit and BuildKit's own daemon have it",
    };
    format!("warning: `cache` has no effect with this engine, which keeps layers for itself: {remedy}")
}

/// A registry does not help: what is to be built is built all the same.
fn not_shared(problem: &Problem) -> String {
    format!("builds are not shared: {}", problem.title)
}
