//! The files that a snapshot watches, as a table of bytes.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat2, statat};

use crate::cache::Blake3;
use crate::cache::content::digest_at;
use crate::facts::{Clock, InputKind, Seen, Stat};

/// Bytes of a row of the table.
const ROW: usize = 68;

/// Bytes of a digest: whether there is one, and it.
const DIGEST: usize = 33;

/// The directory of a row that is no longer looked at.
const FORGOTTEN: u32 = u32::MAX;

/// Most directories that one thread has open.
const OPEN: usize = 32;

/// Rows that one thread looks at in one go.
const BATCH: usize = 1024;

/// Files, links, and directories with what the file system said of them. The
/// table is read and written as it is, so that looking at all of it costs little
/// more than asking the file system.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    /// Directories that rows lie in, relative to the project's.
    directories: Vec<PathBuf>,
    rows: Vec<u8>,
    names: Vec<u8>,
}

/// What the files of a table hold, by their places: it is looked at only where the file
/// system says something else.
#[derive(Clone, Debug, Default)]
pub(super) struct Digests(Vec<u8>);

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    directory: u32,
    name: (u32, u32),
    pub(super) seen: Seen,
    /// Whether later changes show in what the file system says.
    pub(super) settled: bool,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The file system says something else, but the file holds what it did.
    Touched(Row),
    /// It is another file, or it cannot be told.
    Changed,
}

impl Digests {
    /// Those that were stored; `None` if the bytes are none.
    pub(super) fn read(bytes: Vec<u8>) -> Option<Self> {
        bytes.len().is_multiple_of(DIGEST).then_some(Self(bytes))
    }

    /// The bytes to store.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// That of a file; `None` for what is no file that may be looked into.
    pub(super) fn get(&self, at: u32) -> Option<Blake3> {
        let start = (at as usize).checked_mul(DIGEST)?;
        let (is_there, digest) = self.0.get(start..)?.split_first()?;
        (*is_there == 1).then_some(Blake3(*digest.first_chunk()?))
    }

    /// Puts one in its place, or behind all others.
    pub(super) fn put(&mut self, at: u32, digest: Option<Blake3>) {
        let mut bytes = vec![u8::from(digest.is_some())];
        bytes.extend(digest.unwrap_or(Blake3([0; 32])).0);
        let start = (at as usize).saturating_mul(DIGEST);
        match self.0.get_mut(start..start.saturating_add(DIGEST)) {
            Some(place) => place.copy_from_slice(&bytes),
            None => self.0.extend(bytes),
        }
    }
}

impl Row {
    /// The same file as it is now.
    pub(super) const fn renewed(&self, seen: Seen, settled: bool) -> Self {
        Self { seen, settled, ..*self }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = 0;
        let mut take = |length: usize| {
            at += length;
            bytes.get(at - length..at)
        };
        let mut word = || Some(u32::from_le_bytes(take(4)?.try_into().ok()?));
        let (directory, name, mode, flags) = (word()?, (word()?, word()?), word()?, word()?);
        let mut long = || Some(u64::from_le_bytes(take(8)?.try_into().ok()?));
        let (device, inode, size) = (long()?, long()?, long()?);
        let (modified, changed, at_moment) =
            (long()?.cast_signed(), long()?.cast_signed(), long()?.cast_signed());
        let stat = Stat { device, inode, size, modified, changed, mode };
        Some(Self { directory, name, seen: Seen { stat, at: at_moment }, settled: flags != 0 })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Stat { device, inode, size, modified, changed, mode } = self.seen.stat;
        for word in [self.directory, self.name.0, self.name.1, mode, u32::from(self.settled)] {
            out.extend(word.to_le_bytes());
        }
        for long in [device, inode, size] {
            out.extend(long.to_le_bytes());
        }
        for long in [modified, changed, self.seen.at] {
            out.extend(long.to_le_bytes());
        }
    }
}

impl Files {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len() / ROW
    }

    /// About how many bytes it takes, but for its directories.
    pub(super) fn size(&self) -> usize {
        self.rows.len() + self.names.len()
    }

    pub(super) fn row(&self, at: u32) -> Option<Row> {
        let start = at as usize * ROW;
        Row::read(self.rows.get(start..start + ROW)?)
    }

    /// The path of a row, relative to the project's directory.
    pub(super) fn path(&self, row: &Row) -> PathBuf {
        let directory = self.directories.get(row.directory as usize).cloned().unwrap_or_default();
        let name = self.name(row);
        if name == "." { directory } else { directory.join(name) }
    }

    fn name(&self, row: &Row) -> &OsStr {
        let (start, length) = (row.name.0 as usize, row.name.1 as usize);
        OsStr::from_bytes(self.names.get(start..start + length).unwrap_or_default())
    }

    /// Adds a row, and returns its place. Its directory has one of its own, too.
    pub(super) fn push(&mut self, directory: u32, name: &OsStr, seen: Seen, settled: bool) -> u32 {
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let name_at = (number(self.names.len()), number(name.len()));
        self.names.extend_from_slice(name.as_bytes());
        Row { directory, name: name_at, seen, settled }.write(&mut self.rows);
        number(self.len() - 1)
    }

    /// Adds a directory that rows lie in, and returns its place.
    pub(super) fn push_directory(&mut self, path: PathBuf) -> u32 {
        self.directories.push(path);
        u32::try_from(self.directories.len() - 1).unwrap_or(u32::MAX)
    }

    /// The directories that rows lie in.
    pub(super) fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Puts another row in the place of one.
    pub(super) fn replace(&mut self, at: u32, row: &Row) {
        let start = at as usize * ROW;
        let mut bytes = Vec::with_capacity(ROW);
        row.write(&mut bytes);
        if let Some(place) = self.rows.get_mut(start..start + ROW) {
            place.copy_from_slice(&bytes);
        }
    }

    /// The places of the rows of directories, by their paths.
    pub(super) fn places_of_directories(&self) -> impl Iterator<Item = (PathBuf, u32)> {
        let rows =
            (0..).zip(self.rows.chunks_exact(ROW)).filter_map(|(at, bytes)| Some((at, Row::read(bytes)?)));
        let of_directories = rows.filter(|(_, row)| {
            row.directory != FORGOTTEN && row.seen.stat.kind() == Some(InputKind::Directory)
        });
        of_directories.map(|(at, row)| (self.path(&row), at))
    }

    /// Looks no more at the file of a row.
    pub(super) fn forget(&mut self, at: u32) {
        if let Some(row) = self.row(at) {
            self.replace(at, &Row { directory: FORGOTTEN, ..row });
        }
    }

    /// Looks at all files, by several threads, and returns those of which the
    /// file system says something else, or may say the same although they changed.
    pub(super) fn suspects(&self, root: &Path) -> Vec<u32> {
        let batches = self.rows.par_chunks(ROW * BATCH).enumerate();
        let suspects = batches.map(|(batch, rows)| {
            let mut suspects = Vec::new();
            let mut open: HashMap<u32, Option<OwnedFd>> = HashMap::new();
            for (at, bytes) in rows.chunks_exact(ROW).enumerate() {
                let Some(row) = Row::read(bytes).filter(|row| row.directory != FORGOTTEN) else { continue };
                if open.len() == OPEN && !open.contains_key(&row.directory) {
                    open.clear();
                }
                let directory = open.entry(row.directory).or_insert_with(|| self.open(root, row.directory));
                let stat = directory
                    .as_ref()
                    .and_then(|directory| statat(directory, self.name(&row), AtFlags::SYMLINK_NOFOLLOW).ok());
                let same = stat.as_ref().is_some_and(|stat| is_same(&row.seen.stat, stat));
                if !(same && row.settled) {
                    suspects.push(u32::try_from(batch * BATCH + at).unwrap_or(u32::MAX));
                }
            }
            suspects
        });
        suspects.flatten().collect()
    }

    /// What became of files that may have changed.
    pub(super) fn changes(
        &self,
        root: &Path,
        suspects: &[u32],
        digests: &Digests,
        clock: Clock,
    ) -> Vec<(u32, Change)> {
        let look = |at: &u32| Some((*at, self.look(root, &self.row(*at)?, digests.get(*at), clock)));
        suspects.par_iter().filter_map(look).collect()
    }

    fn open(&self, root: &Path, directory: u32) -> Option<OwnedFd> {
        let path = root.join(self.directories.get(directory as usize)?);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // What a link leads to is not what was seen there.
        openat2(rustix::fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()
    }

    /// Looks into a file of which the file system says something else, or may
    /// say the same although it was changed.
    fn look(&self, root: &Path, row: &Row, digest: Option<Blake3>, clock: Clock) -> Change {
        let below = self.path(row);
        let path = root.join(&below);
        let Ok(seen) = Seen::of(&path) else { return Change::Changed };
        let stat = seen.stat;
        let is_file = matches!(stat.kind(), Some(InputKind::File | InputKind::Executable));
        let like = is_file && stat.size == row.seen.stat.size && stat.mode == row.seen.stat.mode;
        let Some(digest) = digest.filter(|_| like) else { return Change::Changed };
        let mut above = below.ancestors().skip(1);
        if above.any(|above| root.join(above).is_symlink())
            || !digest_at(&path, stat.size).is_ok_and(|(found, _)| found == digest)
        {
            return Change::Changed;
        }
        Change::Touched(Row { seen, settled: seen.is_settled(clock), ..*row })
    }

    /// The bytes to store.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let directories: Vec<&[u8]> =
            self.directories.iter().map(|path| path.as_os_str().as_bytes()).collect();
        let directories = postcard::to_stdvec(&directories).unwrap_or_default();
        for part in [&directories, &self.rows, &self.names] {
            out.extend((part.len() as u64).to_le_bytes());
            out.extend_from_slice(part);
        }
    }

    /// The table that was stored and begins at that byte; `None` if the bytes are none.
    pub(super) fn read(mut bytes: Vec<u8>, start: usize) -> Option<Self> {
        let mut rest = bytes.get(start..)?;
        let mut part = || {
            let (length, behind) = rest.split_first_chunk()?;
            let (part, behind) =
                behind.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
            rest = behind;
            Some(part)
        };
        let (directories, rows, names) = (part()?, part()?.len(), part()?.to_vec());
        let directories: Vec<Vec<u8>> =
            postcard::from_bytes(directories).ok().filter(|_| rows.is_multiple_of(ROW))?;
        let directories = directories.into_iter().map(OsString::from_vec).map(PathBuf::from);
        let directories = directories.collect();
        // Most of the bytes are rows: they stay where they are.
        bytes.truncate(bytes.len() - rest.len() - names.len() - size_of::<u64>());
        bytes.drain(..bytes.len() - rows);
        Some(Self { directories, rows: bytes, names })
    }
}

#[expect(
    clippy::unnecessary_cast,
    clippy::cast_possible_wrap,
    reason = "the fields have other types on other platforms, and nanoseconds are few"
)]
fn is_same(row: &Stat, found: &rustix::fs::Stat) -> bool {
    let nanoseconds = |seconds: i64, rest: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest);
    *row == Stat {
        device: found.st_dev as u64,
        inode: found.st_ino as u64,
        size: found.st_size.cast_unsigned() as u64,
        modified: nanoseconds(found.st_mtime as i64, found.st_mtime_nsec as i64),
        changed: nanoseconds(found.st_ctime as i64, found.st_ctime_nsec as i64),
        mode: found.st_mode as u32,
    }
}
