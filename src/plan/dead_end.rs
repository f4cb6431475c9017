//! Stages that nothing can ever enter, whatever the event is. Pure.

use std::collections::BTreeSet;

use crate::config::{Deploy, EventPattern, Image, Place, Push, Release, Require, Severity, Stage};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::plan::entering::{images_of_stage, is_of_stage, tests_of};
use crate::plan::permission::usually_publishes;

/// What is wrong with the stages of a release so that each of them can never be entered: it
/// asks for what its images never have, they are never published, or what deploys them cannot
/// pull them. It asks for no fact. What depends on the commit, the ledger, or a registry is
/// left to the conditions themselves.
#[must_use]
pub fn dead_ends(release: &Release) -> Problems {
    release.stages.values().flat_map(|stage| dead_ends_of(release, stage)).collect()
}

/// As [`dead_ends`], of one stage.
#[must_use]
pub fn dead_ends_of(release: &Release, stage: &Stage) -> Problems {
    let images: Vec<&Image> = images_of_stage(release, stage).map(|(_, image)| image).collect();
    let mut problems = Problems::new();
    if let Some(require) = &stage.require {
        problems.extend(unmeetable(stage, (&require.value, require.span), &images));
    }
    problems.extend(at_once(release, stage));
    problems.extend(nowhere_before(release, stage, &images));
    problems.extend(unpublished(release, stage, &images));
    problems.extend(unpullable(release, stage, &images));
    problems
}

/// The conditions that are never met.
fn unmeetable(stage: &Stage, (require, span): (&Require, Span), images: &[&Image]) -> Vec<Problem> {
    let name = &stage.name.value;
    let place = |condition: &str| require.place(condition).unwrap_or(span);
    let mut problems = Vec::new();
    // Entered by hand, it may come from a stage that is named then.
    if require.soak.is_some() && stage.from.is_empty() && !stage.on.is_empty() {
        let title = format!("`{name}` asks for `soak`, and its images run in no stage before");
        problems.push(
            Problem::new(Code::NeverEntered, title)
                .label(place("soak"), "how long they have to run there")
                .help("write `from \"STAGE\"` in the stage, or leave out `soak`"),
        );
    }
    let mut lacking = |condition: &str, has: &dyn Fn(&Image) -> bool, lacks: &str, help: String| {
        let without = images.iter().filter(|image| !has(image));
        let without: Vec<&Image> = without.copied().collect();
        if without.is_empty() {
            return;
        }
        let names: Vec<_> = without.iter().map(|image| format!("`{}`", image.name.value)).collect();
        let (names, verb) = (names.join(", "), if without.len() == 1 { "has" } else { "have" });
        let title = format!("`{name}` asks for `{condition}`, and {names} {verb} {lacks}");
        let problem = Problem::new(Code::NeverEntered, title).label(place(condition), "never met");
        let labelled = without
            .iter()
            .fold(problem, |problem, image| problem.label(image.name.span, format!("has {lacks}")));
        problems.push(labelled.help(format!("{help}; or leave out `{condition}`")));
    };
    if require.tests {
        let help = "write a `test` or an `expect` in the image".to_owned();
        lacking("tests", &|image| !tests_of(image).is_empty(), "neither `test` nor `expect`", help);
    }
    if let Some(severity) = require.scan {
        let lacks = format!("no `scan` that fails on {severity} or on less");
        let help = format!("write `scan \"trivy\" fail-on=\"{severity}\"` in the image");
        lacking("scan", &|image| is_scanned(image, severity), &lacks, help);
    }
    if require.signed {
        let help = "write `sign key=\"env:COSIGN_PRIVATE_KEY\"` in the image".to_owned();
        lacking("signed", &|image| !image.signs.is_empty(), "no `sign`", help);
    }
    if require.provenance {
        let states = |image: &Image| {
            !image.signs.is_empty() && image.provenance.as_ref().is_some_and(|wanted| wanted.value)
        };
        let help = "write `sign key=\"env:COSIGN_PRIVATE_KEY\"` and `attest provenance=#true` in the image";
        lacking("provenance", &states, "no `attest provenance=#true` with a `sign`", help.to_owned());
    }
    problems
}

/// Whether nothing of a severity passes the scans of an image.
fn is_scanned(image: &Image, severity: Severity) -> bool {
    image.scans.iter().any(|scan| scan.fail_on <= severity)
}

/// That every event which enters a stage enters all that it may come from, too.
fn at_once(release: &Release, stage: &Stage) -> Option<Problem> {
    let enters = |other: &Stage| {
        !stage.on.is_empty() && stage.on.iter().all(|on| other.on.iter().any(|other| other.value == on.value))
    };
    let mut sources = stage.from.iter().filter_map(|from| release.stages.get(&from.value));
    let other = sources.clone().next()?;
    if !sources.all(enters) {
        return None;
    }
    let (name, before) = (&stage.name.value, &other.name.value);
    let title =
        format!("every event for `{name}` enters `{before}`, too, where its images have to run before");
    let on = stage.on.first()?;
    let same = other.on.iter().find(|other| other.value == on.value)?;
    let problem = Problem::new(Code::NeverEntered, title)
        .label(on.span, "an event for both")
        .label(same.span, "here for the one before");
    Some(problem.help("give them different events, or leave out `on`: `hoist promote` enters it by hand"))
}

/// That an image belongs to no stage that it would be taken from.
fn nowhere_before(release: &Release, stage: &Stage, images: &[&Image]) -> Option<Problem> {
    let mut sources: Vec<&Stage> = Vec::new();
    for from in &stage.from {
        sources.push(release.stages.get(&from.value)?);
    }
    let from = stage.from.first()?;
    let has = |source: &Stage, image: &Image| is_of_stage(release, source, image);
    let image = images.iter().find(|image| !sources.iter().any(|source| has(source, image)))?;
    // Entered by hand, it may come from a stage that is named then.
    let has_all =
        |other: &Stage| other.name.value != stage.name.value && images.iter().all(|image| has(other, image));
    if stage.on.is_empty() && release.stages.values().any(has_all) {
        return None;
    }
    let names: Vec<_> = stage.from.iter().map(|from| format!("`{}`", from.value)).collect();
    let (name, before) = (&image.name.value, names.join(" or "));
    let title = format!("`{}` takes `{name}` from {before}, where it never runs", stage.name.value);
    let problem = Problem::new(Code::NeverEntered, title)
        .label(from.span, "the images are taken from there")
        .label(image.name.span, "not one of its images");
    Some(problem.help(format!("add `{name}` to the `images` of {before}, or leave it out of these")))
}

/// That an image of a stage is never published for an event that enters it.
fn unpublished(release: &Release, stage: &Stage, images: &[&Image]) -> Option<Problem> {
    if release.registries.is_empty() {
        return None;
    }
    let name = &stage.name.value;
    if images.is_empty() {
        let title = format!("`{name}` has no images: none has a `push`");
        let problem = Problem::new(Code::NeverEntered, title).label(stage.name.span, "this stage");
        return Some(
            problem.help("write `push \"REGISTRY\"` in an image, or `images \"NAME\"` in the stage"),
        );
    }
    // Other stages that the event enters may bring it somewhere.
    let brought = |image: &Image| {
        let has_registry = |stage: &&Stage| stage.registry.is_some() && is_of_stage(release, stage, image);
        release.stages.values().any(|stage| has_registry(&stage))
    };
    let kinds = kinds(stage);
    let is_lost = |image: &Image| {
        let is_pushed = |kind: &&str| image.push.iter().any(|push| takes(push, kind));
        let for_no_event = !kinds.is_empty() && !kinds.iter().any(is_pushed);
        !brought(image) && (image.push.is_empty() || for_no_event)
    };
    let image = images.iter().find(|image| is_lost(image))?;
    let title = format!("`{name}` can never be entered: its image `{}` is not published", image.name.value);
    let problem = Problem::new(Code::NeverEntered, title).label(stage.name.span, "this stage");
    let (problem, help) = match image.push.first() {
        None => {
            let problem = problem.label(image.name.span, "this image has no `push`");
            (problem, "write `push \"REGISTRY\"` in the image".to_owned())
        }
        Some(push) => {
            let problem = problem.label(push.registry.span, "not for an event that enters the stage");
            let kind = kinds.first().copied().unwrap_or("tag");
            (problem, format!("write `push \"{}\" on=\"{kind}\"`", push.registry.value))
        }
    };
    Some(problem.help(format!("{help}, or give the stage a `registry`")))
}

/// The kinds of the events that enter a stage, as `on` of a `push` has them.
fn kinds(stage: &Stage) -> BTreeSet<&'static str> {
    stage.on.iter().map(|on| kind(&on.value)).collect()
}

/// Whether a `push` is for a kind of event.
fn takes(push: &Push, kind: &str) -> bool {
    match push.on.as_slice() {
        [] => usually_publishes(kind),
        on => on.iter().any(|on| on == kind),
    }
}

/// The kind of an event, as `on` of a `push` has it.
const fn kind(pattern: &EventPattern) -> &'static str {
    match pattern {
        EventPattern::Branch(_) => "branch",
        EventPattern::Tag(_) => "tag",
        EventPattern::PullRequest => "pr",
        EventPattern::Schedule => "schedule",
    }
}

/// That what is deployed lies in a directory wherever it could be pulled from.
fn unpullable(release: &Release, stage: &Stage, images: &[&Image]) -> Option<Problem> {
    let pulls = |deploy: &Deploy| !matches!(deploy, Deploy::Run(_));
    let deploy = stage.deploys.iter().find(|deploy| pulls(&deploy.value))?;
    let is_directory = |name: &str| {
        let registry = release.registries.get(name);
        registry.is_some_and(|registry| matches!(registry.place, Place::Layout(_)))
    };
    let own = stage.registry.as_ref();
    let kinds = kinds(stage);
    // It is found in the first place that it goes to.
    let first = |image: &Image, kind: &str| {
        let first = image.push.iter().find(|push| takes(push, kind));
        first.is_some_and(|push| is_directory(&push.registry.value))
    };
    let lies_there = |image: &&&Image| match (own, image.push.as_slice()) {
        (Some(own), _) => is_directory(&own.value),
        // Without any registry, it is the directory of the project.
        (None, []) => release.registries.is_empty(),
        (None, push) if kinds.is_empty() => push.iter().all(|push| is_directory(&push.registry.value)),
        (None, _) => kinds.iter().all(|kind| first(image, kind)),
    };
    let image = images.iter().find(lies_there)?;
    let title = format!("`{}` deploys `{}` from a directory", stage.name.value, image.name.value);
    let problem = Problem::new(Code::NeverEntered, title)
        .label(deploy.span, "what runs there pulls its images from a registry");
    let problem = own.iter().fold(problem, |problem, own| problem.label(own.span, "a directory"));
    Some(problem.help("give the stage a `registry` that is none in a directory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::World;

    /// What is wrong with a stage of the image `web`, which says this, beside a library that
    /// is not published.
    fn check(image: &str, stage: &str, expected: &[&str]) {
        let text = format!(
            "registry \"out\" \"oci:out\"\nregistry \"far\" \"registry.example.com\"\n\
             image \"web\" {{ assemble from=\"scratch\" {{ cmd \"/a\"; }}; {image}; }}\n\
             image \"lib\" {{ assemble from=\"scratch\" {{ cmd \"/a\"; }}; }}\n\
             stage \"staging\" {{ on branch=\"main\" tag=\"v*\"; images \"web\"; }}\n\
             stage \"production\" {{ {stage}; }}\n"
        );
        let found = dead_ends(&World::new(&text).release);
        let titles: Vec<&str> = found.as_slice().iter().map(|problem| problem.title.as_str()).collect();
        assert_eq!(titles, expected, "{text}");
    }

    #[test]
    fn conditions_that_images_never_meet_are_found() {
        let push = "push \"far\"";
        check(
            push,
            "on schedule=#true; require soak=\"1h\"",
            &["`production` asks for `soak`, and its images run in no stage before"],
        );
        check(push, "require soak=\"1h\"", &[]);
        check(
            push,
            "on tag=\"v*\"; from \"staging\"",
            &["every event for `production` enters `staging`, too, where its images have to run before"],
        );
        check(
            push,
            "on tag=\"v*\"; from \"staging\" \"nightly\" }; stage \"nightly\" { on schedule=#true",
            &[],
        );
        check(
            push,
            "on schedule=#true; from \"staging\"; require soak=\"1h\" branch=\"main\" clean=#true",
            &[],
        );
        check(
            push,
            "require tests=#true signed=#true provenance=#true scan=\"high\"",
            &[
                "`production` asks for `tests`, and `web` has neither `test` nor `expect`",
                "`production` asks for `scan`, and `web` has no `scan` that fails on high or on less",
                "`production` asks for `signed`, and `web` has no `sign`",
                "`production` asks for `provenance`, and `web` has no `attest provenance=#true` with a `sign`",
            ],
        );
        let all = "push \"far\"; expect user=\"1\"; scan \"trivy\" fail-on=\"medium\"; sign key=\"env:K\"; attest provenance=#true";
        check(all, "require tests=#true signed=#true provenance=#true scan=\"high\"", &[]);
        let late = all.replace("medium", "critical");
        check(
            &late,
            "require scan=\"high\"",
            &["`production` asks for `scan`, and `web` has no `scan` that fails on high or on less"],
        );
    }

    #[test]
    fn images_that_are_never_published_for_the_stage_are_found() {
        let lost =
            |image: &str| format!("`production` can never be entered: its image `{image}` is not published");
        check("push \"far\"", "images \"lib\"", &[&lost("lib")]);
        check("push \"far\"", "images \"lib\"; registry \"far\"", &[]);
        check("push \"far\"", "on pr=#true", &[&lost("web")]);
        check("push \"far\" on=\"pr,branch,tag\"", "on pr=#true", &[]);
        check("push \"far\"", "on tag=\"v*\"; images \"web\"", &[]);
        check(
            "tags { latest; }",
            "on tag=\"v*\"; registry \"far\"",
            &[
                "`staging` can never be entered: its image `web` is not published",
                "`production` has no images: none has a `push`",
            ],
        );
    }

    #[test]
    fn what_deploys_does_not_pull_from_a_directory() {
        let gitops = "deploy \"gitops\" { kustomize \"k\" image=\"x/web\"; }";
        let found = ["`production` deploys `web` from a directory"];
        check("push \"out\"", gitops, &found);
        check("push \"far\"", &format!("registry \"out\"; {gitops}"), &found);
        check("push \"out\" \"far\"", gitops, &[]);
        check("push \"out\" \"far\"", &format!("on tag=\"v*\"; {gitops}"), &found);
        check("push \"far\" \"out\"", &format!("on tag=\"v*\"; {gitops}"), &[]);
        check("push \"out\" on=\"pr\"; push \"far\"", &format!("on tag=\"v*\"; {gitops}"), &[]);
        check("push \"out\"", &format!("registry \"far\"; {gitops}"), &[]);
        check("push \"out\"", "deploy \"run\" { run \"./deploy\"; }", &[]);
    }

    #[test]
    fn an_image_that_the_stage_before_does_not_have_is_found() {
        let found = ["`production` takes `lib` from `staging`, where it never runs"];
        let both = "from \"staging\"; images \"web\" \"lib\"; registry \"far\"";
        check("push \"far\"", &format!("on schedule=#true; {both}"), &found);
        check("push \"far\"", both, &found);
        check("push \"far\"", "from \"staging\"; images \"web\"", &[]);
        // By hand it can be entered from a stage that has both.
        let other = "}; stage \"other\" { on branch=\"x\"; images \"web\" \"lib\"; registry \"far\"";
        check("push \"far\"", &format!("{both}{other}"), &[]);
        check("push \"far\"", &format!("on schedule=#true; {both}{other}"), &found);
    }

    #[test]
    fn one_event_alone_for_both_stages_is_found() {
        let found =
            ["every event for `production` enters `staging`, too, where its images have to run before"];
        check("push \"far\"", "on tag=\"v*\"; from \"staging\"", &found);
        check("push \"far\"", "on tag=\"v*\" schedule=#true; from \"staging\"", &[]);
        check("push \"far\"", "on tag=\"v*\"", &[]);
    }
}
