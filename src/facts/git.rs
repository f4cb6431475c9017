//! What the repository says of the commit that is built.
//!
//! The repository is the one that the project lies in, found from its directory
//! upwards. `GIT_DIR` is asked only where there is none: a hook of one
//! repository that calls hoist in another must not mix up the two.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{DescribeFormatOptions, DescribeOptions, ErrorCode, Oid, StatusOptions};
use jiff::Timestamp;

use crate::diagnostic::{Code, Problem};
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
pub(super) fn read(directory: &Path, environment: &Environment) -> Result<Option<Repository>, Problem> {
    let Some(repository) = open(directory, environment).map_err(|error| refused(directory, &error))? else {
        return Ok(None);
    };
    describe_head(&repository).map_err(|error| refused(directory, &error))
}

/// Address of the remote `origin` of the repository that `directory` lies in,
/// credentials removed.
#[must_use]
pub fn remote(directory: &Path) -> Option<String> {
    origin(&git2::Repository::discover(directory).ok()?)
}

fn refused(directory: &Path, error: &git2::Error) -> Problem {
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

fn open(directory: &Path, environment: &Environment) -> Result<Option<git2::Repository>, git2::Error> {
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

fn describe_head(repository: &git2::Repository) -> Result<Option<Repository>, git2::Error> {
    let head = match repository.head() {
        Ok(head) => head,
        Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let commit = head.peel_to_commit()?;
    let dirty = is_dirty(repository)?;
    let suffix = if dirty { "-dirty" } else { "" };
    let git = Git {
        sha: commit.id().to_string(),
        branch: head.is_branch().then(|| short_name(head.name_bytes(), "refs/heads/")).flatten(),
        describe: format!("{}{suffix}", describe(repository)?),
        dirty,
        time: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        branches: branches(repository)?,
        remote: origin(repository),
        shallow: repository.is_shallow(),
    };
    Ok(Some(Repository { git, tags_of_head: tags_of(repository, commit.id())? }))
}

/// The name behind a directory of references; characters that are not UTF-8 are
/// replaced.
fn short_name(reference: &[u8], directory: &str) -> Option<String> {
    let name = reference.strip_prefix(directory.as_bytes())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Whether tracked files differ from the commit, in the index or the working
/// tree. Nothing is in a bare repository.
fn is_dirty(repository: &git2::Repository) -> Result<bool, git2::Error> {
    if repository.is_bare() {
        return Ok(false);
    }
    let mut options = StatusOptions::new();
    options.include_untracked(false).include_ignored(false).exclude_submodules(false);
    Ok(!repository.statuses(Some(&mut options))?.is_empty())
}

fn describe(repository: &git2::Repository) -> Result<String, git2::Error> {
    let mut options = DescribeOptions::new();
    options.describe_tags().show_commit_oid_as_fallback(true);
    let mut format = DescribeFormatOptions::new();
    format.abbreviated_size(7);
    repository.describe(&options)?.format(Some(&format))
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

/// An address without what must not be shown. The user of an SSH address is part
/// of where it leads and stays.
fn without_credentials(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
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
