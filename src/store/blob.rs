//! Blobs of a layout, read and written piece by piece.

use std::error::Error;
use std::fmt;
use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, Digester};

/// Files that are being written begin with this; what is left of a run that was
/// killed can be told by it.
pub(super) const UNFINISHED: &str = ".hoist-";

/// A new blob. It has no name until it is [committed](Self::commit); dropped
/// before that, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    file: NamedTempFile,
    digester: Digester,
    blobs: PathBuf,
}

impl BlobWriter {
    pub(super) fn new(root: &Path, blobs: PathBuf) -> Result<Self, Problem> {
        let file = unfinished(root).map_err(|error| unusable("write to", root, &error))?;
        Ok(Self { file, digester: Digester::new(), blobs })
    }

    /// Gives the blob its name and describes it. One that is there already may be
    /// damaged, and is replaced.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn commit(self, media_type: &str) -> Result<Descriptor, Problem> {
        let (digest, size) = self.digester.finish();
        let path = self.blobs.join(digest.hex());
        self.file.persist(&path).map_err(|error| unusable("write", &path, &error.error))?;
        Ok(Descriptor::new(media_type, digest, size))
    }

    /// As [`commit`](Self::commit), if the content is the one that is described,
    /// and only after it is safe on disk.
    ///
    /// # Errors
    /// Another digest or size than expected; the file system refuses.
    pub fn commit_as(self, expected: &Descriptor) -> Result<(), Problem> {
        let (digest, size) = self.digester.clone().finish();
        if (digest, size) != (expected.digest, expected.size) {
            return Err(mismatch(expected, digest, size));
        }
        let synced = self.file.as_file().sync_data();
        synced.map_err(|error| unusable("write", self.file.path(), &error))?;
        self.commit(&expected.media_type).map(drop)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.file.write(buffer)?;
        self.digester.update(buffer.get(..count).unwrap_or(buffer));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file is not what its name says.
#[derive(Debug)]
pub(super) struct Damaged(PathBuf);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not have the digest in its name", self.0.display())
    }
}

impl Error for Damaged {}

/// The content of a blob. Of content with another digest or size than described
/// the last piece is not handed out: reading it fails.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    path: PathBuf,
    expected: Descriptor,
    /// Until the end is reached.
    digester: Option<Digester>,
    read: u64,
}

impl BlobReader {
    pub(super) fn open(path: PathBuf, expected: &Descriptor) -> Result<Self, Problem> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(&path, expected)),
            Err(error) => return Err(unusable("read", &path, &error)),
        };
        let metadata = file.metadata().map_err(|error| unusable("read", &path, &error))?;
        if metadata.len() != expected.size {
            return Err(damaged(&path, expected));
        }
        Ok(Self { file, path, expected: expected.clone(), digester: Some(Digester::new()), read: 0 })
    }

    /// What lies behind the first `count` bytes. Without those it cannot be verified:
    /// whoever has both parts must.
    pub(super) fn skip(mut self, count: u64) -> Result<Self, Problem> {
        if count > 0 {
            let moved = self.file.seek(SeekFrom::Start(count));
            self.read = moved.map_err(|error| unusable("read", &self.path, &error))?;
            self.digester = None;
        }
        Ok(self)
    }

    /// All of it.
    ///
    /// # Errors
    /// Another digest or size than described; more than `limit` bytes.
    pub(super) fn all(mut self, limit: u64) -> Result<Vec<u8>, Problem> {
        if self.expected.size > limit {
            let title = format!("`{}` has {} bytes", self.expected.digest, self.expected.size);
            return Err(Problem::new(Code::Registry, title).note(format!("at most {limit} are read at once")));
        }
        let mut bytes = Vec::new();
        match self.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.unread(&error)),
        }
    }

    /// Reads it for its digest alone.
    ///
    /// # Errors
    /// Another digest or size than described.
    pub(super) fn verify(mut self) -> Result<(), Problem> {
        match io::copy(&mut self, &mut io::sink()) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.unread(&error)),
        }
    }

    fn unread(&self, error: &io::Error) -> Problem {
        if error.kind() == io::ErrorKind::InvalidData {
            damaged(&self.path, &self.expected)
        } else {
            unusable("read", &self.path, error)
        }
    }
}

impl BlobReader {
    fn wrong(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Damaged(self.path.clone()))
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.expected.size - self.read).unwrap_or(usize::MAX);
        let most = rest.min(buffer.len());
        let count = self.file.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.read += count as u64;
        if let Some(digester) = &mut self.digester {
            digester.update(buffer.get(..count).unwrap_or_default());
        }
        // The last piece is handed out after the whole was found right.
        if self.read == self.expected.size
            && let Some(digester) = self.digester.take()
            && digester.finish() != (self.expected.digest, self.expected.size)
        {
            return Err(self.wrong());
        }
        if count == 0 && most > 0 { Err(self.wrong()) } else { Ok(count) }
    }
}

/// A file of a layout that has no name yet, with the permissions that the
/// user's mask leaves: others read layouts, too.
pub(super) fn unfinished(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).permissions(Permissions::from_mode(0o666)).tempfile_in(directory)
}

/// The file system refuses something.
pub(super) fn unusable(verb: &str, path: &Path, error: &io::Error) -> Problem {
    Problem::new(Code::Registry, format!("cannot {verb} `{}`", path.display())).note(error.to_string())
}

/// Content is not there.
fn missing(path: &Path, expected: &Descriptor) -> Problem {
    Problem::new(Code::NotFound, format!("there is no blob `{}`", expected.digest))
        .note(format!("looked for {}", path.display()))
}

/// Content on disk is not what its name says.
fn damaged(path: &Path, expected: &Descriptor) -> Problem {
    let title = format!("the content of `{}` is damaged", path.display());
    Problem::new(Code::DigestMismatch, title)
        .note(format!("expected {} bytes with {}", expected.size, expected.digest))
        .help("remove the file and run again")
}

/// Content that came in is not what was announced.
pub(super) fn mismatch(expected: &Descriptor, digest: Digest, size: u64) -> Problem {
    Problem::new(
        Code::DigestMismatch,
        format!("content announced as `{}` is something else", expected.digest),
    )
    .note(format!("expected {} bytes, received {size} with {digest}", expected.size))
}

/// A registry says that it has so many bytes of content that has another size.
pub(super) fn mismatch_in_size(expected: &Descriptor, size: u64) -> Problem {
    Problem::new(Code::DigestMismatch, format!("`{}` is there with another size", expected.digest))
        .note(format!("it has {} bytes, and {size} are there", expected.size))
}
