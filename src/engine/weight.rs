//! What the files of an image weigh, kept so that its layers need not be read for it.

use serde::{Deserialize, Serialize};

use crate::engine::image::{Image, compression};
use crate::oci::{Descriptor, Digest, FileTree, decompress};
use crate::store::Layout;

/// Where in a layout it is remembered what images weigh. No part of what others see
/// there.
const MEMORY: &str = "weights";
/// Where in a layout it is remembered what layers weigh.
const LAYERS: &str = "layer-weights";
/// Most bytes of what is remembered of an image.
const MAX_KNOWN: u64 = 64 << 10;

/// What the files of the image for one platform weigh, unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Bytes of the files of each layer, the lowest layer first.
    pub layers: Vec<u64>,
    /// Bytes that a later layer replaces or deletes, where all layers were read together.
    #[serde(default)]
    pub wasted: Option<u64>,
}

impl Weight {
    /// What some files weigh.
    #[must_use]
    pub fn of(files: &FileTree) -> Self {
        Self { layers: files.layer_sizes().to_vec(), wasted: Some(files.wasted_size()) }
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

    /// Finds out what the layers of an image weigh, unless that is known. Each is read once,
    /// whatever images have it. What cannot be read is not known.
    pub fn measure(image: &Descriptor, images: &Layout) {
        if Self::recall(&image.digest, images).is_some() {
            return;
        }
        let Ok(read) = Image::read(images, image) else { return };
        let layers = read.manifest.layers.iter().map(|layer| layer_size(layer, images));
        if let Some(layers) = layers.collect() {
            Self { layers, wasted: None }.remember(&image.digest, images);
        }
    }

    /// Takes note of what was found of the image of a manifest. What cannot be noted is
    /// read again.
    pub fn remember(&self, manifest: &Digest, images: &Layout) {
        let _forgotten = images.keep_note(MEMORY, &manifest.hex(), self);
    }
}

/// Bytes of the files of a layer.
fn layer_size(layer: &Descriptor, images: &Layout) -> Option<u64> {
    let name = layer.digest.hex();
    if let Some(known) = images.note(LAYERS, &name, MAX_KNOWN) {
        return Some(known);
    }
    let mut files = FileTree::default();
    let archive = decompress(compression(layer).ok()?, images.open_blob(layer).ok()?).ok()?;
    files.apply(archive).ok()?;
    let size = files.layer_sizes().iter().sum::<u64>();
    let _forgotten = images.keep_note(LAYERS, &name, &size);
    Some(size)
}
