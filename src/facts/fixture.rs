//! Repositories with fixed dates, releases, and facts, for tests.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process;

use git2::{Oid, Repository, RepositoryInitOptions, Signature, Time};
use indexmap::IndexMap;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::config::{Base, Command, Fact, Field, Name, Part, Pattern, ProjectPath, Release, Template};
use crate::diagnostic::{Sources, Span, Spanned};
use crate::facts::{
    Environment, Event, EventSource, Facts, Git, Host, InputQuery, Project, ToolQuery, Walked, git,
};

/// Time of the first commit: 2024-01-02 03:04:05 UTC.
pub(super) const START: i64 = 1_704_164_645;

/// A directory with a repository on the branch `main`.
pub(super) struct Repo {
    _directory: TempDir,
    pub(super) path: PathBuf,
    pub(super) git: Repository,
}

impl Repo {
    /// Without a commit.
    pub(super) fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("project");
        let mut options = RepositoryInitOptions::new();
        options.initial_head("main").external_template(false);
        let git = Repository::init_opts(&path, &options).unwrap();
        Self { _directory: directory, path, git }
    }

    /// With one commit that has one file, `a`.
    pub(super) fn new() -> Self {
        let repo = Self::empty();
        repo.write("a", "a");
        repo.commit(START);
        repo
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits all files on HEAD at this time.
    pub(super) fn commit(&self, seconds: i64) -> Oid {
        let mut index = self.git.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
        index.update_all(["*"], None).unwrap();
        index.write().unwrap();
        let tree = self.git.find_tree(index.write_tree().unwrap()).unwrap();
        let parent = self.git.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        let at = who(seconds);
        self.git.commit(Some("HEAD"), &at, &at, "Change", &tree, &parents).unwrap()
    }

    pub(super) fn tag(&self, name: &str) {
        let head = self.git.head().unwrap().peel(git2::ObjectType::Commit).unwrap();
        self.git.tag_lightweight(name, &head, false).unwrap();
    }

    pub(super) fn annotated_tag(&self, name: &str, seconds: i64) {
        let head = self.git.head().unwrap().peel(git2::ObjectType::Commit).unwrap();
        self.git.tag(name, &head, &who(seconds), name, false).unwrap();
    }

    /// What is read of the repository; there is a commit.
    pub(super) fn read(&self) -> Git {
        read(&self.path).unwrap()
    }

    /// What git itself calls HEAD.
    pub(super) fn describe(&self) -> String {
        call(&self.path, &["describe", "--tags", "--always", "--dirty", "--abbrev=7"])
    }
}

/// What is read of the repository that a directory lies in.
pub(super) fn read(directory: &Path) -> Option<Git> {
    git::read(directory, &Environment::default(), false).unwrap().map(|repository| repository.git)
}

pub(super) fn who(seconds: i64) -> Signature<'static> {
    Signature::new("A", "a@example.com", &Time::new(seconds, 0)).unwrap()
}

/// Calls git, apart from the machine's configuration.
pub(super) fn call(directory: &Path, arguments: &[&str]) -> String {
    let mut command = process::Command::new("git");
    command.current_dir(directory).args(arguments).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "A").env(format!("GIT_{who}_EMAIL"), "a@example.com");
        command.env(format!("GIT_{who}_DATE"), format!("{START} +0000"));
    }
    let output = command.output().expect("git is installed");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A release that declares nothing.
pub(super) fn release() -> Release {
    Release::empty("demo")
}

/// The facts of an event, without a repository.
pub(super) fn facts(event: Event) -> Facts {
    Facts {
        event,
        event_source: EventSource::Head,
        git: None,
        environment: Environment::default(),
        dotenv: Vec::new(),
        overrides: IndexMap::new(),
        now: Timestamp::from_second(START + 3600).unwrap(),
        os: "linux",
        platform: "linux/amd64".parse().unwrap(),
        user: "ada".to_owned(),
        inputs: Vec::new(),
        walked: Walked::default(),
        tools: Vec::new(),
        dockerfiles: Vec::new(),
        bases: Vec::new(),
        images: HashMap::new(),
    }
}

/// The place of a text in a source of which nothing else is known.
pub(super) fn span(text: &str) -> Span {
    Span::new(Sources::new().add("release.kdl", ""), 0..text.len())
}

/// A template, of fields that are facts, variables of the environment, or `var`s.
pub(super) fn template(text: &str) -> Template {
    let mut parts = Vec::new();
    for piece in text.split_inclusive(['{', '}']) {
        let Some(field) = piece.strip_suffix('}') else {
            let text = piece.trim_end_matches('{');
            parts.extend((!text.is_empty()).then(|| Part::Text(text.to_owned())));
            continue;
        };
        let (name, format) =
            field.split_once(':').map_or((field, None), |(name, format)| (name, Some(format)));
        let fact = Fact::ALL.iter().find(|fact| fact.as_str() == name).copied().map(Name::Fact);
        let number = || name.parse().ok().map(Name::Group);
        let env = || name.strip_prefix("env.").map(|name| Name::Env(name.to_owned()));
        let matrix = || name.strip_prefix("matrix.").map(|name| Name::Matrix(name.to_owned()));
        let name =
            fact.or_else(number).or_else(env).or_else(matrix).unwrap_or_else(|| Name::Var(name.to_owned()));
        parts.push(Part::Field(Field { name, format: format.map(str::to_owned), span: span(field) }));
    }
    Template { parts, span: span(text) }
}

/// A project in a repository with one commit.
pub(super) struct Files {
    pub(super) repo: Repo,
}

impl Files {
    pub(super) fn with(files: &[(&str, &str)]) -> Self {
        let repo = Repo::empty();
        for (path, text) in files {
            repo.write(path, text);
        }
        repo.commit(START);
        Self { repo }
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.repo.path.join(path)
    }

    pub(super) fn project(&self) -> Project {
        Project { root: self.repo.path.clone(), file: self.path("release.kdl") }
    }

    pub(super) fn host(&self, variables: &[(&str, &str)]) -> Host {
        let path = ("PATH", std::env::var("PATH").unwrap());
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Host::fixed(
            &self.repo.path,
            variables.chain([path]).collect(),
            Timestamp::from_second(START + 3600).unwrap(),
        )
    }
}

/// A question for a tool's output.
pub(super) fn tool(argv: &[&str]) -> ToolQuery {
    let command = Command::Argv(argv.iter().map(|argument| template(argument)).collect());
    ToolQuery {
        owner: "target".to_owned(),
        command: Spanned::new(command, span(argv[0])),
        dir: ProjectPath::root(),
        matrix: IndexMap::new(),
        env: IndexMap::new(),
        pass: Vec::new(),
    }
}

/// A base in a layout.
pub(super) fn base(path: &str, name: Option<&str>) -> Spanned<Base> {
    let path = ProjectPath::root().join(path).unwrap();
    Spanned::new(Base::Layout { path, name: name.map(str::to_owned) }, span("oci:base"))
}

/// The patterns of a target's inputs; a leading `!` negates.
pub(super) fn patterns(texts: &[&str]) -> Vec<Pattern> {
    let pattern = |text: &&str| {
        let glob = text.strip_prefix('!').unwrap_or(text).to_owned();
        Pattern { glob: Spanned::new(glob, span(text)), negated: text.starts_with('!') }
    };
    texts.iter().map(pattern).collect()
}

/// What a target asks for.
pub(super) fn inputs(texts: &[&str]) -> InputQuery {
    InputQuery { patterns: patterns(texts), honour_ignore: true, ..InputQuery::default() }
}
