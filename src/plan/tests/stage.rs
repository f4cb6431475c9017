//! Which stages are entered, with what, and under which names.

use std::collections::BTreeMap;

use crate::facts::Event;
use crate::oci::{Descriptor, media_type};
use crate::plan::fixture::{World, edges, steps};
use crate::plan::{
    Action, Entering, Goals, Options, Plan, Promoted, RegistryPlan, build, entered, select_entering,
};

const FILE: &str = r#"
registry "dev" "example.com/dev"
registry "prod" "example.com/prod"
image "web" {
    needs "compile"
    platforms "linux/amd64"
    assemble from="scratch"
    expect user="!root"
    tags { semver "{version}"; branch "{branch}"; }
    push "dev"
}
image "tool" { platforms "linux/amd64"; assemble from="scratch"; tags { raw "dev"; }; push "dev"; }
target "compile" { run "make"; }
stage "staging" { on branch="main"; images "web"; tags { raw "tried"; }; }
stage "production" {
    on tag="v*"
    from "staging"
    images "web"
    registry "prod"
    tags { raw "live"; }
    deploy "run" { run "./deploy.sh"; }
    verify { http "https://example.com"; }
}
"#;

fn plan(world: &World, goals: &Goals, entering: Entering) -> Plan {
    let selection = select_entering(&world.release, goals, &world.links, entering).unwrap();
    build(&world.release, &world.facts, &selection, &Options::default()).unwrap()
}

fn promoted(world: &World) -> BTreeMap<String, Promoted> {
    let name = "example.com/dev/web".parse().unwrap();
    let source = crate::plan::registry_of(&world.release, &world.facts, &name);
    let image = Descriptor::of(media_type::MANIFEST, b"web");
    let sources: Vec<RegistryPlan> = vec![source];
    let web = Promoted {
        image: Some(image),
        sources,
        tests: vec!["expect".to_owned()],
        tags: None,
        stays: BTreeMap::new(),
    };
    [("web".to_owned(), web)].into_iter().collect()
}

fn tags(plan: &Plan) -> Vec<String> {
    let tags = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Tag(tag) => {
            let tags: Vec<_> = tag.tags.iter().map(|tag| tag.tag.as_str()).collect();
            Some(format!("{}: {}", tag.registry.place, tags.join(" ")))
        }
        _ => None,
    });
    tags.collect()
}

#[test]
fn an_event_enters_the_stages_that_are_for_it() {
    let world = World::new(FILE);
    let names = |event: Event| -> Vec<String> {
        entered(&world.release, &event).map(|stage| stage.name.value.clone()).collect()
    };
    assert_eq!(names(Event::Branch("main".to_owned())), ["staging"]);
    assert_eq!(names(Event::Tag("v1.0.0".to_owned())), ["production"]);
    assert_eq!(names(Event::Tag("x".to_owned())), [""; 0]);
    assert_eq!(names(Event::PullRequest(1)), [""; 0]);
    let all = World::new("stage \"all\" { on branch=\"release/*\"; on pr=#true schedule=#true; }");
    for event in [Event::Branch("release/1".to_owned()), Event::PullRequest(1), Event::Schedule] {
        assert_eq!(entered(&all.release, &event).count(), 1, "{event:?}");
    }
    assert_eq!(entered(&all.release, &Event::Branch("release/1/x".to_owned())).count(), 0);
}

#[test]
fn a_stage_without_from_is_entered_by_what_is_built_and_adds_its_tags() {
    let world = World::new(FILE);
    let plan = plan(&world, &Goals::Release, Entering::default());
    assert_eq!(tags(&plan), ["example.com/dev/web: tried main", "example.com/dev/tool: dev"]);
    let enter: Vec<_> = edges(&plan).into_iter().filter(|edge| edge.starts_with("staging:")).collect();
    assert_eq!(enter, ["staging:enter <~ web:tag@dev"]);
}

#[test]
fn what_comes_from_a_stage_is_neither_built_nor_tested_nor_is_what_it_was_built_from() {
    let world = World::new(FILE).on(Event::Tag("v1.0.0".to_owned()));
    let entering = Entering { promoted: promoted(&world), ..Entering::default() };
    let plan = plan(&world, &Goals::Release, entering);
    assert_eq!(
        steps(&plan),
        [
            "web:index",
            "web:push@dev",
            "web:push@prod",
            "tool:build@linux/amd64",
            "tool:index",
            "tool:push@dev",
            "web:tag@dev",
            "web:tag@prod",
            "tool:tag@dev",
            "production:enter",
            "production:deploy@run",
            "production:verify",
        ]
    );
    // The tags of a stage with a registry of its own are set there alone.
    assert_eq!(
        tags(&plan),
        ["example.com/dev/web: 1.0.0", "example.com/prod/web: 1.0.0 live", "example.com/dev/tool: dev"]
    );
    let found = plan.steps.iter().find_map(|step| match &step.action {
        Action::Found(found) => Some(found.sources[0].place.to_string()),
        _ => None,
    });
    assert_eq!(found.as_deref(), Some("example.com/dev/web"));
}

#[test]
fn by_hand_one_stage_is_entered_whatever_the_event_is_for() {
    let world = World::new(FILE);
    let entering = Entering {
        by_hand: Some("production".to_owned()),
        promoted: promoted(&world),
        ..Entering::default()
    };
    let plan = plan(&world, &Goals::Stage("production".to_owned()), entering);
    let all = steps(&plan);
    assert!(!all.iter().any(|step| step.starts_with("staging:") || step.starts_with("tool:")), "{all:?}");
    assert_eq!(tags(&plan), ["example.com/dev/web: main", "example.com/prod/web: live main"]);
}

#[test]
fn an_image_goes_to_the_registry_of_a_stage_with_that_stage_alone() {
    let world = World::new(FILE);
    let plan = plan(&world, &Goals::Release, Entering::default());
    assert!(!steps(&plan).iter().any(|step| step.contains("@prod")));
    let mut world = World::new(FILE);
    let pushed = world.plan(&["push"]);
    assert!(!steps(&pushed).iter().any(|step| step.contains("@prod")));
}

#[test]
fn a_stage_is_not_entered_by_the_name_of_a_step_nor_with_an_image_that_goes_nowhere() {
    let mut world = World::new(FILE);
    let gaps: Vec<_> = world.plan(&["staging:enter"]).steps;
    let gaps: Vec<_> = gaps.iter().filter_map(|step| Some(step.action.gap()?.what.clone())).collect();
    assert_eq!(gaps, ["entering a stage by the name of one of its steps"]);
    let text = FILE.replace("on branch=\"main\"", "on pr=#true");
    let mut world = World::new(&text).on(Event::PullRequest(7));
    let result = world.try_plan(&Goals::Release).map(|plan| steps(&plan));
    let told = world.told(result);
    assert!(told[0].starts_with("`staging` cannot be entered: its image `web` is not published"), "{told:?}");
}

#[test]
fn images_that_commands_cannot_tell_apart_are_refused() {
    let refused = |deploy: &str| {
        let image = |name: &str| {
            format!(
                "image \"{name}\" {{ assemble from=\"scratch\"; tags {{ raw \"dev\"; }}; push \"dev\"; }}\n"
            )
        };
        let images = [image("a-b"), image("a.b")].concat();
        let stage = format!("stage \"live\" {{ on tag=\"v*\"; images \"a-b\" \"a.b\"; {deploy} }}");
        let world = World::new(&format!("registry \"dev\" \"example.com/dev\"\n{images}{stage}"))
            .on(Event::Tag("v1.0.0".to_owned()));
        let selection =
            select_entering(&world.release, &Goals::Release, &world.links, Entering::default()).unwrap();
        let problems = build(&world.release, &world.facts, &selection, &Options::default()).err();
        problems.map(|problems| problems.as_slice()[0].title.clone())
    };
    assert_eq!(refused(""), None);
    let title = "`a-b` and `a.b` are both `HOIST_IMAGE_A_B` to the commands of `live`";
    assert_eq!(refused("deploy \"run\" { run \"x\"; };").as_deref(), Some(title));
}
