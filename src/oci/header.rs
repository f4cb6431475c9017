//! Headers of an archive that depend on nothing but what they describe (POSIX.1-2001
//! pax; the `ustar` format).

use std::io::{self, Write};

use crate::oci::{LayerEntry, LayerEntryKind};

/// Bytes of a block: every header and every content begins on one.
pub(super) const BLOCK: usize = 512;
/// The largest number that the octal size field of a header holds.
const MAX_OCTAL_SIZE: u64 = 0o777_7777_7777;
/// The largest number that the octal owner fields of a header hold.
const MAX_OCTAL_ID: u32 = 0o777_7777;

/// Writes the empty file that stands for a deletion.
pub(super) fn write_whiteout(out: &mut impl Write, path: &[u8]) -> io::Result<()> {
    let kind = LayerEntryKind::File { size: 0, content: () };
    write_head(out, path, &LayerEntry { kind, mode: 0o644, uid: 0, gid: 0 })
}

/// Writes the header of an entry, behind an extended header where it has what
/// the plain one cannot say.
pub(super) fn write_head<S>(out: &mut impl Write, path: &[u8], entry: &LayerEntry<S>) -> io::Result<()> {
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

/// Fills the last block of a content.
pub(super) fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let used = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    out.write_all([0; BLOCK].get(..(BLOCK - used) % BLOCK).unwrap_or_default())
}
