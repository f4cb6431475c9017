//! The engines of a run: found when they are first needed, and then kept.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::Address;
use crate::engine::builder::engine::Engine;
use crate::engine::builder::error::EngineError;
use crate::engine::builder::service::PodmanService;
use crate::facts::Environment;
use crate::oci::Platform;

/// Where Docker's daemon listens.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// Where Podman's service listens for all users of a machine.
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// A place where an engine may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What users know it by: the name of a `builder`, or what names it.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// What it builds natively; empty for what it says itself.
    pub platforms: Vec<Platform>,
    /// Certificates of a connection over TLS.
    pub certificates: Option<Certificates>,
}

/// How an engine is known, and hoist is known to it: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The authority that vouches for the engine.
    pub ca: PathBuf,
    /// Who hoist is, and the private key of that.
    pub identity: Option<(PathBuf, PrivateKey)>,
}

/// A private key in PEM.
#[derive(Clone, PartialEq, Eq)]
pub enum PrivateKey {
    /// In a file.
    File(PathBuf),
    /// The key itself.
    Held(Vec<u8>),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Held(_) => f.write_str("***"),
        }
    }
}

/// Why there is no engine for a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoEngine {
    /// Nothing was found: each place that was tried, and what it said.
    Nowhere(Vec<(String, EngineError)>),
    /// A `builder` that is meant for the platform does not do.
    Builder(String, EngineError),
    /// The engine runs on another platform and cannot emulate this one.
    Foreign(String, Platform),
}

/// What was found at a place where an engine may be.
#[derive(Clone)]
pub struct Surveyed {
    /// What users know it by.
    pub name: String,
    /// Where it listens; `None` for a Podman that is started for a run.
    pub address: Option<Address>,
    /// What a `builder` is meant for.
    pub platforms: Vec<Platform>,
    /// The engine, or why there is none.
    pub answer: Answer,
}

/// An engine, or why there is none.
type Answer = Result<Engine, EngineError>;

/// Where an engine of this machine may be.
enum Local {
    /// At one of the usual places, else in a Podman that is started.
    Usual(Vec<Place>),
    /// Where `DOCKER_HOST` says, and nowhere else: who names an engine means that one.
    Named(Place),
    /// `DOCKER_HOST` says what is no address.
    Misnamed(EngineError),
}

/// Engines that a run may use.
pub struct Engines {
    builders: Vec<Place>,
    local: Local,
    connected: Mutex<Connected>,
}

#[derive(Default)]
struct Connected {
    engines: HashMap<Address, Engine>,
    /// The engine of this machine.
    here: Option<Engine>,
    /// Ends when the run does.
    service: Option<PodmanService>,
}

impl Engines {
    /// Those that a release file names, and those that this machine may have.
    #[must_use]
    pub fn new(builders: Vec<Place>, environment: &Environment) -> Self {
        Self { builders, local: local(environment), connected: Mutex::default() }
    }

    /// The engine that builds for a platform: the first `builder` that is meant for it,
    /// else the one of this machine.
    ///
    /// # Errors
    /// There is none, or none that can.
    pub async fn find(&self, platform: &Platform) -> Result<Engine, NoEngine> {
        let mut connected = self.connected.lock().await;
        for place in &self.builders {
            let is_meant = place.platforms.iter().any(|native| native.serves(platform));
            if !is_meant && !place.platforms.is_empty() {
                continue;
            }
            let engine = connected.engine(place).await;
            match engine {
                Ok(engine) if is_meant || engine.about().platform.serves(platform) => return Ok(engine),
                Ok(_) => {}
                Err(error) => return Err(NoEngine::Builder(place.name.clone(), error)),
            }
        }
        let engine = connected.here(&self.local).await.map_err(NoEngine::Nowhere)?;
        if engine.about().platform.serves(platform) || engine.emulates(platform).await {
            return Ok(engine);
        }
        Err(NoEngine::Foreign(engine.to_string(), engine.about().platform.clone()))
    }

    /// The engine of this machine that keeps images: a `builder` at a socket of it, else
    /// the one that is found; `None` if there is none.
    pub async fn keeper(&self) -> Option<Engine> {
        let mut connected = self.connected.lock().await;
        let builders = self.builders.iter().filter(|place| matches!(place.address, Address::Unix(_)));
        for place in builders {
            let engine = connected.engine(place).await.ok();
            if let Some(engine) = engine.filter(Engine::keeps_images) {
                return Some(engine);
            }
        }
        connected.here(&self.local).await.ok().filter(Engine::keeps_images)
    }

    /// What answers at each place within some time. Where nothing of this machine does, a
    /// Podman is started as for a build; it ends with this value.
    pub async fn survey(&self, patience: Duration) -> Vec<Surveyed> {
        let places: Vec<Place> = self.builders.iter().chain(self.local.places()).cloned().collect();
        let mut asking = JoinSet::new();
        for (number, place) in places.iter().cloned().enumerate() {
            asking.spawn(async move {
                let silent =
                    |_| EngineError::Unreachable(format!("no answer within {} s", patience.as_secs()));
                (number, timeout(patience, connect(&place)).await.map_err(silent).flatten())
            });
        }
        let mut answers = asking.join_all().await;
        answers.sort_by_key(|(number, _)| *number);
        let mut connected = self.connected.lock().await;
        let mut all = Vec::new();
        for (Place { name, address, platforms, .. }, (_, answer)) in places.into_iter().zip(answers) {
            if let Ok(engine) = &answer {
                connected.engines.insert(address.clone(), engine.clone());
            }
            all.push(Surveyed { name, address: Some(address), platforms, answer });
        }
        let mut here = all.iter().skip(self.builders.len());
        if matches!(self.local, Local::Usual(_)) && here.all(|found| found.answer.is_err()) {
            let answer = connected.start().await;
            all.push(Surveyed { name: PODMAN.to_owned(), address: None, platforms: Vec::new(), answer });
        }
        all
    }

    /// What `DOCKER_HOST` says, where that is no address.
    #[must_use]
    pub fn misnamed(&self) -> Option<&EngineError> {
        match &self.local {
            Local::Misnamed(error) => Some(error),
            Local::Usual(_) | Local::Named(_) => None,
        }
    }
}

impl Connected {
    async fn engine(&mut self, place: &Place) -> Result<Engine, EngineError> {
        if let Some(engine) = self.engines.get(&place.address) {
            return Ok(engine.clone());
        }
        let engine = connect(place).await?;
        self.engines.insert(place.address.clone(), engine.clone());
        Ok(engine)
    }

    /// The engine of this machine; a service of Podman is started where there is no other.
    async fn here(&mut self, local: &Local) -> Result<Engine, Vec<(String, EngineError)>> {
        if let Some(engine) = &self.here {
            return Ok(engine.clone());
        }
        let mut tried = Vec::new();
        for place in local.places() {
            match self.engine(place).await {
                Ok(engine) => return Ok(self.here.insert(engine).clone()),
                Err(error) => tried.push((format!("{} at {}", place.name, place.address), error)),
            }
        }
        match local {
            Local::Usual(_) => {
                let started = self.start().await;
                started.map_err(|error| {
                    tried.push((PODMAN.to_owned(), error));
                    tried
                })
            }
            Local::Named(_) => Err(tried),
            Local::Misnamed(error) => Err(vec![(DOCKER_HOST.to_owned(), error.clone())]),
        }
    }

    async fn start(&mut self) -> Answer {
        let (service, engine) = PodmanService::start().await?;
        self.service = Some(service);
        Ok(self.here.insert(engine).clone())
    }
}

/// The variable that names an engine.
const DOCKER_HOST: &str = "DOCKER_HOST";
/// What users know its engine by.
const PODMAN: &str = "podman";

/// Where an engine of this machine may listen: where `DOCKER_HOST` says, else at the
/// usual sockets.
fn local(environment: &Environment) -> Local {
    let variable = |name: &str| environment.text(name).filter(|value| !value.is_empty());
    let place = |name: &str, path: PathBuf| Place {
        name: name.to_owned(),
        address: Address::Unix(path),
        platforms: Vec::new(),
        certificates: None,
    };
    if let Some(named) = variable(DOCKER_HOST) {
        let address = match Address::parse(named) {
            Ok(address) => address,
            Err(why) => {
                return Local::Misnamed(EngineError::Unreachable(format!("it is no address: {why}")));
            }
        };
        let home = || variable("HOME").map(|home| Path::new(home).join(".docker"));
        let directory = variable("DOCKER_CERT_PATH").map(PathBuf::from).or_else(home);
        let certificates = directory.filter(|_| variable("DOCKER_TLS_VERIFY").is_some()).map(|directory| {
            let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
            let identity = certificate.exists().then_some((certificate, PrivateKey::File(key)));
            Certificates { ca: directory.join("ca.pem"), identity }
        });
        let name = DOCKER_HOST.to_owned();
        return Local::Named(Place { name, address, platforms: Vec::new(), certificates });
    }
    let own = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let rootless = own.clone().map(|own| place("docker", own.join("docker.sock")));
    let podman = own.map(|own| place(PODMAN, own.join("podman/podman.sock")));
    let docker = place("docker", PathBuf::from(DOCKER_SOCKET));
    let all = [Some(docker), rootless, podman, Some(place(PODMAN, PathBuf::from(PODMAN_SOCKET)))];
    Local::Usual(all.into_iter().flatten().collect())
}

impl Local {
    /// All of them, the first to be asked first.
    fn places(&self) -> &[Place] {
        match self {
            Self::Usual(places) => places,
            Self::Named(place) => std::slice::from_ref(place),
            Self::Misnamed(_) => &[],
        }
    }
}

async fn connect(place: &Place) -> Answer {
    let tls = place.certificates.as_ref().map(tls).transpose()?;
    Engine::connect(&place.address, tls.map(Into::into)).await
}

fn tls(certificates: &Certificates) -> Result<rustls::ClientConfig, EngineError> {
    let unusable = |path: &Path, why: String| EngineError::Unreachable(format!("{}: {why}", path.display()));
    let read = |path: &Path| fs::read(path).map_err(|error| unusable(path, error.to_string()));
    let chain = |path: &Path| {
        let bytes = read(path)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        chain.map_err(|error| unusable(path, error.to_string()))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in chain(&certificates.ca)? {
        roots.add(certificate).map_err(|error| unusable(&certificates.ca, error.to_string()))?;
    }
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| EngineError::Unreachable(error.to_string()))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &certificates.identity else { return Ok(config.with_no_client_auth()) };
    // No message of what reads the key is shown: it might hold some of it.
    let no_key = || unusable(certificate, "its key is to be in PEM, and not encrypted".to_owned());
    let private = match key {
        PrivateKey::File(path) => PrivateKeyDer::from_pem_slice(&read(path)?),
        PrivateKey::Held(pem) => PrivateKeyDer::from_pem_slice(pem),
    };
    config
        .with_client_auth_cert(chain(certificate)?, private.map_err(|_| no_key())?)
        .map_err(|error| unusable(certificate, error.to_string()))
}
