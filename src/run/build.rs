//! Builds images from Dockerfiles, with the engines of a run.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::config::{BuildSecret, Release, Secret};
use crate::diagnostic::{Code, Problem, Problems};
use crate::engine::builder::{
    Build, CONTEXT, Engine, EngineError, Engines, Login, Offer, Source, context, directory_image, finish,
    repository,
};
use crate::facts::{Facts, InputQuery, KnownFiles, any_number, read_inputs};
use crate::oci::{Descriptor, LayerCompression};
use crate::plan::{DockerfileStep, Step};
use crate::release::Publisher;
use crate::run::command::Unsuccessful;
use crate::run::engines::{engines, no_engine, owner};
use crate::run::image::{Known, no_image, stops, unless};
use crate::run::line::Written;
use crate::run::mask::Secrets;
use crate::run::process::Halt;
use crate::run::teller::{Teller, Told};
use crate::run::worker::blocking;
use crate::run::{Request, Stream};
use crate::store::{Layout, secret_file};

/// Lines of an engine that nobody heard yet: more than this, and the build waits.
const BACKLOG: usize = 64;

/// What the builds of a run share.
pub(super) struct Builds {
    root: PathBuf,
    facts: Arc<Facts>,
    release: Arc<Release>,
    built: Layout,
    secrets: Arc<Secrets>,
    publisher: Arc<Publisher>,
    /// What is wrong with them is told by whoever needs one.
    engines: Result<Engines, Problems>,
}

impl Builds {
    /// Builds of files of the project, into the store of its cache.
    pub(super) fn new(request: &Request, secrets: Arc<Secrets>, publisher: Arc<Publisher>) -> Self {
        let Request { root, facts, release, cache, .. } = request;
        Self {
            root: root.clone(),
            facts: Arc::clone(facts),
            release: Arc::clone(release),
            built: cache.images().clone(),
            secrets,
            publisher,
            engines: engines(root, release, facts),
        }
    }

    /// Builds an image, and returns its manifest.
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
    ) -> Result<Descriptor, Unsuccessful> {
        let engines = self.engines.as_ref().map_err(|problems| Unsuccessful::Failed(problems.clone()))?;
        let engine = unless(halt, stops, engines.find(&build.platform)).await?;
        let missing = |error| Unsuccessful::failed(no_engine(&build.platform, build.span, error));
        let engine = engine.map_err(missing)?;
        let wrong = |error| Unsuccessful::failed(failed(build, &engine, error));
        let mut archives = self.archives(step).await?;
        let owner = owner(&self.root);
        let mut bases = Vec::new();
        for (name, from) in &build.images {
            bases.push((name, known.get(from).ok_or_else(|| no_image(step))?.clone()));
        }
        for (number, name) in (1..).zip(&build.directories) {
            if let Some(source) = archives.remove(&archive(number)) {
                let made = directory_image(&source, &build.platform, &self.built);
                bases.push((name, unless(halt, stops, made).await?.map_err(wrong)?));
            }
        }
        let mut dockerfile = build.dockerfile.to_string();
        for (name, image) in bases {
            let given = format!("{}:base-{}", repository(&owner), image.digest.hex());
            unless(halt, stops, engine.load(&image, &given, &self.built)).await?.map_err(wrong)?;
            dockerfile = dockerfile.replace(name.as_str(), &given);
        }
        let offer = self.offer(build, dockerfile, archives).await?;
        let asked = Build {
            id: id(),
            name: name(&owner, step),
            owner,
            platform: build.platform.clone(),
            target: build.target.clone(),
            arguments: build.arguments.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            network: build.network.clone(),
            no_cache: build.no_cache,
            caches: build.caches.clone(),
            offer,
        };
        teller.tell(Told::Notice(format!("built by {engine}"))).await;
        let result = {
            let (sender, mut lines) = mpsc::channel::<Vec<u8>>(BACKLOG);
            let mut output = Written::new(Stream::Stdout, Arc::clone(&self.secrets));
            let mut building = pin!(unless(halt, stops, engine.build(asked, sender)));
            let result = loop {
                tokio::select! {
                    Some(line) = lines.recv() => take(line, &mut output, teller).await,
                    result = &mut building => break result,
                }
            };
            while let Ok(line) = lines.try_recv() {
                take(line, &mut output, teller).await;
            }
            teller.finish(&mut output).await;
            result
        };
        let made = result?.map_err(|error| Unsuccessful::failed(failed(build, &engine, error)))?;
        let save = engine.save(&made.image, LayerCompression::GZIP, &self.built);
        let saved = unless(halt, stops, save).await?;
        let saved = saved.map_err(|error| Unsuccessful::failed(failed(build, &engine, error)))?;
        finish(build, &saved, &self.built).map_err(Unsuccessful::failed)
    }

    /// What the engine may ask for.
    async fn offer(
        &self,
        build: &DockerfileStep,
        dockerfile: String,
        archives: HashMap<String, Source>,
    ) -> Result<Offer, Unsuccessful> {
        let mut secrets = HashMap::new();
        for secret in &build.secrets {
            secrets.insert(secret.id.value.clone(), self.secret(secret).map_err(Unsuccessful::failed)?);
        }
        let mut logins = HashMap::new();
        for base in &build.bases {
            let found = self.publisher.hand_over(&base.registry).await.map_err(Unsuccessful::failed)?;
            if let Some((user, secret)) = found {
                logins.insert(base.reference.repository.host().to_owned(), Login { user, secret });
            }
        }
        Ok(Offer {
            archives,
            dockerfile: Bytes::from(dockerfile),
            secrets,
            agents: self.agents(build).map_err(Unsuccessful::failed)?,
            logins,
        })
    }

    /// The archives of the context and of the directories that the Dockerfile names.
    async fn archives(&self, step: &Step) -> Result<HashMap<String, Source>, Unsuccessful> {
        let queries = step.inputs.iter().flat_map(|inputs| &inputs.contexts);
        let mut archives = HashMap::new();
        for (number, query) in queries.enumerate() {
            // What other steps made meanwhile belongs to it.
            let query = InputQuery { contexts: vec![query.clone()], ..InputQuery::default() };
            let directory = query.contexts.first().map(|context| context.directory.value.clone());
            let (root, release, facts) =
                (self.root.clone(), Arc::clone(&self.release), Arc::clone(&self.facts));
            let read = move || read_inputs(&root, &release, &facts, &query, &KnownFiles::new());
            let files = blocking(read).await.map_err(Unsuccessful::Failed)?;
            let source = context(&self.root, directory.unwrap_or_default().as_path(), files);
            archives.insert(archive(number), source);
        }
        Ok(archives)
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
            Secret::File(path) => std::fs::read(secret_file(path, &self.root, &self.facts.environment))
                .map_err(|error| missing(format!("`{path}` cannot be read")).note(error.to_string())),
            Secret::Command(_) => Err(missing("a command is no place of a build secret".to_owned())),
        }
    }
}

/// Keeps a line that an engine wrote.
async fn take(line: Vec<u8>, output: &mut Written, teller: &mut Teller) {
    let space = output.space(line.len() + 1);
    space.extend_from_slice(&line);
    space.push(b'\n');
    teller.take(output).await;
}

/// The name of an archive, by its place among the contexts.
fn archive(number: usize) -> String {
    if number == 0 { CONTEXT.to_owned() } else { format!("{CONTEXT}-{number}") }
}

/// A name for a build that no other has.
fn id() -> String {
    format!("{:016x}{:016x}", any_number(), any_number())
}

/// What an image is called at an engine; one of an earlier build gives the name up.
fn name(owner: &str, step: &Step) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let id: String = step.id.to_string().chars().map(fits).collect();
    format!("{}:{}", repository(owner), id.trim_matches('-'))
}

/// A build did not succeed.
fn failed(build: &DockerfileStep, engine: &Engine, error: EngineError) -> Problem {
    let problem = |title: &str| Problem::new(Code::BuildFailed, title).label(build.span, "built from this");
    match error {
        EngineError::Local(problem) => *problem,
        EngineError::Failed(words) => problem("the build failed").note(words),
        EngineError::Refused(words) => problem("the engine refused").note(format!("{engine}: {words}")),
        EngineError::Unreachable(words) | EngineError::Denied(words) | EngineError::Broken(words) => {
            problem("the engine went away").note(format!("{engine}: {words}"))
        }
    }
}
