//! A file that is written before it has its name.

use std::fs::File;
use std::io;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::sync::LazyLock;

use tempfile::{Builder, NamedTempFile};

use crate::cache::collect::UNFINISHED;

/// A new file. Where the file system can, it has no name until it gets its own: nobody
/// sees it before, and a hoist that is killed leaves nothing behind.
#[derive(Debug)]
pub(super) enum Staged {
    /// Without a name.
    Nameless(File),
    /// With a name for the time being.
    Named(NamedTempFile),
}

impl Staged {
    /// An empty file that can be given a name in a directory or below it.
    pub(super) fn new_in(directory: &Path) -> io::Result<Self> {
        match nameless(directory) {
            Some(file) => Ok(Self::Nameless(file)),
            None => named(directory).map(Self::Named),
        }
    }

    pub(super) fn file(&self) -> &File {
        match self {
            Self::Nameless(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    pub(super) fn file_mut(&mut self) -> &mut File {
        match self {
            Self::Nameless(file) => file,
            Self::Named(file) => file.as_file_mut(),
        }
    }

    /// Gives it its name, in the place of what has it.
    pub(super) fn persist(self, path: &Path) -> io::Result<File> {
        match self {
            Self::Named(file) => file.persist(path).map_err(|error| error.error),
            Self::Nameless(file) => {
                match link(&file, path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => replace(&file, path)?,
                    linked => linked?,
                }
                Ok(file)
            }
        }
    }
}

fn named(directory: &Path) -> io::Result<NamedTempFile> {
    Builder::new().prefix(UNFINISHED).tempfile_in(directory)
}

/// Puts a file without a name in the place of another, which only a name can do.
fn replace(file: &File, path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let make = |name: &Path| link(file, name);
    let named = Builder::new().prefix(UNFINISHED).make_in(directory, make)?;
    named.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(target_os = "linux")]
fn nameless(directory: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    if !*CAN_BE_NAMED {
        return None;
    }
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    openat(CWD, directory, flags, Mode::RUSR | Mode::WUSR).ok().map(File::from)
}

#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd";

/// A name can only be given to what is reached through these.
#[cfg(target_os = "linux")]
static CAN_BE_NAMED: LazyLock<bool> = LazyLock::new(|| Path::new(DESCRIPTORS).exists());

#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd as _;
    let from = format!("{DESCRIPTORS}/{}", file.as_raw_fd());
    Ok(linkat(CWD, from, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path) -> Option<File> {
    None
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn nothing_is_seen_of_a_file_until_it_has_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let named_for_now = Staged::Named(named(directory.path()).unwrap());
        assert_eq!(names(directory.path()).len(), 1);
        drop(named_for_now);
        for text in ["first", "in its place"] {
            let before = names(directory.path());
            let mut staged = Staged::new_in(directory.path()).unwrap();
            staged.file_mut().write_all(text.as_bytes()).unwrap();
            if cfg!(target_os = "linux") {
                assert_eq!(names(directory.path()), before);
            }
            staged.persist(&path).unwrap();
            assert_eq!(
                (names(directory.path()), fs::read_to_string(&path).unwrap()),
                (vec!["file".to_owned()], text.to_owned())
            );
        }
    }
}
