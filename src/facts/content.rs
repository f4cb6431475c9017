//! Digests of what is read.
#![expect(clippy::disallowed_methods, reason = "what was read is of the moment before it was read")]

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::ProjectPath;
use crate::diagnostic::{Code, Problem};
use crate::facts::{InputFile, InputKind, KnownFiles, Seen};

/// From here on a file is worth being digested by several threads.
const LARGE: u64 = 4 << 20;

/// Reads one file, symbolic link, or empty directory of the project, unless it
/// is known.
pub(super) fn read(root: &Path, path: &ProjectPath, known: &KnownFiles) -> Result<InputFile, Problem> {
    let full = root.join(path.as_path());
    let unreadable = |error: std::io::Error| {
        Problem::new(Code::Unreadable, format!("`{path}` cannot be read")).note(error.to_string())
    };
    let seen = Seen::of(&full).map_err(unreadable)?;
    let stat = seen.stat;
    let kind = stat.kind().ok_or_else(|| unreadable(std::io::Error::other("it is not a file")))?;
    let digest = match (kind, known.digest(path.as_path(), &stat)) {
        (_, Some(digest)) => digest,
        (InputKind::Symlink, None) => {
            let text = fs::read_link(&full).map_err(unreadable)?;
            blake3::hash(text.as_os_str().as_bytes()).into()
        }
        (InputKind::Directory, None) => blake3::hash(&[]).into(),
        (InputKind::File | InputKind::Executable, None) => digest(&full, stat.size).map_err(unreadable)?,
    };
    Ok(InputFile { path: path.clone(), kind, digest, seen })
}

/// This moment, in nanoseconds since 1970.
#[must_use]
pub fn moment() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// BLAKE3 of a file, which is about so large.
pub(super) fn digest(path: &Path, size: u64) -> std::io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    if size < LARGE {
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        file.read_to_end(&mut content)?;
        return Ok(hasher.update(&content).finalize().into());
    }
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if file.by_ref().take(LARGE).read_to_end(&mut piece)? == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update_rayon(&piece);
    }
}
