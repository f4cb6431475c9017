//! What a scan found, as it is told and recorded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{Scan, Severity};
use crate::inspect::{Judged, ScanVerdict};
use crate::oci::Platform;
use crate::run::mask::Secrets;

/// Most findings that are told of one scan, the worst first.
const MOST: usize = 500;

/// What a scan found in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanFigures {
    /// The image, as release.kdl names it.
    pub image: String,
    /// The scanner.
    pub scanner: String,
    /// Its version, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When its database was made, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The least severity that fails.
    pub fail_on: String,
    /// Whether nothing of that severity or a worse one was found that is not allowed.
    pub passed: bool,
    /// What was scanned: `linux/amd64`.
    pub platforms: Vec<String>,
    /// Findings that are not allowed.
    pub counts: SeverityCounts,
    /// How many are allowed.
    pub allowed: usize,
    /// The findings, the worst first, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingFigures>,
    /// How many more there are, none of them worse.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// How many findings are how bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeverityCounts {
    /// Critical.
    pub critical: usize,
    /// High.
    pub high: usize,
    /// Medium.
    pub medium: usize,
    /// Low.
    pub low: usize,
    /// Negligible.
    pub negligible: usize,
    /// Of which the scanner does not know it.
    pub unknown: usize,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingFigures {
    /// Its id.
    pub id: String,
    /// How bad it is: a word of `fail-on`, or `unknown`.
    pub severity: String,
    /// The package, or the file, that has it.
    pub package: String,
    /// The version of that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub installed: String,
    /// The versions in which it is mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it was found.
    pub platforms: Vec<String>,
    /// Whether the scan failed of it.
    pub fails: bool,
    /// Why it is allowed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<AllowanceFigures>,
}

/// Why a finding is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowanceFigures {
    /// The last day on which it is: `2027-01-31`.
    pub until: String,
    /// Why.
    pub reason: String,
}

impl SeverityCounts {
    fn add(&mut self, severity: Option<Severity>) {
        *match severity {
            Some(Severity::Critical) => &mut self.critical,
            Some(Severity::High) => &mut self.high,
            Some(Severity::Medium) => &mut self.medium,
            Some(Severity::Low) => &mut self.low,
            Some(Severity::Negligible) => &mut self.negligible,
            None => &mut self.unknown,
        } += 1;
    }

    /// Each with its word, the worst first.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, usize); 6] {
        [
            ("critical", self.critical),
            ("high", self.high),
            ("medium", self.medium),
            ("low", self.low),
            ("negligible", self.negligible),
            ("unknown", self.unknown),
        ]
    }
}

impl ScanFigures {
    /// What was found by a scanner of some version, with a database, on some platforms.
    #[must_use]
    pub fn new(
        image: &str,
        scan: &Scan,
        (version, database): (Option<String>, Option<String>),
        platforms: &[Platform],
        verdict: &ScanVerdict,
    ) -> Self {
        let mut counts = SeverityCounts::default();
        for judged in verdict.findings.iter().filter(|judged| judged.allowed.is_none()) {
            counts.add(judged.finding.severity);
        }
        Self {
            image: image.to_owned(),
            scanner: scan.scanner.value.clone(),
            version,
            database,
            fail_on: scan.fail_on.to_string(),
            passed: !verdict.findings.iter().any(|judged| judged.fails),
            platforms: platforms.iter().map(ToString::to_string).collect(),
            counts,
            allowed: verdict.findings.iter().filter(|judged| judged.allowed.is_some()).count(),
            findings: verdict.findings.iter().take(MOST).map(FindingFigures::new).collect(),
            more: verdict.findings.len().saturating_sub(MOST),
        }
    }

    /// The same, as it may be seen: a scanner may have found a secret.
    pub(super) fn hidden(mut self, secrets: &Arc<Secrets>) -> Self {
        let hide = |text: &mut String| *text = secrets.hide(text);
        self.version.iter_mut().chain(self.database.iter_mut()).for_each(hide);
        for finding in &mut self.findings {
            [&mut finding.id, &mut finding.package, &mut finding.installed].into_iter().for_each(hide);
            finding.fixed.iter_mut().chain(finding.title.iter_mut()).for_each(hide);
            finding.allowed.iter_mut().for_each(|allowed| hide(&mut allowed.reason));
        }
        self
    }
}

impl FindingFigures {
    fn new(judged: &Judged) -> Self {
        let finding = &judged.finding;
        Self {
            id: finding.id.clone(),
            severity: finding.severity_word().to_owned(),
            package: finding.package.clone(),
            installed: finding.installed.clone(),
            fixed: finding.fixed.clone(),
            title: finding.title.clone(),
            platforms: judged.platforms.iter().map(ToString::to_string).collect(),
            fails: judged.fails,
            allowed: judged.allowed.as_ref().map(|allowed| AllowanceFigures {
                until: allowed.until.to_string(),
                reason: allowed.reason.clone(),
            }),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &usize) -> bool {
    *value == 0
}
