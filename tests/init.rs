//! `hoist init`: what it writes checks, and runs.

use crate::fixture::Repo;

fn init(files: &[(&str, &str)]) -> Repo {
    let repo = Repo::new();
    for (path, text) in files {
        repo.write(path, text);
    }
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    let ended = repo.hoist(&["init"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let check = repo.hoist(&["check"]);
    assert_eq!(check.code, 0, "{}\n{}", repo.read("release.kdl"), check.stderr);
    let formatted = repo.hoist(&["fmt", "--check"]);
    assert_eq!(formatted.code, 0, "{}", formatted.stdout);
    repo
}

#[test]
fn an_empty_project_says_hello() {
    let ended = init(&[]).hoist(&["run"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "hello from project\n"));
}

#[test]
fn a_makefile_is_called_by_its_targets() {
    let repo = init(&[("Makefile", "--all: test\ntest:\n\t@echo tested {x}\n.PHONY: all test\n")]);
    let ended = repo.hoist(&["test"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "tested {x}\n"));
}

#[test]
fn the_default_of_a_makefile_stays_the_default() {
    let makefile = "help: ## Show what there is\n\t@echo help\ntest: ## Test \"it\"\n\t@echo tested\nbuild:\n\t@echo built\n";
    let repo = init(&[("Makefile", makefile), ("Cargo.toml", "[package]\nname = \"x\"\n")]);
    let ended = repo.hoist(&["run"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "help\n"));
    assert_eq!(repo.hoist(&["test"]).stdout, "tested\n");
    let listed = repo.hoist(&[]).stdout;
    assert!(listed.contains("Show what there is (default)") && listed.contains("Test \"it\""), "{listed}");
}

#[test]
fn a_makefile_that_makes_a_file_by_default_is_called_without_a_target() {
    let repo = init(&[("Makefile", "out/app:\n\t@echo app\n%.o: %.c\n\tcc\n")]);
    let ended = repo.hoist(&["run"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "app\n"));
}

#[test]
fn a_crate_is_linted_tested_and_built() {
    let manifest = "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    let repo =
        init(&[("Cargo.toml", manifest), ("src/main.rs", "fn main() {}\n"), (".gitignore", "target\n")]);
    let ended = repo.hoist(&["build"]);
    assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
    assert!(repo.has("target/release/x"));
}

#[test]
fn packages_and_dockerfiles_are_found() {
    let repo = init(&[
        ("package.json", r#"{"scripts": {"lint": "eslint .", "build:web": "vite build"}}"#),
        ("pyproject.toml", "[project]\nname = \"x\"\n"),
        ("Dockerfile", "FROM scratch\n"),
        ("docker/worker.Dockerfile", "FROM scratch\n"),
    ]);
    let listed = repo.hoist(&["--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("it is JSON");
    let names = |kind: &str| -> Vec<String> {
        let all = listed[kind].as_array().expect("a list").iter();
        all.filter_map(|one| one["name"].as_str().map(ToOwned::to_owned)).collect()
    };
    assert_eq!(names("targets"), ["install", "lint", "test", "wheel"]);
    assert_eq!(names("images"), ["project", "worker"]);
}

#[test]
fn targets_that_are_called_like_goals_are_pointed_out_where_there_are_images() {
    let manifest = ("Cargo.toml", "[package]\nname = \"x\"\n");
    let comment = "// `hoist build` is the target above; that of all images is `hoist run '*:build*'`.\n\
                   // `hoist test` is the target above; that of all images is `hoist run '*:test*'`.\n";
    assert!(!init(&[manifest]).read("release.kdl").contains(comment));
    let repo = init(&[manifest, ("Dockerfile", "FROM scratch\n")]);
    assert!(repo.read("release.kdl").contains(comment), "{}", repo.read("release.kdl"));
    assert!(!init(&[("Dockerfile", "FROM scratch\n")]).read("release.kdl").contains("target above"));
}
