//! What the files of an image weigh, kept so that its layers need not be read for it.

use serde::{Deserialize, Serialize};

use crate::oci::{Digest, FileTree};
use crate::store::Layout;

/// Where in a layout it is remembered what images weigh. No part of what others see
/// there.
const MEMORY: &str = "weights";
/// Most bytes of what is remembered of an image.
const MAX_KNOWN: u64 = 64 << 10;

/// What the files of the image for one platform weigh, unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Bytes of the files of each layer, the lowest layer first.
    pub layers: Vec<u64>,
    /// Bytes that a later layer replaces or deletes.
    pub wasted: u64,
}

impl Weight {
    /// What some files weigh.
    #[must_use]
    pub fn of(files: &FileTree) -> Self {
        Self { layers: files.layer_sizes().to_vec(), wasted: files.wasted_size() }
    }

    /// Bytes of the files of all layers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().fold(0, |sum, size| sum.saturating_add(*size))
    }

    /// What was found of the image of a manifest when its layers were read, if they were.
    #[must_use]
    pub fn recall(manifest: &Digest, images: &Layout) -> Option<Self> {
        images.note(MEMORY, &manifest.hex(), MAX_KNOWN)
    }

    /// Takes note of what was found of the image of a manifest. What cannot be noted is
    /// read again.
    pub fn remember(&self, manifest: &Digest, images: &Layout) {
        let _forgotten = images.keep_note(MEMORY, &manifest.hex(), self);
    }
}
