//! What scans of images found.

use std::fmt::Write as _;

use crate::report::document::escape;
use crate::report::found::{count_words, scanner_words, scans};
use crate::report::page::Sheet;
use crate::run::{FindingFigures, ScanFigures};

/// Most scans that are shown.
const SHOWN: usize = 60;
/// Most findings of a scan that are listed.
const LISTED: usize = 200;

pub(super) fn section(sheet: &Sheet<'_>) -> String {
    let all = scans(sheet.story);
    let mut out = String::new();
    for scan in all.iter().take(SHOWN) {
        card(&mut out, scan);
    }
    if all.len() > SHOWN {
        let _ = writeln!(out, "<p class=\"hint\">and {} more</p>", all.len() - SHOWN);
    }
    out
}

fn card(out: &mut String, scan: &ScanFigures) {
    let (class, word) = if scan.passed { ("good", "passed") } else { ("failed", "failed") };
    let _ = write!(
        out,
        "<article>\n<h3><em class=\"pill {class}\">{word}</em>{} <small>{}, fails on {}</small></h3>\n\
         <p>{}</p>\n<p class=\"hint\">{}",
        escape(&scan.image),
        escape(&scanner_words(scan)),
        escape(&scan.fail_on),
        escape(&count_words(scan)),
        escape(&scan.platforms.join(", ")),
    );
    if let Some(database) = &scan.database {
        let _ = write!(out, ", by a database of {}", escape(database));
    }
    out.push_str("</p>\n");
    findings(out, scan);
    out.push_str("</article>\n");
}

fn findings(out: &mut String, scan: &ScanFigures) {
    if scan.findings.is_empty() {
        return;
    }
    out.push_str(
        "<div class=\"wide\"><table>\n\
         <tr><th>severity<th>id<th>package<th>installed<th>fixed in<th>where<th>what\n",
    );
    for finding in scan.findings.iter().take(LISTED) {
        let everywhere = finding.platforms.len() == scan.platforms.len();
        let place = if everywhere { String::new() } else { finding.platforms.join(", ") };
        let _ = writeln!(
            out,
            "<tr><td>{}<td><code>{}</code><td class=\"by\">{}<td>{}<td>{}<td>{}<td class=\"by\">{}",
            severity(finding),
            escape(&finding.id),
            escape(&finding.package),
            escape(&finding.installed),
            escape(finding.fixed.as_deref().unwrap_or_default()),
            escape(&place),
            what(finding),
        );
    }
    out.push_str("</table></div>\n");
    let more = scan.findings.len().saturating_sub(LISTED) + scan.more;
    if more > 0 {
        let _ = writeln!(out, "<p class=\"hint\">and {more} more, none of them worse</p>");
    }
}

fn severity(finding: &FindingFigures) -> String {
    let word = escape(&finding.severity);
    if finding.fails { format!("<b>{word}</b>") } else { word }
}

fn what(finding: &FindingFigures) -> String {
    let title = escape(finding.title.as_deref().unwrap_or_default());
    match &finding.allowed {
        Some(allowed) => {
            format!("{title} <em>allowed until {}: {}</em>", escape(&allowed.until), escape(&allowed.reason))
        }
        None => title,
    }
}
