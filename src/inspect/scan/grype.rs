//! What `grype -o json` writes: `Document` of its Go package `grype/presenter/models`.

use serde::Deserialize;
use serde_json::Value;

use crate::inspect::scan::finding::{document, id, line, severity, versions};
use crate::inspect::scan::{Finding, Misread, ScannerReport};

#[derive(Deserialize)]
struct Document {
    matches: Vec<Match>,
    descriptor: Option<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    version: Option<String>,
    db: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    vulnerability: Vulnerability,
    #[serde(default)]
    related_vulnerabilities: Vec<Related>,
    artifact: Artifact,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    description: String,
    fix: Option<Fix>,
}

#[derive(Deserialize)]
struct Fix {
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct Related {
    id: String,
}

#[derive(Deserialize)]
struct Artifact {
    name: String,
    #[serde(default)]
    version: String,
}

pub(super) fn read(bytes: &[u8]) -> Result<ScannerReport, Misread> {
    let report: Document = document(bytes)?;
    let finding = |found: Match| {
        let Match { vulnerability, related_vulnerabilities, artifact } = found;
        Ok(Finding {
            id: id(&vulnerability.id)?,
            aliases: related_vulnerabilities.into_iter().map(|related| related.id).collect(),
            severity: severity(&vulnerability.severity),
            package: line(&artifact.name).unwrap_or_default(),
            installed: line(&artifact.version).unwrap_or_default(),
            fixed: vulnerability.fix.and_then(|fix| versions(&fix.versions)),
            title: line(&vulnerability.description),
        })
    };
    let (version, db) = report.descriptor.map(|about| (about.version, about.db)).unwrap_or_default();
    // Where it stands has changed with version 6 of the database.
    let built = |db: &Value| {
        let built = db.pointer("/status/built").or_else(|| db.get("built"))?;
        built.as_str().and_then(line)
    };
    Ok(ScannerReport {
        version,
        database: db.as_ref().and_then(built),
        findings: report.matches.into_iter().map(finding).collect::<Result<_, Misread>>()?,
    })
}
