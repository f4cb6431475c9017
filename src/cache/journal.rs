//! The last run of each step of a project: a file that grows at its end.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::content::{unusable, write_whole};
use crate::cache::sealed::{seal, unchecked, unseal};
use crate::cache::{Key, Outcome};
use crate::diagnostic::Problem;

/// A journal of which less than this is out of date is left as it is.
const WORTHWHILE: usize = 1 << 20;

/// What is known of an entry without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The name of the step.
    pub(super) step: String,
    /// Its key.
    pub(super) key: Key,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// How long it took.
    pub(super) duration: Duration,
}

/// The last entry of each step. An entry is whole or is not there: each lies
/// behind its length and before its digest, and is written at once.
///
/// Of most entries nothing but the header is wanted, so that the digest is looked
/// at when the rest is.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// What was read, and what was added since.
    bytes: Vec<u8>,
    entries: HashMap<String, Entry>,
    /// Which file that is: one that is written anew is another.
    inode: Option<u64>,
    /// Open for writing once something was written.
    file: Option<File>,
}

#[derive(Debug)]
struct Entry {
    header: Header,
    /// Where it lies in the bytes, with its digest.
    frame: Range<usize>,
}

impl Journal {
    /// The journal in a file; an empty one if there is none. What is damaged is
    /// left out.
    pub(super) fn read(path: &Path) -> Self {
        let inode = fs::metadata(path).ok().map(|found| found.ino());
        Self { inode, ..Self::parse(fs::read(path).unwrap_or_default()) }
    }

    /// The journal in these bytes. What is damaged is left out.
    pub(super) fn parse(bytes: Vec<u8>) -> Self {
        let mut entries = HashMap::new();
        let mut rest = bytes.as_slice();
        while let Some((frame, behind)) = frame(rest) {
            let end = bytes.len() - behind.len();
            if let Some((header, _)) = unchecked(frame).and_then(entry) {
                entries.insert(header.step.clone(), Entry { header, frame: end - frame.len()..end });
            }
            rest = behind;
        }
        Self { bytes, entries, inode: None, file: None }
    }

    /// The last run of a step.
    pub(super) fn get(&self, step: &str) -> Option<(&Header, &[u8])> {
        self.checked(self.entries.get(step)?)
    }

    /// The last run of a step, if it does not matter whether it is damaged.
    pub(super) fn header(&self, step: &str) -> Option<&Header> {
        self.entries.get(step).map(|entry| &entry.header)
    }

    /// The last runs of all steps, by their names.
    pub(super) fn all(&self) -> Vec<(&Header, &[u8])> {
        let mut all: Vec<_> = self.entries.values().filter_map(|entry| self.checked(entry)).collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.step.cmp(&other.step));
        all
    }

    fn checked<'a>(&'a self, found: &'a Entry) -> Option<(&'a Header, &'a [u8])> {
        let (header, body) = unseal(self.bytes.get(found.frame.clone())?).and_then(entry)?;
        (header == found.header).then_some((&found.header, body))
    }

    /// Whether this is the last run of its step, and nobody else wrote to the file since it
    /// was read.
    fn is_last(&self, path: &Path, header: &Header, body: &[u8]) -> bool {
        self.get(&header.step) == Some((header, body))
            && fs::metadata(path)
                .is_ok_and(|found| found.len() == self.bytes.len() as u64 && Some(found.ino()) == self.inode)
    }

    /// Makes a run the last one of its step.
    pub(super) fn put(
        &mut self,
        path: &Path,
        staging: &Path,
        header: Header,
        body: &[u8],
    ) -> Result<(), Problem> {
        if self.is_last(path, &header, body) {
            return Ok(());
        }
        if self.file.is_none() {
            self.compact(path, staging);
        }
        let framed = framed(&header, body);
        let written = self.append(path, &framed);
        let start = self.bytes.len() + LENGTH;
        self.bytes.extend(framed);
        self.entries.insert(header.step.clone(), Entry { header, frame: start..self.bytes.len() });
        written.map_err(|error| unusable(path, &error))
    }

    fn append(&mut self, path: &Path, frame: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            let file = open(path)?;
            self.inode = Some(file.metadata()?.ino());
            self.file = Some(file);
        }
        self.file.iter_mut().try_for_each(|file| file.write_all(frame))
    }

    /// Writes a journal anew of which most is out of date, unless another hoist
    /// has it open. That it stays large costs time, and nothing else.
    fn compact(&mut self, path: &Path, staging: &Path) {
        let live: usize = self.entries.values().map(|entry| LENGTH + entry.frame.len()).sum();
        if self.bytes.len() - live < WORTHWHILE.max(live) {
            return;
        }
        let Ok(file) = File::open(path) else { return };
        if file.try_lock().is_err() {
            return;
        }
        // Only now nobody appends: what came meanwhile is read, too.
        let fresh = Self::read(path);
        let frames = fresh.all().into_iter().map(|(header, body)| framed(header, body));
        let frames = frames.collect::<Vec<_>>().concat();
        if write_whole(staging, path, &frames).is_ok() {
            *self = Self::parse(frames);
        }
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

/// Bytes of the length before each entry.
const LENGTH: usize = size_of::<u32>();

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
            key: Key([1; 32]),
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
        one.put(&path, dir.path(), header("a", 1), b"first").unwrap();
        other.put(&path, dir.path(), header("b", 2), b"second").unwrap();
        one.put(&path, dir.path(), header("a", 3), b"third").unwrap();
        let read = Journal::read(&path);
        assert_eq!(told(&read), [pair("a", "third"), pair("b", "second")]);
        assert_eq!(read.get("a").unwrap().0, &header("a", 3));
        assert_eq!(told(&one), [pair("a", "third")]);
    }

    #[test]
    fn what_is_the_last_run_already_is_not_written_again() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("runs");
        let size = || fs::metadata(&path).unwrap().len();
        let mut one = Journal::read(&path);
        one.put(&path, dir.path(), header("a", 1), b"first").unwrap();
        let entry = size();
        one.put(&path, dir.path(), header("a", 1), b"first").unwrap();
        assert_eq!(size(), entry);
        // What another hoist wrote meanwhile is not known here.
        Journal::read(&path).put(&path, dir.path(), header("a", 2), b"other").unwrap();
        one.put(&path, dir.path(), header("a", 1), b"first").unwrap();
        assert_eq!((size(), told(&Journal::read(&path))), (3 * entry, vec![pair("a", "first")]));
    }

    #[test]
    fn damaged_entries_are_left_out() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("runs");
        let mut journal = Journal::read(&path);
        for step in ["a", "b", "c"] {
            journal.put(&path, dir.path(), header(step, 1), b"body").unwrap();
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
        for at in 0..3 {
            writer.put(&path, dir.path(), header("a", at), &vec![7; WORTHWHILE]).unwrap();
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
