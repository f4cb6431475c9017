//! What images hold and weigh.
//!
//! Owns the report on an image ([`image`]) and the comparison of an image with
//! its budget ([`weigh`]). Assumes that images lie in a layout; changes nothing.
//! Knows nothing of how a report is shown; must not import cache, release, or
//! run.

mod budget;
mod image;

pub use budget::weigh;
pub use image::{FileReport, ImageReport, LayerReport, PlatformReport, image};
