//! What a release is to make visible: the first line of its journal.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Problem, Span};
use crate::oci::{Descriptor, Digest};
use crate::release::ledger::Entry;
use crate::tags::{Movement, PlannedTag, Track};

/// What is to become visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Intent {
    /// The version of the format.
    pub format: u32,
    /// The run that began it.
    pub run: String,
    /// When that was.
    pub at: Timestamp,
    /// Whether moving tags may go backwards.
    pub allow_regress: bool,
    /// Who approved it, where somebody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// All tags, in the order in which they become visible in each repository.
    pub tags: Vec<IntentTag>,
    /// What the ledger is to say, but for tags and conditions.
    pub entries: Vec<Entry>,
}

/// A tag that is to hold an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct IntentTag {
    /// The image's name in the release file.
    pub image: String,
    /// Its index or manifest.
    pub digest: Digest,
    /// The media type of that.
    pub media_type: String,
    /// The bytes of that.
    pub size: u64,
    /// `HOST/REPOSITORY`, or `oci:DIR`.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// Whether its rule names versions.
    pub semver: bool,
    /// What it follows.
    pub follows: Follows,
    /// What it held before the first tag moved, if it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Digest>,
}

/// What a tag follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Follows {
    /// Nothing: it never moves.
    Immutable,
    /// Nothing that could be compared.
    Free,
    /// What a stage ran before.
    Back {
        /// What the stage set it to, from which alone it moves.
        from: Digest,
    },
    /// The commits of a branch.
    Branch,
    /// Versions.
    Version {
        /// The one that it comes to hold.
        version: String,
        /// How many of its numbers the tag has.
        numbers: u8,
    },
}

impl Intent {
    /// The version of the format that this hoist writes: raised when a reader of an
    /// earlier one would do something wrong.
    pub const FORMAT: u32 = 3;

    /// It, as the ledger keeps it: a JSON document.
    ///
    /// # Errors
    /// It cannot be written so.
    pub fn text(&self) -> Result<String, Problem> {
        serde_json::to_string(self).map_err(|error| {
            Problem::new(Code::Ledger, "the ledger cannot be written").note(error.to_string())
        })
    }
}

impl IntentTag {
    /// A tag of a plan, in a repository, for an image.
    #[must_use]
    pub fn new(
        image: &str,
        repository: &str,
        descriptor: &Descriptor,
        (planned, holds): (&PlannedTag, Option<Digest>),
    ) -> Self {
        Self {
            image: image.to_owned(),
            digest: descriptor.digest,
            media_type: descriptor.media_type.clone(),
            size: descriptor.size,
            repository: repository.to_owned(),
            tag: planned.tag.to_string(),
            semver: planned.rule == "semver",
            holds,
            follows: match &planned.movement {
                Movement::Immutable => Follows::Immutable,
                Movement::Moving(Track::Free) => Follows::Free,
                Movement::Moving(Track::Back { from }) => Follows::Back { from: *from },
                Movement::Moving(Track::Branch) => Follows::Branch,
                Movement::Moving(Track::Version { version, numbers }) => {
                    Follows::Version { version: version.to_string(), numbers: *numbers }
                }
            },
        }
    }

    /// The tag as it was planned; what is wrong with it is shown at a place. `None` for
    /// what is no tag, or no version.
    #[must_use]
    pub fn planned(&self, span: Span) -> Option<PlannedTag> {
        let movement = match &self.follows {
            Follows::Immutable => Movement::Immutable,
            Follows::Free => Movement::Moving(Track::Free),
            Follows::Back { from } => Movement::Moving(Track::Back { from: *from }),
            Follows::Branch => Movement::Moving(Track::Branch),
            Follows::Version { version, numbers } => {
                Movement::Moving(Track::Version { version: version.parse().ok()?, numbers: *numbers })
            }
        };
        let rule = if self.semver { "semver" } else { "resume" };
        Some(PlannedTag { tag: self.tag.parse().ok()?, rule, span, movement, local: false, returns: None })
    }

    /// What names its image's index or manifest.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.size)
    }

    /// Whether it never holds another image.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.follows == Follows::Immutable
    }

    /// Its name with its repository.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}
