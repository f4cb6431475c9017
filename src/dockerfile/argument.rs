//! The arguments of an instruction, and where each stands in its line.

use std::ops::Range;

/// A word, and its bytes in the line.
pub(super) type Placed = (String, Range<usize>);

/// What divides words.
pub(super) const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// Words divided at blanks; `at` is where `text` begins in the line.
pub(super) fn divided(text: &str, at: usize) -> Vec<Placed> {
    let mut found = Vec::new();
    let mut from = 0;
    for word in text.split(BLANKS) {
        if !word.is_empty() {
            found.push((word.to_owned(), at + from..at + from + word.len()));
        }
        from += word.len() + 1;
    }
    found
}

/// Words divided at blanks that are neither quoted nor escaped, with their quotes and
/// escapes.
pub(super) fn quoted(text: &str, at: usize, escape: char) -> Vec<Placed> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if let Some(start) = start.take() {
                found.push((std::mem::take(&mut word), at + start..at + offset));
            }
            continue;
        }
        start.get_or_insert(offset);
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // At the end it stands for nothing.
            let Some((_, escaped)) = chars.next() else { break };
            word.extend([c, escaped]);
        } else {
            word.push(c);
        }
    }
    if let Some(start) = start.filter(|_| !word.is_empty()) {
        found.push((word, at + start..at + text.len()));
    }
    found
}
