//! What an image is made of.

use crate::diagnostic::Problem;
use crate::engine::Image;
use crate::oci::{Descriptor, Digest, FileTree, ImageConfig, NodeKind, Platform, Waste};
use crate::store::Layout;

/// Most files that a report names as the largest.
const LARGEST: usize = 10;

/// What a manifest or an index is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageReport {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// Its images, in the order of the index.
    pub platforms: Vec<PlatformReport>,
}

/// What the image of one platform is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformReport {
    /// What it runs on.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerReport>,
    /// The largest files that are visible in it, the largest first.
    pub largest: Vec<FileReport>,
    /// Files that a layer holds and that are not visible, the largest first.
    pub wasted: Vec<Waste>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerReport {
    /// The blob; its size is that of what is transferred.
    pub descriptor: Descriptor,
    /// Digest of the archive before compression.
    pub diff_id: Digest,
    /// Bytes of its files, unpacked.
    pub size: u64,
    /// What made it, if its history says so.
    pub created_by: Option<String>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Its path, relative to the root.
    pub path: Vec<u8>,
    /// Its bytes.
    pub size: u64,
    /// The layer that it is in, counted from 0.
    pub layer: usize,
}

impl PlatformReport {
    /// Bytes of the files of all layers, unpacked.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Bytes that are transferred for its layers.
    #[must_use]
    pub fn transferred(&self) -> u64 {
        self.layers.iter().map(|layer| layer.descriptor.size).sum()
    }

    /// Bytes of files that are in a layer and not visible.
    #[must_use]
    pub fn wasted_size(&self) -> u64 {
        self.wasted.iter().map(|waste| waste.size).sum()
    }
}

/// Reads an image, or every image of an index, down to the files of its layers.
///
/// # Errors
/// Content that is missing, damaged, or beyond all bounds.
pub fn image(layout: &Layout, descriptor: &Descriptor) -> Result<ImageReport, Problem> {
    let images = Image::all(layout, descriptor)?;
    let platforms = images.into_iter().map(|image| platform(layout, image)).collect::<Result<_, _>>()?;
    Ok(ImageReport { descriptor: descriptor.clone(), platforms })
}

fn platform(layout: &Layout, image: Image) -> Result<PlatformReport, Problem> {
    let mut tree = FileTree::default();
    image.apply(layout, &mut tree)?;
    let files = tree.iter().filter(|(_, node)| node.kind == NodeKind::File && node.size > 0);
    let mut largest: Vec<_> = files.map(|(path, node)| (node.size, path, node.layer)).collect();
    largest.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    largest.truncate(LARGEST);
    let largest = largest
        .into_iter()
        .map(|(size, path, layer)| FileReport { path: path.to_vec(), size, layer })
        .collect();
    let mut wasted = tree.wasted().to_vec();
    wasted.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
    let Image { descriptor, manifest, config } = image;
    let mut history = config.history.iter().filter(|entry| !entry.empty_layer);
    let layers = manifest.layers.into_iter().zip(&config.rootfs.diff_ids).zip(tree.layer_sizes());
    let layers = layers.map(|((descriptor, diff_id), size)| LayerReport {
        descriptor,
        diff_id: *diff_id,
        size: *size,
        created_by: history.next().and_then(|entry| entry.created_by.clone()),
    });
    let layers = layers.collect();
    Ok(PlatformReport { platform: config.platform(), manifest: descriptor, config, layers, largest, wasted })
}
