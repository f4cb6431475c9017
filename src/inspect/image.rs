//! What an image is made of.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::diagnostic::{Code, Problem};
use crate::engine::{Image, compression, unreadable};
use crate::oci::{
    Descriptor, Digest, FileTree, Foreign, History, ImageConfig, Index, NodeKind, Platform, Waste,
    media_type, unpacked,
};
use crate::store::{Repository, not_followed};

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
    /// What the index names by digests that cannot be followed.
    pub foreign: Vec<Foreign>,
    /// What refers to it, if that was looked at: signatures, attestations, and the like.
    pub referrers: Vec<Descriptor>,
}

/// What the image of one platform is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformReport {
    /// What it runs on, as its configuration says.
    pub platform: Platform,
    /// What it runs on as its index says, where that is something else.
    pub promised: Option<Platform>,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Annotations of the manifest.
    pub annotations: IndexMap<String, String>,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerReport>,
    /// The files of its layers, if they were looked at, and all layers are there.
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
    /// A layer that is kept elsewhere, and not beside the others, with where that is.
    #[must_use]
    pub fn elsewhere(&self) -> Vec<(&Descriptor, Vec<String>)> {
        let layers = self.layers.iter().map(|layer| &layer.descriptor);
        layers.filter_map(|layer| Some((layer, layer.urls()?))).collect()
    }

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
    image_of(repository, (descriptor, bytes), view).await
}

/// As [`image`], of one whose manifest or index was read.
///
/// # Errors
/// As [`image`].
pub async fn image_of(
    repository: &Repository,
    (descriptor, bytes): (&Descriptor, Vec<u8>),
    view: &View,
) -> Result<ImageReport, Problem> {
    let referrers =
        if view.referrers { repository.referrers(&descriptor.digest, None).await? } else { Vec::new() };
    let (mut annotations, mut others, mut foreign) = (IndexMap::new(), Vec::new(), Vec::new());
    let mut images = Vec::new();
    if let Some(platform) = &view.platform {
        let (image, named_by, _) = find(repository, (descriptor, bytes), platform).await?;
        annotations = named_by;
        images.push(image);
    } else if media_type::is_index(&descriptor.media_type) {
        let Index { annotations: own, manifests, foreign: far, .. } =
            complete(repository, Image::index(descriptor, &bytes)?, false).await?;
        (annotations, foreign) = (own, far);
        let mut no_image = None;
        for entry in manifests {
            if !Image::is_named_by(&entry) {
                others.push(entry);
                continue;
            }
            match documents(repository, &entry, &repository.read(&entry).await?).await {
                // An artifact that says so only itself stands beside images like any other.
                Err(problem) if problem.code == Code::NotAnImage => {
                    no_image = no_image.or(Some(problem));
                    others.push(entry);
                }
                image => images.push(image?),
            }
        }
        if let Some(problem) = no_image.filter(|_| images.is_empty()) {
            return Err(problem);
        }
    } else {
        images.push(documents(repository, descriptor, &bytes).await?);
    }
    let mut platforms = Vec::new();
    for image in images {
        platforms.push(report(repository, image, view).await?);
    }
    Ok(ImageReport { descriptor: descriptor.clone(), annotations, platforms, others, foreign, referrers })
}

/// The manifest of the image for a platform, and its bytes: of an index, of what that names
/// for it; else the image's own, if it is for that.
///
/// # Errors
/// Content that is missing or damaged; there is no image for the platform, or it is for
/// another one than its index says.
pub async fn for_platform(
    repository: &Repository,
    document: (&Descriptor, Vec<u8>),
    platform: &Platform,
) -> Result<(Descriptor, Vec<u8>), Problem> {
    let (image, _, bytes) = find(repository, document, platform).await?;
    Ok((image.descriptor, bytes))
}

/// As [`for_platform`]; with the annotations of the index.
async fn find(
    repository: &Repository,
    (descriptor, bytes): (&Descriptor, Vec<u8>),
    platform: &Platform,
) -> Result<(Image, IndexMap<String, String>, Vec<u8>), Problem> {
    if !media_type::is_index(&descriptor.media_type) {
        let image = documents(repository, descriptor, &bytes).await?;
        let found = image.config.platform();
        if !found.serves(platform) {
            return Err(no_platform(platform, &[found]));
        }
        return Ok((image, IndexMap::new(), bytes));
    }
    let mut index = complete(repository, Image::index(descriptor, &bytes)?, false).await?;
    if index.find(platform).is_none() {
        index = complete(repository, index, true).await?;
    }
    let Some(entry) = index.find(platform) else {
        let foreign = index.find_foreign(platform).map(not_followed);
        return Err(foreign.unwrap_or_else(|| no_platform(platform, &index.platforms())));
    };
    let bytes = repository.read(entry).await?;
    let image = documents(repository, entry, &bytes).await?;
    image.check_promise()?;
    Ok((image, index.annotations, bytes))
}

/// An index with what the indexes in it name, as if it named that itself; and, if asked for,
/// with the platforms that it leaves out.
async fn complete(repository: &Repository, index: Index, platforms: bool) -> Result<Index, Problem> {
    let mut known: HashMap<Digest, Option<Vec<u8>>> = HashMap::new();
    loop {
        let read = |one: &Descriptor| {
            known.get(&one.digest).cloned().ok_or_else(|| Unread::Missing(Box::new(one.clone())))
        };
        let inner =
            |one: &Descriptor| Image::index(one, &read(one)?.unwrap_or_default()).map_err(Unread::Wrong);
        let flat = index.clone().flat(inner);
        let missing = match flat.and_then(|flat| if platforms { flat.with_platforms(read) } else { Ok(flat) })
        {
            Ok(complete) => return Ok(complete),
            Err(Unread::Wrong(problem)) => return Err(problem),
            Err(Unread::Missing(one)) => one,
        };
        let bytes = if media_type::is_index(&missing.media_type) {
            Some(repository.read(&missing).await?)
        } else {
            repository.read_if_there(&missing).await?
        };
        known.insert(missing.digest, bytes);
    }
}

/// Why what an index names is not known.
enum Unread {
    /// The document is to be read first.
    Missing(Box<Descriptor>),
    Wrong(Problem),
}

/// The manifest in this document, and its configuration.
async fn documents(repository: &Repository, descriptor: &Descriptor, bytes: &[u8]) -> Result<Image, Problem> {
    let manifest = Image::manifest(descriptor, bytes)?;
    let config = repository.read(&manifest.config).await?;
    Image::of(descriptor, manifest, &config)
}

fn no_platform(platform: &Platform, found: &[Platform]) -> Problem {
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let problem = Problem::new(Code::NotFound, format!("there is no image for `{platform}`"));
    problem.help(match found.as_slice() {
        [] => "it names no image whose platform is known".to_owned(),
        found => format!("it is for {}", found.join(", ")),
    })
}

async fn report(repository: &Repository, image: Image, view: &View) -> Result<PlatformReport, Problem> {
    let promised = image.check_promise().is_err().then(|| image.descriptor.platform.clone()).flatten();
    let files = if view.files { files(repository, &image).await? } else { None };
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
        promised,
        manifest: descriptor,
        annotations: manifest.annotations,
        layers: layers.collect(),
        config,
        files,
    })
}

/// The files that the layers of an image make together; `None` if one of them is kept
/// elsewhere.
async fn files(repository: &Repository, image: &Image) -> Result<Option<FileTree>, Problem> {
    let mut tree = FileTree::default();
    for (layer, diff_id) in image.layers() {
        if layer.urls().is_some() && !repository.has(layer).await? {
            return Ok(None);
        }
        let compression = compression(layer)?;
        let described = layer.clone();
        let work = move |blob: &mut dyn std::io::Read| {
            let applied = unpacked(compression, diff_id, blob).and_then(|archive| tree.apply(archive));
            applied.map(|()| tree).map_err(|error| unreadable(&described, &error))
        };
        tree = repository.stream(layer, work).await?;
    }
    Ok(Some(tree))
}
