//! What the registries of a run have in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::diagnostic::Problem;
use crate::oci::{Digest, RepositoryName};
use crate::store::registry::connection::Connection;
use crate::store::registry::retry::Tell;
use crate::store::registry::{Access, Registry, Surroundings};

/// The repositories that a run uses, each opened once.
pub struct Network {
    surroundings: Surroundings,
    opened: Mutex<Vec<(RepositoryName, Access, Registry)>>,
    origins: Arc<Origins>,
    tell: Option<Tell>,
}

impl Network {
    /// Nothing opened yet.
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, opened: Mutex::default(), origins: Arc::default(), tell: None }
    }

    /// The same, which says aloud that a registry is asked again which said nothing.
    #[must_use]
    pub fn telling(mut self, tell: Tell) -> Self {
        self.tell = Some(tell);
        self
    }

    /// The surroundings that credentials are found in.
    #[must_use]
    pub const fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// A repository. Its credentials are found; nothing is sent yet.
    ///
    /// # Errors
    /// The secret of a `login`, or the file of an authority, cannot be read.
    pub async fn open(&self, name: &RepositoryName, access: &Access) -> Result<Registry, Problem> {
        let (known, neighbour) = {
            let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            let beside = opened.iter().filter(|(known, by, _)| known.host() == name.host() && by == access);
            let known = beside.clone().find(|(known, ..)| known == name).map(|(.., known)| known.clone());
            (known, beside.map(|(.., known)| Arc::clone(&known.connection)).next())
        };
        if let Some(registry) = known {
            return Ok(registry);
        }
        let connection = match neighbour {
            Some(neighbour) => neighbour.beside(name, access, &self.surroundings).await?,
            None => Connection::open(name, access, &self.surroundings).await?,
        };
        let connection = connection.telling(self.tell.clone());
        let registry = Registry::new(connection, name.clone(), Arc::clone(&self.origins));
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push((name.clone(), access.clone(), registry.clone()));
        Ok(registry)
    }
}

/// Where blobs are known to lie: a registry can mount them from there into
/// another of its repositories.
#[derive(Default)]
pub(super) struct Origins(Mutex<HashMap<(String, Digest), String>>);

impl Origins {
    pub(super) fn note(&self, name: &RepositoryName, digest: Digest) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry((name.host().to_owned(), digest)).or_insert_with(|| name.path().to_owned());
    }

    /// Path of another repository of the same registry that has the blob.
    pub(super) fn of(&self, name: &RepositoryName, digest: Digest) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(name.host().to_owned(), digest)).filter(|path| *path != name.path()).cloned()
    }
}
