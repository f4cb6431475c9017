//! A run as one JSON value: the sum of its events.

use serde_json::{Map, Value, json};

use crate::report::found::scans;
use crate::report::measured::{Measured, measured};
use crate::report::story::{Part, Story};
use crate::run::{FORMAT, Outcome};

/// What became of the run and of each of its steps, in the words of the events.
#[must_use]
pub fn digest(story: &Story) -> Value {
    let started = story.started.as_ref();
    let cut_off = story.cut_off.then_some("cut-off");
    let mut value = json!({
        "format": FORMAT,
        "run": started.map(|started| &started.run),
        "project": started.map(|started| &started.project),
        "hoist": started.map(|started| &started.hoist),
        "trigger": started.map(|started| &started.trigger),
        "goals": started.map(|started| &started.goals),
        "jobs": started.map(|started| started.jobs),
        "begun": story.begun.map(|begun| begun.to_string()),
        "milliseconds": story.milliseconds(),
        "result": story.ended.as_ref().map(|ended| ended.result.as_str()).or(cut_off),
        "exit": story.ended.as_ref().map(|ended| ended.exit),
        "counts": story.counts(),
        "problems": story.ended.as_ref().map(|ended| &ended.problems),
        "images": measured(story).iter().map(image).collect::<Vec<_>>(),
        "scans": scans(story),
        "steps": story.told().map(|(name, part)| step(name, part)).collect::<Vec<_>>(),
    });
    drop_nothing(&mut value);
    value
}

/// All that was measured of an image, and how long it took.
fn image(image: &Measured<'_>) -> Value {
    let mut value = json!({
        "step": image.maker.map(|(step, _)| step),
        "built": image.built(),
        "queued": image.queued(),
        "growth": image.figures.growth().and_then(|growth| i64::try_from(growth).ok()),
    });
    if let Some(value) = value.as_object_mut() {
        value.extend(object(serde_json::to_value(&image.figures)));
    }
    drop_nothing(&mut value);
    value
}

fn step(name: &str, part: &Part) -> Value {
    let mut value = json!({
        "step": name,
        "kind": part.planned.as_ref().map(|planned| &planned.kind),
        "needs": part.planned.as_ref().map(|planned| &planned.needs),
        "started": part.started.map(|started| started.to_string()),
        "reasons": part.reasons,
        "attempts": part.attempts,
        "queued": part.queued(),
        "milliseconds": part.milliseconds(),
    });
    if let (Some(step), Some(end)) = (value.as_object_mut(), &part.end) {
        step.extend(object(serde_json::to_value(&end.outcome)));
        step.insert("digest".to_owned(), json!(end.digest));
        step.insert("tags".to_owned(), json!(end.tags));
        if matches!(end.outcome, Outcome::Failed { .. } | Outcome::Cancelled) {
            step.insert("stdout".to_owned(), json!(part.stdout.text()));
            step.insert("stderr".to_owned(), json!(part.stderr.text()));
        }
    }
    drop_nothing(&mut value);
    value
}

fn object(value: serde_json::Result<Value>) -> Map<String, Value> {
    match value {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// What is not known is left out, as in events.
fn drop_nothing(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| !value.is_null() && !value.as_array().is_some_and(Vec::is_empty));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{Script, failed, figures, scan};
    use crate::run::schema::wrong;
    use crate::run::{Cause, Counts, Found};

    fn schema(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn check(value: &Value) {
        let schema = schema(include_str!("../../schema/report.schema.json"));
        assert_eq!(wrong(&schema, value, &schema), None, "{value:#}");
    }

    #[test]
    fn the_schema_says_of_what_events_have_the_same_as_theirs() {
        let ours = schema(include_str!("../../schema/report.schema.json"));
        let theirs = schema(include_str!("../../schema/events.schema.json"));
        let shared = ["image", "step"];
        for (name, definition) in ours["$defs"].as_object().unwrap() {
            if !shared.contains(&name.as_str()) {
                assert_eq!(Some(definition), theirs["$defs"].get(name), "{name}");
            }
        }
        let image = ours["$defs"]["image"]["properties"].as_object().unwrap();
        for (name, property) in theirs["$defs"]["image-figures"]["properties"].as_object().unwrap() {
            assert_eq!(image.get(name), Some(property), "{name}");
        }
    }

    #[test]
    fn images_are_summed_up_with_what_was_measured() {
        let mut script =
            Script::begin(&[("web:build@linux/amd64", &[]), ("old", &[]), ("no", &[]), ("on", &[])]);
        script.kind("web:build@linux/amd64", "build").ready("web:build@linux/amd64").at(40);
        script.started("web:build@linux/amd64").at(90);
        script.measured("web:build@linux/amd64", Outcome::Ran, 50, vec![figures()]);
        script.ended("old", Outcome::Cached { found: Found::Restored }, 1).started("on");
        script.ended("no", Outcome::NotRun { cause: Cause::Interruption }, 0);
        script.scanned("on", Outcome::Ran, scan());
        script.ended("no", Outcome::Skipped { reason: "`os` is not `beos`".to_owned() }, 0);
        let value = digest(&Story { cut_off: true, ..Story::of(script.events) });
        check(&value);
        let image = &value["images"][0];
        assert_eq!(
            (&image["built"], &image["queued"], &image["growth"]),
            (&50.into(), &40.into(), &4_000_000.into())
        );
        assert_eq!(
            (&image["step"], &image["budget"]["size"]["most"]),
            (&"web:build@linux/amd64".into(), &30_000_000.into())
        );
        assert_eq!(value["result"], "cut-off");
    }

    #[test]
    fn a_run_is_summed_up_in_the_words_of_its_events() {
        let mut script = Script::begin(&[("unit", &[])]);
        script.started("unit").line("unit", "no").at(20).ended("unit", failed("`unit` failed"), 20);
        script.over(Counts { failed: 1, ..Counts::default() }, 30);
        let value = digest(&Story::of(script.events));
        assert_eq!(
            (&value["result"], &value["exit"], &value["counts"]["failed"]),
            (&json!("failed"), &json!(1), &json!(1))
        );
        check(&value);
        let step = &value["steps"][0];
        assert_eq!((&step["outcome"], &step["stdout"]), (&json!("failed"), &json!("no\n")));
        assert_eq!(step["problems"][0]["labels"][0]["end_line"], 4);
        assert_eq!(step.get("digest"), None);
    }
}
