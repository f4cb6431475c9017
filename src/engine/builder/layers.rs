//! Layers of engines that were compressed before.

use std::collections::{HashMap, VecDeque};

use crate::engine::layer::{MEMORY, WrittenLayer};
use crate::oci::{Digest, LayerCompression};
use crate::store::Layout;

/// Changes where equal layers come to be other bytes.
const FORMAT: &str = "1";
/// Most bytes of what is remembered of a layer.
const MAX_KNOWN: u64 = 64 << 10;

/// The layers of an image that lie in a layout already, and where others are noted.
pub(super) struct KnownLayers {
    /// In the order in which they come.
    order: VecDeque<Digest>,
    known: HashMap<Digest, WrittenLayer>,
    images: Layout,
    compression: LayerCompression,
}

impl KnownLayers {
    /// Those of the layers with these `diff_ids`, from the lowest to the highest.
    pub(super) fn find(diff_ids: &[Digest], compression: LayerCompression, images: &Layout) -> Self {
        let recall = |id: &Digest| Some((*id, recall(id, compression, images)?));
        let known = diff_ids.iter().filter_map(recall).collect();
        Self { order: diff_ids.iter().copied().collect(), known, images: images.clone(), compression }
    }

    /// Whether the layer that comes next is known.
    pub(super) fn is_next_known(&mut self) -> bool {
        self.order.pop_front().is_some_and(|id| self.known.contains_key(&id))
    }

    /// A layer that is known.
    pub(super) fn get(&self, diff_id: &Digest) -> Option<WrittenLayer> {
        self.known.get(diff_id).cloned()
    }

    /// Takes note of a layer; without the note it is compressed again.
    pub(super) fn keep(&mut self, layer: &WrittenLayer) {
        let _forgotten = self.images.keep_note(MEMORY, &name(&layer.diff_id, self.compression), layer);
        self.known.insert(layer.diff_id, layer.clone());
    }
}

fn name(diff_id: &Digest, compression: LayerCompression) -> String {
    let compression = compression.to_string().replace(' ', "-");
    format!("{}.{compression}.{FORMAT}", diff_id.hex())
}

fn recall(diff_id: &Digest, compression: LayerCompression, images: &Layout) -> Option<WrittenLayer> {
    let layer: WrittenLayer = images.note(MEMORY, &name(diff_id, compression), MAX_KNOWN)?;
    (layer.diff_id == *diff_id && images.holds(&layer.descriptor)).then_some(layer)
}
