//! Steps of targets: order, matrix, conditions, cleaning up, what they see.

use std::time::Duration;

use crate::plan::fixture::{World, edges, steps};
use crate::plan::{Action, CommandStep, Effect, PartValue, Plan, Step, Subject};

fn step<'a>(plan: &'a Plan, name: &str) -> &'a Step {
    plan.steps.iter().find(|step| step.id.to_string() == name).unwrap()
}

fn command<'a>(plan: &'a Plan, name: &str) -> &'a CommandStep {
    match &step(plan, name).action {
        Action::Command(command) => command,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_needed_comes_first_and_nothing_else_is_planned() {
    let mut world = World::new(
        r#"
        target "c" { needs "b" "a"; run "c"; }
        target "b" { needs "a"; run "b"; }
        target "a" { run "a"; }
        target "d" { run "d"; }
        "#,
    );
    let plan = world.plan(&["c"]);
    assert_eq!(steps(&plan), ["a", "b", "c"]);
    assert_eq!(edges(&plan), ["b <- a", "c <- a", "c <- b"]);
}

#[test]
fn groups_are_found_once_however_many_ways_lead_to_them() {
    const LAYERS: usize = 40;
    let groups = (0..LAYERS).flat_map(|layer| {
        let needs = match layer {
            0 => "\"leaf\"".to_owned(),
            _ => format!("\"a{0}\" \"b{0}\"", layer - 1),
        };
        ["a", "b"].map(|side| format!("target \"{side}{layer}\" {{ needs {needs}; }}\n"))
    });
    let text = format!(
        "target \"leaf\" {{ inputs \"in\"; outputs \"out\"; run \"x\"; }}\n{}\
         target \"top\" {{ needs \"a{1}\" \"b{1}\"; inputs \"in\"; outputs \"top\"; run \"x\"; }}\n",
        groups.collect::<String>(),
        LAYERS - 1
    );
    let mut world = World::new(&text);
    let plan = world.plan(&["top"]);
    assert_eq!(plan.groups_behind(step(&plan, "top")).len(), 2 * LAYERS);
    assert!(plan.groups_behind(step(&plan, "leaf")).is_empty());
}

#[test]
fn a_target_that_is_needed_is_all_its_combinations() {
    let mut world = World::new(
        r#"
        target "all" { needs "lint"; }
        target "one" { needs "lint[python=3.12]"; run "one"; }
        target "lint" { matrix { python "3.11" "3.12"; }; run "ruff $python"; inputs "src/**"; }
        "#,
    );
    let plan = world.plan(&["all", "one"]);
    assert_eq!(
        edges(&plan),
        ["all <- lint[python=3.11]", "all <- lint[python=3.12]", "one <- lint[python=3.12]"]
    );
    assert_eq!(command(&plan, "lint[python=3.12]").variables.set["python"], "3.12");
}

#[test]
fn a_need_names_the_combination_with_the_values_of_the_target_s_own_matrix() {
    let mut world = World::new(
        r#"
        target "unit" { matrix { python "3.11" "3.12"; }; run "pytest"; }
        target "report" { matrix { python "3.11" "3.12"; }; needs "unit[python={python}]"; run "report"; }
        "#,
    );
    assert_eq!(
        edges(&world.plan(&["report"])),
        ["report[python=3.11] <- unit[python=3.11]", "report[python=3.12] <- unit[python=3.12]"]
    );
}

#[test]
fn a_condition_that_does_not_hold_leaves_out_a_target_and_what_only_it_needs() {
    let text = r#"
        target "deploy" { needs "package"; when env="CI"; run "deploy"; finally "clean"; }
        target "package" { run "package"; }
        target "clean" { run "clean"; }
        target "notify" { needs "deploy"; run "notify"; }
    "#;
    let plan = World::new(text).plan(&["notify"]);
    assert_eq!(steps(&plan), ["deploy", "notify"]);
    assert_eq!(step(&plan, "deploy").action, Action::Skip("`CI` is not set".to_owned()));
    assert_eq!(edges(&plan), ["notify <- deploy"]);
    let plan = World::new(text).with_env("CI", "true").plan(&["notify"]);
    assert_eq!(edges(&plan), ["deploy <- package", "clean <. deploy", "notify <- deploy"]);
}

#[test]
fn conditions_are_told_by_what_does_not_hold() {
    let reason = |when: &str| {
        let text = format!("target \"a\" {{ when {when}; run \"a\"; }}");
        match &World::new(&text).with_env("CI", "true").plan(&["a"]).steps[0].action {
            Action::Skip(reason) => reason.clone(),
            _ => "runs".to_owned(),
        }
    };
    let cases = [
        ("env=\"CI\"", "runs"),
        ("env=\"CI=true\"", "runs"),
        ("env=\"CI=false\"", "`CI` is not `false`"),
        ("os=\"linux\"", "runs"),
        ("os=\"macos\"", "this is linux, not macos"),
        ("branch=\"ma*\"", "runs"),
        ("branch=\"develop\"", "the branch is main, not develop"),
    ];
    for (when, expected) in cases {
        assert_eq!(reason(when), expected, "{when}");
    }
}

#[test]
fn what_cleans_up_runs_after_all_that_name_it() {
    let mut world = World::new(
        r#"
        target "up" { run "up"; }
        target "a" { needs "up"; run "a"; finally "down"; }
        target "b" { needs "up"; run "b"; finally "down"; }
        target "down" { run "down"; }
        "#,
    );
    assert_eq!(edges(&world.plan(&["a", "b"])), ["a <- up", "b <- up", "down <. a", "down <. b"]);
    assert_eq!(steps(&world.plan(&["down"])), ["down"]);
}

#[test]
fn what_cleans_up_may_need_what_it_cleans_up_after() {
    let mut world = World::new(
        r#"
        target "up" { run "up"; finally "down"; }
        target "down" { needs "up"; run "down"; }
        "#,
    );
    assert_eq!(edges(&world.plan(&["up"])), ["down <- up", "down <. up"]);
}

#[test]
fn a_command_has_all_that_it_needs() {
    let mut world = World::new(
        r#"
        settings { shell "bash" "-c"; timeout "30m"; }
        pool "db" 2
        var "python" "3.12"
        var "unused" "x"
        target "a" {
            dir "services/api"
            env CACHE=".cache/{python}"
            pass-env "TOKEN"
            run "echo $python"
            run "printf" "{python}"
            inputs "**/*.py"
            outputs "out/**"
            tool "ruff --version"
            pool "db"
            retries 2
        }
        "#,
    );
    let plan = world.plan(&["a"]);
    let (step, command) = (step(&plan, "a"), command(&plan, "a"));
    let argvs: Vec<&[String]> = command.commands.iter().map(|exec| exec.argv.as_slice()).collect();
    assert_eq!(argvs, [["bash", "-c", "echo $python"].as_slice(), &["printf", "3.12"]]);
    assert_eq!(command.dir.to_string(), "services/api");
    let set: Vec<(&str, &str)> =
        command.variables.set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(set, [("python", "3.12"), ("CACHE", ".cache/3.12")]);
    assert_eq!(command.variables.pass, ["TOKEN"]);
    assert!(!command.variables.inherit);
    assert_eq!((command.timeout, command.retries), (Some(Duration::from_mins(30)), 2));
    assert_eq!(step.pool, Some(("db".to_owned(), 2)));
    assert_eq!(step.effect, Effect::Cacheable);
    let parts: Vec<(String, String)> = step
        .definition
        .parts
        .iter()
        .map(|part| {
            let value = match &part.value {
                PartValue::Text(text) => text.clone(),
                PartValue::Digest(_) => "digest".to_owned(),
            };
            (format!("{:?}", part.subject), value)
        })
        .collect();
    let part =
        |subject: &str| parts.iter().find(|(name, _)| name == subject).map(|(_, value)| value.as_str());
    assert_eq!(part("Command(0)"), Some("bash\0-c\0echo $python"));
    assert_eq!(part("Command(1)"), Some("printf\x003.12"));
    assert_eq!(part("Directory"), Some("services/api"));
    assert_eq!(part("Variable(\"CACHE\")"), Some(".cache/3.12"));
    assert_eq!(part("Tool(\"ruff --version\")"), Some("1.0"));
    assert_eq!(part("Output(0)"), Some("services/api/out/**"));
    assert_eq!(parts.iter().filter(|(name, _)| name.starts_with("Input(")).count(), 1);
    assert_eq!(part("Variable(\"unused\")"), None);
}

#[test]
fn a_target_without_inputs_always_runs_in_the_callers_environment() {
    let plan = World::new("target \"a\" { run \"a\"; }").plan(&["a"]);
    assert_eq!(plan.steps[0].effect, Effect::Always);
    assert!(command(&plan, "a").variables.inherit);
}

#[test]
fn the_commit_is_part_of_a_key_only_where_a_script_names_it() {
    let text = r#"
        target "a" { run "echo $HOIST_SHA"; inputs "x"; }
        target "b" { run "echo"; inputs "x"; }
    "#;
    let keys = |sha: &str| {
        let mut world = World::new(text);
        world.facts.git.as_mut().unwrap().sha = sha.to_owned();
        let plan = world.plan(&["a", "b"]);
        (step(&plan, "a").definition.clone(), step(&plan, "b").definition.clone())
    };
    let (one, other) = (keys(&"1".repeat(40)), keys(&"2".repeat(40)));
    assert_ne!(one.0, other.0);
    assert_eq!(one.1, other.1);
}

#[test]
fn a_value_of_a_dotenv_file_is_in_a_key_as_its_digest() {
    let mut world = World::new("target \"a\" { env TOKEN=\"{env.SECRET}\"; run \"x\"; inputs \"y\"; }");
    world.facts.environment.set_default("SECRET", "hunter2");
    world.facts.dotenv = vec!["SECRET".to_owned()];
    let plan = world.plan(&["a"]);
    let parts = &step(&plan, "a").definition.parts;
    let token = parts.iter().find(|part| part.subject == Subject::Variable("TOKEN".to_owned())).unwrap();
    assert!(matches!(token.value, PartValue::Digest(_)));
    assert!(!format!("{parts:?}").contains("hunter2"));
}

#[test]
fn the_same_tool_is_asked_for_once() {
    let mut world = World::new(
        "target \"a\" { tool \"cc --version\"; run \"a\"; inputs \"x\"; }\ntarget \"b\" { tool \"cc --version\"; run \"b\"; inputs \"y\"; }",
    );
    let selection = world.select(&["a", "b"]).unwrap();
    assert_eq!((selection.needs.tools.len(), selection.needs.inputs.len()), (1, 2));
    let mut world = World::new(
        "target \"a\" { tool \"cc --version\"; run \"a\"; inputs \"x\"; }\ntarget \"b\" { tool \"cc --version\"; env CC=\"clang\"; run \"b\"; inputs \"y\"; }",
    );
    assert_eq!(world.select(&["a", "b"]).unwrap().needs.tools.len(), 2);
}

#[test]
fn of_a_cycle_that_nobody_reads_to_its_end_the_middle_is_left_out() {
    let target = |at: usize| format!("target \"t{at}\" {{ needs \"t{}\"; run \"x\"; }}\n", (at + 1) % 200);
    let mut world = World::new(&(0..200).map(target).collect::<String>());
    let problems = world.problems(&["t0"]);
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.contains("`t10` needs … (188 more) … needs `t199` needs `t0` ["), "{problem}");
    assert_eq!(problem.matches("needs").count(), 13 + 12, "{problem}");
}

#[test]
fn a_cycle_is_told_whole_with_every_place_that_makes_it() {
    let mut world = World::new(
        r#"
        target "a" { needs "b"; run "a"; }
        target "b" { needs "c"; run "b"; }
        target "c" { run "c"; inputs "dist/**"; }
        target "d" { needs "a"; run "d"; outputs "dist/d"; }
        target "self" { needs "self"; run "x"; }
        "#,
    );
    assert_eq!(
        world.problems(&["a", "self"]),
        [
            "steps need each other: `a` needs `b` needs `c` needs `d` needs `a` [\"b\": `a` needs `b`; \"c\": `b` needs `c`; \"dist/**\": `c` reads what `d` makes; \"dist/d\": made by `d`; \"a\": `d` needs `a`] (remove one of these)",
            "`self` needs itself [\"self\": `self` needs `self`] (remove one of these)",
        ]
    );
}
