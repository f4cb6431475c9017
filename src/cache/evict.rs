//! Keeping the cache within its bounds, least recently used first.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::cache::clean::files;
use crate::cache::content::write_whole;
use crate::cache::journal::Journal;
use crate::cache::latest::{RUNS, holds_runs, runs};
use crate::cache::local::{ID, identify};
use crate::cache::{Blake3, Cache, LastRun, OutputKind, Record, image};
use crate::diagnostic::Problem;
use crate::oci::Digest;

/// Most bytes that are kept where `max-size` does not say otherwise.
pub const MAX_SIZE: u64 = 20_000_000_000;

/// How often [`Cache::trim`] looks at all.
const INTERVAL: Duration = Duration::from_hours(1);
/// What is younger than this may belong to a run that has not recorded it yet.
const GRACE: Duration = Duration::from_hours(1);
/// A staged file of this age belongs to nobody who still writes.
const ABANDONED: Duration = Duration::from_hours(24);

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// How many records of runs.
    pub records: usize,
    /// How many bytes in all.
    pub bytes: u64,
}

/// A record, or last runs of a project: what keeps others alive.
struct Holder {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
    records: Vec<Record>,
}

impl Cache {
    /// Brings the cache below `max_size` bytes if it is above. To be called at
    /// the end of a run: looks at most once an hour, and costs about 2 µs a file
    /// then.
    ///
    /// # Errors
    /// The cache cannot be written ([`CacheUnusable`](crate::diagnostic::Code::CacheUnusable)).
    pub fn trim(&self, max_size: u64) -> Result<Evicted, Problem> {
        let marker = self.dir.join("trimmed");
        if fs::metadata(&marker).is_ok_and(|found| age(&found) < INTERVAL) {
            return Ok(Evicted::default());
        }
        write_whole(&self.dir.join("tmp"), &marker, b"")?;
        Ok(self.evict(max_size, GRACE))
    }

    /// Frees some of what the cache holds, because its disk is full: nothing that was used
    /// within the hour.
    pub fn make_room(&self) {
        let total: u64 = files(&self.dir).iter().map(|(_, found)| found.len()).sum();
        self.evict(total - total / 10, GRACE);
    }

    /// Removes the records that were not used for longest, and what only they
    /// hold on to, until a tenth of `max_size` is free; nothing younger than
    /// `grace`, neither a record nor a content. What cannot be removed is passed over.
    pub(super) fn evict(&self, max_size: u64, grace: Duration) -> Evicted {
        for (path, found) in files(&self.dir.join("tmp")) {
            if age(&found) > ABANDONED {
                let _ = fs::remove_file(path);
            }
        }
        let mut all = files(&self.dir);
        all.retain(|(path, _)| !path.ends_with(ID));
        let total: u64 = all.iter().map(|(_, found)| found.len()).sum();
        if total <= max_size {
            return Evicted::default();
        }
        // Without the names of images it is not known which of them to keep.
        let Ok(mut held) = Held::new(self, &all) else { return Evicted::default() };
        let mut holders = self.holders(&all);
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.used));
        let room = max_size - max_size / 10;
        let mut evicted = Evicted::default();
        let mut full = false;
        for holder in &holders {
            // What it holds on to is as young, or was used just now.
            let young = holder.used.elapsed().unwrap_or_default() < grace;
            full = full || !held.take(holder, if young { u64::MAX } else { room });
            if full && !is_in_use(&holder.path) && fs::remove_file(&holder.path).is_ok() {
                evicted.records += 1;
                evicted.bytes += holder.bytes;
            }
        }
        if evicted.records > 0 {
            // What was made with their help does not stand for them.
            let _ = fs::remove_file(self.dir.join(ID));
            let _without = identify(&self.dir);
        }
        for (path, found) in &all {
            if age(found) >= grace && held.is_loose(path) && fs::remove_file(path).is_ok() {
                evicted.bytes += found.len();
            }
        }
        evicted
    }

    fn holders(&self, all: &[(PathBuf, fs::Metadata)]) -> Vec<Holder> {
        let (records, projects) = (self.dir.join("records"), self.dir.join("projects"));
        let modified = |found: &fs::Metadata| found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let mut youngest: HashMap<&Path, SystemTime> = HashMap::new();
        for (path, found) in all.iter().filter(|(path, _)| holds_runs(path)) {
            let runs = path.parent().unwrap_or(path);
            let at = youngest.entry(runs).or_insert(SystemTime::UNIX_EPOCH);
            *at = modified(found).max(*at);
        }
        let holder = |(path, found): &(PathBuf, fs::Metadata)| {
            let held = if path.starts_with(&records) {
                Record::from_bytes(&fs::read(path).ok()?).map(|(record, _)| record).into_iter().collect()
            } else if path.starts_with(&projects) && holds_runs(path) {
                // They need their logs; the contents of outputs belong to the
                // records.
                let logs = |last: LastRun| Record { outputs: <_>::default(), image: None, ..last.record };
                runs(&mut Journal::read(path)).into_iter().map(logs).collect()
            } else {
                return None;
            };
            // The last runs of a project are as young as the youngest of them.
            let of_project = path.parent().filter(|_| holds_runs(path)).and_then(|runs| youngest.get(runs));
            let used = of_project.copied().unwrap_or_else(|| modified(found));
            Some(Holder { path: path.clone(), bytes: found.len(), used, records: held })
        };
        all.iter().filter_map(holder).collect()
    }
}

/// What is held on to by the holders taken so far.
struct Held<'a> {
    cache: &'a Cache,
    sizes: HashMap<&'a Path, u64>,
    contents: HashSet<Blake3>,
    blobs: BTreeSet<Digest>,
    bytes: u64,
}

impl<'a> Held<'a> {
    /// What has a name in the staging store is held on to from the start.
    fn new(cache: &'a Cache, all: &'a [(PathBuf, fs::Metadata)]) -> Result<Self, Problem> {
        let sizes = all.iter().map(|(path, found)| (path.as_path(), found.len())).collect();
        let mut held = Self { cache, sizes, contents: HashSet::new(), blobs: BTreeSet::new(), bytes: 0 };
        for (_, image) in cache.images.refs()? {
            image::walk(&cache.images, &image, &mut held.blobs);
        }
        held.bytes = held.blobs.iter().map(|digest| held.size(&cache.images.blob_path(digest))).sum();
        Ok(held)
    }

    fn size(&self, path: &Path) -> u64 {
        self.sizes.get(path).copied().unwrap_or_default()
    }

    /// Holds on to all that a record needs, if there is room for it.
    fn take(&mut self, holder: &Holder, room: u64) -> bool {
        let outputs = holder.records.iter().flat_map(|record| &record.outputs);
        let outputs = outputs.filter_map(|output| match output.kind {
            OutputKind::File { digest, .. } => Some(digest),
            OutputKind::Symlink(_) | OutputKind::Directory { .. } => None,
        });
        let logs = holder.records.iter().filter_map(|record| record.log.map(|log| log.digest));
        let contents: HashSet<Blake3> =
            outputs.chain(logs).filter(|digest| !self.contents.contains(digest)).collect();
        let mut blobs = BTreeSet::new();
        for image in holder.records.iter().filter_map(|record| record.image.as_ref()) {
            image::walk(&self.cache.images, image, &mut blobs);
        }
        blobs.retain(|digest| !self.blobs.contains(digest));
        let contents_size: u64 =
            contents.iter().map(|digest| self.size(&self.cache.contents.path(*digest))).sum();
        let blobs_size: u64 =
            blobs.iter().map(|digest| self.size(&self.cache.images.blob_path(digest))).sum();
        let bytes = self.bytes + holder.bytes + contents_size + blobs_size;
        if bytes > room {
            return false;
        }
        self.bytes = bytes;
        self.contents.extend(contents);
        self.blobs.extend(blobs);
        true
    }

    /// Whether a file is one that must be held on to, and nobody does.
    fn is_loose(&self, path: &Path) -> bool {
        let Ok(path) = path.strip_prefix(&self.cache.dir) else { return false };
        let names: Vec<&str> = path.iter().filter_map(OsStr::to_str).collect();
        match names.as_slice() {
            ["content", fan, rest] => {
                !format!("{fan}{rest}").parse().is_ok_and(|digest| self.contents.contains(&digest))
            }
            // They save planning, and are soon made again.
            ["projects", _, name, ..] => *name != RUNS,
            // So do they compressing.
            ["images", "layers" | "weights" | "trees" | "released", _] => true,
            ["images", "blobs", "sha256", hex] => {
                !format!("sha256:{hex}").parse().is_ok_and(|digest| self.blobs.contains(&digest))
            }
            _ => false,
        }
    }
}

/// Whether a hoist has a journal open at the moment.
fn is_in_use(path: &Path) -> bool {
    holds_runs(path) && !fs::File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// How long ago a file was written or used.
fn age(found: &fs::Metadata) -> Duration {
    found.modified().ok().and_then(|used| used.elapsed().ok()).unwrap_or_default()
}
