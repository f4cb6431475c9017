//! The lower part of a terminal, which is drawn again and again.

use std::fmt::Write as _;
use std::io;

use crate::report::{output, status};
use crate::run::Stream;

/// Bytes beyond which what waits is written at once.
const FULL: usize = 256 * 1024;

/// Text that scrolls up, above lines that stand.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// What waits to be written above the lines that stand.
    waiting: Vec<(Stream, String)>,
    bytes: usize,
    /// The lines that stand there, as they were drawn.
    drawn: Vec<String>,
}

impl Screen {
    /// Rows and columns of the terminal, if there is one.
    pub(super) fn size() -> Option<(usize, usize)> {
        let (rows, columns) = console::Term::stderr().size_checked()?;
        Some((usize::from(rows), usize::from(columns)))
    }

    /// Adds text that scrolls up with the next drawing.
    pub(super) fn push(&mut self, stream: Stream, text: &str) {
        self.bytes += text.len();
        match self.waiting.last_mut() {
            Some((last, waiting)) if *last == stream => waiting.push_str(text),
            _ if text.is_empty() => {}
            _ => self.waiting.push((stream, text.to_owned())),
        }
    }

    /// Whether so much waits that it is to be written now.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes > FULL
    }

    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Writes what waits, and draws these lines below it in place of those that
    /// stood there.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn paint(&mut self, lines: Vec<String>, columns: usize) -> io::Result<()> {
        if self.waiting.is_empty() && self.drawn == lines {
            return Ok(());
        }
        let mut text = erase(&self.drawn, columns);
        let mut written = Ok(());
        self.bytes = 0;
        for (stream, waiting) in self.waiting.drain(..) {
            if stream == Stream::Stderr {
                text.push_str(&waiting);
            } else {
                status(&std::mem::take(&mut text));
                written = written.and(output(&waiting));
            }
        }
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        status(&text);
        self.drawn = lines;
        written
    }
}

/// What takes the lines away from the terminal. A terminal that was made narrower
/// shows a line on several rows.
fn erase(lines: &[String], columns: usize) -> String {
    let rows = |line: &String| console::measure_text_width(line).div_ceil(columns.max(1)).max(1);
    let mut text = String::new();
    match lines.iter().map(rows).sum::<usize>() {
        0 => {}
        count => {
            let _ = write!(text, "\r\u{1b}[{count}A\u{1b}[J");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_away_with_all_the_rows_that_they_have_now() {
        let lines = ["x".repeat(30), "日本".to_owned(), String::new()];
        assert_eq!(erase(&lines, 80), "\r\u{1b}[3A\u{1b}[J");
        assert_eq!(erase(&lines, 20), "\r\u{1b}[4A\u{1b}[J");
        assert_eq!(erase(&[], 20), "");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut screen = Screen::default();
        screen.push(Stream::Stdout, "");
        assert!(screen.waiting.is_empty());
        while !screen.is_full() {
            screen.push(Stream::Stdout, &"x".repeat(1000));
        }
        assert_eq!(screen.waiting.len(), 1);
    }
}
