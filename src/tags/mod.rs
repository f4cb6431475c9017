//! Rules and facts to the names of an image.
//!
//! Pure: the same rules and facts give the same tags. Owns what each rule
//! yields, whether a tag is immutable or moves, in which order tags become
//! visible, and which of them collide. Never asks a registry; must not import
//! plan or anything behind it.

mod apply;
mod collision;
mod evaluate;
mod fill;
mod tag;

pub use apply::{is_for_tag, names_tag};
pub use evaluate::{Outcome, Tagging, evaluate};
pub use tag::{Movement, PlannedTag, Rank, Track};
