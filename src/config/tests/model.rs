//! What documents mean.

use crate::config::grammar::walk;
use crate::config::tests::{problems, release, release_of};

#[test]
fn every_example_of_the_language_decodes() {
    let examples = walk().into_iter().map(|(_, form)| form.example).filter(|example| !example.is_empty());
    assert_eq!(examples.map(release).filter(|release| release.project == "directory").count(), 11);
}

#[test]
fn names_of_an_included_file_have_its_prefix_and_are_found_without_it() {
    let root = r#"
        var "python" "3.12"
        registry "main" "ghcr.io/acme"
        target "lint" { needs "api/lint"; run "true"; }
    "#;
    let api = r#"
        var "own" "{python}"
        target "lint" { needs "unit"; run "echo" "{own}"; }
        target "unit" { run "pytest"; inputs "src/**"; }
        image "web" { dockerfile; push "main"; }
    "#;
    let release = release_of(&[("release.kdl", "", root), ("services/api/release.kdl", "api", api)]);
    assert_eq!(release.targets.keys().collect::<Vec<_>>(), ["lint", "api/lint", "api/unit"]);
    let lint = &release.targets["api/lint"];
    assert_eq!(lint.needs[0].value, "api/unit");
    let inputs = release.targets["api/unit"].inputs.as_ref().unwrap();
    assert_eq!(inputs[0].glob.value, "services/api/src/**");
    assert_eq!(release.images["api/web"].push[0].registry.value, "main");
    assert_eq!(release.vars["api/own"].value.as_ref().unwrap().to_string(), "{python}");
}

#[test]
fn all_problems_of_a_file_come_at_once_in_its_order() {
    let text = "targt \"a\"\ntarget \"b\" abuot=\"x\" {\n    timeout 10\n}\n";
    let expected = "\
hoist::config::unknown_node: there is no node `targt`
  1:1 `targt` not a node of a release.kdl
  help: did you mean `target`?
hoist::config::unknown_property: `target` has no property `abuot`
  2:12 `abuot` unknown property
  help: did you mean `about`?
hoist::config::wrong_type: the duration of `timeout` must be a string
  3:13 `10` this is a number
  help: write `\"10\"`
";
    assert_eq!(problems(text), expected);
}
