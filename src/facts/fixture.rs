//! Repositories with fixed dates, for tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use git2::{Oid, Repository, RepositoryInitOptions, Signature, Time};
use tempfile::TempDir;

use crate::facts::{Environment, Git, git};

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
    git::read(directory, &Environment::default()).unwrap().map(|repository| repository.git)
}

pub(super) fn who(seconds: i64) -> Signature<'static> {
    Signature::new("A", "a@example.com", &Time::new(seconds, 0)).unwrap()
}

/// Calls git, apart from the machine's configuration.
pub(super) fn call(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
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
