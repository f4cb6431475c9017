//! What the last run of some goals left: enough to know without planning that
//! nothing is to be done, or which few steps may be.
//!
//! A snapshot holds what the file system said of every file that the steps read
//! or made, and of the directories in which files were looked for. While it says
//! the same, and the release file, the facts, variables, and tools that are
//! consulted are the same, each step would get the key that it had. Where some of
//! it is different, the steps that this concerns, and all that come behind them,
//! make a smaller plan. That is so of the steps of targets; where goals need images,
//! all is planned as soon as anything is different, and what is published is planned
//! each time.
//!
//! Three files: the table of files, which is always read; that of steps, with what the
//! files held, which is read when something changed; and the texts of the steps, of which only those are read
//! that may have to run. The tables are forms of one build of hoist and of one run,
//! sealed, and a step tells what its text is: what does not fit together is as good as
//! not there.

mod build;
mod files;
mod step;
mod steps;
mod subset;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cache::sealed::{seal, unseal};
use crate::config::{Consulted, Release};
use crate::facts::{Clock, Origin, Stat, ToolQuery, repository_depth};

pub use build::{Ran, Stored};
pub use step::Texts;
pub use steps::Steps;
pub use subset::{SettledOutputs, Subset};

use files::{Change, Files};

/// What a snapshot says of the run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The build of hoist whose form this is.
    pub build: [u8; 32],
    /// When all of the steps were planned, in nanoseconds since 1970.
    pub planned: i64,
    /// Which content store holds what the steps made.
    pub store: [u8; 16],
    /// What the release was read from.
    pub origin: Origin,
    /// The release without its targets.
    pub release: Release,
    /// What the targets consult.
    pub consulted: Consulted,
    /// Tools that are asked.
    pub tools: Vec<ToolQuery>,
    /// The digest of what was consulted, [`Facts::world`](crate::facts::Facts::world).
    pub world: [u8; 32],
    /// How far above the project `.gitignore` files count.
    pub depth: Option<usize>,
    /// Where a `.gitignore` counts, relative to the project's directory or
    /// absolute, as bytes, and the file as it was.
    pub rules: Vec<(Vec<u8>, Option<Stat>)>,
    /// Steps that are up to date while nothing changes.
    pub up_to_date: usize,
    /// Steps that do not apply.
    pub skipped: usize,
    /// Variables that are passed to targets: secret.
    pub passed: Vec<String>,
    /// Whether some steps have to be looked at although nothing changed.
    pub pending: bool,
    /// Whether it only tells that nothing changed: some of its steps cannot be planned
    /// on their own. Set when it is stored.
    pub closed: bool,
    /// Tells which steps belong to it. Set when it is stored, as are the counts.
    pub run: u64,
}

/// What the last run of some goals left.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What it says of the run as a whole.
    pub head: Head,
    files: Files,
}

/// Files that are not what a snapshot says.
#[derive(Clone, Debug, Default)]
pub struct Changes(Vec<(u32, Change)>);

impl Snapshot {
    /// The snapshot that was stored by this build; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut bytes: Vec<u8>, build: &[u8; 32]) -> Option<Self> {
        let whole = unseal(&bytes)?;
        let (length, rest) = whole.split_first_chunk()?;
        let (head, files) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        // Before anything of another build is taken for what it is not.
        let head = head.strip_prefix(build)?;
        let head: Head = postcard::from_bytes(head).ok()?;
        let (start, end) = (whole.len() - files.len(), whole.len());
        bytes.truncate(end);
        Some(Self { head, files: Files::read(bytes, start)? })
    }

    /// The bytes to store; `None` for what has no stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let head = postcard::to_stdvec(&self.head).ok()?;
        let length = u32::try_from(head.len() + self.head.build.len()).ok()?;
        let mut bytes = Vec::with_capacity(head.len() + self.files.size() + 128);
        bytes.extend(length.to_le_bytes());
        bytes.extend(self.head.build);
        bytes.extend(head);
        self.files.write(&mut bytes);
        Some(seal(bytes))
    }

    /// Whether each `.gitignore` is what it was.
    #[must_use]
    pub fn has_same_rules(&self, root: &Path) -> bool {
        let now = |path: &[u8]| {
            let found = root.join(OsStr::from_bytes(path)).symlink_metadata();
            found.ok().map(|found| Stat::of(&found))
        };
        repository_depth(root) == self.head.depth
            && self.head.rules.iter().all(|(path, stat)| now(path) == *stat)
    }

    /// Looks at every file, and returns those of which the file system says something
    /// else.
    #[must_use]
    pub fn suspects(&self, root: &Path) -> Vec<u32> {
        self.files.suspects(root)
    }

    /// Looks into suspects.
    #[must_use]
    pub fn changes(&self, root: &Path, suspects: &[u32], steps: &Steps, clock: Clock) -> Changes {
        Changes(self.files.changes(root, suspects, &steps.digests, clock))
    }

    /// Takes note of files that hold what they did, and returns whether there are
    /// any: the snapshot is then worth storing again.
    pub fn settle(&mut self, changes: &Changes) -> bool {
        let touched = changes.0.iter().filter_map(|(at, change)| match change {
            Change::Touched(row) => Some((*at, row)),
            Change::Changed => None,
        });
        let mut any = false;
        for (at, row) in touched {
            self.files.replace(at, row);
            any = true;
        }
        any
    }
}

impl Changes {
    /// Whether every file holds what it did.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed().next().is_none()
    }

    fn changed(&self) -> impl Iterator<Item = u32> {
        self.0.iter().filter(|(_, change)| *change == Change::Changed).map(|(at, _)| *at)
    }
}
