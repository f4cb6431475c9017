//! Where each byte of a string's value stands in the source.

/// The offset in the source of each byte of `value`, and of its end; `repr` is
/// how the string is written, and stands at `start`. Empty where the two do not
/// fit together.
pub(super) fn offsets(repr: &str, value: &str, start: u32) -> Vec<u32> {
    let hashes = repr.bytes().take_while(|byte| *byte == b'#').count();
    let body = &repr[hashes..];
    let quotes = if body.starts_with("\"\"\"") { 3 } else { usize::from(body.starts_with('"')) };
    let edge = hashes + quotes;
    let Some(inner) = repr.get(edge..repr.len().saturating_sub(edge)) else { return Vec::new() };
    let mut pieces = Pieces { text: String::new(), offsets: Vec::new(), at: start as usize + edge };
    match (quotes, hashes) {
        (3, _) => pieces.lines(inner, hashes == 0),
        (1, 0) => pieces.escaped(inner),
        _ => pieces.plain(inner),
    }
    let end = u32::try_from(pieces.at).unwrap_or(u32::MAX);
    if pieces.text != value {
        return Vec::new();
    }
    pieces.offsets.push(end);
    pieces.offsets
}

/// A value as it comes together, with the place of each of its bytes.
struct Pieces {
    text: String,
    offsets: Vec<u32>,
    /// Where in the source the next character stands.
    at: usize,
}

impl Pieces {
    /// Adds a character that takes `width` bytes of the source.
    fn push(&mut self, c: char, width: usize) {
        let at = u32::try_from(self.at).unwrap_or(u32::MAX);
        // Inside of a character that is written as itself, bytes have places.
        let step = u32::from(width == c.len_utf8());
        self.offsets.extend((0..c.len_utf8()).zip(0u32..).map(|(_, index)| at + index * step));
        self.text.push(c);
        self.at += width;
    }

    fn plain(&mut self, inner: &str) {
        inner.chars().for_each(|c| self.push(c, c.len_utf8()));
    }

    fn escaped(&mut self, inner: &str) {
        let mut rest = inner;
        while let Some(c) = rest.chars().next() {
            let (c, width) = if c == '\\' { escape(rest) } else { (Some(c), c.len_utf8()) };
            match c {
                Some(c) => self.push(c, width),
                None => self.at += width,
            }
            rest = rest.get(width..).unwrap_or_default();
        }
    }

    /// The lines between the first and the last, without the indentation of the
    /// last.
    fn lines(&mut self, inner: &str, escapes: bool) {
        let Some(first) = inner.find('\n') else { return };
        self.at += first + 1;
        let body = &inner[first + 1..];
        let last = body.rfind('\n').map_or(0, |at| at + 1);
        let indentation = &body[last..];
        let body = body.get(..last.saturating_sub(1)).unwrap_or_default();
        for (index, line) in body.split('\n').enumerate() {
            if index > 0 {
                self.push('\n', 1);
            }
            let content = line.strip_suffix('\r').unwrap_or(line);
            if content.trim().is_empty() {
                self.at += line.len();
                continue;
            }
            let stripped = content.strip_prefix(indentation).unwrap_or(content);
            self.at += content.len() - stripped.len();
            if escapes {
                self.escaped(stripped);
            } else {
                self.plain(stripped);
            }
            self.at += line.len() - content.len();
        }
    }
}

/// The character of an escape at the start of `text`, if it makes one, and how
/// many bytes it takes.
fn escape(text: &str) -> (Option<char>, usize) {
    let simple = |c: char| (Some(c), 2);
    match text.as_bytes().get(1) {
        Some(b'n') => simple('\n'),
        Some(b'r') => simple('\r'),
        Some(b't') => simple('\t'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b's') => simple(' '),
        Some(b'"') => simple('"'),
        Some(b'\\') => simple('\\'),
        Some(b'u') => {
            let close = text.find('}').unwrap_or(text.len());
            let digits = text.get(3..close).unwrap_or_default();
            let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
            (c, (close + 1).min(text.len()))
        }
        // A backslash before white space takes all of it away.
        _ => (None, 1 + text[1..].len() - text[1..].trim_start().len()),
    }
}
