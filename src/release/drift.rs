//! What registries say against the ledger. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::oci::Digest;
use crate::release::ledger::State;

/// A tag, and what it has to hold by the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The stage that set it last.
    pub stage: String,
    /// Where, as a user would name it.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// What it has to hold.
    pub digest: Digest,
}

/// A tag that does not hold what it has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The tag.
    pub expected: Expected,
    /// What it holds; none where it is gone.
    pub holds: Option<Digest>,
}

/// When a tag was set: by the number of the entry, then by the clock, for entries of format 1
/// have no number.
type Order = (u64, Timestamp);

/// What the tags of all stages have to hold: of stages that set the same tag, the one
/// that did so last is right.
#[must_use]
pub fn expected(state: &State) -> Vec<Expected> {
    let mut newest: BTreeMap<(&str, &str), (Order, Expected)> = BTreeMap::new();
    for (stage, running) in
        state.stages.iter().filter_map(|(stage, state)| Some((stage, state.running.as_ref()?)))
    {
        // Clocks of machines may differ.
        let at = (running.number, running.entry.at);
        for image in &running.entry.images {
            for (place, tag) in
                image.places.iter().flat_map(|place| place.tags.iter().map(move |tag| (place, tag)))
            {
                let expected = Expected {
                    stage: stage.clone(),
                    repository: place.repository.clone(),
                    tag: tag.tag.clone(),
                    digest: tag.digest.unwrap_or(image.digest),
                };
                let key = (place.repository.as_str(), tag.tag.as_str());
                let older = newest.get(&key).is_none_or(|(known, _)| *known < at);
                if older {
                    newest.insert(key, (at, expected));
                }
            }
        }
    }
    newest.into_values().map(|(_, expected)| expected).collect()
}

/// Whether a tag holds something else than it has to.
#[must_use]
pub fn drifted(expected: &Expected, holds: Option<Digest>) -> Option<Drift> {
    (holds != Some(expected.digest)).then(|| Drift { expected: expected.clone(), holds })
}
