//! What has a digest that cannot be followed.

use crate::diagnostic::{Code, Problem};
use crate::oci::Foreign;

/// Refuses to read what an index names by a digest of another algorithm than sha256.
#[must_use]
pub fn not_followed(entry: &Foreign) -> Problem {
    Problem::new(Code::Registry, format!("`{}` cannot be read", entry.digest)).note(entry.why.to_string())
}
