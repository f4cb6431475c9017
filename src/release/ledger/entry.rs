//! One entry of the ledger: `schema/ledger.schema.json` describes it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::facts::short;
use crate::oci::{Descriptor, Digest};
use crate::release::ledger::EntryScan;

/// The version of the format: raised when a reader of an earlier one would read
/// something wrong.
pub(super) const FORMAT: u32 = 3;

/// What was done to a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// The version of the format.
    pub format: u32,
    /// What was done.
    pub kind: EntryKind,
    /// The stage.
    pub stage: String,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub by: String,
    /// What a run that is about to enter the stage does there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub does: Option<EntryKind>,
    /// Whether the stage is deployed or verified behind it: the run keeps the right to the
    /// stage until that is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deploys: bool,
    /// The run that did it; entries of format 1 do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// What it was for, as `--event` takes it.
    pub event: String,
    /// The commit that the images were made from: 40 hex digits.
    pub commit: String,
    /// Its tree: 40 hex digits.
    pub tree: String,
    /// What `{version}` was.
    pub version: String,
    /// Whether the images were made from a tree with changes that are not in the commit.
    pub dirty: bool,
    /// Whether there were files that git neither tracks nor ignores.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untracked: bool,
    /// The stage that the images were taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The entry by which they ran there; of a rollback, the one that it returns to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The stage's entry before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<String>,
    /// The run that had entered the stage with what was not seen to work by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtakes: Option<String>,
    /// The images.
    pub images: Vec<EntryImage>,
    /// What was asked before, and why it was granted.
    pub gates: Vec<GateRecord>,
    /// Why it was done, where that does not go without saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What was done to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Images were built and entered it.
    Release,
    /// Images of another stage entered it.
    Promote,
    /// It went back to images that it ran before, and is on hold.
    Rollback,
    /// What the entry before did failed and stands; the stage is on hold.
    Aborted,
    /// A run is about to move tags for the stage, or still deploys there: nobody else does
    /// until it is done.
    Entering,
    /// That run has deployed, or ended before anything of it was visible.
    Left,
}

impl EntryKind {
    /// Whether it says what a stage runs, and not only who is about to change that.
    #[must_use]
    pub const fn is_lasting(self) -> bool {
        !matches!(self, Self::Entering | Self::Left)
    }

    /// Its name, as in the format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Aborted => "aborted",
            Self::Entering => "entering",
            Self::Left => "left",
        }
    }
}

/// An image of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EntryImage {
    /// Its name in the release file.
    pub name: String,
    /// Its index or manifest.
    pub digest: Digest,
    /// The media type of that.
    pub media_type: String,
    /// The bytes of that.
    pub size: u64,
    /// The tests that it passed when it was made.
    pub tests: Vec<String>,
    /// The scans that it passed when it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scans: Vec<EntryScan>,
    /// Where it is.
    pub places: Vec<EntryPlace>,
}

/// Where an image of an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EntryPlace {
    /// The registry, by its name in the release file.
    pub registry: String,
    /// `HOST/REPOSITORY`, or `oci:DIR`.
    pub repository: String,
    /// The tags that were set to it there.
    pub tags: Vec<EntryTag>,
}

/// A tag that was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EntryTag {
    /// The tag.
    pub tag: String,
    /// Whether it never holds another image.
    pub immutable: bool,
    /// What it holds, where that is not the image: a rollback gives each tag what that held
    /// before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// A condition that was met, and how that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateRecord {
    /// The condition, as in `require`.
    pub gate: String,
    /// How it was seen to be met.
    pub evidence: String,
}

impl EntryImage {
    /// What names its index or manifest.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.size)
    }
}

impl Entry {
    /// The version of the format that this hoist writes.
    pub const FORMAT: u32 = FORMAT;

    /// Whether it would change nothing of what another one says of the same stage: the
    /// same commit, event, images, places, and tags, of a tree that was clean or not.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let what = |entry: &Self| {
            let Self { stage, event, commit, dirty, untracked, mut images, version, .. } = entry.clone();
            // To scan it once more changes nothing.
            for image in &mut images {
                image.scans.clear();
            }
            (stage, event, commit, (dirty, untracked), images, version)
        };
        what(self) == what(other)
    }

    /// It as JSON for others than the ledger, with its id there.
    #[must_use]
    pub fn document(&self, id: &str) -> Value {
        let mut value = json!({ "entry": id });
        if let (Some(object), Ok(Value::Object(rest))) = (value.as_object_mut(), serde_json::to_value(self)) {
            object.extend(rest);
        }
        value
    }

    /// What [`document`](Self::document) made: the id, and the entry.
    ///
    /// # Errors
    /// It is none.
    pub(in crate::release) fn of_document(bytes: &[u8]) -> serde_json::Result<(String, Self)> {
        #[derive(Deserialize)]
        struct Document {
            entry: String,
            #[serde(flatten)]
            rest: Entry,
        }
        serde_json::from_slice(bytes).map(|Document { entry, rest }| (entry, rest))
    }

    /// The first digits of its commit.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.commit)
    }

    /// One line that says what it is.
    pub(super) fn subject(&self) -> String {
        format!("{} {}: {} ({})", self.kind.as_str(), self.stage, self.version, self.short())
    }
}
