//! Output of a step that is held back until it ends.

use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};

use indexmap::IndexMap;
use tempfile::SpooledTempFile;

use crate::run::{Output, Reason, Stream};

/// Most bytes of a step that are held in memory; more are held in a file.
const IN_MEMORY: usize = 64 * 1024;

/// What is known of a step that did not end yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) reasons: Vec<Reason>,
    pub(super) lines: Held,
}

/// Holds a line of a step.
pub(super) fn hold(waiting: &mut IndexMap<String, Waiting>, line: &Output) {
    if let Some(waiting) = waiting.get_mut(&line.step) {
        waiting.lines.push(line);
    } else {
        waiting.entry(line.step.clone()).or_default().lines.push(line);
    }
}

/// Lines in the order in which they were written. What it takes of memory does not
/// depend on how many there are.
#[derive(Debug)]
pub(super) struct Held {
    spool: SpooledTempFile,
    /// Whether there are none.
    pub(super) is_empty: bool,
    /// Why some of it could not be held, the first time.
    lost: Option<io::Error>,
}

impl Default for Held {
    fn default() -> Self {
        Self { spool: SpooledTempFile::new(IN_MEMORY), is_empty: true, lost: None }
    }
}

impl Held {
    /// Holds a line.
    pub(super) fn push(&mut self, line: &Output) {
        self.is_empty = false;
        let length = u64::try_from(line.text.len()).unwrap_or(u64::MAX);
        let mut head = [0; 9];
        head[0] = u8::from(line.stream == Stream::Stderr);
        head[1..].copy_from_slice(&length.to_le_bytes());
        let written = self.spool.write_all(&head).and_then(|()| self.spool.write_all(line.text.as_bytes()));
        self.lost = self.lost.take().or(written.err());
    }

    /// Gives each line with its stream.
    ///
    /// # Errors
    /// What was held cannot be read, or some could not be held; or what `each`
    /// says.
    pub(super) fn play(mut self, mut each: impl FnMut(Stream, &str) -> io::Result<()>) -> io::Result<()> {
        self.spool.seek(SeekFrom::Start(0))?;
        let mut lines = BufReader::new(self.spool);
        let mut text = Vec::new();
        while !lines.fill_buf()?.is_empty() {
            let mut head = [0; 9];
            lines.read_exact(&mut head)?;
            let [stream, length @ ..] = head;
            text.clear();
            lines.by_ref().take(u64::from_le_bytes(length)).read_to_end(&mut text)?;
            let stream = if stream == 0 { Stream::Stdout } else { Stream::Stderr };
            each(stream, &String::from_utf8_lossy(&text))?;
        }
        self.lost.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_written_however_many() {
        let mut held = Held::default();
        assert!(held.is_empty);
        let line = |number: usize| Output {
            step: "x".into(),
            stream: if number.is_multiple_of(3) { Stream::Stderr } else { Stream::Stdout },
            text: format!("line {number}\nstill it\n").repeat(number % 4),
            base64: None,
            open: false,
            replayed: false,
        };
        (0..5000).for_each(|number| held.push(&line(number)));
        let mut number = 0;
        held.play(|stream, text| {
            let expected = line(number);
            assert_eq!((stream, text), (expected.stream, expected.text.as_str()));
            number += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(number, 5000);
    }
}
