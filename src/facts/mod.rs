//! The world, looked at once: host, files, git, event, environment.
//!
//! [`Needs`] says which questions matter, [`Facts`] answers exactly those;
//! everything after this station is pure. Owns finding and reading the files of
//! the project, and filling templates with what was found ([`Scope`]). Reads
//! only; never writes, prints, or looks at a registry. Must not import tags,
//! plan, or anything behind them.

mod answer;
mod event;
mod host;
mod needs;
mod scope;

pub use answer::{Facts, Git, InputFile, InputKind, ResolvedBase};
pub use event::{Event, EventSource};
pub use host::{Environment, Host};
pub use needs::{CopyQuery, InputQuery, Needs, ToolQuery};
pub use scope::Scope;
