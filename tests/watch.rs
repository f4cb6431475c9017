//! `--watch`: a change runs again what it matters to.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::fixture::Repo;
use crate::signals::pid;

/// Longer than anything here takes on a machine that is busy.
const BOUND: Duration = Duration::from_mins(1);

/// A hoist that watches, and what it tells.
struct Watching {
    child: Child,
    events: Receiver<Value>,
}

impl Watching {
    fn start(repo: &Repo, arguments: &[&str]) -> Self {
        let arguments = [arguments, &["--watch", "--json"]].concat();
        let mut command = repo.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("hoist can be started");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).expect("each line is JSON"));
            }
        });
        Self { child, events }
    }

    /// What is told until an event that is wanted, and that event.
    fn until(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            match self.events.recv_timeout(BOUND) {
                Ok(event) => seen.push(event),
                Err(error) => panic!("{error}, after {seen:#?}"),
            }
            if seen.last().is_some_and(&wanted) {
                return seen;
            }
        }
    }

    /// Waits until hoist waits; the outputs of the steps that ran until then.
    fn until_it_waits(&self) -> Vec<String> {
        self.until_it_says_for_what_it_waits().0
    }

    /// The same, and what it says of that for which it waits.
    fn until_it_says_for_what_it_waits(&self) -> (Vec<String>, String) {
        let seen = self.until(|event| said(event).is_some_and(|text| text.starts_with("waits for changes")));
        let output = seen.iter().filter(|event| event["event"] == "output" && event["replayed"].is_null());
        let output = output.map(|event| event["text"].as_str().unwrap_or_default().to_owned()).collect();
        (output, seen.last().and_then(said).unwrap_or_default().to_owned())
    }

    fn end(mut self) -> ExitStatus {
        kill_process(pid(self.child.id()), Signal::INT).expect("hoist runs");
        self.child.wait().expect("it ends")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(event: &Value) -> Option<&str> {
    event["text"].as_str().filter(|_| event["event"] == "notice")
}

const COPY: &str = r#"
target "copy" {
    inputs "src/**/*.txt" "one.cfg"
    outputs "out.txt"
    run "cat src/?.txt > out.txt; cat out.txt; find src -mindepth 2 -type f"
}
"#;

fn copy() -> Repo {
    let repo = Repo::with(COPY);
    repo.write("src/a.txt", "a\n");
    repo.write("one.cfg", "1\n");
    repo.write(".gitignore", "*.ignored.txt\n");
    repo
}

#[test]
fn a_changed_input_runs_again_and_nothing_else_does() {
    let repo = copy();
    let watching = Watching::start(&repo, &["run", "copy"]);
    assert_eq!(watching.until_it_waits(), ["a"]);
    // None of these matters: not declared, ignored, as it was, made by the target.
    repo.write("src/b.md", "b\n");
    repo.write("src/x.ignored.txt", "x\n");
    repo.write("src/a.txt", "a\n");
    repo.write("out.txt", "changed\n");
    repo.write("src/b.txt", "b\n");
    let seen = watching.until(|event| said(event).is_some());
    assert_eq!(said(seen.last().expect("it is there")), Some("src/b.txt changed"));
    assert_eq!(watching.until_it_waits(), ["a", "b"]);
    // A directory that is new, and a file that is gone.
    repo.write("src/deep/er/c.txt", "c\n");
    assert_eq!(watching.until_it_waits(), ["a", "b", "src/deep/er/c.txt"]);
    std::fs::remove_file(repo.path().join("src/b.txt")).expect("it can be removed");
    assert_eq!(watching.until_it_waits(), ["a", "src/deep/er/c.txt"]);
    std::fs::remove_dir_all(repo.path().join("src/deep")).expect("it can be removed");
    // What it was before is in the cache. What is gone is not counted.
    let (output, waits) = watching.until_it_says_for_what_it_waits();
    assert_eq!(output, [""; 0]);
    assert_eq!(waits, "waits for changes: watches 3 files, and new ones (Ctrl-C ends)");
    assert_eq!(repo.read("out.txt"), "a\n");
    assert_eq!(watching.end().code(), Some(130));
}

#[test]
fn a_directory_that_is_removed_and_made_again_is_watched() {
    let repo = copy();
    let watching = Watching::start(&repo, &["run", "copy"]);
    assert_eq!(watching.until_it_waits(), ["a"]);
    std::fs::remove_dir_all(repo.path().join("src")).expect("it can be removed");
    for text in ["again", "and again"] {
        repo.write("src/a.txt", format!("{text}\n"));
        assert_eq!(watching.until_it_waits(), [text]);
    }
    assert_eq!(watching.end().code(), Some(130));
}

#[test]
fn what_a_link_leads_to_is_watched_where_it_lies() {
    let repo = Repo::with(r#"target "show" { inputs "link"; run "cat link"; }"#);
    repo.write("real/a", "a\n");
    std::os::unix::fs::symlink("real/way", repo.path().join("link")).expect("it can be made");
    std::os::unix::fs::symlink("a", repo.path().join("real/way")).expect("it can be made");
    let watching = Watching::start(&repo, &["run", "show"]);
    assert_eq!(watching.until_it_waits(), ["a"]);
    repo.write("real/a", "b\n");
    assert_eq!(watching.until_it_waits(), ["b"]);
    repo.write("real/c", "c\n");
    std::fs::remove_file(repo.path().join("real/way")).expect("it can be removed");
    std::os::unix::fs::symlink("c", repo.path().join("real/way")).expect("it can be made");
    assert_eq!(watching.until_it_waits(), ["c"]);
    assert_eq!(watching.end().code(), Some(130));
}

#[test]
fn a_file_that_an_editor_replaces_is_seen_and_so_is_polling() {
    let repo = copy();
    let watching = Watching::start(&repo, &["run", "copy", "--poll"]);
    assert_eq!(watching.until_it_waits(), ["a"]);
    repo.write("src/.a.txt.new", "longer\n");
    std::fs::rename(repo.path().join("src/.a.txt.new"), repo.path().join("src/a.txt"))
        .expect("it can be renamed");
    assert_eq!(watching.until_it_waits(), ["longer"]);
}

#[test]
fn a_change_stops_what_runs_and_begins_anew() {
    let repo = Repo::with(
        r#"
        target "serve" {
            inputs "conf"
            run "echo serves $(cat conf); exec sleep 600"
        }
        "#,
    );
    repo.write("conf", "1");
    let watching = Watching::start(&repo, &["serve"]);
    watching.until(|event| event["text"] == "serves 1");
    repo.write("conf", "2");
    let seen = watching.until(|event| event["text"] == "serves 2");
    assert!(seen.iter().any(|event| said(event) == Some("conf changed: stops what runs")), "{seen:#?}");
    let ended: Vec<_> = seen.iter().filter(|event| event["event"] == "step-ended").collect();
    assert!(ended.len() == 1 && ended[0]["outcome"] == "cancelled", "{ended:#?}");
    assert_eq!(watching.end().code(), Some(130));
}

#[test]
fn a_mistake_in_the_release_file_is_shown_and_waited_out() {
    let repo = copy();
    let watching = Watching::start(&repo, &["run", "copy"]);
    watching.until_it_waits();
    repo.write("release.kdl", "target \"copy\" {\n");
    let seen = watching.until(|event| said(event).is_some_and(|text| text.starts_with("waits")));
    assert!(seen.iter().any(|event| event["problems"][0]["code"] == "hoist::syntax::not_kdl"), "{seen:#?}");
    repo.write("release.kdl", COPY.replace("cat out.txt;", "echo mended;"));
    assert_eq!(watching.until_it_waits(), ["mended"]);
}

#[test]
fn where_no_inputs_are_declared_the_project_is_watched_without_what_is_ignored() {
    let repo = Repo::with("target \"test\" { run \"echo tested; date > log.ignored\"; }\n");
    repo.write(".gitignore", "*.ignored\n");
    let watching = Watching::start(&repo, &["test"]);
    assert_eq!(watching.until_it_waits(), ["tested"]);
    repo.write("lib/new.py", "x\n");
    assert_eq!(watching.until_it_waits(), ["tested"]);
}

#[test]
fn a_file_that_each_run_changes_is_given_up() {
    let repo = Repo::with("target \"stamp\" { run \"date +%s%N > stamp\"; }\n");
    let watching = Watching::start(&repo, &["stamp"]);
    watching.until(|event| said(event).is_some_and(|text| text.starts_with("stamp changes with each run")));
    assert_eq!(watching.end().code(), Some(130));
}

#[test]
fn what_publishes_is_refused() {
    let repo = Repo::with(
        r#"
        image "web" { assemble from="scratch" { layer { copy "file" "/file"; }; }; push "out"; }
        registry "out" "oci:out"
        "#,
    );
    repo.write("file", "1\n");
    repo.commit("Add a file");
    let ended = repo.hoist(&["run", "push", "--watch"]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`--watch` does not publish, as `web:push@out` does"), "{}", ended.stderr);
}
