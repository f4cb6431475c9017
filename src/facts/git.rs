//! What the repository says of the commit that is built.
//!
//! The repository is the one that the project lies in, found from its directory
//! upwards. `GIT_DIR` is asked only where there is none: a hook of one
//! repository that calls hoist in another must not mix up the two.
#![expect(clippy::disallowed_methods, reason = "git itself is asked where libgit2 is not certain")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use git2::{ErrorCode, Oid, StatusOptions};
use jiff::Timestamp;

use crate::diagnostic::{Code, Problem};
use crate::facts::describe::{Described, describe};
use crate::facts::{Environment, Git};

/// A repository with a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repository {
    /// What it says of HEAD.
    pub(super) git: Git,
    /// Names of all tags that point to HEAD.
    pub(super) tags_of_head: Vec<String>,
}

/// Reads the repository that `directory` lies in. `None`: there is none, or it
/// has no commit.
///
/// # Errors
/// There is one that cannot be read, or may not be: it belongs to another user.
pub(super) fn read(
    directory: &Path,
    environment: &Environment,
    commit_only: bool,
) -> Result<Option<Repository>, Problem> {
    let Some(repository) = open(directory, environment).map_err(|error| refused(directory, &error))? else {
        return Ok(None);
    };
    describe_head(&repository, environment, commit_only).map_err(|error| refused(directory, &error))
}

/// Address of the remote `origin` of the repository that `directory` lies in,
/// credentials removed.
#[must_use]
pub fn remote(directory: &Path) -> Option<String> {
    origin(&git2::Repository::discover(directory).ok()?)
}

pub(super) fn refused(directory: &Path, error: &git2::Error) -> Problem {
    if error.code() == ErrorCode::Owner {
        let place = git2::Repository::discover_path(directory, NO_CEILINGS).ok();
        let place = place.and_then(|path| Some(path.parent()?.to_owned()));
        let place = place.as_deref().unwrap_or(directory).display().to_string();
        return Problem::new(Code::NoGit, format!("the git repository `{place}` belongs to another user"))
            .help(format!("`git config --global --add safe.directory {place}` trusts it"));
    }
    Problem::new(Code::NoGit, format!("the git repository of `{}` cannot be read", directory.display()))
        .help("`git status` tells whether git can read it")
        .note(error.message().to_owned())
}

const NO_CEILINGS: [&str; 0] = [];

pub(super) fn open(
    directory: &Path,
    environment: &Environment,
) -> Result<Option<git2::Repository>, git2::Error> {
    let ceilings = environment.get("GIT_CEILING_DIRECTORIES").unwrap_or_default();
    match git2::Repository::discover_path(directory, std::env::split_paths(ceilings)) {
        Ok(path) => git2::Repository::open(path).map(Some),
        Err(error) if error.code() == ErrorCode::NotFound => {
            let Some(path) = environment.get("GIT_DIR") else { return Ok(None) };
            let repository = git2::Repository::open(directory.join(path))?;
            if let Some(tree) = environment.get("GIT_WORK_TREE") {
                repository.set_workdir(&directory.join(tree), false)?;
            }
            Ok(Some(repository))
        }
        Err(error) => Err(error),
    }
}

fn describe_head(
    repository: &git2::Repository,
    environment: &Environment,
    commit_only: bool,
) -> Result<Option<Repository>, git2::Error> {
    let head = match repository.head() {
        Ok(head) => head,
        Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let commit = head.peel_to_commit()?;
    let branch = head.is_branch().then(|| short_name(head.name_bytes(), "refs/heads/")).flatten();
    let dirty = !commit_only && is_dirty(repository, environment)?;
    let suffix = if dirty { "-dirty" } else { "" };
    let described = if commit_only { Described::default() } else { describe(repository, &commit)? };
    let git = Git {
        sha: commit.id().to_string(),
        branch,
        describe: format!("{}{suffix}", described.now),
        described_before: format!("{}{suffix}", described.before),
        dirty,
        time: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        branches: if commit_only { Vec::new() } else { branches(repository)? },
        remote: origin(repository),
        shallow: repository.is_shallow(),
    };
    Ok(Some(Repository { git, tags_of_head: tags_of(repository, commit.id())? }))
}

/// What the repository that `directory` lies in says of a commit that need not be checked
/// out. `None`: it is not here.
///
/// # Errors
/// The repository cannot be read, or may not be.
pub(super) fn read_commit(
    directory: &Path,
    environment: &Environment,
    commit: &str,
) -> Result<Option<Repository>, Problem> {
    let failed = |error: git2::Error| refused(directory, &error);
    let Some(repository) = open(directory, environment).map_err(failed)? else { return Ok(None) };
    let found = Oid::from_str(commit).and_then(|id| repository.find_commit(id));
    let Ok(commit) = found else { return Ok(None) };
    let read = || {
        let described = describe(&repository, &commit)?;
        let git = Git {
            sha: commit.id().to_string(),
            branch: None,
            describe: described.now,
            described_before: described.before,
            dirty: false,
            time: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
            branches: branches(&repository)?,
            remote: origin(&repository),
            shallow: repository.is_shallow(),
        };
        Ok(Repository { git, tags_of_head: tags_of(&repository, commit.id())? })
    };
    read().map(Some).map_err(failed)
}

/// The name behind a directory of references; characters that are not UTF-8 are
/// replaced.
fn short_name(reference: &[u8], directory: &str) -> Option<String> {
    let name = reference.strip_prefix(directory.as_bytes())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Whether tracked files differ from the commit, in the index or the working
/// tree. Nothing does in a bare repository.
fn is_dirty(repository: &git2::Repository, environment: &Environment) -> Result<bool, git2::Error> {
    let Some(tree) = repository.workdir() else { return Ok(false) };
    let mut options = StatusOptions::new();
    options.include_untracked(false).include_ignored(false).exclude_submodules(false);
    let differs = !repository.statuses(Some(&mut options))?.is_empty();
    Ok(differs && git_says_clean(tree, environment) != Some(true))
}

/// Whether the directory of a project has files that git neither tracks nor ignores:
/// they may be part of what is made of it, and are part of no commit.
///
/// # Errors
/// It lies in no repository, or git cannot read it.
pub fn has_untracked(root: &Path) -> Result<bool, git2::Error> {
    let repository = git2::Repository::discover(root)?;
    let Some(tree) = repository.workdir() else { return Ok(false) };
    let (root, tree) = (root.canonicalize(), tree.canonicalize());
    let below =
        root.ok().zip(tree.ok()).and_then(|(root, tree)| Some(root.strip_prefix(tree).ok()?.to_owned()));
    let mut options = StatusOptions::new();
    options.include_untracked(true).include_ignored(false).exclude_submodules(true);
    if let Some(below) = below.as_ref().filter(|below| !below.as_os_str().is_empty()) {
        options.pathspec(below).disable_pathspec_match(true);
    }
    let own = |path: &[u8]| path.split(|byte| *byte == b'/').any(|part| part == b".hoist");
    let statuses = repository.statuses(Some(&mut options))?;
    Ok(statuses.iter().any(|entry| entry.status().is_wt_new() && !own(entry.path_bytes())))
}

/// What git itself says, if it is installed. libgit2 knows no filters (LFS) and
/// no encodings of the working tree, so that a file may differ for it alone.
fn git_says_clean(tree: &Path, environment: &Environment) -> Option<bool> {
    let mut command = Command::new("git");
    command.args(["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]);
    command.current_dir(tree).stdin(Stdio::null()).env_clear();
    // Those of a hook lead to another repository.
    command.envs(environment.iter().filter(|(name, _)| !name.as_encoded_bytes().starts_with(b"GIT_")));
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(output.stdout.is_empty())
}

fn tags_of(repository: &git2::Repository, commit: Oid) -> Result<Vec<String>, git2::Error> {
    let mut tags = Vec::new();
    for reference in repository.references_glob("refs/tags/*")? {
        let reference = reference?;
        let points = reference.target() == Some(commit)
            || reference.target_peel() == Some(commit)
            || reference.peel_to_commit().is_ok_and(|peeled| peeled.id() == commit);
        if points {
            tags.extend(short_name(reference.name_bytes(), "refs/tags/"));
        }
    }
    tags.sort();
    Ok(tags)
}

/// All local and remote branches, without the remote's name, sorted.
fn branches(repository: &git2::Repository) -> Result<Vec<String>, git2::Error> {
    let mut places = vec!["refs/heads/".to_owned()];
    for remote in &repository.remotes()? {
        places.extend(remote?.map(|remote| format!("refs/remotes/{remote}/")));
    }
    let mut names = BTreeSet::new();
    for glob in ["refs/heads/*", "refs/remotes/*"] {
        for reference in repository.references_glob(glob)? {
            let reference = reference?;
            // `refs/remotes/origin/HEAD` is no branch but names one.
            if reference.symbolic_target_bytes().is_none() {
                let name = reference.name_bytes();
                names.extend(places.iter().find_map(|place| short_name(name, place)));
            }
        }
    }
    Ok(names.into_iter().collect())
}

fn origin(repository: &git2::Repository) -> Option<String> {
    // As the repository has it: what `insteadOf` of a machine makes of it is no
    // fact of the project, and is where CI systems put their tokens.
    let address = repository.config().ok()?.snapshot().ok()?.get_string("remote.origin.url").ok()?;
    Some(without_credentials(&address))
}

/// An address without what must not be shown: a user with a password, a query. The user of
/// an SSH address is part of where it leads and stays.
#[must_use]
pub fn without_credentials(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    match (scheme, user.and_then(|user| user.split(':').next())) {
        ("http" | "https", _) => {
            format!("{scheme}://{host}{}", path.split(['?', '#']).next().unwrap_or_default())
        }
        (_, Some(name)) => format!("{scheme}://{name}@{host}{path}"),
        (_, None) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::facts::fixture::{Repo, START, call, read};

    fn on(repo: &Repo, branch: Option<&str>) -> Git {
        let sha = repo.git.head().unwrap().target().unwrap().to_string();
        Git {
            describe: sha[..7].to_owned(),
            described_before: sha[..7].to_owned(),
            sha,
            branch: branch.map(str::to_owned),
            dirty: false,
            time: Timestamp::from_second(START).unwrap(),
            branches: vec!["main".to_owned()],
            remote: None,
            shallow: false,
        }
    }

    /// Compares with what git itself says.
    fn assert_dirty(repo: &Repo, dirty: bool) {
        let git = repo.read();
        assert_eq!((git.dirty, git.describe), (dirty, repo.describe()));
        assert_eq!(!call(&repo.path, &["status", "--porcelain", "--untracked-files=no"]).is_empty(), dirty);
    }

    #[test]
    fn all_facts_are_those_of_head() {
        let repo = Repo::new();
        assert_eq!(repo.read(), on(&repo, Some("main")));
        let below = repo.path.join("services/api");
        fs::create_dir_all(&below).unwrap();
        assert_eq!(read(&below), Some(on(&repo, Some("main"))));
    }

    #[test]
    fn without_a_repository_or_a_commit_there_are_no_facts() {
        let repo = Repo::empty();
        assert_eq!(read(&repo.path), None);
        let elsewhere = tempfile::tempdir().unwrap();
        let environment =
            Environment::from_iter([("GIT_CEILING_DIRECTORIES", elsewhere.path().parent().unwrap())]);
        assert_eq!(super::read(elsewhere.path(), &environment, false), Ok(None));
    }

    #[test]
    fn a_detached_head_is_on_no_branch() {
        let repo = Repo::new();
        repo.git.set_head_detached(repo.git.head().unwrap().target().unwrap()).unwrap();
        assert_eq!(repo.read(), on(&repo, None));
    }

    #[test]
    fn only_tracked_files_make_a_tree_dirty() {
        let repo = Repo::new();
        repo.write("untracked", "x");
        assert_dirty(&repo, false);
        repo.write("a", "b");
        assert_dirty(&repo, true);
        repo.write("a", "a");
        assert_dirty(&repo, false);
        fs::remove_file(repo.path.join("a")).unwrap();
        assert_dirty(&repo, true);
        repo.write("a", "a");
        call(&repo.path, &["add", "untracked"]);
        assert_dirty(&repo, true);
    }

    #[test]
    fn files_that_are_neither_tracked_nor_ignored_are_found_in_the_project_alone() {
        let repo = Repo::new();
        let project = repo.path.join("project");
        repo.write("project/.gitignore", "*.o\n");
        repo.commit(1);
        repo.write("project/a.o", "x");
        repo.write("project/.hoist/run", "x");
        repo.write("beside", "x");
        assert!(!has_untracked(&project).unwrap());
        repo.write("project/deep/.env", "x");
        assert!(has_untracked(&project).unwrap());
        assert!(has_untracked(&repo.path).unwrap());
    }

    #[test]
    fn a_mode_that_changed_makes_a_tree_dirty() {
        use std::os::unix::fs::PermissionsExt as _;
        let repo = Repo::new();
        fs::set_permissions(repo.path.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_dirty(&repo, true);
    }

    #[test]
    fn a_filter_that_git_knows_makes_no_tree_dirty() {
        let repo = Repo::empty();
        repo.write(".gitattributes", "*.up filter=up");
        repo.write("a.up", "text");
        call(&repo.path, &["config", "filter.up.clean", "tr a-z A-Z"]);
        call(&repo.path, &["config", "filter.up.smudge", "tr A-Z a-z"]);
        call(&repo.path, &["add", "--all"]);
        call(&repo.path, &["commit", "--quiet", "--message", "Begin"]);
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::options().append(true).open(repo.path.join("a.up")).unwrap().set_modified(later).unwrap();
        assert_dirty(&repo, false);
    }

    #[test]
    fn a_changed_submodule_makes_a_tree_dirty_and_is_a_repository_itself() {
        let (outer, inner) = (Repo::new(), Repo::new());
        let address = inner.path.to_str().unwrap();
        let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", address, "inner"];
        call(&outer.path, &add);
        call(&outer.path, &["commit", "--quiet", "--message", "Add a submodule"]);
        assert_dirty(&outer, false);
        let below = outer.path.join("inner");
        assert_eq!(read(&below).unwrap().sha, inner.read().sha);
        assert_ne!(outer.read().sha, inner.read().sha);
        fs::write(below.join("a"), "changed").unwrap();
        assert_dirty(&outer, true);
    }

    #[test]
    fn a_worktree_has_a_branch_and_a_state_of_its_own() {
        let repo = Repo::new();
        let path = repo.path.with_file_name("worktree");
        call(&repo.path, &["worktree", "add", "--quiet", "-b", "feature/a", path.to_str().unwrap()]);
        fs::write(path.join("a"), "changed").unwrap();
        let there = read(&path).unwrap();
        assert_eq!((there.branch.as_deref(), there.dirty), (Some("feature/a"), true));
        assert_eq!(there.branches, ["feature/a", "main"]);
        assert_eq!(repo.read().branch.as_deref(), Some("main"));
        assert_dirty(&repo, false);
    }

    #[test]
    fn a_bare_repository_is_never_dirty() {
        let repo = Repo::new();
        let path = repo.path.with_file_name("bare.git");
        let address = repo.path.to_str().unwrap();
        call(&repo.path, &["clone", "--quiet", "--bare", address, path.to_str().unwrap()]);
        let expected = Git { remote: Some(address.to_owned()), ..on(&repo, Some("main")) };
        assert_eq!(read(&path), Some(expected));
    }

    #[test]
    fn a_shallow_clone_says_so_and_knows_the_branches_of_its_remote() {
        let repo = Repo::new();
        repo.tag("v1.0.0");
        repo.write("a", "b");
        repo.commit(START + 60);
        let path = repo.path.with_file_name("clone");
        let address = format!("file://{}", repo.path.display());
        call(&repo.path, &["branch", "feature/a"]);
        let clone = ["clone", "--quiet", "--depth=1", "--no-single-branch", &address, path.to_str().unwrap()];
        call(&repo.path, &clone);
        let there = read(&path).unwrap();
        let description = call(&path, &["describe", "--tags", "--always", "--dirty", "--abbrev=7"]);
        assert_eq!((there.shallow, there.describe, there.remote), (true, description, Some(address)));
        assert_eq!(there.branches, ["feature/a", "main"]);
    }

    #[test]
    fn git_dir_counts_only_where_the_project_has_no_repository() {
        let (repo, other) = (Repo::new(), Repo::new());
        let environment = Environment::from_iter([("GIT_DIR", other.path.join(".git"))]);
        repo.write("a", "b");
        repo.commit(START + 60);
        assert_eq!(super::read(&repo.path, &environment, false).unwrap().unwrap().git.sha, repo.read().sha);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(
            super::read(elsewhere.path(), &environment, false).unwrap().unwrap().git.sha,
            other.read().sha
        );
    }

    #[test]
    fn tags_of_head_are_all_that_lead_to_it() {
        let repo = Repo::new();
        repo.tag("older");
        repo.write("a", "b");
        repo.commit(START + 60);
        repo.tag("v1.0.0");
        repo.annotated_tag("api/v2.0.0", START + 60);
        let tags = || super::read(&repo.path, &Environment::default(), false).unwrap().unwrap().tags_of_head;
        assert_eq!(tags(), ["api/v2.0.0", "v1.0.0"]);
        call(&repo.path, &["pack-refs", "--all"]);
        assert_eq!(tags(), ["api/v2.0.0", "v1.0.0"]);
    }

    #[test]
    fn addresses_lose_their_credentials() {
        let shown = |address| without_credentials(address);
        assert_eq!(shown("https://user:token@host/a/b.git?x=y"), "https://host/a/b.git");
        assert_eq!(shown("https://token@host:8443/a@b"), "https://host:8443/a@b");
        assert_eq!(shown("ssh://git:secret@host/a"), "ssh://git@host/a");
        assert_eq!(shown("git@host:a/b.git"), "git@host:a/b.git");
        assert_eq!(shown("/srv/git/a.git"), "/srv/git/a.git");
    }

    #[test]
    fn the_remote_is_what_the_repository_says_without_credentials() {
        let repo = Repo::new();
        repo.git.remote("origin", "https://ci:token@github.com/acme/web.git").unwrap();
        repo.git
            .config()
            .unwrap()
            .set_str("url.https://other@host/.insteadOf", "https://ci:token@github.com/")
            .unwrap();
        assert_eq!(remote(&repo.path).as_deref(), Some("https://github.com/acme/web.git"));
    }
}
