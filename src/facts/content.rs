//! Digests of what is read.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::ProjectPath;
use crate::diagnostic::{Code, Problem};
use crate::facts::{InputFile, InputKind};

/// From here on a file is worth being digested by several threads.
const LARGE: u64 = 4 << 20;

/// Reads one file, symbolic link, or empty directory of the project.
pub(super) fn read(root: &Path, path: &ProjectPath) -> Result<InputFile, Problem> {
    let full = root.join(path.as_path());
    let unreadable = |error: std::io::Error| {
        Problem::new(Code::Unreadable, format!("`{path}` cannot be read")).note(error.to_string())
    };
    let metadata = full.symlink_metadata().map_err(unreadable)?;
    let (kind, digest) = if metadata.is_symlink() {
        let text = fs::read_link(&full).map_err(unreadable)?;
        (InputKind::Symlink, blake3::hash(text.as_os_str().as_bytes()))
    } else if metadata.is_dir() {
        (InputKind::Directory, blake3::hash(&[]))
    } else {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let kind = if executable { InputKind::Executable } else { InputKind::File };
        (kind, digest(&full, metadata.len()).map_err(unreadable)?)
    };
    Ok(InputFile { path: path.clone(), kind, digest: digest.into() })
}

fn digest(path: &Path, size: u64) -> std::io::Result<blake3::Hash> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    if size < LARGE {
        hasher.update_reader(file)?;
        return Ok(hasher.finalize());
    }
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if file.by_ref().take(LARGE).read_to_end(&mut piece)? == 0 {
            return Ok(hasher.finalize());
        }
        hasher.update_rayon(&piece);
    }
}
