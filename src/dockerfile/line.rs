//! Logical lines: continued lines joined, comments passed over, each byte still
//! knowing where it was written.

use std::ops::Range;

/// One instruction as a single line of text.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The text, without continuation characters, comments, and line ends.
    pub(super) text: String,
    /// Where pieces of it begin: in `text`, and in the file.
    pieces: Vec<(usize, usize)>,
}

impl Line {
    fn push(&mut self, text: &str, from: usize) {
        if !text.is_empty() {
            self.pieces.push((self.text.len(), from));
            self.text.push_str(text);
        }
    }

    /// The bytes of the file that a range of the text was written as.
    pub(super) fn place(&self, range: Range<usize>) -> Range<usize> {
        let start = self.offset(range.start);
        let end = range.end.checked_sub(1).filter(|last| *last >= range.start);
        start..end.map_or(start, |last| self.offset(last) + 1).max(start)
    }

    fn offset(&self, at: usize) -> usize {
        let piece = self.pieces.partition_point(|(begin, _)| *begin <= at).checked_sub(1);
        let piece = piece.and_then(|piece| self.pieces.get(piece)).or_else(|| self.pieces.first());
        piece.map_or(0, |(begin, from)| from + at.saturating_sub(*begin))
    }
}

/// Reads a text line by line.
pub(super) struct Lines<'t> {
    text: &'t str,
    at: usize,
    /// The character that continues a line at its end.
    pub(super) escape: char,
}

/// A line as it is written, without its end (`\n` or `\r\n`).
#[derive(Clone, Copy)]
pub(super) struct Written<'t> {
    pub(super) text: &'t str,
    /// Where it begins.
    pub(super) start: usize,
}

impl<'t> Lines<'t> {
    /// Begins behind a byte order mark, if there is one.
    pub(super) fn new(text: &'t str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at, escape: '\\' }
    }

    /// The next line as it is written.
    pub(super) fn written(&mut self) -> Option<Written<'t>> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let (line, next) = match rest.split_once('\n') {
            Some((line, _)) => (line, line.len() + 1),
            None => (rest, rest.len()),
        };
        self.at += next;
        Some(Written { text: line.strip_suffix('\r').unwrap_or(line), start })
    }

    /// The next line, without moving on.
    pub(super) fn peek(&self) -> Option<Written<'t>> {
        Lines { text: self.text, at: self.at, escape: self.escape }.written()
    }

    /// Where the next line begins.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// The next line that is neither empty nor a comment, with all that continue it.
    /// Comments and empty lines between those are passed over.
    pub(super) fn logical(&mut self) -> Option<Line> {
        loop {
            let written = self.written()?;
            let body = written.text.trim_start();
            if body.is_empty() || body.starts_with('#') {
                continue;
            }
            let mut line = Line::default();
            let (kept, mut continues) = self.continuation(body);
            line.push(kept, written.start + written.text.len() - body.len());
            while continues {
                let Some(written) = self.written() else { break };
                let trimmed = written.text.trim_start();
                if trimmed.is_empty() || trimmed.starts_with('#') {
                    continue;
                }
                let kept;
                (kept, continues) = self.continuation(written.text);
                line.push(kept, written.start);
            }
            if !line.text.trim().is_empty() {
                return Some(line);
            }
        }
    }

    /// A line without the character that continues it, and whether there is one: it
    /// stands at the end or before blanks there, and not behind another.
    fn continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let body = line.trim_end_matches([' ', '\t']);
        match body.strip_suffix(self.escape) {
            Some(kept) if !kept.ends_with(self.escape) => (kept, true),
            _ => (line, false),
        }
    }
}
