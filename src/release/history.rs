//! Which commit came before which.

use std::path::Path;

use git2::{Oid, Repository};

/// How a commit stands to an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinship {
    /// It is the same, or was made on top of it.
    Follows,
    /// It was not made on top of it.
    Strays,
    /// The repository does not tell: there is none, it does not have both, or
    /// its history is cut off.
    Unknown,
}

/// How the commit `new` stands to the commit `old` in the repository of a
/// directory.
pub(super) fn kinship(directory: &Path, new: &str, old: &str) -> Kinship {
    if new == old {
        return Kinship::Follows;
    }
    let ask = || {
        let repository = Repository::discover(directory)?;
        let (new, old) = (Oid::from_str(new)?, Oid::from_str(old)?);
        repository.find_commit(old)?;
        let follows = repository.graph_descendant_of(new, old)?;
        Ok::<_, git2::Error>(match follows {
            true => Kinship::Follows,
            false if repository.is_shallow() => Kinship::Unknown,
            false => Kinship::Strays,
        })
    };
    ask().unwrap_or(Kinship::Unknown)
}

/// Whether a commit is on a branch: that of the remote, where there is one.
///
/// # Errors
/// Why that cannot be told: a sentence without a period.
pub(super) fn is_on_branch(
    directory: &Path,
    commit: &str,
    branch: &str,
    remote: Option<&str>,
) -> Result<bool, String> {
    let ask = || {
        let repository = Repository::discover(directory)?;
        let name = match remote {
            Some(remote) => format!("refs/remotes/{remote}/{branch}"),
            None => format!("refs/heads/{branch}"),
        };
        let tip = match repository.find_reference(&name) {
            Ok(reference) => reference.peel_to_commit()?.id(),
            Err(_) => return Ok(Err(format!("there is no `{name}` here"))),
        };
        let commit = Oid::from_str(commit)?;
        if repository.find_commit(commit).is_err() {
            return Ok(Err("the commit is not here".to_owned()));
        }
        Ok::<_, git2::Error>(match tip == commit || repository.graph_descendant_of(tip, commit)? {
            false if repository.is_shallow() => Err("history is cut off here".to_owned()),
            on => Ok(on),
        })
    };
    ask().unwrap_or_else(|error| Err(error.message().to_owned()))
}

/// The tree of a commit, as 40 hex digits, if it is here.
pub(super) fn tree_of(directory: &Path, commit: &str) -> Option<String> {
    let repository = Repository::discover(directory).ok()?;
    let commit = repository.find_commit(Oid::from_str(commit).ok()?).ok()?;
    Some(commit.tree_id().to_string())
}

#[cfg(test)]
mod tests {
    use git2::{Signature, Time};

    use super::*;

    fn commit(repository: &Repository, message: &str, parents: &[Oid]) -> Oid {
        let who = Signature::new("a", "a@example.org", &Time::new(0, 0)).unwrap();
        let tree = repository.treebuilder(None).unwrap().write().unwrap();
        let tree = repository.find_tree(tree).unwrap();
        let parents: Vec<_> = parents.iter().map(|id| repository.find_commit(*id).unwrap()).collect();
        let parents: Vec<_> = parents.iter().collect();
        repository.commit(None, &who, &who, message, &tree, &parents).unwrap()
    }

    #[test]
    fn the_repository_tells_which_commit_came_first() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::init(directory.path()).unwrap();
        let one = commit(&repository, "one", &[]);
        let two = commit(&repository, "two", &[one]);
        let side = commit(&repository, "side", &[one]);
        let ask = |new: Oid, old: Oid| kinship(directory.path(), &new.to_string(), &old.to_string());
        assert_eq!(ask(two, one), Kinship::Follows);
        assert_eq!(ask(two, two), Kinship::Follows);
        assert_eq!(ask(one, two), Kinship::Strays);
        assert_eq!(ask(side, two), Kinship::Strays);
        assert_eq!(kinship(directory.path(), &one.to_string(), &"0".repeat(40)), Kinship::Unknown);
        assert_eq!(kinship(directory.path(), &one.to_string(), "v1"), Kinship::Unknown);
    }

    #[test]
    fn without_a_repository_nothing_is_known() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(kinship(directory.path(), &"1".repeat(40), &"2".repeat(40)), Kinship::Unknown);
    }
}
