//! One engine: what it is, and what it is asked for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use crate::config::Address;
use crate::engine::builder::connector::Connector;
use crate::engine::builder::error::{EngineError, chain};
use crate::engine::builder::solve::BuildKit;
use crate::engine::emulation::{emulated, is_emulated};
use crate::oci::Platform;

/// How long an engine may take to say what it is.
const GREETING: Duration = Duration::from_secs(30);
/// How long an engine may take to begin with an answer, in seconds: a day, for it may
/// be one that comes when all is done.
const PATIENCE: u64 = 24 * 60 * 60;
/// The first version of Docker's API whose engines have BuildKit (Docker 18.09).
const BUILDKIT_SINCE: (usize, usize) = (1, 39);
/// The first version of the API that builds for a platform: one before builds for its own,
/// whatever it is asked for.
const OLDEST: (usize, usize) = (1, 32);

/// Which program an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Docker's daemon, or one that is like it in all that matters here.
    Docker,
    /// Podman's service.
    Podman,
    /// BuildKit's own daemon, which builds and keeps no images.
    BuildKit,
}

impl EngineKind {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
            Self::BuildKit => "BuildKit",
        }
    }
}

/// What an engine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Which program it is.
    pub kind: EngineKind,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub platform: Platform,
    /// Whether it builds with BuildKit.
    pub has_buildkit: bool,
}

impl About {
    /// Whether its version is one before this. One that cannot be read is not.
    #[must_use]
    pub fn is_before(&self, major: u64, minor: u64) -> bool {
        let mut parts = self.version.split('.').map(|part| part.parse::<u64>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(own), Some(below)) => (own, below) < (major, minor),
            _ => false,
        }
    }
}

/// An engine that answers.
#[derive(Clone)]
pub struct Engine {
    /// Its API of images and containers; BuildKit's own daemon has none.
    docker: Option<Docker>,
    pub(super) connector: Connector,
    address: Address,
    about: About,
}

impl Engine {
    /// Connects to an engine and asks it what it is: one of Docker's API, else BuildKit.
    ///
    /// `tls` says how it is known and hoist is known to it, where its address is one of
    /// TCP that asks for it.
    ///
    /// # Errors
    /// Nothing answers there, or not as an engine would; it may not be used.
    pub async fn connect(
        address: &Address,
        tls: Option<Arc<rustls::ClientConfig>>,
    ) -> Result<Self, EngineError> {
        let connector = Connector::new(address.clone(), tls);
        match timeout(GREETING, Self::with_docker(address, &connector)).await.map_err(silent)? {
            // What is no answer may be one of another protocol.
            Err(EngineError::Broken(words)) => {
                let connector = connector.with_http2();
                let other = timeout(GREETING, Self::with_buildkit(address, &connector)).await;
                other.ok().flatten().ok_or(EngineError::Broken(words))
            }
            answer => answer,
        }
    }

    /// An engine that has Docker's API.
    async fn with_docker(address: &Address, connector: &Connector) -> Result<Self, EngineError> {
        let client = Client::builder(TokioExecutor::new()).build(connector.clone());
        let transport = move |request: BollardRequest| {
            let answer = client.request(request);
            async move { answer.await.map_err(bollard::errors::Error::from) }
        };
        let docker = Docker::connect_with_custom_transport(
            transport,
            Some("http://engine"),
            PATIENCE,
            API_DEFAULT_VERSION,
        )?;
        let docker = docker.negotiate_version().await?;
        let version = docker.version().await?;
        let components = version.components.unwrap_or_default();
        let is_podman = components.iter().any(|component| component.name.starts_with("Podman"));
        let spoken = docker.client_version();
        let spoken = (spoken.major_version, spoken.minor_version);
        if spoken < OLDEST {
            let ((own, version), (first, since)) = (spoken, OLDEST);
            return Err(EngineError::Refused(format!(
                "it is too old: its API is {own}.{version}, and that for builds of a platform {first}.{since} \
                 (Docker 17.09)"
            )));
        }
        let platform = format!(
            "{}/{}",
            version.os.as_deref().unwrap_or("linux"),
            version.arch.as_deref().unwrap_or_default()
        );
        let platform =
            platform.parse().map_err(|_| EngineError::Broken(format!("it runs on `{platform}`")))?;
        let about = About {
            kind: if is_podman { EngineKind::Podman } else { EngineKind::Docker },
            version: version.version.unwrap_or_default(),
            platform,
            has_buildkit: !is_podman && spoken >= BUILDKIT_SINCE,
        };
        Ok(Self { docker: Some(docker), connector: connector.clone(), address: address.clone(), about })
    }

    /// BuildKit's own daemon, if that is what answers.
    async fn with_buildkit(address: &Address, connector: &Connector) -> Option<Self> {
        let buildkit = BuildKit::itself(connector).await.ok()?;
        // A worker begins with what it runs on.
        let platform = buildkit.workers().await.ok()?.into_iter().next()?;
        let version = buildkit.version().await;
        let about = About { kind: EngineKind::BuildKit, version, platform, has_buildkit: true };
        Some(Self { docker: None, connector: connector.clone(), address: address.clone(), about })
    }

    /// Its API of images and containers.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn docker(&self) -> Result<&Docker, EngineError> {
        self.docker.as_ref().ok_or_else(|| EngineError::Refused("it keeps no images".to_owned()))
    }

    /// Whether images stay at it, by names.
    #[must_use]
    pub fn keeps_images(&self) -> bool {
        self.docker.is_some()
    }

    /// The BuildKit that it has or is.
    pub(super) async fn buildkit(&self) -> Result<BuildKit, EngineError> {
        let buildkit = match self.docker {
            Some(_) => BuildKit::within(&self.connector).await,
            None => BuildKit::itself(&self.connector).await,
        };
        buildkit.map_err(|error| EngineError::Broken(chain(&error)))
    }

    /// What it says of itself.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Whether it runs programs of another platform.
    pub(super) async fn emulates(&self, platform: &Platform) -> bool {
        if matches!(self.address, Address::Unix(_)) && is_emulated(platform) {
            return true;
        }
        if !self.about.has_buildkit {
            // Of a machine that is not this one, only trying tells.
            return !matches!(self.address, Address::Unix(_));
        }
        let Ok(buildkit) = self.buildkit().await else { return false };
        buildkit.platforms().await.iter().any(|found| found.serves(platform))
    }

    /// Other platforms that it says it runs programs of, natively or emulated; `None`
    /// where only trying tells.
    pub async fn other_platforms(&self) -> Option<Vec<Platform>> {
        let is_here = matches!(self.address, Address::Unix(_));
        let mut others = if is_here { emulated() } else { Vec::new() };
        if self.about.has_buildkit {
            let buildkit = self.buildkit().await.ok()?;
            for found in buildkit.platforms().await {
                let is_known = |other: &Platform| other.serves(&found);
                if !self.about.platform.serves(&found) && !others.iter().any(is_known) {
                    others.push(found);
                }
            }
        } else if !is_here {
            return None;
        }
        Some(others)
    }

    /// Where it was found.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

fn silent(_: tokio::time::error::Elapsed) -> EngineError {
    EngineError::Unreachable(format!("no answer within {} s", GREETING.as_secs()))
}

/// `Docker 20.10.24 at unix:///var/run/docker.sock`.
impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let About { kind, version, .. } = &self.about;
        write!(f, "{} {version} at {}", kind.name(), self.address)
    }
}
