//! What images hold and weigh.
//!
//! Owns the report on an image ([`image`]), the list of a repository's tags
//! ([`tagged`]), and the comparison of an image with its budget ([`weigh`]). Reads
//! layouts and registries; changes nothing. Knows nothing of how a report is shown;
//! must not import cache, release, or run.

mod budget;
mod image;
mod tag;

pub use budget::weigh;
pub use image::{FileReport, ImageReport, LayerReport, PlatformReport, View, image, largest, wasted};
pub use tag::{TagReport, TaggedImage, tagged};
