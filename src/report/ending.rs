//! The line that says how a step ended, and the lines that close a run.

use std::fmt::Write as _;
use std::time::Duration;

use crate::report::{Look, Paint};
use crate::run::{
    Counts, Fault, Found, Happening, Outcome, Reason, ReasonKind, RunEnded, StepEnded, TagMove,
};

/// A duration for people: `84ms`, `1.2s`, `3m05s`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0..1000 => format!("{millis}ms"),
        1000..60_000 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{}h{:02}m", millis / 3_600_000, millis / 60_000 % 60),
    }
}

/// How a step ended, in one line without a line break; `why` is why it ran.
#[must_use]
pub fn ending(ended: &StepEnded, why: &[Reason], look: Look) -> String {
    let took = seconds(Duration::from_millis(ended.milliseconds));
    let name = &ended.step;
    let (mark, rest) = match &ended.outcome {
        Outcome::Ran => (good(look), join(&took, &because(why))),
        Outcome::Cached { found: Found::Present } => (good(look), "up to date".to_owned()),
        Outcome::Cached { found: Found::Restored } => (good(look), "restored from the cache".to_owned()),
        Outcome::Skipped { reason } => (faint(look), format!("skipped: {reason}")),
        Outcome::Failed { problems } => {
            (bad(look), join(&took, problems.first().map(gist).unwrap_or_default()))
        }
        Outcome::Cancelled => (bad(look), format!("stopped after {took}")),
        Outcome::NotRun { cause } => (faint(look), format!("not run: {cause}")),
    };
    let room = look.width.saturating_sub(console::measure_text_width(name) + 4).max(20);
    let rest = look.paint(Paint::Faint, &look.cut(&rest, room));
    format!("{mark} {name}  {rest}").trim_end().to_owned()
}

/// What became of tags, a line each.
#[must_use]
pub fn tag_lines(tags: &[TagMove], look: Look) -> String {
    let arrow = if look.unicode { "→" } else { "->" };
    let mut out = String::new();
    for tag in tags {
        let name = format!("{}:{}", tag.repository, tag.tag);
        let what = match (&tag.kept, &tag.from) {
            (Some(reason), _) => format!("left where it is: {reason}"),
            (None, Some(from)) if *from == tag.to => "as it was".to_owned(),
            (None, Some(from)) => format!("{arrow} {} (was {})", short(&tag.to), short(from)),
            (None, None) => format!("{arrow} {}", short(&tag.to)),
        };
        let _ = writeln!(out, "    {}  {}", look.paint(Paint::Name, &name), look.paint(Paint::Faint, &what));
    }
    out
}

/// What happened beside starts, outputs, and ends, in a line; nothing for those.
pub(super) fn aside(what: &Happening) -> String {
    match what {
        Happening::StepRetried { step, attempt, attempts, because } => {
            format!("{step}: {because}, so attempt {attempt} of {attempts}\n")
        }
        Happening::Notice { step: Some(step), text } => format!("{step}: {text}\n"),
        Happening::Notice { step: None, text } => format!("{text}\n"),
        Happening::Interrupted { signal, kill } => {
            let what = if *kill { "killing what runs" } else { "stopping; once more to kill" };
            format!("{signal}: {what}\n")
        }
        _ => String::new(),
    }
}

/// The last line of a run.
#[must_use]
pub(super) fn closing(ended: &RunEnded, look: Look) -> String {
    let Counts { ran, cached, restored, .. } = ended.counts;
    let took = seconds(Duration::from_millis(ended.milliseconds));
    if ended.exit == 0 && ran == 0 && cached > 0 && restored == 0 {
        let all = match cached {
            1 => "its one step is up to date".to_owned(),
            _ => format!("all {cached} steps are up to date"),
        };
        return format!("{} Nothing to do: {all} ({took})\n", good(look));
    }
    let parts = tally(ended.counts);
    let mark = if ended.exit == 0 { good(look) } else { bad(look) };
    format!("{mark} {parts} in {took}\n")
}

/// How many steps ended how, failures first.
#[must_use]
pub fn tally(counts: Counts) -> String {
    let Counts { ran, cached, restored, skipped, failed, cancelled, not_run } = counts;
    let parts = [
        (failed, "failed"),
        (cancelled, "stopped"),
        (not_run, "not run"),
        (ran, "ran"),
        (restored, "restored"),
        (cached - restored.min(cached), "up to date"),
        (skipped, "skipped"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let parts = parts.collect::<Vec<_>>().join(", ");
    if parts.is_empty() { "nothing to do".to_owned() } else { parts }
}

/// That a run publishes nothing, and why.
pub(super) fn unpublished(reason: &str, look: Look) -> String {
    format!("{} nothing is published: {reason}\n", look.paint(Paint::Warn, "!"))
}

/// What is wrong, where the name of the step stands before it already.
pub(super) fn gist(fault: &Fault) -> &str {
    let label = fault.labels.first().map(|label| label.text.as_str()).filter(|text| !text.is_empty());
    let of_command = fault.code.ends_with("command_failed") || fault.code.ends_with("timed_out");
    label.filter(|_| of_command).unwrap_or(&fault.title)
}

fn because(why: &[Reason]) -> String {
    // That a target without inputs runs is no news; a change is.
    let news = |reason: &Reason| {
        !matches!(reason.kind, ReasonKind::NoInputs | ReasonKind::Publishing | ReasonKind::NeverRan)
    };
    match why {
        [reason] if news(reason) => reason.to_string(),
        [] | [_] => String::new(),
        [reason, rest @ ..] => format!("{reason}, and {} more", rest.len()),
    }
}

fn join(took: &str, rest: &str) -> String {
    if rest.is_empty() { took.to_owned() } else { format!("{took}  {rest}") }
}

fn short(digest: &str) -> &str {
    digest.strip_prefix("sha256:").and_then(|hex| hex.get(..12)).unwrap_or(digest)
}

fn good(look: Look) -> String {
    look.paint(Paint::Good, if look.unicode { "✓" } else { "ok" })
}

fn bad(look: Look) -> String {
    look.paint(Paint::Bad, if look.unicode { "✗" } else { "FAILED" })
}

fn faint(look: Look) -> String {
    look.paint(Paint::Faint, if look.unicode { "–" } else { "-" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let shown = |millis| seconds(Duration::from_millis(millis));
        assert_eq!([shown(0), shown(999), shown(1250), shown(59_999)], ["0ms", "999ms", "1.2s", "59.9s"]);
        assert_eq!([shown(60_000), shown(3_599_000), shown(3_600_000)], ["1m00s", "59m59s", "1h00m"]);
    }

    #[test]
    fn a_run_that_did_nothing_says_so_and_why() {
        let counts = Counts { cached: 8, ..Counts::default() };
        let ended =
            RunEnded { counts, milliseconds: 12, result: "done".into(), exit: 0, problems: Vec::new() };
        let expected = "ok Nothing to do: all 8 steps are up to date (12ms)\n";
        assert_eq!(closing(&ended, Look::PLAIN), expected);
    }

    #[test]
    fn failures_come_first() {
        let counts = Counts { ran: 2, failed: 1, not_run: 3, ..Counts::default() };
        let ended =
            RunEnded { counts, milliseconds: 1200, result: "failed".into(), exit: 1, problems: Vec::new() };
        assert_eq!(closing(&ended, Look::PLAIN), "FAILED 1 failed, 3 not run, 2 ran in 1.2s\n");
    }
}
