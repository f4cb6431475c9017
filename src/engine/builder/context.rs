//! The archive of a build context.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tar::{Builder, EntryType, Header};

use crate::engine::builder::session::Source;
use crate::engine::builder::stream::written;
use crate::facts::{InputFile, InputKind};

/// When all files were changed, as far as a build can tell: 2000-01-01. Archives of
/// other kinds, which are made of them, do not reach as far back as to 1970.
const CHANGED: u64 = 946_684_800;

/// Adds what tells the archive of some files from that of others to a digest.
pub fn fingerprint(directory: &Path, files: &[InputFile], sum: &mut blake3::Hasher) {
    for file in files {
        let Ok(path) = file.path.as_path().strip_prefix(directory) else { continue };
        let path = path.as_os_str().as_encoded_bytes();
        sum.update(&(path.len() as u64).to_le_bytes())
            .update(path)
            .update(&[file.kind as u8])
            .update(&file.digest);
    }
}

/// The files of a directory of the project as an archive. The same files make the same
/// archive: owners, times, and permissions but for that to execute are not theirs.
///
/// The archive is written while it is sent. A file that is not as it was when its digest
/// was taken ends it with an error that names the file.
#[must_use]
pub fn context(root: &Path, directory: &Path, files: Vec<InputFile>) -> Source {
    let (root, directory, files) = (root.to_owned(), directory.to_owned(), Arc::new(files));
    Arc::new(move || {
        let (root, directory, files) = (root.clone(), directory.clone(), Arc::clone(&files));
        written(move |out| write(&root, &directory, &files, out))
    })
}

fn write(root: &Path, directory: &Path, files: &[InputFile], out: &mut dyn Write) -> io::Result<()> {
    let mut archive = Builder::new(out);
    let mut made: BTreeSet<PathBuf> = BTreeSet::new();
    // An archive of nothing at all is none to BuildKit.
    archive.append_data(&mut header(EntryType::Directory, 0o755), "./", io::empty())?;
    for file in files {
        let Ok(path) = file.path.as_path().strip_prefix(directory) else { continue };
        let above: Vec<&Path> =
            path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
        for above in above.into_iter().rev() {
            if made.insert(above.to_owned()) {
                archive.append_data(&mut header(EntryType::Directory, 0o755), above, io::empty())?;
            }
        }
        let here = root.join(file.path.as_path());
        match file.kind {
            InputKind::Directory => {
                if made.insert(path.to_owned()) {
                    archive.append_data(&mut header(EntryType::Directory, 0o755), path, io::empty())?;
                }
            }
            InputKind::Symlink => {
                let text = fs::read_link(&here).map_err(|error| unreadable(file, &error))?;
                archive.append_link(&mut header(EntryType::Symlink, 0o777), path, text)?;
            }
            InputKind::File | InputKind::Executable => {
                let mode = if file.kind == InputKind::Executable { 0o755 } else { 0o644 };
                let content = File::open(&here).map_err(|error| unreadable(file, &error))?;
                let size = content.metadata().map_err(|error| unreadable(file, &error))?.len();
                let mut header = header(EntryType::Regular, mode);
                header.set_size(size);
                let mut content =
                    Summed { content: content.take(size), sum: blake3::Hasher::new(), left: size };
                archive.append_data(&mut header, path, &mut content)?;
                if content.left > 0 || *content.sum.finalize().as_bytes() != file.digest {
                    return Err(io::Error::other(format!("`{}` changed while it was sent", file.path)));
                }
            }
        }
    }
    archive.finish()
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(CHANGED);
    header.set_size(0);
    header
}

fn unreadable(file: &InputFile, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}` cannot be read: {error}", file.path))
}

/// A file that is read up to the size that was announced, and its digest.
struct Summed {
    content: io::Take<File>,
    sum: blake3::Hasher,
    left: u64,
}

impl Read for Summed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.sum.update(buffer.get(..count).unwrap_or_default());
        self.left -= count as u64;
        Ok(count)
    }
}
