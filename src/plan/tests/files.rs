//! Outputs of targets that others read, or write as well.

use crate::facts::Links;
use crate::plan::fixture::{World, edges};
use crate::plan::{Effect, Plan, places_of};

#[test]
fn reading_what_another_target_makes_is_needing_it() {
    let mut world = World::new(
        r#"
        target "gen" { run "gen"; inputs "proto/**"; outputs "src/gen/**" "!src/gen/keep"; }
        target "all" { run "x"; inputs "src/**/*.py"; }
        target "kept" { run "x"; inputs "src/gen/keep"; }
        target "none" { run "x"; inputs "src/**/*.py" "!src/gen/**"; }
        target "inplace" { run "fmt"; inputs "own/**"; outputs "own/**"; }
        "#,
    );
    assert_eq!(edges(&world.plan(&["all", "kept", "none", "inplace"])), ["all <- gen"]);
    let selection = world.select(&["all"]).unwrap();
    let generated =
        selection.needs.inputs.iter().map(|query| {
            query.generated.iter().map(|pattern| pattern.glob.value.as_str()).collect::<Vec<_>>()
        });
    assert_eq!(generated.collect::<Vec<_>>(), [vec![], vec!["src/gen/**", "src/gen/keep"]]);
}

#[test]
fn what_a_wildcard_matches_is_made_and_copied_with_all_that_it_holds() {
    let mut world = World::new(
        r#"
        target "site" { run "x"; inputs "src/**"; outputs "dist/*" "!dist/private*"; }
        target "deep" { run "x"; inputs "dist/js/*.js"; }
        target "private" { run "x"; inputs "dist/private/a.js"; }
        target "lib" { run "x"; inputs "src/**"; outputs "lib/one/lib.so"; }
        image "web" { assemble from="scratch" { layer { copy "lib/*" "/lib/"; }; }; }
        "#,
    );
    let edges = edges(&world.plan(&["deep", "private", "web:build"]));
    assert_eq!(edges[..2], ["deep <- site", "web:build@linux/amd64 <- lib"]);
}

#[test]
fn each_combination_of_a_matrix_makes_its_own_files() {
    let mut world = World::new(
        r#"
        target "compile" { matrix { arch "amd64" "arm64"; }; run "cc $arch"; inputs "src/**"; outputs "dist/{arch}/web"; }
        target "strip" { run "strip"; inputs "dist/arm64/web"; }
        image "web" {
            platforms "linux/amd64" "linux/arm64"
            assemble from="scratch" { layer { copy "dist/{platform.arch}/web" "/web"; }; }
        }
        "#,
    );
    assert_eq!(
        edges(&world.plan(&["strip", "web"])),
        [
            "strip <- compile[arch=arm64]",
            "web:build@linux/amd64 <- compile[arch=amd64]",
            "web:build@linux/arm64 <- compile[arch=arm64]",
            "web:index <- web:build@linux/amd64",
            "web:index <- web:build@linux/arm64",
        ]
    );
}

#[test]
fn two_targets_that_make_the_same_files_are_refused_at_both_places() {
    let mut world = World::new(
        r#"
        target "a" { run "a"; outputs "dist"; }
        target "b" { run "b"; outputs "dist/b/*.js" "other/x"; }
        target "c" { run "c"; outputs "site/**" "!site/private/**"; }
        target "d" { run "d"; outputs "site/private/d"; }
        target "m" { matrix { x "1" "2"; }; run "m $x"; outputs "m/out"; }
        target "n" { run "n"; }
        "#,
    );
    assert_eq!(
        world.problems(&["n"]),
        [
            "`a` and `b` make the same files [\"dist/b/*.js\": `dist/b/*.js` of `b`; \"dist\": `dist` of `a`] (let each path be an output of one target)",
            "`m[x=1]` and `m[x=2]` make the same files [\"m/out\": `m/out` of `m[x=2]`] (put the values of the matrix into the path)",
        ]
    );
}

#[test]
fn of_two_targets_that_make_the_same_files_one_may_be_left_out_by_a_condition() {
    let mut world = World::new(
        r#"
        target "on-linux" { when os="linux"; run "a"; outputs "dist/web"; }
        target "on-macos" { when os="macos"; run "b"; outputs "dist/web"; }
        target "use" { run "c"; inputs "dist/web"; }
        "#,
    );
    let plan = world.plan(&["use"]);
    assert_eq!(edges(&plan), ["use <- on-linux", "use <- on-macos"]);
    let effect = |plan: &Plan| plan.steps.iter().find(|step| step.id.owner == "use").unwrap().effect;
    assert_eq!(effect(&plan), Effect::Cacheable);
    let mut world = World::new(
        r#"
        target "on-linux" { when os="linux"; run "a"; outputs "dist/web"; }
        target "on-macos" { when os="macos"; run "b"; outputs "dist/*"; }
        target "use" { run "c"; inputs "dist/web"; }
        "#,
    );
    // What the one would have made is not known.
    assert_eq!(effect(&world.plan(&["use"])), Effect::Always);
}

#[test]
fn a_file_has_nothing_in_it_that_a_wildcard_could_match() {
    let mut world = World::new(
        r#"
        target "list" { run "x"; inputs "src/**/*.c"; outputs "src/f.txt"; }
        target "object" { run "x"; inputs "src/**/*.c" "src/f.txt"; outputs "src/a.o" "src/*.d"; }
        target "bundle" { run "x"; inputs "web/**"; outputs "dist/web" "dist/web.v1" "dist/App.app/" "dist/deb.d"; }
        target "scripts" { run "x"; inputs "dist/web/**/*.js"; }
        target "any" { run "x"; inputs "dist/**/*.css"; }
        target "app" { run "x"; inputs "dist/App*/**/*.plist"; }
        target "named" { run "x"; inputs "dist/deb.d/*.conf"; }
        target "none" { run "x"; inputs "dist/deb*/*.conf"; }
        "#,
    );
    assert_eq!(
        edges(&world.plan(&["object", "scripts", "any", "app", "named", "none"])),
        ["object <- list", "scripts <- bundle", "any <- bundle", "app <- bundle", "named <- bundle"]
    );
}

#[test]
fn files_beside_each_other_are_no_overlap_of_a_pattern_for_other_files() {
    let mut world = World::new(
        r#"
        target "a" { run "x"; outputs "dist/**/*.js"; }
        target "b" { run "x"; outputs "dist/index.html"; }
        "#,
    );
    assert_eq!(edges(&world.plan(&["a", "b"])), <[&str; 0]>::default());
}

#[test]
fn a_cycle_through_what_may_be_a_directory_says_so() {
    let mut world = World::new(
        r#"
        target "app" { run "x"; inputs "src/**/*.c"; outputs "src/app"; }
        target "tests" { run "x"; inputs "src/**/*.c"; outputs "src/tests"; }
        "#,
    );
    assert_eq!(
        world.problems(&["app"]),
        [
            "steps need each other: `app` needs `tests` needs `app` [\"src/**/*.c\": `app` reads what `tests` makes; \"src/tests\": may be a directory that `tests` makes; \"src/**/*.c\": `tests` reads what `app` makes; \"src/app\": may be a directory that `app` makes] (if what may be a directory is a file, take it out of the inputs: `\"!PATH\"`)",
        ]
    );
}

/// The project's links: `out` is one to `real`.
fn linked(mut world: World) -> World {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", directory.path().join("out")).unwrap();
    world.links = Links::read(directory.path(), &places_of(&world.release));
    world
}

#[test]
fn what_is_made_and_read_through_a_link_is_the_place_that_it_leads_to() {
    let mut world = linked(World::new(
        r#"
        target "gen" { run "gen"; inputs "src"; outputs "out/x.txt"; }
        target "all" { run "x"; inputs "real/**"; }
        target "one" { run "x"; inputs "out/x.txt"; }
        target "deep" { run "gen"; inputs "src"; outputs "real/deep/"; }
        target "glob" { run "x"; inputs "out/**" "!out/deep"; }
        image "web" { assemble from="scratch" { layer { copy "real/x.txt" "/x"; }; }; }
        "#,
    ));
    assert_eq!(
        edges(&world.plan(&["all", "one", "glob", "web:build"]))[..5],
        ["one <- gen", "all <- gen", "all <- deep", "glob <- gen", "web:build@linux/amd64 <- gen"]
    );
    let selection = world.select(&["all"]).unwrap();
    assert!(selection.needs.inputs.iter().any(|query| query.generated.len() == 2));
}

#[test]
fn outputs_that_meet_behind_a_link_are_refused() {
    let mut world = linked(World::new(
        r#"
        target "a" { run "a"; outputs "out/x.txt"; }
        target "b" { run "b"; outputs "real/*"; }
        "#,
    ));
    let told = "`a` and `b` make the same files [\"real/*\": `real/*` of `b`; \"out/x.txt\": `real/x.txt` of `a`] \
                (let each path be an output of one target)";
    assert_eq!(world.problems(&["a"]), [told]);
    let goals = world.typed(&["a"]);
    let problems = world.try_plan(&goals).unwrap_err();
    assert_eq!(problems.as_slice()[0].notes, ["`out` is a link to `real`"]);
}

#[test]
fn a_link_in_the_place_of_an_output_leads_nowhere() {
    let mut world = World::new(
        r#"
        target "gen" { run "gen"; inputs "src"; outputs "out"; }
        target "use" { run "x"; inputs "out"; }
        target "other" { run "x"; inputs "src"; outputs "real/x.txt"; }
        "#,
    );
    world = linked(world);
    assert_eq!(edges(&world.plan(&["use", "other"])), ["use <- gen"]);
}
