//! `hoist tags`: each image's names, with the rules that make them.

use std::process::ExitCode;

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::cli::arguments::Tags;
use crate::cli::publishable::warn_of_event;
use crate::cli::session::{Loaded, Session};
use crate::cli::words::Words;
use crate::config::{Image, Release, Rule};
use crate::diagnostic::{Code, Problem, Problems, Spanned, nearest};
use crate::facts::{Event, Needs};
use crate::plan::{Goals, entered, is_of_stage, no_version};
use crate::report::{Look, Paint, Table};
use crate::tags::{Movement, PlannedTag, Tagging, evaluate};

pub(crate) fn tags(session: &mut Session, options: &Tags) -> Result<ExitCode, Problems> {
    let words = Words::read(&options.words, &mut session.sources)?;
    let loaded = session.load()?;
    let images = chosen(&loaded.release, &words.names)?;
    let facts = session.gather(&loaded, &Needs::default(), &words.values)?;
    let mut problems = Problems::new();
    let mut all = Vec::new();
    for image in images {
        let tagging = problems.take(evaluate(&loaded.release, &facts, &image.tags));
        let Some(tagging) = tagging else { continue };
        let stages =
            entered(&loaded.release, &facts.event).filter(|stage| is_of_stage(&loaded.release, stage, image));
        let of_stages = stages.filter_map(|stage| {
            let rules: Vec<Rule> = image.tags.iter().chain(&stage.tags).cloned().collect();
            let mut tags = problems.take(evaluate(&loaded.release, &facts, &rules))?.tags;
            tags.retain(|tag| tagging.tags.iter().all(|own| own.tag != tag.tag));
            (!tags.is_empty()).then(|| (stage.name.value.clone(), tags))
        });
        let of_stages = of_stages.collect();
        all.push(Named { image, tagging, of_stages });
    }
    problems.or(())?;
    warn_of_event(session, &loaded.project.root, &facts);
    let mut refused = collisions(session, &loaded, &words.values);
    let stages = entered(&loaded.release, &facts.event);
    refused.extend(stages.filter_map(|stage| no_version(&loaded.release, &facts, stage)));
    if session.global.json {
        for named in &all {
            session.output(&format!("{}\n", tagging_json(named)))?;
        }
        return refused.or(ExitCode::SUCCESS);
    }
    let look = session.output_look();
    let mut out = format!("{}\n", look.paint(Paint::Faint, &format!("For {}", event(&facts.event))));
    for named in &all {
        out.push_str(&section(named, look));
    }
    session.output(&out)?;
    refused.or(ExitCode::SUCCESS)
}

/// Names that two images would fight over in a release. What else is wrong with one is not
/// asked here.
fn collisions(session: &Session, loaded: &Loaded, values: &IndexMap<String, String>) -> Problems {
    let planned = session.outline(loaded, &Goals::Release, values);
    let problems = planned.err().into_iter().flatten();
    problems.filter(|problem| problem.code == Code::TagCollision).collect()
}

fn chosen<'a>(release: &'a Release, names: &[Spanned<String>]) -> Result<Vec<&'a Image>, Problems> {
    if names.is_empty() {
        return Ok(release.images.values().collect());
    }
    let mut problems = Problems::new();
    let mut images = Vec::new();
    for name in names {
        let Some(image) = release.images.get(&name.value) else {
            let title = format!("there is no image `{}`", name.value);
            let problem = Problem::new(Code::UnknownTarget, title).label(name.span, "");
            let meant = nearest(&name.value, release.images.keys().map(String::as_str));
            problems.push(problem.maybe_help(meant.map(|meant| format!("did you mean `{meant}`?"))));
            continue;
        };
        images.push(image);
    }
    problems.or(images)
}

/// An event as people say it.
pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::Tag(name) => format!("the tag {name}"),
        Event::Branch(name) => format!("a commit on the branch {name}"),
        Event::PullRequest(number) => format!("pull request {number}"),
        Event::Schedule => "a schedule".to_owned(),
        Event::Unnamed => "a state without a name".to_owned(),
    }
}

/// An image, and its names.
struct Named<'a> {
    image: &'a Image,
    tagging: Tagging,
    /// The names that it gets beside these in stages that the event enters.
    of_stages: Vec<(String, Vec<PlannedTag>)>,
}

fn section(Named { image, tagging, of_stages }: &Named<'_>, look: Look) -> String {
    let mut table = Table::new();
    let own = tagging.tags.iter().map(|tag| (tag, format!("by {}", tag.rule)));
    let of_stages = of_stages.iter().flat_map(|(stage, tags)| {
        tags.iter().map(move |tag| (tag, format!("by {} of the stage {stage}", tag.rule)))
    });
    for (tag, rule) in own.chain(of_stages) {
        let name = (Some(Paint::Name), tag.tag.to_string());
        table.row([name, (None, movement(tag).to_owned()), (Some(Paint::Faint), rule)]);
    }
    let mut silent = Table::new();
    for outcome in &tagging.outcomes {
        if let Some(reason) = outcome.reason() {
            silent.row([
                (Some(Paint::Faint), outcome.rule.to_owned()),
                (Some(Paint::Faint), reason.to_owned()),
            ]);
        }
    }
    let mut out = format!("\n{}\n", look.paint(Paint::Strong, &image.name));
    if table.is_empty() {
        out.push_str("  no tags\n");
    }
    out.push_str(&table.render(look, 2));
    if !silent.is_empty() {
        let title = look.paint(Paint::Faint, "Rules that yield nothing here:");
        out.extend([
            "  ",
            &title,
            "
",
            &silent.render(look, 4),
        ]);
    }
    out
}

fn movement(tag: &PlannedTag) -> &'static str {
    match tag.movement {
        _ if tag.local => "local",
        Movement::Immutable => "immutable",
        Movement::Moving(_) => "moving",
    }
}

fn tagging_json(Named { image, tagging, of_stages }: &Named<'_>) -> Value {
    let own = tagging
        .tags
        .iter()
        .map(|tag| json!({ "tag": tag.tag.as_str(), "rule": tag.rule, "kind": movement(tag) }));
    let of_stages = of_stages.iter().flat_map(|(stage, tags)| {
        tags.iter().map(move |tag| {
            json!({ "tag": tag.tag.as_str(), "rule": tag.rule, "kind": movement(tag), "stage": stage })
        })
    });
    let tags = own.chain(of_stages);
    let silent = tagging.outcomes.iter().filter_map(|outcome| {
        outcome.reason().map(|reason| json!({ "rule": outcome.rule, "reason": reason }))
    });
    json!({
        "image": image.name.value,
        "tags": tags.collect::<Vec<_>>(),
        "silent": silent.collect::<Vec<_>>(),
    })
}
