//! The table of steps.

use std::fmt::Write as _;

use crate::report::document::escape;
use crate::report::ending::gist;
use crate::report::page::{Sheet, class, named, time};
use crate::report::story::{Part, Story};
use crate::run::{Fault, Outcome};

/// Most steps that have a row.
const ROWS: usize = 1000;
/// Most reasons and most notices of a step.
const LINES: usize = 3;

/// The steps that the table lists: what failed first, what was up to date last.
pub(super) fn order(story: &Story) -> Vec<(&str, &Part)> {
    let mut steps: Vec<_> = story.told().collect();
    steps.sort_by_key(|(_, part)| rank(part));
    steps.truncate(ROWS);
    steps
}

fn rank(part: &Part) -> u8 {
    match part.end.as_ref().map(|end| &end.outcome) {
        Some(Outcome::Failed { .. }) => 0,
        Some(Outcome::Cancelled) => 1,
        None if part.is_unfinished() => 1,
        Some(Outcome::Ran) => 2,
        Some(Outcome::Cached { .. }) if part.is_present() => 6,
        Some(Outcome::Cached { .. }) => 3,
        Some(Outcome::Skipped { .. }) => 4,
        Some(Outcome::NotRun { .. }) | None => 5,
    }
}

pub(super) fn section(sheet: &Sheet<'_>, order: &[(&str, &Part)]) -> String {
    if order.is_empty() {
        return String::new();
    }
    let mut out = "<div class=\"wide\"><table class=\"steps\">\n\
                   <thead><tr><th>result<th>step<th class=\"n\">time<th class=\"n\">waited<th>why</thead>\n<tbody>\n"
        .to_owned();
    for (at, (name, part)) in order.iter().enumerate() {
        let (took, waited) = (part.started.map(|_| time(part.milliseconds())), part.queued().map(time));
        let tries = if part.attempts > 1 { format!(" ×{}", part.attempts) } else { String::new() };
        let mark = if sheet.critical.contains(name) {
            " <abbr title=\"on the critical path\">critical</abbr>"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "<tr id=\"s{at}\"><td><em class=\"pill {}\">{}{tries}</em><td class=\"name\">{}{mark}\
             <td class=\"n\">{}<td class=\"n\">{}<td class=\"by\">{}",
            class(part),
            part.word(),
            named(name),
            took.unwrap_or_default(),
            waited.unwrap_or_default(),
            why(part),
        );
    }
    out.push_str("</tbody></table></div>\n");
    let all = sheet.story.told().count();
    if all > order.len() {
        let _ = writeln!(
            out,
            "<p class=\"hint\">{} more steps are left out; <code>hoist log</code> lists them.</p>",
            all - order.len()
        );
    }
    if let Some(count) = sheet.story.started.as_ref().map(|run| run.up_to_date).filter(|count| *count > 0) {
        let _ = writeln!(out, "<p class=\"hint\">{count} more were up to date before the run began.</p>");
    }
    out
}

/// Why a step ran, or what came of it otherwise, and what there was to say about it.
fn why(part: &Part) -> String {
    let mut lines: Vec<String> = match part.end.as_ref().map(|end| &end.outcome) {
        Some(Outcome::Failed { problems }) => {
            let gist = |fault: &Fault| {
                let place = fault.labels.first().map(|place| format!(" ({}:{})", place.file, place.line));
                format!("{}{}", gist(fault), place.unwrap_or_default())
            };
            problems.first().map(gist).into_iter().collect()
        }
        Some(Outcome::Skipped { reason }) => vec![reason.clone()],
        Some(Outcome::NotRun { cause }) => vec![cause.to_string()],
        _ => part.reasons.iter().map(|reason| reason.text.clone()).collect(),
    };
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.extend(part.notices.iter().take(LINES).cloned());
    lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("<br>")
}
