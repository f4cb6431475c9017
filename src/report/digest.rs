//! A run as one JSON value: the sum of its events.

use serde_json::{Map, Value, json};

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
    use crate::report::fixture::{Script, failed};
    use crate::run::Counts;

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
        let step = &value["steps"][0];
        assert_eq!((&step["outcome"], &step["stdout"]), (&json!("failed"), &json!("no\n")));
        assert_eq!(step["problems"][0]["labels"][0]["end_line"], 4);
        assert_eq!(step.get("digest"), None);
    }
}
