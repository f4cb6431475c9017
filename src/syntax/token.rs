//! A text as tokens, with nothing left out: joined, they are the text again.

use std::ops::Range;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// Where it stands, in bytes.
    pub(super) range: Range<usize>,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Spaces, or a byte order mark.
    Space,
    /// One line break.
    Newline,
    /// `// …`, without its line break.
    LineComment,
    /// `/* … */`, with those nested in it.
    BlockComment,
    /// `\` to the line break that it takes away, with a comment between.
    Continuation,
    /// `/-`.
    Slashdash,
    /// A string without quotes, or a number.
    Word,
    /// A string in quotes, raw or not, on one line or on several; closed.
    Quoted,
    /// A string in quotes, or a comment in `/* */`, that is not closed.
    Unclosed,
    /// `#true` and its kind.
    Keyword,
    /// `{`.
    Open,
    /// `}`.
    Close,
    /// `(`.
    TypeOpen,
    /// `)`.
    TypeClose,
    /// `=`.
    Equals,
    /// `;`.
    Semicolon,
    /// What KDL has no use for at this place.
    Stray,
}

/// The tokens of a text. Never fails: a string in `"""` that is not closed reaches
/// to the end of the text, anything else to the end of its line.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    // Looked for once to the end of the text, and from then on only in its line:
    // else each comment that is not closed would be read to the end again.
    let mut comments_close = true;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = first(rest, comments_close);
        comments_close &= kind != Kind::Unclosed || !rest.starts_with("/*");
        // Progress is certain even where a rule counts nothing.
        let length = length.max(rest.chars().next().map_or(1, char::len_utf8));
        tokens.push(Token { kind, range: at..at + length });
        at += length;
    }
    tokens
}

/// The kind and length of the token that a text begins with.
fn first(rest: &str, comments_close: bool) -> (Kind, usize) {
    let Some(c) = rest.chars().next() else { return (Kind::Stray, 0) };
    match c {
        '{' => (Kind::Open, 1),
        '}' => (Kind::Close, 1),
        '(' => (Kind::TypeOpen, 1),
        ')' => (Kind::TypeClose, 1),
        '=' => (Kind::Equals, 1),
        ';' => (Kind::Semicolon, 1),
        '"' => quoted(rest, 0),
        '#' => hash(rest),
        '/' if rest.starts_with("//") => (Kind::LineComment, until_newline(rest)),
        '/' if rest.starts_with("/*") => match block_comment(rest, comments_close) {
            Some(length) => (Kind::BlockComment, length),
            None => (Kind::Unclosed, until_newline(rest)),
        },
        '/' if rest.starts_with("/-") => (Kind::Slashdash, 2),
        '\\' => {
            continuation(rest, comments_close).map_or((Kind::Stray, 1), |length| (Kind::Continuation, length))
        }
        '\r' if rest.starts_with("\r\n") => (Kind::Newline, 2),
        _ if is_newline(c) => (Kind::Newline, c.len_utf8()),
        _ if is_space(c) => (Kind::Space, while_chars(rest, is_space)),
        _ if is_word(c) => (Kind::Word, while_chars(rest, is_word)),
        _ => (Kind::Stray, c.len_utf8()),
    }
}

fn hash(rest: &str) -> (Kind, usize) {
    let hashes = while_chars(rest, |c| c == '#');
    match rest.get(hashes..) {
        Some(string) if string.starts_with('"') => {
            let (kind, length) = quoted(string, hashes);
            (kind, hashes + length)
        }
        Some(word) => (Kind::Keyword, hashes + while_chars(word, is_word)),
        None => (Kind::Stray, hashes),
    }
}

/// The kind and length of a string from its opening quote on, with as many hashes
/// behind its closing quote as stand before it.
fn quoted(rest: &str, hashes: usize) -> (Kind, usize) {
    let several_lines = rest.starts_with("\"\"\"");
    let quotes = if several_lines { "\"\"\"" } else { "\"" };
    let closing = format!("{quotes}{}", "#".repeat(hashes));
    let mut at = quotes.len();
    while let Some(c) = rest.get(at..).and_then(|rest| rest.chars().next()) {
        let here = rest.get(at..).unwrap_or_default();
        if here.starts_with(&closing) {
            return (Kind::Quoted, at + closing.len());
        }
        if c == '\\' && hashes == 0 {
            // An escaped line break is part of the string, with the spaces around it.
            let spaces = here.get(1..).map_or(0, |rest| while_chars(rest, |c| is_space(c) || is_newline(c)));
            let escaped = here.get(1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
            at += 1 + spaces.max(escaped);
        } else if is_newline(c) && !several_lines {
            return (Kind::Unclosed, at);
        } else {
            at += c.len_utf8();
        }
    }
    (Kind::Unclosed, rest.len())
}

/// The length of a comment, with those nested in it; `None` if it is not closed.
fn block_comment(rest: &str, comments_close: bool) -> Option<usize> {
    let (mut at, mut depth) = (0, 0usize);
    let end = if comments_close { rest.len() } else { until_newline(rest) };
    let bytes = rest.as_bytes().get(..end)?;
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => {
                depth += 1;
                at += 2;
            }
            Some(b"*/") => {
                depth = depth.saturating_sub(1);
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// The length of `\`, what may stand between, and the line break; `None` where
/// something else follows on the line.
fn continuation(rest: &str, comments_close: bool) -> Option<usize> {
    let mut at = 1;
    loop {
        let here = rest.get(at..)?;
        at += match here.chars().next() {
            None => return Some(at),
            Some('\r') if here.starts_with("\r\n") => return Some(at + 2),
            Some(c) if is_newline(c) => return Some(at + c.len_utf8()),
            Some(c) if is_space(c) => c.len_utf8(),
            Some('/') if here.starts_with("/*") => block_comment(here, comments_close)?,
            Some('/') if here.starts_with("//") => until_newline(here),
            Some(_) => return None,
        };
    }
}

fn until_newline(rest: &str) -> usize {
    while_chars(rest, |c| !is_newline(c))
}

fn while_chars(rest: &str, holds: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !holds(c)).unwrap_or(rest.len())
}

/// Whether a character ends a line (KDL 2, "Newline").
pub(super) const fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}')
}

/// Whether a character is a space (KDL 2, "Whitespace"); a byte order mark
/// counts as one.
pub(super) const fn is_space(c: char) -> bool {
    matches!(
        c,
        '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{feff}'
    )
}

/// Whether a character may stand in a string without quotes.
const fn is_word(c: char) -> bool {
    !matches!(c, '\\' | '/' | '(' | ')' | '{' | '}' | '[' | ']' | ';' | '"' | '#' | '=')
        && !is_newline(c)
        && !is_space(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).into_iter().map(|token| (token.kind, &text[token.range])).collect()
    }

    #[test]
    fn tokens_joined_are_the_text() {
        let text = "a \"x\\\"{\" #\"}\"# \"\"\"\n{\n\"\"\" k=#true /* /* } */ */ // {\n\\ // c\r\n/-b (t)1;{}[\\ \u{feff}é";
        assert_eq!(tokens(text).iter().map(|token| &text[token.range.clone()]).collect::<String>(), text);
    }

    #[test]
    fn braces_in_strings_and_comments_are_part_of_them() {
        assert_eq!(
            kinds("a\"{\\\"\" ##\"}\"#\"##/*{/*}*/*///{"),
            [
                (Kind::Word, "a"),
                (Kind::Quoted, "\"{\\\"\""),
                (Kind::Space, " "),
                (Kind::Quoted, "##\"}\"#\"##"),
                (Kind::BlockComment, "/*{/*}*/*/"),
                (Kind::LineComment, "//{"),
            ]
        );
    }

    #[test]
    fn a_string_that_is_not_closed_ends_with_its_line_or_the_text() {
        assert_eq!(kinds("\"a\nb")[0], (Kind::Unclosed, "\"a"));
        assert_eq!(kinds("\"a \\\n b\nc")[0], (Kind::Unclosed, "\"a \\\n b"));
        assert_eq!(kinds("\"\"\"a\nb")[0], (Kind::Unclosed, "\"\"\"a\nb"));
        assert_eq!(kinds("\"\\")[0], (Kind::Unclosed, "\"\\"));
        assert_eq!(kinds("\"a\\\"\nb")[0], (Kind::Unclosed, "\"a\\\""));
        assert_eq!(kinds("/* a */ /* /* */")[2], (Kind::Unclosed, "/* /* */"));
        assert_eq!(kinds("/* \n/* b */")[2], (Kind::BlockComment, "/* b */"));
        assert_eq!(kinds("/* \n/* b\n */")[2], (Kind::Unclosed, "/* b"));
    }

    #[test]
    fn a_continuation_reaches_over_its_line_break() {
        assert_eq!(kinds("\\ // x\r\ny")[0], (Kind::Continuation, "\\ // x\r\n"));
        assert_eq!(kinds("\\ /* a\n */ \n")[0], (Kind::Continuation, "\\ /* a\n */ \n"));
        assert_eq!(kinds("\\ x")[0], (Kind::Stray, "\\"));
        assert_eq!(kinds("\\")[0], (Kind::Continuation, "\\"));
    }
}
