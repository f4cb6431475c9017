//! Layers as archives that depend on nothing but their content (OCI image
//! specification, "Image Layer Filesystem Changeset"; POSIX.1-2001 pax).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Write};

use crate::oci::compressor::compress;
use crate::oci::{Digest, Digester, LayerCompression};

/// Bytes of a block: every header and every content begins on one.
const BLOCK: usize = 512;
/// The largest number that the octal size field of a header holds.
const MAX_OCTAL_SIZE: u64 = 0o777_7777_7777;
/// The largest number that the octal owner fields of a header hold.
const MAX_OCTAL_ID: u32 = 0o777_7777;
/// Prefix of the name of a file that stands for a deletion.
pub(super) const WHITEOUT: &[u8] = b".wh.";
/// Name of the file that hides all that lower layers have in its directory.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";

/// Files, directories, and links of a layer, by their path, and what it deletes of
/// the layers below.
///
/// `S` is whatever their contents are found by when the layer is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer<S> {
    entries: BTreeMap<Vec<u8>, LayerEntry<S>>,
    removed: BTreeSet<Vec<u8>>,
}

/// One file, directory, or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerEntry<S> {
    /// What it is.
    pub kind: LayerEntryKind<S>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What an entry of a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerEntryKind<S> {
    /// A directory.
    Directory,
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// A file.
    File {
        /// Its size in bytes.
        size: u64,
        /// Where its content is found.
        content: S,
    },
}

/// Why something cannot be part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidEntry {
    /// A path that is empty, absolute, ends with `/`, or has `.`, `..`, or empty
    /// components.
    Path,
    /// A path or a link of more than 4,096 bytes, or a name of more than 255.
    TooLong,
    /// A name that layers use for deletions: it begins with `.wh.`.
    Whiteout,
    /// A zero byte in a path or a link, or a link without text.
    Text,
    /// More entries than a layer may have.
    TooMany,
}

impl fmt::Display for InvalidEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "not a plain relative path",
            Self::TooLong => "a path has at most 4096 bytes, a name at most 255",
            Self::Whiteout => "names that begin with `.wh.` stand for deletions in a layer",
            Self::Text => "a zero byte in a path, or a link without text",
            Self::TooMany => "a layer has at most 2,000,000 entries",
        })
    }
}

impl std::error::Error for InvalidEntry {}

impl<S> Default for Layer<S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), removed: BTreeSet::new() }
    }
}

impl<S> Layer<S> {
    /// Most entries of a layer.
    pub const MAX_ENTRIES: usize = 2_000_000;

    /// Adds an entry; one that has the same path is replaced.
    ///
    /// `path` is relative to the root, without a leading or trailing `/`; it need
    /// not be UTF-8. The caller sees to the directories that it lies in.
    ///
    /// # Errors
    /// A path or link that a layer cannot hold, or one entry too many.
    pub fn insert(&mut self, path: &[u8], entry: LayerEntry<S>) -> Result<(), InvalidEntry> {
        check_path(path)?;
        if let LayerEntryKind::Symlink(target) = &entry.kind {
            check_text(target)?;
        }
        if self.is_full() && !self.entries.contains_key(path) {
            return Err(InvalidEntry::TooMany);
        }
        self.entries.insert(path.to_vec(), entry);
        Ok(())
    }

    /// Deletes what the layers below have at a path, and below it. What this layer
    /// has there stays.
    ///
    /// # Errors
    /// As those of [`insert`](Self::insert).
    pub fn remove(&mut self, path: &[u8]) -> Result<(), InvalidEntry> {
        check_path(path)?;
        // The name of the file that stands for it is longer.
        if path.split(|byte| *byte == b'/').next_back().is_some_and(|name| name.len() > 255 - WHITEOUT.len())
        {
            return Err(InvalidEntry::TooLong);
        }
        if self.is_full() {
            return Err(InvalidEntry::TooMany);
        }
        // What lies below goes with it: a file that stood for that, too, would bring the
        // directory back where layers are unpacked.
        let is_below =
            |path: &[u8], above: &[u8]| path.strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"));
        if !self.removed.iter().any(|above| is_below(path, above)) {
            self.removed.retain(|removed| !is_below(removed, path));
            self.removed.insert(path.to_vec());
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.entries.len() + self.removed.len() >= Self::MAX_ENTRIES
    }

    /// The entries by their paths, each directory before what it holds.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &LayerEntry<S>)> {
        self.entries.iter().map(|(path, entry)| (path.as_slice(), entry))
    }

    /// Whether it has an entry of this path.
    #[must_use]
    pub fn has(&self, path: &[u8]) -> bool {
        self.entries.contains_key(path)
    }

    /// The paths that it deletes of the layers below.
    pub fn removed(&self) -> impl Iterator<Item = &[u8]> {
        self.removed.iter().map(Vec::as_slice)
    }

    /// Writes the layer as a compressed archive, and returns the digest of the
    /// archive before compression (the `diff_id`).
    ///
    /// The bytes depend on the entries and the compression alone: not on the order
    /// of insertion, the time, the machine, or the number of threads.
    ///
    /// # Errors
    /// Content cannot be opened or read, is not as long as was said, or cannot be
    /// written.
    pub fn write<R: Read>(
        &self,
        compression: LayerCompression,
        out: &mut (impl Write + Send),
        open: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<Digest> {
        compress(compression, out, |archive| self.write_archive(archive, open))
    }

    /// The digest of the layer as an archive that is not compressed.
    ///
    /// # Errors
    /// Content cannot be opened or read, or is not as long as was said.
    pub fn diff_id<R: Read>(&self, open: impl FnMut(&S) -> io::Result<R>) -> io::Result<Digest> {
        let mut sum = Sum(Digester::new());
        self.write_archive(&mut sum, open)?;
        Ok(sum.0.finish().0)
    }

    fn write_archive<R: Read>(
        &self,
        archive: &mut impl Write,
        mut open: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        let mut whiteouts = self.whiteouts().into_iter().peekable();
        for (path, entry) in &self.entries {
            while let Some(whiteout) = whiteouts.next_if(|whiteout| whiteout < path) {
                write_whiteout(archive, &whiteout)?;
            }
            write_head(archive, path, entry)?;
            if let LayerEntryKind::File { size, content } = &entry.kind {
                write_content(archive, &mut open(content)?, *size, &mut buffer)?;
            }
        }
        whiteouts.try_for_each(|whiteout| write_whiteout(archive, &whiteout))?;
        archive.write_all(&[0; 2 * BLOCK])
    }

    /// The paths of the files that stand for deletions. A directory in the place of
    /// what is deleted hides what lies below it; what is no directory does so anyway.
    fn whiteouts(&self) -> BTreeSet<Vec<u8>> {
        let whiteout = |path: &Vec<u8>| match self.entries.get(path).map(|entry| &entry.kind) {
            None => {
                let (parent, name) =
                    path.split_at(path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1));
                Some([parent, WHITEOUT, name].concat())
            }
            Some(LayerEntryKind::Directory) => Some([path.as_slice(), OPAQUE].join(&b'/')),
            Some(LayerEntryKind::Symlink(_) | LayerEntryKind::File { .. }) => None,
        };
        self.removed.iter().filter_map(whiteout).collect()
    }
}

/// Takes the digest of what is written.
struct Sum(Digester);

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn check_path(path: &[u8]) -> Result<(), InvalidEntry> {
    check_text(path)?;
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." | b".." => return Err(InvalidEntry::Path),
            name if name.len() > 255 => return Err(InvalidEntry::TooLong),
            name if name.starts_with(WHITEOUT) => return Err(InvalidEntry::Whiteout),
            _ => {}
        }
    }
    Ok(())
}

fn check_text(text: &[u8]) -> Result<(), InvalidEntry> {
    match text {
        [] => Err(InvalidEntry::Text),
        text if text.contains(&0) => Err(InvalidEntry::Text),
        text if text.len() > 4096 => Err(InvalidEntry::TooLong),
        _ => Ok(()),
    }
}

/// Writes the empty file that stands for a deletion.
fn write_whiteout(out: &mut impl Write, path: &[u8]) -> io::Result<()> {
    let kind = LayerEntryKind::File { size: 0, content: () };
    write_head(out, path, &LayerEntry { kind, mode: 0o644, uid: 0, gid: 0 })
}

/// Writes the header of an entry, behind an extended header where it has what
/// the plain one cannot say.
fn write_head<S>(out: &mut impl Write, path: &[u8], entry: &LayerEntry<S>) -> io::Result<()> {
    let (kind, size, link, slash) = match &entry.kind {
        LayerEntryKind::Directory => (tar::EntryType::Directory, 0, &[][..], true),
        LayerEntryKind::Symlink(target) => (tar::EntryType::Symlink, 0, target.as_slice(), false),
        LayerEntryKind::File { size, .. } => (tar::EntryType::Regular, *size, &[][..], false),
    };
    let mut name = path.to_vec();
    name.extend(slash.then_some(b'/'));
    let mut records = Vec::new();
    if !fits(&name) {
        record(&mut records, "path", &name);
    }
    if !fits(link) {
        record(&mut records, "linkpath", link);
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id > MAX_OCTAL_ID {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    if size > MAX_OCTAL_SIZE {
        record(&mut records, "size", size.to_string().as_bytes());
    }
    if !records.is_empty() {
        let mut extended = header(tar::EntryType::XHeader, b"PaxHeaders/entry", b"");
        extended.set_mode(0o644);
        extended.set_size(records.len() as u64);
        extended.set_cksum();
        out.write_all(extended.as_bytes())?;
        out.write_all(&records)?;
        pad(out, records.len() as u64)?;
    }
    let mut plain = header(kind, &name, link);
    plain.set_mode(entry.mode & 0o7777);
    plain.set_uid(u64::from(if entry.uid > MAX_OCTAL_ID { 0 } else { entry.uid }));
    plain.set_gid(u64::from(if entry.gid > MAX_OCTAL_ID { 0 } else { entry.gid }));
    plain.set_size(if size > MAX_OCTAL_SIZE { 0 } else { size });
    plain.set_cksum();
    out.write_all(plain.as_bytes())
}

/// A header with the names cut to what it holds; owner, times, and devices are 0.
fn header(kind: tar::EntryType, name: &[u8], link: &[u8]) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.name.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        ustar.linkname.iter_mut().zip(link).for_each(|(to, from)| *to = *from);
    }
    header
}

/// Whether a plain header can hold a name.
fn fits(name: &[u8]) -> bool {
    name.len() <= 100 && name.is_ascii()
}

/// Adds a record of an extended header: its own length, a key, and a value.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + " =\n".len();
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn write_content(
    out: &mut impl Write,
    content: &mut impl Read,
    size: u64,
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut rest = size;
    loop {
        // At the end of what was announced one more read sees whether it is all.
        let count = content.read(buffer)?;
        let Some(left) = rest.checked_sub(count as u64) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it grew while it was read"));
        };
        if count == 0 && left > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it shrank while it was read"));
        }
        if count == 0 {
            return pad(out, size);
        }
        out.write_all(buffer.get(..count).unwrap_or_default())?;
        rest = left;
    }
}

/// Fills the last block of a content.
fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let used = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    out.write_all([0; BLOCK].get(..(BLOCK - used) % BLOCK).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{ArchiveEntry, ArchiveKind, FileTree, MAX_ARCHIVE_ENTRIES, read_archive};

    fn entry(kind: LayerEntryKind<&'static [u8]>) -> LayerEntry<&'static [u8]> {
        LayerEntry { kind, mode: 0o755, uid: 0, gid: 0 }
    }

    fn file(content: &'static [u8]) -> LayerEntry<&'static [u8]> {
        entry(LayerEntryKind::File { size: content.len() as u64, content })
    }

    fn written(layer: &Layer<&'static [u8]>) -> (Vec<u8>, Digest) {
        let mut bytes = Vec::new();
        let diff_id = layer.write(LayerCompression::GZIP, &mut bytes, |content| Ok(*content)).unwrap();
        (bytes, diff_id)
    }

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut archive = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut archive).unwrap();
        archive
    }

    fn read(archive: &[u8]) -> Vec<(ArchiveEntry, Vec<u8>)> {
        let mut entries = Vec::new();
        read_archive(archive, MAX_ARCHIVE_ENTRIES, &mut |entry, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            entries.push((entry.clone(), bytes));
            Ok::<_, io::Error>(())
        })
        .unwrap();
        entries
    }

    #[test]
    fn a_layer_depends_on_its_entries_and_not_on_their_order() {
        let content = [("usr", None), ("usr/bin", None), ("usr/bin/x", Some(&b"#!"[..])), ("etc", None)];
        let build = |order: &[usize]| {
            let mut layer = Layer::default();
            for at in order {
                let (path, content) = content[*at];
                layer
                    .insert(path.as_bytes(), content.map_or(entry(LayerEntryKind::Directory), file))
                    .unwrap();
            }
            written(&layer)
        };
        assert_eq!(build(&[0, 1, 2, 3]), build(&[3, 2, 1, 0]));
        let (bytes, diff_id) = build(&[0, 1, 2, 3]);
        let archive = unpacked(&bytes);
        assert_eq!(Digest::of(&archive), diff_id);
        let paths: Vec<_> = read(&archive).into_iter().map(|(entry, _)| entry.path).collect();
        assert_eq!(paths, [&b"etc"[..], b"usr", b"usr/bin", b"usr/bin/x"]);
    }

    #[test]
    fn what_is_deleted_with_its_directory_stands_for_nothing_more() {
        let mut layer = Layer::<&[u8]>::default();
        for path in [&b"a/b"[..], b"a/b/c", b"a", b"a/d", b"a.e"] {
            layer.remove(path).unwrap();
        }
        let paths: Vec<_> =
            read(&unpacked(&written(&layer).0)).into_iter().map(|(entry, _)| entry.path).collect();
        assert_eq!(paths, [&b".wh.a"[..], b".wh.a.e"]);
    }

    #[test]
    fn the_digest_of_the_archive_is_known_without_compressing_it() {
        let mut layer = Layer::default();
        layer.insert(b"x", file(b"content")).unwrap();
        layer.remove(b"y").unwrap();
        let zstd = layer.write(LayerCompression::ZSTD, &mut io::sink(), |content| Ok(*content)).unwrap();
        assert_eq!(
            (zstd, written(&layer).1),
            (written(&layer).1, layer.diff_id(|content| Ok(*content)).unwrap())
        );
    }

    #[test]
    fn a_deletion_is_a_file_of_its_own_or_hides_what_is_below_a_directory() {
        let mut layer = Layer::default();
        for path in [&b"etc/apt/sources.list"[..], b"top", b"opt", b"var"] {
            layer.remove(path).unwrap();
        }
        layer.insert(b"opt", entry(LayerEntryKind::Directory)).unwrap();
        layer.insert(b"opt/-x", file(b"1")).unwrap();
        layer.insert(b"opt/x", file(b"2")).unwrap();
        layer.insert(b"var", file(b"3")).unwrap();
        let archive = unpacked(&written(&layer).0);
        let paths: Vec<_> = read(&archive).into_iter().map(|(entry, _)| entry.path).collect();
        let expected =
            [".wh.top", "etc/apt/.wh.sources.list", "opt", "opt/-x", "opt/.wh..wh..opq", "opt/x", "var"];
        assert_eq!(paths, expected.map(str::as_bytes));
        let mut tree = FileTree::default();
        let mut below = Layer::default();
        for path in ["etc/apt/sources.list", "etc/apt/trusted", "opt/old", "top/a/b", "var/x", "topmost"] {
            below.insert(path.as_bytes(), file(b"0")).unwrap();
        }
        tree.apply(unpacked(&written(&below).0).as_slice()).unwrap();
        tree.apply(archive.as_slice()).unwrap();
        let left: Vec<_> = tree.iter().map(|(path, _)| std::str::from_utf8(path).unwrap()).collect();
        assert_eq!(left, ["etc", "etc/apt", "etc/apt/trusted", "opt", "opt/-x", "opt/x", "topmost", "var"]);
        assert_eq!(layer.remove(&[b'a'; 252]), Err(InvalidEntry::TooLong));
        assert_eq!(layer.remove(b"a/.wh.b"), Err(InvalidEntry::Whiteout));
    }

    #[test]
    fn long_names_foreign_bytes_links_and_owners_survive() {
        let long = ["directory-of-thirty-characters"; 8].join("/");
        let mut layer = Layer::default();
        layer.insert(long.as_bytes(), file(b"1")).unwrap();
        layer.insert("caf\u{e9}".as_bytes(), file(b"2")).unwrap();
        layer.insert(b"caf\xe9", file(b"3")).unwrap();
        layer.insert(b"link", entry(LayerEntryKind::Symlink(long.clone().into_bytes()))).unwrap();
        layer
            .insert(b"owned", LayerEntry { uid: 65532, gid: 4_000_000_000, mode: 0o4711, ..file(b"4") })
            .unwrap();
        let expected = |path: &[u8], kind, mode, uid, gid, content: &[u8]| {
            let size = content.len() as u64;
            (ArchiveEntry { path: path.to_vec(), kind, mode, uid, gid, mtime: 0, size }, content.to_vec())
        };
        let plain = |path, content| expected(path, ArchiveKind::File, 0o755, 0, 0, content);
        let all = [
            plain("caf\u{e9}".as_bytes(), b"2"),
            plain(b"caf\xe9", b"3"),
            plain(long.as_bytes(), b"1"),
            expected(b"link", ArchiveKind::Symlink(long.clone().into_bytes()), 0o755, 0, 0, b""),
            expected(b"owned", ArchiveKind::File, 0o4711, 65532, 4_000_000_000, b"4"),
        ];
        assert_eq!(read(&unpacked(&written(&layer).0)), all);
    }

    #[test]
    fn other_readers_of_archives_find_the_same() {
        let mut layer = Layer::default();
        let long = format!("{}/x", "d".repeat(200));
        layer.insert(long.as_bytes(), file(b"content")).unwrap();
        let archive = unpacked(&written(&layer).0);
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut found = entries.next().unwrap().unwrap();
        assert_eq!(found.path_bytes(), long.as_bytes());
        assert_eq!(found.header().mtime().unwrap(), 0);
        let mut content = String::new();
        found.read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
        assert!(entries.next().is_none());
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_refused() {
        let mut layer = Layer::default();
        layer.insert(b"x", entry(LayerEntryKind::File { size: 2, content: &b"12"[..] })).unwrap();
        let with = |content: &'static [u8]| {
            layer
                .write(LayerCompression::GZIP, &mut io::sink(), |_| Ok(content))
                .map_err(|error| error.to_string())
        };
        assert!(with(b"12").is_ok());
        assert_eq!(with(b"1"), Err("it shrank while it was read".to_owned()));
        assert_eq!(with(b"123"), Err("it grew while it was read".to_owned()));
    }

    #[test]
    fn paths_that_would_mean_something_else_are_refused() {
        let mut layer = Layer::default();
        let mut insert = |path: &[u8]| layer.insert(path, file(b""));
        for path in [&b"/a"[..], b"a/", b"a//b", b"../a", b"a/./b", b"."] {
            assert_eq!(insert(path), Err(InvalidEntry::Path), "{path:?}");
        }
        assert_eq!(insert(b""), Err(InvalidEntry::Text));
        assert_eq!(insert(b"a\0b"), Err(InvalidEntry::Text));
        assert_eq!(insert(b"a/.wh.b"), Err(InvalidEntry::Whiteout));
        assert_eq!(insert(&[b'a'; 256]), Err(InvalidEntry::TooLong));
        assert_eq!(insert(&b"a/".repeat(2100)), Err(InvalidEntry::TooLong));
    }
}
