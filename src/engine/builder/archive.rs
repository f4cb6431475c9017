//! Images as engines hand them over: an archive of layers, a configuration, and a list
//! (`docker save`, and the layouts that later engines put beside it).

use std::collections::HashMap;
use std::io::{self, Read, Write};

use serde::Deserialize;

use crate::engine::builder::error::{EngineError, chain};
use crate::engine::builder::layers::KnownLayers;
use crate::engine::layer::WrittenLayer;
use crate::engine::weight::{remember_layer, weigh};
use crate::oci::{
    ArchiveKind, Descriptor, Digester, ImageConfig, LayerCompression, MAX_DOCUMENT, Manifest, decompress,
    media_type, read_archive,
};
use crate::store::Layout;

/// Most entries of such an archive.
const MAX_ENTRIES: usize = 100_000;
/// Bytes that tell what an entry is: the header of an archive.
const HEAD: u64 = 512;
/// Most bytes of all documents.
const MAX_DOCUMENTS: u64 = 64 << 20;
/// The list of images in the archive.
const LIST: &[u8] = b"manifest.json";
/// What a gzip file begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What a zstd frame begins with (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// One image of the list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    layers: Vec<String>,
}

/// What an entry of the archive turned out to be.
enum Part {
    /// A document.
    Document(Vec<u8>),
    /// A layer, which lies in the layout now.
    Layer(Box<WrittenLayer>),
    /// Another name of an entry.
    Link(Vec<u8>),
}

/// Puts the one image of an archive into a layout, its layers compressed so, and
/// returns its manifest.
///
/// Layers that are `known` are read, and not compressed again. The same image always
/// makes the same manifest.
///
/// # Errors
/// The archive is not one that an engine writes; the layout cannot be written.
pub(super) fn take_image(
    archive: impl Read,
    compression: LayerCompression,
    mut known: KnownLayers,
    images: &Layout,
) -> Result<Descriptor, EngineError> {
    let mut parts: HashMap<Vec<u8>, Part> = HashMap::new();
    let mut documents = 0;
    let visit = &mut |entry: &crate::oci::ArchiveEntry, content: &mut dyn Read| {
        let part = match &entry.kind {
            ArchiveKind::File => take_part(entry.size, content, compression, &mut known, images)?,
            ArchiveKind::HardLink(path) => Part::Link(path.clone()),
            ArchiveKind::Symlink(text) => Part::Link(beside(&entry.path, text)),
            ArchiveKind::Directory | ArchiveKind::Special => return Ok(()),
        };
        if let Part::Document(bytes) = &part {
            documents += bytes.len() as u64;
        }
        if documents > MAX_DOCUMENTS {
            return Err(Unread(no_image("it has more documents than an image")));
        }
        parts.insert(entry.path.clone(), part);
        Ok::<(), Unread>(())
    };
    read_archive(archive, MAX_ENTRIES, visit).map_err(|Unread(error)| error)?;
    let document = |path: &[u8]| match find(&parts, path) {
        Some(Part::Document(bytes)) => Ok(bytes),
        _ => Err(no_image(&format!("it is without `{}`", String::from_utf8_lossy(path)))),
    };
    let list: Vec<Listed> =
        serde_json::from_slice(document(LIST)?).map_err(|error| no_image(&error.to_string()))?;
    let [listed] = list.as_slice() else {
        return Err(no_image(&format!("it has {} images", list.len())));
    };
    let bytes = document(listed.config.as_bytes())?;
    let config = ImageConfig::parse(bytes).map_err(|error| no_image(&error.to_string()))?;
    let mut layers = Vec::new();
    for (path, diff_id) in listed.layers.iter().zip(&config.rootfs.diff_ids) {
        match find(&parts, path.as_bytes()) {
            Some(Part::Layer(layer)) if layer.diff_id == *diff_id => layers.push(layer.descriptor.clone()),
            _ => return Err(no_image(&format!("its layer `{path}` is not what its configuration says"))),
        }
    }
    if (layers.len(), listed.layers.len()) != (config.rootfs.diff_ids.len(), config.rootfs.diff_ids.len()) {
        return Err(no_image("its configuration has another number of layers"));
    }
    let config = images.write(media_type::CONFIG, bytes)?;
    Ok(images.write(media_type::MANIFEST, &Manifest::new(config, layers).to_bytes())?)
}

/// Follows links, a few.
fn find<'a>(parts: &'a HashMap<Vec<u8>, Part>, path: &[u8]) -> Option<&'a Part> {
    let mut part = parts.get(path)?;
    for _ in 0..8 {
        let Part::Link(to) = part else { return Some(part) };
        part = parts.get(to)?;
    }
    None
}

/// Where a link of the archive leads to.
fn beside(link: &[u8], text: &[u8]) -> Vec<u8> {
    let mut path: Vec<&[u8]> = link.split(|byte| *byte == b'/').collect();
    path.pop();
    for name in text.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(path.pop()),
            name => path.push(name),
        }
    }
    path.join(&b'/')
}

fn take_part(
    size: u64,
    content: &mut dyn Read,
    compression: LayerCompression,
    known: &mut KnownLayers,
    images: &Layout,
) -> Result<Part, EngineError> {
    let mut head = Vec::new();
    content.take(HEAD).read_to_end(&mut head).map_err(|error| broken(&error))?;
    let mut content = Read::chain(head.as_slice(), content);
    let packed = match head.as_slice() {
        [a, b, ..] if [*a, *b] == GZIP => Some((media_type::Compression::Gzip, media_type::LAYER_GZIP)),
        head if head.starts_with(&ZSTD) => Some((media_type::Compression::Zstd, media_type::LAYER_ZSTD)),
        _ => None,
    };
    if let Some((how, media_type)) = packed {
        // As it came, so that it is the same blob as at the engine.
        let mut blob = images.writer()?;
        io::copy(&mut content, &mut blob).map_err(|error| broken(&error))?;
        let descriptor = blob.commit(media_type)?;
        let opened = images.open_blob(&descriptor)?;
        let mut digester = Digester::new();
        decompress(how, opened)
            .and_then(|mut archive| weigh(&mut archive, &mut Sum(&mut digester)))
            .map(|weight| remember_layer(&descriptor, weight, images))
            .map_err(|error| broken(&error))?;
        return Ok(Part::Layer(Box::new(WrittenLayer { descriptor, diff_id: digester.finish().0 })));
    }
    // Documents begin with a brace or a bracket, or are a line; archives begin with a
    // name, which may do so, too.
    let is_archive = head.get(257..262) == Some(b"ustar");
    if size <= MAX_DOCUMENT && matches!(head.first(), Some(b'{' | b'[')) && !is_archive || size < HEAD {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        return Ok(Part::Document(bytes));
    }
    if known.is_next_known() {
        let mut digester = Digester::new();
        io::copy(&mut content, &mut Sum(&mut digester)).map_err(|error| broken(&error))?;
        let layer = known.get(&digester.finish().0);
        let other = || EngineError::Broken("its layers are not those of the image".to_owned());
        return layer.map(|layer| Part::Layer(Box::new(layer))).ok_or_else(other);
    }
    let mut blob = images.writer()?;
    let mut weight = None;
    let compressed = compression.compress_written(&mut blob, |blocks| {
        weight = weigh(&mut content, blocks)?;
        Ok(())
    });
    let diff_id = compressed.map_err(|error| broken(&error))?;
    let layer = WrittenLayer { descriptor: blob.commit(compression.media_type())?, diff_id };
    remember_layer(&layer.descriptor, weight, images);
    known.keep(&layer);
    Ok(Part::Layer(Box::new(layer)))
}

/// Takes the digest of what is written.
struct Sum<'a>(&'a mut Digester);

impl Write for Sum<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What reading the archive ended with.
struct Unread(EngineError);

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self(broken(&error))
    }
}

impl From<EngineError> for Unread {
    fn from(error: EngineError) -> Self {
        Self(error)
    }
}

fn broken(error: &io::Error) -> EngineError {
    EngineError::Broken(chain(error))
}

fn no_image(why: &str) -> EngineError {
    EngineError::Broken(format!("what it handed over is no image: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Weight;
    use crate::oci::Digest;
    use crate::store::fixture::archive;

    #[test]
    fn layers_are_weighed_while_they_come() {
        let layer = archive(&[("a", b"12345"), ("b", b"123")]);
        let mut packed = Vec::new();
        let diff_id = LayerCompression::ZSTD.compress(&mut layer.as_slice(), &mut packed).unwrap();
        assert_eq!(diff_id, Digest::of(&layer));
        for content in [layer, packed] {
            let config = format!(
                r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
            );
            let list = r#"[{"Config":"config","RepoTags":[],"Layers":["layer"]}]"#;
            let image = archive(&[
                ("config", config.as_bytes()),
                ("layer", &content),
                ("manifest.json", list.as_bytes()),
            ]);
            let (images, _directory) = Layout::temporary().unwrap();
            let known = KnownLayers::find(&[], LayerCompression::GZIP, &images);
            let image = take_image(image.as_slice(), LayerCompression::GZIP, known, &images).unwrap();
            let manifest = Manifest::parse(&images.read(&image).unwrap()).unwrap();
            // What is not there cannot be read for it.
            std::fs::remove_file(images.blob_path(&manifest.layers[0].digest)).unwrap();
            Weight::measure(&image, &images);
            assert_eq!(Weight::recall(&image.digest, &images).unwrap().layers, [8]);
        }
    }
}
