//! Builds an image with an engine.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptionsEntry, SolveResponse};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use crate::engine::builder::cause::Cause;
use crate::engine::builder::context::Context;
use crate::engine::builder::engine::{Engine, EngineKind};
use crate::engine::builder::error::EngineError;
use crate::engine::builder::leftover::repository;
use crate::engine::builder::local_cache::LocalCaches;
use crate::engine::builder::progress::{CacheHits, Progress};
use crate::engine::builder::session::{Badge, Contents, IGNORE, Offer, Receiver, Transfer, headers, offer};
use crate::engine::builder::solve::{BuildKit, Export, Solve, places};
use crate::oci::{Descriptor, LayerCompression, Platform};
use crate::plan::CachePlan;
use crate::store::Layout;

/// How layers are kept that engines have uncompressed.
const COMPRESSION: LayerCompression = LayerCompression::GZIP;
/// What an engine calls the layout that it finds images in.
const IMAGES: &str = "hoist";
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
    /// Images that it starts from or copies from, by what the Dockerfile calls them.
    pub images: Vec<(String, Descriptor)>,
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
    /// The directory that paths of caches are in.
    pub root: PathBuf,
    /// A label by which hoist finds what it left at the engine.
    pub owner: String,
    /// What the engine may ask for.
    pub offer: Offer,
}

/// What came of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The manifest of the image.
    pub image: Descriptor,
    /// How much of it had been built before.
    pub hits: CacheHits,
    /// Whether layers are not kept where they were to be: the engine has no such place.
    pub without_cache: bool,
}

/// What came of a build that lies at the engine.
pub(super) struct Kept {
    /// What the engine finds the image by.
    pub(super) image: String,
    pub(super) hits: CacheHits,
    /// Whether the engine has all places for layers that it was given.
    pub(super) has_caches: bool,
}

impl Engine {
    /// Builds an image, puts it into a layout, and passes on the lines that the engine
    /// writes meanwhile. Layers that the layout has are not compressed again. Dropped, it
    /// ends at the engine, too.
    ///
    /// # Errors
    /// The build fails; the engine goes away; the layout cannot be read or written.
    pub async fn build(
        &self,
        mut build: Build,
        images: &Layout,
        lines: mpsc::Sender<Vec<u8>>,
    ) -> Result<Built, EngineError> {
        let all = build.caches.len();
        build.caches.retain(|cache| self.has_cache(cache));
        let without_cache = build.caches.len() < all;
        if self.about().kind == EngineKind::BuildKit {
            return Box::pin(self.build_and_send(build, images, &lines)).await;
        }
        let mut dockerfile = String::from_utf8_lossy(&build.offer.dockerfile).into_owned();
        for (name, image) in std::mem::take(&mut build.images) {
            let given = format!("{}:base-{}", repository(&build.owner), image.digest.hex());
            self.load(&image, &[&given], images).await?;
            dockerfile = dockerfile.replace(&name, &given);
        }
        build.offer.dockerfile = Bytes::from(dockerfile);
        let Kept { image, hits, has_caches } = Box::pin(self.build_and_keep(build, lines)).await?;
        let without_cache = without_cache || !has_caches;
        Ok(Built { image: self.save(&image, COMPRESSION, images).await?, hits, without_cache })
    }

    /// Whether it may keep layers so.
    fn has_cache(&self, cache: &CachePlan) -> bool {
        match self.about().kind {
            EngineKind::BuildKit => true,
            EngineKind::Docker => self.about().has_buildkit && !matches!(cache, CachePlan::Local(_)),
            EngineKind::Podman => false,
        }
    }

    /// Builds an image that stays at the engine.
    async fn build_and_keep(&self, build: Build, lines: mpsc::Sender<Vec<u8>>) -> Result<Kept, EngineError> {
        if self.about().has_buildkit {
            let name = build.name.clone();
            let Solved { mut answer, hits, has_caches } =
                self.solve(build, Export::Engine, None, &lines).await?;
            let image = answer.exporter_response.remove("containerimage.digest").unwrap_or(name);
            return Ok(Kept { image, hits, has_caches });
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

    /// Builds an image with an engine that keeps none: all goes through the session.
    async fn build_and_send(
        &self,
        mut build: Build,
        images: &Layout,
        lines: &mpsc::Sender<Vec<u8>>,
    ) -> Result<Built, EngineError> {
        let caches = LocalCaches::open(&build.caches, &build.root, &build.platform)?;
        let mut stores = caches.stores();
        stores.insert(format!("oci:{IMAGES}"), images.clone());
        let receiver = Receiver::new(COMPRESSION, images);
        let transfer = Transfer { contents: Contents::new(stores), receiver: receiver.clone() };
        build.caches.retain(|cache| !matches!(cache, CachePlan::Local(_)));
        let answer = self.solve(build, Export::Session, Some((transfer, &caches)), lines).await;
        let (Solved { mut answer, hits, has_caches }, image) = match (answer, receiver.taken()) {
            // What the engine says of it is but an echo.
            (Err(_), Some(Err(error))) => return Err(error),
            (answer, Some(taken)) => (answer?, taken?),
            (answer, None) => {
                answer?;
                return Err(EngineError::Broken("it sent no image".to_owned()));
            }
        };
        caches.keep(answer.exporter_response.remove("cache.manifest").as_deref())?;
        Ok(Built { image, hits, without_cache: !has_caches })
    }

    /// Whether what was built says that it is for a platform.
    async fn is_for(&self, built: &Kept, platform: &Platform) -> Result<bool, EngineError> {
        let image = self.docker()?.inspect_image(&built.image).await?;
        let is = |found: Option<String>, wanted: &str| found.is_none_or(|found| found == wanted);
        Ok(is(image.os, &platform.os) && is(image.architecture, &platform.architecture))
    }

    /// Builds with BuildKit.
    async fn solve(
        &self,
        mut build: Build,
        export: Export,
        transfer: Option<(Transfer, &LocalCaches)>,
        lines: &mpsc::Sender<Vec<u8>>,
    ) -> Result<Solved, EngineError> {
        // Where the Dockerfile copies what says what is no part of the context, whether an
        // engine asks for that to read it or to copy it cannot be told.
        let copied = String::from_utf8_lossy(&build.offer.dockerfile).contains(IGNORE);
        build.offer.files = build.offer.files.filter(|files| !copied && files.is_text());
        let files = build.offer.files.as_ref();
        let shared = files.map(Context::digest).unwrap_or_default();
        let session = Badge { id: format!("hoist-{}", build.id), shared };
        let buildkit = self.buildkit().await?;
        let pipe = match export {
            Export::Engine => self.connector.upgraded("/session", &headers(&session)).await?,
            Export::Session => buildkit.session(&session).await?,
        };
        let mut attributes = places(&build.id, files.is_none());
        let mut dockerfile = String::from_utf8_lossy(&build.offer.dockerfile).into_owned();
        for (number, (name, image)) in build.images.iter().enumerate() {
            let given = format!("hoist-image-{number}");
            dockerfile = dockerfile.replace(name, &given);
            attributes.insert(format!("context:{given}"), format!("oci-layout://{IMAGES}@{}", image.digest));
        }
        build.offer.dockerfile = Bytes::from(dockerfile);
        let (transfer, local) = transfer.unzip();
        let cause = Cause::default();
        let _session = offer(pipe, build.offer, transfer, cause.clone());
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
        let (local_from, local_to) = local.map(|local| (local.from(), local.to())).unwrap_or_default();
        let cache_from = build.caches.iter().filter_map(cache_from).chain(local_from);
        let cache_from: Vec<CacheOptionsEntry> = cache_from.collect();
        if !cache_from.is_empty() {
            // The frontend asks for them, and knows of none but those that it is told.
            let known = cache_from.iter().map(|cache| json!({ "Type": cache.r#type, "Attrs": cache.attrs }));
            set("cache-imports".to_owned(), known.collect::<serde_json::Value>().to_string());
        }
        let mut solve = Solve {
            id: build.id,
            session,
            name: build.name,
            export,
            attributes,
            entitlements: entitlements.into_iter().map(ToOwned::to_owned).collect(),
            cache_from,
            cache_to: cache_to(&build.caches).chain(local_to).collect(),
        };
        let (mut answer, mut hits) = attempt(&buildkit, solve.clone(), lines).await;
        let has_caches = !answer.as_ref().is_err_and(knows_no_cache);
        if !has_caches {
            solve.id.push_str("-again");
            solve.cache_to.retain(|cache| cache.r#type == INLINE);
            (answer, hits) = attempt(&buildkit, solve, lines).await;
        }
        let answer = answer.map_err(|error| cause.or(error))?;
        Ok(Solved { answer, hits, has_caches })
    }
}

/// What came of a build with BuildKit.
struct Solved {
    answer: SolveResponse,
    hits: CacheHits,
    /// As of [`Kept`].
    has_caches: bool,
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
        // Engines of old (Docker 20.10) do not say what their errors are about.
        EngineError::Failed { words, spot } => {
            EngineError::Failed { words, spot: spot.or_else(|| progress.failed()) }
        }
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

/// Where caches are written to. Beside one that lies in the image, registries name images
/// that are read, and are not written over.
fn cache_to(caches: &[CachePlan]) -> impl Iterator<Item = CacheOptionsEntry> {
    let is_inline = caches.contains(&CachePlan::Inline);
    caches.iter().filter_map(move |cache| match cache {
        CachePlan::Inline => Some(entry::<String>(INLINE, [])),
        CachePlan::Registry { reference, max } if !is_inline => {
            let mode = if *max { "max" } else { "min" };
            // A cache that is not written is no reason not to have the image.
            Some(entry("registry", [("ref", reference.as_str()), ("mode", mode), ("ignore-error", "true")]))
        }
        CachePlan::Registry { .. } | CachePlan::Local(_) => None,
    })
}

pub(super) fn entry<'a, T: Into<String>>(
    kind: &str,
    attributes: impl IntoIterator<Item = (&'a str, T)>,
) -> CacheOptionsEntry {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    CacheOptionsEntry { r#type: kind.to_owned(), attrs: attributes.collect() }
}
