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
use crate::engine::builder::error::EngineError;
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

/// Which program an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Docker's daemon, or one that is like it in all that matters here.
    Docker,
    /// Podman's service.
    Podman,
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
    pub(super) docker: Docker,
    pub(super) connector: Connector,
    address: Address,
    about: About,
}

impl Engine {
    /// Connects to an engine and asks it what it is.
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
        let greeting = async {
            let docker = docker.negotiate_version().await?;
            let version = docker.version().await?;
            Ok::<_, EngineError>((docker, version))
        };
        let silent = |_| EngineError::Unreachable(format!("no answer within {} s", GREETING.as_secs()));
        let (docker, version) = timeout(GREETING, greeting).await.map_err(silent)??;
        let components = version.components.unwrap_or_default();
        let is_podman = components.iter().any(|component| component.name.starts_with("Podman"));
        let spoken = docker.client_version();
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
            has_buildkit: !is_podman && (spoken.major_version, spoken.minor_version) >= BUILDKIT_SINCE,
        };
        Ok(Self { docker, connector, address: address.clone(), about })
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
        let Ok(buildkit) = BuildKit::within(&self.connector).await else { return false };
        buildkit.platforms().await.iter().any(|found| found.serves(platform))
    }

    /// Other platforms that it says it runs programs of, natively or emulated; `None`
    /// where only trying tells.
    pub async fn other_platforms(&self) -> Option<Vec<Platform>> {
        let is_here = matches!(self.address, Address::Unix(_));
        let mut others = if is_here { emulated() } else { Vec::new() };
        if self.about.has_buildkit {
            let buildkit = BuildKit::within(&self.connector).await.ok()?;
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

/// `Docker 20.10.24 at unix:///var/run/docker.sock`.
impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.about.kind {
            EngineKind::Docker => "Docker",
            EngineKind::Podman => "Podman",
        };
        write!(f, "{name} {} at {}", self.about.version, self.address)
    }
}
