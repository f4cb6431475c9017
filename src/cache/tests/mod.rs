//! The cache as its users see it, on real directories.

mod clean;
mod identity;
mod lookup;
mod workspace;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use crate::cache::{Cache, Exactness, Hit, Lookup, Made, Outputs, Restoration, Room, Saved, Standing, Trace};
use crate::config::{Pattern, ProjectPath};
use crate::diagnostic::{Code, Problems, Sources, Span, Spanned};
use crate::plan::{Definition, Effect, StepId, Subject};

/// A project with a cache of its own.
pub(super) struct Fixture {
    pub(super) dir: TempDir,
    pub(super) cache: Cache,
    pub(super) patterns: Vec<Pattern>,
}

impl Fixture {
    /// A project whose step `make` declares these outputs, `!` for negated ones.
    pub(super) fn new(patterns: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("project")).unwrap();
        let cache = Cache::open(&dir.path().join("cache"), &dir.path().join("project")).unwrap();
        Self { dir, cache, patterns: patterns.iter().map(|text| pattern(text)).collect() }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// Makes room for the step `make`, which reads nothing that is in its way.
    pub(super) fn clear(&self) -> Room {
        let step = StepId::target("make");
        self.cache.clear((&step, Effect::Cacheable), &self.patterns, &HashSet::new(), None).unwrap()
    }

    pub(super) fn wipe(&self) {
        fs::remove_dir_all(self.root()).unwrap();
        fs::create_dir(self.root()).unwrap();
    }

    pub(super) fn collect(&self) -> Result<Outputs, Problems> {
        self.cache.collect(&self.patterns, &Standing::default())
    }

    pub(super) fn collected(&self) -> Vec<String> {
        self.collect().unwrap().iter().map(|output| output.path.to_string()).collect()
    }

    pub(super) fn codes(&self) -> Vec<Code> {
        self.collect().unwrap_err().as_slice().iter().map(|problem| problem.code).collect()
    }

    /// Saves what lies in the project as what the step made with this input.
    pub(super) fn save(&self, input: u8) -> Saved {
        let Lookup::Miss(miss) = self.cache.find(&trace(input)) else { panic!("a hit") };
        self.cache.save(&miss, self.made()).unwrap()
    }

    pub(super) fn made(&self) -> Made {
        let log = self.cache.keep_log(&b"log\n"[..]).unwrap();
        Made { outputs: self.collect().unwrap(), log: Some(log), ..made() }
    }

    pub(super) fn hit(&self, input: u8) -> Hit {
        match self.cache.find(&trace(input)) {
            Lookup::Hit(hit) => *hit,
            Lookup::Miss(miss) => panic!("a miss: {:?}", miss.reasons()),
        }
    }

    pub(super) fn reasons(&self, input: u8) -> Vec<String> {
        match self.cache.find(&trace(input)) {
            Lookup::Hit(_) => Vec::new(),
            Lookup::Miss(miss) => miss.reasons().iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn restore(&self, input: u8) -> Result<Restoration, Problems> {
        self.cache.restore(&self.hit(input), &self.patterns, Exactness::Whole)
    }

    pub(super) fn restored(&self, input: u8) -> Vec<String> {
        match self.restore(input).unwrap() {
            Restoration::Restored(reasons, _) => reasons.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Takes the record of what the step made with this input away.
    pub(super) fn forget(&self, input: u8) {
        let name = trace(input).key().to_string();
        fs::remove_file(self.dir.path().join("cache/v4/records").join(name)).unwrap();
    }

    /// The only file in the cache that holds this text.
    pub(super) fn content(&self, text: &str) -> PathBuf {
        let hex = blake3::hash(text.as_bytes()).to_hex();
        let (fan, rest) = hex.split_at(2);
        self.dir.path().join("cache/v4/content").join(fan).join(rest)
    }
}

/// A content that does not lie in a record.
pub(super) fn large(text: &str) -> String {
    text.repeat(1000)
}

pub(super) fn made() -> Made {
    Made {
        outputs: Outputs::default(),
        image: None,
        log: None,
        started: Timestamp::UNIX_EPOCH,
        duration: Duration::from_millis(1500),
        steady: true,
    }
}

pub(super) fn pattern(text: &str) -> Pattern {
    let span = Span::new(Sources::new().add("release.kdl", text), 0..text.len());
    let glob = text.strip_prefix('!').unwrap_or(text);
    Pattern { glob: Spanned::new(glob.to_owned(), span), negated: text.starts_with('!') }
}

pub(super) fn definition(input: u8) -> Definition {
    let mut definition = Definition::default();
    definition.digest(Subject::Input(path("in")), [input; 32]);
    definition
}

pub(super) fn trace(input: u8) -> Trace {
    Trace::new(&StepId::target("make"), &definition(input), [])
}

pub(super) fn path(text: &str) -> ProjectPath {
    ProjectPath::root().join(text).unwrap()
}

pub(super) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// All that lies below a directory: kind, permissions, content.
pub(super) fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::symlink_metadata(&path).unwrap();
            let mode = found.permissions().mode() & 0o7777;
            let what = if found.is_symlink() {
                format!("link {}", fs::read_link(&path).unwrap().display())
            } else if found.is_dir() {
                pending.push(path.clone());
                format!("dir {mode:o}")
            } else {
                format!("file {mode:o} {:?}", fs::read(&path).unwrap())
            };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    all
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
