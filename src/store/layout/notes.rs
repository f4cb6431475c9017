//! Notes that are kept in the directory of a layout, and are no part of what others see
//! there.

use std::fs::{self, File};
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
        let directory = self.path().join(kind);
        fs::create_dir_all(&directory)?;
        let mut file = NamedTempFile::new_in(&directory)?;
        file.write_all(&serde_json::to_vec(note)?)?;
        file.persist(self.note_path(kind, name))?;
        Ok(())
    }

    /// A note that was kept; of more than `most` bytes only the first are read.
    #[must_use]
    pub fn note<T: DeserializeOwned>(&self, kind: &str, name: &str, most: u64) -> Option<T> {
        let mut bytes = Vec::new();
        File::open(self.note_path(kind, name)).ok()?.take(most).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn note_path(&self, kind: &str, name: &str) -> PathBuf {
        self.path().join(kind).join(name)
    }
}
