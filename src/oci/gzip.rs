//! Compression with gzip, on all processors (RFC 1952).

use std::io::{self, Write};

use libdeflater::{CompressionLvl, Compressor};
use rayon::prelude::*;

use crate::oci::{Digest, Digester};

/// What is compressed on its own. Part of what the result depends on: it must
/// not follow from the machine.
const BLOCK: usize = 1 << 20;
/// Blocks that are held in memory until they are compressed together.
const BLOCKS: usize = 16;
/// Of libdeflate: 1 to 12.
const LEVEL: i32 = 6;

/// Compresses what is written, as one gzip member for each MiB.
///
/// Members that follow each other are one file to every reader of gzip.
pub(super) struct GzipWriter<'a, W> {
    out: &'a mut W,
    blocks: Vec<Vec<u8>>,
    digester: Digester,
}

impl<'a, W: Write> GzipWriter<'a, W> {
    pub(super) fn new(out: &'a mut W) -> Self {
        Self { out, blocks: Vec::new(), digester: Digester::new() }
    }

    /// Writes what is still held, and returns the digest of what was written
    /// before compression.
    pub(super) fn finish(mut self) -> io::Result<Digest> {
        self.compress()?;
        Ok(self.digester.finish().0)
    }

    fn compress(&mut self) -> io::Result<()> {
        let Self { out, blocks, digester } = self;
        let (members, ()) = rayon::join(
            || {
                blocks
                    .par_iter()
                    .map_init(compressor, |compressor, block| member(compressor, block))
                    .collect::<io::Result<Vec<_>>>()
            },
            || blocks.iter().for_each(|block| digester.update(block)),
        );
        members?.iter().try_for_each(|member| out.write_all(member))?;
        blocks.clear();
        Ok(())
    }
}

fn compressor() -> Compressor {
    Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default())
}

fn member(compressor: &mut Compressor, block: &[u8]) -> io::Result<Vec<u8>> {
    let mut member = vec![0; compressor.gzip_compress_bound(block.len())];
    let length = compressor.gzip_compress(block, &mut member).map_err(io::Error::other)?;
    member.truncate(length);
    Ok(member)
}

impl<W: Write> Write for GzipWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            if self.blocks.len() == BLOCKS {
                self.compress()?;
            }
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let Some(block) = self.blocks.last_mut() else { return Ok(0) };
        let count = bytes.len().min(BLOCK - block.len());
        block.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
