//! Publishing: what consumers can see.
//!
//! Owns the check of all destinations before the first build ([`preflight`]),
//! the copy of an image by digest ([`push`]), what vouches for it there ([`sign`],
//! [`attest`]), and the move of all tags
//! ([`commit`]): in order, immutable ones never to another image, moving ones never
//! backwards, each read back. What is about to move is put down in a [`Journal`] first. Doing
//! any of it again changes nothing. Assumes
//! that others publish to the same places at the same time. Says what it did as
//! values; must not import run, report, or cli.

mod ancestry;
mod attachment;
mod back;
mod base;
mod commit;
mod cut;
mod drift;
mod entrance;
mod gate;
mod history;
mod journal;
mod label;
mod lag;
mod lease;
mod ledger;
mod likeness;
mod mover;
mod preflight;
mod publisher;
mod push;
mod retention;
mod rivals;
mod scanned;
mod seal;
mod shared;
mod tag;
mod tags;
#[cfg(test)]
mod tests;
mod transfer;
mod verdict;
mod vouch;
mod vouched;

pub use attachment::{attach_entry, attached_entries};
pub use back::{TagBack, digests, of_version, previous, tags_back};
pub use base::{find_base, last_base, note_layers, pull};
pub use commit::{Committed, Naming, commit};
pub use cut::{Bump, next};
pub use drift::{Drift, Expected, drifted, expected};
pub use entrance::{Entrance, ran_in, running_in, tree_of_commit};
pub use gate::{
    APPROVED_BY, Approvals, Candidate, Gate, Unmet, Vouching, World, evidence, judge, refusal, runs_higher,
};
pub use history::NotTold;
pub use journal::{Intent, IntentTag, Journal, Journals, Reach, Returned};
pub use lease::{Entered, Held, Lease, Patience, Standing, Turn, Wait, lag, renewal, unfinished, withdraw};
pub use ledger::{
    Entering, Entry, EntryImage, EntryKind, EntryPlace, EntryScan, EntryTag, GateRecord, Hold, Ledger, Page,
    Running, StageState, State,
};
pub use likeness::repository_meant;
pub use preflight::{check_place, preflight};
pub use publisher::Publisher;
pub use push::{Pushed, bring, find, push};
pub use retention::{
    Gone, Loose, Needed, Outcome, Part, Proposal, Ran, Removal, Rules, Stays, Verdict, keep_alive_tag,
    propose_at, remove_at,
};
pub use scanned::Scans;
pub use seal::{Document, attest, sign};
pub use shared::{content_tag, fetch_shared, share};
pub use tag::{RESUME, TagChange, TagResult, check_immutable, check_tags};
pub use tags::Tags;
pub use transfer::{Delivered, End, Source, Transferred, shown};
pub use vouch::{before, vouched_at_sources, vouched_at_targets};
pub use vouched::{Vouched, VouchedBy};
