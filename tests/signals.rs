//! Ctrl-C: the run stops, what it started is gone, and what is to run whatever
//! happens has run.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

use crate::fixture::Repo;

const LONG: &str = r#"
target "long" {
    run "trap 'echo asked; exit 7' INT; echo $$; sleep 600 & wait"
    finally "after"
}
target "stubborn" {
    run "trap '' INT TERM; echo $$; sleep 600 & sleep 600; sleep 600"
}
target "after" { run "touch after"; }
"#;

pub(crate) fn pid(of: u32) -> Pid {
    Pid::from_raw(i32::try_from(of).expect("a process id")).expect("a process id")
}

/// Starts a target, and waits until its command runs; the command's process.
pub(crate) fn start(repo: &Repo, target: &str) -> (Child, Pid) {
    let mut child = repo
        .command(&["run", target, "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("hoist can be started");
    let stdout = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let process = lines.by_ref().find_map(|line| {
        let event: serde_json::Value = serde_json::from_str(&line).ok()?;
        let text = event["text"].as_str().filter(|_| event["event"] == "output")?;
        Some(pid(text.trim().parse().ok()?))
    });
    // Keeps the pipe from filling.
    std::thread::spawn(move || lines.for_each(drop));
    (child, process.expect("the command says its process id"))
}

#[test]
fn an_interrupt_is_passed_on_and_what_is_final_runs() {
    let repo = Repo::with(LONG);
    let (mut child, command) = start(&repo, "long");
    kill_process(pid(child.id()), Signal::INT).expect("hoist runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(test_kill_process(command).is_err(), "the command is gone");
    assert!(repo.has("after"));
    assert_eq!(repo.hoist(&["log", "long"]).stdout.lines().last(), Some("asked"));
}

#[test]
fn an_interrupt_lets_what_is_final_come_to_its_end() {
    let repo = Repo::with(
        r#"target "quick" { run "true"; finally "last"; }
        target "last" { run "echo $$; sleep 1; touch cleaned"; }"#,
    );
    let (mut child, _) = start(&repo, "quick");
    kill_process(pid(child.id()), Signal::INT).expect("hoist runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(repo.has("cleaned"));
}

#[test]
fn a_second_interrupt_kills() {
    let repo = Repo::with(LONG);
    let (mut child, command) = start(&repo, "stubborn");
    let hoist = pid(child.id());
    kill_process(hoist, Signal::INT).expect("hoist runs");
    kill_process(hoist, Signal::INT).expect("hoist runs");
    // Signals of one kind that wait are one: say it until it is heard.
    let code = loop {
        if let Some(status) = child.try_wait().expect("its state can be asked") {
            break status.code();
        }
        let _ = kill_process(hoist, Signal::INT);
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!(code, Some(130));
    assert!(test_kill_process(command).is_err(), "the command is gone");
}

#[test]
fn a_tool_that_takes_its_time_is_named_and_ends_with_hoist() {
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    let repo = Repo::with(r#"target "a" { tool "echo $$ > pid; sleep 600 & wait"; run "touch ran"; }"#);
    let mut command = repo.command(&["run", "a"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().expect("hoist can be started");
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("it is piped")).read_line(&mut line).expect("it is text");
    assert!(line.starts_with("Waiting for `echo $$ > pid;"), "{line}");
    kill_process_group(pid(child.id()), Signal::INT).expect("hoist runs");
    assert_eq!(child.wait().expect("it ends").signal(), Some(Signal::INT.as_raw()));
    let tool = pid(repo.read("pid").trim().parse().expect("a number"));
    while test_kill_process(tool).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!repo.has("ran"));
}

#[test]
fn ctrl_c_in_what_owns_the_terminal_interrupts_the_run() {
    use std::os::unix::process::CommandExt as _;
    // Its own exit code says nothing of it. A shell whose child ends by itself in that
    // moment, or does not hear of it, would go on: it has none.
    for end in ["exec sleep 600", "trap 'exit 1' INT; sleep 600 & wait"] {
        let repo = Repo::with(&format!(
            "target \"serve\" {{ interactive; run \": > ready; {end}\"; finally \"after\"; }}
             target \"after\" {{ run \"touch after\"; }}
             target \"next\" {{ needs \"serve\"; run \"touch next\"; }}"
        ));
        let mut command = repo.command(&["run", "next", "--quiet"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().expect("hoist can be started");
        while !repo.has("ready") {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        kill_process_group(pid(child.id()), Signal::INT).expect("hoist runs");
        assert_eq!(child.wait().expect("it ends").code(), Some(130));
        assert!(repo.has("after") && !repo.has("next"));
    }
}

#[test]
fn after_a_second_interrupt_nothing_starts() {
    let release = LONG.replace("target \"stubborn\" {", "target \"stubborn\" { finally \"after\";");
    let repo = Repo::with(&release);
    let (mut child, _) = start(&repo, "stubborn");
    while child.try_wait().expect("its state can be asked").is_none() {
        let _ = kill_process(pid(child.id()), Signal::INT);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!repo.has("after"));
}
