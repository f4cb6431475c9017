//! The journal of a release: what is to become visible, and how far that has come.
//!
//! Owns `.hoist/transactions/<run>.jsonl`: the intent on its first line, then what was
//! about to be done, made safe on disk before it is. Its file is locked by the hoist that
//! writes it, so that a journal which nobody holds is that of a process that died. What
//! is in it is enough to go on, or back, by digest.

mod intent;
mod log;
mod replay;

pub use intent::{Intent, IntentTag};
pub use log::{Journal, Journals};
pub use replay::{Reach, Returned};
