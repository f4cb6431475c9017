//! What reads the cache's own files, in the open for the fuzz targets.

use crate::cache::journal::Journal;
use crate::cache::{Changes, Record, Snapshot, Steps};

/// How many steps a journal holds.
#[must_use]
pub fn journal(bytes: &[u8]) -> usize {
    Journal::parse(bytes.to_vec()).all().len()
}

/// Whether bytes are a record, which is then written so that it reads the same.
#[must_use]
pub fn record(bytes: &[u8]) -> Option<bool> {
    let (record, small) = Record::from_bytes(bytes)?;
    let written = record.to_bytes(&small);
    Some(Record::from_bytes(&written) == Some((record, small)))
}

/// Whether bytes are a snapshot, which is then written so that it reads the same;
/// the build is the one that they name.
#[must_use]
pub fn snapshot(bytes: &[u8]) -> Option<bool> {
    let build = bytes.get(4..36)?.try_into().ok()?;
    // What names one build before it and another in it, no hoist has written.
    let snapshot = Snapshot::read(bytes.to_vec(), &build).filter(|snapshot| snapshot.head.build == build)?;
    let written = snapshot.to_bytes()?;
    Some(Snapshot::read(written.clone(), &build).and_then(|again| again.to_bytes()) == Some(written))
}

/// Whether bytes are the steps of a snapshot.
#[must_use]
pub fn steps(snapshot: &[u8], bytes: &[u8]) -> bool {
    let build = || snapshot.get(4..36)?.try_into().ok();
    let snapshot = build().and_then(|build| Snapshot::read(snapshot.to_vec(), &build));
    snapshot.is_some_and(|snapshot| {
        let Some(steps) = Steps::read(bytes.to_vec(), &snapshot) else { return false };
        let texts = |start, length: usize| {
            let rest = bytes.get(usize::try_from(start).ok()?..)?;
            rest.get(..length).map(<[u8]>::to_vec)
        };
        snapshot.subset(&steps, &texts, &Changes::default()).is_some()
    })
}
