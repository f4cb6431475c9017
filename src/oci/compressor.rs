//! Compression of layers with gzip (RFC 1952) and zstd (RFC 8878), on all
//! processors.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use libdeflater::{CompressionLvl, Compressor};
use serde::{Deserialize, Serialize};

use crate::oci::{Digest, Digester, media_type};

/// More threads than these compress no layer: their blocks would need much memory.
const MOST_THREADS: usize = 32;

/// How a layer is compressed, and how hard: a higher level makes it smaller and
/// takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerCompression {
    /// gzip, with a level from 1 to 9.
    Gzip(u8),
    /// zstd, with a level from 1 to 19.
    Zstd(u8),
}

impl Default for LayerCompression {
    fn default() -> Self {
        Self::GZIP
    }
}

impl fmt::Display for LayerCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gzip(level) => write!(f, "gzip {level}"),
            Self::Zstd(level) => write!(f, "zstd {level}"),
        }
    }
}

impl LayerCompression {
    /// gzip, as hard as is usual.
    pub const GZIP: Self = Self::Gzip(6);
    /// zstd, as hard as is usual.
    pub const ZSTD: Self = Self::Zstd(3);
    /// The highest level of gzip.
    pub const MAX_GZIP: u8 = 9;
    /// The highest level of zstd: what is beyond needs much memory to be read.
    pub const MAX_ZSTD: u8 = 19;

    /// The type of a layer that is compressed so.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Gzip(_) => media_type::LAYER_GZIP,
            Self::Zstd(_) => media_type::LAYER_ZSTD,
        }
    }

    /// Compresses an archive, and returns its digest.
    ///
    /// # Errors
    /// Those of reading and of writing.
    pub fn compress(self, archive: &mut dyn Read, out: &mut (impl Write + Send)) -> io::Result<Digest> {
        self.compress_written(out, |blocks| {
            let mut buffer = vec![0; 256 << 10];
            loop {
                match archive.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => blocks.write_all(buffer.get(..count).unwrap_or_default())?,
                }
            }
        })
    }

    /// Compresses what `fill` writes, and returns the digest of what it wrote.
    ///
    /// # Errors
    /// Those of `fill` and of writing.
    pub fn compress_written(
        self,
        out: &mut (impl Write + Send),
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Digest> {
        compress(self, out, |blocks| fill(blocks))
    }

    /// Bytes that are compressed on their own: as a member of gzip, or a frame of
    /// zstd. Part of what the result depends on: it must not follow from the machine.
    const fn block(self) -> usize {
        match self {
            Self::Gzip(_) => 1 << 20,
            Self::Zstd(_) => 2 << 20,
        }
    }
}

/// Compresses what `fill` writes, and returns the digest of what it wrote.
///
/// It is compressed in blocks of a fixed size, each by itself, so that the result
/// depends neither on the number of threads nor on the pieces that are written.
/// Members of gzip, and frames of zstd, that follow each other are one file to
/// every reader.
///
/// # Errors
/// Those of `fill` and of `out`.
pub(super) fn compress(
    how: LayerCompression,
    out: &mut (impl Write + Send),
    fill: impl FnOnce(&mut Blocks) -> io::Result<()>,
) -> io::Result<Digest> {
    let (queue, packed) = channel();
    let (free, freed) = channel();
    thread::scope(|scope| {
        let writing = scope.spawn(move || write(&packed, out, &free));
        let most = rayon::current_num_threads().min(MOST_THREADS) + 2;
        let mut blocks = Blocks { how, most, made: 0, current: None, freed, queue };
        let filled = fill(&mut blocks).and_then(|()| blocks.send());
        drop(blocks);
        let ended = writing.join().map_err(|_| stopped());
        // Where nothing can be written any more, that is why nothing was taken.
        let digest = ended.flatten()?;
        filled.map(|()| digest)
    })
}

/// What is to be compressed, collected in blocks.
pub(super) struct Blocks {
    how: LayerCompression,
    /// As many blocks are filled, compressed, or written at once.
    most: usize,
    made: usize,
    current: Option<Block>,
    /// Those that are written come back, to be filled again.
    freed: Receiver<Block>,
    queue: Sender<Packed>,
}

/// A block that is compressed by now, or will be.
type Packed = Receiver<io::Result<Block>>;

impl Blocks {
    /// A block that is to be filled.
    fn next(&mut self) -> io::Result<Block> {
        match self.freed.try_recv() {
            Ok(block) => Ok(block),
            Err(_) if self.made < self.most => {
                self.made += 1;
                Ok(Block::new(self.how))
            }
            Err(_) => self.freed.recv().map_err(|_| io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Hands over what was collected.
    fn send(&mut self) -> io::Result<()> {
        let Some(mut block) = self.current.take() else { return Ok(()) };
        let (sender, receiver) = channel();
        // Who waits for it may have given up.
        rayon::spawn(move || drop(sender.send(block.pack().map(|()| block))));
        self.queue.send(receiver).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.how.block();
        if self.current.as_ref().is_some_and(|block| block.content.len() == size) {
            self.send()?;
        }
        let mut block = match self.current.take() {
            Some(block) => block,
            None => self.next()?,
        };
        let count = bytes.len().min(size - block.content.len());
        block.content.extend_from_slice(bytes.get(..count).unwrap_or_default());
        self.current = Some(block);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes block after block as they are compressed.
fn write(packed: &Receiver<Packed>, out: &mut impl Write, free: &Sender<Block>) -> io::Result<Digest> {
    let mut digester = Digester::new();
    for block in packed {
        let mut block = block.recv().map_err(|_| stopped())??;
        digester.update(&block.content);
        out.write_all(block.packed.get(..block.length).unwrap_or_default())?;
        block.content.clear();
        // Who fills blocks may need no further one.
        let _enough = free.send(block);
    }
    Ok(digester.finish().0)
}

/// A thread that panicked.
fn stopped() -> io::Error {
    io::Error::other("a thread ended before its work")
}

/// A part of an archive, with what compresses it.
struct Block {
    content: Vec<u8>,
    /// Room for as much as it may become.
    packed: Vec<u8>,
    /// How much of that it became.
    length: usize,
    packer: Packer,
}

enum Packer {
    Gzip(Compressor),
    Zstd(io::Result<zstd::bulk::Compressor<'static>>),
}

impl Block {
    fn new(how: LayerCompression) -> Self {
        let (packer, bound) = match how {
            LayerCompression::Gzip(level) => {
                let level = CompressionLvl::new(i32::from(level)).unwrap_or_default();
                let mut compressor = Compressor::new(level);
                let bound = compressor.gzip_compress_bound(how.block());
                (Packer::Gzip(compressor), bound)
            }
            LayerCompression::Zstd(level) => {
                let compressor = zstd::bulk::Compressor::new(i32::from(level));
                (Packer::Zstd(compressor), zstd::zstd_safe::compress_bound(how.block()))
            }
        };
        Self { content: Vec::with_capacity(how.block()), packed: vec![0; bound], length: 0, packer }
    }

    /// Compresses its content by itself.
    fn pack(&mut self) -> io::Result<()> {
        let (content, packed) = (self.content.as_slice(), self.packed.as_mut_slice());
        self.length = match &mut self.packer {
            Packer::Gzip(compressor) => {
                compressor.gzip_compress(content, packed).map_err(io::Error::other)?
            }
            Packer::Zstd(Ok(compressor)) => compressor.compress_to_buffer(content, packed)?,
            Packer::Zstd(Err(error)) => return Err(io::Error::other(error.to_string())),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;
    use crate::oci::decompress;

    const ALL: [LayerCompression; 4] = [
        LayerCompression::GZIP,
        LayerCompression::Gzip(9),
        LayerCompression::ZSTD,
        LayerCompression::Zstd(LayerCompression::MAX_ZSTD),
    ];

    fn packed(how: LayerCompression, content: &[u8], pieces: &[usize]) -> (Vec<u8>, Digest) {
        let mut out = Vec::new();
        let digest = compress(how, &mut out, |blocks| {
            let mut rest = content;
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*piece));
                blocks.write_all(now)?;
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            Ok(())
        });
        (out, digest.unwrap())
    }

    fn unpacked(how: LayerCompression, bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        let known = media_type::compression(how.media_type()).unwrap();
        decompress(known, bytes).unwrap().read_to_end(&mut content).unwrap();
        content
    }

    /// Text and noise, `size` bytes of it.
    fn content(size: usize) -> Vec<u8> {
        (0..u32::try_from(size).unwrap()).map(|at| (at.wrapping_mul(at) >> 7).to_le_bytes()[0]).collect()
    }

    #[test]
    fn what_is_compressed_is_read_again_whatever_its_size() {
        for how in ALL {
            let block = how.block();
            for size in [1, block - 1, block, block + 1] {
                let content = content(size);
                let (bytes, digest) = packed(how, &content, &[1 << 16]);
                assert_eq!(unpacked(how, &bytes), content, "{how}: {size}");
                assert_eq!(digest, Digest::of(&content));
            }
        }
        // More blocks than there are at once.
        let large = content(LayerCompression::GZIP.block() * (MOST_THREADS + 3));
        let (bytes, _) = packed(LayerCompression::GZIP, &large, &[99_999]);
        assert_eq!(unpacked(LayerCompression::GZIP, &bytes), large);
    }

    #[test]
    fn a_level_is_kept() {
        let content = content(1 << 20);
        let size = |how| packed(how, &content, &[1 << 20]).0.len();
        assert!(size(LayerCompression::Gzip(9)) < size(LayerCompression::Gzip(1)));
        assert!(size(LayerCompression::Zstd(19)) < size(LayerCompression::Zstd(1)));
    }

    #[test]
    fn what_cannot_be_written_is_said_and_not_what_followed_from_it() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let content = content(LayerCompression::GZIP.block() * (MOST_THREADS + 3));
        let failed = compress(LayerCompression::GZIP, &mut Full, |blocks| blocks.write_all(&content));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let failed = compress(LayerCompression::GZIP, &mut io::sink(), |_| Err(io::Error::other("no")));
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_pieces_that_are_written_do_not_change_a_byte(
            size in 0..3_000_000_usize,
            pieces in prop::collection::vec(1..400_000_usize, 1..5),
        ) {
            let content = content(size);
            for how in [LayerCompression::GZIP, LayerCompression::ZSTD] {
                prop_assert_eq!(packed(how, &content, &pieces), packed(how, &content, &[usize::MAX]));
            }
        }
    }
}
