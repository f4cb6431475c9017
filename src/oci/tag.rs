//! Tags (OCI distribution specification, "Pulling manifests").

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A name that points to a manifest: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag(String);

impl Tag {
    /// The longest that a tag may be, in bytes.
    pub const MAX: usize = 128;

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the tag of a list says: the hex digits of the manifest that the list is about, and
/// what stands behind them (`.sig` of `sha256-….sig`, nothing of the fallback tag of
/// referrers); `None` of a tag that is no such one.
#[must_use]
pub fn list_tag(tag: &str) -> Option<(&str, &str)> {
    let (digits, end) = tag.strip_prefix("sha256-")?.split_at_checked(64)?;
    let is_list =
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && (end.is_empty() || end.starts_with('.'));
    is_list.then_some((digits, end))
}

/// Why a text is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidTag {
    /// No character at all.
    Empty,
    /// More than 128 characters.
    TooLong,
    /// A first character that is a period or a hyphen.
    Start,
    /// A character outside `[a-zA-Z0-9._-]`, at this byte.
    Character(usize),
}

impl fmt::Display for InvalidTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a tag has at least one character"),
            Self::TooLong => f.write_str("a tag has at most 128 characters"),
            Self::Start => f.write_str("a tag starts with a letter, a digit, or `_`"),
            Self::Character(_) => f.write_str("a tag consists of letters, digits, `_`, `.`, and `-`"),
        }
    }
}

impl std::error::Error for InvalidTag {}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if text.is_empty() {
            Err(InvalidTag::Empty)
        } else if let Some(at) = text.bytes().position(|byte| !allowed(byte)) {
            Err(InvalidTag::Character(at))
        } else if text.starts_with(['.', '-']) {
            Err(InvalidTag::Start)
        } else if text.len() > Self::MAX {
            Err(InvalidTag::TooLong)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_to_the_grammar_of_the_distribution_specification() {
        let tag = |text: &str| text.parse::<Tag>().map(|tag| tag.to_string());
        assert_eq!(tag("1.2.3"), Ok("1.2.3".to_owned()));
        assert_eq!(tag("_x"), Ok("_x".to_owned()));
        assert_eq!(tag(""), Err(InvalidTag::Empty));
        assert_eq!(tag(".x"), Err(InvalidTag::Start));
        assert_eq!(tag("a/b"), Err(InvalidTag::Character(1)));
        assert_eq!(tag(&"a".repeat(128)).map(|tag| tag.len()), Ok(128));
        assert_eq!(tag(&"a".repeat(129)), Err(InvalidTag::TooLong));
    }
}
