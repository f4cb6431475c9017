//! Notes that are kept in the directory of a layout, and are no part of what others see
//! there.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

use crate::store::Layout;

impl Layout {
    /// Keeps a note of a kind by its name; it appears whole, in the place of an earlier
    /// one.
    ///
    /// # Errors
    /// The file system refuses. Nothing depends on a note but how fast it goes.
    pub fn keep_note(&self, kind: &str, name: &str, note: &impl Serialize) -> io::Result<()> {
        self.keep_bytes(kind, name, &serde_json::to_vec(note)?)
    }

    /// As [`keep_note`](Self::keep_note), of bytes as they are.
    ///
    /// # Errors
    /// As [`keep_note`](Self::keep_note).
    pub fn keep_bytes(&self, kind: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let directory = self.path().join(kind);
        fs::create_dir_all(&directory)?;
        let mut file = NamedTempFile::new_in(&directory)?;
        file.write_all(bytes)?;
        file.persist(self.note_path(kind, name))?;
        Ok(())
    }

    /// A note that was kept; of more than `most` bytes only the first are read.
    #[must_use]
    pub fn note<T: DeserializeOwned>(&self, kind: &str, name: &str, most: u64) -> Option<T> {
        serde_json::from_slice(&self.note_bytes(kind, name, most)?).ok()
    }

    /// As [`note`](Self::note), its bytes as they are.
    #[must_use]
    pub fn note_bytes(&self, kind: &str, name: &str, most: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.note_path(kind, name)).ok()?.take(most).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Takes the turn at what a note is to be made of; `None` while another process, or
    /// another part of this one, has it.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn turn(&self, kind: &str, name: &str) -> io::Result<Option<Turn>> {
        fs::create_dir_all(self.path().join(kind))?;
        let path = self.note_path(kind, &format!("{name}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn { path, _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn note_path(&self, kind: &str, name: &str) -> PathBuf {
        self.path().join(kind).join(name)
    }
}

/// The turn at something, which ends when this is dropped or the process ends.
pub struct Turn {
    path: PathBuf,
    _file: File,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Whoever waits for it has it open, and finds the note.
        let _ = fs::remove_file(&self.path);
    }
}
