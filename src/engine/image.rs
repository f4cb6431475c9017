//! An image of one platform, read from a layout.

use crate::diagnostic::{Code, Problem, counted};
use crate::oci::{
    Descriptor, Digest, FileTree, ImageConfig, Index, InvalidDocument, Manifest, Platform, is_hostile,
    is_other_content, media_type, unpacked,
};
use crate::store::{BlobReader, Layout, not_followed};

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

    /// The manifest of an image in a document.
    pub(crate) fn manifest(descriptor: &Descriptor, bytes: &[u8]) -> Result<Manifest, Problem> {
        let manifest = Manifest::parse(bytes).map_err(|error| damaged(descriptor, &error))?;
        let config = manifest.config.media_type.as_str();
        if media_type::is_config(config) {
            return Ok(manifest);
        }
        let artifact = manifest.artifact_type.as_deref().unwrap_or(config);
        let problem = Problem::new(Code::NotAnImage, format!("`{}` is not an image", descriptor.digest));
        Err(problem.note(format!("it is an artifact of the type {artifact}")))
    }

    /// Makes sure that it is for the platform for which an index names it.
    pub(crate) fn check_promise(&self) -> Result<(), Problem> {
        let found = self.config.platform();
        match self.descriptor.platform.as_ref() {
            Some(promised) if !promised.is_of_the_kind_of(&found) => {
                let title = format!("the image for `{promised}` is for `{found}`");
                Err(Problem::new(Code::Registry, title)
                    .note(format!(
                        "`{}`: its index says {promised}, its configuration {found}",
                        self.descriptor.digest
                    ))
                    .help("take another image, or have whoever made this one mend it"))
            }
            _ => Ok(()),
        }
    }

    /// The image that a manifest and the document of its configuration make.
    pub(crate) fn of(descriptor: &Descriptor, manifest: Manifest, config: &[u8]) -> Result<Self, Problem> {
        let config = ImageConfig::parse(config).map_err(|error| damaged(&manifest.config, &error))?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            let title = format!("the image `{}` is not well formed", descriptor.digest);
            return Err(Problem::new(Code::Registry, title).note(format!(
                "its manifest has {}, its configuration {diff_ids}",
                counted(layers, "layer")
            )));
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
        if let Some(foreign) = index.foreign.first() {
            return Err(not_followed(foreign));
        }
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
            let mut index = read(descriptor)?.flat(read)?;
            if index.find(platform).is_none() {
                index = index.with_platforms(|document| layout.read_if_there(document))?;
            }
            let Some(entry) = index.find(platform) else {
                return match index.find_foreign(platform) {
                    Some(foreign) => Err(not_followed(foreign)),
                    None => Ok(Err(index.platforms())),
                };
            };
            return Self::read(layout, entry).map(Ok);
        }
        let image = Self::read(layout, descriptor)?;
        let found = image.config.platform();
        Ok(if found.serves(platform) { Ok(image) } else { Err(vec![found]) })
    }

    /// Puts its layers on a tree of files.
    pub(crate) fn apply(&self, layout: &Layout, tree: &mut FileTree) -> Result<(), Problem> {
        for (layer, diff_id) in self.layers() {
            let applied = unpacked(compression(layer)?, diff_id, open(layer, layout)?)
                .and_then(|archive| tree.apply(archive));
            applied.map_err(|error| unread(layer, layout, &error))?;
        }
        Ok(())
    }

    /// Its layers, the lowest first, each with the digest of what it unpacks to.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (&Descriptor, Digest)> {
        self.manifest.layers.iter().zip(self.config.rootfs.diff_ids.iter().copied())
    }
}

/// The blob of a layer.
pub(crate) fn open(layer: &Descriptor, layout: &Layout) -> Result<BlobReader, Problem> {
    layout.open_blob(layer).map_err(|problem| match layer.urls() {
        Some(urls) if problem.code == Code::NotFound => {
            problem.note(format!("it is kept at {}: such layers are not fetched", urls.join(" ")))
        }
        _ => problem,
    })
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
/// whoever made it made no archive, or another one than the image says.
pub(crate) fn unreadable(layer: &Descriptor, error: &std::io::Error) -> Problem {
    if is_other_content(error) {
        let title = format!("the layer `{}` is not what its image says", layer.digest);
        let problem = Problem::new(Code::DigestMismatch, title).note(error.to_string());
        return problem.help("take another image, or have whoever made this one mend it");
    }
    let code = if is_hostile(error) { Code::HostileLayer } else { Code::Registry };
    Problem::new(code, format!("the layer `{}` cannot be read", layer.digest)).note(error.to_string())
}

fn damaged(descriptor: &Descriptor, error: &InvalidDocument) -> Problem {
    let title = format!("`{}` is not a well-formed `{}`", descriptor.digest, descriptor.media_type);
    Problem::new(Code::Registry, title).note(error.to_string())
}
