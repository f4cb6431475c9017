//! A run as a Chrome trace, for Perfetto and `chrome://tracing`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::report::story::{Part, Story};

/// A complete event for each step that worked, in as many lanes as worked at once;
/// an instant for each that had been done before. The steps on the critical path,
/// the chain that the run waited for, have the category `critical`.
#[must_use]
pub fn trace(story: &Story) -> Value {
    let begun = story.begun.unwrap_or(Timestamp::UNIX_EPOCH);
    let critical = critical(story);
    let mut events = vec![metadata("process_name", 0, story)];
    let mut lanes: Vec<u64> = Vec::new();
    let mut worked: Vec<(u64, u64, &str, &Part)> = story
        .told()
        .filter_map(|(name, part)| span(begun, story, part).map(|(s, e)| (s, e, name, part)))
        .collect();
    worked.sort_by_key(|(start, end, ..)| (*start, *end));
    for (start, end, name, part) in worked {
        let free = lanes.iter().position(|until| *until <= start);
        let lane = free.unwrap_or_else(|| {
            lanes.push(0);
            lanes.len() - 1
        });
        if let Some(until) = lanes.get_mut(lane) {
            *until = end;
        }
        events.push(json!({
            "name": name,
            "cat": if critical.contains(name) { "critical" } else { "step" },
            "ph": "X",
            "ts": start,
            "dur": end - start,
            "pid": 1,
            "tid": lane + 1,
            "args": args(part, critical.contains(name)),
        }));
    }
    events.extend((1..=lanes.len()).map(|lane| metadata("thread_name", lane, story)));
    for (name, part) in story.told().filter(|(_, part)| part.started.is_none()) {
        let Some(over) = part.over else { continue };
        events.push(json!({
            "name": name,
            "cat": part.word(),
            "ph": "i",
            "s": "p",
            "ts": micros(begun, over),
            "pid": 1,
            "tid": 0,
            "args": args(part, false),
        }));
    }
    json!({ "displayTimeUnit": "ms", "traceEvents": events })
}

fn metadata(kind: &str, lane: usize, story: &Story) -> Value {
    let project = story.started.as_ref().map_or("hoist", |started| started.project.as_str());
    let name = if lane == 0 { format!("hoist: {project}") } else { format!("job {lane}") };
    json!({ "name": kind, "ph": "M", "pid": 1, "tid": lane, "args": { "name": name } })
}

fn args(part: &Part, critical: bool) -> Value {
    let reasons: Vec<&str> = part.reasons.iter().map(|reason| reason.text.as_str()).collect();
    let needs = part.planned.as_ref().map(|planned| planned.needs.as_slice()).unwrap_or_default();
    json!({
        "outcome": part.word(),
        "reasons": reasons,
        "needs": needs,
        "attempts": part.attempts,
        "queued": part.queued(),
        "critical": critical,
    })
}

/// From when to when a step worked, in microseconds after the run began; a step
/// without an end until the last that is known.
fn span(begun: Timestamp, story: &Story, part: &Part) -> Option<(u64, u64)> {
    let start = micros(begun, part.started?);
    let end = micros(begun, part.over.or(story.latest)?);
    Some((start, end.max(start)))
}

fn micros(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_micros()).unwrap_or(0)
}

/// The names of the steps on the critical path: the one that worked last, of those
/// that it waited for the one that ended last, and so on. What publishes waits for all
/// that does not. Steps that did not work carry the path on and are not part of it.
pub(super) fn critical(story: &Story) -> BTreeSet<&str> {
    let over = |name: &str| story.steps.get(name).and_then(|part| part.over);
    let worked = story.told().filter(|(_, part)| part.started.is_some());
    let mut next = worked.max_by_key(|(_, part)| part.over).map(|(name, _)| name);
    let mut path = BTreeSet::new();
    // A record that was tampered with may go in circles.
    for _ in 0..story.steps.len() {
        let Some((name, part)) = next.and_then(|name| Some((name, story.steps.get(name)?))) else { break };
        if part.started.is_some() {
            path.insert(name);
        }
        let needs = part.planned.iter().flat_map(|planned| &planned.needs).map(String::as_str);
        let prepared = || story.told().filter(|(_, other)| !other.publishes() && other.over <= part.started);
        let prepared = part.publishes().then(prepared).into_iter().flatten().map(|(name, _)| name);
        let awaited = needs.chain(prepared).filter(|name| over(name).is_some());
        next = awaited.max_by_key(|name| over(name));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::Script;
    use crate::run::{Counts, Found, Outcome};

    #[test]
    fn steps_beside_each_other_have_lanes_of_their_own_and_the_longest_chain_is_marked() {
        let mut script =
            Script::begin(&[("old", &[]), ("a", &["old"]), ("b", &[]), ("c", &["a", "b"]), ("d", &[])]);
        script.at(1).ended("old", Outcome::Cached { found: Found::Present }, 0);
        script.at(10).started("a").started("b").at(30).ended("b", Outcome::Ran, 20).started("d");
        script.at(50).ended("a", Outcome::Ran, 40).started("c").at(60).ended("d", Outcome::Ran, 30);
        script
            .at(90)
            .ended("c", Outcome::Ran, 40)
            .over(Counts { ran: 4, cached: 1, ..Counts::default() }, 90);
        let value = trace(&Story::of(script.events));
        let events = value["traceEvents"].as_array().unwrap();
        let of = |name: &str| events.iter().find(|event| event["name"] == name).unwrap();
        let told = |name: &str| {
            let event = of(name);
            let number = |key: &str| event[key].as_u64().unwrap();
            (number("ts"), number("dur"), number("tid"), event["cat"].as_str().unwrap())
        };
        assert_eq!(told("a"), (10_000, 40_000, 2, "critical"));
        assert_eq!(told("b"), (10_000, 20_000, 1, "step"));
        assert_eq!(told("c"), (50_000, 40_000, 2, "critical"));
        assert_eq!(told("d"), (30_000, 30_000, 1, "step"));
        assert_eq!((of("old")["ph"].as_str(), of("old")["cat"].as_str()), (Some("i"), Some("up to date")));
    }

    #[test]
    fn what_publishes_waited_for_all_that_does_not() {
        let mut script = Script::begin(&[("build", &[]), ("test", &["build"]), ("push", &["build"])]);
        if let crate::run::Happening::RunStarted(run) = &mut script.events[0].what {
            run.steps[2].effect = "publishing".to_owned();
        }
        script.started("build").at(10).ended("build", Outcome::Ran, 10).started("test").at(90);
        script.ended("test", Outcome::Ran, 80).started("push").at(95).ended("push", Outcome::Ran, 5);
        let story = Story::of(script.events);
        assert_eq!(critical(&story), BTreeSet::from(["build", "test", "push"]));
    }

    #[test]
    fn a_run_that_was_killed_shows_what_it_was_doing() {
        let mut script = Script::begin(&[("a", &[]), ("b", &[])]);
        script.started("a").at(20).ended("a", Outcome::Ran, 20).started("b").at(70).line("b", "x");
        let value = trace(&Story::of(script.events));
        let b = value["traceEvents"].as_array().unwrap().iter().find(|event| event["name"] == "b").unwrap();
        assert_eq!((b["dur"].as_u64(), b["args"]["outcome"].as_str()), (Some(50_000), Some("unfinished")));
    }
}
