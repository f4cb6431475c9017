//! An image of one platform, read from a layout.

use crate::diagnostic::{Code, Problem};
use crate::oci::{
    Descriptor, FileTree, ImageConfig, Index, InvalidDocument, Manifest, Platform, decompress, is_hostile,
    media_type,
};
use crate::store::Layout;

/// An image of one platform.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Image {
    /// What its manifest is found by.
    pub(crate) descriptor: Descriptor,
    /// Its manifest.
    pub(crate) manifest: Manifest,
    /// Its configuration.
    pub(crate) config: ImageConfig,
}

impl Image {
    /// Reads the image of a manifest.
    pub(crate) fn read(layout: &Layout, descriptor: &Descriptor) -> Result<Self, Problem> {
        let manifest = Self::manifest(descriptor, &layout.read(descriptor)?)?;
        let config = layout.read(&manifest.config)?;
        Self::of(descriptor, manifest, &config)
    }

    /// The manifest in a document.
    pub(crate) fn manifest(descriptor: &Descriptor, bytes: &[u8]) -> Result<Manifest, Problem> {
        Manifest::parse(bytes).map_err(|error| damaged(descriptor, &error))
    }

    /// The image that a manifest and the document of its configuration make.
    pub(crate) fn of(descriptor: &Descriptor, manifest: Manifest, config: &[u8]) -> Result<Self, Problem> {
        let config = ImageConfig::parse(config).map_err(|error| damaged(&manifest.config, &error))?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            let title = format!("the image `{}` is not well formed", descriptor.digest);
            return Err(Problem::new(Code::Registry, title)
                .note(format!("its manifest has {layers} layers, its configuration {diff_ids}")));
        }
        Ok(Self { descriptor: descriptor.clone(), manifest, config })
    }

    /// Every image that a manifest or an index names, in its order. Entries of an
    /// index that are no images are passed over.
    pub(crate) fn all(layout: &Layout, descriptor: &Descriptor) -> Result<Vec<Self>, Problem> {
        if !media_type::is_index(&descriptor.media_type) {
            return Ok(vec![Self::read(layout, descriptor)?]);
        }
        let index = Self::index(descriptor, &layout.read(descriptor)?)?;
        let images = index.manifests.iter().filter(|entry| Self::is_named_by(entry));
        images.map(|entry| Self::read(layout, entry)).collect()
    }

    /// The index in a document.
    pub(crate) fn index(descriptor: &Descriptor, bytes: &[u8]) -> Result<Index, Problem> {
        Index::parse(bytes).map_err(|error| damaged(descriptor, &error))
    }

    /// Whether an entry of an index is an image; attestations have no real platform.
    pub(crate) fn is_named_by(entry: &Descriptor) -> bool {
        let platform = entry.platform.as_ref();
        media_type::is_manifest(&entry.media_type)
            && platform.is_none_or(|platform| platform.architecture != "unknown")
    }

    /// The image for a platform. `None` with the platforms that there are, if
    /// there is none for it.
    pub(crate) fn find(
        layout: &Layout,
        descriptor: &Descriptor,
        platform: &Platform,
    ) -> Result<Result<Self, Vec<Platform>>, Problem> {
        if media_type::is_index(&descriptor.media_type) {
            let read = |index: &Descriptor| Self::index(index, &layout.read(index)?);
            let index = read(descriptor)?.flat(read)?;
            let Some(entry) = index.find(platform) else {
                return Ok(Err(index.platforms()));
            };
            return Self::read(layout, entry).map(Ok);
        }
        let image = Self::read(layout, descriptor)?;
        let found = image.config.platform();
        Ok(if found.serves(platform) { Ok(image) } else { Err(vec![found]) })
    }

    /// Puts its layers on a tree of files.
    pub(crate) fn apply(&self, layout: &Layout, tree: &mut FileTree) -> Result<(), Problem> {
        for layer in &self.manifest.layers {
            let applied = decompress(compression(layer)?, layout.open_blob(layer)?)
                .and_then(|archive| tree.apply(archive));
            applied.map_err(|error| unread(layer, layout, &error))?;
        }
        Ok(())
    }
}

/// How a layer is compressed.
pub(crate) fn compression(layer: &Descriptor) -> Result<media_type::Compression, Problem> {
    media_type::compression(&layer.media_type).ok_or_else(|| {
        let title = format!("layers of the type `{}` cannot be unpacked", layer.media_type);
        Problem::new(Code::HostileLayer, title).note(format!("the layer is {}", layer.digest))
    })
}

/// A layer of a layout cannot be read to its end. Where it is not what its digest says,
/// nothing that it seems to hold counts.
pub(crate) fn unread(layer: &Descriptor, layout: &Layout, error: &std::io::Error) -> Problem {
    layout.verify(layer).err().unwrap_or_else(|| unreadable(layer, error))
}

/// A layer that is what its digest says cannot be read to its end: it would do harm, or
/// whoever made it made no archive.
pub(crate) fn unreadable(layer: &Descriptor, error: &std::io::Error) -> Problem {
    let code = if is_hostile(error) { Code::HostileLayer } else { Code::Registry };
    Problem::new(code, format!("the layer `{}` cannot be read", layer.digest)).note(error.to_string())
}

fn damaged(descriptor: &Descriptor, error: &InvalidDocument) -> Problem {
    let title = format!("`{}` is not a well-formed `{}`", descriptor.digest, descriptor.media_type);
    Problem::new(Code::Registry, title).note(error.to_string())
}
