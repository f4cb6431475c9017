//! What `trivy image --format json` writes: `Report` of its Go package `pkg/types`.

use serde::Deserialize;

use crate::inspect::scan::finding::{document, id, line, severity};
use crate::inspect::scan::{Finding, Misread, ScannerReport};

/// The version of the format.
const SCHEMA: u64 = 2;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    schema_version: u64,
    #[serde(rename = "Trivy")]
    about: Option<About>,
    results: Option<Vec<Target>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct About {
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    #[serde(rename = "Target", default)]
    name: String,
    vulnerabilities: Option<Vec<Vulnerability>>,
    misconfigurations: Option<Vec<Misconfiguration>>,
    secrets: Option<Vec<Secret>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    #[serde(rename = "VendorIDs")]
    vendor_ids: Option<Vec<String>>,
    #[serde(default)]
    pkg_name: String,
    #[serde(default)]
    installed_version: String,
    #[serde(default)]
    fixed_version: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    title: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Misconfiguration {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "AVDID")]
    avd_id: Option<String>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(rename = "RuleID")]
    id: String,
    #[serde(rename = "Severity", default)]
    severity: String,
    #[serde(rename = "Title", default)]
    title: String,
}

pub(super) fn read(bytes: &[u8]) -> Result<ScannerReport, Misread> {
    let report: Report = document(bytes)?;
    if report.schema_version != SCHEMA {
        let why = format!("its `SchemaVersion` is {}, and hoist reads {SCHEMA}", report.schema_version);
        return Err(Misread::new(why));
    }
    let mut findings = Vec::new();
    for target in report.results.unwrap_or_default() {
        let file = line(&target.name).unwrap_or_default();
        let in_file = |id: String, aliases, word: &str, title: &str| Finding {
            id,
            aliases,
            severity: severity(word),
            package: file.clone(),
            installed: String::new(),
            fixed: None,
            title: line(title),
        };
        for found in target.vulnerabilities.unwrap_or_default() {
            findings.push(Finding {
                id: id(&found.id)?,
                aliases: found.vendor_ids.unwrap_or_default(),
                severity: severity(&found.severity),
                package: line(&found.pkg_name).unwrap_or_default(),
                installed: line(&found.installed_version).unwrap_or_default(),
                fixed: line(&found.fixed_version),
                title: line(&found.title),
            });
        }
        // What passed is in the list, too.
        let failed = target.misconfigurations.unwrap_or_default().into_iter();
        for found in failed.filter(|found| found.status == "FAIL") {
            let aliases = found.avd_id.into_iter().collect();
            findings.push(in_file(id(&found.id)?, aliases, &found.severity, &found.title));
        }
        for found in target.secrets.unwrap_or_default() {
            findings.push(in_file(id(&found.id)?, Vec::new(), &found.severity, &found.title));
        }
    }
    Ok(ScannerReport { version: report.about.and_then(|about| about.version), database: None, findings })
}
