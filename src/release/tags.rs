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

    /// The tags of a commit, and of those that it was made on top of.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn behind(&self, commit: &str) -> Result<Vec<String>, Problem> {
        let ended = git(&self.repository, &self.environment, &["tag", "--merged", commit])?;
        if !ended.success {
            let problem = Problem::new(Code::NoGit, "the git repository cannot be read");
            return Err(problem.note(ended.complaint));
        }
        Ok(ended.stdout.lines().map(str::to_owned).collect())
    }

    /// Whether commits that others were made on top of may not be here.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        Repository::open(&self.repository).is_ok_and(|repository| repository.is_shallow())
    }

    /// The tags that the remote has, if there is one.
    ///
    /// # Errors
    /// It cannot be asked, and why: what git says.
    pub fn of_remote(&self) -> Result<Vec<String>, String> {
        let Some(remote) = &self.remote else { return Ok(Vec::new()) };
        let words = ["ls-remote", "--quiet", "--refs", "--tags", remote];
        let ended = git(&self.repository, &self.environment, &words).map_err(|problem| problem.title)?;
        if !ended.success {
            return Err(ended.complaint);
        }
        let names = ended.stdout.lines().filter_map(|line| line.split_once("\trefs/tags/"));
        Ok(names.map(|(_, name)| name.to_owned()).collect())
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
