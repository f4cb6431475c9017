//! What the files of an image weigh, kept so that its layers need not be read for it.

use std::io::{self, Read, Write};

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
/// Bytes of an archive that are passed on at once.
const PIECE: usize = 256 << 10;

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

/// Passes on all of a layer's archive, and returns the bytes of its files; `None` if it is
/// no archive.
///
/// # Errors
/// Those of reading and of writing.
pub(super) fn weigh(archive: &mut dyn Read, out: &mut dyn Write) -> io::Result<Option<u64>> {
    let mut passing = Passing { archive, out, failed: None };
    let mut files = FileTree::default();
    let read = files.apply(io::BufReader::with_capacity(PIECE, &mut passing));
    let Passing { archive, out, failed } = passing;
    if let Some(error) = failed {
        return Err(error);
    }
    // What comes behind the end of an archive, or after what is none.
    io::copy(&mut io::BufReader::with_capacity(PIECE, archive), out)?;
    Ok(read.ok().map(|()| files.layer_sizes().iter().sum()))
}

/// Takes note of what the files of a layer weigh, if that is known.
pub(super) fn remember_layer(layer: &Descriptor, size: Option<u64>, images: &Layout) {
    if let Some(size) = size {
        let _forgotten = images.keep_note(LAYERS, &layer.digest.hex(), &size);
    }
}

/// Writes what is read from it.
struct Passing<'a> {
    archive: &'a mut dyn Read,
    out: &'a mut dyn Write,
    /// Why no more can be read, if not for its end.
    failed: Option<io::Error>,
}

impl Read for Passing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let passed = loop {
            match self.archive.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let passed = passed.and_then(|count| {
            self.out.write_all(buffer.get(..count).unwrap_or_default())?;
            Ok(count)
        });
        passed.map_err(|error| {
            let kind = error.kind();
            self.failed = Some(error);
            kind.into()
        })
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
    remember_layer(layer, Some(size), images);
    Some(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture;

    /// An archive of two files of 5 and of 3 bytes.
    fn archive() -> Vec<u8> {
        fixture::archive(&[("a", b"12345"), ("b", b"123")])
    }

    #[test]
    fn what_is_weighed_is_passed_on_as_it_is() {
        let none = b"this is no archive".repeat(100_000);
        let long = [archive(), vec![0; 3 << 20]].concat();
        let cases = [(archive(), Some(8)), (long, Some(8)), (none, None), (Vec::new(), Some(0))];
        for (bytes, weight) in cases {
            let mut out = Vec::new();
            let found = weigh(&mut bytes.as_slice(), &mut out).unwrap();
            assert!(out == bytes, "{} of {} bytes", out.len(), bytes.len());
            assert_eq!(found, weight, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn what_cannot_be_read_or_written_is_an_error_and_no_end() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let archive = archive();
        let mut cut = Read::chain(&archive[..600], Broken);
        assert_eq!(weigh(&mut cut, &mut io::sink()).unwrap_err().to_string(), "gone");
        let full = weigh(&mut archive.as_slice(), &mut Broken).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }
}
