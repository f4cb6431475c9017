//! What a run shows of itself: logs of CI, reports, records.

use std::process::Command;

use crate::fixture::Repo;

const RELEASE: &str = r#"project "shop"
default "lint" "unit"
target "lint" {
    inputs "src.txt"
    run "cat src.txt; echo '::error::spoofed'; echo '##[endgroup]'"
}
target "unit" {
    needs "lint"
    matrix { py "3.11" "3.12"; }
    run "echo testing $py; test $py = 3.11 || { echo '::add-mask::x'; exit 3; }"
}
"#;

fn shop() -> Repo {
    let repo = Repo::with(RELEASE);
    repo.write("src.txt", "fine\n");
    repo
}

/// The text with the fences of GitHub, which are others each time, made the same.
fn fenced(text: &str) -> String {
    let token = regex::Regex::new("[0-9a-f]{32}").expect("the expression is right");
    token.replace_all(text, "[TOKEN]").into_owned()
}

#[test]
fn on_github_output_is_folded_and_cannot_be_taken_for_commands() {
    let repo = shop();
    let summary = repo.path().join("summary.md");
    let environment =
        [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", summary.to_str().expect("the path is text"))];
    let ended = repo.hoist_with(&["run", "-k", "-j1"], &environment);
    let expected = "\
::group::ok lint  [TIME]
::stop-commands::[TOKEN]
fine
::error::spoofed
##\u{200b}[endgroup]
::[TOKEN]::
::endgroup::
::group::ok unit[py=3.11]  [TIME]
::stop-commands::[TOKEN]
testing 3.11
::[TOKEN]::
::endgroup::
FAILED unit[py=3.12]  [TIME]  exit status 3 (its log is at the end)

--- unit[py=3.12]
::stop-commands::[TOKEN]
testing 3.12
::add-mask::x
::[TOKEN]::

";
    let out = fenced(&ended.stdout);
    assert!(out.starts_with(expected), "{out}");
    let annotation = "\n::error file=release.kdl,line=10,endLine=10,col=5,endColumn=81,\
                      title=hoist%3A%3Arun%3A%3Acommand_failed::`unit[py=3.12]` failed: exit status 3%0A\
                      testing 3.12%0A::add-mask::x\nFAILED 1 failed, 2 ran in [TIME]\n";
    assert!(out.ends_with(annotation), "{out}");
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    let summary = repo.read("summary.md");
    assert!(summary.contains("| ❌ | <code>unit[py=3.12]</code> | failed |"), "{summary}");
    // What is asked for as JSON, or quietly, is that alone.
    let json = repo.hoist_with(&["run", "-k", "--json"], &environment);
    assert!(json.stdout.lines().all(|line| line.starts_with('{')), "{}", json.stdout);
    let quiet = repo.hoist_with(&["run", "unit[py=3.11]", "-q"], &environment);
    assert_eq!(quiet.stdout, "testing 3.11\n");
}

#[test]
fn annotations_are_relative_to_the_top_of_the_repository() {
    let repo = Repo::new();
    repo.write("services/api/release.kdl", "target \"bad\" { run \"false\"; }\n");
    repo.git(&["init", "--quiet"]);
    repo.commit("Begin");
    let ended = repo.hoist_with(&["-C", "services/api", "bad"], &[("GITHUB_ACTIONS", "true")]);
    assert!(ended.stdout.contains("::error file=services/api/release.kdl,line=1,"), "{}", ended.stdout);
}

#[test]
fn on_github_what_is_refused_before_a_run_is_in_the_files_and_the_summary() {
    let repo = Repo::with("target \"bad\" {\n    rum \"false\"\n}\n");
    let summary = repo.path().join("summary.md");
    let environment =
        [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", summary.to_str().expect("the path is text"))];
    let ended = repo.hoist_with(&["run", "bad"], &environment);
    let annotation = "\n::error file=release.kdl,line=2,endLine=2,col=5,endColumn=8,\
                      title=hoist%3A%3Aconfig%3A%3Aunknown_node::`target` has no node `rum`";
    assert!(ended.code == 2 && ended.stderr.contains(annotation), "{}", ended.stderr);
    let first = "### ❌ hoist: 1 problem\n\n- **`target` has no node `rum`** (release.kdl:2)\n";
    assert!(repo.read("summary.md").replace('\\', "").starts_with(first), "{}", repo.read("summary.md"));
    let stages = "image \"web\" { assemble from=\"scratch\"; push \"out\"; }\nregistry \"out\" \"oci:out\"\n\
                  stage \"dev\"\nstage \"prod\" { from \"dev\"; on tag=\"v*\"; }\n";
    repo.write("release.kdl", stages);
    repo.write(".gitignore", "/summary.md\n");
    repo.commit("Stages");
    let ended = repo.hoist_with(&["release", "--event", "tag=v1.0.0", "--yes"], &environment);
    assert!(ended.code == 3 && ended.stderr.contains("\n::error "), "{}", ended.stderr);
    assert!(repo.read("summary.md").contains("nothing runs in"), "{}", repo.read("summary.md"));
    let json = repo.hoist_with(&["release", "--event", "tag=v1.0.0", "--yes", "--json"], &environment);
    assert_eq!((json.code, json.stderr.contains("::error")), (3, false), "{}", json.stderr);
}

#[test]
fn on_gitlab_output_is_in_sections() {
    let ended = shop().hoist_with(&["run", "-k", "-j1"], &[("GITLAB_CI", "true")]);
    let number = regex::Regex::new(":[0-9]{9,}:").expect("the expression is right");
    let out = number.replace_all(&ended.stdout, ":0:");
    let first = "\u{1b}[0Ksection_start:0:hoist_1[collapsed=true]\r\u{1b}[0Kok lint  [TIME]\nfine\n";
    assert!(out.starts_with(first), "{out}");
    assert_eq!(out.matches("section_end:0:").count(), 2, "{out}");
    assert!(!out.contains("\n::error file"), "{out}");
}

#[test]
fn a_run_that_fails_writes_its_reports_all_the_same() {
    let repo = shop();
    let ended = repo.hoist(&["run", "-k", "--junit", "out/junit.xml", "--trace", "out/trace.json"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let junit = repo.read("out/junit.xml");
    assert!(junit.contains("tests=\"3\"") && junit.contains("failures=\"1\""), "{junit}");
    let trace: serde_json::Value = serde_json::from_str(&repo.read("out/trace.json")).expect("it is JSON");
    let steps = trace["traceEvents"].as_array().expect("there are events").iter();
    assert_eq!(steps.filter(|event| event["ph"] == "X").count(), 3);
    // The same from the record.
    assert_eq!(
        repo.hoist(&["report", "--format", "junit"]).stdout,
        junit.replace(&*repo.path().to_string_lossy(), "[DIR]/project")
    );
    let sum: serde_json::Value =
        serde_json::from_str(&repo.hoist(&["report", "--json"]).stdout).expect("it is JSON");
    assert_eq!((&sum["counts"]["failed"], &sum["result"]), (&1.into(), &"failed".into()));
    assert!(repo.hoist(&["report"]).stdout.starts_with("### ❌ shop: 1 failed, 2 ran in [TIME]\n"));
    let ended = repo.hoist(&["report", "--format", "trace", "-o", "src.txt/x"]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
}

#[test]
fn junit_is_read_by_a_parser_of_xml() {
    let repo =
        Repo::with("target \"odd\" { run \"printf 'a<b>\\\\001&\\\\357\\\\277\\\\276 ]]>'; exit 1\"; }\n");
    if !crate::fixture::installed("JUnit through a parser of XML", &["python3"]) {
        return;
    }
    repo.hoist(&["odd", "--junit", "junit.xml"]);
    let program = "import xml.dom.minidom, sys; \
                   print(xml.dom.minidom.parse(sys.argv[1]).getElementsByTagName('system-out')[0].firstChild.data)";
    let parsed = Command::new("python3").args(["-c", program]).arg(repo.path().join("junit.xml")).output();
    let parsed = parsed.expect("python3 can be started");
    assert_eq!(String::from_utf8_lossy(&parsed.stdout).trim(), "a<b>& ]]>", "{parsed:?}");
}

#[test]
fn the_log_of_a_failed_run_begins_with_what_failed() {
    let repo = shop();
    repo.hoist(&["run", "-k", "-j1"]);
    let log = repo.hoist(&["log"]).stdout;
    assert!(log.starts_with("-- unit[py=3.12]\ntesting 3.12\n::add-mask::x\n\nok lint  [TIME]\n"), "{log}");
    assert!(log.ends_with(": 1 failed, 2 ran in [TIME]\n"), "{log}");
    let of_target = repo.hoist(&["log", "unit"]).stdout;
    assert!(of_target.starts_with("-- unit[py=3.11]\ntesting 3.11\n-- unit[py=3.12]\n"), "{of_target}");
    repo.hoist(&["lint"]);
    let runs = repo.hoist(&["log", "--runs"]).stdout;
    let runs: Vec<Vec<&str>> = runs.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((runs.len(), runs[1][3], runs[2][3]), (3, "lint", "(default)"), "{runs:?}");
    // An earlier run by a part of its id, and a step of the newest run that has it.
    let (_, part) = runs[2][0].split_once('-').expect("an id has two parts");
    assert_eq!(repo.hoist(&["log", "--run", part, "unit[*12]"]).stdout, "testing 3.12\n::add-mask::x\n");
    assert_eq!(repo.hoist(&["log", "unit[py=3.11]"]).stdout, "testing 3.11\n");
    assert_eq!(repo.hoist(&["log", "--run", part, "nothing"]).code, 2);
    assert_eq!(repo.hoist(&["log", "--run", "2"]).code, 2);
}

#[test]
fn of_a_run_that_went_wrong_the_list_of_runs_counts_what_did() {
    let repo = Repo::with(
        r#"
        target "gone" { run "rm x"; }
        target "use" { needs "gone"; run "cat x"; inputs "x"; }
        "#,
    );
    repo.write("x", "1\n");
    assert_eq!(repo.hoist(&["use"]).code, 2);
    let runs = repo.hoist(&["log", "--runs"]).stdout;
    assert!(runs.ends_with("  use   1 failed, 1 ran\n"), "{runs}");
}

#[test]
fn colours_of_output_are_kept_where_they_can_be_seen() {
    let repo = Repo::with("target \"red\" { run \"printf '\\\\033[31mred\\\\033[0m\\\\n'\"; }\n");
    repo.hoist(&["red"]);
    assert_eq!(repo.hoist(&["log", "red"]).stdout, "red\n");
    assert_eq!(repo.hoist(&["log", "red", "--color", "always"]).stdout, "\u{1b}[31mred\u{1b}[0m\n");
}

#[test]
fn of_a_step_that_wrote_nothing_the_log_says_so() {
    let repo = Repo::with(
        "target \"slow\" { run \"sleep 60\"; timeout \"200ms\"; }\ntarget \"calm\" { run \"true\"; }\n",
    );
    assert_eq!(repo.hoist(&["slow"]).code, 1);
    let log = repo.hoist(&["log", "slow"]);
    assert_eq!((log.code, log.stdout.as_str()), (0, ""));
    assert!(log.stderr.starts_with("`slow` wrote nothing: FAILED slow"), "{}", log.stderr);
    let log = repo.hoist(&["log"]).stdout;
    assert!(log.starts_with("-- slow\nhoist::run::timed_out\n"), "{log}");
    assert_eq!(repo.hoist(&["calm"]).code, 0);
    let log = repo.hoist(&["log", "calm"]).stderr;
    assert!(log.starts_with("`calm` wrote nothing: ok calm"), "{log}");
}
