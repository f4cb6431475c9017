//! A run as Markdown: for the summary of a job, for a comment, for a file.

use std::fmt::Write as _;
use std::time::Duration;

use crate::diagnostic::{Problems, Sources, bytes, counted};
use crate::report::diagnostic::faults;
use crate::report::ending::{gist, seconds};
use crate::report::found::{package_words, scanner_words, scans};
use crate::report::measured::{Measured, budget_words, growth_words, measured, reused_words};
use crate::report::story::{Part, Story};
use crate::run::{Fault, Outcome};

/// Most steps that have a row; the others are counted.
const ROWS: usize = 300;
/// Most failed steps whose log is shown, and most bytes of each.
const LOGS: usize = 20;
const LOG: usize = 16 * 1024;

/// What ran and what failed, with durations and reasons, the images and their
/// tags, and the ends of the logs of what failed. What was up to date is counted.
/// At most some 600 KiB.
#[must_use]
pub fn markdown(story: &Story) -> String {
    let mut out = String::new();
    let project = story.started.as_ref().map_or("hoist", |started| started.project.as_str());
    let goals = story.goals();
    let what = if goals.is_empty() { String::new() } else { format!(" {}", code(&goals)) };
    let mark = match &story.ended {
        Some(ended) if ended.exit == 0 => "✅",
        _ => "❌",
    };
    let _ = writeln!(out, "### {mark} {}{what}: {}\n", text(project), said(story));
    out += &about(story);
    let of_run = story.ended.iter().flat_map(|ended| &ended.problems);
    let of_run: Vec<&Fault> = of_run.collect();
    if !of_run.is_empty() {
        out += &listed(&of_run);
    }
    out += &steps(story);
    out += &figures(story);
    out += &found(story);
    out += &images(story);
    out += &logs(story);
    out
}

/// What ended a command before anything ran.
#[must_use]
pub fn refusal(problems: &Problems, sources: &Sources) -> String {
    let all = faults(problems, sources);
    let all: Vec<&Fault> = all.iter().collect();
    format!("### ❌ hoist: {}\n\n", counted(all.len(), "problem")) + &listed(&all)
}

/// Problems, an item each with what else is known of it.
fn listed(all: &[&Fault]) -> String {
    let mut out = String::new();
    for fault in all.iter().take(ROWS) {
        let place = fault.labels.first().filter(|place| place.file != "command line");
        let place = place.map(|place| format!(" ({}:{})", place.file, place.line)).unwrap_or_default();
        let _ = writeln!(out, "- **{}**{}", text(&fault.title), text(&place));
        let labels = fault.labels.iter().map(|place| place.text.clone()).filter(|label| !label.is_empty());
        let help = fault.help.iter().map(|help| format!("help: {help}"));
        for line in labels.chain(help).chain(fault.notes.iter().cloned()) {
            let _ = writeln!(out, "  - {}", text(&console::strip_ansi_codes(&line)));
        }
    }
    if all.len() > ROWS {
        let _ = writeln!(out, "\n… and {} more.", all.len() - ROWS);
    }
    out + "\n"
}

fn said(story: &Story) -> String {
    let took = seconds(Duration::from_millis(story.milliseconds()));
    let how = match (&story.ended, &story.signal) {
        (Some(_), _) => "",
        (None, _) if story.cut_off => "cut off, ",
        (None, Some(_)) => "interrupted, ",
        (None, None) => "unfinished, ",
    };
    format!("{how}{} in {took}", story.sum())
}

fn about(story: &Story) -> String {
    let Some(started) = &story.started else { return String::new() };
    let trigger = &started.trigger;
    let mut parts = vec![match &trigger.name {
        Some(name) => format!("{} {}", trigger.kind, code(name)),
        None => trigger.kind.clone(),
    }];
    parts.extend(trigger.commit.as_ref().map(|commit| format!("commit {}", code(commit))));
    parts.push(format!("run {}", code(&started.run)));
    let mut out = format!("{}\n\n", parts.join(" · "));
    if let Some(reason) = &started.unpublished {
        let _ = writeln!(out, "Nothing is published: {}\n", text(reason));
    }
    out
}

fn steps(story: &Story) -> String {
    // What failed first; a failure that caused others is of more interest than they are.
    let rank = |part: &Part| match part.end.as_ref().map(|end| &end.outcome) {
        Some(Outcome::Failed { .. }) => 0,
        Some(Outcome::Cancelled) | None => 1,
        Some(Outcome::Ran) => 2,
        Some(Outcome::NotRun { .. }) => 4,
        Some(Outcome::Cached { .. } | Outcome::Skipped { .. }) => 3,
    };
    let mut shown: Vec<_> = story.told().filter(|(_, part)| !part.is_present()).collect();
    shown.sort_by_key(|(_, part)| rank(part));
    if shown.is_empty() {
        return String::new();
    }
    let mut out = "| | Step | Result | Time | |\n|---|---|---|---:|---|\n".to_owned();
    for (name, part) in shown.iter().take(ROWS) {
        let mark = match rank(part) {
            0 | 1 => "❌",
            2 | 3 => "✅",
            _ => "➖",
        };
        let took = match part.milliseconds() {
            0 => String::new(),
            milliseconds => seconds(Duration::from_millis(milliseconds)),
        };
        let _ =
            writeln!(out, "| {mark} | {} | {} | {took} | {} |", code(name), part.word(), text(&more(part)));
    }
    if shown.len() > ROWS {
        let _ = writeln!(out, "\n… and {} more steps.", shown.len() - ROWS);
    }
    out + "\n"
}

/// What else there is to say of a step, in a cell.
fn more(part: &Part) -> String {
    match part.end.as_ref().map(|end| &end.outcome) {
        Some(Outcome::Failed { problems }) => problems.first().map_or_else(String::new, |fault| {
            let place = fault.labels.first().map(|place| format!(" ({}:{})", place.file, place.line));
            format!("{}{}", gist(fault), place.unwrap_or_default())
        }),
        Some(Outcome::Skipped { reason }) => reason.clone(),
        Some(Outcome::NotRun { cause }) => cause.to_string(),
        _ => part.reasons.first().map(|reason| reason.text.clone()).unwrap_or_default(),
    }
}

/// What was measured of the images.
fn figures(story: &Story) -> String {
    let all = measured(story);
    if all.is_empty() {
        return String::new();
    }
    let mut out = "| Image | Size | Change | Transfer | Layers | Built in | Queued | Reused | Budget |\n\
                   |---|---:|---:|---:|---:|---:|---:|---:|---|\n"
        .to_owned();
    for one in all.iter().take(ROWS) {
        let Measured { figures: image, .. } = one;
        let time = |milliseconds: Option<u64>| milliseconds.map(|time| seconds(Duration::from_millis(time)));
        let cells = [
            image.size.map(bytes),
            image.growth().map(growth_words),
            Some(bytes(image.transferred)),
            Some(image.layers.len().to_string()),
            time(one.built()),
            time(one.queued()),
            image.reused.map(reused_words),
            image.budget.map(|budget| budget_words(&budget).join(", ")),
        ];
        let name = code(&format!("{} {}", image.image, image.platform));
        let cells: Vec<String> = cells.into_iter().map(|cell| text(&cell.unwrap_or_default())).collect();
        let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
    }
    if all.len() > ROWS {
        let _ = writeln!(out, "\n… and {} more images.", all.len() - ROWS);
    }
    out + "\n"
}

/// What scans found: how much, and the worst.
fn found(story: &Story) -> String {
    let all = scans(story);
    if all.is_empty() {
        return String::new();
    }
    let mut out = "| | Scan | Critical | High | Medium | Low | Negligible | Unknown | Allowed | Fails on |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---|\n"
        .to_owned();
    for scan in all.iter().take(ROWS) {
        let mark = if scan.passed { "✅" } else { "❌" };
        let name = code(&format!("{} {}", scan.image, scanner_words(scan)));
        let counts = scan.counts.named().map(|(_, count)| count.to_string()).join(" | ");
        let _ = writeln!(out, "| {mark} | {name} | {counts} | {} | {} |", scan.allowed, text(&scan.fail_on));
    }
    let rows: Vec<_> = all.iter().flat_map(|scan| scan.findings.iter().map(move |one| (scan, one))).collect();
    if !rows.is_empty() {
        out += "\n| Severity | Id | Package | Image | |\n|---|---|---|---|---|\n";
        for (scan, finding) in rows.iter().take(ROWS) {
            let title = finding.title.clone().unwrap_or_default();
            let more = match &finding.allowed {
                Some(allowed) => format!("allowed until {}: {}", allowed.until, allowed.reason),
                None => title,
            };
            let (id, package) = (code(&finding.id), text(&package_words(finding)));
            let severity = text(&finding.severity);
            let severity = if finding.fails { format!("**{severity}**") } else { severity };
            let _ =
                writeln!(out, "| {severity} | {id} | {package} | {} | {} |", text(&scan.image), text(&more));
        }
    }
    let more = rows.len().saturating_sub(ROWS) + all.iter().map(|scan| scan.more).sum::<usize>();
    if more > 0 {
        let _ = writeln!(out, "\n… and {more} more findings.");
    }
    out + "\n"
}

fn images(story: &Story) -> String {
    let tags = story.told().flat_map(|(_, part)| part.end.iter().flat_map(|end| &end.tags));
    let mut rows = String::new();
    for tag in tags.take(ROWS) {
        let what = match (&tag.kept, &tag.from) {
            (Some(reason), _) => format!("left where it is: {reason}"),
            (None, Some(from)) if *from == tag.to => "as it was".to_owned(),
            (None, Some(_)) => "moved".to_owned(),
            (None, None) => "new".to_owned(),
        };
        let name = format!("{}:{}", tag.repository, tag.tag);
        let _ = writeln!(rows, "| {} | {} | {} |", code(&name), code(&tag.to), text(&what));
    }
    if rows.is_empty() {
        for (name, part) in story.told() {
            let is_image = part.planned.as_ref().is_some_and(|planned| planned.kind == "index");
            let digest = part.end.as_ref().and_then(|end| end.digest.as_ref());
            if let Some(digest) = digest.filter(|_| is_image) {
                let _ = writeln!(rows, "| {} | {} | not published |", code(name), code(digest));
            }
        }
    }
    if rows.is_empty() { rows } else { format!("| Image | Digest | |\n|---|---|---|\n{rows}\n") }
}

fn logs(story: &Story) -> String {
    let mut out = String::new();
    for (name, part) in story.told().filter(|(_, part)| part.is_bad()).take(LOGS) {
        let log = format!("{}{}", part.stdout.text(), part.stderr.text());
        let log = console::strip_ansi_codes(&log);
        let start = log.ceil_char_boundary(log.len().saturating_sub(LOG));
        let log = log.get(start..).unwrap_or_default().trim_end();
        if log.is_empty() {
            continue;
        }
        let fence = fence(log);
        let _ = writeln!(
            out,
            "<details open><summary>Log of <code>{}</code></summary>\n\n{fence}text\n{log}\n{fence}\n\n</details>\n",
            html(name)
        );
    }
    out
}

/// Backticks that the text does not have.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// A text as it is written, in a cell of a table, too.
fn code(text: &str) -> String {
    format!("<code>{}</code>", html(text))
}

/// A text that is no markup.
fn text(text: &str) -> String {
    let mut out = String::new();
    for c in html(text).chars() {
        if matches!(c, '*' | '_' | '`' | '[' | ']' | '~' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The text on one line, with what means something in HTML or in a table written
/// out.
fn html(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '|' => out += "&#124;",
            '@' => out += "&#64;",
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{Script, failed, figures, scan};
    use crate::run::{Counts, Found};

    #[test]
    fn what_was_measured_of_images_is_a_table() {
        let mut script = Script::begin(&[("web:build@linux/amd64", &[])]);
        script.kind("web:build@linux/amd64", "assemble").ready("web:build@linux/amd64").at(100);
        script.started("web:build@linux/amd64").at(1500);
        script.measured("web:build@linux/amd64", Outcome::Ran, 1400, vec![figures()]);
        let expected = "| <code>web linux/amd64</code> | 24.0 MB | +4.0 MB | 9.0 MB | 2 | 1.4s | 100ms \
                        | 1 of 2 layers | size 6.0 MB left, layers 1 over, wasted 200.0 kB left |\n";
        let text = markdown(&Story::of(script.events));
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn what_scans_found_is_counted_and_listed() {
        let mut script = Script::begin(&[("web:scan@trivy", &[])]);
        script.scanned("web:scan@trivy", failed("found"), scan());
        let text = markdown(&Story::of(script.events));
        let expected = "\
| ❌ | <code>web trivy 0.58.1</code> | 0 | 1 | 1 | 0 | 0 | 0 | 1 | high |

| Severity | Id | Package | Image | |
|---|---|---|---|---|
| critical | <code>CVE-2024-3</code> | busybox 1.36 | web | allowed until 2027-01-31: not reachable |
| **high** | <code>CVE-2024-1</code> | openssl 1.1.1 -&gt; 1.1.2 | web | weakness of openssl |
| medium | <code>CVE-2024-2</code> | zlib 1.3 | web | weakness of zlib |
";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn what_failed_comes_first_and_what_was_up_to_date_is_counted() {
        let mut script = Script::begin(&[("lint", &[]), ("unit[a|b]", &[]), ("old", &[])]);
        script.ended("old", Outcome::Cached { found: Found::Present }, 0);
        script.started("lint").ended("lint", Outcome::Ran, 250).started("unit[a|b]");
        script.line("unit[a|b]", "```").line("unit[a|b]", "</details>");
        script.ended("unit[a|b]", failed("`unit` failed"), 1250);
        script.over(Counts { ran: 1, cached: 1, failed: 1, ..Counts::default() }, 1500);
        let expected = "\
### ❌ shop <code>all</code>: 1 failed, 1 ran, 1 up to date in 1.5s

branch <code>main</code> · run <code>20261121T123456.000Z-1f2e3d4c</code>

| | Step | Result | Time | |
|---|---|---|---:|---|
| ❌ | <code>unit[a&#124;b]</code> | failed | 1.2s | exit status 1 (release.kdl:3) |
| ✅ | <code>lint</code> | ran | 250ms |  |

<details open><summary>Log of <code>unit[a&#124;b]</code></summary>

````text
```
</details>
````

</details>

";
        assert_eq!(markdown(&Story::of(script.events)), expected);
    }
}
