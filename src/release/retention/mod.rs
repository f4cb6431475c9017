//! Retention: which tags and images of a repository are deleted, and which are kept.
//!
//! Owns the rules ([`Rules`]), what stages run or could go back to ([`Needed`]), the pure
//! judgement over both and what a repository holds ([`judge`]), the look at a repository
//! ([`propose_at`]), and the deletion ([`remove_at`]). Assumes that others publish there at the
//! same time, and looks again before it deletes. What is not known is kept. Knows nothing
//! of how it is asked for or shown.

mod holding;
mod judge;
mod kind;
mod look;
mod needed;
mod removal;
mod rule;
#[cfg(test)]
mod tests;

use holding::{Held, Holding};
use judge::judge;
pub use judge::{Gone, Loose, Part, Removal, Stays, Verdict};
pub use kind::keep_alive_tag;
pub use look::{Proposal, propose_at};
pub use needed::{Needed, Ran};
pub use removal::{Outcome, remove_at};
pub use rule::Rules;
