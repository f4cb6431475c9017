//! Builds an image with an engine.

use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptionsEntry, SolveResponse};
use serde_json::json;
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
        let has_buildkit = self.about().has_buildkit;
        if build.caches.iter().any(|cache| !has_buildkit || matches!(cache, CachePlan::Local(_))) {
            let said = b"hoist: a `cache` has no effect with this engine; it keeps its own".to_vec();
            let _ = lines.send(said).await;
        }
        if has_buildkit {
            return Box::pin(self.build_with_buildkit(build, lines)).await;
        }
        let first = Box::pin(self.build_classic(build.clone(), lines.clone())).await?;
        if build.no_cache || self.is_for(&first, &build.platform).await? {
            return Ok(first);
        }
        // Podman takes layers on `scratch` for those of every platform.
        let said =
            b"hoist: the engine has it for another platform; it builds again without its cache".to_vec();
        let _ = lines.send(said).await;
        Box::pin(self.build_classic(Build { no_cache: true, ..build }, lines)).await
    }

    /// Whether what was built says that it is for a platform.
    async fn is_for(&self, built: &Built, platform: &Platform) -> Result<bool, EngineError> {
        let image = self.docker.inspect_image(&built.image).await?;
        let is = |found: Option<String>, wanted: &str| found.is_none_or(|found| found == wanted);
        Ok(is(image.os, &platform.os) && is(image.architecture, &platform.architecture))
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
        let mut attributes = places(&build.id);
        let mut set = |name: String, value: String| attributes.insert(name, value);
        set("platform".to_owned(), build.platform.to_string());
        set(format!("label:{OWNER}"), build.owner);
        if let Some(target) = build.target {
            set("target".to_owned(), target);
        }
        for (name, value) in build.arguments {
            set(format!("build-arg:{name}"), value);
        }
        let network = build.network.filter(|network| network != "default");
        // Engines ask for it to be said twice.
        let entitlements = if network.as_deref() == Some("host") { vec![HOST_NETWORK] } else { Vec::new() };
        if let Some(network) = network {
            set("force-network-mode".to_owned(), network);
        }
        if build.no_cache {
            set("no-cache".to_owned(), String::new());
        }
        let cache_from: Vec<CacheOptionsEntry> = build.caches.iter().filter_map(cache_from).collect();
        if !cache_from.is_empty() {
            // The frontend asks for them, and knows of none but those that it is told.
            let known = cache_from.iter().map(|cache| json!({ "Type": cache.r#type, "Attrs": cache.attrs }));
            set("cache-imports".to_owned(), known.collect::<serde_json::Value>().to_string());
        }
        let mut solve = Solve {
            id: build.id,
            session,
            name: build.name.clone(),
            attributes,
            entitlements: entitlements.into_iter().map(ToOwned::to_owned).collect(),
            cache_from,
            cache_to: build.caches.iter().filter_map(cache_to).collect(),
        };
        let (mut answer, mut hits) = attempt(&buildkit, solve.clone(), &lines).await;
        if answer.as_ref().is_err_and(knows_no_cache) {
            let said = "hoist: this engine keeps no caches at registries; it builds without".to_owned();
            let _ = lines.send(said.into_bytes()).await;
            solve.id.push_str("-again");
            solve.cache_to.retain(|cache| cache.r#type == INLINE);
            (answer, hits) = attempt(&buildkit, solve, &lines).await;
        }
        let image = answer?.exporter_response.remove("containerimage.digest").unwrap_or(build.name);
        Ok(Built { image, hits })
    }
}

/// What allows a build the network of the machine.
const HOST_NETWORK: &str = "network.host";
/// The kind of cache that lies in the image itself, which all engines have.
const INLINE: &str = "inline";

/// Builds once, and passes on what the engine says.
async fn attempt(
    buildkit: &BuildKit,
    solve: Solve,
    lines: &mpsc::Sender<Vec<u8>>,
) -> (Result<SolveResponse, EngineError>, CacheHits) {
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
    let answer = answer.map_err(|status| match EngineError::from(status) {
        EngineError::Failed { words, .. } => EngineError::Failed { words, instruction: progress.failed() },
        other => other,
    });
    (answer, hits)
}

/// Whether an engine has no place for caches but the image: Docker's, unless it keeps its
/// images in containerd.
fn knows_no_cache(error: &EngineError) -> bool {
    matches!(error, EngineError::Failed { words, .. } if words.contains("unknown cache exporter"))
}

fn cache_from(cache: &CachePlan) -> Option<CacheOptionsEntry> {
    match cache {
        CachePlan::Registry { reference, .. } => Some(entry("registry", [("ref", reference.as_str())])),
        CachePlan::Inline | CachePlan::Local(_) => None,
    }
}

fn cache_to(cache: &CachePlan) -> Option<CacheOptionsEntry> {
    match cache {
        CachePlan::Inline => Some(entry::<String>(INLINE, [])),
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
