//! What scanners found in an image: their reports as one model, and what is thought of it.
//!
//! Owns the formats of scanners ([`read_report`]) and the judgement ([`judge`],
//! [`expired`]): pure. A report that is not understood is an error and never means that
//! nothing was found. Knows nothing of how a scanner is started.

mod allowance;
mod finding;
mod grype;
mod sarif;
mod snyk;
#[cfg(test)]
mod tests;
mod trivy;
mod verdict;
mod version;

use crate::config::ScanFormat;

pub use allowance::expired;
pub use finding::{Finding, Misread, ScannerReport};
pub use verdict::{Allowed, Judged, Verdict, judge};
pub use version::{scanner_source, scanner_version};

/// Reads what a scanner reports of an image for one platform.
///
/// # Errors
/// Why it is not understood.
pub fn read_report(format: ScanFormat, bytes: &[u8]) -> Result<ScannerReport, Misread> {
    if bytes.trim_ascii().is_empty() {
        return Err(Misread::new("it is empty"));
    }
    match format {
        ScanFormat::Trivy => trivy::read(bytes),
        ScanFormat::Grype => grype::read(bytes),
        ScanFormat::Snyk => snyk::read(bytes),
        ScanFormat::Sarif => sarif::read(bytes),
    }
}
