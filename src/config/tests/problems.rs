//! What is said of documents that are wrong: the cases of `problems.md`, each a
//! sentence, a document, and exactly what is said of it.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::fs;
use std::path::Path;

use crate::config::tests::problems;
use crate::diagnostic::Code;

const CASES: &str = include_str!("problems.md");

/// What is said of a document, by any version of hoist.
fn told(document: &str) -> String {
    problems(document).replace(concat!("this is hoist ", env!("CARGO_PKG_VERSION")), "this is hoist VERSION")
}

/// A case with what is really said of its document.
fn answered(case: &str) -> String {
    let (before, rest) = case.split_once("```kdl\n").expect("a case has a document");
    let (document, _) = rest.split_once("```\n").expect("a document ends");
    format!("{before}```kdl\n{document}```\n\n```text\n{}```\n", told(document))
}

#[test]
fn every_problem_is_told_with_its_place_and_a_remedy() {
    let (head, cases) = CASES.split_once("\n## ").expect("there are cases");
    let cases: Vec<String> = cases.split("\n## ").map(answered).collect();
    let told = format!("{head}\n## {}", cases.join("\n## "));
    if std::env::var_os("HOIST_UPDATE").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/problems.md"), &told).unwrap();
    }
    for (case, was) in cases.iter().zip(CASES.split("\n## ").skip(1)) {
        assert!(
            case.trim_end() == was.trim_end(),
            "what is said now:\n\n{case}\n`HOIST_UPDATE=1 cargo test --lib config::` writes it"
        );
    }
}

#[test]
fn every_code_of_this_station_has_a_case_and_every_problem_a_remedy() {
    let here = Code::ALL.iter().map(|code| code.as_str()).filter(|code| code.contains("::config::"));
    // What includes cannot read is found where files are read.
    let missing: Vec<&str> =
        here.filter(|code| !CASES.contains(code) && !code.ends_with("::include")).collect();
    assert_eq!(missing, [""; 0]);
    assert!(!CASES.contains("help: -\n"));
}
