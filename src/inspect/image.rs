//! What an image is made of.

use indexmap::IndexMap;

use crate::diagnostic::{Code, Problem};
use crate::engine::{Image, compression, unreadable};
use crate::oci::{
    Descriptor, Digest, FileTree, History, ImageConfig, NodeKind, Platform, Waste, decompress, media_type,
};
use crate::store::Repository;

/// What is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Of an index, the image for this platform alone.
    pub platform: Option<Platform>,
    /// The files of the layers, too: all layers are read for that.
    pub files: bool,
    /// What refers to it, too.
    pub referrers: bool,
}

/// What a manifest or an index is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageReport {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// Annotations of the index; none for a manifest.
    pub annotations: IndexMap<String, String>,
    /// Its images, in the order of the index.
    pub platforms: Vec<PlatformReport>,
    /// What the index names beside images: attestations and the like.
    pub others: Vec<Descriptor>,
    /// What refers to it, if that was looked at: signatures, attestations, and the like.
    pub referrers: Vec<Descriptor>,
}

/// What the image of one platform is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformReport {
    /// What it runs on.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Annotations of the manifest.
    pub annotations: IndexMap<String, String>,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerReport>,
    /// The files of its layers, if they were looked at.
    pub files: Option<FileTree>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerReport {
    /// The blob; its size is that of what is transferred.
    pub descriptor: Descriptor,
    /// Digest of the archive before compression.
    pub diff_id: Digest,
    /// Bytes of its files, unpacked; if they were looked at.
    pub size: Option<u64>,
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
    /// Bytes that are transferred for its layers.
    #[must_use]
    pub fn transferred(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.descriptor.size))
    }

    /// What made it, the lowest layer first: each entry of its history with the layer
    /// that it made, if it made one, and layers of which the history knows nothing.
    #[must_use]
    pub fn history(&self) -> Vec<(Option<&History>, Option<&LayerReport>)> {
        let mut layers = self.layers.iter();
        let mut all: Vec<_> = self
            .config
            .history
            .iter()
            .map(|entry| (Some(entry), if entry.empty_layer { None } else { layers.next() }))
            .collect();
        all.extend(layers.map(|layer| (None, Some(layer))));
        all
    }
}

/// The largest files that are visible, the largest first; those without content are
/// left out.
#[must_use]
pub fn largest(files: &FileTree, most: usize) -> Vec<FileReport> {
    let all = files.iter().filter(|(_, node)| node.kind == NodeKind::File && node.size > 0);
    let mut all: Vec<_> = all.map(|(path, node)| (node.size, path, node.layer)).collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    all.truncate(most);
    all.into_iter().map(|(size, path, layer)| FileReport { path: path.to_vec(), size, layer }).collect()
}

/// What layers hold in vain, the largest first.
#[must_use]
pub fn wasted(files: &FileTree) -> Vec<Waste> {
    let mut wasted = files.wasted().to_vec();
    wasted.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
    wasted
}

/// Reads an image, or every image of an index: its documents, and the files of its
/// layers if they are asked for. Layers pass by; none is in memory as a whole.
///
/// # Errors
/// Content that is missing, damaged, or beyond all bounds; there is no image for the
/// platform.
pub async fn image(
    repository: &Repository,
    descriptor: &Descriptor,
    view: &View,
) -> Result<ImageReport, Problem> {
    let bytes = repository.read(descriptor).await?;
    let referrers =
        if view.referrers { repository.referrers(&descriptor.digest, None).await? } else { Vec::new() };
    if !media_type::is_index(&descriptor.media_type) {
        let image = documents(repository, descriptor, &bytes).await?;
        if let Some(platform) =
            view.platform.as_ref().filter(|platform| !image.config.platform().serves(platform))
        {
            return Err(no_platform(platform, &[image.config.platform()]));
        }
        let platforms = vec![report(repository, image, view).await?];
        let (annotations, others) = (IndexMap::new(), Vec::new());
        return Ok(ImageReport { descriptor: descriptor.clone(), annotations, platforms, others, referrers });
    }
    let index = Image::index(descriptor, &bytes)?;
    let annotations = index.annotations.clone();
    let (images, others): (Vec<_>, Vec<_>) = match &view.platform {
        None => index.manifests.into_iter().partition(Image::is_named_by),
        Some(platform) => match index.find(platform).cloned() {
            Some(found) => (vec![found], Vec::new()),
            None => return Err(no_platform(platform, &index.platforms())),
        },
    };
    let mut platforms = Vec::new();
    for entry in images {
        let image = documents(repository, &entry, &repository.read(&entry).await?).await?;
        platforms.push(report(repository, image, view).await?);
    }
    Ok(ImageReport { descriptor: descriptor.clone(), annotations, platforms, others, referrers })
}

/// The manifest in this document, and its configuration.
async fn documents(repository: &Repository, descriptor: &Descriptor, bytes: &[u8]) -> Result<Image, Problem> {
    let manifest = Image::manifest(descriptor, bytes)?;
    let config_type = manifest.config.media_type.as_str();
    if ![media_type::CONFIG, media_type::DOCKER_CONFIG].contains(&config_type) {
        let artifact = manifest.artifact_type.as_deref().unwrap_or(config_type);
        let problem = Problem::new(Code::NotAnImage, format!("`{}` is not an image", descriptor.digest));
        return Err(problem.note(format!("it is an artifact of the type {artifact}")));
    }
    let config = repository.read(&manifest.config).await?;
    Image::of(descriptor, manifest, &config)
}

fn no_platform(platform: &Platform, found: &[Platform]) -> Problem {
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let problem = Problem::new(Code::NotFound, format!("there is no image for `{platform}`"));
    problem.help(format!("it is for {}", found.join(", ")))
}

async fn report(repository: &Repository, image: Image, view: &View) -> Result<PlatformReport, Problem> {
    let files = if view.files { Some(files(repository, &image).await?) } else { None };
    let Image { descriptor, manifest, config } = image;
    let mut history = config.history.iter().filter(|entry| !entry.empty_layer);
    let sizes = files.as_ref().map(FileTree::layer_sizes);
    let layers = manifest.layers.into_iter().zip(&config.rootfs.diff_ids).enumerate();
    let layers = layers.map(|(at, (descriptor, diff_id))| LayerReport {
        descriptor,
        diff_id: *diff_id,
        size: sizes.and_then(|sizes| sizes.get(at).copied()),
        created_by: history.next().and_then(|entry| entry.created_by.clone()),
    });
    Ok(PlatformReport {
        platform: config.platform(),
        manifest: descriptor,
        annotations: manifest.annotations,
        layers: layers.collect(),
        config,
        files,
    })
}

/// The files that the layers of an image make together.
async fn files(repository: &Repository, image: &Image) -> Result<FileTree, Problem> {
    let mut tree = FileTree::default();
    for layer in &image.manifest.layers {
        let compression = compression(layer)?;
        let described = layer.clone();
        let work = move |blob: &mut dyn std::io::Read| {
            let applied = decompress(compression, blob).and_then(|archive| tree.apply(archive));
            applied.map(|()| tree).map_err(|error| unreadable(&described, &error))
        };
        tree = repository.stream(layer, work).await?;
    }
    Ok(tree)
}
