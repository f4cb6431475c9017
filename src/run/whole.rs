//! Runs of whole files, from `release.kdl` to what was told.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::sync::Arc;

use indexmap::IndexMap;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::cache::Cache;
use crate::diagnostic::{Sources, Span, Spanned};
use crate::facts::{Environment, Host, KnownFiles, Links, Project, Question, gather, load};
use crate::oci::Platform;
use crate::plan::{self, Goals, select};
use crate::run::executor::execute_until;
use crate::run::fixture::Told;
use crate::run::{Options, Request};

/// A project with a `release.kdl`.
struct Whole {
    dir: TempDir,
}

impl Whole {
    fn new(text: &str) -> Self {
        let whole = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(whole.root()).unwrap();
        whole.write("release.kdl", text);
        whole
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("project")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn run(&self, goals: &[&str]) -> Told {
        let environment: Environment = std::env::vars_os().filter(|(name, _)| name == "PATH").collect();
        let host = Host::fixed(self.root(), environment, jiff::Timestamp::UNIX_EPOCH);
        let mut sources = Sources::new();
        let command_line = sources.add("command line", goals.join(" "));
        let project = Project::find(&host, None).unwrap();
        let release = load(&project, &mut sources).unwrap();
        let goal = |goal: &&str| Spanned::new((*goal).to_owned(), Span::new(command_line, 0..0));
        let goals = Goals::Named(goals.iter().map(goal).collect());
        let selection = select(&release, &goals, &Links::default()).unwrap();
        let (overrides, known) = (IndexMap::new(), KnownFiles::new());
        let question = Question {
            needs: &selection.needs,
            known: &known,
            overrides: &overrides,
            event: Some("branch=main"),
            waiting: &|_| (),
        };
        let facts = gather(&host, &project, &release, &question).unwrap();
        let plan = plan::build(
            &release,
            &facts,
            &selection,
            &plan::Options { allow_dirty: true, ..plan::Options::default() },
        )
        .unwrap();
        let cache = Cache::open(&self.dir.path().join("cache"), &self.root()).unwrap();
        let request = Request {
            plan: Arc::new(plan),
            release: Arc::new(release),
            facts: Arc::new(facts),
            settled: Arc::default(),
            sources: Arc::new(sources),
            host: Arc::new(host),
            root: project.root,
            cache,
            goals: Vec::new(),
            entrance: None,
            options: Options { jobs: Some(1), ..Options::default() },
            confirm: Arc::new(|_| Ok(true)),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (_sender, receiver) = mpsc::unbounded_channel();
        let mut events = Vec::new();
        let summary =
            runtime.block_on(execute_until(request, &mut |event| events.push(event.clone()), receiver));
        Told { events, summary }
    }
}

#[test]
fn what_a_target_writes_among_its_own_inputs_settles_with_the_next_run() {
    let whole = Whole::new(
        r#"
        target "gen" { run "cat src/*.in > src/all"; inputs "src/**"; outputs "src/all"; }
        target "use" { run "cat src/all"; inputs "src/all"; }
        "#,
    );
    whole.write("src/a.in", "a\n");
    assert_eq!(whole.run(&["use"]).ends(), ["gen: ran", "use: ran"]);
    assert_eq!(whole.run(&["use"]).ends(), ["gen: ran", "use: cached, Present"]);
    assert_eq!(whole.run(&["use"]).ends(), ["gen: cached, Present", "use: cached, Present"]);
}

#[test]
fn a_row_of_a_matrix_fails_and_all_is_still_cleaned_up_once() {
    let whole = Whole::new(
        r#"
        target "down" { run "echo down"; }
        target "test" { matrix { py "1" "2"; }; run "test $py = 1"; finally "down"; }
        target "all" { needs "test"; }
        "#,
    );
    let ends = [
        "all: not run, it needs `test[py=2]`, which did not succeed",
        "down: ran",
        "test[py=1]: ran",
        "test[py=2]: `test[py=2]` failed, exit status 1",
    ];
    assert_eq!(whole.run(&["all"]).ends(), ends);
}

#[test]
fn an_image_of_files_that_an_undeclared_step_changed_is_made_of_what_lies_there() {
    let whole = Whole::new(
        r#"
        target "compile" { run "cat source > dist/web"; }
        image "web" {
            needs "compile"
            assemble from="scratch" { layer { copy "dist/web" "/web"; }; }
        }
        "#,
    );
    whole.write("dist/web", "old");
    whole.write("source", "new");
    let build = |end: &str| vec!["compile: ran".to_owned(), format!("web:build@{}: {end}", Platform::host())];
    let ends = |whole: &Whole| whole.run(&["web:build@*"]).ends();
    assert_eq!(ends(&whole), build("ran"));
    assert_eq!(ends(&whole), build("cached, Present"));
    whole.write("source", "newer");
    assert_eq!(ends(&whole), build("ran"));
}
