//! Reading the archives of layers, whoever wrote them (POSIX.1-2001 pax, and
//! GNU's extensions for long names).

use std::error::Error;
use std::fmt;
use std::io::{self, Read};

use crate::oci::media_type::Compression;

/// Bytes of a block: every header and every content begins on one.
const BLOCK: usize = 512;
/// Most bytes of an extended header or a long name: they are held in memory.
const MAX_EXTENSION: u64 = 1 << 20;
/// Most bytes of a path or a link.
const MAX_PATH: usize = 4096;
/// Most bytes of a name: no file system takes more.
const MAX_NAME: usize = 255;
/// Most names of a path: who removes a tree holds a directory open for each.
const MAX_DEPTH: usize = 512;
/// Most bytes of the contents of an archive: more than any image has, and less than
/// what a small file can be made to unpack to.
const MAX_CONTENT: u64 = 256 << 30;
/// Most bytes behind the end of an archive.
const MAX_TRAILER: u64 = 64 << 20;
/// Most entries that a layer is read with.
pub const MAX_ARCHIVE_ENTRIES: usize = 4_000_000;

/// An entry of a layer's archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Where it is put: relative to the root, without `.`, and without `..`.
    /// Empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: ArchiveKind,
    /// Permission bits, with those for set-user-id and its kin.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When it was last changed, in seconds since 1970.
    pub mtime: u64,
    /// Bytes of its content.
    pub size: u64,
}

/// What an entry of an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// Another name of an earlier entry: its path, in the form of
    /// [`ArchiveEntry::path`].
    HardLink(Vec<u8>),
    /// A device or a pipe.
    Special,
}

/// Reads an archive, one entry after the other.
///
/// # Errors
/// What `visit` returns; an archive that is damaged; one that [is hostile](is_hostile):
/// with more than `most` entries, names beyond all bounds, or a path that leads out of
/// the root.
pub fn read_archive<E: From<io::Error>>(
    mut archive: impl Read,
    most: usize,
    visit: &mut dyn FnMut(&ArchiveEntry, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut extension = Extension::default();
    let mut count = 0;
    let mut total = 0_u64;
    while let Some(header) = next_header(&mut archive)? {
        let kind = header.entry_type();
        let extends = kind.is_pax_local_extensions() || kind.is_gnu_longname() || kind.is_gnu_longlink();
        let announced = extension.size.filter(|_| !extends);
        let size = announced.map_or_else(|| header.entry_size(), Ok)?;
        let mut content = (&mut archive).take(size);
        count += 1;
        if count > most {
            return Err(hostile("it has too many entries").into());
        }
        if extends {
            extension.read(kind, &mut content)?;
        } else {
            total = total.saturating_add(size);
            if total > MAX_CONTENT {
                return Err(hostile("it unpacks to more than 256 GiB").into());
            }
            if !kind.is_pax_global_extensions() {
                let entry = std::mem::take(&mut extension).entry(&header, size)?;
                visit(&entry, &mut content)?;
            }
        }
        let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        io::copy(&mut content, &mut io::sink())?;
        if content.limit() > 0 || io::copy(&mut (&mut archive).take(padding), &mut io::sink())? < padding {
            return Err(invalid("it ends within an entry").into());
        }
    }
    // What follows the end still belongs to the blob, whose digest is checked
    // when all of it was read.
    if io::copy(&mut (&mut archive).take(MAX_TRAILER), &mut io::sink())? == MAX_TRAILER {
        return Err(hostile("it goes on behind its end").into());
    }
    Ok(())
}

/// The content of a layer's blob as an archive.
///
/// # Errors
/// The decompressor cannot be set up.
pub fn decompress<'a>(compression: Compression, blob: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let blob = io::BufReader::with_capacity(256 << 10, blob);
    Ok(match compression {
        Compression::None => Box::new(blob),
        Compression::Gzip => {
            Box::new(io::BufReader::with_capacity(256 << 10, flate2::bufread::MultiGzDecoder::new(blob)))
        }
        Compression::Zstd => {
            let frames = zstd::stream::read::Decoder::with_buffer(blob)?;
            Box::new(io::BufReader::with_capacity(256 << 10, frames))
        }
    })
}

/// What extended headers say of the entry that follows them.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Extension {
    fn read(&mut self, kind: tar::EntryType, content: &mut io::Take<impl Read>) -> io::Result<()> {
        if content.limit() > MAX_EXTENSION {
            return Err(hostile("it has an extended header that is too large"));
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        if kind.is_pax_local_extensions() {
            return self.records(&bytes);
        }
        // GNU's long names end with a zero byte.
        let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        *(if kind.is_gnu_longname() { &mut self.path } else { &mut self.link }) = Some(name);
        Ok(())
    }

    fn records(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let damaged = || invalid("it has an extended header that is damaged");
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
            let (number, _) = bytes.split_at(space);
            let length = std::str::from_utf8(number).ok().and_then(|text| text.parse::<usize>().ok());
            let record = length.and_then(|length| bytes.get(space + 1..length)).ok_or_else(damaged)?;
            bytes = length.and_then(|length| bytes.get(length..)).ok_or_else(damaged)?;
            let record = record.strip_suffix(b"\n").ok_or_else(damaged)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?;
            let (key, value) = (record.get(..equals), record.get(equals + 1..));
            let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
            let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
            let id = || number().and_then(|number| u32::try_from(number).ok()).ok_or_else(damaged);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number().ok_or_else(damaged)?),
                b"uid" => self.uid = Some(id()?),
                b"gid" => self.gid = Some(id()?),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(invalid("it has a sparse file, which no layer may have"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn entry(self, header: &tar::Header, size: u64) -> io::Result<ArchiveEntry> {
        let path = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = self.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let is_directory = path.ends_with(b"/");
        let kind = match header.entry_type() {
            tar::EntryType::Directory => ArchiveKind::Directory,
            tar::EntryType::Regular if is_directory => ArchiveKind::Directory,
            tar::EntryType::Regular | tar::EntryType::Continuous => ArchiveKind::File,
            tar::EntryType::Symlink => ArchiveKind::Symlink(bounded(link.unwrap_or_default())?),
            tar::EntryType::Link => ArchiveKind::HardLink(plain(&link.unwrap_or_default())?),
            tar::EntryType::Char | tar::EntryType::Block | tar::EntryType::Fifo => ArchiveKind::Special,
            tar::EntryType::GNUSparse => {
                return Err(invalid("it has a sparse file, which no layer may have"));
            }
            other => return Err(invalid(&format!("it has an entry of the unknown type {other:?}"))),
        };
        let id = |number: u64| u32::try_from(number).map_err(|_| invalid("it has an owner beyond 32 bits"));
        Ok(ArchiveEntry {
            path: plain(&path)?,
            kind,
            mode: header.mode()? & 0o7777,
            uid: self.uid.map_or_else(|| id(header.uid()?), Ok)?,
            gid: self.gid.map_or_else(|| id(header.gid()?), Ok)?,
            mtime: header.mtime().unwrap_or_default(),
            size,
        })
    }
}

/// The next header; `None` at the end of the archive.
fn next_header(archive: &mut impl Read) -> io::Result<Option<tar::Header>> {
    let mut header = tar::Header::new_old();
    let mut filled = 0;
    while let Some(rest) = header.as_mut_bytes().get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match archive.read(rest)? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(invalid("it ends within a header")),
            count => filled += count,
        }
    }
    let bytes = header.as_bytes();
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    // The sum counts the bytes of its own field as spaces.
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    if header.cksum()? != sum {
        return Err(invalid("it has a header with a wrong checksum"));
    }
    Ok(Some(header))
}

/// A path without its `.` and empty components.
fn plain(path: &[u8]) -> io::Result<Vec<u8>> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                let path = String::from_utf8_lossy(path);
                return Err(hostile(&format!("`{path}` leads out of it")));
            }
            // A deletion names one thing beside it, not the directory or the one above.
            b".wh." | b".wh.." | b".wh..." => {
                let path = String::from_utf8_lossy(path);
                return Err(hostile(&format!("`{path}` deletes what is no name")));
            }
            name if name.strip_prefix(b".wh.").unwrap_or(name).len() > MAX_NAME => {
                return Err(hostile("it has a name of more than 255 bytes"));
            }
            name => names.push(name),
        }
    }
    if names.len() > MAX_DEPTH {
        return Err(hostile("it has a path of more than 512 names"));
    }
    bounded(names.join(&b'/'))
}

fn bounded(path: Vec<u8>) -> io::Result<Vec<u8>> {
    if path.len() > MAX_PATH {
        return Err(hostile("it has a path of more than 4096 bytes"));
    }
    if path.contains(&0) {
        return Err(hostile("it has a path with a zero byte"));
    }
    Ok(path)
}

/// An archive is damaged.
fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// An archive is well formed, and would do harm: it leads out of the root, or holds more
/// than any image does.
#[derive(Debug)]
struct Hostile(String);

impl fmt::Display for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Hostile {}

fn hostile(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Hostile(what.to_owned()))
}

/// Whether an archive was not read because it would do harm, and not because it is
/// damaged.
#[must_use]
pub fn is_hostile(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref::<Hostile>()).is_some()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn paths(archive: &[u8]) -> Result<Vec<String>, String> {
        let mut paths = Vec::new();
        read_archive(archive, 3, &mut |entry, _| {
            paths.push(String::from_utf8_lossy(&entry.path).into_owned());
            Ok::<_, io::Error>(())
        })
        .map_err(|error| error.to_string())?;
        Ok(paths)
    }

    fn header(path: &[u8], size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn one(path: &[u8]) -> Vec<u8> {
        let mut archive = header(path, 0).as_bytes().to_vec();
        archive.extend([0; 1024]);
        archive
    }

    #[test]
    fn paths_are_read_without_their_dots_and_slashes() {
        assert_eq!(paths(&one(b"./a//b/./c")), Ok(vec!["a/b/c".to_owned()]));
        assert_eq!(paths(&one(b"/etc/passwd")), Ok(vec!["etc/passwd".to_owned()]));
        assert_eq!(paths(&one(b"./")), Ok(vec![String::new()]));
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for path in [&b"../x"[..], b"a/../../x", b"/.."] {
            assert!(paths(&one(path)).unwrap_err().contains("leads out"), "{path:?}");
        }
    }

    #[test]
    fn a_deletion_of_what_is_no_name_is_refused() {
        for path in [&b".wh."[..], b".wh..", b".wh...", b"a/.wh...", b"a/.wh.../"] {
            assert!(paths(&one(path)).unwrap_err().contains("deletes"), "{path:?}");
        }
        assert_eq!(paths(&one(b"a/.wh..b")).unwrap(), ["a/.wh..b"]);
    }

    #[test]
    fn long_names_of_gnu_archives_are_read() {
        let long = format!("{}/{}", "a".repeat(180), "b".repeat(180));
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header(b"", 1), &long, &b"x"[..]).unwrap();
        assert_eq!(paths(&builder.into_inner().unwrap()), Ok(vec![long]));
    }

    #[test]
    fn damaged_and_endless_archives_are_refused() {
        let mut wrong = one(b"x");
        wrong[0] = b'y';
        assert!(paths(&wrong).unwrap_err().contains("checksum"));
        assert!(paths(&one(b"x")[..300]).unwrap_err().contains("within a header"));
        let mut cut = header(b"x", 1000).as_bytes().to_vec();
        cut.extend([1; 600]);
        assert!(paths(&cut).unwrap_err().contains("within an entry"));
        let many: Vec<u8> = (0..4).flat_map(|_| header(b"x", 0).as_bytes().to_vec()).collect();
        assert!(paths(&many).unwrap_err().contains("too many"));
        let mut bomb = header(b"x", 1 << 40);
        bomb.set_entry_type(tar::EntryType::GNULongName);
        bomb.set_cksum();
        assert!(paths(bomb.as_bytes()).unwrap_err().contains("too large"));
    }

    /// An extended header, as which any record may come.
    fn extended(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + " =\n".len();
        let length = (1..10_000).find(|length| *length == rest + length.to_string().len()).unwrap();
        let record = [format!("{length} {key}=").as_bytes(), value, b"\n"].concat();
        let mut head = header(b"pax", record.len() as u64);
        head.set_entry_type(tar::EntryType::XHeader);
        head.set_cksum();
        let mut bytes = [head.as_bytes().as_slice(), &record].concat();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    #[test]
    fn names_are_any_bytes_but_zero_and_have_a_bound() {
        let named = |path: &[u8]| paths(&[extended("path", path), one(b"x")].concat());
        assert_eq!(named(b"a\nb"), Ok(vec!["a\nb".to_owned()]));
        assert_eq!(named(b"caf\xe9"), Ok(vec!["caf\u{fffd}".to_owned()]));
        assert!(named(b"a\0b").unwrap_err().contains("zero byte"));
        assert!(named(b"../x").unwrap_err().contains("leads out"));
        assert!(named(&b"d/".repeat(512)).is_ok());
        assert!(named(&b"d/".repeat(513)).unwrap_err().contains("512 names"));
        assert!(named(&b"x".repeat(256)).unwrap_err().contains("255 bytes"));
        assert!(named(&[b".wh.", b"x".repeat(255).as_slice()].concat()).is_ok());
        let long = [b"x".repeat(255).as_slice(), b"/"].concat();
        assert!(named(&long.repeat(17)).unwrap_err().contains("4096 bytes"));
    }

    #[test]
    fn sizes_that_nothing_has_are_refused_before_anything_is_read() {
        let sized = |size: &str| paths(&[extended("size", size.as_bytes()), one(b"x")].concat()).unwrap_err();
        assert!(sized("300000000000").contains("256 GiB"));
        assert!(sized("18446744073709551615").contains("256 GiB"));
        assert!(sized("18446744073709551616").contains("damaged"));
        assert!(sized("-1").contains("damaged"));
        assert!(sized("4096").contains("within an entry"));
        let each = [extended("size", b"200000000000"), header(b"x", 0).as_bytes().to_vec()].concat();
        assert!(paths(&each).unwrap_err().contains("within an entry"));
    }

    #[test]
    fn headers_and_zeros_without_an_end_have_a_bound() {
        let headers = extended("comment", b"x").repeat(4);
        assert!(paths(&headers).unwrap_err().contains("too many"));
        let bytes = one(b"x");
        let zeros = bytes.as_slice().chain(io::repeat(0));
        let read = read_archive(zeros, 3, &mut |_, _| Ok::<_, io::Error>(()));
        assert!(read.unwrap_err().to_string().contains("behind its end"));
    }

    #[test]
    fn layers_are_read_as_they_are_compressed() {
        let archive = one(b"x");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&archive[..512]).unwrap();
        let mut members = gzip.finish().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&archive[512..]).unwrap();
        members.extend(gzip.finish().unwrap());
        let zstd = zstd::encode_all(archive.as_slice(), 1).unwrap();
        for (compression, blob) in
            [(Compression::None, &archive), (Compression::Gzip, &members), (Compression::Zstd, &zstd)]
        {
            let mut bytes = Vec::new();
            decompress(compression, blob.as_slice()).unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, archive, "{compression:?}");
        }
    }
}
