//! Which questions are asked of the world.

use indexmap::IndexMap;

use crate::config::{Base, Command, Copy, Pattern, ProjectPath, Template};
use crate::diagnostic::Spanned;
use crate::oci::Platform;
use serde::{Deserialize, Serialize};

/// What must be known before a selection of the release can be planned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Files that targets and images declare; answered in the same order.
    pub inputs: Vec<InputQuery>,
    /// Commands whose output is part of a key; answered in the same order.
    pub tools: Vec<ToolQuery>,
    /// Dockerfiles that images are built from; answered in the same order.
    pub dockerfiles: Vec<Spanned<ProjectPath>>,
    /// Base images of assembled images; answered in the same order.
    pub bases: Vec<Spanned<Base>>,
    /// Whether nothing depends on more of git than the commit, its branch, and its
    /// tags. Whether tracked files differ from it costs a look at each of them.
    pub commit_only: bool,
}

/// Which files some patterns match, or some layers copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputQuery {
    /// The patterns, in order; a negated one takes away what was matched before.
    pub patterns: Vec<Pattern>,
    /// What layers copy, beside the patterns.
    pub copies: Option<CopyQuery>,
    /// Directories that are sent to an engine, beside the patterns.
    pub contexts: Vec<ContextQuery>,
    /// Outputs of other targets: what they match is made later, so it is neither
    /// answered nor missed.
    pub generated: Vec<Pattern>,
    /// Whether wildcards pass over what `.gitignore` names, as they do for the
    /// inputs of targets; the files of an image are taken as they lie there.
    pub honour_ignore: bool,
}

/// A directory that is sent to an engine, less what its ignore file leaves out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextQuery {
    /// The directory.
    pub directory: Spanned<ProjectPath>,
    /// The Dockerfile that it is the context of: where there is a file of its name with
    /// `.dockerignore` behind it, that is the ignore file; else it is the
    /// `.dockerignore` of the directory.
    pub dockerfile: Option<ProjectPath>,
    /// Directories that are left out whatever the ignore file says.
    pub without: Vec<ProjectPath>,
}

/// Files that the layers of an image copy. Their paths are templates, so only
/// facts can tell which they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyQuery {
    /// Directory that the paths are relative to.
    pub home: ProjectPath,
    /// What the templates are filled in for; `None` for the default platform.
    pub platform: Option<Platform>,
    /// Each a file, a directory with all that it holds, or a glob; less what is
    /// excluded.
    pub copies: Vec<Copy>,
}

/// A command whose output is part of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolQuery {
    /// The target that asks, whose file's variables come first.
    pub owner: String,
    /// The command.
    pub command: Spanned<Command>,
    /// Where it runs.
    pub dir: ProjectPath,
    /// Values of the matrix that it is asked for; empty for none.
    pub matrix: IndexMap<String, String>,
    /// Variables that are set for it.
    pub env: IndexMap<String, Template>,
    /// Variables that are passed to it from the caller.
    pub pass: Vec<String>,
}
