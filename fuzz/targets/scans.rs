//! Reports of scanners: what is not understood is an error, and no finding is lost that
//! was read.
#![no_main]

use hoist::config::ScanFormat;
use hoist::inspect::{read_report, scanner_version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for format in [ScanFormat::Trivy, ScanFormat::Grype, ScanFormat::Snyk, ScanFormat::Sarif] {
        match read_report(format, data) {
            Ok(report) => {
                for finding in &report.findings {
                    assert!(!finding.id.is_empty() && !finding.id.contains('\n'), "{finding:?}");
                }
            }
            Err(why) => assert!(!why.to_string().is_empty(), "an error without a reason"),
        }
        let _ = scanner_version(format, &String::from_utf8_lossy(data));
    }
});
