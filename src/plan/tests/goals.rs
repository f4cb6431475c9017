//! Names on the command line to steps.

use crate::plan::Goals;
use crate::plan::fixture::{World, steps};

const FILE: &str = r#"
default "lint" "web"
target "generate" { run "make generate"; private; }
target "lint" {
    needs "generate"
    matrix { python "3.11" "3.12"; os "a" "b"; }
    run "ruff"
}
target "docs" { run "mkdocs"; }
image "web" {
    platforms "linux/amd64" "linux/arm64"
    assemble from="scratch" { layer { copy "web" "/web"; }; }
    test "help" { run "/web" "--help"; }
    tags { raw "dev"; }
    push "ghcr"
}
image "tools" {
    platforms "linux/amd64"
    assemble from="scratch" { layer { copy "tools" "/tools"; }; }
}
registry "ghcr" "ghcr.io/acme"
registry "ecr" "ecr.example.com"
"#;

/// The steps that names stand for, without what those need.
fn named(names: &[&str]) -> Vec<String> {
    let mut world = World::new(FILE);
    let goals = world.typed(names);
    world.try_plan(&goals).map_or_else(
        |_| world.problems(names),
        |plan| plan.steps.iter().filter(|step| step.goal).map(|step| step.id.to_string()).collect(),
    )
}

#[test]
fn a_name_stands_for_steps() {
    let web = ["web:build@linux/amd64", "web:build@linux/arm64", "web:index"];
    let cases: &[(&[&str], &[&str])] = &[
        (&["docs"], &["docs"]),
        (
            &["lint"],
            &[
                "lint[python=3.11,os=a]",
                "lint[python=3.11,os=b]",
                "lint[python=3.12,os=a]",
                "lint[python=3.12,os=b]",
            ],
        ),
        (&["lint[python=3.11]"], &["lint[python=3.11,os=a]", "lint[python=3.11,os=b]"]),
        (&["lint[os=b,python=3.12]"], &["lint[python=3.12,os=b]"]),
        (&["lint[python=*,os=a]"], &["lint[python=3.11,os=a]", "lint[python=3.12,os=a]"]),
        (&["web"], &web),
        (&["web:build"], &web),
        (&["web:build@linux/arm64"], &["web:build@linux/arm64"]),
        (&["web:build@*/arm64"], &["web:build@linux/arm64"]),
        (&["web:push"], &["web:push@ghcr"]),
        (
            &["web:*"],
            &[
                "web:build@linux/amd64",
                "web:build@linux/arm64",
                "web:index",
                "web:test",
                "web:push@ghcr",
                "web:tag@ghcr",
            ],
        ),
        (&["d*"], &["docs"]),
        (&["*:test"], &["web:test"]),
        (
            &["build"],
            &[
                "web:build@linux/amd64",
                "web:build@linux/arm64",
                "web:index",
                "tools:build@linux/amd64",
                "tools:index",
            ],
        ),
        (&["test"], &["web:test"]),
        (&["push"], &["web:push@ghcr", "web:tag@ghcr"]),
        (&["docs", "web:test"], &["docs", "web:test"]),
    ];
    for (names, expected) in cases {
        let mut steps = named(names);
        let mut expected: Vec<String> = expected.iter().map(|step| (*step).to_owned()).collect();
        steps.sort();
        expected.sort();
        assert_eq!(steps, expected, "{names:?}");
    }
}

#[test]
fn a_name_that_nothing_has_is_told_with_what_was_meant() {
    let cases: &[(&str, &str)] = &[
        ("lnit", "no target, image, or step is called `lnit` [lnit] (did you mean `lint`?)"),
        (
            "generate",
            "`generate` is private [generate: named here; \"generate\": declared here] (name a target that needs it, or remove `private`)",
        ),
        ("web:tset", "`web` has no step `web:tset` [web:tset] (did you mean `web:test`?)"),
        (
            "web:push@gchr",
            "`web` has no step `web:push@gchr` [web:push@gchr] (did you mean `web:push@ghcr`?)",
        ),
        (
            "lint[python=3.13]",
            "`lint` has no step `lint[python=3.13]` [lint[python=3.13]] (did you mean `lint[python=3.11,os=a]`?)",
        ),
        (
            "tools:test",
            "`tools` has no step `tools:test` [tools:test] (its steps are `tools:build@linux/amd64`, `tools:index`)",
        ),
        ("relase", "no target, image, or step is called `relase` [relase] (did you mean `release`?)"),
        ("x*", "nothing matches `x*` [x*] (`hoist` lists what there is)"),
        (
            "scan",
            "there is nothing to scan: no image declares a `scan` [scan] (declare it, or declare a `target \"scan\"`)",
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(named(&[name]), [(*expected).to_owned()]);
    }
}

#[test]
fn all_wrong_names_are_told_at_once() {
    assert_eq!(named(&["lnit", "docs", "wbe"]).len(), 2);
}

#[test]
fn a_target_takes_the_name_of_a_goal() {
    let mut world =
        World::new("target \"build\" { run \"make\"; }\nimage \"web\" { assemble from=\"scratch\"; }");
    assert_eq!(steps(&world.plan(&["build"])), ["build"]);
}

#[test]
fn the_default_may_be_a_glob_of_steps() {
    let text = FILE.replace("default \"lint\" \"web\"", "default \"web:build@*\" \"lint[python=3.*,os=a]\"");
    let plan = World::new(&text).try_plan(&Goals::Default).unwrap();
    let named = plan.steps.iter().filter(|step| step.goal).map(|step| step.id.to_string());
    let expected = [
        "lint[python=3.11,os=a]",
        "lint[python=3.12,os=a]",
        "web:build@linux/amd64",
        "web:build@linux/arm64",
    ];
    assert_eq!(named.collect::<Vec<_>>(), expected);
}

#[test]
fn the_default_is_what_the_file_names() {
    let mut world =
        World::new("default \"b\"\ntarget \"a\" { run \"a\"; }\ntarget \"b\" { run \"b\"; private; }");
    let plan = world.try_plan(&Goals::Default).unwrap();
    assert_eq!(steps(&plan), ["b"]);
    let mut world = World::new("target \"a\" { run \"a\"; }");
    let result = world.try_plan(&Goals::Default).map(|plan| steps(&plan));
    let expected = "nothing is named to run, and the file has no `default` [] (type `hoist run a`, or write `default \"a\"` into the file)";
    assert_eq!(world.told(result), [expected]);
}

#[test]
fn everything_is_every_step_of_the_file() {
    let mut world = World::new(FILE);
    let plan = world.try_plan(&Goals::All).unwrap();
    let names = steps(&plan);
    for step in ["generate", "docs", "tools:index", "web:tag@ghcr"] {
        assert!(names.iter().any(|name| name == step), "{step} in {names:?}");
    }
}
