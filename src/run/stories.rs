//! Whole runs, from a plan to what was told of it.

use rustix::process::Signal;

use crate::diagnostic::Code;
use crate::plan::{Action, Gap, Need, NeedKind, StepIndex};
use crate::run::fixture::Project;
use crate::run::{Counts, Happening, events, recorded};

#[test]
fn a_step_runs_once_and_is_then_present() {
    let mut project = Project::new();
    project.cached("gen", "echo making; echo 1 > made", &[], "a", &["made"]);
    let first = project.run();
    assert_eq!(first.lines(), ["gen starts: never ran here", "gen > making", "gen: ran", "done 0"]);
    let second = project.run();
    assert_eq!(second.lines(), ["gen > making (replayed)", "gen: cached, Present", "done 0"]);
    assert_eq!(second.summary.counts, Counts { cached: 1, ..Counts::default() });
}

#[test]
fn a_removed_output_is_restored() {
    let mut project = Project::new();
    project.cached("gen", "echo 1 > made", &[], "a", &["made"]);
    project.run();
    std::fs::remove_file(project.root().join("made")).unwrap();
    assert_eq!(project.run().lines(), ["gen: cached, Restored", "done 0"]);
    assert_eq!(project.read("made").as_deref(), Some("1\n"));
}

#[test]
fn an_unchanged_output_stops_the_rebuild() {
    let mut project = Project::new();
    let mut run = |reads: &str| {
        project.plan.steps.clear();
        project.cached("gen", "echo 1 > made", &[], reads, &["made"]);
        project.cached("use", "cat made", &[0], "", &[]);
        project.run().lines()
    };
    run("a");
    let lines = [
        "gen starts: variable READS: a → b",
        "gen: ran",
        "use > 1 (replayed)",
        "use: cached, Present",
        "done 0",
    ];
    assert_eq!(run("b"), lines);
}

#[test]
fn an_output_that_is_not_made_fails_the_step_and_what_needs_it() {
    let mut project = Project::new();
    project.cached("gen", "true", &[], "a", &["made"]);
    project.cached("use", "true", &[0], "", &[]);
    let told = project.run();
    assert_eq!(told.summary.problems.as_slice()[0].code, Code::OutputNotMade);
    assert_eq!(told.ends()[1], "use: not run, it needs `gen`, which did not succeed");
    assert_eq!(told.summary.exit_code(), 1);
}

#[test]
fn a_failed_step_is_not_recorded_and_runs_again() {
    let mut project = Project::new();
    project.cached("check", "echo broken >&2; exit 3", &[], "a", &[]);
    let lines = |why: &str| {
        let starts = format!("check starts: {why}");
        [&*starts, "check ! broken", "check: `check` failed, exit status 3", "failed 1"].map(str::to_owned)
    };
    assert_eq!(project.run().lines(), lines("never ran here"));
    assert_eq!(project.run().lines(), lines("failed the last time"));
}

#[test]
fn the_first_failure_ends_the_run_unless_it_is_to_keep_going() {
    let mut project = Project::new();
    project.target("a", "false", &[]);
    project.target("b", "true", &[]);
    let ends = ["a: `a` failed, exit status 1", "b: not run, `a` failed"];
    assert_eq!(project.run().ends(), ends);
    project.options.keep_going = true;
    assert_eq!(project.run().ends(), [ends[0], "b: ran"]);
}

#[test]
fn force_runs_goals_and_no_cache_keeps_nothing() {
    let mut project = Project::new();
    project.cached("gen", "true", &[], "a", &[]).goal = false;
    project.cached("use", "true", &[0], "a", &[]);
    project.options.no_cache = true;
    assert_eq!(project.run().lines()[0], "gen starts: the cache is off");
    project.options.no_cache = false;
    assert_eq!(project.run().lines()[0], "gen starts: ran without the cache the last time");
    project.options.force = true;
    assert_eq!(project.run().lines(), ["gen: cached, Present", "use starts: forced", "use: ran", "done 0"]);
}

#[test]
fn what_ends_a_step_runs_after_its_failure() {
    let mut project = Project::new();
    project.target("test", "exit 4", &[]);
    let down = project.target("down", "echo down", &[]);
    down.needs = vec![Need { step: StepIndex(0), kind: NeedKind::End }];
    let told = project.run();
    assert_eq!(told.ends(), ["down: ran", "test: `test` failed, exit status 4"]);
    assert_eq!(told.summary.exit_code(), 1);
}

#[test]
fn an_interrupted_run_stops_what_runs_and_still_cleans_up() {
    let mut project = Project::new();
    project.target("serve", "echo up; exec sleep 600", &[]);
    project.target("next", "true", &[]);
    let down = project.target("down", "echo down", &[]);
    down.needs = vec![Need { step: StepIndex(0), kind: NeedKind::End }];
    let told = project.run_and(|event, signals| {
        if matches!(&event.what, Happening::Output(output) if output.text == "up") {
            signals.send(Signal::INT).unwrap();
        }
    });
    let lines = [
        "serve starts: declares no inputs, so it always runs",
        "serve > up",
        "SIGINT",
        "next: not run, the run was interrupted",
        "serve: cancelled",
        "down starts: declares no inputs, so it always runs",
        "down > down",
        "down: ran",
        "interrupted 130",
    ];
    assert_eq!(told.lines(), lines);
    assert_eq!(told.summary.problems.as_slice()[0].title, "stopped by SIGINT");
}

#[test]
fn a_second_interruption_kills_what_does_not_want_to_stop() {
    let mut project = Project::new();
    project.target("stubborn", "trap '' INT TERM; echo up; while :; do sleep 1; done", &[]);
    let down = project.target("down", "true", &[]);
    down.needs = vec![Need { step: StepIndex(0), kind: NeedKind::End }];
    let told = project.run_and(|event, signals| match &event.what {
        Happening::Output(_) | Happening::Interrupted { kill: false, .. } => {
            signals.send(Signal::INT).unwrap();
        }
        _ => {}
    });
    let lines = [
        "SIGINT",
        "SIGINT, kill",
        "down: not run, the run was interrupted",
        "stubborn: cancelled",
        "interrupted 130",
    ];
    assert_eq!(told.lines()[2..], lines);
}

#[test]
fn a_gap_refuses_the_run_before_its_first_step() {
    let mut project = Project::new();
    project.target("a", "true", &[]);
    let span = project.plan.steps[0].span;
    project.target("b", "true", &[]).action = Action::NotAvailable(Gap { what: "signing".into(), span });
    let told = project.run();
    assert_eq!(
        told.lines(),
        ["a: not run, the run was refused", "b: not run, the run was refused", "refused 3"]
    );
    assert_eq!(told.summary.problems.as_slice()[0].title, "signing is not available yet");
}

#[test]
fn the_record_holds_what_was_told() {
    let mut project = Project::new();
    project.target("a", "echo one; echo two >&2", &[]);
    let told = project.run();
    let id = recorded(&project.root()).remove(0);
    assert_eq!(events(&project.root(), &id).unwrap().collect::<Vec<_>>(), told.events);
    assert_eq!(told.summary.run, id);
}

#[test]
fn a_question_that_is_denied_fails_the_step() {
    let mut project = Project::new();
    project.target("drop", "echo dropped", &[]).command().confirm = Some("Really?".into());
    assert_eq!(project.run().lines()[1..3], ["drop > dropped", "drop: ran"]);
    project.answer = Ok(false);
    let told = project.run();
    assert_eq!(told.lines()[1..], ["drop: `drop` was not confirmed, the answer was no", "refused 3"]);
    assert_eq!(*project.asked.lock().unwrap(), ["drop: Really?", "drop: Really?"]);
}

#[test]
fn a_step_that_owns_the_terminal_runs_alone() {
    let mut project = Project::new();
    project.options.jobs = Some(4);
    project.target("shell", "test -e other && touch shell", &[]).command().interactive = true;
    project.target("other", "touch other", &[]);
    assert_eq!(project.run().ends(), ["other: ran", "shell: ran"]);
    assert!(project.read("shell").is_some());
}

#[test]
fn a_project_that_cannot_be_written_is_refused() {
    let mut project = Project::new();
    project.target("a", "touch made", &[]);
    project.write(".hoist", "in the way");
    let told = project.run();
    assert_eq!(told.lines(), ["a: not run, the run was refused", "failed 1"]);
    assert_eq!(told.summary.problems.as_slice()[0].code, Code::ReadOnly);
    assert_eq!((told.summary.record, project.read("made")), (None, None));
}

#[test]
fn a_gap_is_one_failure_among_others_for_who_keeps_going() {
    let mut project = Project::new();
    project.options.keep_going = true;
    let span = project.target("a", "true", &[]).span;
    project.target("b", "true", &[]).action = Action::NotAvailable(Gap { what: "signing".into(), span });
    let told = project.run();
    let gap = "b: signing is not available yet, this version of hoist plans it, and cannot execute it";
    assert_eq!(told.ends(), ["a: ran", gap]);
    assert_eq!(told.summary.exit_code(), 3);
}

#[test]
fn steps_of_a_pool_wait_for_each_other() {
    let mut project = Project::new();
    project.options.jobs = Some(8);
    for name in ["a", "b", "c", "d"] {
        let step = project.target(name, "mkdir lock && rmdir lock", &[]);
        step.pool = Some(("db".to_owned(), 1));
    }
    assert_eq!(project.run().summary.counts, Counts { ran: 4, ..Counts::default() });
}

#[test]
fn a_step_whose_log_cannot_be_written_is_not_kept() {
    let mut project = Project::new();
    // A file in the place of the directory of logs, as a full disk would have it.
    let script = "for run in .hoist/runs/*; do test -d $run/logs || touch $run/logs; done; echo lost";
    project.cached("x", script, &[], "1", &[]);
    let first = project.run();
    let lines = first.lines();
    assert!(lines[1].starts_with("x: some of its output is lost: "), "{lines:?}");
    assert_eq!(lines[2..], ["x: its log is not whole, so it runs again the next time", "x: ran", "done 0"]);
    let again = "x starts: its last run was not kept: inputs changed, access was denied, or its log was cut";
    assert_eq!(project.run().lines()[0], again);
}

#[test]
fn a_cache_that_cannot_be_written_fails_nobody() {
    let mut project = Project::new();
    // A file in the place of a directory, as a full disk would have it.
    let script = "rm -r ../cache/v4/records; touch ../cache/v4/records; echo made > out";
    project.cached("x", script, &[], "1", &["out"]);
    project.target("y", "cat out", &[0]);
    let lines = project.run().lines();
    assert!(lines[1].starts_with("x: the cache cannot be written: `"), "{lines:?}");
    assert!(lines[1].ends_with("), so it runs again the next time"), "{lines:?}");
    assert_eq!((lines[2].as_str(), lines[4].as_str()), ("x: ran", "y > made"));
    assert_eq!(lines[5..], ["y: ran", "done 0"]);
}

#[test]
fn a_cache_that_is_removed_during_a_run_is_made_anew() {
    let mut project = Project::new();
    project.cached("x", "rm -r ../cache; echo said; echo made > out", &[], "1", &["out"]);
    assert_eq!(project.run().lines()[1..], ["x > said", "x: ran", "done 0"]);
    assert_eq!(project.run().lines(), ["x > said (replayed)", "x: cached, Present", "done 0"]);
}
