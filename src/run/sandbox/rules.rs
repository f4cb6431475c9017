//! What the kernel is told: which places, and what may be done below them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// What may be done with a place and all that lies below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Access {
    /// Everything.
    All,
    /// Files are read and executed, directories listed.
    Read,
    /// Directories are listed.
    List,
    /// Entries are made, written, and removed, but not read.
    Make,
}

impl Access {
    const EACH: [(Self, u8); 4] =
        [(Self::All, b'a'), (Self::Read, b'r'), (Self::List, b'l'), (Self::Make, b'm')];
}

/// Rules for the kernel, and whether there are any: without, all is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// Whether everything is denied that no place allows.
    pub(super) deny: bool,
    /// Absolute paths that exist.
    pub(super) places: Vec<(Access, PathBuf)>,
}

impl Rules {
    /// As bytes: paths may have any byte but zero.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![if self.deny { b'd' } else { b'-' }];
        for (access, path) in &self.places {
            let letter = Access::EACH.iter().find(|(known, _)| known == access).map(|(_, letter)| *letter);
            bytes.extend(letter);
            bytes.extend(path.as_os_str().as_bytes());
            bytes.push(0);
        }
        bytes
    }

    /// Reads what [`Rules::encode`] wrote; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        let deny = match first {
            b'd' => true,
            b'-' => false,
            _ => return None,
        };
        if rest.is_empty() {
            return Some(Self { deny, places: Vec::new() });
        }
        let places = rest.strip_suffix(&[0])?.split(|byte| *byte == 0).map(|place| {
            let (letter, path) = place.split_first()?;
            let access = Access::EACH.iter().find(|(_, known)| known == letter)?.0;
            Some((access, PathBuf::from(OsStr::from_bytes(path))))
        });
        Some(Self { deny, places: places.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_were_written() {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let places = vec![
            (Access::All, path(b"/usr")),
            (Access::Read, path(b"/work/caf\xe9\nx")),
            (Access::List, path(b"/")),
            (Access::Make, path(b"/work/out")),
        ];
        for rules in [Rules::default(), Rules { deny: true, places }] {
            assert_eq!(Rules::decode(&rules.encode()), Some(rules));
        }
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_refused() {
        for bytes in [&b""[..], b"x", b"da/usr", b"dq/usr\0", b"d\0"] {
            assert_eq!(Rules::decode(bytes), None, "{bytes:?}");
        }
    }
}
