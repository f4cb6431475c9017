//! The digests of the cache: BLAKE3, written as 64 lower-case hex digits where people
//! may read them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! hashes {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub struct $name(pub [u8; 32]);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, f)
                }
            }

            impl From<blake3::Hash> for $name {
                fn from(hash: blake3::Hash) -> Self {
                    Self(hash.into())
                }
            }

            impl FromStr for $name {
                type Err = blake3::HexError;

                fn from_str(text: &str) -> Result<Self, blake3::HexError> {
                    blake3::Hash::from_hex(text).map(Self::from)
                }
            }

            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    if serializer.is_human_readable() {
                        serializer.collect_str(self)
                    } else {
                        self.0.serialize(serializer)
                    }
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    if deserializer.is_human_readable() {
                        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                    } else {
                        <[u8; 32]>::deserialize(deserializer).map(Self)
                    }
                }
            }
        )+
    };
}

hashes! {
    /// The key of a step: the digest of all that its result depends on.
    Key,
    /// The digest of a content, or of a set of outputs.
    Blake3,
}

impl Blake3 {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        blake3::hash(bytes).into()
    }
}
