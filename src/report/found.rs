//! What scans found, in words.

use std::fmt::Write as _;

use crate::report::story::Story;
use crate::report::{Look, Paint};
use crate::run::{FindingFigures, ScanFigures, StepEnded};

/// Most findings that are shown where a step ends.
const SHOWN: usize = 5;

/// The scans of a run, in the order of the steps.
pub(super) fn scans(story: &Story) -> Vec<&ScanFigures> {
    let ends = story.told().filter_map(|(_, part)| part.end.as_ref());
    ends.filter_map(|end| end.scan.as_deref()).collect()
}

/// `1 critical, 3 high; 2 allowed`.
pub(super) fn count_words(scan: &ScanFigures) -> String {
    let named = scan.counts.named().into_iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = named.map(|(word, count)| format!("{count} {word}")).collect();
    let found = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
    if scan.allowed > 0 { format!("{found}; {} allowed", scan.allowed) } else { found }
}

/// The scanner, and of which version it is.
pub(super) fn scanner_words(scan: &ScanFigures) -> String {
    match &scan.version {
        Some(version) => format!("{} {version}", scan.scanner),
        None => scan.scanner.clone(),
    }
}

/// The package that has it, its version, and the one that is mended: `openssl 1.1.1 -> 1.1.2`.
pub(super) fn package_words(finding: &FindingFigures) -> String {
    let installed = format!("{} {}", finding.package, finding.installed);
    match &finding.fixed {
        Some(fixed) => format!("{} -> {fixed}", installed.trim_end()),
        None => installed.trim_end().to_owned(),
    }
}

/// What there is to say of a scan that ended: how much it found, and the worst of it.
pub(super) fn finding_lines(ended: &StepEnded, look: Look) -> String {
    let Some(scan) = &ended.scan else { return String::new() };
    let mut lines = vec![format!("{}: {}", scanner_words(scan), count_words(scan))];
    // Of a scan that failed, its problem says what it failed of.
    let shown = if scan.passed { SHOWN } else { 0 };
    let open = || scan.findings.iter().filter(|finding| finding.allowed.is_none());
    lines.extend(
        open()
            .take(shown)
            .map(|finding| format!("  {} {} {}", finding.severity, finding.id, package_words(finding))),
    );
    let rest = (open().count() + scan.more).saturating_sub(SHOWN);
    if scan.passed && rest > 0 {
        lines.push(format!("  and {rest} more: `hoist log {}`", ended.step));
    }
    let allowed = scan.findings.iter().filter_map(|finding| Some((finding, finding.allowed.as_ref()?)));
    lines.extend(allowed.take(SHOWN).map(|(finding, allowed)| {
        format!("  allowed until {}: {} {}: {}", allowed.until, finding.severity, finding.id, allowed.reason)
    }));
    let mut out = String::new();
    for line in lines {
        let _ = writeln!(out, "    {}", look.paint(Paint::Faint, &look.tame(&line)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{Script, scan};
    use crate::run::{Happening, Outcome};

    fn lines(scan: ScanFigures) -> String {
        let mut script = Script::begin(&[("web:scan@trivy", &[])]);
        script.scanned("web:scan@trivy", Outcome::Ran, scan);
        let Some(Happening::StepEnded(ended)) = script.events.pop().map(|event| event.what) else { panic!() };
        finding_lines(&ended, Look::PLAIN)
    }

    #[test]
    fn the_end_of_a_scan_says_what_it_found_and_what_is_allowed() {
        let expected = "    trivy 0.58.1: 1 high, 1 medium; 1 allowed\n";
        assert_eq!(&lines(scan())[..expected.len()], expected);
        let passed = ScanFigures { passed: true, ..scan() };
        let expected = "    trivy 0.58.1: 1 high, 1 medium; 1 allowed\n      \
                        high CVE-2024-1 openssl 1.1.1 -> 1.1.2\n      \
                        medium CVE-2024-2 zlib 1.3\n      \
                        allowed until 2027-01-31: critical CVE-2024-3: not reachable\n";
        assert_eq!(lines(passed), expected);
    }

    #[test]
    fn what_a_scanner_says_steers_no_terminal() {
        let mut scan = ScanFigures { passed: true, ..scan() };
        scan.findings[0].id = "CVE\u{1b}[2J\n::error::x".to_owned();
        assert!(!lines(scan).contains('\u{1b}'));
    }
}
