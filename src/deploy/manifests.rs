//! A git repository of manifests: its files at the tip of a branch, and a commit on top.
//!
//! No working tree is touched: files are read from git's objects, and a commit is made of
//! them with an index of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::deploy::git::{Ended, Git, without_credentials};
use crate::deploy::gitops::Gitops;
use crate::diagnostic::{Code, Problem};
use crate::facts::{Environment, any_number};

/// Below this lies, for a moment, what is fetched.
const FETCHED: &str = "refs/hoist/manifests";

/// A branch of a repository.
#[derive(Debug)]
pub(super) struct Manifests {
    /// The project's directory.
    root: PathBuf,
    /// The git directory that holds the objects: the project's own, or one for the moment.
    repository: PathBuf,
    /// How the repository is reached; none for a branch of this clone.
    remote: Option<String>,
    /// The branch, without `refs/heads/`.
    pub(super) branch: String,
    environment: Environment,
    /// What is fetched is only for now, so its history is not needed.
    shallow: bool,
    /// Who commits, where only the project's own settings say it.
    who: Vec<(&'static str, OsString)>,
    scratch: TempDir,
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// How git keeps it: `100644`, `100755`.
    pub(super) mode: String,
    pub(super) text: String,
}

/// What became of a push.
pub(super) enum Sent {
    Taken,
    /// For this reason.
    Refused(String),
}

impl Manifests {
    /// The branch that is deployed to.
    ///
    /// # Errors
    /// There is no git, no repository, or no such branch.
    pub(super) fn open(root: &Path, environment: &Environment, gitops: &Gitops) -> Result<Self, Problem> {
        let Gitops { repo, remote, branch, .. } = gitops;
        let mut manifests = match repo {
            Some(repo) => Self::elsewhere(root, environment, repo)?,
            None => Self::own(root, environment, remote.as_deref())?,
        };
        manifests.branch = match branch {
            Some(branch) => branch.strip_prefix("refs/heads/").unwrap_or(branch).to_owned(),
            None => manifests.default_branch()?,
        };
        let checked = manifests.git(&["check-ref-format", "--branch", &manifests.branch])?;
        if !checked.success || manifests.branch.starts_with('-') {
            let title = format!("`{}` is no name of a branch", manifests.branch);
            return Err(Problem::new(Code::ManifestRepository, title));
        }
        if manifests.remote.is_none() {
            manifests.check_not_checked_out()?;
        }
        Ok(manifests)
    }

    /// The project's own repository, and no branch of it.
    ///
    /// # Errors
    /// There is no git, or no repository.
    pub(super) fn own(root: &Path, environment: &Environment, remote: Option<&str>) -> Result<Self, Problem> {
        let manifests = Self::new(root, environment, remote)?;
        let found = manifests.here(&["rev-parse", "--absolute-git-dir"])?;
        if !found.success {
            let title = "manifests of the project are deployed by git, and this is no repository";
            return Err(
                Problem::new(Code::NoGit, title).help("`git init` makes one; `repo=\"…\"` names another")
            );
        }
        Ok(Self { repository: found.text().into(), ..manifests })
    }

    /// Another repository, and no branch of it yet.
    fn elsewhere(root: &Path, environment: &Environment, repo: &str) -> Result<Self, Problem> {
        let manifests = Self { shallow: true, ..Self::new(root, environment, Some(repo))? };
        let place = manifests.repository.to_string_lossy().into_owned();
        let made = manifests.here(&["init", "--quiet", "--bare", &place])?;
        if made.success {
            return Ok(manifests);
        }
        Err(Problem::new(Code::ManifestRepository, "what is fetched cannot be kept").note(made.complaint))
    }

    fn new(root: &Path, environment: &Environment, remote: Option<&str>) -> Result<Self, Problem> {
        let scratch = TempDir::new().map_err(|error| {
            Problem::new(Code::ManifestRepository, "there is no place for what is fetched")
                .note(error.to_string())
        })?;
        let mut manifests = Self {
            root: root.to_owned(),
            repository: scratch.path().join("repository"),
            remote: remote.map(str::to_owned),
            branch: String::new(),
            environment: environment.clone(),
            shallow: false,
            who: Vec::new(),
            scratch,
        };
        manifests.who = manifests.identity()?;
        Ok(manifests)
    }

    /// What differs between two commits, by the paths; none where that is not known, or are
    /// more than so many. What is not here of the first is fetched.
    ///
    /// # Errors
    /// There is no git.
    pub(super) fn changed(&self, old: &str, new: &str, most: usize) -> Result<Option<Vec<String>>, Problem> {
        let is_here = || Ok(self.git(&["cat-file", "-e", &format!("{old}^{{commit}}")])?.success);
        if !is_here()? {
            // All that a whole clone does not have is on no branch any more.
            let is_shallow = self.git(&["rev-parse", "--is-shallow-repository"])?.text() == "true";
            let Some(remote) = self.remote.as_deref().filter(|_| is_shallow) else { return Ok(None) };
            let words = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
            self.git(&[&words[..], &["--depth=1", "--refmap=", "--", remote, old]].concat())?;
            if !is_here()? {
                return Ok(None);
            }
        }
        let listed = self.git(&["diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new])?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let paths: Vec<String> =
            listed.split('\0').filter(|path| !path.is_empty()).take(most + 1).map(str::to_owned).collect();
        Ok(Some(paths).filter(|paths| paths.len() <= most))
    }

    /// How a user would name the repository.
    pub(super) fn name(&self) -> String {
        match &self.remote {
            Some(remote) => without_credentials(remote),
            None => "this repository".to_owned(),
        }
    }

    /// The address of the repository, if it has one.
    pub(super) fn address(&self) -> Result<Option<String>, Problem> {
        let Some(remote) = &self.remote else { return Ok(None) };
        if self.shallow {
            return Ok(Some(remote.clone()));
        }
        let found = self.git(&["remote", "get-url", "--push", remote])?;
        Ok(Some(if found.success { found.text() } else { remote.clone() }))
    }

    fn default_branch(&self) -> Result<String, Problem> {
        let listed = match &self.remote {
            Some(remote) => self.git(&["ls-remote", "--symref", "--", remote, "HEAD"])?,
            None => self.git(&["symbolic-ref", "--quiet", "HEAD"])?,
        };
        if !listed.success {
            return Err(self.unreachable(&listed));
        }
        let text = listed.text();
        let named = text.lines().find_map(|line| {
            let line = line.strip_prefix("ref: ").unwrap_or(line);
            line.split_whitespace().next()?.strip_prefix("refs/heads/")
        });
        named.map(str::to_owned).ok_or_else(|| {
            let title = format!("{} does not say which branch is its default", quoted(&self.name()));
            Problem::new(Code::ManifestRepository, title).help("name it: `branch=\"main\"`")
        })
    }

    /// A branch that is checked out is not moved below its files.
    fn check_not_checked_out(&self) -> Result<(), Problem> {
        let reference = format!("refs/heads/{}", self.branch);
        let found = self.git(&["for-each-ref", "--format=%(worktreepath)", &reference])?;
        if found.text().is_empty() {
            return Ok(());
        }
        let title = format!("the branch `{}` is checked out, and there is no remote", self.branch);
        Err(Problem::new(Code::ManifestRepository, title)
            .note(format!("it is checked out in {}", found.text()))
            .help("name a branch that is not checked out, or add a remote: `git remote add origin …`"))
    }

    /// Who commits, as git is told in the project, where the environment does not say it.
    fn identity(&self) -> Result<Vec<(&'static str, OsString)>, Problem> {
        let mut who = Vec::new();
        for (key, names, default) in [
            ("user.name", ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"], "hoist"),
            ("user.email", ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"], "hoist@localhost"),
        ] {
            let told = self.here(&["config", "--get", key])?;
            let value = if told.success { told.text() } else { default.to_owned() };
            let unset = names.into_iter().filter(|name| self.environment.get(*name).is_none());
            who.extend(unset.map(|name| (name, OsString::from(&value))));
        }
        Ok(who)
    }

    /// The tip of the branch, after the remote was asked.
    ///
    /// # Errors
    /// It cannot be reached, or has no such branch.
    pub(super) fn fetch(&self) -> Result<String, Problem> {
        let reference = format!("refs/heads/{}", self.branch);
        let Some(remote) = &self.remote else {
            let found =
                self.git(&["rev-parse", "--verify", "--quiet", &format!("{reference}^{{commit}}")])?;
            return if found.success { Ok(found.text()) } else { Err(self.no_branch()) };
        };
        self.bring(remote, &reference)?.ok_or_else(|| self.no_branch())
    }

    /// What another branch of the remote holds, if there is such a branch.
    ///
    /// # Errors
    /// The remote cannot be reached.
    pub(super) fn fetch_other(&self, branch: &str) -> Result<Option<String>, Problem> {
        let Some(remote) = &self.remote else { return Ok(None) };
        self.bring(remote, &format!("refs/heads/{branch}"))
    }

    fn bring(&self, remote: &str, reference: &str) -> Result<Option<String>, Problem> {
        let listed = self.git(&["ls-remote", "--quiet", "--", remote, reference])?;
        if !listed.success {
            return Err(self.unreachable(&listed));
        }
        if listed.text().is_empty() {
            return Ok(None);
        }
        let place = format!("{FETCHED}/{}-{}", std::process::id(), any_number());
        let mut words =
            vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
        words.extend(self.shallow.then_some("--depth=1"));
        let what = format!("+{reference}:{place}");
        words.extend(["--refmap=", "--", remote, &what]);
        let fetched = self.git(&words)?;
        if !fetched.success {
            return Err(self.unreachable(&fetched));
        }
        let tip = self.git(&["rev-parse", "--verify", &place])?;
        self.git(&["update-ref", "-d", &place])?;
        Ok(Some(tip.text()).filter(|_| tip.success))
    }

    /// A file of a commit.
    ///
    /// # Errors
    /// It is not there, and what is; it is no file, or no text.
    pub(super) fn read(&self, commit: &str, path: &str) -> Result<File, Problem> {
        let wrong = |what: String| Problem::new(Code::Manifest, what);
        let listed = self.git(&["ls-tree", "-z", "--full-tree", commit, "--", path])?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let Some((kind, _)) = listed.split('\0').find_map(|line| line.split_once('\t')) else {
            return Err(self.no_file(commit, path)?);
        };
        let mut parts = kind.split(' ');
        let (mode, kind, id) = (parts.next(), parts.next(), parts.next());
        let mode = mode.unwrap_or_default().to_owned();
        match (mode.as_str(), kind, id) {
            ("120000", ..) => Err(wrong(format!("`{path}` of {} is a symbolic link", quoted(&self.name())))
                .help("name the file that it leads to")),
            (_, Some("blob"), Some(id)) => {
                let read = self.git(&["cat-file", "blob", id])?;
                let text = String::from_utf8(read.stdout)
                    .map_err(|_| wrong(format!("`{path}` of {} is no text", quoted(&self.name()))))?;
                Ok(File { mode, text })
            }
            _ => Err(wrong(format!("`{path}` of {} is a directory", quoted(&self.name())))),
        }
    }

    /// Which of some files there are in a commit.
    pub(super) fn find(&self, commit: &str, paths: &[String]) -> Result<Vec<String>, Problem> {
        let words = ["ls-tree", "-z", "--full-tree", "--name-only", commit, "--"];
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let listed = self.git(&[&words[..], &paths].concat())?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        Ok(listed.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Says that there is no such file, and what there is.
    fn no_file(&self, commit: &str, path: &str) -> Result<Problem, Problem> {
        let title = format!("there is no `{path}` on `{}` of {}", self.branch, quoted(&self.name()));
        let problem = Problem::new(Code::Manifest, title);
        let mut above = path;
        while let Some((directory, _)) = above.rsplit_once('/') {
            let listed = self.entries(commit, &format!("{directory}/"))?;
            if !listed.is_empty() {
                return Ok(problem.note(format!("`{directory}` has {}", listed.join(", "))));
            }
            above = directory;
        }
        let listed = self.entries(commit, "")?;
        Ok(problem.note(format!("its top has {}", listed.join(", "))))
    }

    fn entries(&self, commit: &str, below: &str) -> Result<Vec<String>, Problem> {
        let mut words = vec!["ls-tree", "-z", "--full-tree", "--name-only", commit];
        if !below.is_empty() {
            words.extend(["--", below]);
        }
        let listed = self.git(&words)?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let names = listed.split('\0').filter(|name| !name.is_empty()).take(20);
        Ok(names.map(|name| format!("`{}`", name.strip_prefix(below).unwrap_or(name))).collect())
    }

    /// A commit on top of another in which some files are others.
    ///
    /// # Errors
    /// git does not make it.
    pub(super) fn commit(
        &self,
        parent: &str,
        files: &BTreeMap<String, File>,
        message: &str,
    ) -> Result<String, Problem> {
        let index = self.scratch.path().join(format!("index-{}", any_number()));
        let set = [("GIT_INDEX_FILE", index.into_os_string())];
        let refused = |what: &str, ended: Ended| {
            Problem::new(Code::ManifestRepository, format!("git does not {what}")).note(ended.complaint)
        };
        let done = |what: &str, ended: Ended| {
            if ended.success { Ok(ended.text()) } else { Err(refused(what, ended)) }
        };
        done("read the commit", self.call(&set, &["read-tree", parent], &[])?)?;
        let mut lines = String::new();
        for (path, file) in files {
            let stored = self.call(&[], &["hash-object", "-w", "--stdin"], file.text.as_bytes())?;
            let id = done("store a file", stored)?;
            lines.extend([&file.mode, " ", &id, "\t", path, "\0"]);
        }
        done("take a file", self.call(&set, &["update-index", "-z", "--index-info"], lines.as_bytes())?)?;
        let tree = done("make a tree", self.call(&set, &["write-tree"], &[])?)?;
        let signs = self.git(&["config", "--type=bool", "--get", "commit.gpgsign"])?.text() == "true";
        let mut words = vec!["commit-tree", &tree, "-p", parent, "-F", "-"];
        words.extend(signs.then_some("-S"));
        done("make a commit", self.call(&[], &words, format!("{}\n", message.trim_end()).as_bytes())?)
    }

    /// The tree of a commit, and the first commit that it follows.
    pub(super) fn tree_and_parent(&self, commit: &str) -> Result<(String, String), Problem> {
        let tree = self.git(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")])?.text();
        let text = self.git(&["cat-file", "commit", commit])?.text();
        let parent = text.lines().find_map(|line| line.strip_prefix("parent "));
        Ok((tree, parent.unwrap_or_default().to_owned()))
    }

    /// Makes a commit the tip of the branch, unless it moved meanwhile.
    ///
    /// # Errors
    /// There is no git.
    pub(super) fn send(&self, tip: &str, commit: &str) -> Result<Sent, Problem> {
        let reference = format!("refs/heads/{}", self.branch);
        let Some(remote) = &self.remote else {
            let moved = self.git(&["update-ref", "-m", "hoist: deploy", &reference, commit, tip])?;
            return Ok(if moved.success { Sent::Taken } else { Sent::Refused(moved.complaint) });
        };
        self.push(remote, &[], &format!("{commit}:{reference}"))
    }

    /// Makes a commit what another branch holds, if it holds still what was seen there.
    ///
    /// # Errors
    /// There is no git.
    pub(super) fn send_other(&self, branch: &str, seen: Option<&str>, commit: &str) -> Result<Sent, Problem> {
        let Some(remote) = &self.remote else { return Ok(Sent::Refused("there is no remote".to_owned())) };
        let reference = format!("refs/heads/{branch}");
        let lease = format!("--force-with-lease={reference}:{}", seen.unwrap_or_default());
        self.push(remote, &[&lease], &format!("{commit}:{reference}"))
    }

    fn push(&self, remote: &str, flags: &[&str], what: &str) -> Result<Sent, Problem> {
        let words = ["push", "--quiet", "--no-verify", "--porcelain"];
        let pushed = self.git(&[&words, flags, &["--", remote, what]].concat())?;
        if pushed.success {
            return Ok(Sent::Taken);
        }
        let text = pushed.text();
        let refusal = text.lines().find(|line| line.starts_with('!')).map(str::to_owned);
        let mut lines = pushed.complaint;
        if let Some(refusal) = refusal {
            lines = format!("{refusal}\n{lines}");
        }
        Ok(Sent::Refused(lines.trim_end().to_owned()))
    }

    fn no_branch(&self) -> Problem {
        let title = format!("{} has no branch `{}`", quoted(&self.name()), self.branch);
        Problem::new(Code::ManifestRepository, title).help("name one that is there: `branch=\"main\"`")
    }

    fn unreachable(&self, ended: &Ended) -> Problem {
        let title = format!("the manifests in {} cannot be fetched", quoted(&self.name()));
        Problem::new(Code::ManifestRepository, title)
            .note(ended.complaint.clone())
            .help(format!("`git ls-remote {}` tells whether git reaches it", self.name()))
    }

    fn git(&self, words: &[&str]) -> Result<Ended, Problem> {
        self.call(&[], words, &[])
    }

    fn call(&self, set: &[(&str, OsString)], words: &[&str], input: &[u8]) -> Result<Ended, Problem> {
        let all: Vec<(&str, OsString)> = set.iter().chain(&self.who).cloned().collect();
        let git = Git {
            directory: &self.root,
            repository: Some(&self.repository),
            environment: &self.environment,
            set: &all,
        };
        git.call(words, input).map_err(|error| no_git(&error))
    }

    /// Calls git for the project's own repository.
    fn here(&self, words: &[&str]) -> Result<Ended, Problem> {
        let git = Git { directory: &self.root, repository: None, environment: &self.environment, set: &[] };
        git.call(words, &[]).map_err(|error| no_git(&error))
    }
}

fn no_git(error: &std::io::Error) -> Problem {
    Problem::new(Code::NoTool, "`git` cannot be started, which reaches manifests")
        .note(error.to_string())
        .help("install git: it knows how your repositories are reached")
}

fn quoted(name: &str) -> String {
    if name == "this repository" { name.to_owned() } else { format!("`{name}`") }
}
