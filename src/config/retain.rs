//! What of images is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `retain "develop-*" last=10 younger="30d"` of a registry: of the images with such tags,
/// what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retain {
    /// Globs over tags, at least one.
    pub matches: Vec<String>,
    /// How much of them is kept.
    pub bounds: Bounds,
    /// Whether tags that name versions are meant, too.
    pub versions: bool,
}

/// How many are kept, and for how long: what one of both keeps is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// So many, the newest; none says nothing of their number.
    pub last: Option<u32>,
    /// Those younger than this; none says nothing of their age.
    pub younger: Option<Duration>,
}
