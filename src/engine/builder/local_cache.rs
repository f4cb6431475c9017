//! Caches of builds in directories of this machine.

use std::collections::HashMap;
use std::path::Path;

use bollard_buildkit_proto::moby::buildkit::v1::CacheOptionsEntry;

use crate::engine::builder::build::entry;
use crate::engine::builder::error::EngineError;
use crate::oci::Descriptor;
use crate::plan::CachePlan;
use crate::store::Layout;

/// The name of what a cache holds, as all tools of BuildKit have it.
const LATEST: &str = "latest";

/// Directories that layers are read from and written to, each an image layout.
pub(super) struct LocalCaches(Vec<(String, Layout)>);

impl LocalCaches {
    /// Those of a build, with paths in a directory; they are made where they are not.
    ///
    /// # Errors
    /// The file system refuses; what is there is something else.
    pub(super) fn open(caches: &[CachePlan], root: &Path) -> Result<Self, EngineError> {
        let caches = caches.iter().filter_map(|cache| match cache {
            CachePlan::Local(path) => Some(path),
            CachePlan::Inline | CachePlan::Registry { .. } => None,
        });
        let open = |path: &crate::config::ProjectPath| {
            Ok((path.to_string(), Layout::create(root.join(path.as_path()))?))
        };
        caches.map(open).collect::<Result<_, EngineError>>().map(Self)
    }

    /// The layouts by what an engine asks for.
    pub(super) fn stores(&self) -> HashMap<String, Layout> {
        self.0.iter().map(|(name, layout)| (format!("local:{name}"), layout.clone())).collect()
    }

    /// Where caches are read from: those that hold something.
    pub(super) fn from(&self) -> Vec<CacheOptionsEntry> {
        let held = self.0.iter().filter_map(|(name, layout)| {
            let latest = layout.resolve(LATEST).ok().flatten().filter(|latest| layout.holds(latest))?;
            Some(entry("local", [("src", name.clone()), ("digest", latest.digest.to_string())]))
        });
        held.collect()
    }

    /// Where caches are written to: all stages, as one image that tools can read.
    pub(super) fn to(&self) -> Vec<CacheOptionsEntry> {
        let to = |(name, _): &(String, Layout)| {
            let attributes = [
                ("dest", name.as_str()),
                ("mode", "max"),
                ("image-manifest", "true"),
                ("oci-mediatypes", "true"),
            ];
            entry("local", attributes)
        };
        self.0.iter().map(to).collect()
    }

    /// Names what an engine wrote, and removes what was there before and is not part of
    /// it.
    ///
    /// # Errors
    /// What the engine says of it is no descriptor; a layout cannot be written.
    pub(super) fn keep(&self, written: Option<&str>) -> Result<(), EngineError> {
        let Some(written) = written else { return Ok(()) };
        let written: Descriptor = serde_json::from_str(written)
            .map_err(|error| EngineError::Broken(format!("what it says of a cache: {error}")))?;
        for (_, layout) in &self.0 {
            if layout.holds(&written) {
                layout.set_ref(LATEST, &written)?;
                layout.collect()?;
            }
        }
        Ok(())
    }
}
