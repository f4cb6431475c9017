//! Rules to tags.

use crate::config::{Release, Rule};
use crate::diagnostic::Problems;
use crate::facts::Facts;
use crate::tags::PlannedTag;

/// What rules yield.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tagging {
    /// The tags, in the order in which they become visible.
    pub tags: Vec<PlannedTag>,
}

/// What `rules` yield for the facts' event.
///
/// # Errors
/// Rules that yield no valid tag, or one tag twice.
pub fn evaluate(release: &Release, facts: &Facts, rules: &[Rule]) -> Result<Tagging, Problems> {
    let _ = (release, facts, rules);
    Ok(Tagging::default())
}
