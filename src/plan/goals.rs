//! What is asked for.

use crate::diagnostic::Spanned;

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goals {
    /// Names of the command line: targets, images, steps, globs, `build` and its
    /// kin.
    Named(Vec<Spanned<String>>),
    /// What the file names by `default`.
    Default,
    /// All that `hoist release` does: every published image through all its
    /// steps, and the stages that the event enters.
    Release,
    /// Everything that the file declares.
    All,
    /// A stage, by its name: its images, which are there, enter it.
    Stage(String),
}

/// How a plan is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Publish although tracked files differ from the commit.
    pub allow_dirty: bool,
    /// The plan is only looked at: what a registry that cannot be reached would say of
    /// the base of a Dockerfile is left open.
    pub looked_at: bool,
    /// Stages are entered although they run a higher version.
    pub allow_regress: bool,
}
