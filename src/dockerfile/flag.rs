//! Flags of an instruction: `--name=value` before its arguments.

use std::ops::Range;

use crate::diagnostic::Span;

/// A flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name, without `--`.
    pub name: String,
    /// What stands behind `=`, quotes and escapes removed.
    pub value: Option<String>,
    /// The flag in the file.
    pub span: Span,
}

impl Flag {
    /// Whether it is set and not to `false`.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.value.as_deref() != Some("false")
    }

    /// The value of a key in a comma-separated value, such as `from` in
    /// `type=bind,from=build`; keys in any case. A key without a value has an empty
    /// one.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&str> {
        self.value.as_deref()?.split(',').find_map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            name.trim().eq_ignore_ascii_case(key).then_some(value)
        })
    }
}

/// Name, value, and bytes of a flag.
pub(super) type Written = (String, Option<String>, Range<usize>);

/// Each flag at the beginning of a text, and where the arguments begin.
pub(super) fn split(text: &str) -> (Vec<Written>, usize) {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let body = rest.trim_start();
        let start = at + rest.len() - body.len();
        if !body.starts_with("--") {
            return (found, start);
        }
        let (word, length) = word(body);
        at = start + length;
        let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else { return (found, at) };
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        found.push((name.to_owned(), value.map(str::to_owned), start..at));
    }
}

/// The first word of a text without its quotes and escapes, and how many bytes it
/// takes.
fn word(text: &str) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, at),
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ if c == '\\' => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, text.len())
}
