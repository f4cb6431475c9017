//! A build context: as an archive, and as files that are asked for one by one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tar::{Builder, EntryType, Header};

use crate::config::ProjectPath;
use crate::engine::builder::session::{Content, Listing, Source};
use crate::engine::builder::stream::written;
use crate::facts::{InputFile, InputKind};

/// When all files were changed, as far as a build can tell, in seconds since 1970:
/// 2000-01-01. Archives of other kinds, which are made of them, do not reach as far back
/// as to 1970.
pub(super) const CHANGED: u32 = 946_684_800;
/// The permissions of files that are no programs.
pub(super) const MODE: u32 = 0o644;
/// The permissions of directories and programs, of other files, and of links.
const MODES: (u32, u32, u32) = (0o755, MODE, 0o777);

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

/// The files of a directory of the project. The same files are the same to an engine
/// wherever they lie: owners, times, and permissions but for that to execute are not theirs.
#[derive(Clone)]
pub struct Context {
    root: PathBuf,
    directory: PathBuf,
    files: Arc<Vec<InputFile>>,
}

/// What is at a path below the directory.
enum Entry<'a> {
    Directory,
    /// The text of a link.
    Symlink(PathBuf),
    File(&'a InputFile),
}

impl Context {
    /// Files by their paths in the project, whose directory is `root`.
    #[must_use]
    pub fn new(root: &Path, directory: &Path, files: Vec<InputFile>) -> Self {
        Self { root: root.to_owned(), directory: directory.to_owned(), files: Arc::new(files) }
    }

    /// The files as an archive, which is written while it is sent. A file that is not as
    /// it was when its digest was taken ends it with an error that names the file.
    #[must_use]
    pub fn archive(&self) -> Source {
        let context = self.clone();
        Arc::new(move || {
            let context = context.clone();
            written(move |out| context.write(out))
        })
    }

    /// The links that lead out of the directory, by their paths in the project, and their
    /// texts. Where a path begins with `/`, that is the root of what it is unpacked to.
    #[must_use]
    pub fn links_out(&self) -> Vec<(ProjectPath, String)> {
        let links = self.files.iter().filter(|file| file.kind == InputKind::Symlink);
        let out = links.filter_map(|file| {
            let text = fs::read_link(self.root.join(file.path.as_path())).ok()?;
            let below = file.path.as_path().strip_prefix(&self.directory).ok()?;
            let mut depth = below.components().count().saturating_sub(1);
            for part in text.components().take_while(|_| text.is_relative()) {
                match part {
                    Component::ParentDir => match depth.checked_sub(1) {
                        Some(above) => depth = above,
                        None => return Some((file.path.clone(), text.display().to_string())),
                    },
                    Component::Normal(_) => depth += 1,
                    _ => {}
                }
            }
            None
        });
        out.collect()
    }

    /// The content of a file in the directory itself; `None` if there is none of this name.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.directory.join(name);
        let found = self.files.iter().find(|file| file.path.as_path() == path);
        found
            .map(|file| fs::read(self.root.join(&path)).map_err(|error| unreadable(file, &error)))
            .transpose()
    }

    /// Tells these files from all others.
    pub(super) fn digest(&self) -> String {
        let mut sum = blake3::Hasher::new_derive_key("hoist 2026-11 context at an engine");
        fingerprint(&self.directory, &self.files, &mut sum);
        sum.finalize().to_hex().to_string()
    }

    /// Whether all names and links are text, as they are to be in a [listing](Self::listing).
    pub(super) fn is_text(&self) -> bool {
        let is_text = |file: &InputFile| {
            let here = self.root.join(file.path.as_path());
            let leads = || fs::read_link(here).is_ok_and(|text| text.to_str().is_some());
            file.path.as_path().to_str().is_some() && (file.kind != InputKind::Symlink || leads())
        };
        self.files.iter().all(is_text)
    }

    /// The files as an engine asks for them one by one.
    ///
    /// # Errors
    /// A link is not as it was when its digest was taken.
    pub(super) fn listing(&self) -> io::Result<Listing> {
        let (directory, plain, link) = MODES;
        let mut listing = Listing::new(CHANGED);
        self.visit(|path, entry| {
            let path = path.to_str().unwrap_or_default();
            match entry {
                Entry::Directory => listing.directory(path, directory),
                Entry::Symlink(text) => listing.symlink(path, text.to_str().unwrap_or_default(), link),
                Entry::File(file) => {
                    let mode = if file.kind == InputKind::Executable { directory } else { plain };
                    let content = self.clone().content(file.clone());
                    listing.file(path, mode, file.seen.stat.size, content);
                }
            }
            Ok(())
        })?;
        Ok(listing)
    }

    /// What hands out a file.
    fn content(self, file: InputFile) -> Content {
        Box::new(move |take| {
            let here = self.root.join(file.path.as_path());
            let content = File::open(here).map_err(|error| unreadable(&file, &error))?;
            let mut content = Summed::new(content, &file, file.seen.stat.size);
            take(&mut content)?;
            content.check()
        })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (directory, plain, link) = MODES;
        let mut archive = Builder::new(out);
        // An archive of nothing at all is none to BuildKit.
        archive.append_data(&mut header(EntryType::Directory, directory), "./", io::empty())?;
        self.visit(|path, entry| match entry {
            Entry::Directory => {
                archive.append_data(&mut header(EntryType::Directory, directory), path, io::empty())
            }
            Entry::Symlink(text) => archive.append_link(&mut header(EntryType::Symlink, link), path, text),
            Entry::File(file) => {
                let mode = if file.kind == InputKind::Executable { directory } else { plain };
                let here = self.root.join(file.path.as_path());
                let content = File::open(here).map_err(|error| unreadable(file, &error))?;
                let size = content.metadata().map_err(|error| unreadable(file, &error))?.len();
                let mut header = header(EntryType::Regular, mode);
                header.set_size(size);
                let mut content = Summed::new(content, file, size);
                archive.append_data(&mut header, path, &mut content)?;
                content.check()
            }
        })?;
        archive.finish()
    }

    /// Passes on each file by its path below the directory, behind the directories that it
    /// is in, in the order of the paths' parts.
    fn visit(&self, mut entry: impl FnMut(&Path, Entry<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut made: BTreeSet<PathBuf> = BTreeSet::new();
        for file in self.files.iter() {
            let path = file.path.as_path().strip_prefix(&self.directory).map_err(io::Error::other)?;
            let above: Vec<&Path> =
                path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
            for above in above.into_iter().rev() {
                if made.insert(above.to_owned()) {
                    entry(above, Entry::Directory)?;
                }
            }
            match file.kind {
                InputKind::Directory => {
                    if made.insert(path.to_owned()) {
                        entry(path, Entry::Directory)?;
                    }
                }
                InputKind::Symlink => {
                    let here = self.root.join(file.path.as_path());
                    let text = fs::read_link(here).map_err(|error| unreadable(file, &error))?;
                    if *blake3::hash(text.as_os_str().as_encoded_bytes()).as_bytes() != file.digest {
                        return Err(changed(file));
                    }
                    entry(path, Entry::Symlink(text))?;
                }
                InputKind::File | InputKind::Executable => entry(path, Entry::File(file))?,
            }
        }
        Ok(())
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(CHANGED.into());
    header.set_size(0);
    header
}

fn changed(file: &InputFile) -> io::Error {
    io::Error::other(format!("`{}` changed while it was sent", file.path))
}

fn unreadable(file: &InputFile, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}` cannot be read: {error}", file.path))
}

/// A file that is read up to the size that was announced, and its digest.
struct Summed<'a> {
    file: &'a InputFile,
    content: io::Take<File>,
    sum: blake3::Hasher,
    left: u64,
}

impl<'a> Summed<'a> {
    fn new(content: File, file: &'a InputFile, size: u64) -> Self {
        Self { file, content: content.take(size), sum: blake3::Hasher::new(), left: size }
    }

    /// Makes sure that all of it was read, and was what it was when its digest was taken.
    fn check(&self) -> io::Result<()> {
        let is_same = self.left == 0 && *self.sum.finalize().as_bytes() == self.file.digest;
        if is_same { Ok(()) } else { Err(changed(self.file)) }
    }
}

impl Read for Summed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer).map_err(|error| unreadable(self.file, &error))?;
        self.sum.update(buffer.get(..count).unwrap_or_default());
        self.left -= count as u64;
        Ok(count)
    }
}
