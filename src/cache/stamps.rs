//! Knowing a file's digest without reading it again.
#![expect(
    clippy::disallowed_methods,
    reason = "whether a file may still change unseen depends on this moment"
)]

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::cache::Blake3;
use crate::cache::content::{digest_of, write_whole};
use crate::cache::part::path_text;
use crate::config::ProjectPath;

/// A file that changed later than this before it was looked at may change once
/// more without its times showing it: no file system in use counts time in
/// larger steps.
const SETTLED: Duration = Duration::from_secs(2);

/// The digests of the outputs of a step, with what the file system said of the
/// files when they were read.
#[derive(Debug)]
pub(super) struct Stamps {
    file: PathBuf,
    known: HashMap<String, Seen>,
    fresh: Mutex<HashMap<String, Seen>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    stamp: Stamp,
    digest: Blake3,
}

/// What changes if a file is written or replaced. The change time cannot be set
/// by a program, as the modification time can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a later change would show.
    fn is_settled(&self, now: SystemTime) -> bool {
        let latest = self.changed.0.max(self.modified.0);
        let latest =
            u64::try_from(latest).map_or(UNIX_EPOCH, |latest| UNIX_EPOCH + Duration::from_secs(latest));
        now.duration_since(latest).is_ok_and(|age| age > SETTLED + Duration::from_secs(1))
    }
}

impl Stamps {
    /// Those kept in a file; none if there are none or they cannot be read.
    pub(super) fn read(file: PathBuf) -> Self {
        let bytes = fs::read(&file).unwrap_or_default();
        let known = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { file, known, fresh: Mutex::default() }
    }

    /// The digest of a file whose metadata was just read.
    ///
    /// # Errors
    /// It has to be read, and cannot be.
    pub(super) fn digest(&self, path: &ProjectPath, full: &Path, metadata: &Metadata) -> io::Result<Blake3> {
        let (name, stamp) = (path_text(path.as_path().as_os_str()), Stamp::of(metadata));
        if let Some(seen) = self.known.get(&name)
            && seen.stamp == stamp
        {
            return Ok(seen.digest);
        }
        let now = SystemTime::now();
        let digest = digest_of(&mut File::open(full)?)?;
        if stamp.is_settled(now) {
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            fresh.insert(name, Seen { stamp, digest });
        }
        Ok(digest)
    }

    /// Keeps what was learned, if anything was. That it cannot be kept costs
    /// time, and nothing else.
    pub(super) fn keep(self, staging: &Path) {
        let fresh = self.fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !fresh.is_empty() {
            let mut all = self.known;
            all.extend(fresh);
            let _ = write_whole(staging, &self.file, &serde_json::to_vec(&all).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A file in which a wrong digest is known for a file as it is now.
    fn known(dir: &TempDir, path: &Path) -> Stamps {
        let stamp = Stamp::of(&fs::metadata(path).unwrap());
        let known = HashMap::from([("a".to_owned(), Seen { stamp, digest: Blake3([1; 32]) })]);
        fs::write(dir.path().join("stamps"), serde_json::to_vec(&known).unwrap()).unwrap();
        Stamps::read(dir.path().join("stamps"))
    }

    fn digest(stamps: &Stamps, path: &Path) -> Blake3 {
        let name = ProjectPath::root().join("a").unwrap();
        stamps.digest(&name, path, &fs::metadata(path).unwrap()).unwrap()
    }

    #[test]
    fn a_file_is_read_again_exactly_if_its_stamp_is_another_one() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "one").unwrap();
        assert_eq!(digest(&known(&dir, &path), &path), Blake3([1; 32]));
        let stamps = known(&dir, &path);
        fs::rename(&path, dir.path().join("b")).unwrap();
        fs::write(&path, "two").unwrap();
        assert_eq!(digest(&stamps, &path), Blake3::of(b"two"));
        fs::write(dir.path().join("stamps"), "{").unwrap();
        assert_eq!(digest(&Stamps::read(dir.path().join("stamps")), &path), Blake3::of(b"two"));
    }

    #[test]
    fn only_what_has_settled_is_remembered() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "one").unwrap();
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        let now = SystemTime::now();
        assert!(!stamp.is_settled(now));
        assert!(stamp.is_settled(now + Duration::from_secs(5)));
        // A clock that went back, and a modification time that was set to the future.
        assert!(!stamp.is_settled(now - Duration::from_hours(1)));
        let future = Stamp { modified: (stamp.modified.0 + 100, 0), ..stamp };
        assert!(!future.is_settled(now + Duration::from_secs(5)));
        let stamps = Stamps::read(dir.path().join("stamps"));
        digest(&stamps, &path);
        stamps.keep(dir.path());
        assert!(!dir.path().join("stamps").exists());
    }
}
