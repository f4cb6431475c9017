//! Where a run publishes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::sync::Mutex;

use crate::config::ProjectPath;
use crate::diagnostic::{Code, Problem};
use crate::facts::Environment;
use crate::oci::Descriptor;
use crate::plan::{RegistryPlace, RegistryPlan};
use crate::release::ancestry::find_kinship;
use crate::release::history::Kinship;
use crate::seal::Keyring;
use crate::store::{Access, Layout, Network, Repository, Surroundings, Tell};

/// A repository as a user would name it.
pub(super) fn place(registry: &RegistryPlan) -> String {
    match &registry.place {
        RegistryPlace::Layout(path) => format!("oci:{path}"),
        RegistryPlace::Remote(name) => name.clone(),
    }
}

/// The destinations of a run, each opened once, and what holds for all.
pub struct Publisher {
    network: Network,
    keyring: Keyring,
    allow_regress: bool,
    /// How commits stand to each other, as far as it was asked: new and old.
    kinships: Mutex<BTreeMap<(String, String), Kinship>>,
}

impl Publisher {
    /// For a project's directory, and the environment that credentials are
    /// found in, `dotenv` files included.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, environment: Environment) -> Self {
        let root = root.into();
        let keyring = Keyring::new(&root, environment.clone());
        let surroundings = Surroundings { root, environment };
        Self {
            network: Network::new(surroundings),
            keyring,
            allow_regress: false,
            kinships: Mutex::default(),
        }
    }

    /// Says aloud that a registry is asked again which said nothing.
    #[must_use]
    pub fn telling(mut self, tell: Tell) -> Self {
        self.network = self.network.telling(tell);
        self
    }

    /// Lets moving tags go backwards, too.
    #[must_use]
    pub const fn allow_regress(mut self, allow: bool) -> Self {
        self.allow_regress = allow;
        self
    }

    /// The registries that were opened.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The keys that were opened.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Whether moving tags may go backwards.
    #[must_use]
    pub const fn may_regress(&self) -> bool {
        self.allow_regress
    }

    /// How the commit `new` stands to the commit `old`; found out once.
    pub(super) async fn kinship(&self, new: String, old: String) -> Kinship {
        let mut known = self.kinships.lock().await;
        let both = (new, old);
        if let Some(kinship) = known.get(&both) {
            return *kinship;
        }
        let Surroundings { root, environment } = self.network.surroundings().clone();
        let (new, old) = both.clone();
        let asked = tokio::task::spawn_blocking(move || find_kinship(&root, &environment, &new, &old)).await;
        *known.entry(both).or_insert(asked.unwrap_or(Kinship::Unknown))
    }

    pub(super) fn root(&self) -> &Path {
        &self.network.surroundings().root
    }

    /// The repository of an image. A layout is made unless it is there.
    pub(super) async fn open(&self, registry: &RegistryPlan) -> Result<Repository, Problem> {
        match &registry.place {
            RegistryPlace::Layout(path) => Layout::create(self.inside(path)?).map(Repository::Layout),
            RegistryPlace::Remote(name) => self.remote(registry, name).await,
        }
    }

    /// A repository that is only read from: who may not write there is not asked to.
    ///
    /// # Errors
    /// The place leads out of the project, or cannot be opened.
    pub async fn open_to_read(&self, registry: &RegistryPlan) -> Result<Repository, Problem> {
        self.open(registry).await.map(Repository::to_read)
    }

    /// The repository of an image, if it is there; a registry's always is.
    pub(super) async fn look(&self, registry: &RegistryPlan) -> Result<Option<Repository>, Problem> {
        match &registry.place {
            RegistryPlace::Layout(path) => {
                let path = self.inside(path)?;
                if path.join("oci-layout").exists() {
                    Layout::open(path).map(|layout| Some(Repository::Layout(layout)))
                } else {
                    Ok(None)
                }
            }
            RegistryPlace::Remote(name) => self.remote(registry, name).await.map(Some),
        }
    }

    /// As [`open_to_read`](Self::open_to_read), if it is there; a registry's always is.
    ///
    /// # Errors
    /// As that.
    pub async fn look_to_read(&self, registry: &RegistryPlan) -> Result<Option<Repository>, Problem> {
        Ok(self.look(registry).await?.map(Repository::to_read))
    }

    /// The image that a tag or digest names in a repository, if there is one.
    ///
    /// # Errors
    /// As [`open_to_read`](Self::open_to_read); the repository cannot be read.
    pub async fn resolve(&self, registry: &RegistryPlan, what: &str) -> Result<Option<Descriptor>, Problem> {
        match self.look_to_read(registry).await? {
            Some(repository) => repository.resolve(what).await,
            None => Ok(None),
        }
    }

    /// Where a directory of the project is, if no symbolic link on the way leads
    /// out of the project.
    pub(super) fn inside(&self, path: &ProjectPath) -> Result<PathBuf, Problem> {
        let absolute = self.root().join(path.as_path());
        let existing = absolute.ancestors().find(|above| above.symlink_metadata().is_ok());
        let real = existing.map(Path::canonicalize).transpose();
        match (real, self.root().canonicalize()) {
            (Ok(Some(real)), Ok(root)) if real.starts_with(&root) => Ok(absolute),
            _ => Err(Problem::new(Code::OutsideProject, format!("`{path}` leads out of the project"))
                .help("remove the symbolic link: what hoist writes lies in the project")),
        }
    }

    /// How a registry is reached.
    ///
    /// # Errors
    /// The name of the user is not known here.
    pub fn access(&self, registry: &RegistryPlan) -> Result<Access, Problem> {
        let login = registry.login.as_ref().map(|login| match &login.username {
            Ok(username) => Ok((username.clone(), login.password.clone())),
            Err(unknown) => Err((**unknown).clone()),
        });
        Ok(Access {
            insecure: registry.insecure,
            ca: registry.ca.as_ref().map(|path| self.root().join(path.as_path())),
            client: registry
                .client
                .as_ref()
                .map(|client| (self.root().join(client.certificate.value.as_path()), client.key.clone())),
            login: login.transpose()?,
        })
    }

    /// Who logs in at a registry, in clear: for an engine that reads there itself.
    ///
    /// # Errors
    /// The credentials cannot be found.
    pub async fn hand_over(&self, registry: &RegistryPlan) -> Result<Option<(String, String)>, Problem> {
        let RegistryPlace::Remote(name) = &registry.place else { return Ok(None) };
        let Ok(name) = name.parse() else { return Ok(None) };
        self.network.hand_over(&name, &self.access(registry)?).await
    }

    async fn remote(&self, registry: &RegistryPlan, name: &str) -> Result<Repository, Problem> {
        let name = name.parse().map_err(|reason| {
            let title = format!("`{name}` is not the name of a repository");
            Problem::new(Code::InvalidReference, title).note(format!("{reason}"))
        })?;
        let access = self.access(registry)?;
        Ok(Repository::Registry(self.network.open(&name, &access).await?))
    }
}
