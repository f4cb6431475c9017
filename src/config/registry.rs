//! Where images are published.

use crate::config::{ProjectPath, Retain, Template};
use crate::diagnostic::Spanned;
use serde::{Deserialize, Serialize};

/// `registry "name" "host/prefix" { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    /// Its name, with the prefix of an included file.
    pub name: Spanned<String>,
    /// Where it is.
    pub place: Place,
    /// Whether plain HTTP is spoken.
    pub insecure: bool,
    /// A certificate authority of its own.
    pub ca: Option<Spanned<ProjectPath>>,
    /// A certificate to show.
    pub client: Option<ClientCertificate>,
    /// Credentials; without them those of docker and podman are used.
    pub login: Option<Login>,
    /// What `hoist prune` keeps there; the first that matches a tag decides.
    pub retains: Vec<Retain>,
}

/// A registry on the network, or a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// `host[:port][/prefix]`.
    Remote(Template),
    /// `oci:DIR`: an OCI image layout.
    Layout(ProjectPath),
}

/// `cert=… key=…`: who one is for a registry that asks for a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// Not a secret.
    pub certificate: Spanned<ProjectPath>,
    /// The private key, by where it is found.
    pub key: Spanned<Secret>,
}

impl Registry {
    /// Where all its secrets are found.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let password = self.login.as_ref().map(|login| &login.password.value);
        password.into_iter().chain(self.client.as_ref().map(|client| &client.key.value))
    }
}

/// `login username=… password=…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Login {
    /// Not a secret.
    pub username: Template,
    /// A secret, by where it is found.
    pub password: Spanned<Secret>,
}

/// Where a secret is found. The value itself is never part of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Secret {
    /// `env:NAME`.
    Env(String),
    /// `file:PATH`, relative to the project's directory unless absolute or behind `~/`.
    File(String),
    /// `command:…`: what the command prints, without the final newline.
    Command(String),
}

impl Secret {
    /// Where it is found, as in the release file. What a command is called with may be
    /// secret.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Env(name) => format!("env:{name}"),
            Self::File(path) => format!("file:{path}"),
            Self::Command(_) => "command:…".to_owned(),
        }
    }
}
