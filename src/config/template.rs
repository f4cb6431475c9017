//! Templates: `{name}` and `{name:format}` in a string.

use std::fmt;

use crate::diagnostic::Span;
use serde::{Deserialize, Serialize};

/// A string with fields, parsed; every field names something that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its parts, in order; no two texts beside each other.
    pub parts: Vec<Part>,
    /// The whole value in the source.
    pub span: Span,
}

impl Template {
    /// The text, where no field is in it.
    #[must_use]
    pub fn literal(&self) -> Option<String> {
        let text = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Field(_) => None,
        };
        self.parts.iter().map(text).collect()
    }
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Text as it is; doubled braces are single here.
    Text(String),
    /// To be filled in.
    Field(Field),
}

/// `{name}` or `{name:format}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// What is filled in.
    pub name: Name,
    /// What stands behind the colon; only dates take one.
    pub format: Option<String>,
    /// The field with its braces, in the source.
    pub span: Span,
}

/// What a field names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Name {
    /// A declared `var`, with the prefix of the file that declares it.
    Var(String),
    /// A key of the target's `matrix`.
    Matrix(String),
    /// `{env.NAME}`.
    Env(String),
    /// A fact of the run.
    Fact(Fact),
    /// `{0}`, `{1}`, …: a group of the `match` rule's expression.
    Group(usize),
}

impl fmt::Display for Template {
    /// As it is written: braces of the text doubled, fields in braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Field(Field { name, format: None, .. }) => write!(f, "{{{name}}}"),
            Part::Field(Field { name, format: Some(format), .. }) => write!(f, "{{{name}:{format}}}"),
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Var(name) | Self::Matrix(name) => f.write_str(name),
            Self::Env(name) => write!(f, "env.{name}"),
            Self::Fact(fact) => f.write_str(fact.as_str()),
            Self::Group(group) => write!(f, "{group}"),
        }
    }
}

macro_rules! facts {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal $variable:literal,)+) => {
        /// What is known of the run before it is planned.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Fact { $($(#[doc = $doc])+ $name,)+ }

        impl Fact {
            /// Every fact, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name in a template.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Its name in the environment of a script.
            #[must_use]
            pub const fn variable(self) -> &'static str {
                match self { $(Self::$name => concat!("HOIST_", $variable),)+ }
            }

            /// What it is, for the reference.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

facts! {
    /// The commit: 40 hex digits.
    Sha "sha" "SHA",
    /// The first 7 hex digits of the commit.
    Short "short" "SHORT",
    /// The branch; turned into what a tag allows where a tag is made of it.
    Branch "branch" "BRANCH",
    /// The git tag of a tag event.
    Tag "tag" "TAG",
    /// `git describe --tags --always --dirty --abbrev=7`.
    Describe "describe" "DESCRIBE",
    /// `true` if tracked files differ from the commit, else `false`.
    Dirty "dirty" "DIRTY",
    /// Time of the commit, RFC 3339 in UTC.
    CommitTime "commit.time" "COMMIT_TIME",
    /// The SemVer of a tag event, without its prefix; on any other what `{describe}` was before the commit got tags itself.
    Version "version" "VERSION",
    /// First number of the version of a tag event.
    Major "major" "MAJOR",
    /// Second number of the version of a tag event.
    Minor "minor" "MINOR",
    /// Third number of the version of a tag event.
    Patch "patch" "PATCH",
    /// Pre-release of the version of a tag event; empty for a stable version.
    Prerelease "prerelease" "PRERELEASE",
    /// Number of the pull request.
    Number "number" "NUMBER",
    /// Date of the commit in UTC, by a strftime format: `{date:%Y%m%d}`.
    Date "date" "DATE",
    /// Name of the project.
    Project "project" "PROJECT",
    /// The platform that is built for, as `os/architecture`.
    Platform "platform" "PLATFORM",
    /// Its operating system.
    PlatformOs "platform.os" "PLATFORM_OS",
    /// Its architecture.
    PlatformArch "platform.arch" "PLATFORM_ARCH",
    /// Who runs hoist.
    User "user" "USER",
}
