//! Which commit came before which.

use std::path::Path;

use git2::{Oid, Repository};

use crate::diagnostic::nearest;

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

/// Why it cannot be told whether a commit is on a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTold {
    /// A sentence without a period.
    pub why: String,
    /// The branch that is here and may have been meant.
    pub meant: Option<String>,
}

impl NotTold {
    /// Nothing else may have been meant.
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), meant: None }
    }
}

/// Whether a commit is on a branch: that of the remote, where there is one.
///
/// # Errors
/// Why that cannot be told.
pub(super) fn is_on_branch(
    directory: &Path,
    commit: &str,
    branch: &str,
    remote: Option<&str>,
) -> Result<bool, NotTold> {
    let ask = || {
        let repository = Repository::discover(directory)?;
        let above = remote.map_or("refs/heads/".to_owned(), |remote| format!("refs/remotes/{remote}/"));
        let name = format!("{above}{branch}");
        let Ok(reference) = repository.find_reference(&name) else {
            let known = repository.references_glob(&format!("{above}*"))?;
            let known: Vec<String> = known
                .flatten()
                .filter_map(|reference| Some(reference.name().ok()?.strip_prefix(&above)?.to_owned()))
                .collect();
            let meant = nearest(branch, known.iter().map(String::as_str)).map(str::to_owned);
            return Ok(Err(NotTold { meant, ..NotTold::new(format!("there is no `{name}` here")) }));
        };
        let tip = reference.peel_to_commit()?.id();
        let commit = Oid::from_str(commit)?;
        if repository.find_commit(commit).is_err() {
            return Ok(Err(NotTold::new("the commit is not here")));
        }
        Ok::<_, git2::Error>(match tip == commit || repository.graph_descendant_of(tip, commit)? {
            false if repository.is_shallow() => Err(NotTold::new("history is cut off here")),
            on => Ok(on),
        })
    };
    ask().unwrap_or_else(|error| Err(NotTold::new(error.message())))
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
    fn a_branch_that_is_not_here_may_be_another_one_spelled_wrongly() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::init(directory.path()).unwrap();
        let one = commit(&repository, "one", &[]);
        for name in ["refs/heads/develop", "refs/remotes/origin/main", "refs/remotes/origin/HEAD"] {
            repository.reference(name, one, true, "").unwrap();
        }
        let ask = |branch, remote| is_on_branch(directory.path(), &one.to_string(), branch, remote);
        assert_eq!(ask("main", Some("origin")), Ok(true));
        let meant = |branch, remote| ask(branch, remote).unwrap_err().meant;
        assert_eq!(meant("mian", Some("origin")).as_deref(), Some("main"));
        assert_eq!(meant("develpo", None).as_deref(), Some("develop"));
        assert_eq!(meant("develpo", Some("origin")), None);
    }

    #[test]
    fn without_a_repository_nothing_is_known() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(kinship(directory.path(), &"1".repeat(40), &"2".repeat(40)), Kinship::Unknown);
    }
}
