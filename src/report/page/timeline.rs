//! When the steps ran.

use std::fmt::Write as _;

use crate::diagnostic::counted;
use crate::report::document::escape;
use crate::report::page::{Sheet, class, named, percent, time};
use crate::report::story::{Part, between};

/// Most steps that have a row.
const ROWS: usize = 250;
/// Fewest marks that an axis has, where it has any.
const MARKS: u64 = 4;

/// When a step waited and worked, in milliseconds after the run began.
struct Span<'a> {
    name: &'a str,
    part: &'a Part,
    ready: u64,
    start: u64,
    end: u64,
}

/// A row for each step that worked, in the order in which they began: how long it waited
/// and worked. Of very many, those that worked longest.
pub(super) fn section(sheet: &Sheet<'_>) -> String {
    let mut spans: Vec<Span<'_>> =
        sheet.story.told().filter_map(|(name, part)| span(sheet, name, part)).collect();
    let whole = spans.iter().map(|span| span.end).max().unwrap_or(0).max(1);
    let all = spans.len();
    spans.sort_by_key(|span| (!span.part.is_bad(), std::cmp::Reverse(span.end - span.start)));
    let left_out = spans.split_off(all.min(ROWS));
    spans.sort_by_key(|span| (span.start, span.end));
    if spans.is_empty() {
        return String::new();
    }
    let worked: u64 =
        sheet.critical.iter().filter_map(|name| sheet.story.steps.get(*name)).map(Part::milliseconds).sum();
    let mut out = format!(
        "<p class=\"hint\">Underlined is the critical path, the chain of needs that ended last: {}, {}. \
         Hatched is the wait for a turn.</p>\n",
        counted(sheet.critical.len(), "step"),
        time(worked)
    );
    let tick = tick(whole);
    let _ = write!(
        out,
        "<div class=\"lines\" style=\"--tick:{:.4}%\">\n<div class=\"axis\"><span></span><div>",
        percent(tick, whole)
    );
    for at in 0..=whole / tick {
        let _ = write!(out, "<b style=\"left:{:.2}%\">{}</b>", percent(at * tick, whole), time(at * tick));
    }
    out.push_str("</div><span></span></div>\n");
    for Span { name, part, ready, start, end } in spans {
        let critical = if sheet.critical.contains(name) { " critical" } else { "" };
        // Of what did not end, until the end of the run.
        let took = time(if part.end.is_some() { part.milliseconds() } else { end - start });
        let class = class(part);
        let waited = part.queued().map(|queued| format!(", waited {}", time(queued)));
        let href = sheet.listed.get(name).map(|at| format!(" href=\"#s{at}\""));
        let _ = writeln!(
            out,
            "<a{} title=\"{}: {}, {took}{}\"><span>{}</span><div>\
             <i class=\"wait\" style=\"left:{:.2}%;width:{:.2}%\"></i>\
             <i class=\"{class}{critical}\" style=\"left:{:.2}%;width:{:.2}%\"></i></div><span>{took}</span></a>",
            href.unwrap_or_default(),
            escape(name),
            part.word(),
            waited.unwrap_or_default(),
            named(name),
            percent(ready, whole),
            percent(start - ready, whole),
            percent(start, whole),
            percent(end - start, whole),
        );
    }
    out.push_str("</div>\n");
    if let Some(longest) = left_out.iter().map(|span| span.end - span.start).max() {
        let _ = writeln!(
            out,
            "<p class=\"hint\">{} of at most {} are left out.</p>",
            counted(left_out.len(), "step"),
            time(longest)
        );
    }
    out
}

fn span<'a>(sheet: &Sheet<'a>, name: &'a str, part: &'a Part) -> Option<Span<'a>> {
    let begun = sheet.story.begun?;
    let start = between(begun, part.started?)?;
    let end = between(begun, part.over.or(sheet.story.latest)?)?.max(start);
    let ready = part.ready.and_then(|ready| between(begun, ready)).unwrap_or(start).min(start);
    Some(Span { name, part, ready, start, end })
}

/// How far apart the marks of an axis are: a time that people count in.
fn tick(whole: u64) -> u64 {
    let mut tick = 1;
    for (decade, steps) in [(1, [1, 2, 5]), (10, [1, 2, 5]), (100, [1, 2, 5]), (1000, [1, 2, 5])] {
        for step in steps {
            if whole / (decade * step) >= MARKS {
                tick = decade * step;
            }
        }
    }
    for seconds in [10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400] {
        if whole / (seconds * 1000) >= MARKS {
            tick = seconds * 1000;
        }
    }
    // A run of many days has many marks' worth of the largest.
    tick.max(whole / 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_some_marks_and_never_very_many() {
        for whole in [1, 3, 7, 99, 1000, 1234, 59_000, 61_000, 3_600_000, 400_000_000, u64::MAX / 2] {
            let marks = whole / tick(whole);
            assert!(marks <= 41 && (marks >= MARKS || whole < MARKS), "{whole}: {marks}");
        }
        assert_eq!([tick(8_000), tick(95_000), tick(4_000_000)], [2_000, 15_000, 600_000]);
    }
}
