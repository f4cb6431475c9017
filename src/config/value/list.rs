//! Lists in one string.

use std::ops::Range;

/// The words of a comma-separated list with their places, blanks around them
/// removed. A comma in braces belongs to its word: `{a,b}-*,c` has two.
pub(crate) fn list(text: &str) -> Vec<(Range<usize>, &str)> {
    let mut words = Vec::new();
    let mut depth = 0usize;
    let mut start = 0;
    let mut push = |start: usize, end: usize| {
        let word = text.get(start..end).unwrap_or_default();
        let trimmed = word.trim();
        let from = start + (word.len() - word.trim_start().len());
        words.push((from..from + trimmed.len(), trimmed));
    };
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                push(start, at);
                start = at + 1;
            }
            _ => {}
        }
    }
    push(start, text.len());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_words_but_not_in_braces() {
        assert_eq!(list("develop, staging"), [(0..7, "develop"), (9..16, "staging")]);
        assert_eq!(list("{a,b}-*,c"), [(0..7, "{a,b}-*"), (8..9, "c")]);
        assert_eq!(list(""), [(0..0, "")]);
    }
}
