//! Pictures of plans, and plans as JSON.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::plan::fixture::World;
use crate::plan::{dot, json, mermaid, svg};

const FILE: &str = r#"
target "gen" { run "gen"; inputs "proto/**"; outputs "src/gen/**"; }
target "lint" { needs "gen"; matrix { python "3.11" "3.12"; }; run "ruff $python"; inputs "src/**"; finally "clean"; }
target "clean" { run "clean"; }
image "web" { needs "lint"; platforms "linux/amd64"; assemble from="scratch"; tags { raw "dev"; }; }
"#;

#[test]
fn a_plan_is_drawn_for_graphviz_without_what_other_edges_say() {
    let mut world = World::new(
        "target \"a\" { run \"a\"; }\ntarget \"b\" { needs \"a\"; run \"b\"; }\ntarget \"c\" { needs \"a\" \"b\"; run \"c\"; }",
    );
    let expected = r##"digraph plan {
  rankdir=LR;
  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11, margin="0.16,0.08"];
  edge [color="#8a8f98", arrowsize=0.7];
  n0 [label="a", tooltip="a: runs each time", fillcolor="#eef2f9", color="#5b7bb4", fontcolor="#1d2b45"];
  n1 [label="b", tooltip="b: runs each time", fillcolor="#eef2f9", color="#5b7bb4", fontcolor="#1d2b45"];
  n2 [label="c", tooltip="c: runs each time", fillcolor="#eef2f9", color="#5b7bb4", fontcolor="#1d2b45", penwidth=2];
  n0 -> n1 [style=solid];
  n1 -> n2 [style=solid];
}
"##;
    assert_eq!(dot(&world.plan(&["c"])), expected);
}

#[test]
fn a_plan_is_drawn_for_markdown() {
    let expected = r#"flowchart LR
  n0("gen"):::target
  n1("lint<br/>python=3.11"):::target
  n2("lint<br/>python=3.12"):::target
  n3("clean"):::target
  n0 --> n1
  n0 --> n2
  n1 -. ends .-> n3
  n2 -. ends .-> n3
  classDef target fill:#eef2f9,stroke:#5b7bb4,color:#1d2b45
  style n1 stroke-width:2px
  style n2 stroke-width:2px
"#;
    assert_eq!(mermaid(&World::new(FILE).plan(&["lint"])), expected);
}

#[test]
fn many_needs_of_the_same_many_are_tied_in_one_knot() {
    let mut world = World::new(
        r#"
        target "a" { matrix { x "1" "2" "3"; }; run "a"; }
        target "b" { needs "a"; matrix { y "1" "2" "3"; }; run "b"; }
        "#,
    );
    let drawn = dot(&world.plan(&["b"]));
    assert_eq!(drawn.matches(" -> ").count(), 6);
    assert_eq!(drawn.matches("shape=point").count(), 1);
}

#[test]
fn a_plan_is_drawn_as_an_image_with_a_title_for_each_step() {
    let image = svg(&World::new(FILE).plan(&["web", "clean"]));
    assert!(image.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    assert_eq!(image.matches("<g").count(), image.matches("</g>").count());
    for title in ["<title>gen\nruns when", "<title>lint[python=3.12]\n", "<title>web:build@linux/amd64\n"] {
        assert!(image.contains(title), "{title} in {image}");
    }
    assert!(image.contains("prefers-color-scheme: dark"));
    assert_eq!(svg(&World::new(FILE).plan(&["gen"])).matches("class=\"name\"").count(), 1);
}

#[test]
fn hostile_names_stay_texts() {
    let name = "a&<b>'";
    let image = svg(&World::new("target \"a&<b>\" { run \"x\"; }").plan(&["a&<b>"]));
    assert!(image.contains("a&amp;&lt;b&gt;") && !image.contains(name));
    let chart = mermaid(&World::new("target \"a&<b>\" { run \"x\"; }").plan(&["a&<b>"]));
    assert!(chart.contains("a#38;#60;b#62;"));
}

#[test]
fn a_plan_is_told_to_programs() {
    let mut world = World::new(FILE);
    let plan = world.plan(&["lint[python=3.11]"]);
    let told = json(&plan, &world.sources);
    assert_eq!(told["version"], 1);
    assert_eq!(told["steps"][1]["step"], "lint[python=3.11]");
    assert_eq!(told["steps"][1]["action"], "command");
    assert_eq!(told["steps"][1]["needs"], serde_json::json!([{ "step": "gen", "kind": "product" }]));
    assert_eq!(
        told["steps"][1]["declared"],
        serde_json::json!({ "file": "release.kdl", "line": 3, "column": 8 })
    );
}

/// Whether a value keeps to a schema, as far as the schemas of hoist go: types,
/// properties, required ones, items, constants, enumerations, alternatives.
fn misfits(schema: &Value, root: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let schema = root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name}"));
        return misfits(schema, root, value, at, found);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| {
            let mut found = Vec::new();
            misfits(choice, root, value, at, &mut found);
            found.is_empty()
        };
        if choices.iter().filter(fits).count() != 1 {
            found.push(format!("{at}: fits not one of the alternatives: {value}"));
        }
        return;
    }
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    let types =
        schema["type"].as_array().map_or_else(|| vec![&schema["type"]], |types| types.iter().collect());
    if !types.iter().filter_map(|name| name.as_str()).any(is) && !schema["type"].is_null() {
        found.push(format!("{at}: is not {}", schema["type"]));
    }
    let allowed = schema["enum"].as_array().is_none_or(|choices| choices.contains(value));
    if !allowed || !(schema["const"].is_null() || schema["const"] == *value) {
        found.push(format!("{at}: is {value}"));
    }
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        misfits(&schema["items"], root, item, &format!("{at}/{number}"), found);
    }
    let Some(object) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            found.push(format!("{at}: lacks {name}"));
        }
    }
    for (name, value) in object {
        match &schema["properties"][name.as_str()] {
            Value::Null => found.push(format!("{at}: has {name}")),
            schema => misfits(schema, root, value, &format!("{at}/{name}"), found),
        }
    }
}

#[test]
fn what_is_told_keeps_to_the_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../../schema/plan.schema.json")).unwrap();
    let all = r#"
        registry "ghcr" "ghcr.io/acme"
        pool "db" 1
        cache { remote "grpcs://cache.example.com"; }
        target "none" { when os="macos"; run "x"; }
        target "group" { needs "none" "run"; }
        target "run" { run "x"; inputs "a"; outputs "b" "!c"; pool "db"; tool "cc --version"; env A="b"; finally "group2"; }
        target "group2" { needs "none"; }
        image "web" {
            platforms "linux/amd64" "linux/arm64"
            assemble from="scratch" { layer { copy "x" "/x"; }; entrypoint "/x"; }
            tags { raw "dev"; sha; }
            budget size="1MB"
            test "t" { run "/x"; }
            scan "trivy" fail-on="high"
            scan "own" format="sarif" { run "scan $HOIST_LAYOUT > $HOIST_REPORT"; }
            push "ghcr"
        }
    "#;
    let mut world = World::new(all);
    let plan = world.plan(&["group", "run", "web:*"]);
    let told = json(&plan, &world.sources);
    let mut found = Vec::new();
    misfits(&schema, &schema, &told, "", &mut found);
    assert_eq!(found, Vec::<String>::new());
    let actions: BTreeSet<&str> =
        told["steps"].as_array().unwrap().iter().filter_map(|step| step["action"].as_str()).collect();
    let every = ["assemble", "budget", "command", "group", "index", "push", "scan", "skip", "tag", "test"];
    assert_eq!(actions.into_iter().collect::<Vec<_>>(), every);
}
