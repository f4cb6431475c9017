//! Images on their way from files to tags.

use crate::config::{Budget, Expect, ProjectPath};
use crate::diagnostic::Span;
use crate::oci::{LayerCompression, Platform};
use crate::plan::{
    CopyPlan, Effect, ExpectPlan, ImageSettings, LayerPlan, PushStep, RegistryPlace, RegistryPlan, StepId,
    Subject, TestStep, Verb,
};
use crate::run::Happening;
use crate::run::fixture::{Project, Told as Story};
use crate::tags::{Movement, PlannedTag, Track};
use indexmap::IndexMap;

use super::*;

fn assemble(span: Span) -> Action {
    let copy = CopyPlan {
        from: "hello".into(),
        to: "/hello".into(),
        mode: None,
        uid: 0,
        gid: 0,
        exclude: Vec::new(),
        span,
    };
    let settings = ImageSettings {
        entrypoint: Some(vec!["/hello".into()]),
        cmd: None,
        user: None,
        workdir: None,
        expose: Vec::new(),
        volumes: Vec::new(),
        env: IndexMap::new(),
        labels: IndexMap::new(),
        stop_signal: None,
        created: Timestamp::UNIX_EPOCH,
    };
    let layers =
        vec![LayerPlan { compression: LayerCompression::GZIP, removes: Vec::new(), copies: vec![copy] }];
    Action::Assemble(Box::new(AssembleStep {
        platform: Platform::host(),
        base: BaseSource::Scratch,
        layers,
        settings,
        span,
    }))
}

fn registry() -> RegistryPlan {
    let place = RegistryPlace::Layout(ProjectPath::root().join("out/web").unwrap());
    RegistryPlan::with_defaults("out", place)
}

fn planned(tag: &str, movement: Movement, span: Span) -> PlannedTag {
    PlannedTag { tag: tag.parse().unwrap(), rule: "semver", span, movement, local: false, returns: None }
}

/// Assembles, joins, weighs, pushes, and tags an image.
fn release(text: &str) -> Project {
    let mut project = Project::new();
    project.write("hello", text);
    let span = project.reading("web", "", &[], "hello").span;
    project.plan.steps[0].action = assemble(span);
    let index = IndexStep {
        platforms: vec![(Platform::host(), StepIndex(0))],
        annotations: IndexMap::new(),
        local: Vec::new(),
    };
    let budget = Budget { size: Some(1_000_000), layers: None, wasted: None, growth: None, since: None };
    let image = StepIndex(1);
    let tags = vec![
        planned("1.2.3", Movement::Immutable, span),
        planned("dev", Movement::Moving(Track::Free), span),
    ];
    let actions = [
        (Verb::Index, Action::Index(index), 0, Effect::Cacheable),
        (Verb::Budget, Action::Budget(BudgetStep { image, budget, since: None, span }), 1, Effect::Cacheable),
        (Verb::Push, Action::Push(Box::new(PushStep { image, registry: registry() })), 1, Effect::Publishing),
        (
            Verb::Tag,
            Action::Tag(Box::new(TagStep { image, registry: registry(), tags })),
            3,
            Effect::Publishing,
        ),
    ];
    for (verb, action, need, effect) in actions {
        let step = project.target("web", "", &[need]);
        step.id = StepId::of("web", verb, None);
        step.definition.text(Subject::Format, verb.as_str());
        step.action = action;
        step.effect = effect;
    }
    project
}

fn digests(told: &Story) -> Vec<String> {
    let digest = |event: &crate::run::Event| match &event.what {
        Happening::StepEnded(ended) => ended.digest.clone(),
        _ => None,
    };
    told.events.iter().filter_map(digest).collect()
}

fn tags(told: &Story) -> Vec<TagMove> {
    let moves = |event: &crate::run::Event| match &event.what {
        Happening::StepEnded(ended) => ended.tags.clone(),
        _ => Vec::new(),
    };
    told.events.iter().flat_map(moves).collect()
}

#[test]
fn an_image_is_assembled_once_and_published_once() {
    let project = release("hello");
    let first = project.run();
    let ends = ["web: ran", "web:budget: ran", "web:index: ran", "web:push: ran", "web:tag: ran"];
    assert_eq!(first.ends(), ends);
    let digest = digests(&first).remove(0);
    let layout = Layout::open(project.root().join("out/web")).unwrap();
    let published = layout.resolve("1.2.3").unwrap().unwrap();
    assert_eq!(published.digest.to_string(), digest);
    let moved = |tag: &str, from: Option<&String>| TagMove {
        repository: "oci:out/web".into(),
        tag: tag.into(),
        from: from.cloned(),
        to: digest.clone(),
        kept: None,
    };
    assert_eq!(tags(&first), [moved("1.2.3", None), moved("dev", None)]);

    let second = project.run();
    let ends = [
        "web: cached, Present",
        "web:budget: cached, Present",
        "web:index: cached, Present",
        "web:push: cached, Present",
        "web:tag: cached, Present",
    ];
    assert_eq!(second.ends(), ends);
    assert_eq!(digests(&second), digests(&first));
    assert_eq!(tags(&second), [moved("1.2.3", Some(&digest)), moved("dev", Some(&digest))]);
}

#[test]
fn an_expectation_that_does_not_hold_keeps_the_image_from_being_published() {
    let mut project = release("hello");
    let span = project.plan.steps[0].span;
    let expects = ["/hello", "/missing"];
    let expects = expects.map(|path| ExpectPlan { what: Expect::File(path.to_owned()), span }).to_vec();
    let (image, platforms) = (StepIndex(1), vec![Platform::host()]);
    let test = TestStep { image, platforms, tests: Vec::new(), expects };
    let step = project.target("web", "", &[1]);
    step.id = StepId::of("web", Verb::Test, None);
    step.definition.text(Subject::Format, "test");
    step.action = Action::Test(Box::new(test));
    step.effect = Effect::Cacheable;
    let told = project.run();
    assert_eq!(told.summary.problems.as_slice()[0].code, Code::TestFailed);
    assert_eq!(
        told.ends()[3..5],
        ["web:push: not run, `web:test` failed", "web:tag: not run, `web:test` failed"]
    );
}

#[test]
fn a_place_that_cannot_be_written_refuses_the_run_before_its_first_step() {
    let project = release("hello");
    project.write("out", "in the way");
    let told = project.run();
    let refused = |name: &str| format!("{name}: not run, the run was refused");
    let steps = ["web", "web:budget", "web:index", "web:push", "web:tag"];
    assert_eq!(told.ends(), steps.map(refused));
    assert_eq!(told.summary.exit_code(), 3);
}

#[test]
fn an_immutable_tag_that_holds_another_image_stops_the_release() {
    let mut project = release("hello");
    project.run();
    project.write("hello", "another");
    let Project { plan, .. } = release("another");
    project.plan = plan;
    let told = project.run();
    assert_eq!(told.summary.problems.as_slice()[0].code, Code::ImmutableTag);
    assert_eq!(told.summary.exit_code(), 3);
    let layout = Layout::open(project.root().join("out/web")).unwrap();
    assert_eq!(layout.resolve("1.2.3").unwrap(), layout.resolve("dev").unwrap());
}

#[test]
fn a_release_that_ends_between_two_registries_says_what_stands() {
    let mut project = release("hello");
    let span = project.plan.steps[0].span;
    let place = RegistryPlace::Layout(ProjectPath::root().join("more/web").unwrap());
    let more = RegistryPlan { name: "more".into(), place, ..registry() };
    let tags = vec![planned("dev", Movement::Moving(Track::Free), span)];
    let step = project.target("web", "", &[4]);
    step.id = StepId::of("web", Verb::Tag, Some("more".into()));
    step.action = Action::Tag(Box::new(TagStep { image: StepIndex(1), registry: more, tags }));
    step.effect = Effect::Publishing;
    // Nobody pushed there.
    let told = project.run();
    let problems = told.summary.problems.as_slice();
    let [problem] = problems else { panic!("{problems:?}") };
    assert_eq!(problem.code, Code::HalfReleased);
    let digest = &digests(&told)[0];
    let notes = [
        format!("`oci:out/web:1.2.3` holds {digest} now"),
        format!("`oci:out/web:dev` holds {digest} now"),
        "`oci:more/web:dev` was not set: it is not there".to_owned(),
    ];
    assert!(problem.notes.ends_with(&notes), "{:?}", problem.notes);
    assert_eq!(told.summary.exit_code(), 5);
}

#[test]
fn nothing_is_published_after_a_failure() {
    let mut project = release("hello");
    project.options.keep_going = true;
    project.target("check", "false", &[]);
    project.plan.steps.rotate_right(1);
    for need in project.plan.steps.iter_mut().skip(1).flat_map(|step| &mut step.needs) {
        need.step.0 += 1;
    }
    shift(&mut project.plan);
    let ends = project.run().ends();
    assert_eq!(ends[4..], ["web:push: not run, `check` failed", "web:tag: not run, `check` failed"]);
    assert!(!project.root().join("out").exists());
}

fn shift(plan: &mut Plan) {
    for step in &mut plan.steps {
        match &mut step.action {
            Action::Index(index) => index.platforms[0].1.0 += 1,
            Action::Budget(budget) => budget.image.0 += 1,
            Action::Push(push) => push.image.0 += 1,
            Action::Tag(tag) => tag.image.0 += 1,
            _ => {}
        }
    }
}
