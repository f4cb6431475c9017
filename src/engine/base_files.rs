//! The files of a base, kept so that its layers need not be read for them again.

use serde::{Deserialize, Serialize};

use crate::diagnostic::Problem;
use crate::engine::image::Image;
use crate::facts::{Clock, Seen, Stat};
use crate::oci::FileTree;
use crate::store::Layout;

/// Where in a layout it is remembered which files bases have. No part of what others see
/// there.
const MEMORY: &str = "trees";
/// Changes where they come to be written otherwise.
const FORMAT: &str = "1";
/// Most bytes of what is remembered of a base.
const MAX_KNOWN: u64 = 64 << 20;

/// What is remembered of a base.
#[derive(Serialize, Deserialize)]
struct Remembered {
    /// What the file system said of the blob of each layer before it was read.
    layers: Vec<Stat>,
    /// The files that they make together.
    files: FileTree,
}

/// The files that the layers of an image in `layout` make together. Layers are read to
/// their end, and verified; unless `images` knows from an earlier time what is in them, and
/// the file system says that none of their blobs changed since.
///
/// # Errors
/// A layer is missing, damaged, or not what its image says.
pub(super) fn files_of(image: &Image, layout: &Layout, images: &Layout) -> Result<FileTree, Problem> {
    let name = format!("{FORMAT}-{}", image.descriptor.digest.hex());
    let blobs = image.manifest.layers.iter().map(|layer| layout.blob_path(&layer.digest));
    let seen: Option<Vec<Seen>> = blobs.map(|blob| Seen::of(&blob).ok()).collect();
    // What may change and look the same is not relied on.
    let seen = seen.filter(|seen| seen.iter().all(|one| one.is_settled(Clock::default())));
    let stats: Option<Vec<Stat>> = seen.map(|seen| seen.into_iter().map(|one| one.stat).collect());
    if let Some(stats) = &stats
        && let Some(bytes) = images.note_bytes(MEMORY, &name, MAX_KNOWN)
        && let Ok(Remembered { layers, files }) = postcard::from_bytes(&bytes)
        && layers == *stats
    {
        return Ok(files);
    }
    let mut files = FileTree::default();
    image.apply(layout, &mut files)?;
    let Some(layers) = stats else { return Ok(files) };
    let remembered = Remembered { layers, files };
    // What cannot be remembered is read again.
    if let Ok(bytes) = postcard::to_stdvec(&remembered)
        && bytes.len() as u64 <= MAX_KNOWN
    {
        let _forgotten = images.keep_bytes(MEMORY, &name, &bytes);
    }
    Ok(remembered.files)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;
    use crate::diagnostic::Code;
    use crate::oci::NodeKind;
    use crate::store::fixture::{empty_archive, image};

    #[test]
    fn layers_are_read_once_and_again_when_they_change() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (base, images) = (Layout::create(one.path()).unwrap(), Layout::create(other.path()).unwrap());
        let archive = empty_archive();
        let image = Image::read(&base, &image(&base, "linux/amd64", &archive, &[])).unwrap();
        let blob = base.blob_path(&image.manifest.layers[0].digest);
        let files = || files_of(&image, &base, &images);
        // Longer than any step in which times of files are counted.
        let settle = || sleep(Duration::from_millis(50));
        settle();
        let mut expected = files().unwrap();
        assert_eq!(files().unwrap(), expected);
        // It is not read: what is remembered counts.
        let name = format!("{FORMAT}-{}", image.descriptor.digest.hex());
        let known = images.note_bytes(MEMORY, &name, MAX_KNOWN).unwrap();
        let mut known: Remembered = postcard::from_bytes(&known).unwrap();
        known.files.insert(b"remembered", NodeKind::File, 1);
        images.keep_bytes(MEMORY, &name, &postcard::to_stdvec(&known).unwrap()).unwrap();
        expected.insert(b"remembered", NodeKind::File, 1);
        assert_eq!(files().unwrap(), expected);
        // A blob that was written again, though with the same size, is read; and with the
        // same content, it is as good as before.
        fs::write(&blob, vec![1; archive.len()]).unwrap();
        settle();
        assert_eq!(files().map_err(|problem| problem.code), Err(Code::DigestMismatch));
        fs::write(&blob, &archive).unwrap();
        assert_eq!(files().unwrap().get(b"remembered"), None);
        // What stays damaged or unreadable as a note is nobody's harm.
        images.keep_bytes(MEMORY, &name, b"\xff").unwrap();
        settle();
        assert_eq!(files().unwrap().get(b"remembered"), None);
        fs::remove_file(&blob).unwrap();
        assert_eq!(files().map_err(|problem| problem.code), Err(Code::NotFound));
    }
}
