//! A string in quotes to its value, and each byte of it to its place.

use std::ops::Range;

use crate::syntax::token::{is_newline, is_space};
use crate::syntax::wrong::Wrong;

const ESCAPES: &str = "the escapes are \\n \\t \\r \\s \\b \\f \\\\ \\\" and \\u{…}; \
                       write a backslash as `\\\\`, or the string as `#\"…\"#`";

/// The value of a string, and the offset in the source of each byte of the
/// value and of its end. `text` is how it is written, closing quotes included,
/// and stands at `start`.
pub(super) fn string(text: &str, start: usize) -> Result<(String, Vec<u32>), Wrong> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let long = text.trim_start_matches('#').starts_with("\"\"\"");
    let edge = hashes + if long { 3 } else { 1 };
    let end = text.len().saturating_sub(edge);
    let inner = text.get(edge..end).unwrap_or_default();
    let pieces = pieces(inner, start + edge, hashes > 0)?;
    let close = start + end;
    Ok(if long { joined(&dedented(&pieces, start, close)?, close) } else { joined(&pieces, close) })
}

/// A character of a value.
#[derive(Clone, Copy, Debug)]
struct Piece {
    c: char,
    /// Where it is written.
    at: usize,
    /// How many bytes it is written with.
    width: usize,
    /// Whether it is written as itself, not as an escape.
    literal: bool,
}

/// The characters of a string, escapes resolved and line breaks as Unix has them.
fn pieces(inner: &str, start: usize, raw: bool) -> Result<Vec<Piece>, Wrong> {
    let mut pieces = Vec::with_capacity(inner.len());
    let mut at = 0;
    while let Some(rest) = inner.get(at..).filter(|rest| !rest.is_empty()) {
        let (c, width, literal) = match rest.chars().next() {
            Some('\\') if !raw => {
                let (c, width) = escape(rest, start + at)?;
                (c, width, false)
            }
            Some('\r') if rest.starts_with("\r\n") => (Some('\n'), 2, true),
            Some(c) if is_newline(c) => (Some('\n'), c.len_utf8(), true),
            Some(c) => (Some(c), c.len_utf8(), true),
            None => break,
        };
        pieces.extend(c.map(|c| Piece { c, at: start + at, width, literal }));
        at += width;
    }
    Ok(pieces)
}

/// The character that an escape stands for, if it is not one that takes spaces
/// away, and the length of the escape.
fn escape(rest: &str, at: usize) -> Result<(Option<char>, usize), Wrong> {
    let behind = rest.get(1..).unwrap_or_default();
    let c = match behind.chars().next() {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('s') => ' ',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some(c @ ('\\' | '"')) => c,
        Some('/') => return Err(Wrong::kdl1(at..at + 2, "\\/", "/")),
        Some('u') => return unicode(behind, at),
        Some(c) if is_space(c) || is_newline(c) => {
            let spaces = behind.len() - behind.trim_start_matches(|c| is_space(c) || is_newline(c)).len();
            return Ok((None, 1 + spaces));
        }
        other => {
            let escape: String = std::iter::once('\\').chain(other).collect();
            let wrong = Wrong::new(at..at + escape.len(), format!("`{escape}` is not an escape"), "here");
            return Err(wrong.help(ESCAPES));
        }
    };
    Ok((Some(c), 2))
}

/// `\u{1F600}`; `behind` is what stands behind the backslash.
fn unicode(behind: &str, at: usize) -> Result<(Option<char>, usize), Wrong> {
    let digits = behind.strip_prefix("u{").and_then(|rest| rest.split_once('}')).map(|(digits, _)| digits);
    let hex = digits.filter(|digits| {
        (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let c = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
    match (c, hex) {
        (Some(c), Some(hex)) => Ok((Some(c), hex.len() + 4)),
        _ => Err(Wrong::new(at..at + 2, "`\\u` names no character", "here")
            .help("write one to six hexadecimal digits in braces: `\\u{1F600}`")),
    }
}

/// The lines of a string between `"""`, less the spaces that stand before the
/// closing quotes.
fn dedented(pieces: &[Piece], start: usize, close: usize) -> Result<Vec<Piece>, Wrong> {
    let breaks = |piece: &Piece| piece.literal && piece.c == '\n';
    let space = |piece: &Piece| piece.literal && is_space(piece.c);
    let mut lines: Vec<&[Piece]> = pieces.split(breaks).collect();
    let closing = lines.pop().unwrap_or_default();
    let opening = lines.first().copied();
    if opening.is_none_or(|line| !line.is_empty()) {
        let at = pieces.first().map_or(close, |piece| piece.at);
        let wrong = Wrong::new(start..at, "a string in `\"\"\"` does not begin on a new line", "opened here");
        return Err(wrong.help("break the line behind the opening `\"\"\"`, or use `\"` for a single line"));
    }
    if !closing.iter().all(space) {
        let wrong = Wrong::new(close..close + 3, "text stands before a closing `\"\"\"`", "closed here");
        return Err(wrong.help("put the closing `\"\"\"` on a line of its own"));
    }
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    // The line breaks between the lines: those that `split` took away.
    let mut line_breaks = pieces.iter().filter(|piece| breaks(piece));
    line_breaks.next();
    for (index, line) in lines.iter().skip(1).enumerate() {
        if index > 0 {
            out.extend(line_breaks.next());
        }
        if line.iter().all(space) {
            continue;
        }
        let indented = line.len() >= closing.len()
            && line.iter().zip(closing).all(|(piece, indent)| space(piece) && piece.c == indent.c);
        if !indented {
            return Err(indentation(line, closing.len()));
        }
        out.extend(line.get(closing.len()..).unwrap_or_default());
    }
    Ok(out)
}

fn indentation(line: &[Piece], wanted: usize) -> Wrong {
    let spaces = line.iter().take_while(|piece| piece.literal && is_space(piece.c)).count();
    let edge = |index: usize| line.get(index).or(line.last()).map_or(0, |piece| piece.at);
    let range: Range<usize> = edge(0)..edge(spaces.min(wanted)).max(edge(0) + 1);
    Wrong::new(range, "a line of a string is not indented as its closing `\"\"\"` is", "this line")
        .help("begin every line of the string with the same spaces or tabs as the closing `\"\"\"`")
}

fn joined(pieces: &[Piece], close: usize) -> (String, Vec<u32>) {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let mut value = String::with_capacity(pieces.len());
    let mut offsets = Vec::with_capacity(pieces.len() + 1);
    for piece in pieces {
        // Only inside of a character that is written as itself do bytes have places.
        let inside = piece.literal && piece.width == piece.c.len_utf8();
        let place = |byte: usize| offset(piece.at + if inside { byte } else { 0 });
        offsets.extend((0..piece.c.len_utf8()).map(place));
        value.push(piece.c);
    }
    offsets.push(pieces.last().map_or(offset(close), |piece| offset(piece.at + piece.width)));
    (value, offsets)
}
