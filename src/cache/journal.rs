//! The last run of each step of a project: a file that grows at its end.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::Outcome;
use crate::cache::content::{unusable, write_whole};
use crate::cache::sealed::{seal, unseal};
use crate::diagnostic::Problem;

/// A journal of which less than this is out of date is left as it is.
const WORTHWHILE: usize = 1 << 20;

/// What is known of an entry without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The name of the step.
    pub(super) step: String,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// How long it took.
    pub(super) duration: Duration,
}

/// The last entry of each step. An entry is whole or is not there: each lies
/// behind its length and before its digest, and is written at once.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: HashMap<String, Entry>,
    /// Bytes of entries that others took the place of.
    stale: usize,
    /// Open for writing once something was written.
    file: Option<File>,
}

#[derive(Debug)]
struct Entry {
    header: Header,
    /// What is behind the header.
    body: Vec<u8>,
}

impl Journal {
    /// The journal in a file; an empty one if there is none. What is damaged is
    /// left out.
    pub(super) fn read(path: &Path) -> Self {
        Self::parse(&fs::read(path).unwrap_or_default())
    }

    /// The journal in these bytes. What is damaged is left out.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut journal = Self::default();
        let mut rest = bytes;
        while let Some((frame, behind)) = frame(rest) {
            rest = behind;
            if let Some((header, body)) = unseal(frame).and_then(entry) {
                journal.stale += journal.insert(header, body.to_vec());
            }
        }
        journal.stale += rest.len();
        journal
    }

    /// The last run of a step.
    pub(super) fn get(&self, step: &str) -> Option<(&Header, &[u8])> {
        self.entries.get(step).map(|entry| (&entry.header, entry.body.as_slice()))
    }

    /// The last runs of all steps, by their names.
    pub(super) fn all(&self) -> Vec<(&Header, &[u8])> {
        let mut all: Vec<_> =
            self.entries.values().map(|entry| (&entry.header, entry.body.as_slice())).collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.step.cmp(&other.step));
        all
    }

    /// Makes a run the last one of its step.
    pub(super) fn put(
        &mut self,
        path: &Path,
        staging: &Path,
        header: Header,
        body: Vec<u8>,
    ) -> Result<(), Problem> {
        if self.file.is_none() {
            self.compact(path, staging);
        }
        let written = self.append(path, &framed(&header, &body));
        self.stale += self.insert(header, body);
        written.map_err(|error| unusable(path, &error))
    }

    fn append(&mut self, path: &Path, frame: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(open(path)?);
        }
        self.file.iter_mut().try_for_each(|file| file.write_all(frame))
    }

    /// Writes a journal anew of which most is out of date, unless another hoist
    /// has it open. That it stays large costs time, and nothing else.
    fn compact(&mut self, path: &Path, staging: &Path) {
        let live: usize = self.entries.values().map(|entry| entry.body.len()).sum();
        if self.stale < WORTHWHILE.max(live) {
            return;
        }
        let Ok(file) = File::open(path) else { return };
        if file.try_lock().is_err() {
            return;
        }
        // Only now nobody appends: what came meanwhile is read, too.
        let fresh = Self::read(path);
        let frames = fresh.entries.values().map(|entry| framed(&entry.header, &entry.body));
        if write_whole(staging, path, &frames.collect::<Vec<_>>().concat()).is_ok() {
            *self = Self { stale: 0, ..fresh };
        }
    }

    /// Bytes that are out of date now.
    fn insert(&mut self, header: Header, body: Vec<u8>) -> usize {
        let entry = Entry { header, body };
        self.entries.insert(entry.header.step.clone(), entry).map_or(0, |old| old.body.len())
    }
}

/// Opens a journal to append to, which others may do at the same time; who
/// writes it anew waits until nobody does.
fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    loop {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        // Where the file system knows no locks, nobody writes it anew.
        let locked = file.lock_shared().is_ok();
        let here =
            fs::metadata(path).is_ok_and(|found| found.ino() == file.metadata().map_or(0, |it| it.ino()));
        if here || !locked {
            return Ok(file);
        }
    }
}

/// The bytes of an entry.
fn framed(header: &Header, body: &[u8]) -> Vec<u8> {
    let header = postcard::to_stdvec(header).unwrap_or_default();
    let mut frame = u32::try_from(header.len()).unwrap_or_default().to_le_bytes().to_vec();
    frame.extend(header);
    frame.extend(body);
    let sealed = seal(frame);
    let mut framed = u32::try_from(sealed.len()).unwrap_or_default().to_le_bytes().to_vec();
    framed.extend(sealed);
    framed
}

/// The first frame, and what is behind it.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

fn entry(frame: &[u8]) -> Option<(Header, &[u8])> {
    let (length, rest) = frame.split_first_chunk()?;
    let (header, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((postcard::from_bytes(header).ok()?, body))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn header(step: &str, milliseconds: u64) -> Header {
        Header {
            step: step.to_owned(),
            outcome: Outcome::Done,
            duration: Duration::from_millis(milliseconds),
        }
    }

    fn told(journal: &Journal) -> Vec<(String, Vec<u8>)> {
        journal.all().into_iter().map(|(header, body)| (header.step.clone(), body.to_vec())).collect()
    }

    fn pair(step: &str, body: &str) -> (String, Vec<u8>) {
        (step.to_owned(), body.as_bytes().to_vec())
    }

    #[test]
    fn the_last_entry_of_each_step_counts_whoever_wrote_it() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("p/runs");
        let (mut one, mut other) = (Journal::read(&path), Journal::read(&path));
        one.put(&path, dir.path(), header("a", 1), b"first".to_vec()).unwrap();
        other.put(&path, dir.path(), header("b", 2), b"second".to_vec()).unwrap();
        one.put(&path, dir.path(), header("a", 3), b"third".to_vec()).unwrap();
        let read = Journal::read(&path);
        assert_eq!(told(&read), [pair("a", "third"), pair("b", "second")]);
        assert_eq!(read.get("a").unwrap().0, &header("a", 3));
        assert_eq!(told(&one), [pair("a", "third")]);
    }

    #[test]
    fn damaged_entries_are_left_out() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("runs");
        let mut journal = Journal::read(&path);
        for step in ["a", "b", "c"] {
            journal.put(&path, dir.path(), header(step, 1), b"body".to_vec()).unwrap();
        }
        let bytes = fs::read(&path).unwrap();
        let third = bytes.len() / 3;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            let found = told(&Journal::read(&path));
            assert!(found.len() < 3 && found.iter().all(|(_, body)| body == b"body"));
            fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(told(&Journal::read(&path)).len(), at / third);
        }
    }

    #[test]
    fn what_is_out_of_date_goes_unless_somebody_appends() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("runs");
        let mut writer = Journal::read(&path);
        for _ in 0..3 {
            writer.put(&path, dir.path(), header("a", 1), vec![7; WORTHWHILE]).unwrap();
        }
        let size = || usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
        Journal::read(&path).compact(&path, dir.path());
        assert!(size() > 3 * WORTHWHILE);
        drop(writer);
        let mut journal = Journal::read(&path);
        journal.compact(&path, dir.path());
        assert!(size() < 2 * WORTHWHILE);
        assert_eq!(told(&Journal::read(&path)), told(&journal));
    }
}
