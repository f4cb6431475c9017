//! The store of contents, by their digests.
#![expect(clippy::disallowed_methods, reason = "how old a content is counts from this moment")]

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::cache::{Blake3, KeptLog};
use crate::diagnostic::{Code, Problem};

/// What was used within this time is not marked again: far less than eviction spares.
const LATELY: Duration = Duration::from_mins(10);

/// Up to here, a file is copied through memory in one piece.
const SMALL: u64 = 1 << 20;

/// Files named by the digests of what they hold, `ab/cdef…`.
///
/// A file appears whole or not at all, whoever else writes at the same time. It
/// may be damaged or removed at any time after that, so that reading verifies;
/// what turns out damaged is removed. Nothing outside of the store shares a
/// file with it: a build could write through a hard link.
#[derive(Clone, Debug)]
pub(super) struct ContentStore {
    dir: PathBuf,
    staging: PathBuf,
}

/// Why a content cannot be had.
#[derive(Debug)]
pub(super) enum Lost {
    /// It is not there, or cannot be opened.
    Gone,
    /// It is there and another one.
    Corrupt,
    /// It was good, and could not be written to where it was wanted.
    Write(io::Error),
}

impl ContentStore {
    /// A store in `dir`, which writes to `staging` first. Both are on one file
    /// system.
    pub(super) fn new(dir: PathBuf, staging: PathBuf) -> Self {
        Self { dir, staging }
    }

    /// Where a content lies, if it is there.
    pub(super) fn path(&self, digest: Blake3) -> PathBuf {
        let hex = digest.to_string();
        let (fan, rest) = hex.split_at(2);
        self.dir.join(fan).join(rest)
    }

    /// Whether the content seems to be there: nothing is read.
    pub(super) fn has(&self, digest: Blake3, size: u64) -> bool {
        fs::symlink_metadata(self.path(digest)).is_ok_and(|found| found.is_file() && size == found.len())
    }

    /// Reads a content to see whether it is there, and the right one.
    pub(super) fn verify(&self, digest: Blake3, size: u64) -> Result<(), Lost> {
        match digest_at(&self.path(digest), size) {
            Ok((found, _)) if found == digest => Ok(()),
            Ok(_) => {
                self.remove(digest);
                Err(Lost::Corrupt)
            }
            Err(_) => Err(Lost::Gone),
        }
    }

    /// Keeps what a step wrote, piece by piece.
    ///
    /// # Errors
    /// The store cannot be written; or what is to be kept cannot be read.
    pub(super) fn put_log(&self, mut bytes: impl io::Read) -> Result<KeptLog, Problem> {
        let fail = |error: io::Error| unusable(&self.staging, &error);
        let mut piece = Vec::new();
        let mut next = |piece: &mut Vec<u8>| {
            piece.clear();
            bytes.by_ref().take(SMALL).read_to_end(piece)
        };
        let mut size = next(&mut piece).map_err(fail)? as u64;
        if size < SMALL {
            let digest = Blake3::of(&piece);
            if !self.renew(digest, size) {
                write_whole(&self.staging, &self.path(digest), &piece)?;
            }
            return Ok(KeptLog { digest, size });
        }
        let mut copy = staged(&self.staging)?;
        let mut hasher = blake3::Hasher::new();
        while !piece.is_empty() {
            hasher.update(&piece);
            copy.write_all(&piece).map_err(fail)?;
            size += next(&mut piece).map_err(fail)? as u64;
        }
        let digest = hasher.finalize().into();
        if !self.renew(digest, size) {
            publish(copy, &self.path(digest))?;
        }
        Ok(KeptLog { digest, size })
    }

    /// Keeps what a file holds, if that has this digest; else keeps nothing and
    /// says so: the file was changed since it was digested.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(super) fn put_file(&self, file: &Path, digest: Blake3, size: u64) -> Result<bool, Problem> {
        if self.renew(digest, size) {
            return Ok(true);
        }
        let Ok(mut source) = File::open(file) else { return Ok(false) };
        let mut copy = staged(&self.staging)?;
        if copy_of(&mut source, copy.as_file_mut(), size).map_err(|error| unusable(copy.path(), &error))?
            != digest
        {
            return Ok(false);
        }
        publish(copy, &self.path(digest)).map(|()| true)
    }

    /// Whether the content is there; if so, it is used now as far as eviction
    /// is concerned.
    fn renew(&self, digest: Blake3, size: u64) -> bool {
        self.has(digest, size) && {
            touch(&self.path(digest));
            true
        }
    }

    /// Writes a content to the beginning of an empty file.
    pub(super) fn copy_to(&self, digest: Blake3, file: &mut File) -> Result<(), Lost> {
        let mut content = File::open(self.path(digest)).map_err(|_| Lost::Gone)?;
        let size = content.metadata().map_err(|_| Lost::Gone)?.len();
        if copy_of(&mut content, file, size).map_err(Lost::Write)? == digest {
            return Ok(());
        }
        self.remove(digest);
        Err(Lost::Corrupt)
    }

    fn remove(&self, digest: Blake3) {
        // If it cannot be removed, it is found damaged again.
        let _ = fs::remove_file(self.path(digest));
    }
}

/// The digest of a file that is about so large, and its size.
pub(super) fn digest_at(path: &Path, size: u64) -> io::Result<(Blake3, u64)> {
    let mut file = File::open(path)?;
    if size > SMALL {
        return Ok((digest_of(&mut file)?, file.metadata()?.len()));
    }
    let content = read_small(&mut file, size)?;
    Ok((Blake3::of(&content), content.len() as u64))
}

/// What a file holds that is about so large, if it has this digest.
pub(super) fn content_at(path: &Path, digest: Blake3, size: u64) -> Option<Vec<u8>> {
    let content = File::open(path).and_then(|mut file| read_small(&mut file, size)).ok()?;
    (Blake3::of(&content) == digest).then_some(content)
}

/// All of a file that is about so large.
fn read_small(file: &mut File, size: u64) -> io::Result<Vec<u8>> {
    let mut content = vec![0; usize::try_from(size).unwrap_or_default() + 1];
    let mut length = 0;
    loop {
        let read = file.read(content.get_mut(length..).unwrap_or_default())?;
        length += read;
        if read == 0 {
            content.truncate(length);
            return Ok(content);
        }
        if length == content.len() {
            // It has grown.
            content.resize(2 * length, 0);
        }
    }
}

/// The digest of a whole file, from its beginning.
pub(super) fn digest_of(file: &mut File) -> io::Result<Blake3> {
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize().into())
}

/// Copies a file to an empty one; the digest of what was written.
fn copy_of(from: &mut File, to: &mut File, size: u64) -> io::Result<Blake3> {
    if size > SMALL {
        // Shares the blocks where the file system can. What was written is
        // digested rather than what was read, so that there is no moment between.
        copy_data(from, to)?;
        return digest_of(to);
    }
    let content = read_small(from, size)?;
    to.write_all(&content)?;
    Ok(Blake3::of(&content))
}

/// Copies a file to an empty one. What it holds no blocks for, as in the image of a disk,
/// the copy has none for either.
fn copy_data(from: &mut File, to: &mut File) -> io::Result<()> {
    let found = from.metadata()?;
    if found.blocks().saturating_mul(512) >= found.len() {
        return io::copy(from, to).map(drop);
    }
    let mut at = 0;
    loop {
        at = match seek(&*from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Behind it is nothing but a hole.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(&*from, SeekFrom::Hole(at))?;
        from.seek(io::SeekFrom::Start(at))?;
        to.seek(io::SeekFrom::Start(at))?;
        if io::copy(&mut (&*from).take(end.saturating_sub(at)), to)? == 0 {
            break;
        }
        at = end;
    }
    to.set_len(found.len())
}

/// Marks a file as used now, if it is not marked so already. That it was used is not worth
/// failing for.
pub(super) fn touch(path: &Path) {
    let marked = fs::metadata(path).and_then(|found| found.modified());
    if marked.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < LATELY)) {
        return;
    }
    let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Writes a file of the cache, so that it appears whole or not at all.
pub(super) fn write_whole(staging: &Path, path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let mut file = staged(staging)?;
    file.write_all(bytes).map_err(|error| unusable(file.path(), &error))?;
    publish(file, path)
}

fn staged(staging: &Path) -> Result<NamedTempFile, Problem> {
    let staged = NamedTempFile::new_in(staging).or_else(|error| {
        // Somebody removed the cache, which may be done at any time.
        let gone = error.kind() == io::ErrorKind::NotFound;
        if gone {
            fs::create_dir_all(staging).and_then(|()| NamedTempFile::new_in(staging))
        } else {
            Err(error)
        }
    });
    staged.map_err(|error| unusable(staging, &error))
}

/// Gives a written file its name. It is not waited for until it is on the disk:
/// what a loss of power leaves of it is found damaged by its digest.
fn publish(file: NamedTempFile, path: &Path) -> Result<(), Problem> {
    file.as_file().set_permissions(Permissions::from_mode(0o444)).map_err(|error| unusable(path, &error))?;
    let Err(refused) = file.persist(path) else { return Ok(()) };
    let made_way = match (refused.error.kind(), path.parent()) {
        (io::ErrorKind::NotFound, Some(parent)) => fs::create_dir_all(parent),
        // It has no business there.
        (io::ErrorKind::IsADirectory, _) => fs::remove_dir_all(path),
        _ => Err(refused.error),
    };
    made_way.map_err(|error| unusable(path, &error))?;
    refused.file.persist(path).map(drop).map_err(|error| unusable(path, &error.error))
}

/// The cache cannot be read or written at a place.
pub(super) fn unusable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(Code::CacheUnusable, format!("the cache cannot be written: `{}`", path.display()))
        .note(error.to_string())
        .help("set `HOIST_CACHE_DIR` to a directory that can be written and has room")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_of_a_file_are_holes_in_the_store_and_when_it_is_restored() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let store = ContentStore::new(place("content"), place("staging"));
        let size = 256 * SMALL;
        let mut file = File::create_new(place("disk")).unwrap();
        for at in [0, 100 * SMALL] {
            file.seek(io::SeekFrom::Start(at)).unwrap();
            file.write_all(b"data").unwrap();
        }
        file.set_len(size).unwrap();
        let (digest, _) = digest_at(&place("disk"), size).unwrap();
        assert!(store.put_file(&place("disk"), digest, size).unwrap());
        let mut restored =
            File::options().read(true).write(true).create_new(true).open(place("again")).unwrap();
        assert!(store.copy_to(digest, &mut restored).is_ok());
        for path in [store.path(digest), place("again")] {
            let found = fs::metadata(&path).unwrap();
            assert_eq!((digest_at(&path, size).unwrap(), found.len()), ((digest, size), size));
            assert!(found.blocks() * 512 < 8 * SMALL, "{}: {} blocks", path.display(), found.blocks());
        }
    }
}
