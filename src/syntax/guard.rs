//! Bounds that a text must keep before it is parsed.
//!
//! The parser recurses, and dies with its stack at some thousand levels; nested
//! blocks behind a slashdash take it time that doubles with each level. Both
//! are bounded here by one linear walk that knows strings and comments.

use crate::diagnostic::{Code, Problem, SourceId, Span};

/// Most bytes of a file.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Most braces that are open at once.
pub(super) const MAX_DEPTH: usize = 128;
/// Most blocks behind a slashdash that are open at once.
pub(super) const MAX_SLASHDASH: usize = 4;

/// Checks the bounds.
///
/// # Errors
/// [`Code::TooLarge`] or [`Code::TooDeep`].
pub(super) fn check(source: SourceId, text: &str) -> Result<(), Problem> {
    if text.len() > MAX_BYTES {
        let title = format!("the file has {} bytes; hoist reads at most {MAX_BYTES}", text.len());
        return Err(Problem::new(Code::TooLarge, title).help("split it, and `include` the parts"));
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    // For each open brace, whether a slashdash stands before its node or block.
    let mut open: Vec<bool> = Vec::new();
    let mut slashdash = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = after_string(bytes, at, 0),
            b'#' => {
                let hashes = bytes[at..].iter().take_while(|byte| **byte == b'#').count();
                let quoted = bytes.get(at + hashes) == Some(&b'"');
                at = if quoted { after_string(bytes, at + hashes, hashes) } else { at + hashes };
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = after_comment(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'-') => {
                slashdash = true;
                at += 2;
            }
            b'{' => {
                open.push(std::mem::take(&mut slashdash));
                let dashed = open.iter().filter(|dashed| **dashed).count();
                if open.len() > MAX_DEPTH || dashed > MAX_SLASHDASH {
                    let what = if dashed > MAX_SLASHDASH { "commented-out blocks" } else { "braces" };
                    let most = if dashed > MAX_SLASHDASH { MAX_SLASHDASH } else { MAX_DEPTH };
                    let title = format!("{what} are nested more than {most} deep");
                    let problem = Problem::new(Code::TooDeep, title);
                    return Err(problem.label(Span::new(source, at..at + 1), "this one is too deep"));
                }
                at += 1;
            }
            b'}' => {
                open.pop();
                slashdash = false;
                at += 1;
            }
            b'\n' | b';' => {
                slashdash = false;
                at += 1;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// The offset behind a string whose opening quote stands at `at`.
fn after_string(bytes: &[u8], at: usize, hashes: usize) -> usize {
    let quotes = if bytes[at..].starts_with(b"\"\"\"") { 3 } else { 1 };
    let mut here = at + quotes;
    while here < bytes.len() {
        let rest = &bytes[here..];
        let closes = rest.len() >= quotes + hashes
            && rest[..quotes].iter().all(|byte| *byte == b'"')
            && rest[quotes..quotes + hashes].iter().all(|byte| *byte == b'#');
        if closes {
            return here + quotes + hashes;
        }
        // Without a closing quote on its line a single-line string is an error
        // that the parser reports; what follows is read as if it had ended.
        if quotes == 1 && rest[0] == b'\n' {
            let escaped = hashes == 0 && bytes.get(here.wrapping_sub(1)) == Some(&b'\\');
            if !escaped {
                return here;
            }
        }
        here += if hashes == 0 && rest[0] == b'\\' { 2 } else { 1 };
    }
    bytes.len()
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

/// The offset behind a comment, with those nested in it.
fn after_comment(bytes: &[u8], at: usize) -> usize {
    let (mut here, mut depth) = (at, 0usize);
    while here < bytes.len() {
        match &bytes[here..] {
            [b'/', b'*', ..] => {
                depth += 1;
                here += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                here += 2;
                if depth == 0 {
                    return here;
                }
            }
            _ => here += 1,
        }
    }
    bytes.len()
}
