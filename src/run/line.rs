//! Output of a process, cut into lines.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memrchr};

use crate::run::mask::{Masker, Secrets};
use crate::run::{Output, Stream};

/// Longest line, in bytes, that is kept in one piece.
const LONGEST: usize = 64 * 1024;

/// A line, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it was written.
    pub(super) stream: Stream,
    /// Its bytes, without the end of the line.
    pub(super) bytes: Vec<u8>,
    /// Whether no line break followed.
    pub(super) open: bool,
}

impl Line {
    /// The line as it is told.
    pub(super) fn output(self, step: String, replayed: bool) -> Output {
        let Self { stream, bytes, open } = self;
        let (text, base64) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let bytes = error.as_bytes();
                (String::from_utf8_lossy(bytes).into_owned(), Some(STANDARD.encode(bytes)))
            }
        };
        Output { step, stream, text, base64, open, replayed }
    }

    /// The first line of what a stream holds, and how many bytes that takes;
    /// `None` if it has not ended and is not too long for one piece.
    pub(super) fn first(stream: Stream, bytes: &[u8]) -> Option<(Self, usize)> {
        let (line, taken, open) = match memchr(b'\n', &bytes[..bytes.len().min(LONGEST)]) {
            Some(end) => (bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1, false),
            None if bytes.len() >= LONGEST => (&bytes[..LONGEST], LONGEST, true),
            None => return None,
        };
        Some((Self { stream, bytes: line.to_vec(), open }, taken))
    }
}

/// One stream of a process, secrets masked, in pieces that end with a line where
/// lines end.
#[derive(Debug)]
pub(super) struct Written {
    /// Where it is written.
    pub(super) stream: Stream,
    masker: Masker,
    /// Masked, and not yet taken.
    pending: Vec<u8>,
}

impl Written {
    /// Nothing written yet.
    pub(super) fn new(stream: Stream, secrets: Arc<Secrets>) -> Self {
        Self { stream, masker: Masker::new(secrets), pending: Vec::new() }
    }

    /// Where what is written is to be appended, with room for so many bytes. To be
    /// called before each [`take`](Self::take).
    pub(super) fn space(&mut self, size: usize) -> &mut Vec<u8> {
        let space = if self.masker.is_idle() { &mut self.pending } else { self.masker.space() };
        space.reserve(size);
        space
    }

    /// Takes the lines that have ended, and very long ones in pieces: gives them to
    /// `to` unless there are none.
    pub(super) fn take(&mut self, to: impl FnOnce(&[u8])) {
        self.masker.show(&mut self.pending);
        let end = match memrchr(b'\n', &self.pending) {
            Some(end) => end + 1,
            None if self.pending.len() >= LONGEST => self.pending.len(),
            None => return,
        };
        to(&self.pending[..end]);
        self.pending.drain(..end);
    }

    /// Takes what has not ended and holds no beginning of a secret, so that it can
    /// be seen although the rest is not there.
    pub(super) fn take_open(&mut self, to: impl FnOnce(&[u8])) {
        if !self.pending.is_empty() {
            to(&self.pending);
            self.pending.clear();
        }
    }

    /// Whether something has not been taken that could be.
    pub(super) const fn is_open(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes all that is left at the end of the stream.
    pub(super) fn finish(&mut self, to: impl FnOnce(&[u8])) {
        self.masker.finish(&mut self.pending);
        self.take_open(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut written = Written::new(Stream::Stdout, Arc::new(Secrets::new([])));
        let mut taken = Vec::new();
        for piece in pieces {
            written.space(0).extend_from_slice(piece);
            written.take(|bytes| taken.push(bytes.to_vec()));
        }
        written.finish(|bytes| taken.push(bytes.to_vec()));
        taken
    }

    #[test]
    fn pieces_end_with_a_line_and_at_the_end() {
        let taken = written(&[b"one\ntw", b"o", b"\r\n\nthree"]);
        assert_eq!(taken, [&b"one\n"[..], b"two\r\n\n", b"three"]);
    }

    #[test]
    fn a_very_long_line_is_not_waited_for() {
        let text = vec![b'x'; LONGEST + 3];
        assert_eq!(written(&[&text, b"yz"]), [&text[..], b"yz"]);
    }

    #[test]
    fn a_line_ends_at_a_line_break_or_is_cut() {
        let first = |bytes: &[u8]| {
            Line::first(Stream::Stdout, bytes).map(|(line, taken)| (line.bytes.len(), line.open, taken))
        };
        assert_eq!(first(b"one\ntwo\n"), Some((3, false, 4)));
        assert_eq!(first(b"one\r\n"), Some((3, false, 5)));
        assert_eq!(first(b"one"), None);
        assert_eq!(first(&vec![b'x'; LONGEST + 3]), Some((LONGEST, true, LONGEST)));
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let bytes = b"caf\xe9".to_vec();
        let output = Line { stream: Stream::Stderr, bytes, open: false }.output("x".into(), false);
        assert_eq!((output.text.as_str(), output.base64.as_deref()), ("caf\u{fffd}", Some("Y2Fm6Q==")));
    }
}
