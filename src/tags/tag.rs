//! A tag that an image will have.

use std::cmp::Reverse;

use crate::diagnostic::Span;
use crate::oci::{Descriptor, Digest, Tag};

/// A tag, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTag {
    /// The name.
    pub tag: Tag,
    /// Name of the rule that made it, as in the language.
    pub rule: &'static str,
    /// The rule, or the template in it.
    pub span: Span,
    /// Whether it may come to hold another digest.
    pub movement: Movement,
    /// A name in the local engine: never pushed.
    pub local: bool,
    /// The image that it is to hold again, where that is not the image that gets the tags.
    pub returns: Option<Descriptor>,
}

/// Whether a tag may come to hold another digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Never.
    Immutable,
    /// Along a track.
    Moving(Track),
}

/// What a moving tag follows. Ordered from narrow to wide: the order in which
/// tags become visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Track {
    /// Nothing that could be compared: `pr-42`, `nightly`, `dev`.
    Free,
    /// What a stage ran before: moves only from what the stage set it to.
    Back {
        /// That.
        from: Digest,
    },
    /// A branch: moves only to descendants of the commit that it holds.
    Branch,
    /// Versions: moves only to a higher one than it holds.
    Version {
        /// The version that it moves to.
        version: semver::Version,
        /// How many of the version's numbers the tag has: 2 for `1.2`, 1 for
        /// `1`, 0 for `latest`.
        numbers: u8,
    },
}

/// The place of a tag in the order in which tags become visible, the lowest first: what
/// never changes, then what moves from narrow to wide, `latest` last, and what is for the
/// local engine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(bool, bool, Reverse<u8>);

impl PlannedTag {
    /// Its place in the order in which tags become visible.
    #[must_use]
    pub fn rank(&self) -> Rank {
        let width = match &self.movement {
            Movement::Immutable => 9,
            Movement::Moving(Track::Free | Track::Back { .. }) => 5,
            Movement::Moving(Track::Branch) => 4,
            Movement::Moving(Track::Version { numbers, .. }) => (*numbers).min(3),
        };
        Rank(self.local, self.tag.as_str() == "latest", Reverse(width))
    }
}
