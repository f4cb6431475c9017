//! What scanners are had from, and say of themselves.

use crate::config::ScanFormat;
use crate::inspect::scan::finding::line;

/// The version of a scanner, and when its database was made, by what `--version` printed.
#[must_use]
pub fn scanner_version(format: ScanFormat, printed: &str) -> (Option<String>, Option<String>) {
    let after = |name: &str| printed.lines().find_map(|text| text.trim().strip_prefix(name).and_then(line));
    match format {
        ScanFormat::Trivy => (after("Version:"), after("UpdatedAt:")),
        ScanFormat::Grype | ScanFormat::Snyk | ScanFormat::Sarif => {
            let word = printed.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
            (word.and_then(line), None)
        }
    }
}

/// How a scanner is had that hoist can start.
#[must_use]
pub const fn scanner_source(format: ScanFormat) -> &'static str {
    match format {
        ScanFormat::Trivy => "install trivy: https://trivy.dev/latest/getting-started/installation",
        ScanFormat::Grype => "install grype: https://github.com/anchore/grype#installation",
        ScanFormat::Snyk => {
            "`npm install -g snyk` installs it, and `SNYK_TOKEN` or `snyk auth` says who you are"
        }
        ScanFormat::Sarif => "`run` says how it is started",
    }
}
