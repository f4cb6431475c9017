//! What images hold and weigh.
//!
//! Owns the report on an image ([`image`]), the list of a repository's tags
//! ([`tagged`]), the comparison of an image with its budget ([`weigh`]), and what
//! scanners say of one ([`read_report`], [`judge_scan`]). Reads
//! layouts and registries; changes nothing. Knows nothing of how a report is shown;
//! must not import cache, release, or run.

mod budget;
mod image;
mod scan;
mod tag;

pub use budget::weigh;
pub use image::{
    FileReport, ImageReport, LayerReport, PlatformReport, View, for_platform, image, image_of, largest,
    wasted,
};
pub use scan::{
    Allowed, Finding, Judged, Misread, ScannerReport, Verdict as ScanVerdict, expired, judge as judge_scan,
    read_report, scanner_source, scanner_version,
};
pub use tag::{TagReport, TaggedImage, tagged};
