//! The content of layers as what their image says that it is.

use std::error::Error;
use std::fmt;
use std::io::{self, Read};

use crate::oci::media_type::Compression;
use crate::oci::{Digest, Digester, decompress};

/// The content of a layer's blob as an archive. Where that is something else than its
/// `diff_id` says, reading it fails at its end.
///
/// # Errors
/// The decompressor cannot be set up.
pub fn unpacked<'a>(
    compression: Compression,
    diff_id: Digest,
    blob: impl Read + 'a,
) -> io::Result<Box<dyn Read + 'a>> {
    let content = decompress(compression, blob)?;
    let digester = Some(Digester::new());
    Ok(Box::new(io::BufReader::with_capacity(256 << 10, Checked { content, diff_id, digester })))
}

struct Checked<R> {
    content: R,
    diff_id: Digest,
    /// Until the end is reached.
    digester: Option<Digester>,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        if let Some(digester) = &mut self.digester {
            digester.update(buffer.get(..count).unwrap_or_default());
        }
        if count == 0
            && !buffer.is_empty()
            && let Some(digester) = self.digester.take()
        {
            let (found, _) = digester.finish();
            if found != self.diff_id {
                let other = OtherContent { found, diff_id: self.diff_id };
                return Err(io::Error::new(io::ErrorKind::InvalidData, other));
            }
        }
        Ok(count)
    }
}

/// A layer unpacks to something else than the configuration of its image says.
#[derive(Debug)]
struct OtherContent {
    found: Digest,
    diff_id: Digest,
}

impl fmt::Display for OtherContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unpacked it is {}, the configuration says {}", self.found, self.diff_id)
    }
}

impl Error for OtherContent {}

/// Whether an archive was not read because it is not what its image says that it is.
#[must_use]
pub fn is_other_content(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref::<OtherContent>()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_that_is_not_what_is_said_of_it_has_no_end() {
        let content = b"x".repeat(1 << 20);
        let blob = zstd::encode_all(content.as_slice(), 1).unwrap();
        let read = |diff_id| {
            let mut bytes = Vec::new();
            unpacked(Compression::Zstd, diff_id, blob.as_slice()).unwrap().read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        assert_eq!(read(Digest::of(&content)).unwrap(), content);
        let error = read(Digest::of(b"another")).unwrap_err();
        assert!(is_other_content(&error), "{error}");
        let damaged =
            unpacked(Compression::Zstd, Digest::of(b""), &b"none"[..]).unwrap().read_to_end(&mut vec![]);
        assert!(!is_other_content(&damaged.unwrap_err()));
    }
}
