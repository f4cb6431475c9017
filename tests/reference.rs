//! What hoist says when something is wrong: each case a file in
//! `tests/reference`, compared as a whole.
//!
//! A case is a text in sections: `-- path --` is a file of the project,
//! `-- $ hoist … --` a call with what it prints, and its exit code.
//! `HOIST_UPDATE=1 cargo test reference` writes what is printed now.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::Repo;

/// Codes that no call in a quiet directory can provoke, and the tests that do:
/// each names its code as in the program.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "hoist::dockerfile::unknown_instruction",
        "src/dockerfile/tests/problems.rs",
        "Code::UnknownInstruction",
    ),
    (
        "hoist::dockerfile::invalid_instruction",
        "src/dockerfile/tests/problems.rs",
        "Code::InvalidInstruction",
    ),
    ("hoist::dockerfile::unknown_stage", "src/dockerfile/tests/problems.rs", "Code::UnknownStage"),
    (
        "hoist::dockerfile::invalid_ignore_pattern",
        "src/dockerfile/tests/ignore.rs",
        "Code::InvalidIgnorePattern",
    ),
    ("hoist::store::registry", "src/store/registry/tests/misbehaving.rs", "Code::Registry"),
    ("hoist::store::unauthorized", "src/store/registry/tests/real.rs", "Code::Unauthorized"),
    ("hoist::store::digest_mismatch", "src/store/registry/tests/misbehaving.rs", "Code::DigestMismatch"),
    ("hoist::engine::no_runtime", "tests/containers.rs", "Code::NoRuntime"),
    ("hoist::engine::hostile_layer", "tests/bases.rs", "Code::HostileLayer"),
    ("hoist::engine::build_failed", "tests/engine_faults.rs", "hoist::engine::build_failed"),
    ("hoist::deploy::manifest", "tests/deploying.rs", "hoist::deploy::manifest"),
    ("hoist::deploy::repository", "tests/deploying.rs", "hoist::deploy::repository"),
    ("hoist::deploy::no_tool", "tests/deploying.rs", "hoist::deploy::no_tool"),
    ("hoist::deploy::pull_request", "tests/deploying.rs", "hoist::deploy::pull_request"),
    ("hoist::release::ledger", "src/release/ledger/tests.rs", "Code::Ledger"),
    ("hoist::release::ledger_diverged", "tests/stages.rs", "hoist::release::ledger_diverged"),
    ("hoist::release::gate_not_met", "tests/stages.rs", "hoist::release::gate_not_met"),
    ("hoist::release::not_promotable", "tests/stages.rs", "hoist::release::not_promotable"),
    ("hoist::release::put_back", "tests/stages.rs", "hoist::release::put_back"),
    ("hoist::release::not_put_back", "tests/stages.rs", "hoist::release::not_put_back"),
    ("hoist::deploy::overtaken", "tests/turns.rs", "hoist::deploy::overtaken"),
    ("hoist::deploy::not_verified", "tests/stages.rs", "hoist::deploy::not_verified"),
    ("hoist::run::interrupted", "tests/signals.rs", "Some(130)"),
    ("hoist::run::no_scanner", "tests/scanning.rs", "hoist::run::no_scanner"),
    ("hoist::run::no_sandbox", "tests/sandbox.rs", "hoist::run::no_sandbox"),
    ("hoist::release::ledger_diverged", "tests/stages.rs", "hoist::release::ledger_diverged"),
    ("hoist::release::half_released", "src/release/tests.rs", "Code::HalfReleased"),
];

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let entries = fs::read_dir(directory).expect("the cases can be listed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a case can be listed").path()).collect();
    paths.sort();
    paths
}

/// A section of a case: its heading and its text.
fn sections(text: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let heading = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"));
        if let Some(heading) = heading {
            sections.push((heading.to_owned(), String::new()));
        } else if let Some((_, body)) = sections.last_mut() {
            body.push_str(line);
            body.push('\n');
        }
    }
    sections
}

/// Plays a case and returns its text with what is printed now.
fn play(text: &str) -> String {
    let repo = Repo::new();
    let mut out = String::new();
    for line in text.lines().take_while(|line| !line.starts_with("-- ")) {
        out.extend([line, "\n"]);
    }
    for (heading, body) in sections(text) {
        let body = if let Some(call) = heading.strip_prefix("$ ") {
            call_of(&repo, call)
        } else {
            repo.write(&heading, &body);
            body
        };
        out.extend(["-- ", &heading, " --\n", &body]);
    }
    out
}

/// `hoist …` prints; `git …` and `sh …` prepare.
fn call_of(repo: &Repo, call: &str) -> String {
    let mut words = call.split(' ');
    match (words.next(), words.collect::<Vec<_>>()) {
        (Some("hoist"), arguments) => {
            let ended = repo.hoist(&arguments);
            let mut printed = String::new();
            for line in ended.stdout.lines().chain(ended.stderr.lines()) {
                printed.extend([line.trim_end(), "\n"]);
            }
            format!("{printed}exit {}\n", ended.code)
        }
        (Some("commit"), _) => {
            repo.git(&["init", "--quiet", "--initial-branch=main"]);
            repo.commit("Begin");
            String::new()
        }
        (Some("git"), arguments) => {
            repo.git(&arguments);
            String::new()
        }
        (Some("sh"), _) => {
            let script = call.trim_start_matches("sh ");
            let status =
                std::process::Command::new("sh").args(["-c", script]).current_dir(repo.path()).status();
            assert!(status.is_ok_and(|status| status.success()), "{script}");
            String::new()
        }
        other => panic!("not a call: {other:?}"),
    }
}

#[test]
fn every_case_prints_what_its_file_says() {
    let update = std::env::var_os("HOIST_UPDATE").is_some();
    let mut different = Vec::new();
    for path in cases() {
        let text = fs::read_to_string(&path).expect("a case can be read");
        let played = play(&text);
        if played == text {
            continue;
        }
        if update {
            fs::write(&path, &played).expect("a case can be written");
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let difference = similar::TextDiff::from_lines(&text, &played).unified_diff().to_string();
        different.push(format!("{name}\n{difference}"));
    }
    let all = different.join("\n");
    assert!(
        update || different.is_empty(),
        "{all}\nHOIST_UPDATE=1 cargo test reference writes what is printed now"
    );
}

#[test]
fn every_code_has_a_case() {
    let texts: Vec<_> =
        cases().iter().map(|path| fs::read_to_string(path).expect("a case can be read")).collect();
    let shown = |code: &str| texts.iter().any(|text| text.contains(code));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let elsewhere = |code: &str| {
        let tested = |path: &str, word: &str| {
            fs::read_to_string(root.join(path)).is_ok_and(|text| text.contains(word))
        };
        ELSEWHERE.iter().any(|(known, path, word)| *known == code && tested(path, word))
    };
    let codes = hoist::diagnostic::Code::ALL.iter().map(|code| code.as_str());
    let missing: Vec<_> = codes.filter(|code| !shown(code) && !elsewhere(code)).collect();
    assert!(missing.is_empty(), "codes without a case:\n  {}", missing.join("\n  "));
}
