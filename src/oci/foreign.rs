//! What an index names by digests of algorithms that this crate does not know.

use indexmap::IndexMap;
use serde::Deserialize;

use crate::oci::descriptor::whole;
use crate::oci::document::nullable;
use crate::oci::{Digest, InvalidDigest, Platform, Written};

/// An entry of an index that cannot be followed: its digest is of an algorithm that is
/// not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its digest.
    pub digest: String,
    /// Why that cannot be followed.
    pub why: InvalidDigest,
    /// What the content runs on.
    pub platform: Option<Platform>,
    /// Further facts about the content.
    pub annotations: IndexMap<String, String>,
    /// All of the entry.
    pub(super) entry: Written,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    #[serde(default, deserialize_with = "whole")]
    platform: Option<Platform>,
    #[serde(default, deserialize_with = "nullable")]
    annotations: IndexMap<String, String>,
}

impl Foreign {
    /// What an entry of an index is, if it is such a one.
    #[must_use]
    pub fn of(entry: &Written) -> Option<Self> {
        let Entry { digest, platform, annotations } = entry.read()?;
        match digest.parse::<Digest>() {
            Err(why @ InvalidDigest::Algorithm(_)) => {
                Some(Self { digest, why, platform, annotations, entry: entry.clone() })
            }
            _ => None,
        }
    }
}
