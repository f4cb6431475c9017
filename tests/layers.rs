//! The direction in which the modules may import each other, and what a file
//! may contain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules, in the order in which data passes them: each may import only
/// those before it.
const ORDER: &[&str] = &[
    "diagnostic",
    "oci",
    "syntax",
    "dockerfile",
    "config",
    "facts",
    "tags",
    "plan",
    "store",
    "cache",
    "engine",
    "seal",
    "inspect",
    "deploy",
    "release",
    "run",
    "report",
    "interop",
    "cli",
];

/// Modules that do not import each other although their order would allow it.
const APART: &[(&str, &str)] = &[
    ("engine", "cache"),
    ("seal", "cache"),
    ("seal", "engine"),
    ("inspect", "cache"),
    ("release", "cache"),
    ("release", "engine"),
    ("deploy", "store"),
    ("deploy", "plan"),
    ("interop", "report"),
];

/// Crates, and the only modules that may name them.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("kdl", &["syntax"]),
    ("miette", &["report"]),
    ("git2", &["facts", "release"]),
    ("clap", &["cli"]),
    ("chrono", &["report"]),
    ("quick_junit", &["report"]),
    ("notify", &["facts"]),
    ("reqwest", &["store", "deploy"]),
    ("libcontainer", &["engine"]),
    ("landlock", &["run"]),
    ("libc", &["run"]),
    ("nix", &["run"]),
    ("tokio", &["store", "engine", "seal", "release", "run", "cli"]),
    ("bollard", &["engine"]),
    ("tonic", &["engine"]),
    ("saphyr_parser", &["deploy"]),
    ("p256", &["seal"]),
    ("scrypt", &["seal"]),
    ("crypto_secretbox", &["seal"]),
    ("prost", &["engine"]),
];

/// Modules that touch no file, environment, clock, network, or process.
const PURE: &[&str] = &["diagnostic", "oci", "syntax", "dockerfile", "config", "tags", "plan"];

/// What a pure module must not name.
const EFFECTS: &[&str] = &[
    "std::fs",
    "std::env::var",
    "std::net::Tcp",
    "std::process",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
];

/// Most lines of a file.
const CEILING: usize = 600;

/// Every source file with its module and its text without comments.
fn sources() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).expect("the sources can be listed") {
            let path = entry.expect("the sources can be listed").path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let below = path.strip_prefix(&root).expect("it lies below").to_owned();
            if below.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let module = below.iter().next().expect("a path has a part").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a source can be read");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let code = code.collect::<Vec<_>>().join("\n");
            found.push((below, module, code));
        }
    }
    found.sort();
    assert!(found.len() > 50, "the sources are found");
    found
}

/// Whether a file holds nothing but tests and what they need.
fn is_test(path: &Path) -> bool {
    path.iter().any(|part| ["tests", "tests.rs", "fixture.rs"].iter().any(|name| part == *name))
}

/// The lines of a file, without its tests.
fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests").next().unwrap_or(code)
}

fn complain(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn each_module_imports_only_those_before_it() {
    let rank: BTreeMap<_, _> = ORDER.iter().enumerate().map(|(rank, module)| (*module, rank)).collect();
    let mut wrong = Vec::new();
    for (path, module, code) in sources() {
        let Some(own) = rank.get(module.as_str()) else {
            let known = ["lib.rs", "main.rs"].contains(&module.as_str());
            if !known {
                wrong.push(format!("{}: `{module}` has no place in the order", path.display()));
            }
            continue;
        };
        for piece in without_tests(&code).split("crate::").skip(1) {
            let name: String = piece.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let apart = APART.contains(&(module.as_str(), name.as_str()));
            let later = rank.get(name.as_str()).is_some_and(|other| other > own);
            if apart || later {
                wrong.push(format!("{} imports `{name}`", path.display()));
            }
        }
    }
    complain("imports against the direction of the data", &wrong);
}

#[test]
fn each_edge_between_modules_is_a_line_of_its_own() {
    let grouped = sources().into_iter().filter(|(_, _, code)| code.contains("use crate::{"));
    complain("grouped imports", &grouped.map(|(path, ..)| path.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn a_crate_is_named_only_where_it_belongs() {
    let mut wrong = Vec::new();
    for (path, module, code) in sources() {
        for (name, modules) in ONLY_IN {
            let named = code.contains(&format!("use {name}::")) || code.contains(&format!(" {name}::"));
            if named && !modules.contains(&module.as_str()) {
                wrong.push(format!("{} names `{name}`", path.display()));
            }
        }
    }
    complain("crates in the wrong place", &wrong);
}

#[test]
fn pure_modules_touch_nothing() {
    let mut wrong = Vec::new();
    for (path, module, code) in sources().into_iter().filter(|(path, ..)| !is_test(path)) {
        let code = without_tests(&code);
        for effect in
            EFFECTS.iter().filter(|effect| PURE.contains(&module.as_str()) && code.contains(**effect))
        {
            wrong.push(format!("{} names `{effect}`", path.display()));
        }
    }
    complain("effects in pure modules", &wrong);
}

#[test]
fn no_file_is_longer_than_its_ceiling() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let long = sources().into_iter().filter_map(|(path, ..)| {
        let lines = fs::read_to_string(root.join(&path)).expect("a source can be read").lines().count();
        (lines > CEILING).then(|| format!("{}: {lines} lines", path.display()))
    });
    complain("files that are too long", &long.collect::<Vec<_>>());
}

#[test]
fn each_module_says_what_it_is_and_what_it_never_imports() {
    let mut silent = Vec::new();
    for module in ORDER {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module).join("mod.rs");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
        if lines < 4 {
            silent.push((*module).to_owned());
        }
    }
    complain("modules without a word on what they are", &silent);
}
