//! The ledger: which images run in which stage, since when, and by whom.
//!
//! A git reference of the project's repository, `refs/hoist/ledger`. Each entry is a
//! commit whose tree holds two files: `entry.json`, what was done, and `state.json`,
//! what all stages run behind it. So the newest commit is all that has to be read to
//! say what runs where, and the chain of commits is the history. It lives in the
//! repository's remote where there is one: an entry counts once the remote took it,
//! which it does only behind the entry that it was made for. Who is about to move tags for
//! stages says so there before; that commit has a third file, `intent.json`, with all that
//! it takes to finish it.

mod book;
mod entry;
mod git;
mod scan;
mod state;
#[cfg(test)]
pub(super) mod tests;

pub(super) use book::remote;
pub use book::{Ledger, Page};
pub use entry::{Entry, EntryImage, EntryKind, EntryPlace, EntryTag, GateRecord};
pub(super) use git::git;
pub use scan::EntryScan;
pub use state::{Entering, Hold, Running, StageState, State};
