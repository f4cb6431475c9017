//! Writes layers, unless they were written before.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Problem, Span};
use crate::engine::copy::FoundFile;
use crate::facts::Stat;
use crate::oci::{Descriptor, Digest, Digester, Layer, LayerCompression, LayerEntryKind};
use crate::store::Layout;

/// Where in a layout it is remembered which layers were written. No part of what
/// others see there.
pub(super) const MEMORY: &str = "layers";
/// Changes where equal layers come to be other bytes.
const FORMAT: &str = "layer 1";
/// Most bytes of what is remembered of a layer.
const MAX_KNOWN: u64 = 64 << 10;

/// What is known of the content of a file, by its path, of which the file system says
/// this, without reading it; if every change of the file would show: its BLAKE3.
pub type KnownContent<'a> = &'a (dyn Fn(&Path, &Stat) -> Option<[u8; 32]> + Sync);

/// A layer that lies in a layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WrittenLayer {
    /// The compressed archive.
    pub(super) descriptor: Descriptor,
    /// The digest of the archive before compression.
    pub(super) diff_id: Digest,
}

/// What is remembered of a layer.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    layer: WrittenLayer,
    /// The digest of the known contents of its files when it was written, if all were
    /// known.
    content: Option<Digest>,
}

/// Writes a layer to a layout. One that was written before, for whatever image, is
/// not written again; unless all of its files are `known`, they are read, since they
/// must be those that it was made of. Of several that want to write the same one, the
/// first does. Whether it had been written comes with it.
///
/// # Errors
/// A file cannot be read, or changes meanwhile; the layout cannot be written.
pub(super) fn write_layer(
    layer: &Layer<FoundFile>,
    compression: LayerCompression,
    images: &Layout,
    known: KnownContent<'_>,
    span: Span,
) -> Result<(WrittenLayer, bool), Problem> {
    // Without a memory there is only more to do.
    let mut memory = Memory::open(layer, compression, images).ok();
    let (mut reading, changed) = (None, Cell::new(false));
    let mut open = |found: &FoundFile| {
        reading = Some(found.path.clone());
        Ok(Watched { file: File::open(&found.path)?, stat: found.stat, changed: &changed })
    };
    let failed = |error: io::Error, reading: Option<PathBuf>| {
        let title = match reading {
            Some(path) if error.kind() != io::ErrorKind::StorageFull => {
                format!("`{}` cannot be put into a layer", path.display())
            }
            _ => "a layer cannot be written".to_owned(),
        };
        Problem::new(Code::Assemble, title).label(span, error.to_string())
    };
    let before = content(layer, known);
    // What was known of a file that changed meanwhile says nothing of the layer.
    let steady = || before.filter(|_| !changed.get());
    if let Some(Remembered { layer: written, content }) =
        memory.as_mut().and_then(|memory| memory.recall(images))
    {
        match before.zip(content) {
            Some((now, then)) if now == then => return Ok((written, true)),
            // It is another one.
            Some(_) => {}
            None => match layer.diff_id(&mut open) {
                Ok(diff_id) if diff_id == written.diff_id => {
                    remember(&mut memory, &written, steady());
                    return Ok((written, true));
                }
                Ok(_) => {}
                Err(error) => return Err(failed(error, reading)),
            },
        }
    }
    let mut blob = images.writer()?;
    let diff_id = match layer.write(compression, &mut blob, &mut open) {
        Ok(diff_id) => diff_id,
        Err(error) => return Err(failed(error, reading)),
    };
    let written = WrittenLayer { descriptor: blob.commit(compression.media_type())?, diff_id };
    remember(&mut memory, &written, steady());
    Ok((written, false))
}

/// A file that is read, of which the file system is asked at the end whether it still is
/// what was found.
struct Watched<'a> {
    file: File,
    stat: Stat,
    /// Becomes true if it is not.
    changed: &'a Cell<bool>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        if count == 0 && Stat::of(&self.file.metadata()?) != self.stat {
            self.changed.set(true);
        }
        Ok(count)
    }
}

/// What cannot be remembered is made again.
fn remember(memory: &mut Option<Memory>, layer: &WrittenLayer, content: Option<Digest>) {
    if let Some(memory) = memory {
        let _forgotten = memory.keep(&Remembered { layer: layer.clone(), content });
    }
}

/// A digest of the contents of all files of a layer, if all are known.
fn content(layer: &Layer<FoundFile>, known: KnownContent<'_>) -> Option<Digest> {
    let files = layer.iter().filter_map(|(_, entry)| match &entry.kind {
        LayerEntryKind::File { content, .. } => Some(content),
        LayerEntryKind::Directory | LayerEntryKind::Symlink(_) => None,
    });
    let files: Vec<&FoundFile> = files.collect();
    let digest = |found: &&FoundFile| known(&found.path, &found.stat);
    let digests: Vec<[u8; 32]> = files.par_iter().map(digest).collect::<Option<_>>()?;
    let mut digester = Digester::new();
    for digest in &digests {
        digester.update(digest);
    }
    Some(digester.finish().0)
}

/// What is known of the layers of one shape: paths, sizes, and all else but the
/// content. Held by one at a time.
struct Memory {
    file: File,
}

impl Memory {
    /// Waits until nobody else writes a layer of this shape.
    fn open(layer: &Layer<FoundFile>, compression: LayerCompression, images: &Layout) -> io::Result<Self> {
        let directory = images.path().join(MEMORY);
        fs::create_dir_all(&directory)?;
        let path = directory.join(shape(layer, compression).hex());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        Ok(Self { file })
    }

    /// The last layer of this shape, if it is still there.
    fn recall(&mut self, images: &Layout) -> Option<Remembered> {
        let mut bytes = Vec::new();
        (&self.file).take(MAX_KNOWN).read_to_end(&mut bytes).ok()?;
        let remembered: Remembered = serde_json::from_slice(&bytes).ok()?;
        let descriptor = &remembered.layer.descriptor;
        let blob = File::open(images.blob_path(&descriptor.digest)).ok()?;
        // It is in use again: what removes old blobs sees that by the time.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        futimens(&blob, &Timestamps { last_access: now, last_modification: now }).ok()?;
        images.holds(descriptor).then_some(remembered)
    }

    fn keep(&mut self, remembered: &Remembered) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&serde_json::to_vec(remembered)?)
    }
}

/// A digest of all that a layer is but the content of its files.
fn shape(layer: &Layer<FoundFile>, compression: LayerCompression) -> Digest {
    let mut digester = Digester::new();
    let mut part = |bytes: &[u8]| {
        digester.update(&(bytes.len() as u64).to_le_bytes());
        digester.update(bytes);
    };
    part(FORMAT.as_bytes());
    part(compression.to_string().as_bytes());
    layer.removed().for_each(&mut part);
    for (path, entry) in layer.iter() {
        part(path);
        part(format!("{} {} {}", entry.mode, entry.uid, entry.gid).as_bytes());
        match &entry.kind {
            LayerEntryKind::Directory => part(b"directory"),
            LayerEntryKind::Symlink(text) => part(text),
            LayerEntryKind::File { size, .. } => part(&size.to_le_bytes()),
        }
    }
    digester.finish().0
}
