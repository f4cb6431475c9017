//! Builds an image with an engine.

use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::v1::CacheOptionsEntry;
use tokio::sync::mpsc;

use crate::engine::builder::engine::Engine;
use crate::engine::builder::error::{EngineError, chain};
use crate::engine::builder::progress::{CacheHits, Progress};
use crate::engine::builder::session::{Offer, offer};
use crate::engine::builder::solve::{BuildKit, Solve, places};
use crate::oci::Platform;
use crate::plan::CachePlan;

/// Messages of the engine that wait to be told.
const BACKLOG: usize = 64;
/// The archive of the context.
pub const CONTEXT: &str = "context";

/// The label of images that hoist left at an engine; it is not part of what is
/// published.
pub(super) const OWNER: &str = "dev.hoist.project";

/// What is built.
#[derive(Clone)]
pub struct Build {
    /// Names it among all builds of the engine.
    pub id: String,
    /// What the image is called at the engine.
    pub name: String,
    /// What it is built for.
    pub platform: Platform,
    /// The stage; `None` for the last one.
    pub target: Option<String>,
    /// Values of build arguments.
    pub arguments: HashMap<String, String>,
    /// Network mode of its `RUN` instructions.
    pub network: Option<String>,
    /// Whether what the engine has of earlier builds is left aside.
    pub no_cache: bool,
    /// Where layers are kept between machines.
    pub caches: Vec<CachePlan>,
    /// A label by which hoist finds what it left at the engine.
    pub owner: String,
    /// What the engine may ask for.
    pub offer: Offer,
}

/// What came of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// What the engine finds the image by.
    pub image: String,
    /// How much of it had been built before.
    pub hits: CacheHits,
}

impl Engine {
    /// Builds an image, and passes on the lines that the engine writes meanwhile.
    /// Dropped, it ends at the engine, too.
    ///
    /// # Errors
    /// The build fails; the engine goes away.
    pub async fn build(&self, build: Build, lines: mpsc::Sender<Vec<u8>>) -> Result<Built, EngineError> {
        if self.about().has_buildkit {
            self.build_with_buildkit(build, lines).await
        } else {
            self.build_classic(build, lines).await
        }
    }

    async fn build_with_buildkit(
        &self,
        build: Build,
        lines: mpsc::Sender<Vec<u8>>,
    ) -> Result<Built, EngineError> {
        let broken = |error: std::io::Error| EngineError::Broken(chain(&error));
        let session = format!("hoist-{}", build.id);
        let _session = offer(&self.connector, &session, build.offer.clone()).await.map_err(broken)?;
        let buildkit =
            BuildKit::within(&self.connector).await.map_err(|error| EngineError::Broken(chain(&error)))?;
        let mut attributes = places(&build.id, CONTEXT);
        let mut set = |name: String, value: String| attributes.insert(name, value);
        set("platform".to_owned(), build.platform.to_string());
        set(format!("label:{OWNER}"), build.owner);
        if let Some(target) = build.target {
            set("target".to_owned(), target);
        }
        for (name, value) in build.arguments {
            set(format!("build-arg:{name}"), value);
        }
        if let Some(network) = build.network {
            set("force-network-mode".to_owned(), network);
        }
        if build.no_cache {
            set("no-cache".to_owned(), String::new());
        }
        let solve = Solve {
            id: build.id,
            session,
            exporter: "moby".to_owned(),
            exporter_attributes: [("name".to_owned(), build.name.clone())].into(),
            attributes,
            cache_from: build.caches.iter().filter_map(cache_from).collect(),
            cache_to: build.caches.iter().filter_map(cache_to).collect(),
        };
        let (told, mut heard) = mpsc::channel(BACKLOG);
        let mut progress = Progress::default();
        let telling = async {
            while let Some(message) = heard.recv().await {
                let mut made = Vec::new();
                progress.take(message, |line| made.push(line.to_vec()));
                for line in made {
                    // Nobody listens any more once the run was given up.
                    let _ = lines.send(line).await;
                }
            }
        };
        let (answer, ()) = tokio::join!(buildkit.solve(solve, told), telling);
        let hits = progress.hits();
        let mut answer = answer.map_err(|status| match EngineError::from(status) {
            EngineError::Failed { words, .. } => {
                EngineError::Failed { words, instruction: progress.failed() }
            }
            other => other,
        })?;
        let image = answer.exporter_response.remove("containerimage.digest").unwrap_or(build.name);
        Ok(Built { image, hits })
    }
}

fn cache_from(cache: &CachePlan) -> Option<CacheOptionsEntry> {
    match cache {
        CachePlan::Registry { reference, .. } => Some(entry("registry", [("ref", reference.as_str())])),
        CachePlan::Inline | CachePlan::Local(_) => None,
    }
}

fn cache_to(cache: &CachePlan) -> Option<CacheOptionsEntry> {
    match cache {
        CachePlan::Inline => Some(entry::<String>("inline", [])),
        CachePlan::Registry { reference, max } => {
            let mode = if *max { "max" } else { "min" };
            Some(entry("registry", [("ref", reference.as_str()), ("mode", mode)]))
        }
        CachePlan::Local(_) => None,
    }
}

fn entry<'a, T: Into<String>>(
    kind: &str,
    attributes: impl IntoIterator<Item = (&'a str, T)>,
) -> CacheOptionsEntry {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    CacheOptionsEntry { r#type: kind.to_owned(), attrs: attributes.collect() }
}
