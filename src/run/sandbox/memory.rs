//! What a process that waits in a call means by its arguments.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Longest path that the kernel takes, with the zero behind it.
const LONGEST: usize = 4096;

/// Smallest page of memory: what lies in one can be read as one.
const PAGE: u64 = 4096;

/// A thread that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub(super) u32);

impl Caller {
    /// Bytes at an address; `None` where there are none.
    pub(super) fn bytes<const N: usize>(self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.memory()?.read_exact_at(&mut bytes, address).ok()?;
        Some(bytes)
    }

    /// The text at an address, without the zero behind it.
    fn text(self, address: u64) -> Option<OsString> {
        let memory = self.memory()?;
        let (mut text, mut at) = (Vec::new(), address);
        while text.len() < LONGEST {
            let piece = usize::try_from(PAGE - at % PAGE).ok()?.min(LONGEST - text.len());
            let mut bytes = vec![0; piece];
            let read = memory.read_at(&mut bytes, at).ok().filter(|read| *read > 0)?;
            let bytes = bytes.get(..read)?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(bytes.get(..end)?);
                return Some(OsString::from_vec(text));
            }
            text.extend_from_slice(bytes);
            at = at.checked_add(u64::try_from(read).ok()?)?;
        }
        None
    }

    fn memory(self) -> Option<File> {
        File::open(self.place("mem")).ok()
    }

    fn place(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }

    /// The path at an address, seen from an open directory or, for a negative
    /// number, from the working directory; absolute, with symbolic links in it.
    /// `None` for no path, as where the open file itself is meant.
    pub(super) fn path(self, directory: i32, address: u64) -> Option<PathBuf> {
        let text = self.text(address).filter(|text| !text.is_empty())?;
        let path = Path::new(&text);
        if let Ok(below) = path.strip_prefix("/proc/self").or_else(|_| path.strip_prefix("/proc/thread-self"))
        {
            return Some(self.place("").join(below));
        }
        if path.is_absolute() {
            return Some(path.to_owned());
        }
        let base = if directory < 0 { self.place("cwd") } else { self.place(&format!("fd/{directory}")) };
        Some(fs::read_link(base).ok()?.join(path))
    }

    /// The permissions that new files of the process do not get.
    pub(super) fn umask(self) -> Option<u32> {
        let status = fs::read_to_string(self.place("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
        u32::from_str_radix(line.trim(), 8).ok()
    }
}
