//! Text without the line breaks at which base64 is wrapped.

use memchr::memchr_iter;

/// A text without its line breaks, and where they were. Of several in a row all but
/// the first stay: nobody wraps with empty lines.
#[derive(Debug, Default)]
pub(super) struct Folded {
    text: Vec<u8>,
    /// For each break that was taken out, where what comes behind it lies: in the
    /// folded text, and in the text itself.
    breaks: Vec<(usize, usize)>,
    /// Whether the text ends with a break, or what may become one.
    open: bool,
}

impl Folded {
    /// Takes the place of what was folded before.
    pub(super) fn fold(&mut self, text: &[u8]) {
        self.text.clear();
        self.breaks.clear();
        let mut line = 0;
        for at in memchr_iter(b'\n', text) {
            let end = if text[line..at].ends_with(b"\r") { at - 1 } else { at };
            if end > line {
                self.text.extend_from_slice(&text[line..end]);
                self.breaks.push((self.text.len(), at + 1));
            } else {
                self.text.extend_from_slice(&text[line..=at]);
            }
            line = at + 1;
        }
        let rest = &text[line..];
        let last = rest.strip_suffix(b"\r").unwrap_or(rest);
        self.text.extend_from_slice(last);
        self.open = last.len() < rest.len() || rest.is_empty() && !text.is_empty();
    }

    /// The text without its breaks.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where in the folded text there was a break.
    pub(super) fn breaks(&self) -> impl Iterator<Item = usize> {
        self.breaks.iter().map(|(folded, _)| *folded)
    }

    /// Whether the text ends with a break, or what may become one.
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// Where a byte of the folded text lies in the text itself.
    pub(super) fn place(&self, at: usize) -> usize {
        let before = self.breaks.partition_point(|(folded, _)| *folded <= at);
        let (folded, text) = before.checked_sub(1).map_or((0, 0), |last| self.breaks[last]);
        text + (at - folded)
    }

    /// The first byte of the folded text that lies at or behind this place of the text.
    pub(super) fn at(&self, place: usize) -> usize {
        let before = self.breaks.partition_point(|(_, text)| *text <= place);
        let (folded, text) = before.checked_sub(1).map_or((0, 0), |last| self.breaks[last]);
        let end = self.breaks.get(before).map_or(self.text.len(), |(folded, _)| *folded);
        (folded + (place - text)).min(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_breaks_go_and_every_byte_is_found_again() {
        let text = b"ab\ncd\r\n\n\nef\r";
        let mut folded = Folded::default();
        folded.fold(text);
        assert_eq!(folded.text(), b"abcd\n\nef");
        assert!(folded.is_open());
        for (at, byte) in folded.text().iter().enumerate() {
            assert_eq!(text[folded.place(at)], *byte);
            assert_eq!(folded.at(folded.place(at)), at);
        }
        assert_eq!([2, 5, 6, 11, 12].map(|place| folded.at(place)), [2, 4, 4, 8, 8]);
        folded.fold(b"x");
        assert_eq!((folded.text(), folded.is_open()), (&b"x"[..], false));
    }
}
