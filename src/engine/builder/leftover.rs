//! What hoist left at an engine.

use std::collections::{BTreeSet, HashMap};

use bollard::query_parameters::{ListContainersOptions, ListImagesOptions, RemoveImageOptions};

use crate::engine::builder::build::OWNER;
use crate::engine::builder::engine::Engine;
use crate::engine::builder::error::EngineError;

/// Something that hoist left at an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A name of an image; the image goes with its last one.
    Image {
        /// The name, or the digest of an image that has none any more.
        name: String,
        /// What it needs at most, in bytes: others may share its layers.
        bytes: u64,
    },
    /// A container that does not run.
    Container {
        /// Its name.
        name: String,
        /// What the engine finds it by.
        id: String,
    },
}

/// What images and bases of a project are called at an engine, but for their tag.
#[must_use]
pub fn repository(owner: &str) -> String {
    format!("hoist.local/{owner}")
}

impl Engine {
    /// What hoist left at the engine for a project: images with its label that nobody
    /// else gave a name, all images with one of its names, and containers of either that
    /// do not run. Containers come first, since they hold images.
    ///
    /// # Errors
    /// The engine goes away.
    pub async fn leftovers(&self, owner: &str) -> Result<Vec<Leftover>, EngineError> {
        // BuildKit's own daemon keeps nothing that has a name.
        let Ok(docker) = self.docker() else { return Ok(Vec::new()) };
        let label = || HashMap::from([("label".to_owned(), vec![format!("{OWNER}={owner}")])]);
        let options = ListContainersOptions { all: true, filters: Some(label()), ..Default::default() };
        let mut found = Vec::new();
        for container in docker.list_containers(Some(options)).await? {
            let runs = container.state.is_some_and(|state| {
                use bollard::models::ContainerSummaryStateEnum as State;
                matches!(state, State::RUNNING | State::PAUSED | State::RESTARTING)
            });
            if let (Some(id), false) = (container.id, runs) {
                let name = container.names.into_iter().flatten().next();
                let name = name.map(|name| name.trim_start_matches('/').to_owned());
                found.push(Leftover::Container { name: name.unwrap_or_else(|| id.clone()), id });
            }
        }
        let reference = HashMap::from([("reference".to_owned(), vec![repository(owner)])]);
        let mut images = BTreeSet::new();
        for filters in [label(), reference] {
            let options = ListImagesOptions { filters: Some(filters), ..Default::default() };
            for image in docker.list_images(Some(options)).await? {
                let bytes = u64::try_from(image.size).unwrap_or_default();
                let names = image.repo_tags.iter().filter(|name| !name.starts_with("<none>"));
                let names: Vec<_> = names.collect();
                let is_ours = |name: &&&String| {
                    name.strip_prefix(&repository(owner)).is_some_and(|rest| rest.starts_with(':'))
                };
                if names.is_empty() {
                    images.insert((image.id, bytes));
                }
                images.extend(names.iter().filter(is_ours).map(|name| ((**name).clone(), bytes)));
            }
        }
        found.extend(images.into_iter().map(|(name, bytes)| Leftover::Image { name, bytes }));
        Ok(found)
    }

    /// Removes something that was left.
    ///
    /// # Errors
    /// The engine refuses, since something runs of it; or goes away.
    pub async fn remove(&self, leftover: &Leftover) -> Result<(), EngineError> {
        match leftover {
            Leftover::Image { name, .. } => {
                self.docker()?.remove_image(name, None::<RemoveImageOptions>, None).await?;
            }
            Leftover::Container { id, .. } => self.docker()?.remove_container(id, None).await?,
        }
        Ok(())
    }
}
