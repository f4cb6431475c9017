//! Numbers that nobody can foresee.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

/// A number that no other call gives, nor one on another machine.
#[must_use]
pub fn any_number() -> u64 {
    RandomState::new().build_hasher().finish()
}
