//! What was found.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::config::ProjectPath;
use crate::diagnostic::SourceId;
use crate::facts::{Environment, Event, EventSource, Seen, Walked};
use crate::oci::{Descriptor, Platform, Reference};

/// All that a plan depends on beside the release itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the run is for.
    pub event: Event,
    /// Where that was found.
    pub event_source: EventSource,
    /// The repository, if the project lies in one that has a commit.
    pub git: Option<Git>,
    /// The environment, with the variables of `dotenv` files where it has none.
    pub environment: Environment,
    /// Names of the variables that came from `dotenv` files: their values are
    /// secret.
    pub dotenv: Vec<String>,
    /// Values of `var`s given on the command line.
    pub overrides: IndexMap<String, String>,
    /// The time of the run, or `SOURCE_DATE_EPOCH`.
    pub now: Timestamp,
    /// Operating system, by the names of Rust's `std::env::consts::OS`.
    pub os: &'static str,
    /// What images are built for by default.
    pub platform: Platform,
    /// Who runs hoist.
    pub user: String,
    /// Answer to each [`InputQuery`](crate::facts::InputQuery).
    pub inputs: Vec<Inputs>,
    /// What says that the same files would be found again.
    pub walked: Walked,
    /// Output of each [`ToolQuery`](crate::facts::ToolQuery).
    pub tools: Vec<String>,
    /// Each Dockerfile of [`Needs`](crate::facts::Needs).
    pub dockerfiles: Vec<Text>,
    /// Each base image of [`Needs`](crate::facts::Needs).
    pub bases: Vec<ResolvedBase>,
    /// What names of images stand for that Dockerfiles start from.
    pub images: HashMap<Reference, ResolvedBase>,
}

/// A text that problems can point into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What spans into it name.
    pub source: SourceId,
    /// The whole of it.
    pub text: Arc<String>,
}

/// What a repository says of the commit that is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    /// The commit: 40 hex digits.
    pub sha: String,
    /// The branch that HEAD is on; where it is on none, the one that a CI system
    /// says it checked out.
    pub branch: Option<String>,
    /// As `describe`, by the tags of its ancestors alone: what the commit was called before it
    /// got tags itself.
    pub described_before: String,
    /// As `git describe --tags --always --dirty --abbrev=7`; empty where
    /// [nobody asks](crate::facts::Needs::commit_only).
    pub describe: String,
    /// Whether tracked files differ from the commit; `false` where nobody asks.
    pub dirty: bool,
    /// Committer's time, or `SOURCE_DATE_EPOCH`.
    pub time: Timestamp,
    /// All local and remote branches, without the remote's name, sorted; none where
    /// nobody asks.
    pub branches: Vec<String>,
    /// Address of the remote `origin`, credentials removed.
    pub remote: Option<String>,
    /// Whether history is cut off.
    pub shallow: bool,
}

/// What an [`InputQuery`](crate::facts::InputQuery) means now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The files, sorted by path.
    pub files: Vec<InputFile>,
    /// Directories in which all files were looked at; a file that is made below
    /// one of them may belong to the answer.
    pub directories: Vec<ProjectPath>,
    /// Whether more than these files and directories may change the answer: a
    /// symbolic link was followed, or a directory is not there yet.
    pub open: bool,
}

/// A file that a target or an image reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Its path.
    pub path: ProjectPath,
    /// What it is.
    pub kind: InputKind,
    /// BLAKE3 of its content, or of the text of a symbolic link; of nothing for a
    /// directory.
    pub digest: [u8; 32],
    /// What the file system said of it before it was read.
    pub seen: Seen,
}

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// A file that the owner may not execute.
    File,
    /// A file that the owner may execute.
    Executable,
    /// A symbolic link; its text is what is digested.
    Symlink,
    /// An empty directory, which the layer of an image has as well.
    Directory,
}

/// A base image, found.
#[derive(Clone, Debug, PartialEq)]
pub enum ResolvedBase {
    /// Nothing, or an image of the same file: known when it is built.
    Later,
    /// The index or manifest that the reference names now, with its bytes.
    Found(Box<Descriptor>, Arc<[u8]>),
}
