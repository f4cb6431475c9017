//! What a build needs of a Dockerfile.

use super::resolve;
use crate::dockerfile::{Resolved, context_name};

fn built(text: &str, target: Option<&str>, args: &[(&str, &str)], platform: &str) -> Resolved {
    resolve(text, target, args, &[], platform).0.unwrap()
}

/// Each base with its platform.
fn bases(resolved: &Resolved) -> Vec<String> {
    let shown = resolved.bases.iter();
    shown.map(|base| format!("{} {}", base.reference.value, base.platform)).collect()
}

#[test]
fn only_what_the_target_needs_is_asked_of_registries() {
    let text = "FROM golang AS build\nFROM build AS test\nFROM acme.dev/base AS prod\nCOPY --from=build /a /a\n\
                RUN --mount=type=bind,from=node:22,target=/n ls\nFROM unused";
    let prod = built(text, Some("PROD"), &[], "linux/amd64");
    assert_eq!((prod.target, prod.stages.clone()), (2, vec![0, 2]));
    let expected = [
        "docker.io/library/golang linux/amd64",
        "acme.dev/base linux/amd64",
        "docker.io/library/node:22 linux/amd64",
    ];
    assert_eq!(bases(&prod), expected);
    assert_eq!(bases(&built(text, Some("test"), &[], "linux/amd64")), expected[..1]);
    assert_eq!(bases(&built(text, None, &[], "linux/amd64")), ["docker.io/library/unused linux/amd64"]);
}

#[test]
fn a_copy_names_a_stage_by_name_or_number_and_else_an_image() {
    let text = "FROM a AS One\nFROM b\nCOPY --from=ONE x y\nFROM scratch\nCOPY --from=1 x y\nCOPY --from=redis:7 x y\nCOPY --from=scratch x y";
    let found = built(text, None, &[], "linux/amd64");
    assert_eq!(found.stages, [0, 1, 2]);
    assert_eq!(bases(&found).len(), 3);
    assert!(bases(&found).contains(&"docker.io/library/redis:7 linux/amd64".to_owned()));
}

#[test]
fn a_name_given_twice_is_the_earlier_one_for_from_and_the_last_one_for_copies() {
    let text = "FROM a AS x\nFROM x AS x\nFROM x AS y\nCOPY --from=x 1 2";
    assert_eq!(built(text, None, &[], "linux/amd64").stages, [0, 1, 2]);
    let text = "FROM a AS x\nFROM b AS x\nFROM scratch\nCOPY --from=x 1 2";
    assert_eq!(bases(&built(text, None, &[], "linux/amd64")), ["docker.io/library/b linux/amd64"]);
}

#[test]
fn arguments_before_the_first_stage_fill_in_bases_and_platforms() {
    let text = "ARG V=3.12\nARG IMAGE=python:${V}-slim\nARG OTHER\nFROM --platform=$BUILDPLATFORM $IMAGE AS build\n\
                FROM --platform=linux/${TARGETARCH} ${OTHER:-alpine}\nCOPY --from=build a b";
    let found = built(text, None, &[], "linux/arm64");
    assert_eq!(
        bases(&found),
        ["docker.io/library/python:3.12-slim linux/amd64", "docker.io/library/alpine linux/arm64"]
    );
    let found = built(text, None, &[("V", "3.13"), ("OTHER", "busybox:1")], "linux/arm64");
    assert_eq!(
        bases(&found),
        ["docker.io/library/python:3.13-slim linux/amd64", "docker.io/library/busybox:1 linux/arm64"]
    );
}

#[test]
fn platforms_of_a_build_have_the_names_that_buildkit_gives_them() {
    let text = |name: &str| format!("FROM a/${{{name}}}");
    let value = |name: &str, platform: &str| {
        let found = bases(&built(&text(name), None, &[], platform)).remove(0);
        found.split([' ']).next().unwrap().trim_start_matches("docker.io/a/").to_owned()
    };
    assert_eq!(value("TARGETPLATFORM", "linux/arm/v7"), "linux/arm/v7");
    assert_eq!(value("TARGETPLATFORM", "linux/arm"), "linux/arm/v7");
    assert_eq!(value("TARGETVARIANT", "linux/arm"), "v7");
    assert_eq!(value("TARGETPLATFORM", "linux/arm64/v8"), "linux/arm64");
    assert_eq!(value("BUILDARCH", "linux/arm64"), "amd64");
    assert_eq!(value("TARGETSTAGE", "linux/arm64"), "default");
    let alone =
        |platform: &str| bases(&built(&format!("FROM --platform={platform} a"), None, &[], "linux/arm64"));
    assert_eq!(alone("arm64"), ["docker.io/library/a linux/arm64"]);
    assert_eq!(alone("linux"), ["docker.io/library/a linux/amd64"]);
}

#[test]
fn named_contexts_stand_in_for_images_and_stages_in_any_spelling() {
    let with = |text: &str, contexts: &[&str]| {
        let found = resolve(text, None, &[], contexts, "linux/amd64").0.unwrap();
        let used: Vec<_> = found.contexts.iter().map(|context| context.value.clone()).collect();
        (bases(&found), used, found.stages)
    };
    let text = "FROM alpine AS build\nCOPY --from=redis x y\nFROM build\nCOPY --from=docker.io/library/redis:latest x y";
    let (bases, used, _) = with(text, &["docker.io/library/alpine:latest", "redis"]);
    assert_eq!(
        (bases.as_slice(), used.as_slice()),
        (&[][..], &["docker.io/library/alpine:latest".to_owned(), "redis".to_owned()][..])
    );
    let (bases, used, stages) = with(text, &["build"]);
    assert_eq!(
        (bases, used, stages),
        (vec!["docker.io/library/redis:latest linux/amd64".to_owned()], vec!["build".to_owned()], vec![0, 1])
    );
    let names = [
        "alpine",
        "docker.io/library/alpine",
        "index.docker.io/alpine:latest",
        "acme/web:1",
        "ghcr.io/a/b",
        "Not A Ref",
    ];
    let expected = ["alpine", "alpine", "alpine", "acme/web:1", "ghcr.io/a/b", "Not A Ref"];
    assert_eq!(names.map(context_name), expected);
}

#[test]
fn what_is_set_of_the_configuration_is_that_of_the_chain_of_stages() {
    let text = "ARG PORT=80\nFROM a AS base\nARG UID=1000\nENV HOME=/h\nUSER $UID\nENTRYPOINT [\"x\"]\nEXPOSE 1\n\
                FROM base AS mid\nARG PORT\nEXPOSE $PORT/udp 9-10\nCMD y\nFROM mid\nENTRYPOINT []\nUSER $UNKNOWN:$HOME";
    let (found, sources) = resolve(text, Some("mid"), &[("UID", "65532")], &[], "linux/amd64");
    let effect = found.unwrap().effect;
    let user = effect.user.unwrap();
    assert_eq!((user.as_str(), sources.span(user.span)), ("65532", "$UID"));
    assert_eq!(effect.entrypoint.map(|span| sources.span(span)), Some("ENTRYPOINT [\"x\"]"));
    assert_eq!(effect.cmd.map(|span| sources.span(span)), Some("CMD y"));
    let ports: Vec<_> = effect.exposed.iter().map(|port| port.value.as_str()).collect();
    assert_eq!(ports, ["1", "80/udp", "9-10"]);
    let last = built(text, None, &[], "linux/amd64").effect;
    assert_eq!((last.user.unwrap().value.as_str(), last.entrypoint), ("$UNKNOWN:/h", None));
}

#[test]
fn what_needs_buildkit_is_told_with_its_place_and_whether_buildah_has_it() {
    let text = "# syntax=docker/dockerfile:1\nFROM a AS unused\nRUN <<EOF\nEOF\nFROM base\nRUN --mount=type=cache,target=/c x\n\
                RUN --mount=type=new x\nRUN --network=none --security=insecure x\nCOPY --chmod=755 --link --from=b --chown=1 x y\n\
                ADD --checksum=sha256:0 https://x/y /z\nADD https://github.com/a/b.git#main /c\nCOPY <<EOF /x\nEOF\nCOPY --link=false a b\nRUN x";
    let (found, sources) = resolve(text, None, &[], &["base"], "linux/amd64");
    let found: Vec<_> = found
        .unwrap()
        .features
        .iter()
        .map(|feature| (sources.span(feature.span).to_owned(), feature.kind.is_in_buildah()))
        .collect();
    let expected = [
        ("docker/dockerfile:1", true),
        ("base", true),
        ("--mount=type=cache,target=/c", true),
        ("--mount=type=new", false),
        ("--network=none", false),
        ("--security=insecure", false),
        ("--chmod=755", true),
        ("--link", false),
        ("--checksum=sha256:0", false),
        ("https://github.com/a/b.git#main", false),
        ("COPY <<EOF /x", false),
    ];
    assert_eq!(found, expected.map(|(place, has)| (place.to_owned(), has)));
    assert!(built("FROM a\nRUN x", None, &[], "linux/amd64").features.is_empty());
}

#[test]
fn what_a_stage_sets_aside_is_needed_by_those_that_start_from_it() {
    let text = "FROM a AS tools\nFROM b AS base\nONBUILD COPY --from=tools x y\nFROM base";
    assert_eq!(built(text, None, &[], "linux/amd64").stages, [0, 1, 2]);
    assert_eq!(built(text, Some("base"), &[], "linux/amd64").stages, [1]);
}
