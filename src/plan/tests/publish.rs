//! What is published, when, and what is said where nothing is.

use crate::facts::Event;
use crate::plan::fixture::{World, edges, steps};
use crate::plan::{Action, Goals, RegistryPlace};

const FILE: &str = r#"
registry "ghcr" "ghcr.io/acme"
registry "out" "oci:dist/images"
image "web" {
    repository "team/web"
    platforms "linux/amd64"
    assemble from="scratch"
    expect user="!root"
    tags { semver "{version}"; branch "{branch}-latest"; local "web-local"; }
    push "ghcr" "out"
}
image "worker" {
    platforms "linux/amd64"
    assemble from="scratch"
    budget size="10MB"
    tags { semver "{version}"; branch "{branch}-latest"; }
    push "ghcr"
}
image "dev" { platforms "linux/amd64"; assemble from="scratch"; }
target "announce" { needs "web:tag@ghcr"; run "announce"; }
"#;

#[test]
fn no_tag_moves_before_everything_is_checked_and_pushed() {
    let plan = World::new(FILE).release();
    let tags = edges(&plan).into_iter().filter(|edge| edge.starts_with("worker:tag"));
    assert_eq!(
        tags.collect::<Vec<_>>(),
        [
            "worker:tag@ghcr <~ web:test",
            "worker:tag@ghcr <~ web:push@ghcr",
            "worker:tag@ghcr <~ web:push@out",
            "worker:tag@ghcr <- worker:index",
            "worker:tag@ghcr <~ worker:budget",
            "worker:tag@ghcr <~ worker:push@ghcr",
        ]
    );
    assert!(!steps(&plan).iter().any(|step| step.starts_with("dev:")));
    assert_eq!(plan.unpublished, None);
}

#[test]
fn an_image_is_signed_where_it_was_pushed_and_attested_then_and_named_last() {
    let text = r#"
        registry "ghcr" "ghcr.io/acme"
        target "bom" { run "syft"; inputs "src/*"; outputs "bom.json"; }
        image "web" {
            platforms "linux/amd64"
            assemble from="scratch"
            tags { raw "dev"; }
            sign key="env:KEY"
            attest provenance=#true sbom="bom.json"
            push "ghcr"
        }
        image "other" { platforms "linux/amd64"; assemble from="scratch"; tags { raw "dev"; }; push "ghcr"; }
    "#;
    let plan = World::new(text).release();
    let of = |step: &str| edges(&plan).into_iter().filter(|edge| edge.starts_with(step)).collect::<Vec<_>>();
    assert_eq!(of("web:sign"), ["web:sign@ghcr <- web:index", "web:sign@ghcr <~ web:push@ghcr"]);
    let attest = [
        "web:attest@ghcr <- bom",
        "web:attest@ghcr <- web:index",
        "web:attest@ghcr <~ web:push@ghcr",
        "web:attest@ghcr <~ web:sign@ghcr",
    ];
    assert_eq!(of("web:attest"), attest);
    for tag in ["web:tag@ghcr", "other:tag@ghcr"] {
        for before in ["web:sign@ghcr", "web:attest@ghcr"] {
            assert!(of(tag).contains(&format!("{tag} <~ {before}")), "{:?}", of(tag));
        }
    }
}

#[test]
fn what_is_stated_of_a_build_leaves_secrets_out() {
    let text = r#"
        registry "ghcr" "ghcr.io/acme" { login username="ci" password="env:PASSWORD"; }
        var "color" "red" env="COLOR"
        var "token" "" env="TOKEN"
        var "password" "" env="PASSWORD"
        var "size" "1"
        target "t" { run "x"; pass-env "TOKEN"; }
        image "web" { assemble from="scratch"; sign key="env:KEY"; attest provenance=#true; push "ghcr"; }
    "#;
    let world = World::new(text).on(Event::Tag("v1.0.0".to_owned()));
    let plan = world
        .with_env("COLOR", "blue")
        .with_env("TOKEN", "s3cret")
        .with_env("PASSWORD", "s3cret too")
        .release();
    let stated = plan.steps.iter().find_map(|step| match &step.action {
        Action::Attest(attest) => attest.provenance.as_ref(),
        _ => None,
    });
    let stated = stated.unwrap();
    assert_eq!(stated.event, ("tag", Some("v1.0.0".to_owned())));
    assert_eq!(stated.variables, [("color".to_owned(), "blue".to_owned())].into());
    assert!(stated.source.as_ref().is_some_and(|source| source.commit.len() == 40 && !source.dirty));
    assert!(!format!("{plan:?}").contains("s3cret"));
}

#[test]
fn an_image_is_pushed_to_its_repository_and_named_there() {
    let plan = World::new(FILE).release();
    let mut places = Vec::new();
    for step in &plan.steps {
        match &step.action {
            Action::Push(push) => places.push(format!("{} {:?}", step.id, push.registry.place)),
            Action::Tag(tag) => {
                let tags: Vec<String> = tag.tags.iter().map(|tag| tag.tag.to_string()).collect();
                places.push(format!("{} {}", step.id, tags.join(" ")));
            }
            _ => {}
        }
    }
    places.sort();
    assert_eq!(
        places,
        [
            "web:push@ghcr Remote(\"ghcr.io/acme/team/web\")",
            "web:push@out Layout(ProjectPath(\"dist/images/team/web\"))",
            "web:tag@ghcr main-latest",
            "web:tag@out main-latest",
            "worker:push@ghcr Remote(\"ghcr.io/acme/worker\")",
            "worker:tag@ghcr main-latest",
        ]
    );
}

#[test]
fn without_a_registry_images_are_published_to_a_layout_in_the_project() {
    let mut world = World::new("image \"web\" { assemble from=\"scratch\"; tags { raw \"dev\"; }; }");
    let plan = world.release();
    assert_eq!(steps(&plan)[2..], ["web:push@layout", "web:tag@layout"]);
    let Action::Push(push) = &plan.steps[2].action else { panic!("{:?}", plan.steps[2].action) };
    let RegistryPlace::Layout(path) = &push.registry.place else { panic!("{:?}", push.registry) };
    assert_eq!(path.to_string(), ".hoist/images/web");
}

#[test]
fn a_release_that_may_not_publish_builds_and_checks_and_says_why() {
    let checked = [
        "web:build@linux/amd64",
        "web:index",
        "web:test",
        "worker:build@linux/amd64",
        "worker:index",
        "worker:budget",
    ];
    let cases = [
        (World::new(FILE).dirty(), "tracked files differ from the commit"),
        (World::new(FILE).on(Event::PullRequest(42)), "no `push` is for a pull request"),
        (World::new(FILE).on(Event::Unnamed), "neither a branch nor a tag names the commit"),
    ];
    for (mut world, why) in cases {
        let plan = world.release();
        assert_eq!(steps(&plan), checked);
        assert_eq!(plan.unpublished.as_deref(), Some(why));
    }
    let mut world = World::new(FILE).dirty();
    world.options.allow_dirty = true;
    assert_eq!(world.release().unpublished, None);
}

#[test]
fn a_dirty_tree_in_ci_refuses_a_release_that_should_publish() {
    let mut world = World::new(FILE).dirty().in_ci();
    let result = world.try_plan(&Goals::Release).map(|plan| steps(&plan));
    assert_eq!(
        world.told(result),
        [
            "the images cannot be published: tracked files differ from the commit [] (commit the changes, or type `--allow-dirty`)"
        ]
    );
    let mut world = World::new(FILE).dirty().in_ci().on(Event::PullRequest(1));
    assert!(world.release().unpublished.is_some());
}

#[test]
fn publishing_that_is_asked_for_by_name_is_refused_where_it_may_not_be() {
    assert_eq!(
        World::new(FILE).dirty().problems(&["web:push@ghcr"]),
        [
            "`web:push@ghcr` cannot be published: tracked files differ from the commit [web:push@ghcr: asked for here] (commit the changes, or type `--allow-dirty`)"
        ]
    );
    assert_eq!(
        World::new(FILE).on(Event::PullRequest(1)).problems(&["push"]),
        [
            "`web:push@ghcr` cannot be published: it is not for a pull request [push: asked for here; \"ghcr\": declared here] (write `push \"ghcr\" on=\"pr\"`)"
        ]
    );
    assert_eq!(
        World::new(FILE).dirty().problems(&["announce"]),
        [
            "`web:tag@ghcr` cannot be published: tracked files differ from the commit [\"web:tag@ghcr\": asked for here] (commit the changes, or type `--allow-dirty`)"
        ]
    );
    // A glob names what there is to do.
    assert_eq!(steps(&World::new(FILE).dirty().plan(&["worker:*"])).len(), 3);
}

#[test]
fn a_push_can_be_for_other_events() {
    let text = FILE.replace("push \"ghcr\" \"out\"", "push \"ghcr\" on=\"pr\"\n    push \"out\" on=\"tag\"");
    let pushes = |event: Event| {
        let steps = steps(&World::new(&text).on(event).release());
        steps.into_iter().filter(|step| step.starts_with("web:push")).collect::<Vec<_>>()
    };
    assert_eq!(pushes(Event::PullRequest(1)), ["web:push@ghcr"]);
    assert_eq!(pushes(Event::Tag("v1.0.0".to_owned())), ["web:push@out"]);
    assert_eq!(pushes(Event::Branch("main".to_owned())), Vec::<String>::new());
}

#[test]
fn an_image_without_a_name_for_this_event_is_pushed_and_not_named() {
    let text = "image \"web\" { assemble from=\"scratch\"; tags { semver \"{version}\"; }; }";
    let plan = World::new(text).release();
    let last = plan.steps.last().unwrap();
    assert_eq!(last.id.to_string(), "web:tag@layout");
    assert_eq!(last.action, Action::Skip("no rule of its `tags` is for a branch".to_owned()));
    let plan = World::new(text).on(Event::Tag("v1.2".to_owned())).release();
    assert_eq!(plan.steps.last().unwrap().action, Action::Skip("the tag v1.2 is no version".to_owned()));
}

#[test]
fn a_directory_of_a_variable_is_refused_once_and_with_its_reason() {
    let text = FILE.replace(
        "registry \"ghcr\" \"ghcr.io/acme\"",
        "var \"to\" \"oci:out\"\nregistry \"ghcr\" \"{to}/acme\"",
    );
    let problems = World::new(&text).try_plan(&Goals::Release).unwrap_err();
    let said: Vec<_> = problems.as_slice().iter().map(|problem| problem.labels[0].text.clone()).collect();
    let why = |image| format!("`oci:out/acme/{image}`: what is a directory does not come from a variable");
    assert_eq!(said, [why("team/web"), why("worker")]);
}

#[test]
fn two_images_cannot_have_one_name() {
    let mut world = World::new(
        r#"
        image "a" { repository "app"; assemble from="scratch"; tags { raw "dev"; }; }
        image "b" { repository "app"; assemble from="scratch"; tags { raw "dev"; }; }
        "#,
    );
    let result = world.try_plan(&Goals::Release).map(|plan| steps(&plan));
    assert_eq!(
        world.told(result),
        [
            "`a` and `b` would both be `oci:.hoist/images/app:dev` [\"dev\": the tag of `b`; \"dev\": the tag of `a`] (give each image a `repository` or tags of its own)"
        ]
    );
}

#[test]
fn a_target_between_two_images_orders_their_releases() {
    let mut world = World::new(
        r#"
        image "base" { platforms "linux/amd64"; assemble from="scratch"; tags { raw "dev"; }; }
        target "announce" { needs "base:tag"; run "announce"; }
        image "web" { needs "announce"; platforms "linux/amd64"; assemble from="scratch"; tags { raw "dev"; }; }
        "#,
    );
    let plan = world.release();
    let tags = edges(&plan).into_iter().filter(|edge| edge.starts_with("base:tag"));
    assert_eq!(
        tags.collect::<Vec<_>>(),
        ["base:tag@layout <- base:index", "base:tag@layout <~ base:push@layout"]
    );
}

#[test]
fn a_stage_is_entered_by_its_events_after_its_images_are_named() {
    let text = format!(
        "{FILE}\nstage \"live\" {{ on tag=\"v*\"; images \"worker\"; deploy \"run\" {{ run \"x\"; }}; }}"
    );
    let deploys = |event: Event| {
        let plan = World::new(&text).on(event).release();
        edges(&plan).into_iter().filter(|edge| edge.starts_with("live:")).collect::<Vec<_>>()
    };
    assert_eq!(
        deploys(Event::Tag("v1.0.0".to_owned())),
        ["live:enter <~ worker:tag@ghcr", "live:deploy@run <~ live:enter"]
    );
    assert_eq!(deploys(Event::Branch("main".to_owned())), Vec::<String>::new());
}
