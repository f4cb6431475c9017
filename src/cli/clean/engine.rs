//! What hoist left at engines.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::session::{Loaded, Session};
use crate::config::{Address, Recipe};
use crate::diagnostic::bytes;
use crate::engine::builder::{Engine, Engines, Leftover};
use crate::facts::Needs;
use crate::run::{engines, owner};

/// How long an engine may take to answer; another time will do.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is left at the engines that answer, and what may still be needed to reach them.
#[derive(Default)]
pub(super) struct AtEngines {
    pub(super) found: Vec<(Engine, Leftover)>,
    /// What could not be removed, and the engine's words.
    pub(super) refused: Vec<(Leftover, String)>,
    _engines: Option<Engines>,
}

impl AtEngines {
    /// Asks the engines that a project may use, if it builds with any.
    pub(super) async fn find(session: &Session, loaded: &Loaded) -> Self {
        let Loaded { release, project, .. } = loaded;
        let builds = release.images.values().any(|image| matches!(image.recipe, Recipe::Dockerfile(_)));
        if !builds && release.builders.is_empty() {
            return Self::default();
        }
        // What is wrong with the release file keeps nobody from cleaning.
        let Ok(facts) = session.gather(loaded, &Needs::default(), &indexmap::IndexMap::new()) else {
            return Self::default();
        };
        let Ok(engines) = engines(&project.root, release, &facts) else { return Self::default() };
        let owner = owner(&project.root);
        let (mut found, mut asked): (Vec<_>, Vec<Address>) = (Vec::new(), Vec::new());
        for surveyed in engines.survey(PATIENCE).await {
            let Ok(engine) = surveyed.answer else { continue };
            if asked.contains(engine.address()) {
                continue;
            }
            asked.push(engine.address().clone());
            let leftovers = tokio::time::timeout(PATIENCE, engine.leftovers(&owner)).await;
            let Ok(Ok(leftovers)) = leftovers else { continue };
            found.extend(leftovers.into_iter().map(|leftover| (engine.clone(), leftover)));
        }
        Self { found, refused: Vec::new(), _engines: Some(engines) }
    }

    /// Removes it.
    pub(super) async fn remove(&mut self) {
        for (engine, leftover) in &self.found {
            if let Err(error) = engine.remove(leftover).await {
                self.refused.push((leftover.clone(), error.to_string()));
            }
        }
        self.found.retain(|(_, leftover)| !self.refused.iter().any(|(refused, _)| refused == leftover));
    }

    /// A line for each.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.found.iter().map(|(engine, leftover)| match leftover {
            Leftover::Image { name, bytes: size } => {
                format!("{}  image {name} of {engine}", bytes(*size))
            }
            Leftover::Container { name, .. } => format!("container {name} of {engine}"),
        })
    }

    /// A line for each that stays.
    pub(super) fn refusals(&self) -> impl Iterator<Item = String> {
        self.refused.iter().map(|(leftover, words)| {
            let (Leftover::Image { name, .. } | Leftover::Container { name, .. }) = leftover;
            format!("kept, for the engine refuses: {name}: {words}")
        })
    }

    /// `engines` of `schema/clean.schema.json`.
    pub(super) fn as_json(&self) -> Value {
        let all = self.found.iter().map(|(engine, leftover)| match leftover {
            Leftover::Image { name, bytes } => {
                json!({ "engine": engine.to_string(), "image": name, "bytes": bytes })
            }
            Leftover::Container { name, .. } => json!({ "engine": engine.to_string(), "container": name }),
        });
        all.collect()
    }
}
