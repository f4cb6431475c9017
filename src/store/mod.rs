//! Where images lie.
//!
//! Owns OCI image layouts on disk ([`Layout`]), repositories at registries
//! ([`Registry`]), what both can do ([`Repository`]), copying between them ([`copy`]),
//! and what refers to an image ([`attach`]). Content is named by its digest and verified
//! whenever it is read or written; names are set atomically. Assumes that others write to
//! the same places at the same time. Knows nothing of steps, tags' rules, or what an
//! image is for; must not import plan, cache, engine, or release.

mod answers;
mod blob;
mod copy;
#[cfg(test)]
pub(crate) mod fixture;
mod foreign;
#[cfg(fuzzing)]
pub mod fuzzing;
mod layout;
mod referrer;
mod registry;
mod repository;
mod whole;

pub use answers::{Question, all, answers, each};
pub use blob::{BlobReader, BlobWriter};
pub use copy::{Copied, Meter, Observe, Progress, copy, copy_read};
pub use foreign::not_followed;
pub use layout::{Collected, Layout, Turn};
pub use referrer::attach;
pub use registry::{
    Access, Account, Deletion, Delivery, Kept, Network, Password, Registry, Surroundings, Tell, Who,
    find_secret, forget, keep, read_secret_file, secret_file,
};
pub use repository::Repository;
