//! What a value may be.

use crate::syntax::ValueKind;

/// The kinds of value that arguments and properties take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any string.
    Text,
    /// A string with fields in braces.
    Template,
    /// A name that the node declares.
    Name,
    /// The name of something declared: `pool`, `stage`, …
    NameOf(&'static str),
    /// A target, an image, or a step of it.
    Work,
    /// A command, or a part of one.
    Command,
    /// A path inside the project.
    Path,
    /// A path or glob inside the project.
    Pattern,
    /// A glob.
    Glob,
    /// One or more globs, with commas between.
    Globs,
    /// `#true` or `#false`.
    Bool,
    /// A whole number between two bounds.
    Integer(i128, i128),
    /// A span of time.
    Duration,
    /// A span of time in which something can be done: longer than none.
    Limit,
    /// A number of bytes.
    Size,
    /// A number of bytes, or a percentage.
    Waste,
    /// A platform.
    Platform,
    /// One or more platforms, with commas between.
    Platforms,
    /// A day.
    Date,
    /// A strftime format.
    DateFormat,
    /// A regular expression.
    Regex,
    /// Where a secret is found.
    Secret,
    /// A requirement on a version.
    Requirement,
    /// One of some words.
    Word(&'static [&'static str]),
    /// Some of some words, with commas between.
    Words(&'static [&'static str]),
    /// Permission bits, in octal.
    Mode,
    /// A numeric owner, with or without a group.
    Owner,
    /// A port, with or without a protocol.
    Port,
    /// The name of an environment variable.
    Variable,
    /// What an assembled image starts from.
    Base,
    /// Where a registry is.
    Place,
    /// The address of a service.
    Address,
    /// Where an engine listens.
    Engine,
}

/// The type of a KDL value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// A string.
    String,
    /// A whole number.
    Integer,
    /// `#true` or `#false`.
    Bool,
}

impl Kind {
    /// The types of KDL value that are of this kind.
    pub(crate) const fn types(self) -> &'static [Type] {
        match self {
            Self::Bool => &[Type::Bool],
            Self::Integer(..) => &[Type::Integer],
            Self::Port => &[Type::Integer, Type::String],
            _ => &[Type::String],
        }
    }

    /// Whether a value is of a type that this kind allows.
    pub(crate) fn accepts(self, value: &ValueKind) -> bool {
        self.types().iter().any(|allowed| match allowed {
            Type::String => matches!(value, ValueKind::String(_)),
            Type::Integer => matches!(value, ValueKind::Integer(_)),
            Type::Bool => matches!(value, ValueKind::Bool(_)),
        })
    }

    /// What it is, as a noun phrase; code is in backticks.
    #[must_use]
    pub fn about(self) -> String {
        let words =
            |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Text => "a string".to_owned(),
            Self::Template => "a template".to_owned(),
            Self::Name => "a name".to_owned(),
            Self::NameOf("tags") => "the name of a set of `tags`".to_owned(),
            Self::NameOf(what) => format!("the name of {} `{what}`", article(what)),
            Self::Work => "the name of a `target`, an `image`, or a step of it (`web:test`)".to_owned(),
            Self::Command => "a command".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Pattern => "a path or glob".to_owned(),
            Self::Glob => "a glob".to_owned(),
            Self::Globs => "globs, with commas between".to_owned(),
            Self::Bool => "`#true` or `#false`".to_owned(),
            Self::Integer(least, i128::MAX) => format!("a whole number, at least {least}"),
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::Duration | Self::Limit => "a duration: `90s`, `10m`, `1h30m`, `7d`".to_owned(),
            Self::Size => "a size: `500MB`, `20GiB`, `4096`".to_owned(),
            Self::Waste => "a size or a percentage: `20MB`, `5%`".to_owned(),
            Self::Platform => "a platform: `linux/amd64`".to_owned(),
            Self::Platforms => "platforms, with commas between: `linux/amd64,linux/arm64`".to_owned(),
            Self::Date => "a date: `2027-01-31`".to_owned(),
            Self::DateFormat => "a strftime format: `%Y%m%d`".to_owned(),
            Self::Regex => "a regular expression".to_owned(),
            Self::Secret => "a place of a secret: `env:NAME`, `file:PATH`, or `command:…`".to_owned(),
            Self::Requirement => "a version requirement: `>=0.2`".to_owned(),
            Self::Word(all) => format!("one of {}", words(all)),
            Self::Words(all) => format!("some of {}, with commas between", words(all)),
            Self::Mode => "permission bits in octal: `0755`".to_owned(),
            Self::Owner => "a numeric owner: `65532` or `65532:65532`".to_owned(),
            Self::Port => "a port: `8080` or `\"53/udp\"`".to_owned(),
            Self::Variable => "a variable's name: letters, digits, and `_`".to_owned(),
            Self::Base => {
                "`scratch`, `oci:DIR[:TAG]`, `oci:DIR@DIGEST`, `image:NAME`, or an image reference".to_owned()
            }
            Self::Place => "`host[:port][/prefix]` or `oci:DIR`, a template".to_owned(),
            Self::Address => "an address: `grpcs://cache.example.com`".to_owned(),
            Self::Engine => "`ssh://[user@]host[:port][/socket]`, `tcp://host:port`, or `unix:///socket`, \
                             a template"
                .to_owned(),
        }
    }

    /// The section of the reference that says more of it.
    #[must_use]
    pub const fn section(self) -> Option<&'static str> {
        match self {
            Self::Template | Self::Place | Self::Base | Self::Engine => Some("templates"),
            Self::Name | Self::Work | Self::NameOf(_) => Some("names"),
            Self::Command => Some("commands"),
            Self::Path | Self::Pattern => Some("paths"),
            Self::Secret => Some("secrets"),
            _ => None,
        }
    }

    /// What it is, in a title or a label: `a string`.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Bool => "`#true` or `#false`".to_owned(),
            Self::Integer(..) => "a whole number".to_owned(),
            Self::Port => "a port number or a string such as `\"53/udp\"`".to_owned(),
            _ => "a string".to_owned(),
        }
    }

    /// What stands for it where a node's use is shown.
    pub(crate) fn placeholder(self) -> String {
        match self {
            Self::Bool => "#true|#false".to_owned(),
            Self::Integer(..) => "N".to_owned(),
            Self::Word(words) if words.len() < 6 => format!("\"{}\"", words.join("|")),
            Self::Duration | Self::Limit => "\"10m\"".to_owned(),
            Self::Size => "\"500MB\"".to_owned(),
            Self::Waste => "\"5%\"".to_owned(),
            Self::Date => "\"2027-01-31\"".to_owned(),
            Self::Mode => "\"0755\"".to_owned(),
            Self::Owner => "\"65532:65532\"".to_owned(),
            Self::Port => "8080".to_owned(),
            Self::Variable => "\"NAME\"".to_owned(),
            Self::Secret => "\"env:NAME\"".to_owned(),
            Self::Platforms => "\"linux/amd64\"".to_owned(),
            _ => "\"…\"".to_owned(),
        }
    }
}

/// The article of a noun, or of a name that is read as one.
pub(crate) fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}
