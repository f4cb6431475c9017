//! What a Dockerfile uses that the classic builder does not have, and whether
//! Podman has it.

use std::fmt;

use crate::diagnostic::{Span, Spanned};
use crate::dockerfile::{Dockerfile, Instruction, Keyword};

/// Something that BuildKit is needed for, or a builder that has it, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// What.
    pub kind: FeatureKind,
    /// The place that uses it.
    pub span: Span,
}

/// What a builder may or may not have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FeatureKind {
    /// A `# syntax=` directive; `true` if it names another frontend than BuildKit's.
    Syntax(bool),
    /// A here-document.
    Heredoc,
    /// `RUN --mount` of a type.
    Mount(String),
    /// A flag of an instruction, without `--`.
    Flag(Keyword, String),
    /// `ADD` of a git repository.
    GitAdd,
    /// A named context.
    NamedContext,
}

impl fmt::Display for FeatureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(_) => f.write_str("other frontends (`# syntax=`)"),
            Self::Heredoc => f.write_str("here-documents (`<<`)"),
            Self::Mount(kind) => write!(f, "`RUN --mount=type={kind}`"),
            Self::Flag(keyword, name) => write!(f, "`{keyword} --{name}`"),
            Self::GitAdd => f.write_str("`ADD` of a git repository"),
            Self::NamedContext => f.write_str("named contexts"),
        }
    }
}

impl FeatureKind {
    /// Whether Buildah 1.28, which is in Podman 4.3, has it. What later ones have, they say
    /// themselves.
    #[must_use]
    pub fn is_in_buildah(&self) -> bool {
        match self {
            // Buildah takes the directive for a comment.
            Self::Syntax(foreign) => !foreign,
            Self::Heredoc | Self::GitAdd => false,
            Self::Mount(kind) => ["bind", "cache", "secret", "ssh", "tmpfs"].contains(&kind.as_str()),
            Self::Flag(keyword, name) => *keyword != Keyword::Run && name == "chmod",
            Self::NamedContext => true,
        }
    }
}

/// All that is used by some stages.
pub(super) fn all(file: &Dockerfile, stages: &[usize], contexts: &[Spanned<String>]) -> Vec<Feature> {
    let syntax = file.directives.syntax.iter();
    let mut found: Vec<Feature> = syntax
        .map(|syntax| Feature { kind: FeatureKind::Syntax(file.directives.is_foreign()), span: syntax.span })
        .collect();
    found.extend(contexts.iter().map(|name| Feature { kind: FeatureKind::NamedContext, span: name.span }));
    let stages = stages.iter().filter_map(|stage| file.stages.get(*stage));
    for instruction in stages.flat_map(|stage| &stage.instructions) {
        of(instruction.trigger.as_deref().unwrap_or(instruction), &mut found);
    }
    found.sort_by_key(|feature| feature.span);
    found
}

fn of(instruction: &Instruction, found: &mut Vec<Feature>) {
    let keyword = instruction.keyword.value;
    for flag in &instruction.flags {
        let kind = match (keyword, flag.name.as_str()) {
            (Keyword::Run, "mount") => {
                FeatureKind::Mount(flag.field("type").unwrap_or("bind").to_ascii_lowercase())
            }
            (Keyword::Add | Keyword::Copy, "chown" | "from") => continue,
            (Keyword::Add | Keyword::Copy, "link" | "parents" | "keep-git-dir" | "unpack")
                if !flag.is_on() =>
            {
                continue;
            }
            (Keyword::Add | Keyword::Copy | Keyword::Run, name) => {
                FeatureKind::Flag(keyword, name.to_owned())
            }
            _ => continue,
        };
        found.push(Feature { kind, span: flag.span });
    }
    if !instruction.heredocs.is_empty() {
        found.push(Feature { kind: FeatureKind::Heredoc, span: instruction.span });
    }
    let sources = instruction.arguments.split_last().map(|(_, sources)| sources).unwrap_or_default();
    let git = sources.iter().filter(|source| keyword == Keyword::Add && is_git(source));
    found.extend(git.map(|source| Feature { kind: FeatureKind::GitAdd, span: source.span }));
}

/// Whether a source of `ADD` is a git repository (Dockerfile reference, "Adding
/// files from a Git repository").
fn is_git(source: &str) -> bool {
    let address = source.split(['#', '?']).next().unwrap_or_default();
    let http = address.starts_with("https://") || address.starts_with("http://");
    let git = address.strip_suffix(".git").is_some();
    http && git || ["git://", "git@", "ssh://"].iter().any(|scheme| address.starts_with(scheme))
}
