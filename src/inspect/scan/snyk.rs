//! What `snyk container test --json` writes: one object, or a list of one for each project
//! that was found in the image; those of applications may lie in the first.

use serde::Deserialize;
use serde_json::Value;

use crate::inspect::scan::finding::{document, id, line, severity, versions};
use crate::inspect::scan::{Finding, Misread, ScannerReport};

#[derive(Deserialize)]
struct Project {
    error: Option<String>,
    vulnerabilities: Option<Vec<Vulnerability>>,
    #[serde(default)]
    applications: Vec<Self>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vulnerability {
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    severity: String,
    package_name: Option<String>,
    name: Option<String>,
    #[serde(default)]
    version: String,
    nearest_fixed_in_version: Option<String>,
    #[serde(default)]
    fixed_in: Vec<String>,
    #[serde(default)]
    identifiers: Identifiers,
}

#[derive(Default, Deserialize)]
struct Identifiers {
    #[serde(rename = "CVE", default)]
    cve: Vec<String>,
    #[serde(rename = "GHSA", default)]
    ghsa: Vec<String>,
}

pub(super) fn read(bytes: &[u8]) -> Result<ScannerReport, Misread> {
    let projects = match document(bytes)? {
        Value::Array(projects) if projects.is_empty() => return Err(Misread::new("it is about nothing")),
        Value::Array(projects) => projects,
        one => vec![one],
    };
    let mut findings = Vec::new();
    for project in projects {
        let project = serde_json::from_value(project).map_err(|error| Misread::new(error.to_string()))?;
        add(project, &mut findings)?;
    }
    Ok(ScannerReport { version: None, database: None, findings })
}

fn add(project: Project, findings: &mut Vec<Finding>) -> Result<(), Misread> {
    if let Some(error) = project.error.as_deref().and_then(line) {
        return Err(Misread::new(format!("it says that the scan failed: {error}")));
    }
    let Some(vulnerabilities) = project.vulnerabilities else {
        return Err(Misread::new("it has no `vulnerabilities`"));
    };
    for found in vulnerabilities {
        let fixed = found.nearest_fixed_in_version.as_deref().and_then(line);
        findings.push(Finding {
            id: id(&found.id)?,
            aliases: found.identifiers.cve.into_iter().chain(found.identifiers.ghsa).collect(),
            severity: severity(&found.severity),
            package: found.package_name.or(found.name).as_deref().and_then(line).unwrap_or_default(),
            installed: line(&found.version).unwrap_or_default(),
            fixed: fixed.or_else(|| versions(&found.fixed_in)),
            title: line(&found.title),
        });
    }
    project.applications.into_iter().try_for_each(|application| add(application, findings))
}
