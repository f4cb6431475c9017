//! What a key is made of, as it is stored and shown.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Serialize};

use crate::cache::{Blake3, Key};
use crate::plan::{PartValue, Subject};

/// What one part of a key is about. Part of the format on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The version of what turns the parts into a result.
    Format,
    /// A command, by its position.
    Command(usize),
    /// The directory that commands run in.
    Directory,
    /// A variable that the commands see.
    Variable(String),
    /// The output of a tool.
    Tool(String),
    /// The platform that is built for.
    Platform,
    /// The base image.
    Base,
    /// A layer's recipe, by its position.
    Layer(usize),
    /// A setting of the image.
    Setting(String),
    /// A test or an expectation.
    Check(String),
    /// A pattern of what is made, by its position.
    Output(usize),
    /// A file that is read, by its [path](path_text).
    Input(String),
    /// The product of a step that is needed, by its name.
    Need(String),
}

impl Part {
    /// Which part, in bytes that no other part has: a tag and a name.
    pub(super) fn bytes(&self) -> (u8, Vec<u8>) {
        let number = |at: &usize| (*at as u64).to_le_bytes().to_vec();
        let name = |name: &String| name.as_bytes().to_vec();
        match self {
            Self::Format => (0, Vec::new()),
            Self::Command(at) => (1, number(at)),
            Self::Directory => (2, Vec::new()),
            Self::Variable(variable) => (3, name(variable)),
            Self::Tool(tool) => (4, name(tool)),
            Self::Platform => (5, Vec::new()),
            Self::Base => (6, Vec::new()),
            Self::Layer(at) => (7, number(at)),
            Self::Setting(setting) => (8, name(setting)),
            Self::Check(check) => (9, name(check)),
            Self::Output(at) => (10, number(at)),
            Self::Input(path) => (11, name(path)),
            Self::Need(step) => (12, name(step)),
        }
    }
}

impl From<&Subject> for Part {
    fn from(subject: &Subject) -> Self {
        match subject {
            Subject::Command(at) => Self::Command(*at),
            Subject::Directory => Self::Directory,
            Subject::Variable(name) => Self::Variable(name.clone()),
            Subject::Tool(command) => Self::Tool(command.clone()),
            Subject::Input(path) => Self::Input(path_text(path.as_path().as_os_str())),
            Subject::Output(at) => Self::Output(*at),
            Subject::Platform => Self::Platform,
            Subject::Base => Self::Base,
            Subject::Layer(at) => Self::Layer(*at),
            Subject::Setting(name) => Self::Setting(name.clone()),
            Subject::Check(name) => Self::Check(name.clone()),
            Subject::Format => Self::Format,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str("the way hoist makes it"),
            Self::Command(0) => f.write_str("the command"),
            Self::Command(at) => write!(f, "command {}", at.saturating_add(1)),
            Self::Directory => f.write_str("the directory"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Tool(command) => write!(f, "tool `{}`", line(command)),
            Self::Platform => f.write_str("the platform"),
            Self::Base => f.write_str("the base image"),
            Self::Layer(at) => write!(f, "layer {}", at.saturating_add(1)),
            Self::Setting(name) | Self::Check(name) => f.write_str(&line(name)),
            Self::Output(at) => write!(f, "output {}", at.saturating_add(1)),
            Self::Input(path) => f.write_str(&line(path)),
            Self::Need(step) => write!(f, "`{step}`"),
        }
    }
}

/// What a part of a key was. Part of the format on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A text that may be shown.
    Text(String),
    /// The digest of something that is too large, or too secret, to show.
    Digest(Blake3),
    /// The key of a step whose product is its success.
    Key(Key),
}

impl Value {
    /// What, in bytes: a tag and a digest. A text and its digest are the same, so
    /// that whether a text may be shown is no part of a key.
    pub(super) fn bytes(&self) -> (u8, [u8; 32]) {
        match self {
            Self::Text(text) => (0, Blake3::of(text.as_bytes()).0),
            Self::Digest(digest) => (0, digest.0),
            Self::Key(key) => (1, key.0),
        }
    }

    /// Whether both are one value, shown or not.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }

    /// The text, if it is one that may be shown and can stand in a line with
    /// another.
    #[must_use]
    pub fn short(&self) -> Option<&str> {
        match self {
            Self::Text(text) if text.chars().count() <= 60 && !text.contains(char::is_control) => Some(text),
            Self::Text(_) | Self::Digest(_) | Self::Key(_) => None,
        }
    }
}

impl From<&PartValue> for Value {
    fn from(value: &PartValue) -> Self {
        match value {
            PartValue::Text(text) => Self::Text(text.clone()),
            PartValue::Digest(digest) => Self::Digest(Blake3(*digest)),
        }
    }
}

/// A path or a link's text as valid UTF-8: `%` and bytes that are not UTF-8 are
/// written as `%` and two hex digits.
#[must_use]
pub(super) fn path_text(path: &OsStr) -> String {
    let mut text = String::new();
    for chunk in path.as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        text.extend(chunk.invalid().iter().map(|byte| format!("%{byte:02X}")));
    }
    text
}

/// The path that [`path_text`] wrote; `None` for what it never writes.
pub(super) fn text_path(text: &str) -> Option<OsString> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (hex, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(OsString::from_vec(bytes))
}

/// A text on one line: control characters are escaped, what is long is cut.
pub(super) fn line(text: &str) -> String {
    const MOST: usize = 80;
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let short: String = text.chars().take(MOST).map(escape).collect();
    if text.chars().nth(MOST).is_some() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_path_is_kept_as_text_and_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let path = OsString::from_vec(bytes);
            prop_assert_eq!(text_path(&path_text(&path)), Some(path));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text_path(&text);
            prop_assert!(!line(&text).contains(char::is_control));
        }
    }
}
