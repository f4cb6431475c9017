//! Content digests (OCI image specification, "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// The sha256 of some bytes: `sha256:` and 64 lower-case hex digits.
///
/// Other algorithms that the specification registers are refused by parsing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 64 hex digits, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        self.to_string().split_off("sha256:".len())
    }

    /// The first 12 hex digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

/// A digest that is computed as bytes come by.
#[derive(Clone, Debug, Default)]
pub struct Digester {
    hash: sha2::Sha256,
    size: u64,
}

impl Digester {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The digest and the number of the bytes seen.
    #[must_use]
    pub fn finish(self) -> (Digest, u64) {
        (Digest(self.hash.finalize().into()), self.size)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a sha256 digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidDigest {
    /// It is no digest at all.
    Malformed,
    /// It is one of another algorithm, of this name.
    Algorithm(String),
}

impl fmt::Display for InvalidDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("a digest is `sha256:` and 64 lower-case hex digits"),
            Self::Algorithm(name) => {
                write!(f, "the digest algorithm `{name}` is not supported: only `sha256` is")
            }
        }
    }
}

impl InvalidDigest {
    /// Why a text without `sha256:` is none.
    fn of(text: &str) -> Self {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let encoded = |c: char| c.is_ascii_alphanumeric() || matches!(c, '=' | '_' | '-');
        match text.split_once(':') {
            Some((name, rest))
                if !rest.is_empty()
                    && rest.chars().all(encoded)
                    && name
                        .split(['+', '.', '_', '-'])
                        .all(|part| !part.is_empty() && part.chars().all(lower)) =>
            {
                Self::Algorithm(name.to_owned())
            }
            _ => Self::Malformed,
        }
    }
}

impl std::error::Error for InvalidDigest {}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let hex = text.strip_prefix("sha256:").ok_or_else(|| InvalidDigest::of(text))?.as_bytes();
        if hex.len() != 64 {
            return Err(InvalidDigest::Malformed);
        }
        let nibble = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidDigest::Malformed),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
