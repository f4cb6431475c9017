//! What runs again and what does not, told as stories of several runs.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{Repo, done};

const COPY: &str = r#"
target "copy" {
    run "cat in.txt > out.txt; echo copied"
    inputs "in.txt"
    outputs "out.txt"
}
target "count" {
    run "wc -l < out.txt | tr -d ' ' > count.txt; echo counted"
    inputs "out.txt"
    outputs "count.txt"
}
"#;

/// The steps that ran, in the order of the log, by the lines that they print.
fn ran(repo: &Repo, arguments: &[&str]) -> Vec<String> {
    let ended = repo.hoist(arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.stdout.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn a_target_runs_again_only_if_what_it_reads_changed() {
    let repo = Repo::with(COPY);
    repo.write("in.txt", "1\n");
    assert_eq!(ran(&repo, &["count"]), ["copied", "counted"]);
    assert_eq!(ran(&repo, &["count"]), [""; 0]);
    repo.write("in.txt", "1\n2\n");
    assert_eq!(ran(&repo, &["count"]), ["copied", "counted"]);
    assert_eq!(repo.read("count.txt"), "2\n");
    // Back to what is known: restored, with its outputs.
    repo.write("in.txt", "1\n");
    assert_eq!(ran(&repo, &["count"]), [""; 0]);
    assert_eq!((repo.read("out.txt"), repo.read("count.txt")), ("1\n".into(), "1\n".into()));
}

#[test]
fn an_output_that_is_the_same_stops_what_comes_after_it() {
    let repo = Repo::with(
        r#"
        target "strip" {
            run "grep -v '^#' in.txt > out.txt; echo stripped"
            inputs "in.txt"
            outputs "out.txt"
        }
        target "use" {
            needs "strip"
            run "cat out.txt; echo used"
            inputs "out.txt"
        }
        "#,
    );
    repo.write("in.txt", "# one\na\n");
    assert_eq!(ran(&repo, &["use"]), ["stripped", "a", "used"]);
    repo.write("in.txt", "# two\na\n");
    assert_eq!(ran(&repo, &["use"]), ["stripped"]);
}

#[test]
fn a_lost_or_changed_output_is_brought_back() {
    let repo = Repo::with(COPY);
    repo.write("in.txt", "1\n");
    assert_eq!(ran(&repo, &["run", "copy"]), ["copied"]);
    fs::remove_file(repo.path().join("out.txt")).unwrap();
    assert_eq!(ran(&repo, &["run", "copy"]), [""; 0]);
    assert_eq!(repo.read("out.txt"), "1\n");
    repo.write("out.txt", "tampered\n");
    assert_eq!(ran(&repo, &["run", "copy"]), [""; 0]);
    assert_eq!(repo.read("out.txt"), "1\n");
}

#[test]
fn the_command_the_environment_and_variables_are_part_of_the_key() {
    let release = |run: &str| {
        format!(
            "var \"who\" \"you\"\ntarget \"a\" {{\n  run \"{run}\"\n  inputs \"in.txt\"\n  env MODE=\"x\"\n  \
             pass-env \"TOKEN\"\n}}\n"
        )
    };
    let repo = Repo::with(&release("echo $who $MODE"));
    repo.write("in.txt", "");
    assert_eq!(ran(&repo, &["a"]), ["you x"]);
    assert_eq!(ran(&repo, &["a", "who=me"]), ["me x"]);
    assert_eq!(ran(&repo, &["a"]), [""; 0]);
    // What is passed reaches the process and is no part of the key.
    let passed = repo.hoist_with(&["a"], &[("TOKEN", "t0psecret"), ("OTHER", "1")]);
    assert_eq!((passed.code, passed.stdout.as_str()), (0, ""));
    repo.write("release.kdl", release("echo $who ${TOKEN-none} ${OTHER-none}"));
    let passed = repo.hoist_with(&["a"], &[("TOKEN", "t0psecret"), ("OTHER", "1")]);
    assert_eq!((passed.code, passed.stdout.as_str()), (0, "you *** none\n"));
}

#[test]
fn a_commit_alone_runs_nothing_again() {
    let repo = Repo::with(COPY);
    repo.write("in.txt", "1\n");
    assert_eq!(ran(&repo, &["count"]), ["copied", "counted"]);
    repo.commit("More");
    assert_eq!(ran(&repo, &["count"]), [""; 0]);
}

#[test]
fn a_failure_is_not_kept_and_what_succeeded_beside_it_is() {
    let repo = Repo::with(
        r#"
        target "good" { run "echo good"; inputs "in.txt"; }
        target "bad" { needs "good"; run "echo bad; exit 1"; inputs "in.txt"; }
        target "after" { needs "bad"; run "echo after"; inputs "in.txt"; }
        target "clean-up" { run "echo clean"; }
        target "all" { needs "after"; finally "clean-up"; }
        "#,
    );
    repo.write("in.txt", "");
    let first = repo.hoist(&["all"]);
    assert_eq!((first.code, first.stdout.as_str()), (1, "good\nbad\nclean\n"));
    let second = repo.hoist(&["all"]);
    assert_eq!((second.code, second.stdout.as_str()), (1, "bad\nclean\n"));
    let forced = repo.hoist(&["good", "--force"]);
    assert_eq!((forced.code, forced.stdout.as_str()), (0, "good\n"));
}

#[test]
fn keep_going_runs_what_does_not_need_the_failed_step() {
    let repo = Repo::with(
        r#"
        target "bad" { run "exit 1"; }
        target "other" { run "echo other"; }
        target "last" { needs "other"; run "echo last"; }
        "#,
    );
    let ended = repo.hoist(&["bad", "last", "-k", "-j1"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, "other\nlast\n"));
}

#[test]
fn logs_are_kept_with_the_results() {
    let repo = Repo::with(COPY);
    repo.write("in.txt", "1\n");
    repo.hoist(&["run", "copy"]);
    let again = repo.hoist(&["run", "copy"]);
    assert_eq!(again.stdout, "");
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    assert_eq!(repo.hoist(&["log", "copy"]).stdout, "copied\n");
    assert_eq!(repo.hoist(&["run", "copy", "-v"]).stdout, "copied\n");
}

#[test]
fn what_reads_the_file_of_a_target_that_does_not_apply_says_that_this_is_why_it_runs() {
    let repo = Repo::with(
        r#"
        target "there" { when os="linux"; run "cat in.txt > here.txt"; inputs "in.txt"; outputs "here.txt"; }
        target "elsewhere" { when os="macos"; run "cat in.txt > here.txt"; inputs "in.txt"; outputs "here.txt"; }
        target "never" { when env="NEVER"; run "touch never.txt"; inputs "in.txt"; outputs "never.txt"; }
        target "one" { run "cat here.txt; echo one"; inputs "here.txt"; }
        target "other" { run "echo other"; inputs "never.txt"; }
        "#,
    );
    repo.write("in.txt", "1\n");
    assert_eq!(ran(&repo, &["one"]), ["1", "one"]);
    assert_eq!(ran(&repo, &["one"]), [""; 0]);
    assert_eq!(ran(&repo, &["other"]), ["other"]);
    assert_eq!(ran(&repo, &["other"]), ["other"]);
    for command in ["why", "plan"] {
        let told = repo.hoist(&[command, "other"]).stdout;
        assert!(told.contains("reads what a target makes that does not apply here"), "{command}: {told}");
    }
}

#[test]
fn why_and_plan_name_what_changed() {
    let repo = Repo::with(COPY);
    repo.write("in.txt", "1\n");
    assert!(repo.hoist(&["why", "copy"]).stdout.contains("never ran here"));
    repo.hoist(&["count"]);
    let why = repo.hoist(&["why", "copy"]).stdout;
    assert_eq!(why, "copy is up to date\n  nothing that it depends on has changed\n");
    fs::remove_file(repo.path().join("out.txt")).expect("it is there");
    let why = repo.hoist(&["why", "copy"]).stdout;
    assert_eq!(why, "copy would be restored\n  out.txt is missing\n");
    let plan = repo.hoist(&["plan", "count"]).stdout;
    let expected = "< copy\n    out.txt is missing\n1 step would be restored, 1 step up to date\n";
    assert_eq!(plan, expected);
    repo.hoist(&["count"]);
    repo.write("in.txt", "2\n");
    let why = repo.hoist(&["why", "copy"]).stdout;
    assert_eq!(why, "copy would run\n  in.txt changed\n");
    let plan = repo.hoist(&["plan", "count"]).stdout;
    assert!(plan.contains("in.txt changed"), "{plan}");
    let dry = repo.hoist(&["count", "--dry-run"]);
    assert_eq!(dry.stdout, plan);
    assert_eq!(repo.read("out.txt"), "1\n");
}

#[test]
fn of_many_reasons_the_first_are_shown_and_on_demand_all() {
    let repo = Repo::with("target \"all\" { inputs \"in/*\"; run \"true\"; }\n");
    let change = |text: &str| (10..35).for_each(|at| repo.write(&format!("in/{at}"), text));
    change("1");
    repo.hoist(&["all"]);
    change("2");
    let changed = |indent: &str, shown: usize| -> String {
        (10..10 + shown).map(|at| format!("{indent}in/{at} changed\n")).collect()
    };
    let said = |arguments: &[&str]| repo.hoist(arguments).stdout;
    let first = format!("all would run\n{}  and 5 more; `-v` shows all\n", changed("  ", 20));
    assert_eq!(said(&["why", "all"]), first);
    assert_eq!(said(&["why", "all", "-v"]), format!("all would run\n{}", changed("  ", 25)));
    let first = format!("> all\n{}    and 22 more\n1 step would run\n", changed("    ", 3));
    assert_eq!(said(&["plan", "all"]), first);
    assert_eq!(said(&["plan", "all", "-v"]), format!("> all\n{}1 step would run\n", changed("    ", 25)));
}

#[test]
fn events_come_as_json_lines() {
    let repo = Repo::with(COPY);
    repo.write("in.txt", "1\n");
    let ended = repo.hoist(&["count", "--json"]);
    let events: Vec<serde_json::Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap_or_default()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"run-started"), Some(&"run-ended")));
    let ended: Vec<_> = events.iter().filter(|event| event["event"] == "step-ended").collect();
    assert_eq!(ended.len(), 2);
    assert!(ended.iter().all(|event| event["outcome"] == "ran"), "{ended:?}");
}

#[test]
fn of_two_calls_at_once_one_makes_the_file_and_the_other_finds_it() {
    let repo = Repo::with(
        r#"target "slow" { inputs "in.txt"; outputs "out.txt"; run "printf a > out.txt; sleep 1; printf b >> out.txt"; }"#,
    );
    repo.write("in.txt", "1\n");
    let mut first = repo.command(&["run", "slow", "--quiet"]).spawn().expect("hoist can be started");
    while !repo.has("out.txt") {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = repo.hoist(&["run", "slow"]);
    assert!(first.wait().expect("it ends").success());
    assert_eq!(second.stderr.lines().next(), Some("slow: another hoist makes the same here: waits for it"));
    assert!(second.stderr.contains("Nothing to do: its one step is up to date"), "{}", second.stderr);
    assert_eq!(repo.read("out.txt"), "ab");
}

#[test]
fn clean_removes_what_was_made_and_the_cache_brings_it_back() {
    let repo = Repo::with(COPY);
    repo.write("in.txt", "1\n");
    repo.hoist(&["count"]);
    let dry = repo.hoist(&["clean", "--dry-run"]);
    assert!(dry.stderr.contains("out.txt") && repo.has("out.txt"), "{}", dry.stderr);
    let cleaned = repo.hoist(&["clean"]).stderr;
    assert!(cleaned.contains("\nremoved 3 items, "), "{cleaned}");
    assert_eq!(repo.hoist(&["clean"]).stderr, "nothing to remove\n");
    assert!(!repo.has("out.txt") && !repo.has("count.txt") && repo.has("in.txt"));
    assert_eq!(ran(&repo, &["count"]), [""; 0]);
    assert!(repo.has("out.txt") && repo.has("count.txt"));
    assert_eq!(repo.hoist(&["clean", "--cache"]).code, 0);
    assert_eq!(ran(&repo, &["count"]), ["copied", "counted"]);
    repo.write("release.kdl", "target \"free\" { run \"true\"; }\n");
    repo.hoist(&["clean"]);
    repo.hoist(&["free"]);
    let cleaned = repo.hoist(&["clean", "--dry-run"]).stderr;
    assert!(cleaned.contains("\nwould remove 1 item, "), "{cleaned}");
}

#[test]
fn what_a_signal_stopped_is_never_kept_whatever_it_returns() {
    let repo = Repo::with(
        r#"
        target "half" {
            run "trap 'echo half > out.txt; exit 0' TERM; echo $$; sleep 600 & wait"
            inputs "release.kdl"
            outputs "out.txt"
        }
        "#,
    );
    let (mut child, _) = crate::signals::start(&repo, "half");
    let hoist = crate::signals::pid(child.id());
    rustix::process::kill_process(hoist, rustix::process::Signal::TERM).expect("hoist runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let why = repo.hoist(&["why", "half"]).stdout;
    assert!(why.contains("would run"), "{why}");
}

#[test]
fn no_secret_lies_in_the_cache_or_in_the_records() {
    let repo = Repo::with(
        r#"
        dotenv ".env"
        target "a" {
            run "echo $T; echo $U"
            inputs "in.txt"
            env T="with {env.PASSED}" U="with {env.FILED}"
            pass-env "PASSED"
        }
        "#,
    );
    repo.write("in.txt", "");
    repo.write(".env", "FILED=file-secret\n");
    let passed = [("PASSED", "passed-secret")];
    let ended = repo.hoist_with(&["a"], &passed);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "with ***\nwith ***\n"), "{}", ended.stderr);
    assert_eq!(repo.hoist_with(&["a"], &passed).stdout, "");
    for place in ["cache", "project/.hoist"] {
        let found = std::process::Command::new("grep")
            .args(["--recursive", "--files-with-matches", "-e", "passed-secret", "-e", "file-secret"])
            .arg(repo.path().parent().expect("it lies somewhere").join(place))
            .output()
            .expect("grep is installed");
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    }
}

#[test]
fn a_damaged_marker_of_the_staging_store_is_written_again() {
    let repo = Repo::with(COPY);
    repo.write("in.txt", "1\n");
    assert_eq!(ran(&repo, &["run", "copy"]), ["copied"]);
    let marker = repo.path().parent().expect("it lies somewhere").join("cache/v4/images/oci-layout");
    fs::write(&marker, "").expect("it is there");
    assert_eq!(ran(&repo, &["run", "copy"]), [""; 0]);
    assert!(fs::read_to_string(marker).is_ok_and(|text| text.contains("imageLayoutVersion")));
}

#[test]
fn what_a_step_does_not_make_any_more_is_gone_before_it_runs() {
    let repo = Repo::with(
        r#"
        target "copy" { inputs "src/*"; outputs "dist" "notes/*.txt"; run "mkdir -p dist notes; cp src/* dist/; ls src > notes/list.txt; echo x >> dist/log"; }
        "#,
    );
    repo.write("src/a", "a");
    repo.write("src/b", "b");
    repo.write("notes/mine.txt", "mine");
    assert_eq!(repo.hoist(&["run", "copy"]).code, 0);
    fs::remove_file(repo.path().join("src/b")).expect("it is there");
    repo.write("dist/by-hand", "by hand");
    assert_eq!(repo.hoist(&["run", "copy"]).code, 0);
    assert!(!repo.has("dist/b") && !repo.has("dist/by-hand"));
    assert_eq!((repo.read("dist/log"), repo.read("notes/mine.txt")), ("x\n".to_owned(), "mine".to_owned()));
    assert_eq!(repo.read(".hoist/displaced/1/dist/by-hand"), "by hand");
    assert!(!repo.has(".hoist/displaced/1/dist/b"));
}

#[test]
fn a_step_that_works_on_its_inputs_in_place_keeps_them() {
    let repo = Repo::with(
        r#"target "format" { inputs "src/*.txt"; outputs "src/*.txt"; run "for f in src/*.txt; do tr a-z A-Z < $f > $f.new; mv $f.new $f; done"; }"#,
    );
    for text in ["one", "two"] {
        repo.write("src/a.txt", text);
        assert_eq!(repo.hoist(&["format"]).code, 0);
        assert_eq!(repo.read("src/a.txt"), text.to_uppercase());
    }
}

#[test]
fn what_an_interrupted_or_failed_step_began_does_not_pile_up() {
    let repo = Repo::with(
        r#"target "make" { inputs "in"; outputs "dist"; run "mkdir dist; echo part > dist/part; test $(cat in) = good"; }"#,
    );
    for text in ["bad", "worse", "good"] {
        repo.write("in", text);
        assert_eq!(repo.hoist(&["make"]).code, i32::from(text != "good"));
        assert!(repo.has("dist/part") && !repo.has(".hoist/displaced"));
    }
}

/// A step with a wildcard among its outputs, in a directory that is not its own.
const GEN: &str = r#"
target "gen" {
    inputs "names"
    outputs "gen/*.c"
    run "for name in $(cat names); do echo $name > gen/$name.c; done"
}
"#;

#[test]
fn what_a_wildcard_matches_and_the_step_did_not_make_is_not_its_own() {
    let repo = Repo::with(GEN);
    repo.write("names", "a b");
    repo.write("gen/mine.c", "mine");
    assert_eq!(repo.hoist(&["gen"]).code, 0);
    repo.write("names", "b");
    assert_eq!(repo.hoist(&["gen"]).code, 0);
    assert_eq!(["a", "b", "mine"].map(|name| repo.has(&format!("gen/{name}.c"))), [false, true, true]);
    // It is not brought back where it is gone, and not taken away where it is not.
    fs::remove_file(repo.path().join("gen/mine.c")).expect("it is there");
    assert_eq!(ran(&repo, &["gen"]), [""; 0]);
    assert!(!repo.has("gen/mine.c"));
    repo.write("gen/mine.c", "mine");
    assert_eq!(repo.hoist(&["clean"]).code, 0);
    assert_eq!((repo.has("gen/b.c"), repo.read("gen/mine.c")), (false, "mine".to_owned()));
    // What lay there and is written is the step's.
    repo.write("names", "mine");
    assert_eq!(repo.hoist(&["gen"]).code, 0);
    assert_eq!(repo.read("gen/mine.c"), "mine\n");
    assert_eq!(repo.hoist(&["clean"]).code, 0);
    assert!(!repo.has("gen/mine.c") && !repo.has(".hoist/displaced"));
}

#[test]
fn what_git_tracks_is_never_cleaned() {
    let repo = Repo::with(GEN);
    repo.write("names", "a b");
    repo.write("gen/a.c", "a\n");
    repo.commit("Check it in");
    assert_eq!(repo.hoist(&["gen"]).code, 0);
    let clean = repo.hoist(&["clean"]);
    assert_eq!((clean.code, repo.has("gen/a.c"), repo.has("gen/b.c")), (0, true, false));
    assert!(clean.stderr.contains("kept, for git tracks it: gen/a.c\n"), "{}", clean.stderr);
}

#[test]
fn a_cacheable_step_that_leaves_what_a_wildcard_matches_has_made_nothing() {
    let script = "test -e gen/a.c || echo a > gen/a.c";
    let target =
        |inputs: &str| format!("target \"gen\" {{ {inputs} outputs \"gen/*.c\"; run \"{script}\"; }}");
    let repo = Repo::with(&target("inputs \"release.kdl\";"));
    repo.write("gen/a.c", "a\n");
    let ended = repo.hoist(&["gen"]);
    assert!(ended.stderr.contains("all that matches this was there before"), "{}", ended.stderr);
    fs::remove_file(repo.path().join("gen/a.c")).expect("it is there");
    assert_eq!(repo.hoist(&["gen"]).code, 0);
    // What runs each time may find that there is nothing to do.
    repo.write("gen/a.c", "by hand\n");
    repo.write("release.kdl", target(""));
    assert_eq!(repo.hoist(&["gen"]).code, 0);
    assert_eq!(repo.hoist(&["clean"]).code, 0);
    assert_eq!(repo.read("gen/a.c"), "by hand\n");
}

#[test]
fn each_attempt_finds_what_the_first_one_found() {
    let repo = Repo::with(
        r#"
        target "flaky" {
            inputs "in"
            outputs "dist" "log/*.txt"
            retries 2
            run "mkdir dist; echo x >> dist/x; echo y >> log/y.txt; echo z >> tries; test $(wc -l < tries) = 3"
        }
        "#,
    );
    repo.write("in", "");
    repo.write("log/mine.txt", "mine");
    assert_eq!(repo.hoist(&["flaky"]).code, 0);
    assert_eq!((repo.read("dist/x"), repo.read("log/y.txt")), ("x\n".to_owned(), "y\n".to_owned()));
    assert_eq!((repo.read("log/mine.txt"), repo.has(".hoist/displaced")), ("mine".to_owned(), false));
}

#[test]
fn what_was_made_without_the_cache_or_before_it_was_removed_is_the_steps_own() {
    let repo = Repo::with(
        r#"target "make" { inputs "in"; outputs "dist"; run "mkdir dist; cp in dist/$(cat in)"; }"#,
    );
    repo.write("in", "a");
    assert_eq!(repo.hoist(&["make", "--no-cache"]).code, 0);
    repo.write("in", "b");
    assert_eq!(repo.hoist(&["make"]).code, 0);
    assert_eq!(repo.hoist(&["clean", "--cache"]).code, 0);
    repo.write("in", "c");
    assert_eq!(repo.hoist(&["make"]).code, 0);
    assert!(repo.has("dist/c") && !repo.has("dist/b") && !repo.has(".hoist/displaced"));
    assert!(repo.hoist(&["clean", "--cache"]).code == 0 && repo.hoist(&["clean"]).code == 0);
    assert!(!repo.has("dist"));
}

#[test]
fn a_link_in_an_outputs_place_is_moved_away_or_written_through_and_never_lost() {
    let make = |inputs: &str| {
        format!("target \"make\" {{ {inputs} outputs \"dist\"; run \"mkdir -p dist; echo new > dist/a\"; }}")
    };
    for (inputs, through) in [("inputs \"in\";", false), ("", true)] {
        let repo = Repo::with(&make(inputs));
        repo.write("in", "");
        repo.write("disk/a", "old\n");
        std::os::unix::fs::symlink("disk", repo.path().join("dist")).expect("there is room");
        let ended = repo.hoist(&["make"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert_eq!(ended.stderr.contains("is in `.hoist/displaced/1` now"), !through, "{}", ended.stderr);
        assert_eq!(repo.read("disk/a"), if through { "new\n" } else { "old\n" });
        assert_eq!(repo.hoist(&["clean"]).code, 0);
        let link = repo.path().join(if through { "dist" } else { ".hoist/displaced/1/dist" });
        assert!(link.is_symlink() && repo.has("disk/a"));
    }
}

#[test]
fn what_is_in_the_way_and_cannot_be_moved_is_named_and_stays() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let repo = Repo::with(
        r#"
        target "below" { inputs "in"; outputs "file/made"; run "touch file/made"; }
        target "locked" { inputs "in"; outputs "locked/made"; run "touch locked/made"; }
        "#,
    );
    repo.write("in", "");
    repo.write("file", "mine");
    let ended = repo.hoist(&["below"]);
    assert!(
        ended.stderr.contains("`file/made` cannot be made: `file` is not a directory"),
        "{}",
        ended.stderr
    );
    assert_eq!(repo.read("file"), "mine");
    repo.write("locked/made", "mine");
    let lock = |mode| fs::set_permissions(repo.path().join("locked"), fs::Permissions::from_mode(mode));
    lock(0o555).expect("it is there");
    // Who may write everything is stopped by nothing.
    if fs::write(repo.path().join("locked/probe"), "").is_err() {
        let ended = repo.hoist(&["locked"]);
        assert!(
            ended.stderr.contains("`locked/made` cannot be moved to `.hoist/displaced`"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("or make `locked` writable"), "{}", ended.stderr);
        assert_eq!(repo.read("locked/made"), "mine");
    }
    lock(0o755).expect("it is there");
    // Another file system cannot take it.
    let elsewhere = std::path::Path::new("/dev/shm").metadata().map(|found| found.dev());
    if elsewhere.is_ok_and(|device| repo.path().metadata().is_ok_and(|found| found.dev() != device)) {
        let other = tempfile::tempdir_in("/dev/shm").expect("there is room");
        fs::remove_dir_all(repo.path().join(".hoist")).expect("it is there");
        std::os::unix::fs::symlink(other.path(), repo.path().join(".hoist")).expect("there is room");
        let ended = repo.hoist(&["locked"]);
        assert!(ended.stderr.contains("it is on another file system"), "{}", ended.stderr);
        assert_eq!(repo.read("locked/made"), "mine");
    }
}

#[test]
fn a_plan_and_a_run_say_the_same_when_records_are_gone() {
    let repo = Repo::with(r#"target "make" { inputs "in"; outputs "out"; run "cp in out"; }"#);
    repo.write("in", "1");
    assert_eq!(repo.hoist(&["make"]).code, 0);
    assert!(repo.hoist(&["make"]).stderr.starts_with("ok Nothing to do"));
    fs::remove_dir_all(repo.path().parent().expect("it lies below").join("cache/v4/records"))
        .expect("it is there");
    let why = "its record is no longer in the cache";
    let plan = repo.hoist(&["plan", "make"]);
    assert!(plan.stdout.contains(why), "{}{}", plan.stdout, plan.stderr);
    let run = repo.hoist(&["make"]);
    assert!(run.stderr.contains(why), "{}", run.stderr);
}

#[test]
fn steps_that_run_hoist_for_what_waits_for_a_place_are_not_waited_for_in_vain() {
    let repo = Repo::with(
        r#"
        target "a" { run "$HOIST run x"; pass-env "HOIST" "HOIST_CACHE_DIR"; }
        target "b" { run "$HOIST run x"; pass-env "HOIST" "HOIST_CACHE_DIR"; }
        target "x" { inputs "in"; outputs "out"; run "cp in out; echo x >> count"; }
        "#,
    );
    repo.write("in", "1\n");
    let program = env!("CARGO_BIN_EXE_hoist");
    for round in 0..5 {
        repo.write("in", format!("{round}\n"));
        let ended = repo.hoist_with(&["run", "-j2", "a", "b", "x"], &[("HOIST", program)]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    assert_eq!(repo.read("count"), "x\n".repeat(5));
}

#[test]
fn nothing_begins_after_a_failure() {
    let repo = Repo::with(
        r#"
        target "f" { run "sleep 0.05; touch failed; exit 1"; }
        target "g" { run "sleep 0.3"; }
        target "x" { run "if test -e failed; then touch late; fi"; }
        target "y" { run "if test -e failed; then touch late; fi"; }
        "#,
    );
    for _ in 0..20 {
        assert_eq!(repo.hoist(&["run", "-j2", "f", "g", "x", "y"]).code, 1);
        assert!(!repo.path().join("late").exists());
        fs::remove_file(repo.path().join("failed")).expect("it was made");
    }
}

/// Starts hoist, and waits until the step that makes this file has begun.
fn begin(repo: &Repo, arguments: &[&str], ready: &str) -> Child {
    let mut command = repo.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().expect("hoist can be started");
    let until = Instant::now() + Duration::from_mins(1);
    while !repo.has(ready) {
        assert!(Instant::now() < until, "not within a minute: {ready}");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// What a hoist said that was begun.
fn said(child: Child) -> String {
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// `b` reads what `a` makes once `go` is there, of which it tells by `ready`.
fn reads_late(outputs: &str, read: &str) -> Repo {
    let repo = Repo::with(&format!(
        r#"
        target "a" {{ run "mkdir -p gen; cp in gen/out.txt"; inputs "in"; outputs "{outputs}"; }}
        target "b" {{
            run "touch ready; until test -e go; do sleep .01; done; {read} > b.txt"
            inputs "{outputs}" "other"
            outputs "b.txt"
        }}
        target "g" {{ needs "a"; }}
        target "c" {{
            needs "g"
            run "touch ready; until test -e go; do sleep .01; done; {read} > c.txt"
            inputs "other"
            outputs "c.txt"
        }}
        "#
    ));
    repo.write("in", "one\n");
    repo.write("other", "1");
    repo
}

const CHANGED: &str = "so it runs again the next time";

#[test]
fn a_step_is_not_kept_if_what_another_made_for_it_changed_while_it_ran() {
    for (outputs, read) in [("gen/out.txt", "cat gen/out.txt"), ("gen", "cat gen/*")] {
        for (step, file) in [("b", "b.txt"), ("c", "c.txt")] {
            let repo = reads_late(outputs, read);
            let again = || [repo.path().join("ready"), repo.path().join("go")].map(fs::remove_file);
            // By another hoist; also where `a` was not looked at, since only `other` changed.
            for other in ["1", "2"] {
                repo.write("other", other);
                let child = begin(&repo, &["run", step], "ready");
                repo.write("in", "two\n");
                done(&repo.hoist(&["run", "a"]));
                repo.write("go", "");
                let said = said(child);
                assert!(said.contains(CHANGED), "{said}");
                repo.write("in", "one\n");
                done(&repo.hoist(&["run", step]));
                assert_eq!((repo.read("gen/out.txt"), repo.read(file)), ("one\n".into(), "one\n".into()));
                let _removed = again();
            }
            // By hand.
            repo.write("other", "3");
            let child = begin(&repo, &["run", step], "ready");
            repo.write(&format!("{outputs}/out.txt").replace("txt/out.txt", "txt"), "by hand\n");
            repo.write("go", "");
            let said = said(child);
            assert!(said.contains(CHANGED), "{said}");
            done(&repo.hoist(&["run", step]));
            assert_eq!((repo.read("gen/out.txt"), repo.read(file)), ("one\n".into(), "one\n".into()));
            // Nothing happens: it is kept.
            repo.write("other", "4");
            done(&repo.hoist(&["run", step]));
            assert!(repo.hoist(&["run", step]).stderr.contains("Nothing to do"));
        }
    }
}

#[test]
fn a_step_is_not_kept_if_a_file_came_into_a_directory_that_another_made_for_it() {
    let repo = reads_late("gen", "cat gen/*");
    for other in ["1", "2"] {
        repo.write("other", other);
        let child = begin(&repo, &["run", "b"], "ready");
        repo.write("gen/stray", "stray\n");
        repo.write("go", "");
        let said = said(child);
        assert!(said.contains(CHANGED), "{said}");
        done(&repo.hoist(&["run", "b"]));
        assert_eq!((repo.read("b.txt"), repo.has("gen/stray")), ("one\n".into(), false));
        fs::remove_file(repo.path().join("ready")).unwrap();
        fs::remove_file(repo.path().join("go")).unwrap();
    }
}
