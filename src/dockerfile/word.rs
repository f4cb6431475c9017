//! Words: quotes, escapes, and variables, as BuildKit's shell lexer reads them
//! (`frontend/dockerfile/shell`).

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

use crate::dockerfile::scope::Scope;

/// Most bytes of a word after expansion.
const LONGEST: usize = 64 << 10;
/// How deep `${…}` may be nested.
const DEEPEST: usize = 32;

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InvalidWord {
    /// A quote has no end.
    Quote(char),
    /// A `${` has no end.
    Brace,
    /// A `${X/` without a second slash.
    Slash,
    /// Nothing, or no name, behind `${`.
    Substitution,
    /// A modifier that does not exist.
    Modifier(String),
    /// A variable that must have a value, and what the file says of that.
    Required(String, String),
    /// A pattern that is not well formed.
    Pattern(String),
    /// Nested too deep.
    TooDeep,
    /// Longer than is read.
    TooLarge,
}

impl fmt::Display for InvalidWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quote(quote) => write!(f, "the quote {quote} has no end"),
            Self::Brace => f.write_str("`${` has no `}`"),
            Self::Slash => f.write_str("`${X/…` needs a second `/` before the replacement"),
            Self::Substitution => f.write_str("`${` is not followed by a name"),
            Self::Modifier(modifier) => write!(f, "there is no modifier `{modifier}` in `${{…}}`"),
            Self::Required(name, why) => write!(f, "`{name}`: {why}"),
            Self::Pattern(pattern) => write!(f, "the pattern `{pattern}` is not well formed"),
            Self::TooDeep => write!(f, "`${{…}}` is nested more than {DEEPEST} deep"),
            Self::TooLarge => f.write_str("it is too long once its variables are filled in"),
        }
    }
}

/// How words are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// The escape character.
    pub(super) escape: char,
    /// Whether quotes stay.
    pub(super) keep_quotes: bool,
    /// Whether escape characters stay.
    pub(super) keep_escapes: bool,
    /// Whether variables without a value stay as they are written.
    pub(super) keep_unset: bool,
}

impl Style {
    /// As the arguments of instructions are read.
    pub(super) const fn plain(escape: char) -> Self {
        Self { escape, keep_quotes: false, keep_escapes: false, keep_unset: false }
    }
}

/// What became of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// As one word.
    pub(super) text: String,
    /// As words, divided at blanks that are not quoted.
    pub(super) words: Vec<String>,
}

/// Reads quotes, escapes, and variables of a text.
pub(super) fn expand(text: &str, scope: &Scope, style: Style) -> Result<Expanded, InvalidWord> {
    let mut lexer = Lexer { chars: text.chars().peekable(), scope, style, depth: 0 };
    lexer.until(None, style.keep_escapes)
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    scope: &'a Scope,
    style: Style,
    depth: usize,
}

/// Words as they are gathered.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
    inside: bool,
}

impl Words {
    fn divide(&mut self, text: &str) {
        for c in text.chars() {
            if !c.is_whitespace() {
                self.join(c.encode_utf8(&mut [0; 4]));
            } else if self.inside && !self.word.is_empty() {
                self.done.push(std::mem::take(&mut self.word));
                self.inside = false;
            }
        }
    }

    fn join(&mut self, text: &str) {
        self.word.push_str(text);
        self.inside = true;
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}

impl Lexer<'_> {
    /// Reads up to a character, or to the end.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<Expanded, InvalidWord> {
        let before = std::mem::replace(&mut self.style.keep_escapes, keep_escapes);
        let read = self.piece(stop);
        self.style.keep_escapes = before;
        read
    }

    fn piece(&mut self, stop: Option<char>) -> Result<Expanded, InvalidWord> {
        let mut text = String::new();
        let mut words = Words::default();
        loop {
            if text.len() > LONGEST {
                return Err(InvalidWord::TooLarge);
            }
            let Some(next) = self.chars.peek().copied() else { break };
            if Some(next) == stop {
                self.chars.next();
                return Ok(Expanded { text, words: words.finish() });
            }
            match next {
                '$' => {
                    let value = self.dollar()?;
                    text.push_str(&value);
                    words.divide(&value);
                }
                '\'' | '"' => {
                    let value = if next == '"' { self.double_quoted()? } else { self.single_quoted()? };
                    text.push_str(&value);
                    words.join(&value);
                }
                _ => self.plain(&mut text, &mut words),
            }
        }
        match stop {
            Some('/') => Err(InvalidWord::Slash),
            Some(_) => Err(InvalidWord::Brace),
            None => Ok(Expanded { text, words: words.finish() }),
        }
    }

    /// A character that is not special but for the escape character.
    fn plain(&mut self, text: &mut String, words: &mut Words) {
        let Some(c) = self.chars.next() else { return };
        let mut buffer = [0; 4];
        if c != self.style.escape {
            text.push(c);
            words.divide(c.encode_utf8(&mut buffer));
            return;
        }
        if self.style.keep_escapes {
            text.push(c);
            words.join(c.encode_utf8(&mut buffer));
        }
        if let Some(escaped) = self.chars.next() {
            text.push(escaped);
            words.join(escaped.encode_utf8(&mut buffer));
        }
    }

    fn single_quoted(&mut self) -> Result<String, InvalidWord> {
        let mut text = String::new();
        text.extend(self.chars.next().filter(|_| self.style.keep_quotes));
        loop {
            match self.chars.next() {
                None => return Err(InvalidWord::Quote('\'')),
                Some('\'') => {
                    text.extend(self.style.keep_quotes.then_some('\''));
                    return Ok(text);
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, InvalidWord> {
        let mut text = String::new();
        text.extend(self.chars.next().filter(|_| self.style.keep_quotes));
        loop {
            if text.len() > LONGEST {
                return Err(InvalidWord::TooLarge);
            }
            match self.chars.peek().copied() {
                None => return Err(InvalidWord::Quote('"')),
                Some('"') => {
                    self.chars.next();
                    text.extend(self.style.keep_quotes.then_some('"'));
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) if c == self.style.escape => {
                    self.chars.next();
                    text.extend(self.style.keep_escapes.then_some(c));
                    match self.chars.peek().copied() {
                        None => {}
                        Some(next) if matches!(next, '"' | '$') || next == c => {
                            self.chars.next();
                            text.push(next);
                        }
                        Some(_) => text.push(c),
                    }
                }
                Some(c) => {
                    self.chars.next();
                    text.push(c);
                }
            }
        }
    }

    fn dollar(&mut self) -> Result<String, InvalidWord> {
        self.chars.next();
        if self.chars.peek() != Some(&'{') {
            let name = self.name();
            return Ok(match self.scope.get(&name) {
                _ if name.is_empty() => "$".to_owned(),
                Some(value) => value.to_owned(),
                None if self.style.keep_unset => format!("${name}"),
                None => String::new(),
            });
        }
        self.chars.next();
        if self.depth >= DEEPEST {
            return Err(InvalidWord::TooDeep);
        }
        self.depth += 1;
        let value = self.braced();
        self.depth -= 1;
        value
    }

    /// What stands behind `${`.
    fn braced(&mut self) -> Result<String, InvalidWord> {
        match self.chars.peek() {
            None => return Err(InvalidWord::Brace),
            Some('{' | '}' | ':') => return Err(InvalidWord::Substitution),
            Some(_) => {}
        }
        let name = self.name();
        let scope = self.scope;
        let value = scope.get(&name);
        let kept = |rest: String| format!("${{{name}{rest}}}");
        let modifier = self.chars.next().ok_or(InvalidWord::Brace)?;
        match modifier {
            '}' => Ok(match value {
                None if self.style.keep_unset => kept(String::new()),
                _ => value.unwrap_or_default().to_owned(),
            }),
            '/' => {
                let all = self.chars.next_if_eq(&'/').is_some();
                let pattern = self.until(Some('/'), true)?.text;
                let replacement = self.until(Some('}'), true)?.text;
                match value {
                    None if self.style.keep_unset => Ok(kept(format!("/{pattern}/{replacement}"))),
                    _ => replace(value.unwrap_or_default(), &pattern, &replacement, all),
                }
            }
            ':' | '+' | '-' | '?' | '#' | '%' => {
                let empty_is_unset = modifier == ':';
                let sign =
                    if empty_is_unset { self.chars.next().ok_or(InvalidWord::Brace)? } else { modifier };
                let shown = if empty_is_unset { format!(":{sign}") } else { sign.to_string() };
                let word = self.until(Some('}'), matches!(sign, '#' | '%'))?.text;
                if value.is_none() && self.style.keep_unset {
                    return Ok(kept(format!("{shown}{word}")));
                }
                let counts = value.filter(|value| !(empty_is_unset && value.is_empty()));
                match sign {
                    '-' => Ok(counts.map_or(word, str::to_owned)),
                    '+' => Ok(counts.map_or_else(String::new, |_| word)),
                    '?' => counts.map(str::to_owned).ok_or_else(|| {
                        let unset = if value.is_none() { "unset" } else { "empty" };
                        let why =
                            if word.is_empty() { format!("is not allowed to be {unset}") } else { word };
                        InvalidWord::Required(name, why)
                    }),
                    '#' | '%' => trim(value.unwrap_or_default(), &word, sign),
                    _ => Err(InvalidWord::Modifier(shown)),
                }
            }
            other => Err(InvalidWord::Modifier(other.to_string())),
        }
    }

    /// A name, digits, or a special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(c) = self.chars.next_if(char::is_ascii_digit) {
                    name.push(c);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.chars.next()),
            _ => {
                while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(c);
                }
            }
        }
        name
    }
}

/// A shell pattern as a regular expression: `*` and `?` are special, brackets not.
fn pattern(text: &str, greedy: bool, anchored: bool) -> Result<Regex, InvalidWord> {
    let invalid = || InvalidWord::Pattern(text.to_owned());
    let mut out = String::from(if anchored { "^" } else { "" });
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(if greedy { ".*" } else { ".*?" }),
            '?' => out.push('.'),
            // These end the pattern unless they are escaped.
            '\\' if matches!(chars.peek(), Some('}' | '/')) => {}
            '\\' => {
                let escaped = chars.next().filter(|c| matches!(c, '*' | '?' | '\\')).ok_or_else(invalid)?;
                out.extend(['\\', escaped]);
            }
            _ => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    Regex::new(&out).map_err(|_| invalid())
}

fn replace(value: &str, text: &str, replacement: &str, all: bool) -> Result<String, InvalidWord> {
    let pattern = pattern(text, true, false)?;
    let mut out = String::new();
    let mut rest = 0;
    for found in pattern.find_iter(value).take(if all { usize::MAX } else { 1 }) {
        out.push_str(value.get(rest..found.start()).unwrap_or_default());
        out.push_str(replacement);
        rest = found.end();
        if out.len() > LONGEST {
            return Err(InvalidWord::TooLarge);
        }
    }
    out.push_str(value.get(rest..).unwrap_or_default());
    Ok(out)
}

/// Takes away the shortest beginning (`#`) or end (`%`) that a pattern matches, the
/// longest where the sign is doubled.
fn trim(value: &str, word: &str, sign: char) -> Result<String, InvalidWord> {
    let (text, greedy) = word.strip_prefix(sign).map_or((word, false), |word| (word, true));
    let start = |value: &str, text: &str| {
        let end = pattern(text, greedy, true)?.find(value).map_or(0, |found| found.end());
        Ok(value.get(end..).unwrap_or_default().to_owned())
    };
    if sign == '#' {
        return start(value, text);
    }
    // The shortest end is the shortest beginning of what is written backwards.
    let backwards: String = value.chars().rev().collect();
    Ok(start(&backwards, &reversed(text))?.chars().rev().collect())
}

/// A pattern backwards, with each escape still before what it escapes.
fn reversed(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let second = if first == '\\' { rest.chars().nth(1).map_or(0, char::len_utf8) } else { 0 };
        let (part, behind) = rest.split_at(first.len_utf8() + second);
        parts.push(part);
        rest = behind;
    }
    parts.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_backwards_keeps_its_escapes() {
        for (pattern, expected) in
            [(r"a\*c", r"c\*a"), (r"\\\ab", r"b\a\\"), (r"\\b", r"b\\"), ("ab\\", "\\ba")]
        {
            assert_eq!(reversed(pattern), expected);
        }
    }

    #[test]
    fn only_wildcards_and_backslashes_can_be_escaped_in_a_pattern() {
        for text in ["\\", "\\x", "\\\\\\"] {
            assert!(pattern(text, true, true).is_err(), "{text}");
        }
        let shown = pattern(r"(()[]{\}^$.\*\?|\\", true, true).unwrap();
        assert!(shown.is_match(r"(()[]{}^$.*?|\"));
    }
}
