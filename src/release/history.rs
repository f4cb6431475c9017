//! Which commit came before which.

use std::path::Path;

use git2::{Oid, Repository};

/// How a commit stands to an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinship {
    /// It is the same.
    Same,
    /// It was made on top of it.
    Follows,
    /// It is the one that the other was made on top of.
    Precedes,
    /// It was not made on top of it.
    Strays,
    /// It was not made on top of it, and is on a branch of the remote, where the other is
    /// on none any more: a branch was rewritten.
    Replaces,
    /// The repository does not tell: there is none, it does not have the commits, or
    /// its history is cut off.
    Unknown,
}

/// Whether a text is the full name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// How the commit `new` stands to the commit `old` in the repository of a
/// directory. No remote is asked.
pub(super) fn kinship(directory: &Path, new: &str, old: &str) -> Kinship {
    if new == old {
        return Kinship::Same;
    }
    let ask = || {
        let repository = Repository::discover(directory)?;
        let (new, old) = (Oid::from_str(new)?, Oid::from_str(old)?);
        repository.find_commit(new)?;
        let is_whole = !repository.is_shallow();
        if repository.find_commit(old).is_err() {
            // All that the new one was made on top of is here.
            return Ok(if is_whole { Kinship::Strays } else { Kinship::Unknown });
        }
        let descends = |one, other| {
            repository
                .graph_descendant_of(one, other)
                .or_else(|error| if is_whole { Err(error) } else { Ok(false) })
        };
        Ok::<_, git2::Error>(match (descends(new, old)?, descends(old, new)?) {
            (true, _) => Kinship::Follows,
            (_, true) => Kinship::Precedes,
            _ if is_whole => Kinship::Strays,
            _ => Kinship::Unknown,
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
        assert_eq!(ask(two, two), Kinship::Same);
        assert_eq!(ask(one, two), Kinship::Precedes);
        assert_eq!(ask(side, two), Kinship::Strays);
        // What is not here is nothing that it was made on top of, unless history is cut off.
        let absent = || kinship(directory.path(), &two.to_string(), &"9".repeat(40));
        assert_eq!(absent(), Kinship::Strays);
        assert_eq!(kinship(directory.path(), &"9".repeat(40), &one.to_string()), Kinship::Unknown);
        std::fs::write(directory.path().join(".git/shallow"), format!("{two}\n")).unwrap();
        assert_eq!(absent(), Kinship::Unknown);
        assert_eq!(kinship(directory.path(), &one.to_string(), "v1"), Kinship::Unknown);
    }

    #[test]
    fn without_a_repository_nothing_is_known() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(kinship(directory.path(), &"1".repeat(40), &"2".repeat(40)), Kinship::Unknown);
    }
}
