//! Looking again and again whether something changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::facts::watcher::Hear;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks through directories every second, each without those in it. Ends when it
/// is dropped.
pub(super) struct Poll {
    directories: Arc<Mutex<BTreeMap<PathBuf, Entries>>>,
}

/// What lies in a directory.
type Entries = HashMap<OsString, Stamp>;

/// What changes with a file: when its content or mode was changed, in nanoseconds,
/// how large it is, and which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(i64, i64, u64, u64);

impl Poll {
    /// Looks at nothing yet.
    pub(super) fn new(hear: &Hear) -> std::io::Result<Self> {
        let directories = Arc::default();
        let (looked, hear) = (Arc::downgrade(&directories), Arc::clone(hear));
        thread::Builder::new().name("poll".to_owned()).spawn(move || look_until_dropped(&looked, &hear))?;
        Ok(Self { directories })
    }

    /// Looks through these directories, and no others.
    pub(super) fn watch(&self, directories: &BTreeSet<PathBuf>) {
        let mut looked = lock(&self.directories);
        looked.retain(|directory, _| directories.contains(directory));
        for directory in directories {
            if !looked.contains_key(directory) {
                looked.insert(directory.clone(), entries(directory));
            }
        }
    }
}

fn look_until_dropped(directories: &Weak<Mutex<BTreeMap<PathBuf, Entries>>>, hear: &Hear) {
    loop {
        thread::sleep(INTERVAL);
        let Some(directories) = directories.upgrade() else { return };
        let mut changed = BTreeSet::new();
        for (directory, before) in &mut *lock(&directories) {
            let now = entries(directory);
            let differ = |(name, stamp): (&OsString, &Stamp), other: &Entries| {
                (other.get(name) != Some(stamp)).then(|| directory.join(name))
            };
            changed.extend(now.iter().filter_map(|entry| differ(entry, before)));
            changed.extend(before.iter().filter_map(|entry| differ(entry, &now)));
            *before = now;
        }
        if !changed.is_empty() {
            hear(changed);
        }
    }
}

/// What lies in a directory; nothing in one that cannot be listed.
fn entries(directory: &Path) -> Entries {
    let listed = fs::read_dir(directory).into_iter().flatten().flatten();
    listed.filter_map(|entry| Some((entry.file_name(), stamp(&entry.metadata().ok()?)))).collect()
}

fn stamp(metadata: &Metadata) -> Stamp {
    // A directory changes with what is in it, which is looked at by itself.
    let size = if metadata.is_dir() { 0 } else { metadata.size() };
    let (seconds, nanoseconds) =
        if metadata.is_dir() { (0, 0) } else { (metadata.ctime(), metadata.ctime_nsec()) };
    Stamp(seconds, nanoseconds, size, metadata.ino())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What was half looked at is looked at again.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_is_made_changed_and_removed_is_heard_of_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["same", "changed", "gone"] {
            fs::write(path(name), "1").unwrap();
        }
        let (sender, heard) = channel();
        let hear: Hear = Arc::new(move |paths| sender.send(paths).unwrap());
        let poll = Poll::new(&hear).unwrap();
        poll.watch(&[directory.path().to_owned()].into());
        fs::write(path("changed"), "2").unwrap();
        fs::remove_file(path("gone")).unwrap();
        fs::create_dir(path("made")).unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < 3 {
            seen.extend(heard.recv_timeout(Duration::from_mins(1)).unwrap());
        }
        assert_eq!(seen, ["changed", "gone", "made"].map(path).into());
        drop((poll, hear));
        assert!(heard.recv_timeout(Duration::from_mins(1)).is_err());
    }
}
