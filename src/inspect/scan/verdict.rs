//! What is thought of what was found.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::Date;

use crate::config::{Scan, ScanAllow, Severity};
use crate::diagnostic::{Code, Problem, counted};
use crate::inspect::scan::Finding;
use crate::oci::Platform;

/// Most findings that the problem of a scan lists.
const LISTED: usize = 20;

/// What was found in an image, on all its platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The findings, the worst first, each once.
    pub findings: Vec<Judged>,
    /// What is allowed and was not found.
    pub stale: Vec<String>,
}

/// A finding, and what is thought of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What was found.
    pub finding: Finding,
    /// Where, in the order of the platforms.
    pub platforms: Vec<Platform>,
    /// Why it is allowed, if it is.
    pub allowed: Option<Allowed>,
    /// Whether the scan fails of it.
    pub fails: bool,
}

/// Why a finding is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The last day on which it is.
    pub until: Date,
    /// Why.
    pub reason: String,
}

/// Puts together what was found on each platform, and judges it by what the release file
/// says: what is as bad as `fail-on` or worse fails, unless it is allowed.
#[must_use]
pub fn judge(scan: &Scan, found: Vec<(Platform, Vec<Finding>)>) -> Verdict {
    let mut known: BTreeMap<(String, String, String), Judged> = BTreeMap::new();
    for (platform, findings) in found {
        for finding in findings {
            let key = (finding.id.clone(), finding.package.clone(), finding.installed.clone());
            if let Some(judged) = known.get_mut(&key) {
                judged.join(scan, finding, &platform);
                continue;
            }
            let platforms = vec![platform.clone()];
            known.insert(key, Judged { finding, platforms, allowed: None, fails: false });
        }
    }
    let mut findings: Vec<Judged> = known.into_values().collect();
    for judged in &mut findings {
        let allow = scan.allow.iter().find(|allow| judged.finding.is_named(&allow.id.value));
        judged.allowed =
            allow.map(|allow| Allowed { until: allow.until.value, reason: allow.reason.clone() });
        judged.fails = judged.allowed.is_none() && weight(scan, judged.finding.severity) >= scan.fail_on;
    }
    // Among equals, the names order them as they lay in the map.
    findings.sort_by_key(|judged| {
        let severity = judged.finding.severity;
        std::cmp::Reverse((weight(scan, severity), severity.is_some()))
    });
    let is_stale = |allow: &&ScanAllow| !findings.iter().any(|one| one.finding.is_named(&allow.id.value));
    let stale = scan.allow.iter().filter(is_stale).map(|allow| allow.id.value.clone()).collect();
    Verdict { findings, stale }
}

/// What a severity counts as.
fn weight(scan: &Scan, severity: Option<Severity>) -> Severity {
    severity.unwrap_or(scan.unknown)
}

impl Finding {
    /// Whether a name is one of its own; in any case of letters.
    fn is_named(&self, name: &str) -> bool {
        [&self.id].into_iter().chain(&self.aliases).any(|known| known.eq_ignore_ascii_case(name.trim()))
    }

    /// Its severity as a word.
    #[must_use]
    pub fn severity_word(&self) -> &'static str {
        self.severity.map_or("unknown", Severity::as_str)
    }
}

impl Judged {
    /// The same was found on another platform, or again.
    fn join(&mut self, scan: &Scan, other: Finding, platform: &Platform) {
        if !self.platforms.contains(platform) {
            self.platforms.push(platform.clone());
        }
        let mine = &mut self.finding;
        if weight(scan, other.severity) > weight(scan, mine.severity) {
            mine.severity = other.severity;
        }
        mine.fixed = mine.fixed.take().or(other.fixed);
        mine.title = mine.title.take().or(other.title);
        for alias in other.aliases {
            if !mine.aliases.contains(&alias) {
                mine.aliases.push(alias);
            }
        }
    }

    /// It in one line: `critical CVE-2024-1 in openssl 1.1.1, fixed in 1.1.2: …`.
    #[must_use]
    pub fn line(&self) -> String {
        let Finding { id, package, installed, fixed, title, .. } = &self.finding;
        let mut line = format!("{} {id}", self.finding.severity_word());
        if !package.is_empty() {
            let _ = write!(line, " in {package}");
        }
        if !installed.is_empty() {
            let _ = write!(line, " {installed}");
        }
        if let Some(fixed) = fixed {
            let _ = write!(line, ", fixed in {fixed}");
        }
        if let Some(title) = title {
            let _ = write!(line, ": {title}");
        }
        line
    }
}

impl Verdict {
    /// What is wrong with an image, if something is.
    #[must_use]
    pub fn problem(&self, scan: &Scan, image: &str) -> Option<Problem> {
        let failing: Vec<&Judged> = self.findings.iter().filter(|judged| judged.fails).collect();
        let worst = failing.first()?;
        let count = counted(failing.len(), "finding");
        let title = format!(
            "`{}` has {count} of severity {} or worse in `{image}`",
            scan.scanner.value, scan.fail_on
        );
        let fixed = failing.iter().filter(|judged| judged.finding.fixed.is_some()).count();
        let label = match fixed {
            0 => "none of them is fixed in a later version".to_owned(),
            fixed => format!("{fixed} of them fixed in a later version"),
        };
        let help = format!(
            "update what is fixed; `allow \"{}\" until=\"…\" reason=\"…\"` allows one for a time",
            worst.finding.id
        );
        let problem = Problem::new(Code::Vulnerable, title).label(scan.span, label).help(help);
        let mut list: Vec<String> = failing.iter().take(LISTED).map(|judged| judged.line()).collect();
        if let Some(more @ 1..) = failing.len().checked_sub(LISTED) {
            list.push(format!("and {more} more: the log of the step has them"));
        }
        Some(problem.note(format!("found:\n  {}", list.join("\n  "))))
    }
}
