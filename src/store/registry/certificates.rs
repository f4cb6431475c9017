//! Certificates for a registry: those of the release file, else those of `certs.d`,
//! where docker and podman keep them.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder, Identity};

use crate::diagnostic::{Code, Problem};
use crate::facts::Environment;
use crate::store::registry::secret::{self, Password};
use crate::store::{Access, Surroundings};

/// Where certificates are kept for all users of a machine.
const DIRECTORIES: &[&str] = &["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// What a connection over TLS needs beside the certificates of the system.
#[derive(Default)]
pub(super) struct Certificates {
    authorities: Vec<Certificate>,
    /// Who one is.
    identity: Option<Identity>,
}

impl Certificates {
    /// What the release file names; where it names nothing, what `certs.d` has for
    /// the host.
    ///
    /// # Errors
    /// A file cannot be read or is not in PEM; the key cannot be found.
    pub(super) async fn find(
        host: &str,
        access: &Access,
        surroundings: &Surroundings,
    ) -> Result<Self, Problem> {
        let mut found = Self::default();
        if let Some(path) = &access.ca {
            found.authorities = authorities(path)?;
        }
        if let Some((path, key)) = &access.client {
            let Surroundings { root, environment } = surroundings;
            let key = secret::find("a private key", key, root, environment).await?;
            found.identity = Some(identity(path, &key)?);
        }
        if !found.is_empty() || access.insecure {
            return Ok(found);
        }
        match directories(&surroundings.environment).map(|above| above.join(host)).find(|one| one.is_dir()) {
            Some(directory) => Self::kept(&directory),
            None => Ok(found),
        }
    }

    /// What a directory has: authorities in `*.crt`, and a certificate to show in a
    /// `*.cert` with its key in the `*.key` of the same name.
    fn kept(directory: &Path) -> Result<Self, Problem> {
        let mut found = Self::default();
        let entries = fs::read_dir(directory).map_err(|error| refuse(directory, error.to_string()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.authorities.extend(authorities(&path)?),
                Some("cert") => {
                    let key = path.with_extension("key");
                    let text = fs::read_to_string(&key).map_err(|error| refuse(&key, error.to_string()))?;
                    found.identity = Some(identity(&path, &Password::new(text))?);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.identity.is_none()
    }

    /// Whether there is a certificate to show.
    pub(super) const fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// The same for servers that the registry leads to: nothing is shown to them.
    pub(super) fn to_others(&self) -> Self {
        Self { authorities: self.authorities.clone(), identity: None }
    }

    /// Gives them to a client.
    pub(super) fn install(&self, builder: ClientBuilder) -> ClientBuilder {
        let builder = builder.tls_certs_merge(self.authorities.clone());
        self.identity.iter().cloned().fold(builder, ClientBuilder::identity)
    }
}

/// Where `certs.d` is looked for, in this order; the first that has the host counts.
fn directories(environment: &Environment) -> impl Iterator<Item = PathBuf> {
    let directory = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = directory("XDG_CONFIG_HOME").or_else(|| Some(directory("HOME")?.join(".config")));
    let own = config.map(|config| config.join("containers/certs.d"));
    own.into_iter().chain(DIRECTORIES.iter().map(PathBuf::from))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, Problem> {
    let pem = fs::read(path).map_err(|error| refuse(path, error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| refuse(path, error.to_string()))?;
    if found.is_empty() {
        return Err(refuse(path, "there is none in it".to_owned()));
    }
    Ok(found)
}

/// A certificate with its key. No message of what reads the key is shown.
fn identity(path: &Path, key: &Password) -> Result<Identity, Problem> {
    let mut pem = fs::read(path).map_err(|error| refuse(path, error.to_string()))?;
    pem.extend_from_slice(b"\n");
    pem.extend_from_slice(key.reveal().as_bytes());
    Identity::from_pem(&pem)
        .map_err(|_| refuse(path, "it and its key are to be in PEM, the key not encrypted".to_owned()))
}

fn refuse(path: &Path, note: String) -> Problem {
    Problem::new(Code::Unreadable, format!("cannot use the certificates in `{}`", path.display())).note(note)
}
