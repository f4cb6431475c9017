//! What the file system says of a file, to know without reading it that it is
//! the same.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::facts::{InputKind, moment};

/// Kinds of files and permissions in a mode (`inode(7)`).
const KIND: u32 = 0o170_000;

/// What changes if a file is written, replaced, or given other permissions. The
/// change time cannot be set by a program, as the modification time can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stat {
    /// The file system that it lies on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content changed, in nanoseconds since 1970.
    pub modified: i64,
    /// When anything of it changed, in nanoseconds since 1970.
    pub changed: i64,
    /// Its kind and permissions.
    pub mode: u32,
}

impl Stat {
    /// What the file system says.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }

    /// What it is as an input; `None` for a device, a socket, and the like.
    #[must_use]
    pub const fn kind(&self) -> Option<InputKind> {
        match self.mode & KIND {
            0o100_000 if self.mode & 0o100 != 0 => Some(InputKind::Executable),
            0o100_000 => Some(InputKind::File),
            0o120_000 => Some(InputKind::Symlink),
            0o040_000 => Some(InputKind::Directory),
            _ => None,
        }
    }

    /// The later of both times.
    #[must_use]
    pub fn latest(&self) -> i64 {
        self.modified.max(self.changed)
    }
}

/// What the file system said of a file, which was read after that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What it said.
    pub stat: Stat,
    /// A moment before that, in nanoseconds since 1970.
    pub at: i64,
}

impl Seen {
    /// What the file system says of a path now; a link is not followed.
    ///
    /// # Errors
    /// Nothing is there, or it cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let at = moment();
        Ok(Self { stat: Stat::of(&path.symlink_metadata()?), at })
    }

    /// Whether every later change of the file changes what the file system says of
    /// it.
    ///
    /// A time in the future says nothing: the clock, or the file's time, was set.
    #[must_use]
    pub fn is_settled(&self, clock: Clock) -> bool {
        // File systems without fractions of seconds count in steps of up to two.
        let whole = |time: i64| time % 1_000_000_000 == 0;
        let coarse = whole(self.stat.modified) && whole(self.stat.changed);
        let step = match (coarse, clock.fine && clock.device == self.stat.device) {
            (true, _) => 2_000_000_000,
            (false, true) => return true,
            (false, false) => STEP,
        };
        self.stat.latest().saturating_add(step) < self.at
    }
}

/// Larger than any step in which kernels count the times of files, in nanoseconds:
/// 100 times a second is the slowest.
const STEP: i64 = 20_000_000;

/// How finely a file system counts the times of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The file system.
    pub device: u64,
    /// Each change of a file that was looked at gets a time of its own, as Linux
    /// gives it since 6.13 on its usual file systems.
    pub fine: bool,
}
