//! What reads the cache's own files, in the open for the fuzz targets.

use std::path::Path;

use crate::cache::journal::Journal;
use crate::cache::{Record, Snapshot, Steps};
use crate::facts::Clock;

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

/// How many steps of a snapshot are looked at where no file is there; `None` if the bytes
/// are none.
#[must_use]
pub fn steps(snapshot: &[u8], rows: &[u8], texts: &[u8]) -> Option<usize> {
    let snapshot = Snapshot::read(snapshot.to_vec(), snapshot.get(4..36)?.try_into().ok()?)?;
    let steps = Steps::read(rows.to_vec(), &snapshot)?;
    let part = |start, length: usize| {
        let rest = texts.get(usize::try_from(start).ok()?..)?;
        rest.get(..length).map(<[u8]>::to_vec)
    };
    let gone = Path::new("/gone");
    let changes = snapshot.changes(gone, &snapshot.suspects(gone), &steps, Clock::default());
    Some(snapshot.subset(&steps, &part, &changes)?.plan.steps.len())
}
