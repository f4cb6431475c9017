//! Rules that name an image.

use serde::{Deserialize, Serialize};
use crate::config::Template;
use crate::diagnostic::{Span, Spanned};

/// `tags "name" { … }`: rules to be named by images and stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagSet {
    /// Its name, with the prefix of an included file.
    pub name: Spanned<String>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// One rule: when it applies, and what it yields then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// What it is.
    pub kind: RuleKind,
    /// On which events it applies, beyond what its kind says.
    pub narrow: Narrow,
    /// Set by `immutable=`; else its kind decides.
    pub immutable: Option<bool>,
    /// The rule in the source.
    pub span: Span,
}

/// Events that a rule is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrow {
    /// `on="tag"`, `"branch"`, `"pr"`, or `"schedule"`; empty for any.
    pub on: Vec<String>,
    /// `branch="main"` or `match="develop,staging"`: globs; empty for any branch.
    pub branches: Vec<String>,
}

/// The kinds of rule. Templates are relative to the event's facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RuleKind {
    /// `semver "{version}" …`: on a tag event that parses as SemVer behind the prefix.
    Semver {
        /// What it yields.
        templates: Vec<Template>,
        /// What stands before the version in the git tag; by default `v`, and
        /// a tag without it is read as well.
        prefix: Option<Spanned<String>>,
        /// Whether a `0.x` version yields the template `{major}`.
        zero: bool,
    },
    /// `latest`: on a stable version, or on the branches it is narrowed to.
    Latest,
    /// `branch "{branch}-{short}" …`: on a branch event.
    Branch(Vec<Template>),
    /// `pr "pr-{number}"`: on a pull request.
    PullRequest(Vec<Template>),
    /// `schedule "nightly"`: on a schedule.
    Schedule(Vec<Template>),
    /// `local "local-{short}"`: names in the local engine, never pushed.
    Local(Vec<Template>),
    /// `sha short=#true prefix=""`: the commit.
    Sha {
        /// 7 digits instead of 40.
        short: bool,
        /// What stands before it.
        prefix: String,
    },
    /// `describe`: git's description of the commit.
    Describe,
    /// `date "%Y%m%d"`: the commit's date, or the wall clock's.
    Date {
        /// A strftime format.
        format: Spanned<String>,
        /// `clock="now"`.
        now: bool,
    },
    /// `raw "dev"`: as it stands.
    Raw(Vec<Template>),
    /// `match "regex" "{1}"`: on a tag or branch that the expression matches.
    Match {
        /// The expression, known to compile.
        regex: Spanned<String>,
        /// What it yields, with the groups of the match.
        templates: Vec<Template>,
    },
    /// `calver "%Y.%m"`: the commit's date on a tag event.
    Calver {
        /// A strftime format.
        format: Spanned<String>,
        /// `clock="now"`.
        now: bool,
    },
}

impl RuleKind {
    /// Its name in the language.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Semver { .. } => "semver",
            Self::Latest => "latest",
            Self::Branch(_) => "branch",
            Self::PullRequest(_) => "pr",
            Self::Schedule(_) => "schedule",
            Self::Local(_) => "local",
            Self::Sha { .. } => "sha",
            Self::Describe => "describe",
            Self::Date { .. } => "date",
            Self::Raw(_) => "raw",
            Self::Match { .. } => "match",
            Self::Calver { .. } => "calver",
        }
    }
}
