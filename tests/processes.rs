//! What steps start, and what they write: of any size, from any descendant.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::fixture::{Repo, done, installed};

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().expect("a process id")).expect("a process id")
}

/// Waits, for a minute at most, until this is so.
fn eventually(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_mins(1);
    while !so() {
        assert!(Instant::now() < until, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process is over. A zombie is: whoever should wait for it may not.
fn is_over(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
    stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
}

fn start(repo: &Repo, arguments: &[&str]) -> Child {
    let mut command = repo.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("hoist can be started")
}

/// The processes of a step that hides them: one in a session of its own, one whose
/// parents are gone, too.
const HIDDEN: &str = "setsid sh -c 'echo $$ > session; exec sleep 600' > /dev/null 2>&1 & \
     (setsid sh -c 'echo $$ > orphan; exec sleep 600' > /dev/null 2>&1 &); \
     while test ! -s session || test ! -s orphan; do sleep 0.01; done; ";

#[test]
fn a_step_that_fails_leaves_nothing_behind() {
    let repo = Repo::with(&format!("target \"x\" {{ run \"{HIDDEN} exit 7\"; }}"));
    assert_eq!(repo.hoist(&["x"]).code, 1);
    assert!(is_over(&repo.read("session")) && is_over(&repo.read("orphan")));
}

#[test]
fn a_step_that_takes_too_long_is_stopped_with_what_hides() {
    let release = format!("target \"x\" {{ run \"{HIDDEN} touch ready; sleep 600\"; timeout \"2s\"; }}");
    let repo = Repo::with(&release);
    let ended = repo.hoist(&["x"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("did not end in time"), "{}", ended.stderr);
    assert!(is_over(&repo.read("session")) && is_over(&repo.read("orphan")));
}

#[test]
fn an_interrupt_reaches_what_hides() {
    let repo = Repo::with(&format!("target \"x\" {{ run \"{HIDDEN} touch ready; sleep 600\"; }}"));
    let mut child = start(&repo, &["x"]);
    eventually("the step is ready", || repo.has("ready"));
    kill_process(pid(&child.id().to_string()), Signal::TERM).expect("hoist runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(is_over(&repo.read("session")) && is_over(&repo.read("orphan")));
}

#[test]
fn what_clears_its_environment_and_does_not_listen_is_stopped_all_the_same() {
    let deaf = "env -i PATH=$PATH sh -c 'trap : TERM; echo $$ > deaf; while :; do sleep 0.1; done' & \
                while test ! -s deaf; do sleep 0.01; done; ";
    let release = format!("target \"x\" {{ run \"{deaf} sleep 600\"; timeout \"1s\"; }}");
    let repo = Repo::with(&release);
    assert_eq!(repo.hoist(&["x"]).code, 1);
    assert!(is_over(&repo.read("deaf")));
}

#[test]
fn what_another_step_started_is_left_alone() {
    let repo = Repo::with(
        "target \"serve\" { run \"(setsid sh -c 'echo $$ > orphan; exec sleep 600' > /dev/null 2>&1 &); \
         while test ! -s orphan; do sleep 0.01; done\"; }
         target \"fail\" { needs \"serve\"; run \"exit 1\"; }",
    );
    assert_eq!(repo.hoist(&["fail"]).code, 1);
    let service = pid(&repo.read("orphan"));
    test_kill_process(service).expect("the service goes on");
    kill_process(service, Signal::KILL).expect("the service goes on");
}

#[test]
fn who_holds_the_output_of_a_step_that_is_over_is_stopped_by_name() {
    let repo = Repo::with("target \"x\" { run \"sleep 600 & echo $! > child; echo done\"; }");
    let ended = repo.hoist(&["x"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "done\n"));
    assert!(ended.stderr.contains("`sleep 600` outlived it and held its output"), "{}", ended.stderr);
    assert!(is_over(&repo.read("child")));
}

#[test]
fn a_log_is_read_as_it_was_written_of_any_size_and_shape() {
    let repo = Repo::with(
        r#"
        target "big" { run "seq 1 300000"; }
        target "odd" { run "printf 'a\\0b\\377\\r\\n'; printf '10%%\\r20%%\\n'; head -c 200000 /dev/zero | tr '\\0' x"; }
        "#,
    );
    let lines: String = (1..=300_000).map(|line| format!("{line}\n")).collect();
    assert!(repo.hoist(&["run", "big", "--quiet"]).stdout == lines);
    assert!(repo.hoist(&["log", "big"]).stdout == lines);
    assert_eq!(repo.hoist(&["log", "big", "--json"]).stdout.matches("\"event\":\"output\"").count(), 300_000);
    let output = repo.command(&["run", "odd", "--quiet"]).output().expect("hoist can be started");
    let expected = [&b"a\0b\xff\r\n10%\r20%\n"[..], &vec![b'x'; 200_000], b"\n"].concat();
    assert!(output.stdout == expected);
}

#[test]
fn what_goes_to_one_place_keeps_its_order_and_else_its_stream() {
    let repo =
        Repo::with("target \"x\" { run \"for i in $(seq 1 200); do echo out $i; echo err $i >&2; done\"; }");
    let file = std::fs::File::create(repo.path().join("both")).expect("a file can be made");
    let mut command = repo.command(&["x", "--quiet"]);
    command.stdout(file.try_clone().expect("a file can be opened twice")).stderr(file);
    assert!(command.status().expect("hoist can be started").success());
    let lines = |names: &[&str]| -> String {
        (1..=200).flat_map(|i| names.iter().map(move |name| format!("{name} {i}\n"))).collect()
    };
    assert_eq!(repo.read("both"), lines(&["out", "err"]));
    assert_eq!(repo.hoist(&["log", "x"]).stdout, lines(&["out", "err"]));
    let apart = repo.hoist(&["x", "--quiet"]);
    assert_eq!((apart.stdout, apart.stderr), (lines(&["out"]), lines(&["err"])));
}

#[test]
fn what_hoist_says_while_a_step_is_within_a_line_begins_a_line() {
    let repo = Repo::with("target \"x\" { run \"printf part; false\"; retries 1; }");
    let file = std::fs::File::create(repo.path().join("both")).expect("a file can be made");
    let mut command = repo.command(&["x"]);
    command.stdout(file.try_clone().expect("a file can be opened twice")).stderr(file);
    assert_eq!(command.status().expect("hoist can be started").code(), Some(1));
    let both = repo.read("both");
    assert!(both.starts_with("part\nx: exit status 1, so attempt 2 of 2\npart\n"), "{both}");
    // What goes elsewhere is as it was written.
    assert_eq!(repo.hoist(&["x"]).stdout, "partpart\n");
}

#[test]
fn what_a_step_wrote_can_be_read_while_it_runs_and_after_hoist_was_killed() {
    let repo = Repo::with(
        r#"
        target "done" { inputs "release.kdl"; run "true"; }
        target "ran" { run "true"; }
        target "x" { needs "done" "ran"; run "echo begun; printf part; touch ready; test -e once && exit; exec sleep 600"; }
        "#,
    );
    repo.write("once", "");
    assert_eq!(repo.hoist(&["x"]).code, 0);
    std::fs::remove_file(repo.path().join("once")).expect("it is there");
    std::fs::remove_file(repo.path().join("ready")).expect("it is there");
    let mut child = start(&repo, &["x"]);
    eventually("the step is ready", || repo.has("ready"));
    eventually("its output can be read", || repo.hoist(&["log", "x"]).stdout == "begun\npart\n");
    child.kill().expect("hoist runs");
    child.wait().expect("it ends");
    assert_eq!(repo.hoist(&["log", "x"]).stdout, "begun\npart\n");
    let json = repo.hoist(&["log", "x", "--json"]).stdout;
    assert!(json.contains(r#""text":"begun""#) && json.contains(r#""text":"part""#), "{json}");
    let runs = repo.hoist(&["log", "--runs"]).stdout;
    assert!(runs.contains("cut off: 1 ran, 1 up to date, 1 unfinished"), "{runs}");
    let report = repo.hoist(&["report"]).stdout;
    assert!(report.contains(": cut off, 1 ran, 1 up to date, 1 unfinished in "), "{report}");
    let report = repo.hoist(&["report", "--json"]).stdout;
    assert!(report.contains(r#""result":"cut-off""#), "{report}");
    // hoist killed cannot end what it started.
    let sleeps = std::fs::read_dir("/proc").expect("there is /proc").flatten().filter(|process| {
        let there = std::fs::read_link(process.path().join("cwd"));
        there.is_ok_and(|there| there == repo.path())
    });
    for process in sleeps {
        kill_process(pid(&process.file_name().to_string_lossy()), Signal::KILL).expect("it runs");
    }
}

#[test]
fn a_replayed_log_is_complete_and_says_so() {
    let repo = Repo::with("target \"x\" { inputs \"release.kdl\"; run \"echo one; echo two >&2\"; }");
    assert_eq!(repo.hoist(&["x"]).stdout, "one\n");
    assert_eq!(repo.hoist(&["x"]).stdout, "");
    let again = repo.hoist(&["x", "--verbose"]);
    assert_eq!(again.stdout, "one\n");
    assert!(again.stderr.ends_with("two\n") || again.stderr.contains("two\n"), "{}", again.stderr);
    // Two streams have no order.
    let log = repo.hoist(&["log", "x"]).stdout;
    assert!(["one\ntwo\n", "two\none\n"].contains(&log.as_str()), "{log}");
    let json = repo.hoist(&["log", "x", "--json"]).stdout;
    let replayed = json.lines().filter(|line| line.contains(r#""event":"output""#));
    assert_eq!(replayed.filter(|line| line.contains(r#""replayed":true"#)).count(), 2, "{json}");
}

#[test]
fn secrets_are_masked_in_what_is_kept_and_shown() {
    let repo = Repo::with("target \"x\" { pass-env \"TOKEN\"; run \"sh\" \"leak.sh\"; }");
    // Not in release.kdl, which the error quotes.
    let script = "printf 'correct+hor'; sleep 0.1; printf 'se/battery\\n'; printf %s $TOKEN | base64\n\
                  echo 'correct%2Bhorse%2Fbattery'; exit 1\n";
    repo.write("leak.sh", script);
    let ended = repo.hoist_with(&["x"], &[("TOKEN", "correct+horse/battery")]);
    assert_eq!(ended.code, 1);
    let runs = repo.path().join(".hoist/runs");
    let run = std::fs::read_dir(runs).expect("it ran").flatten().next().expect("one run").path();
    let kept = [run.join("events.jsonl"), run.join("logs/0.log")]
        .map(|file: PathBuf| String::from_utf8_lossy(&std::fs::read(file).expect("it is kept")).into_owned());
    for text in kept.iter().chain([&ended.stdout, &ended.stderr]) {
        assert!(text.contains("***") && !text.contains("hor") && !text.contains("Y29ycmVj"), "{text}");
    }
}

#[test]
fn a_make_below_hoist_shares_its_places() {
    if !installed("the jobserver, with make", &["make"]) {
        return;
    }
    let repo = Repo::with("target \"x\" { inputs \"Makefile\"; run \"make\"; }");
    // Each waits for the others, which only ends if all run at once.
    let mut makefile = "all: a b c\n".to_owned();
    for (name, others) in [("a", "b c"), ("b", "a c"), ("c", "a b")] {
        let wait = others.split(' ').map(|other| format!("test -e {other}")).collect::<Vec<_>>().join(" && ");
        let _ = writeln!(makefile, "{name}:\n\t@touch {name}; until {wait}; do sleep 0.01; done");
    }
    repo.write("Makefile", makefile);
    let ended = repo.hoist(&["run", "x", "-j3"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
    assert!(!ended.stderr.contains("jobserver"), "{}", ended.stderr);
}

#[test]
fn hoist_below_make_takes_part() {
    if !installed("the jobserver, with make", &["make"]) {
        return;
    }
    let steps = ["a", "b", "c"].map(|name| {
        let begin = "flock lock sh -c 'echo x >> running; wc -l < running >> most'";
        format!("target \"{name}\" {{ run \"{begin}; sleep 0.1; flock lock sed -i 1d running\"; }}\n")
    });
    let repo = Repo::with(&(steps.concat() + "target \"all\" { needs \"a\" \"b\" \"c\"; }"));
    repo.write("Makefile", format!("all:\n\t+{} run all\n", env!("CARGO_BIN_EXE_hoist")));
    let mut command = Command::new("make");
    command.arg("-j2").current_dir(repo.path()).env_clear();
    command.envs(repo.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().expect("make can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let most = repo.read("most").lines().filter_map(|line| line.trim().parse::<u32>().ok()).max();
    assert!(most <= Some(2), "{most:?}");
}

#[test]
fn who_reads_slowly_does_not_make_hoist_grow() {
    let repo = Repo::with("target \"x\" { run \"head -c 30000000 /dev/zero | tr '\\\\0' x | fold -w 99\"; }");
    let mut command = repo.command(&["x", "--json"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("hoist can be started");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut peak = 0;
    for line in lines.map_while(Result::ok).step_by(30_000) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let high = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        peak = peak.max(high.and_then(|high| high.trim().parse::<u64>().ok()).unwrap_or(0));
        drop(line);
    }
    assert!(child.wait().expect("it ends").success());
    assert!(peak > 0 && peak < 64 * 1024, "{peak} kB");
}

#[test]
fn clean_leaves_what_a_run_that_goes_on_uses() {
    let repo = Repo::with(
        r#"
        target "make" { inputs "release.kdl"; outputs "made"; run "echo made > made"; }
        target "use" { needs "make"; run "touch ready; while test ! -e go; do sleep 0.01; done; cat made"; }
        "#,
    );
    assert_eq!(repo.hoist(&["make"]).code, 0);
    let mut child = start(&repo, &["use"]);
    eventually("the step is ready", || repo.has("ready"));
    let clean = repo.hoist(&["clean"]);
    assert_eq!((clean.code, repo.has("made")), (0, true), "{}", clean.stderr);
    assert!(clean.stderr.contains("goes on: its record, and what steps made"), "{}", clean.stderr);
    repo.write("go", "");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(repo.hoist(&["log", "use"]).stdout, "made\n");
    assert_eq!(repo.hoist(&["clean"]).code, 0);
    assert!(!repo.has("made"));
    let runs = std::fs::read_dir(repo.path().join(".hoist/runs")).expect("it stays");
    assert_eq!(runs.count(), 0);
}

#[test]
fn what_a_killed_hoist_left_behind_is_waited_for_and_named() {
    let repo = Repo::with(
        r#"target "s" {
            inputs "in"; outputs "s.txt"
            run "v=$(cat in); touch ready; until test -e go || test $v = 2; do sleep .01; done; echo $v > s.txt"
        }"#,
    );
    repo.write("in", "1");
    let mut child = start(&repo, &["run", "s"]);
    eventually("the step is ready", || repo.has("ready"));
    child.kill().expect("hoist runs");
    child.wait().expect("it ends");
    repo.write("in", "2");
    let mut command = repo.command(&["run", "s"]);
    let second = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut second = second.expect("hoist can be started");
    let mut lines = BufReader::new(second.stderr.take().expect("a pipe")).lines();
    let told = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("waits for it")));
    let told = told.expect("it says that it waits").expect("text");
    assert!(told.contains("still makes the same here, left behind by a hoist that was killed"), "{told}");
    assert!(told.contains("`kill -- -"), "{told}");
    repo.write("go", "");
    assert!(second.wait().expect("it ends").success());
    assert_eq!(repo.read("s.txt"), "2\n");
    std::fs::remove_file(repo.path().join("s.txt")).expect("it is there");
    done(&repo.hoist(&["run", "s"]));
    assert_eq!(repo.read("s.txt"), "2\n");
}

#[test]
fn a_service_that_a_step_left_behind_keeps_nobody_waiting() {
    let repo = Repo::with(
        r#"target "serve" {
            inputs "in"; outputs "pid"
            run "setsid sleep 600 > /dev/null 2>&1 & echo $! > pid"
        }"#,
    );
    repo.write("in", "1");
    done(&repo.hoist(&["run", "serve"]));
    let first = pid(&repo.read("pid"));
    test_kill_process(first).expect("the service goes on");
    repo.write("in", "2");
    let ended = repo.hoist(&["run", "serve"]);
    done(&ended);
    assert!(!ended.stderr.contains("waits"), "{}", ended.stderr);
    for service in [first, pid(&repo.read("pid"))] {
        kill_process(service, Signal::KILL).expect("the service goes on");
    }
}
