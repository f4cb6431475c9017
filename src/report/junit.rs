//! A run as JUnit XML, as CI systems read it.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::report::story::{Part, Story};
use crate::run::{Fault, Outcome};

/// One test suite for the run, one test case for each step. A step that failed is
/// a failure with its problems and the end of its output; one that was stopped or
/// has no end is an error; one that does not apply or was not run is skipped.
///
/// # Errors
/// None is known: the text is made in memory.
pub fn junit(story: &Story) -> Result<String, String> {
    let project = story.started.as_ref().map_or("hoist", |started| started.project.as_str());
    let took = Duration::from_millis(story.milliseconds());
    let mut suite = TestSuite::new(project);
    suite.set_time(took);
    if let Some(started) = &story.started {
        suite.add_property(("hoist.run", started.run.as_str()));
        suite.add_property(("hoist.version", started.hoist.as_str()));
        suite.add_property(("hoist.event", started.trigger.kind.as_str()));
        let commit = started.trigger.commit.as_deref().map(|commit| Property::new("hoist.commit", commit));
        suite.add_properties(commit);
    }
    suite.add_test_cases(story.told().map(|(name, part)| case(project, name, part)));
    let mut report = Report::new(project);
    report.set_time(took);
    if let Some(begun) = story.begun.and_then(time) {
        suite.set_timestamp(begun);
        report.set_timestamp(begun);
    }
    report.add_test_suite(suite);
    report.to_string().map_err(|error| error.to_string())
}

fn case(project: &str, name: &str, part: &Part) -> TestCase {
    let mut case = TestCase::new(name, status(part));
    case.set_classname(project).set_time(Duration::from_millis(part.milliseconds()));
    if let Some(started) = part.started.and_then(time) {
        case.set_timestamp(started);
    }
    case.add_property(("hoist.outcome", part.word()));
    for reason in &part.reasons {
        case.add_property(("hoist.reason", plain(&reason.text).as_str()));
    }
    if part.attempts > 1 {
        case.add_property(("hoist.attempts", part.attempts.to_string().as_str()));
    }
    if !part.stdout.is_empty() {
        case.set_system_out(plain(&part.stdout.text()));
    }
    if !part.stderr.is_empty() {
        case.set_system_err(plain(&part.stderr.text()));
    }
    case
}

fn status(part: &Part) -> TestCaseStatus {
    let skipped = |why: String| {
        let mut status = TestCaseStatus::skipped();
        status.set_message(plain(&why));
        status
    };
    let error = |kind: &str, what: &str| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type(kind).set_message(what);
        status
    };
    match part.end.as_ref().map(|end| &end.outcome) {
        Some(Outcome::Ran | Outcome::Cached { .. }) => TestCaseStatus::success(),
        Some(Outcome::Skipped { reason }) => skipped(reason.clone()),
        Some(Outcome::NotRun { cause }) => skipped(format!("not run: {cause}")),
        Some(Outcome::Failed { problems }) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            if let Some(first) = problems.first() {
                status.set_type(first.code.as_str()).set_message(plain(&first.title));
            }
            status.set_description(plain(&problems.iter().map(said).collect::<String>()));
            status
        }
        Some(Outcome::Cancelled) => error("stopped", "stopped while it ran"),
        None => error("unfinished", "the run ended before the step did"),
    }
}

/// A problem as text: what is wrong, where, what to do, and further lines, such as
/// the end of the output.
pub(super) fn said(fault: &Fault) -> String {
    let mut out = format!("{}\n", fault.title);
    for place in &fault.labels {
        let text = if place.text.is_empty() { String::new() } else { format!(": {}", place.text) };
        let _ = writeln!(out, "  at {}:{}:{}{text}", place.file, place.line, place.column);
    }
    out.extend(fault.help.iter().map(|help| format!("  help: {help}\n")));
    out.extend(fault.notes.iter().map(|note| format!("{note}\n")));
    out
}

/// The text without what colours a terminal and what XML cannot hold.
fn plain(text: &str) -> String {
    let text = console::strip_ansi_codes(text);
    // Control characters are left out by who writes the XML.
    text.chars().filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

fn time(time: Timestamp) -> Option<DateTime<FixedOffset>> {
    let nanoseconds = u32::try_from(time.subsec_nanosecond()).ok()?;
    DateTime::from_timestamp(time.as_second(), nanoseconds).map(|time| time.fixed_offset())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{Script, failed};
    use crate::run::{Cause, Counts};

    #[test]
    fn each_step_is_a_test_case_and_nothing_in_it_breaks_the_xml() {
        let mut script = Script::begin(&[("lint", &[]), ("unit", &["lint"]), ("late", &["unit"])]);
        script.started("lint").at(250).ended("lint", Outcome::Ran, 250).started("unit");
        script.line("unit", "<b>\u{1b}[31mred\u{1b}[0m & \u{0}]]> \u{fffe}end");
        script.at(1000).ended("unit", failed("`unit` failed"), 750);
        let cause = Cause::Need { step: "unit".to_owned() };
        script.ended("late", Outcome::NotRun { cause }, 0);
        script.over(Counts { ran: 1, failed: 1, not_run: 1, ..Counts::default() }, 1000);
        let text = junit(&Story::of(script.events)).unwrap();
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="shop" tests="3" skipped="1" failures="1" errors="0" timestamp="2026-11-21T12:34:56.000+00:00" time="1.000">
    <testsuite name="shop" tests="3" skipped="1" errors="0" failures="1" timestamp="2026-11-21T12:34:56.000+00:00" time="1.000">
"#;
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("&lt;b&gt;red &amp; ]]&gt; end"), "{text}");
        assert!(text.contains("  at release.kdl:3:5: exit status 1"), "{text}");
        assert!(text.contains("not run: it needs `unit`, which did not succeed"), "{text}");
    }
}
