//! What there is in a directory, as engines are told.

use std::io::{self, Read};

use bollard_buildkit_proto::fsutil::types::Stat;
use bytes::Bytes;

/// What hands out a file once it is asked for: it calls what it is given with the content.
/// An error says that the file is not what was told.
pub(in crate::engine::builder) type Content =
    Box<dyn Fn(&mut dyn FnMut(&mut dyn Read) -> io::Result<()>) -> io::Result<()> + Send + Sync>;

/// A directory and a link in a mode (`io/fs.FileMode` of Go).
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;

/// Files, links, and directories in the order of the parts of their paths, each behind the
/// directory that it is in.
#[derive(Default)]
pub(in crate::engine::builder) struct Listing {
    entries: Vec<(Stat, Option<Content>)>,
    /// When all were changed, in nanoseconds since 1970.
    changed: i64,
}

impl Listing {
    /// Nothing so far; all was `changed` at that time, in seconds since 1970.
    pub(in crate::engine::builder) fn new(changed: u32) -> Self {
        Self { entries: Vec::new(), changed: i64::from(changed) * 1_000_000_000 }
    }

    /// One file of which an engine has what it was told before, unless its size or the
    /// time is another one, in nanoseconds since 1970.
    pub(super) fn of_one(path: &str, changed: i64, content: Bytes) -> Self {
        let size = content.len() as u64;
        let mut listing = Self { entries: Vec::new(), changed };
        listing.file(path, 0o644, size, Box::new(move |take| take(&mut &*content)));
        listing
    }

    pub(in crate::engine::builder) fn directory(&mut self, path: &str, mode: u32) {
        self.add(Stat { path: path.to_owned(), mode: DIRECTORY | mode, ..Stat::default() }, None);
    }

    pub(in crate::engine::builder) fn symlink(&mut self, path: &str, text: &str, mode: u32) {
        let (path, linkname) = (path.to_owned(), text.to_owned());
        self.add(Stat { path, mode: SYMLINK | mode, linkname, ..Stat::default() }, None);
    }

    pub(in crate::engine::builder) fn file(&mut self, path: &str, mode: u32, size: u64, content: Content) {
        let size = size.cast_signed();
        self.add(Stat { path: path.to_owned(), mode, size, ..Stat::default() }, Some(content));
    }

    fn add(&mut self, stat: Stat, content: Option<Content>) {
        self.entries.push((Stat { mod_time: self.changed, ..stat }, content));
    }

    /// All that is told.
    pub(super) fn stats(&self) -> impl Iterator<Item = &Stat> {
        self.entries.iter().map(|(stat, _)| stat)
    }

    /// The content of the file with a number, which is its place.
    pub(super) fn content(&self, number: u32) -> Option<&Content> {
        self.entries.get(number as usize)?.1.as_ref()
    }
}
