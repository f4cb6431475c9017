//! What stages run, or could go back to. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Bounds;
use crate::oci::Digest;
use crate::release::back::{digests, previous, ran};
use crate::release::ledger::Entry;
use crate::release::retention::rule::is_younger;

/// How many releases back a stage can go where it does not say.
const LAST: u32 = 10;
/// How long ago a stage may have run what it can go back to, where it does not say.
const YOUNGER: Duration = Duration::from_hours(30 * 24);

/// A stage with all of its entries.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its name.
    pub stage: String,
    /// How far back it can go; none for the default.
    pub retain: Option<Bounds>,
    /// The images that it runs.
    pub running: Vec<Digest>,
    /// Its entries, the newest first.
    pub history: Vec<(String, Entry)>,
}

/// The images that stages need, and when images were last part of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    reasons: BTreeMap<Digest, String>,
    entered: BTreeMap<Digest, Timestamp>,
}

impl Needed {
    /// What stages need.
    #[must_use]
    pub fn of(stages: &[Ran], now: Timestamp) -> Self {
        let mut needed = Self::default();
        // What runs somewhere is said before what could.
        for stage in stages {
            for image in &stage.running {
                needed.keep(*image, || format!("`{}` runs it", stage.stage));
            }
        }
        for stage in stages {
            let bounds = stage.retain.unwrap_or(Bounds { last: Some(LAST), younger: Some(YOUNGER) });
            let back = reach(&stage.history, bounds.last);
            let mut until: Option<Timestamp> = None;
            for (at, (_, entry)) in (0..).zip(&stage.history) {
                let lately = until.zip(bounds.younger);
                let lately = lately.is_some_and(|(until, younger)| is_younger(until, younger, now));
                for image in &entry.images {
                    let newest = needed.entered.entry(image.digest).or_insert(entry.at);
                    *newest = entry.at.max(*newest);
                    if at < back || lately {
                        needed.keep(image.digest, || format!("`{}` could go back to it", stage.stage));
                    }
                }
                until = Some(entry.at);
            }
        }
        needed
    }

    /// Why an image is needed.
    #[must_use]
    pub fn reason(&self, image: &Digest) -> Option<&str> {
        self.reasons.get(image).map(String::as_str)
    }

    /// When an image was part of an entry for the last time.
    #[must_use]
    pub fn entered(&self, image: &Digest) -> Option<Timestamp> {
        self.entered.get(image).copied()
    }

    /// All images that are needed.
    pub fn images(&self) -> impl Iterator<Item = Digest> {
        self.reasons.keys().copied()
    }

    /// That an image is needed, and why, unless that is known already.
    pub fn keep(&mut self, image: Digest, reason: impl FnOnce() -> String) {
        self.reasons.entry(image).or_insert_with(reason);
    }
}

/// How many of the newest entries hold the last so many releases that worked, and in any
/// case what runs and what ran before. What failed, and what was rolled back, does not
/// count, and what lies between is not left out.
fn reach(history: &[(String, Entry)], last: Option<u32>) -> usize {
    let position = |id: &str| history.iter().position(|(known, _)| known == id).map_or(0, |at| at + 1);
    let before = previous(history).map_or(0, |(id, _)| position(id));
    let in_any_case = before.max(1);
    let Some(last) = last else { return in_any_case };
    let mut seen = BTreeSet::new();
    for ((id, entry), failed) in ran(history).into_iter().rev() {
        if !failed {
            seen.insert(digests(entry));
        }
        if seen.len() >= last as usize {
            return in_any_case.max(position(id));
        }
    }
    history.len()
}
