//! Caches of builds in directories of this machine.

use std::collections::HashMap;
use std::path::Path;

use bollard_buildkit_proto::moby::buildkit::v1::CacheOptionsEntry;

use crate::engine::builder::build::entry;
use crate::engine::builder::error::EngineError;
use crate::oci::{Descriptor, Platform};
use crate::plan::CachePlan;
use crate::store::Layout;

/// The name of what was written to a cache last, as all tools of BuildKit have it.
const LATEST: &str = "latest";

/// Directories that layers are read from and written to, each an image layout.
pub(super) struct LocalCaches {
    caches: Vec<(String, Layout)>,
    /// What the layers of a platform are called in them: builds of several do not take each
    /// other's place.
    name: String,
}

impl LocalCaches {
    /// Those of a build, with paths in a directory; they are made where they are not.
    ///
    /// # Errors
    /// The file system refuses; what is there is something else.
    pub(super) fn open(caches: &[CachePlan], root: &Path, platform: &Platform) -> Result<Self, EngineError> {
        let caches = caches.iter().filter_map(|cache| match cache {
            CachePlan::Local(path) => Some(path),
            CachePlan::Inline | CachePlan::Registry { .. } => None,
        });
        let open = |path: &crate::config::ProjectPath| {
            Ok((path.to_string(), Layout::create(root.join(path.as_path()))?))
        };
        let caches = caches.map(open).collect::<Result<_, EngineError>>()?;
        Ok(Self { caches, name: platform.to_string().replace('/', "-") })
    }

    /// The layouts by what an engine asks for.
    pub(super) fn stores(&self) -> HashMap<String, Layout> {
        self.caches.iter().map(|(name, layout)| (format!("local:{name}"), layout.clone())).collect()
    }

    /// Where caches are read from: those that hold something.
    pub(super) fn from(&self) -> Vec<CacheOptionsEntry> {
        let held = self.caches.iter().filter_map(|(name, layout)| {
            let latest = layout.resolve(&self.name).ok().flatten().filter(|latest| layout.holds(latest))?;
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
        self.caches.iter().map(to).collect()
    }

    /// Names what an engine wrote, and removes what was there before for the platform and
    /// is part of nothing else.
    ///
    /// # Errors
    /// What the engine says of it is no descriptor; a layout cannot be written.
    pub(super) fn keep(&self, written: Option<&str>) -> Result<(), EngineError> {
        let Some(written) = written else { return Ok(()) };
        let written: Descriptor = serde_json::from_str(written)
            .map_err(|error| EngineError::Broken(format!("what it says of a cache: {error}")))?;
        for (_, layout) in &self.caches {
            if layout.holds(&written) {
                layout.set_ref(&self.name, &written)?;
                layout.set_ref(LATEST, &written)?;
                layout.collect()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProjectPath;
    use crate::oci::{Manifest, media_type};

    #[test]
    fn platforms_that_share_a_directory_keep_each_their_own_layers() {
        let root = tempfile::tempdir().unwrap();
        let plan = [CachePlan::Local(ProjectPath::root().join("layers").unwrap())];
        let open =
            |platform: &str| LocalCaches::open(&plan, root.path(), &platform.parse().unwrap()).unwrap();
        let layout = Layout::create(root.path().join("layers")).unwrap();
        let written = |text: &str| {
            let config = layout.write(media_type::CONFIG, text.as_bytes()).unwrap();
            layout.write(media_type::MANIFEST, &Manifest::new(config, Vec::new()).to_bytes()).unwrap()
        };
        let keep = |platform: &str, manifest: &Descriptor| {
            open(platform).keep(Some(&serde_json::to_string(manifest).unwrap())).unwrap();
        };
        let read = |platform: &str| {
            let from = open(platform).from();
            from.first().map(|cache| cache.attrs["digest"].clone())
        };
        assert_eq!(read("linux/amd64"), None);
        let first = written("{\"a\":1}");
        keep("linux/amd64", &first);
        let other = written("{\"a\":2}");
        keep("linux/arm64/v8", &other);
        assert_eq!(read("linux/amd64"), Some(first.digest.to_string()));
        assert_eq!(read("linux/arm64/v8"), Some(other.digest.to_string()));
        assert_eq!(layout.resolve(LATEST).unwrap().map(|latest| latest.digest), Some(other.digest));
        // What is there for a platform gives way to what is newer, for this platform alone.
        keep("linux/arm64/v8", &written("{\"a\":3}"));
        assert!(layout.holds(&first) && !layout.holds(&other));
    }
}
