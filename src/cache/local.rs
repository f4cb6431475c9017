//! The step cache of this machine, as one project uses it.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rayon::prelude::*;
use tempfile::{NamedTempFile, TempDir};

use crate::cache::clear::Standing;
use crate::cache::collect::collect;
use crate::cache::content::{ContentStore, Lost, content_at, touch, unusable, write_whole};
use crate::cache::latest::{LastRun, Latest, Outcome};
use crate::cache::looks::{Look, Looks};
use crate::cache::restore::{Contents, differences, restore};
use crate::cache::small::Small;
use crate::cache::{
    Exactness, Hit, KeptLog, Key, Lookup, Made, Miss, Output, OutputKind, Outputs, Reason, Record,
    Restoration, Saved, Trace, image,
};
use crate::config::{Pattern, ProjectPath};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Clock, KnownFiles, any_number};
use crate::plan::StepId;
use crate::store::Layout;

/// The format of everything below the cache's directory is in this name: what
/// other versions of hoist keep beside it is not looked at.
pub(super) const FORMAT: &str = "v4";

/// The file that holds what tells a cache from every other. It goes with the records:
/// whoever relies on them notices that they are gone.
pub(super) const ID: &str = "records/id";

/// Tells backup programs that all of this can be made again
/// (<https://bford.info/cachedir/>).
const CACHE_DIR_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by hoist.\n";

/// Opens the staging store. A marker that a crash left damaged is written again:
/// whatever the store holds is verified when it is read.
fn staging_store(path: &Path) -> Result<Layout, Problem> {
    let opened = Layout::create(path).or_else(|problem| {
        fs::remove_file(path.join("oci-layout")).map_err(|_| problem)?;
        Layout::create(path)
    });
    opened.map_err(|problem| Problem { code: Code::CacheUnusable, ..problem })
}

/// The step cache of this machine, as one project uses it. Cheap to clone; all
/// of it may be used from several threads and processes at once.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(super) dir: PathBuf,
    pub(super) root: PathBuf,
    pub(super) contents: ContentStore,
    pub(super) latest: Latest,
    pub(super) images: Layout,
    pub(super) looks: Looks,
    /// Its directory, where that goes with it.
    temporary: Option<Arc<TempDir>>,
}

impl Cache {
    /// Opens the cache in `dir`, which is made if it is not there, for the
    /// project in `root`; both absolute.
    ///
    /// # Errors
    /// It cannot be written ([`CacheUnusable`](crate::diagnostic::Code::CacheUnusable)).
    pub fn open(dir: &Path, root: &Path) -> Result<Self, Problem> {
        let top = dir;
        let dir = top.join(FORMAT);
        for name in ["content", "records", "projects", "tmp"] {
            let made = dir.join(name);
            fs::create_dir_all(&made).map_err(|error| unusable(&made, &error))?;
        }
        let staging = dir.join("tmp");
        if !dir.join(ID).exists() {
            identify(&dir)?;
        }
        let tag = top.join("CACHEDIR.TAG");
        if tag.exists() {
            // That it cannot be written is found here, and not after a long build.
            NamedTempFile::new_in(&staging).map_err(|error| unusable(&staging, &error))?;
        } else {
            write_whole(&staging, &tag, CACHE_DIR_TAG)?;
        }
        Ok(Self {
            root: root.to_owned(),
            contents: ContentStore::new(dir.join("content"), staging.clone()),
            latest: Latest::new(&dir, root, &staging),
            images: staging_store(&dir.join("images"))?,
            looks: Looks::default(),
            temporary: None,
            dir,
        })
    }

    /// A cache that lasts as long as this value and its clones, for a run that cannot have
    /// the one in `dir`. What that tells of the project's last runs, so that they are known
    /// as what made its outputs, is taken over if it can be read.
    ///
    /// # Errors
    /// There is no room for temporary files ([`CacheUnusable`](crate::diagnostic::Code::CacheUnusable)).
    pub fn temporary(dir: Option<&Path>, root: &Path) -> Result<Self, Problem> {
        let made = tempfile::Builder::new().prefix("hoist-cache-").tempdir();
        let own = made.map_err(|error| unusable(&std::env::temp_dir(), &error))?;
        let mut cache = Self::open(own.path(), root)?;
        if let Some(dir) = dir {
            cache.latest.take_over(&Latest::new(&dir.join(FORMAT), root, Path::new("")));
        }
        cache.temporary = Some(Arc::new(own));
        Ok(cache)
    }

    /// Whether it goes with this value and its clones.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The same cache, which need not read these files again.
    #[must_use]
    pub fn knowing(self, known: KnownFiles) -> Self {
        Self { looks: Looks::new(known), ..self }
    }

    /// The files that needed not be read again.
    #[must_use]
    pub fn known(&self) -> &KnownFiles {
        self.looks.known()
    }

    /// Outputs that were seen, and need not be read again. `clock` is that of the
    /// project's [file system](crate::cache::clock).
    #[must_use]
    pub fn seen(&self, clock: Clock) -> KnownFiles {
        self.looks.seen(clock)
    }

    /// What was seen last of an output, if one of this path was collected or
    /// restored.
    #[must_use]
    pub fn look(&self, path: &ProjectPath) -> Option<Look> {
        self.looks.of(path)
    }

    /// What tells this cache from every other, and from itself before it lost records;
    /// if there is one in `dir`.
    #[must_use]
    pub fn identity(dir: &Path) -> Option<[u8; 16]> {
        fs::read(dir.join(FORMAT).join(ID)).ok()?.try_into().ok()
    }

    /// The staging store: the layout that built images lie in.
    #[must_use]
    pub fn images(&self) -> &Layout {
        &self.images
    }

    /// What is known of a step. Changes nothing, so that a plan can ask, too.
    /// Whatever is wrong with the cache makes a miss.
    #[must_use]
    pub fn find(&self, trace: &Trace) -> Lookup {
        match self.usable(trace) {
            Ok((record, small)) => Lookup::Hit(Box::new(Hit { record, trace: trace.clone(), small })),
            Err(fault) => Lookup::Miss(Miss { trace: trace.clone(), reasons: self.explain(trace, fault) }),
        }
    }

    /// Whether there may be a record now of what was missed.
    #[must_use]
    pub fn may_have(&self, miss: &Miss) -> bool {
        self.record_path(miss.trace.key()).exists()
    }

    /// The record of the key, if all that it names seems to be there.
    fn usable(&self, trace: &Trace) -> Result<(Record, Small), Reason> {
        let key = trace.key();
        let bytes = fs::read(self.record_path(key)).map_err(|_| Reason::RecordGone)?;
        let found = Record::from_bytes(&bytes).filter(|(record, _)| record.key == key);
        let (mut record, small) = found.ok_or(Reason::RecordCorrupt)?;
        // A step of another name may have left it behind.
        trace.step().clone_into(&mut record.step);
        for Output { path, kind } in &record.outputs {
            if let OutputKind::File { digest, size, .. } = kind
                && small.get(*digest).is_none()
                && !self.contents.has(*digest, *size)
            {
                return Err(Reason::ContentGone(path.to_string()));
            }
        }
        if record.log.is_some_and(|log| !self.contents.has(log.digest, log.size)) {
            return Err(Reason::ContentGone("its log".to_owned()));
        }
        match &record.image {
            Some(image) if !image::walk(&self.images, image, &mut BTreeSet::new()) => {
                Err(Reason::ContentGone("its image".to_owned()))
            }
            _ => Ok((record, small)),
        }
    }

    /// Why a step has no usable record: what is different from its last run, or
    /// what became of that run's record.
    fn explain(&self, trace: &Trace, fault: Reason) -> Vec<Reason> {
        let Some((last, earlier)) = self.latest.explained(trace.step()) else {
            return vec![Reason::NeverRan];
        };
        if last.record.key != trace.key() {
            return earlier.map_or(vec![Reason::RecordGone], |earlier| trace.differences(&earlier));
        }
        match last.outcome {
            Outcome::Done => vec![fault],
            Outcome::Unkept => vec![Reason::UnkeptBefore],
            Outcome::Stopped => vec![Reason::StoppedBefore],
            Outcome::Failed => vec![Reason::FailedBefore],
            Outcome::Unsteady => vec![Reason::InputsMoved],
        }
    }

    /// What is different from the last run of a step in this project, which may not be the
    /// one whose record it has.
    #[must_use]
    pub fn since_last(&self, trace: &Trace) -> Vec<Reason> {
        match self.latest.explained(trace.step()) {
            Some((last, Some(earlier))) if last.record.key != trace.key() => trace.differences(&earlier),
            _ => Vec::new(),
        }
    }

    /// The outputs that a step made in the workspace, by the patterns that it
    /// declares; `standing` is what it found there.
    ///
    /// # Errors
    /// A pattern that nothing matches, or something that is not kept
    /// ([`OutputNotMade`](crate::diagnostic::Code::OutputNotMade)); a path
    /// that a symbolic link leads out of the project
    /// ([`OutsideProject`](crate::diagnostic::Code::OutsideProject)).
    pub fn collect(&self, patterns: &[Pattern], standing: &Standing) -> Result<Outputs, Problems> {
        collect(&self.root, patterns, standing, false, &self.looks)
    }

    /// Saves what a step made.
    ///
    /// # Errors
    /// The cache cannot be written ([`CacheUnusable`](crate::diagnostic::Code::CacheUnusable)).
    pub fn save(&self, miss: &Miss, made: Made) -> Result<Saved, Problem> {
        let steady = made.steady;
        let record = record(miss, made);
        let small = if steady && miss.is_kept() { self.keep(&record.outputs)? } else { None };
        let kept = small.is_some();
        if let Some(small) = small {
            // Last: a record is a promise that its contents are there.
            write_whole(&self.dir.join("tmp"), &self.record_path(record.key), &record.to_bytes(&small))?;
        }
        let steady = steady && (kept || !miss.is_kept());
        let outcome = match steady {
            true if miss.is_off() => Outcome::Unkept,
            true => Outcome::Done,
            false => Outcome::Unsteady,
        };
        let last = LastRun { record, outcome };
        // Also of what is not kept: it is the step's own, and goes before it runs again.
        self.latest.put(&miss.trace, &last)?;
        Ok(Saved { record: last.record, kept })
    }

    /// Remembers for this run what a step made that cannot be saved.
    #[must_use]
    pub fn pass(&self, miss: &Miss, made: Made) -> Saved {
        let last = LastRun { record: record(miss, made), outcome: Outcome::Unkept };
        // It is in memory all the same.
        let _not_written = self.latest.put(&miss.trace, &last);
        Saved { record: last.record, kept: false }
    }

    /// Puts the contents of outputs into the store, and gives back those that are
    /// too small for it; `None` if one is no longer what was collected.
    fn keep(&self, outputs: &Outputs) -> Result<Option<Small>, Problem> {
        let path = |output: &Output| self.root.join(output.path.as_path());
        let small = Small::collect(outputs, |output, digest, size| content_at(&path(output), digest, size));
        let Some(small) = small else { return Ok(None) };
        let put = |output: &Output| match &output.kind {
            OutputKind::File { digest, size, .. } if small.get(*digest).is_none() => {
                self.contents.put_file(&path(output), *digest, *size)
            }
            _ => Ok(true),
        };
        let kept: Result<Vec<bool>, Problem> = each(outputs.as_slice(), put).into_iter().collect();
        Ok(kept?.into_iter().all(|kept| kept).then_some(small))
    }

    /// Keeps what a step wrote, secrets masked, to be saved with what it made. It
    /// is not held in memory.
    ///
    /// # Errors
    /// The cache cannot be written ([`CacheUnusable`](crate::diagnostic::Code::CacheUnusable)).
    pub fn keep_log(&self, log: impl Read) -> Result<KeptLog, Problem> {
        self.contents.put_log(log)
    }

    /// Remembers a step that failed, or was stopped, with what it made until then;
    /// `standing` is what it found where it makes its outputs.
    ///
    /// # Errors
    /// The cache cannot be written ([`CacheUnusable`](crate::diagnostic::Code::CacheUnusable)).
    pub fn save_rest(
        &self,
        miss: &Miss,
        (patterns, standing): (&[Pattern], &Standing),
        outcome: Outcome,
        started: Timestamp,
        duration: Duration,
    ) -> Result<(), Problem> {
        // It is its own, and goes before it runs again.
        let outputs = collect(&self.root, patterns, standing, true, &self.looks);
        let outputs = outputs.unwrap_or_default();
        let made = Made { outputs, image: None, log: None, started, duration, steady: false };
        self.latest.put(&miss.trace, &LastRun { record: record(miss, made), outcome })
    }

    /// Brings the outputs of a hit into the workspace, all or none of them, verifies its log,
    /// and marks the hit as used; to be called for hits without outputs, too.
    /// `patterns` are those that the step declares.
    ///
    /// A directory that is declared as an output belongs to the step: what lies
    /// there and was not made by it is moved to `.hoist/displaced`, as far as `exactness`
    /// says. Outside of such directories nothing but the outputs themselves is touched.
    ///
    /// # Errors
    /// The workspace cannot be written ([`ReadOnly`](crate::diagnostic::Code::ReadOnly));
    /// a symbolic link leads out of the project
    /// ([`OutsideProject`](crate::diagnostic::Code::OutsideProject)).
    pub fn restore(
        &self,
        hit: &Hit,
        patterns: &[Pattern],
        exactness: Exactness,
    ) -> Result<Restoration, Problems> {
        // It is shown as it lies there.
        if let Some(lost) = hit.record.log.and_then(|log| self.contents.verify(log.digest, log.size).err()) {
            let log = "its log".to_owned();
            return Ok(Restoration::Lost(match lost {
                Lost::Corrupt => Reason::ContentCorrupt(log),
                Lost::Gone | Lost::Write(_) => Reason::ContentGone(log),
            }));
        }
        let contents = Contents { small: &hit.small, store: &self.contents };
        let made = OnceCell::new();
        let is_own = |path: &ProjectPath| {
            // What is read is part of the key, and is made what it is.
            hit.trace.reads(path)
                || self.is_made(made.get_or_init(|| self.made_by(&hit.record.step)), path.as_path())
        };
        let outputs = &hit.record.outputs;
        let restoration =
            restore(&self.root, outputs, (patterns, exactness), contents, &self.looks, &is_own)?;
        if matches!(restoration, Restoration::Lost(_)) {
            return Ok(restoration);
        }
        touch(&self.record_path(hit.record.key));
        let is_written = matches!(restoration, Restoration::Restored(..));
        if is_written || !self.latest.is_done(&hit.record.step, hit.record.key) {
            // If this fails, later explanations suffer, and nothing else.
            let last = LastRun { record: hit.record.clone(), outcome: Outcome::Done };
            let _ = self.latest.put(&hit.trace, &last);
        }
        Ok(restoration)
    }

    /// Why [`restore`](Self::restore) would write to the workspace; nothing where that
    /// holds exactly the outputs of the hit. Changes nothing, so that a plan can ask.
    ///
    /// # Errors
    /// The workspace cannot be read; a symbolic link leads out of the project.
    pub fn differences(
        &self,
        hit: &Hit,
        patterns: &[Pattern],
        exactness: Exactness,
    ) -> Result<Vec<Reason>, Problems> {
        differences(&self.root, &hit.record.outputs, (patterns, exactness), &self.looks)
    }

    /// The file of what a step wrote; `None` if it wrote nothing. [`Cache::restore`] has
    /// verified it; it may be gone by the time at which it is read.
    #[must_use]
    pub fn log(&self, record: &Record) -> Option<PathBuf> {
        record.log.map(|log| self.contents.path(log.digest))
    }

    /// The last run of a step in this project.
    #[must_use]
    pub fn last(&self, step: &StepId) -> Option<LastRun> {
        self.latest.get(&step.to_string())
    }

    /// How long the last run of a step in this project took.
    #[must_use]
    pub fn duration(&self, step: &StepId) -> Option<Duration> {
        self.latest.duration(&step.to_string())
    }

    fn record_path(&self, key: Key) -> PathBuf {
        self.dir.join("records").join(key.to_string())
    }
}

/// The record of what a step made.
fn record(miss: &Miss, made: Made) -> Record {
    Record {
        key: miss.trace.key(),
        step: miss.trace.step().to_owned(),
        outputs: made.outputs,
        image: made.image,
        log: made.log,
        started: made.started,
        duration: made.duration,
        hoist: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Gives a cache an identity of 16 bytes that no other has.
pub(super) fn identify(dir: &Path) -> Result<(), Problem> {
    let id = [any_number().to_le_bytes(), any_number().to_le_bytes()].concat();
    write_whole(&dir.join("tmp"), &dir.join(ID), &id)
}

/// What becomes of each; by several threads where that is worth it.
pub(super) fn each<T: Sync, U: Send>(all: &[T], with: impl Fn(&T) -> U + Send + Sync) -> Vec<U> {
    const MANY: usize = 64;
    if all.len() < MANY { all.iter().map(with).collect() } else { all.par_iter().map(with).collect() }
}
