//! The engines of a run: found when they are first needed, and then kept.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Mutex;

use crate::engine::builder::address::Address;
use crate::engine::builder::engine::Engine;
use crate::engine::builder::error::EngineError;
use crate::engine::builder::service::PodmanService;
use crate::facts::Environment;
use crate::oci::Platform;

/// Where Docker's daemon listens.
const DOCKER: &str = "/var/run/docker.sock";
/// Where Podman's service listens for all users of a machine.
const PODMAN: &str = "/run/podman/podman.sock";

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
    pub identity: Option<(PathBuf, PathBuf)>,
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

/// Engines that a run may use.
pub struct Engines {
    builders: Vec<Place>,
    local: Vec<Place>,
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
}

impl Connected {
    async fn engine(&mut self, place: &Place) -> Result<Engine, EngineError> {
        if let Some(engine) = self.engines.get(&place.address) {
            return Ok(engine.clone());
        }
        let tls = place.certificates.as_ref().map(tls).transpose()?;
        let engine = Engine::connect(&place.address, tls.map(Into::into)).await?;
        self.engines.insert(place.address.clone(), engine.clone());
        Ok(engine)
    }

    /// The first of some places that answers; else a service of Podman that is started
    /// for it.
    async fn here(&mut self, places: &[Place]) -> Result<Engine, Vec<(String, EngineError)>> {
        if let Some(engine) = &self.here {
            return Ok(engine.clone());
        }
        let mut tried = Vec::new();
        for place in places {
            match self.engine(place).await {
                Ok(engine) => return Ok(self.here.insert(engine).clone()),
                Err(error) => tried.push((format!("{} at {}", place.name, place.address), error)),
            }
        }
        // Who names an engine means that one.
        if places.first().is_some_and(|place| place.name == DOCKER_HOST) {
            return Err(tried);
        }
        match PodmanService::start().await {
            Ok((service, engine)) => {
                self.service = Some(service);
                Ok(self.here.insert(engine).clone())
            }
            Err(error) => {
                tried.push(("podman".to_owned(), error));
                Err(tried)
            }
        }
    }
}

/// The variable that names an engine.
const DOCKER_HOST: &str = "DOCKER_HOST";

/// Where an engine of this machine may listen: where `DOCKER_HOST` says, else at the
/// usual sockets.
fn local(environment: &Environment) -> Vec<Place> {
    let variable = |name: &str| environment.text(name).filter(|value| !value.is_empty());
    let place = |name: &str, path: PathBuf| Place {
        name: name.to_owned(),
        address: Address::Unix(path),
        platforms: Vec::new(),
        certificates: None,
    };
    if let Some(address) = variable(DOCKER_HOST).and_then(|host| Address::parse(host).ok()) {
        let home = || variable("HOME").map(|home| Path::new(home).join(".docker"));
        let directory = variable("DOCKER_CERT_PATH").map(PathBuf::from).or_else(home);
        let certificates = directory.filter(|_| variable("DOCKER_TLS_VERIFY").is_some()).map(|directory| {
            let identity = (directory.join("cert.pem"), directory.join("key.pem"));
            Certificates { ca: directory.join("ca.pem"), identity: identity.0.exists().then_some(identity) }
        });
        return vec![Place { name: DOCKER_HOST.to_owned(), address, platforms: Vec::new(), certificates }];
    }
    let own = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let rootless = own.clone().map(|own| place("docker", own.join("docker.sock")));
    let podman = own.map(|own| place("podman", own.join("podman/podman.sock")));
    let docker = place("docker", PathBuf::from(DOCKER));
    [Some(docker), rootless, podman, Some(place("podman", PathBuf::from(PODMAN)))]
        .into_iter()
        .flatten()
        .collect()
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
    let private =
        PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| unusable(key, error.to_string()))?;
    config
        .with_client_auth_cert(chain(certificate)?, private)
        .map_err(|error| unusable(key, error.to_string()))
}
