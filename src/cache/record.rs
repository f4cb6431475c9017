//! What a run of a step left behind, as it is kept.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cache::outputs::StoredOutput;
use crate::cache::sealed::{seal, unseal};
use crate::cache::small::Small;
use crate::cache::{Blake3, Key, Outputs, Product};
use crate::oci::Descriptor;
use crate::plan::Effect;

/// What a run of a step left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The key that it ran with.
    pub key: Key,
    /// The step's name.
    pub step: String,
    /// The files that it made.
    pub outputs: Outputs,
    /// The image that it made, in the staging store.
    pub image: Option<Descriptor>,
    /// What it wrote, secrets masked.
    pub log: Option<KeptLog>,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, to the millisecond.
    pub duration: Duration,
    /// The version of hoist that ran it.
    pub hoist: String,
}

/// What a step wrote, in the store of contents. Part of the format on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLog {
    /// Its digest.
    pub digest: Blake3,
    /// Its size in bytes.
    pub size: u64,
}

impl Record {
    /// What the step adds to the keys of those that need its product.
    #[must_use]
    pub fn product(&self, effect: Effect) -> Product {
        match (&self.image, effect) {
            (Some(image), _) => Product::Image(image.digest),
            (None, _) if !self.outputs.is_empty() => Product::Outputs(self.outputs.digest()),
            (None, Effect::Cacheable) => Product::Key(self.key),
            (None, Effect::Always | Effect::Publishing) => Product::Nothing,
        }
    }

    /// The bytes to store, with contents of its outputs.
    #[must_use]
    pub(super) fn to_bytes(&self, small: &Small) -> Vec<u8> {
        let record = serde_json::to_vec(&StoredRecord::from(self)).unwrap_or_default();
        let mut bytes = u32::try_from(record.len()).unwrap_or_default().to_le_bytes().to_vec();
        bytes.extend(record);
        small.write(&self.outputs, &mut bytes);
        seal(bytes)
    }

    /// The record that was stored; `None` if the bytes are damaged, or none of
    /// this format.
    #[must_use]
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<(Self, Small)> {
        let (length, rest) = unseal(bytes)?.split_first_chunk()?;
        let (record, contents) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let record = serde_json::from_slice::<StoredRecord>(record).ok()?.into_record()?;
        let small = Small::read(&record.outputs, contents)?;
        Some((record, small))
    }
}

/// A record as it lies on disk.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredRecord {
    format: u32,
    key: Key,
    step: String,
    outputs: Vec<StoredOutput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<KeptLog>,
    started: String,
    milliseconds: u64,
    hoist: String,
}

impl StoredRecord {
    const FORMAT: u32 = 2;

    pub(super) fn into_record(self) -> Option<Record> {
        if self.format != Self::FORMAT {
            return None;
        }
        Some(Record {
            key: self.key,
            step: self.step,
            outputs: self
                .outputs
                .into_iter()
                .map(StoredOutput::into_output)
                .collect::<Option<_>>()
                .map(Outputs::new)?,
            image: self.image,
            log: self.log,
            started: self.started.parse().ok()?,
            duration: Duration::from_millis(self.milliseconds),
            hoist: self.hoist,
        })
    }
}

impl From<&Record> for StoredRecord {
    fn from(record: &Record) -> Self {
        Self {
            format: Self::FORMAT,
            key: record.key,
            step: record.step.clone(),
            outputs: record.outputs.iter().map(StoredOutput::from).collect(),
            image: record.image.clone(),
            log: record.log,
            started: record.started.to_string(),
            milliseconds: u64::try_from(record.duration.as_millis()).unwrap_or(u64::MAX),
            hoist: record.hoist.clone(),
        }
    }
}
