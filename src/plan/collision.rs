//! Names that two images would fight over.

use std::collections::BTreeMap;

use crate::config::{Image, Narrow, Release, Rule, RuleKind, Template};
use crate::diagnostic::{Code, Problem, Problems};
use crate::plan::entering::is_of_stage;
use crate::plan::unit::{Channel, channels};
use crate::plan::{Action, Plan};
use crate::tags::PlannedTag;

/// What to do about it.
const HELP: &str = "give each image a `repository` or tags of its own";

/// Tags of a plan that two images would have in one repository.
pub(super) fn shared_names(plan: &Plan) -> Problems {
    let mut holders: BTreeMap<String, (&str, &PlannedTag)> = BTreeMap::new();
    let mut problems = Problems::new();
    for step in &plan.steps {
        let Action::Tag(tagging) = &step.action else { continue };
        for tag in &tagging.tags {
            let name = format!("{}:{}", tagging.registry.place, tag.tag);
            let Some((other, first)) = holders.get(&name) else {
                holders.insert(name, (&step.id.owner, tag));
                continue;
            };
            if *other == step.id.owner {
                continue;
            }
            let title = format!("`{other}` and `{}` would both be `{name}`", step.id.owner);
            let problem = Problem::new(Code::TagCollision, title)
                .label(tag.span, format!("the tag of `{}`", step.id.owner))
                .label(first.span, format!("the tag of `{other}`"));
            problems.push(problem.help(HELP));
        }
    }
    problems
}

/// Rules of two images that give the same tag in one repository whenever they apply: the
/// same rule with the same template, where the repositories read the same. It is seen for
/// every event at once, and asks for no fact. Images that a stage tells apart may never be
/// released together, and are left to the plan.
#[must_use]
pub fn shared_rules(release: &Release) -> Problems {
    let mut problems = Problems::new();
    let images: Vec<&Image> = release.images.values().collect();
    for (at, one) in images.iter().enumerate() {
        for other in images.iter().skip(at + 1).filter(|other| meet(release, one, other)) {
            problems.extend(fight(one, other));
        }
    }
    problems
}

/// Whether two images come to one repository for the usual events, and no stage has one of
/// them alone. Those that are published for some events only are left to the plan.
fn meet(release: &Release, one: &Image, other: &Image) -> bool {
    let has = |on: &[String], kind: &str| on.iter().any(|on| on == kind);
    let is_usual = |channel: &Channel<'_>| {
        channel.push.is_none_or(|push| ["branch", "tag", "schedule"].iter().all(|kind| has(&push.on, kind)))
    };
    let places = |image| {
        let channels = channels(release, image).into_iter();
        channels.filter(move |channel| !channel.of_stages && is_usual(channel))
    };
    one.repository.to_string() == other.repository.to_string()
        && places(one).any(|place| places(other).any(|another| another.name == place.name))
        && release
            .stages
            .values()
            .all(|stage| is_of_stage(release, stage, one) == is_of_stage(release, stage, other))
}

/// The first rule of each that give both the same tag.
fn fight(one: &Image, other: &Image) -> Option<Problem> {
    let (first, second, tag) = one.tags.iter().find_map(|first| {
        let others = other.tags.iter().filter(|second| is_published(second) && is_published(first));
        others.filter(|second| overlap(first, second)).find_map(|second| {
            let taken = yields(second);
            let tag = yields(first).into_iter().find(|tag| taken.contains(tag))?;
            Some((first, second, tag))
        })
    })?;
    let repository = &one.repository;
    let (one, other) = (&one.name.value, &other.name.value);
    let title = format!("`{one}` and `{other}` would both be `{repository}:{}`", tag.template);
    let problem = Problem::new(Code::TagCollision, title);
    let problem = if first.span == second.span {
        problem.label(first.span, format!("names `{one}` and `{other}`"))
    } else {
        problem
            .label(second.span, format!("the tag of `{other}`"))
            .label(first.span, format!("the tag of `{one}`"))
    };
    Some(problem.help(HELP))
}

/// Whether both rules apply whenever the narrower of them does.
fn overlap(one: &Rule, other: &Rule) -> bool {
    let is_wide = |rule: &Rule| rule.narrow == Narrow::default();
    let is_latest = matches!(one.kind, RuleKind::Latest);
    one.narrow == other.narrow || !is_latest && (is_wide(one) || is_wide(other))
}

/// Whether a rule is for an event for which images are published that do not say for which.
fn is_published(rule: &Rule) -> bool {
    let on = &rule.narrow.on;
    !matches!(rule.kind, RuleKind::PullRequest(_)) && (on.is_empty() || on.iter().any(|on| on != "pr"))
}

/// What a rule yields, before facts are known: equal ones come to equal tags.
#[derive(PartialEq, Eq)]
struct Yields {
    rule: &'static str,
    /// What else decides: a prefix, an expression, a clock.
    how: String,
    template: String,
}

/// What a rule yields; nothing for names that stay on this machine.
fn yields(rule: &Rule) -> Vec<Yields> {
    let of = |how: &str, templates: Vec<String>| {
        let rule = rule.kind.name();
        let yielded = |template| Yields { rule, how: how.to_owned(), template };
        templates.into_iter().map(yielded).collect()
    };
    let texts = |templates: &[Template]| templates.iter().map(ToString::to_string).collect();
    match &rule.kind {
        RuleKind::Local(_) => Vec::new(),
        RuleKind::Semver { templates, prefix, .. } => {
            of(prefix.as_ref().map_or("v", |prefix| &prefix.value), texts(templates))
        }
        RuleKind::Branch(templates)
        | RuleKind::PullRequest(templates)
        | RuleKind::Schedule(templates)
        | RuleKind::Raw(templates) => of("", texts(templates)),
        RuleKind::Match { regex, templates } => of(&regex.value, texts(templates)),
        RuleKind::Latest => of("", vec!["latest".to_owned()]),
        RuleKind::Describe => of("", vec!["{describe}".to_owned()]),
        RuleKind::Sha { short, prefix } => {
            of("", vec![format!("{prefix}{}", if *short { "{short}" } else { "{sha}" })])
        }
        RuleKind::Date { format, now } | RuleKind::Calver { format, now } => {
            of(if *now { "now" } else { "" }, vec![format!("{{date:{}}}", format.value)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::World;

    fn check(images: &str, expected: &[&str]) {
        let registries = "registry \"g\" \"oci:out\"\nregistry \"h\" \"oci:other\"\n";
        let found = shared_rules(&World::new(&format!("{registries}{images}")).release);
        let titles: Vec<&str> = found.as_slice().iter().map(|problem| problem.title.as_str()).collect();
        assert_eq!(titles, expected);
    }

    /// An image in the repository `web`.
    fn image(name: &str, tags: &str, push: &str) -> String {
        format!(
            "image \"{name}\" {{ repository \"web\"; assemble from=\"scratch\" {{ cmd \"/a\"; }}; tags {{ {tags}; }}; push \"{push}\"; }}\n"
        )
    }

    #[test]
    fn rules_that_are_alike_collide_whatever_the_event_is() {
        let two = |one: &str, other: &str| image("a", one, "g") + &image("b", other, "g");
        let version = ["`a` and `b` would both be `web:{version}`"];
        check(
            &two("semver \"{version}\" \"{major}\"", "raw \"x\"; semver \"{version}\" prefix=\"v\""),
            &version,
        );
        check(&two("sha short=#true", "sha short=#true"), &["`a` and `b` would both be `web:{short}`"]);
        check(&two("raw \"x\"", "raw \"x\" on=\"tag\""), &["`a` and `b` would both be `web:x`"]);
        check(&two("latest", "latest"), &["`a` and `b` would both be `web:latest`"]);
    }

    #[test]
    fn what_may_never_meet_is_left_to_the_plan() {
        let two = |one: &str, other: &str| image("a", one, "g") + &image("b", other, "g");
        check(&two("semver \"{version}\"", "semver \"{version}\" prefix=\"api/v\""), &[]);
        check(&two("latest", "latest branch=\"main\""), &[]);
        check(&two("raw \"x\" on=\"tag\"", "raw \"x\" on=\"pr\""), &[]);
        check(&two("local \"x\"", "local \"x\""), &[]);
        check(&two("raw \"x\"", "raw \"x\" on=\"pr\""), &[]);
        check(&two("pr \"{number}\"", "pr \"{number}\""), &[]);
        let events = two("raw \"x\"", "raw \"x\"").replacen("push \"g\"", "push \"g\" on=\"pr\"", 1);
        check(&events, &[]);
        let elsewhere = image("a", "raw \"x\"", "g") + &image("b", "raw \"x\"", "h");
        check(&elsewhere, &[]);
        let staged = two("raw \"x\"", "raw \"x\"") + "stage \"s\" { images \"a\"; }";
        check(&staged, &[]);
    }
}
