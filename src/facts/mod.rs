//! The world, looked at once: host, files, git, event, environment.
//!
//! [`Needs`] says which questions matter, [`Facts`] answers exactly those;
//! everything after this station is pure. Owns finding and reading the files of
//! the project, and filling templates with what was found ([`Scope`]). Reads
//! only; never writes, prints, or looks at a registry. Must not import tags,
//! plan, or anything behind them.

mod answer;
mod base;
mod ci;
mod compiled;
mod content;
mod describe;
mod dockerignore;
mod dotenv;
mod event;
#[cfg(test)]
mod fixture;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gather;
mod git;
mod host;
mod inputs;
mod known;
mod levels;
mod links;
mod load;
mod meant;
mod nearest;
mod needs;
mod pattern;
mod pipe;
mod places;
mod poll;
mod project;
mod random;
mod scope;
mod script;
mod stat;
mod tool;
mod tracked;
mod tree;
mod watch;
mod watcher;
mod world;

pub use answer::{Facts, Git, InputFile, InputKind, Inputs, ResolvedBase, Text};
pub use compiled::{Compiled, Origin};
pub use content::moment;
pub use describe::short;
pub use event::{Event, EventSource, commit_and_event, commit_of_tag, is_on_branch, version_of};
pub use gather::{Question, gather};
pub use git::{has_untracked, remote, without_credentials};
pub use host::{Environment, Host};
pub use inputs::{Readable, read_all, read_inputs, readable};
pub use known::KnownFiles;
pub use levels::{Visited, levels};
pub use links::{Links, Resolved};
pub use load::{compile_release, load};
pub use nearest::nearest_path;
pub use needs::{ContextQuery, CopyQuery, InputQuery, Needs, ToolQuery};
pub use pipe::Pipes;
pub use project::Project;
pub use random::any_number;
pub use scope::Scope;
pub use stat::{Clock, Seen, Stat};
pub use tracked::Tracked;
pub use tree::{Walked, repository_depth};
pub use watch::{Watch, Watched};
pub use watcher::Watcher;

use git::Repository;
