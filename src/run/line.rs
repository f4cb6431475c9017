//! Output of a process, cut into lines.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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

    /// Appends the line as it is kept in a log: the stream's digit, the bytes,
    /// a line break.
    pub(super) fn write(&self, log: &mut Vec<u8>) {
        log.push(match self.stream {
            Stream::Stdout => b'1',
            Stream::Stderr => b'2',
        });
        log.extend_from_slice(&self.bytes);
        log.push(b'\n');
    }

    /// The lines of a log that was kept; what is not a line of one is left out.
    pub(super) fn read(log: &[u8]) -> impl Iterator<Item = Self> {
        log.split(|byte| *byte == b'\n').filter_map(|line| {
            let (digit, bytes) = line.split_first()?;
            let stream = match digit {
                b'1' => Stream::Stdout,
                b'2' => Stream::Stderr,
                _ => return None,
            };
            Some(Self { stream, bytes: bytes.to_vec(), open: false })
        })
    }
}

/// Turns one stream of a process into masked lines.
#[derive(Debug)]
pub(super) struct Lines {
    stream: Stream,
    masker: Masker,
    /// Masked, and not yet a whole line.
    pending: Vec<u8>,
}

impl Lines {
    /// Nothing read yet.
    pub(super) const fn new(stream: Stream, secrets: Arc<Secrets>) -> Self {
        Self { stream, masker: Masker::new(secrets), pending: Vec::new() }
    }

    /// The lines that end in these bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.masker.feed(bytes, &mut self.pending);
        self.cut()
    }

    /// The lines that are left at the end of the stream.
    pub(super) fn finish(&mut self) -> Vec<Line> {
        self.masker.finish(&mut self.pending);
        let mut lines = self.cut();
        if !self.pending.is_empty() {
            let bytes = std::mem::take(&mut self.pending);
            lines.push(Line { stream: self.stream, bytes, open: true });
        }
        lines
    }

    fn cut(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut start = 0;
        loop {
            let rest = &self.pending[start..];
            let end = rest.iter().take(LONGEST).position(|byte| *byte == b'\n');
            let (bytes, next, open) = match end {
                Some(end) => (rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]), end + 1, false),
                None if rest.len() >= LONGEST => (&rest[..LONGEST], LONGEST, true),
                None => break,
            };
            lines.push(Line { stream: self.stream, bytes: bytes.to_vec(), open });
            start += next;
        }
        self.pending.drain(..start);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, open: bool) -> Line {
        Line { stream: Stream::Stdout, bytes: text.as_bytes().to_vec(), open }
    }

    fn lines() -> Lines {
        Lines::new(Stream::Stdout, Arc::new(Secrets::new([])))
    }

    #[test]
    fn lines_end_at_a_line_break_and_at_the_end() {
        let mut lines = lines();
        assert_eq!(lines.feed(b"one\ntw"), [line("one", false)]);
        assert_eq!(lines.feed(b"o\r\n\nthree"), [line("two", false), line("", false)]);
        assert_eq!(lines.finish(), [line("three", true)]);
        assert_eq!(lines.finish(), []);
    }

    #[test]
    fn a_very_long_line_is_cut() {
        let text = "x".repeat(LONGEST + 3);
        let mut lines = lines();
        assert_eq!(lines.feed(text.as_bytes()), [line(&text[3..], true)]);
        assert_eq!(lines.finish(), [line("xxx", true)]);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let bytes = b"caf\xe9".to_vec();
        let output = Line { stream: Stream::Stderr, bytes, open: false }.output("x".into(), false);
        assert_eq!((output.text.as_str(), output.base64.as_deref()), ("caf\u{fffd}", Some("Y2Fm6Q==")));
    }

    #[test]
    fn a_log_holds_its_lines() {
        let lines = [line("one", false), Line { stream: Stream::Stderr, ..line("", false) }];
        let mut log = Vec::new();
        for line in &lines {
            line.write(&mut log);
        }
        assert_eq!(Line::read(&log).collect::<Vec<_>>(), lines);
    }
}
