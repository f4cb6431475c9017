//! Blobs that no image of a layout needs any more.
//!
//! Whoever brings an image holds the directory of blobs, shared, so that what is there
//! already stays until the rest is; and a name is only set, under the lock of the index,
//! to an image that is whole. Collecting takes both.

use std::collections::HashSet;
use std::fs::{self, File};

use serde::Deserialize;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, MAX_DOCUMENT, media_type};
use crate::store::Layout;
use crate::store::blob::unusable;

/// What a manifest or an index needs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Needed {
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    blobs: Vec<Descriptor>,
}

/// What was removed because nothing needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// As long as it lives, no blob of a layout is collected.
#[derive(Debug)]
pub(in crate::store) struct Hold {
    _blobs: File,
}

impl Layout {
    /// Keeps blobs from being collected before an image that needs them is listed. Where
    /// the file system has no locks, whoever sets its name finds that some are missing.
    pub(in crate::store) fn hold(&self) -> Option<Hold> {
        let blobs = File::open(self.blobs()).ok()?;
        blobs.lock_shared().ok()?;
        Some(Hold { _blobs: blobs })
    }

    /// Removes blobs that nothing in the index needs; `None` where that is not sure,
    /// because somebody brings an image at the moment, or the index lists what is not
    /// understood.
    ///
    /// # Errors
    /// The index, or what it lists, cannot be read; the file system refuses.
    pub fn collect(&self) -> Result<Option<Collected>, Problem> {
        let _lock = self.lock()?;
        let directory = self.blobs();
        let refuse = |error| unusable("collect", &directory, &error);
        let held = File::open(&directory).map_err(refuse)?;
        if held.try_lock().is_err() {
            return Ok(None);
        }
        let mut index = self.index()?;
        let tops = self.tops()?;
        if tops.len() < self.entries(&mut index)?.len() {
            return Ok(None);
        }
        let mut needed = HashSet::new();
        for (_, top) in tops {
            self.walk(&top, &mut needed, &mut |_| Ok(()))?;
        }
        let mut collected = Collected::default();
        for entry in fs::read_dir(&directory).map_err(refuse)? {
            let entry = entry.map_err(refuse)?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| format!("sha256:{name}").parse::<Digest>().ok());
            if digest.is_none_or(|digest| needed.contains(&digest)) {
                continue;
            }
            let size = entry.metadata().map_err(refuse)?.len();
            fs::remove_file(entry.path()).map_err(refuse)?;
            collected.blobs += 1;
            collected.bytes += size;
        }
        Ok(Some(collected))
    }

    /// Makes sure that all of an image is here, but for layers that may lie elsewhere.
    ///
    /// # Errors
    /// It is not, or cannot be read.
    pub(super) fn check_whole(&self, image: &Descriptor) -> Result<(), Problem> {
        self.walk(image, &mut HashSet::new(), &mut |part| {
            if part.unknown.contains_key("urls") || self.holds(part) {
                return Ok(());
            }
            let title = format!("`{}` is not whole in `{}`", image.digest, self.path().display());
            Err(Problem::new(Code::Registry, title)
                .note(format!("`{}` is missing", part.digest))
                .help("run again: what is missing is brought"))
        })
    }

    /// Visits what an image consists of, itself included. Manifests that are not here
    /// have parts that are not known.
    fn walk(
        &self,
        top: &Descriptor,
        seen: &mut HashSet<Digest>,
        visit: &mut dyn FnMut(&Descriptor) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut waiting = vec![(top.clone(), true)];
        while let Some((part, may_name)) = waiting.pop() {
            if !seen.insert(part.digest) {
                continue;
            }
            visit(&part)?;
            let named = media_type::is_index(&part.media_type) || media_type::is_manifest(&part.media_type);
            if !(may_name || named) || part.size > MAX_DOCUMENT || !self.has(&part.digest) {
                continue;
            }
            let Needed { manifests, config, layers, blobs } = match serde_json::from_slice(&self.read(&part)?)
            {
                Ok(needed) => needed,
                Err(error) if named => return Err(self.damaged(&format!("{}: {error}", part.digest))),
                // What is listed and no document needs nothing but itself.
                Err(_) => Needed::default(),
            };
            waiting.extend(manifests.into_iter().map(|one| (one, true)));
            waiting.extend(config.into_iter().chain(layers).chain(blobs).map(|one| (one, false)));
        }
        Ok(())
    }
}
