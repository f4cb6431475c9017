//! Git tags of a project.

use std::path::{Path, PathBuf};

use git2::Repository;

use crate::diagnostic::{Code, Problem};
use crate::facts::Environment;
use crate::release::ledger::{git, remote};

/// The git tags of the repository that a project lies in.
#[derive(Clone, Debug)]
pub struct Tags {
    repository: PathBuf,
    remote: Option<String>,
    environment: Environment,
}

impl Tags {
    /// Those of the repository that a directory lies in.
    ///
    /// # Errors
    /// There is none.
    pub fn open(directory: &Path, environment: &Environment) -> Result<Self, Problem> {
        let repository = Repository::discover(directory).map_err(|error| unreadable(&error))?;
        Ok(Self {
            remote: remote(&repository),
            repository: repository.path().to_owned(),
            environment: environment.clone(),
        })
    }

    /// The remote that they are pushed to.
    #[must_use]
    pub fn remote(&self) -> Option<&str> {
        self.remote.as_deref()
    }

    /// All tags of commits, with these as 40 hex digits.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn all(&self) -> Result<Vec<(String, String)>, Problem> {
        let read = || {
            let repository = Repository::open(&self.repository)?;
            let mut tags = Vec::new();
            for reference in repository.references_glob("refs/tags/*")? {
                let reference = reference?;
                let Ok(commit) = reference.peel_to_commit() else { continue };
                let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
                tags.extend(
                    name.strip_prefix("refs/tags/").map(|name| (name.to_owned(), commit.id().to_string())),
                );
            }
            Ok(tags)
        };
        read().map_err(|error: git2::Error| unreadable(&error))
    }

    /// Makes an annotated tag of a commit, signed where git is set up to sign tags.
    ///
    /// # Errors
    /// It is there already; git does not know who one is.
    pub fn make(&self, name: &str, commit: &str, message: &str) -> Result<(), Problem> {
        self.run(&["tag", "--annotate", "--message", message, name, commit], "made")
    }

    /// Pushes a tag to the remote.
    ///
    /// # Errors
    /// The remote does not take it.
    pub fn push(&self, name: &str) -> Result<(), Problem> {
        let remote = self.remote.as_deref().unwrap_or("origin");
        let reference = format!("refs/tags/{name}:refs/tags/{name}");
        self.run(&["push", "--quiet", remote, &reference], "pushed")
    }

    /// Removes a tag here.
    ///
    /// # Errors
    /// It is not there; git does not let one.
    pub fn remove(&self, name: &str) -> Result<(), Problem> {
        self.run(&["tag", "--delete", name], "removed")
    }

    fn run(&self, words: &[&str], done: &str) -> Result<(), Problem> {
        let ended = git(&self.repository, &self.environment, words)?;
        if ended.success {
            return Ok(());
        }
        Err(Problem::new(Code::Tagging, format!("the git tag was not {done}")).note(ended.complaint))
    }
}

fn unreadable(error: &git2::Error) -> Problem {
    Problem::new(Code::NoGit, "the git repository cannot be read").note(error.message().to_owned())
}
