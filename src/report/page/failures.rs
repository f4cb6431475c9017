//! What went wrong.

use std::fmt::Write as _;

use crate::diagnostic::counted;
use crate::report::document::escape;
use crate::report::ending::gist;
use crate::report::page::{Sheet, lines};
use crate::report::story::{Part, Story};
use crate::run::{Fault, Outcome};

/// Most steps that are shown with their problems and logs.
const SHOWN: usize = 30;
/// Most bytes of a log: its end.
const LOG: usize = 16 * 1024;

pub(super) fn title(story: &Story) -> String {
    let failed = story.told().filter(|(_, part)| part.is_bad()).count();
    if failed == 0 { "What is wrong".to_owned() } else { format!("{} failed", counted(failed, "step")) }
}

/// The problems of the run, then each step that failed, was stopped, or has no end, with
/// the end of its log.
pub(super) fn section(sheet: &Sheet<'_>) -> String {
    let mut out = String::new();
    let of_run = sheet.story.ended.iter().flat_map(|ended| &ended.problems);
    for fault in of_run.take(SHOWN) {
        let _ = write!(out, "<article class=\"failure\">\n{}</article>\n", problem(fault, true));
    }
    let is_failed =
        |part: &Part| matches!(part.end.as_ref().map(|end| &end.outcome), Some(Outcome::Failed { .. }));
    let bad = |part: &Part| part.is_bad() || part.is_unfinished();
    let mut steps: Vec<_> = sheet.story.told().filter(|(_, part)| bad(part)).collect();
    steps.sort_by_key(|(_, part)| !is_failed(part));
    for (name, part) in steps.iter().take(SHOWN) {
        let _ = write!(
            out,
            "<article class=\"failure\">\n<h3><em class=\"pill {}\">{}</em>{}</h3>\n",
            super::class(part),
            part.word(),
            sheet.link(name)
        );
        let log = format!("{}{}", part.stdout.text(), part.stderr.text());
        let log = log.trim_end();
        if let Some(Outcome::Failed { problems }) = part.end.as_ref().map(|end| &end.outcome) {
            // The notes of what ran a program repeat the end of its log.
            out.extend(problems.iter().take(SHOWN).map(|fault| problem(fault, log.is_empty())));
        }
        let start = log.ceil_char_boundary(log.len().saturating_sub(LOG));
        if !log.is_empty() {
            let end = log.get(start..).unwrap_or_default();
            let cut = if start > 0 { "<p class=\"hint\">The end of its log:</p>\n" } else { "" };
            let _ = writeln!(out, "{cut}<pre class=\"log\"><span>{}</span></pre>", lines(end));
        }
        out.push_str("</article>\n");
    }
    if steps.len() > SHOWN {
        let _ = writeln!(out, "<p class=\"hint\">and {} more; the table has them.</p>", steps.len() - SHOWN);
    }
    out
}

/// A problem with its places, and what to do about it.
fn problem(fault: &Fault, with_notes: bool) -> String {
    let title = gist(fault);
    let mut out = format!("<p class=\"title\">{} <code>{}</code></p>\n", escape(title), escape(&fault.code));
    for place in &fault.labels {
        let text = Some(&place.text).filter(|text| !text.is_empty() && *text != title);
        let _ = writeln!(
            out,
            "<p class=\"place\"><code>{}:{}:{}</code> {}</p>",
            escape(&place.file),
            place.line,
            place.column,
            text.map(|text| escape(text)).unwrap_or_default()
        );
    }
    for note in &fault.notes {
        if !note.contains('\n') {
            let _ = writeln!(out, "<p class=\"place\">{}</p>", escape(note));
        } else if with_notes {
            let _ = writeln!(out, "<pre>{}</pre>", lines(note));
        }
    }
    if let Some(help) = &fault.help {
        let _ = writeln!(out, "<p class=\"help\"><b>help</b> {}</p>", escape(help));
    }
    out
}
