//! Steps that make and check images.

use crate::plan::fixture::{World, edges, steps};
use crate::plan::{Action, AssembleStep, BaseSource, KeyPart, PartValue, Plan, Subject};

fn assemble<'a>(plan: &'a Plan, name: &str) -> &'a AssembleStep {
    match &plan.steps.iter().find(|step| step.id.to_string() == name).unwrap().action {
        Action::Assemble(step) => step,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_is_built_for_each_platform_joined_and_checked() {
    let mut world = World::new(
        r#"
        target "compile" { run "make"; outputs "dist/**"; }
        image "web" {
            needs "compile"
            platforms "linux/amd64" "linux/arm64"
            assemble from="scratch" { layer { copy "static" "/srv"; }; }
            test "help" { run "/web" "--help"; }
            budget size="10MB"
        }
        "#,
    );
    assert_eq!(
        edges(&world.plan(&["web:test", "web:budget"])),
        [
            "web:build@linux/amd64 <- compile",
            "web:build@linux/arm64 <- compile",
            "web:index <- web:build@linux/amd64",
            "web:index <- web:build@linux/arm64",
            "web:test <- web:index",
            "web:budget <- web:index",
        ]
    );
}

#[test]
fn an_assembled_image_has_its_settings_and_labels_that_say_where_it_comes_from() {
    let mut world = World::new(
        r#"
        var "port" "8080"
        image "web" about="The web service" {
            platforms "linux/arm64"
            assemble from="scratch" {
                layer { copy "dist/{platform.arch}/web" "/web" mode="0755" owner="65532:65532"; }
                layer { copy "static" "/srv" exclude="**/*.map"; }
                entrypoint "/web"
                user "65532"
                expose 8080
                env PORT="{port}"
            }
            label com.example.team="core"
        }
        "#,
    );
    let plan = world.plan(&["web"]);
    let step = assemble(&plan, "web:build@linux/arm64");
    assert_eq!(step.base, BaseSource::Scratch);
    let copies: Vec<String> = step
        .layers
        .iter()
        .flat_map(|layer| &layer.copies)
        .map(|copy| {
            format!("{} {} {:?} {}:{} {:?}", copy.from, copy.to, copy.mode, copy.uid, copy.gid, copy.exclude)
        })
        .collect();
    assert_eq!(
        copies,
        ["dist/arm64/web /web Some(493) 65532:65532 []", "static /srv None 0:0 [\"**/*.map\"]"]
    );
    let settings = &step.settings;
    assert_eq!(settings.entrypoint.as_deref(), Some(["/web".to_owned()].as_slice()));
    assert_eq!(settings.cmd.as_deref(), Some([].as_slice()));
    assert_eq!(
        (settings.user.as_deref(), settings.expose.as_slice()),
        (Some("65532"), ["8080/tcp".to_owned()].as_slice())
    );
    assert_eq!(settings.env["PORT"], "8080");
    let labels: Vec<String> = settings.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        labels,
        [
            "com.example.team=core",
            "org.opencontainers.image.created=2023-11-14T22:13:20Z",
            "org.opencontainers.image.description=The web service",
            "org.opencontainers.image.revision=0123456789abcdef0123456789abcdef01234567",
            "org.opencontainers.image.source=https://example.com/team/demo",
            "org.opencontainers.image.title=web",
            "org.opencontainers.image.version=v1.2.2-3-g0123456",
        ]
    );
    let build = &plan.steps[0];
    let subjects: Vec<&Subject> = build.definition.parts.iter().map(|part| &part.subject).collect();
    for subject in [Subject::Format, Subject::Platform, Subject::Base, Subject::Layer(0), Subject::Layer(1)] {
        assert!(subjects.contains(&&subject), "{subject:?}");
    }
    assert!(subjects.iter().any(|subject| matches!(subject, Subject::Input(_))));
}

#[test]
fn without_a_commit_an_image_says_no_time_and_no_revision() {
    let mut world = World::new("image \"web\" { assemble from=\"scratch\"; }");
    world.facts.git = None;
    let plan = world.plan(&["web"]);
    let step = assemble(&plan, &format!("web:build@{}", world.facts.platform));
    let labels: Vec<&String> = step.settings.labels.keys().collect();
    assert_eq!(labels, ["org.opencontainers.image.created", "org.opencontainers.image.title"]);
    assert_eq!(step.settings.created, jiff::Timestamp::UNIX_EPOCH);
}

#[test]
fn an_image_starts_from_another_one_of_the_same_platform() {
    let text = r#"
        image "base" { platforms "linux/arm64" "linux/amd64"; assemble from="scratch"; }
        image "web" { platforms "linux/amd64"; assemble from="image:base"; }
    "#;
    let plan = World::new(text).plan(&["web"]);
    assert_eq!(
        edges(&plan),
        ["web:build@linux/amd64 <- base:build@linux/amd64", "web:index <- web:build@linux/amd64"]
    );
    assert_eq!(assemble(&plan, "web:build@linux/amd64").base, BaseSource::Step(crate::plan::StepIndex(0)));
    let text = text.replace("\"linux/arm64\" \"linux/amd64\"", "\"linux/arm64\"");
    assert_eq!(
        World::new(&text).problems(&["web"]),
        [
            "`web` is built for linux/amd64, and its base `base` is not [\"image:base\": starts from it here; \"base\": declared here] (add \"linux/amd64\" to the `platforms` of `base`)"
        ]
    );
}

#[test]
fn what_this_version_cannot_do_is_said_of_the_plan() {
    let mut world = World::new(
        r#"
        cache { remote "grpcs://cache.example.com"; }
        image "web" { dockerfile "Dockerfile"; }
        "#,
    );
    let whole: Vec<String> = world.release().gaps.iter().map(|gap| gap.what.clone()).collect();
    assert_eq!(whole, ["a cache on the network"]);
}

#[test]
fn the_examples_plan() {
    for name in ["senex_trader", "inclusive_world_portal"] {
        let path = format!("{}/examples/{name}/release.kdl", env!("CARGO_MANIFEST_DIR"));
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let event = crate::facts::Event::Tag("v1.2.3".to_owned());
        let plan = World::new(&text).on(event).with_env("GITHUB_ACTOR", "me").release();
        assert!(steps(&plan).iter().any(|step| step.contains(":tag@")), "{name}");
    }
}

#[test]
fn what_a_builder_runs_on_is_in_no_key_where_it_chooses_among_the_platforms_of_a_base() {
    use crate::oci::{Descriptor, Index, Platform, media_type};
    let step = |machine: &str, from: &str| {
        let mut world = World::new(r#"image "web" { dockerfile; platforms "linux/arm64"; }"#);
        let text = format!("FROM {from} AS made\nFROM scratch\nCOPY --from=made /a /\n");
        let source = world.sources.add("Dockerfile", text.as_str());
        world.facts.dockerfiles = vec![crate::facts::Text { source, text: std::sync::Arc::new(text) }];
        world.facts.platform = machine.parse().unwrap();
        let manifest = |name: &str| Descriptor {
            platform: Some(name.parse::<Platform>().unwrap()),
            ..Descriptor::of(media_type::MANIFEST, name.as_bytes())
        };
        let index = Index::new(["linux/amd64", "linux/arm64"].map(manifest).to_vec()).to_bytes();
        for name in ["docker.io/library/go:1", "docker.io/library/go:amd64", "docker.io/library/go:arm64"] {
            let found = Box::new(Descriptor::of(media_type::INDEX, &index));
            let found = crate::facts::ResolvedBase::Found(found, index.as_slice().into());
            world.facts.images.insert(name.parse().unwrap(), found);
        }
        let plan = world.plan(&["web"]);
        let step = plan.steps.iter().find(|step| matches!(step.action, Action::Dockerfile(_))).unwrap();
        let Action::Dockerfile(build) = &step.action else { unreachable!() };
        (step.definition.clone(), build.dockerfile.clone(), build.native.len(), build.builder.clone())
    };
    let on = |from: &str| ["linux/amd64", "linux/arm64"].map(|machine| step(machine, from));
    let [one, other] = on("--platform=$BUILDPLATFORM go:1");
    assert_eq!(one, other);
    assert_eq!((one.2, one.3), (1, None));
    assert!(!one.1.contains("sha256:") && one.1.contains("--platform=$BUILDPLATFORM"), "{}", one.1);
    // A name is another image.
    let [one, other] = on("go:$BUILDARCH");
    assert_ne!(one.0, other.0);
    assert_eq!((one.2, one.3, other.3), (0, "linux/amd64".parse().ok(), "linux/arm64".parse().ok()));
    let [one, other] = on("--platform=linux/amd64 go:1");
    assert_eq!(one, other);
    assert_eq!((one.2, one.3), (0, None));
}

#[test]
fn every_step_of_an_image_may_be_needed_by_its_name() {
    let mut world = World::new(
        r#"
        registry "ghcr" "ghcr.io/acme"
        image "web" {
            dockerfile "Dockerfile"
            test "help" { run "x"; }
            budget layers=1
            scan "trivy" fail-on="high"
            sign key="env:KEY"
            attest provenance=#true
            push "ghcr"
        }
        target "all" {
            needs "web:build" "web:index" "web:test" "web:budget" "web:scan" "web:push" "web:sign" "web:attest" "web:tag"
        }
        "#,
    );
    assert!(world.select(&["all"]).is_ok());
}

#[test]
fn the_name_of_a_base_is_part_of_the_key_for_it_is_part_of_the_image() {
    let definition = |name: &str| {
        let text =
            format!("image \"web\" {{ assemble from=\"{name}\" {{ layer {{ copy \"a\" \"/a\"; }}; }}; }}");
        let mut world = World::new(&text);
        let base = crate::oci::Descriptor::of(crate::oci::media_type::MANIFEST, b"{}");
        world.facts.bases = vec![crate::facts::ResolvedBase::Found(Box::new(base), b"{}".as_slice().into())];
        let plan = world.plan(&["web"]);
        plan.steps.iter().find(|step| matches!(step.action, Action::Assemble(_))).unwrap().definition.clone()
    };
    let subject = Subject::Setting("annotations org.opencontainers.image.base.name".to_owned());
    let named = |name: &str| definition(name).parts.into_iter().find(|part| part.subject == subject);
    let value = PartValue::Text("ghcr.io/acme/base:1".to_owned());
    assert_eq!(named("ghcr.io/acme/base:1").map(|part| part.value), Some(value));
    assert_ne!(definition("ghcr.io/acme/base:1"), definition("ghcr.io/acme/base:2"));
}

#[test]
fn compression_and_what_is_removed_are_part_of_a_layer_and_of_no_other() {
    let text = |assemble: &str, layer: &str| {
        format!(
            "image \"web\" {{ assemble from=\"oci:base\" {assemble} {{ layer {{ copy \"a\" \"/a\"; }}; \
             layer {layer} {{ copy \"a\" \"/a\"; remove \"/b\"; }}; }}; }}"
        )
    };
    let layers = |assemble: &str, layer: &str| -> Vec<String> {
        let plan = World::new(&text(assemble, layer)).plan(&["web"]);
        let parts = plan.steps[0].definition.parts.iter();
        let recipe = |part: &KeyPart| match (&part.subject, &part.value) {
            (Subject::Layer(_), PartValue::Text(text)) => text.lines().take(2).collect::<Vec<_>>().join(", "),
            _ => String::new(),
        };
        parts
            .map(recipe)
            .filter(|text| !text.is_empty())
            .map(|text| text.split(" -> ").next().unwrap().to_owned())
            .collect()
    };
    let copy = "\"a\"";
    let remove = "remove \"/b\"";
    assert_eq!(layers("", ""), [format!("gzip 6, {copy}"), format!("gzip 6, {remove}")]);
    let found = layers("compression=\"zstd\"", "compression-level=9");
    assert_eq!(found, [format!("zstd 3, {copy}"), format!("zstd 9, {remove}")]);
    let found = layers("compression-level=1", "compression=\"zstd\"");
    assert_eq!(found, [format!("gzip 1, {copy}"), format!("zstd 3, {remove}")]);
    let found = layers("compression=\"zstd\" compression-level=7", "compression=\"zstd\"");
    assert_eq!(found, [format!("zstd 7, {copy}"), format!("zstd 7, {remove}")]);
}

#[test]
fn what_a_server_is_asked_is_part_of_its_test() {
    let text = r#"
        var "word" "ok"
        image "web" {
            assemble from="scratch"
            test "serves" {
                user "app"
                expect stdout-matches="^up" { http port=8080; http port=81 path="/{word}" status=404 body="{word}!"; }
            }
        }
    "#;
    let plan = World::new(text).plan(&["web:test"]);
    let parts = plan.steps.iter().flat_map(|step| &step.definition.parts);
    let recipe = parts.clone().find(|part| part.subject == Subject::Check("test serves".to_owned()));
    let lines = [
        "user \"app\"",
        "run []",
        "expect \"stdout-matches=^up\"",
        "expect \"http port=8080 path=/ status=200\"",
        "expect \"http port=81 path=/ok status=404 body=ok!\"",
        "timeout 60000ms",
    ];
    assert_eq!(recipe.map(|part| &part.value), Some(&PartValue::Text(lines.join("\n"))));
}
