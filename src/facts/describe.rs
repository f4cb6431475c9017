//! `git describe --tags --always --abbrev=7`, as git computes it.
//!
//! libgit2 counts differently where dates of commits are out of order, and
//! lengthens the abbreviated commit where a clone has more objects; a tag of an
//! image must be the same everywhere.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use git2::{Commit, Error, Oid, Repository};

/// As many tags as git compares.
const CANDIDATES: usize = 10;

/// Digits of an abbreviated commit.
const DIGITS: usize = 7;

/// The first digits of a commit, as `{short}` has them.
#[must_use]
pub fn short(commit: &str) -> &str {
    commit.get(..DIGITS).unwrap_or(commit)
}

/// Set on every commit that was met; the other bits are one for each candidate
/// that the commit is an ancestor of.
const SEEN: u32 = 1;

/// What a commit is called.
#[derive(Default)]
pub(super) struct Described {
    /// By git: the nearest tag, how many commits came since, and which one it is; the
    /// abbreviated commit where there is no tag.
    pub(super) now: String,
    /// The same by the tags of its ancestors alone.
    pub(super) before: String,
}

/// What git calls a commit, and what it did before the commit got tags itself.
pub(super) fn describe(repository: &Repository, head: &Commit<'_>) -> Result<Described, Error> {
    let mut names = names(repository)?;
    let own = names.remove(&head.id());
    let short: String = head.id().to_string().chars().take(DIGITS).collect();
    let nearest = if names.is_empty() { None } else { Walk::new(repository, head).nearest(&names) };
    let before = nearest.map_or(short.clone(), |tag| format!("{}-{}-g{short}", tag.name.text, tag.depth));
    Ok(Described { now: own.map_or_else(|| before.clone(), |name| name.text), before })
}

/// The tag that a commit goes by.
struct Name {
    text: String,
    /// When it was made, for an annotated tag.
    made: Option<i64>,
}

/// The tags of all commits. An annotated tag counts more than one that is not,
/// then a later one more than an earlier one.
fn names(repository: &Repository) -> Result<HashMap<Oid, Name>, Error> {
    let mut tags = Vec::new();
    for reference in repository.references_glob("refs/tags/*")? {
        let reference = reference?;
        // One whose commit a shallow clone does not have is none here.
        let Ok(commit) = reference.peel_to_commit() else { continue };
        let tag = reference.target().and_then(|target| repository.find_tag(target).ok());
        let made = tag.map(|tag| tag.tagger().map_or(0, |tagger| tagger.when().seconds()));
        let text = String::from_utf8_lossy(reference.name_bytes()).into_owned();
        let text = text.strip_prefix("refs/tags/").unwrap_or(&text).to_owned();
        tags.push((commit.id(), Name { text, made }));
    }
    tags.sort_by(|(_, a), (_, b)| a.text.cmp(&b.text));
    let mut names: HashMap<Oid, Name> = HashMap::new();
    for (commit, name) in tags {
        let known = names.get(&commit);
        if known.is_none_or(|known| known.made < name.made) {
            names.insert(commit, name);
        }
    }
    Ok(names)
}

/// A tag that may be the nearest.
struct Candidate<'a> {
    name: &'a Name,
    /// Commits that it does not have.
    depth: usize,
    /// The bit of the commits that it has.
    within: u32,
}

/// Goes from a commit to its ancestors, later ones first.
struct Walk<'a> {
    repository: &'a Repository,
    waiting: BinaryHeap<(i64, Reverse<usize>, Oid)>,
    flags: HashMap<Oid, u32>,
    entered: usize,
}

impl<'a> Walk<'a> {
    fn new(repository: &'a Repository, head: &Commit<'_>) -> Self {
        let mut walk = Self { repository, waiting: BinaryHeap::new(), flags: HashMap::new(), entered: 0 };
        walk.enter(head.id(), head.time().seconds(), SEEN);
        walk
    }

    fn enter(&mut self, commit: Oid, date: i64, flags: u32) {
        let known = self.flags.entry(commit).or_default();
        if *known & SEEN == 0 {
            self.waiting.push((date, Reverse(self.entered), commit));
            self.entered += 1;
        }
        *known |= flags;
    }

    fn flags(&self, commit: Oid) -> u32 {
        self.flags.get(&commit).copied().unwrap_or_default()
    }

    fn enter_parents(&mut self, commit: Oid) {
        let flags = self.flags(commit);
        let Ok(commit) = self.repository.find_commit(commit) else { return };
        for parent in commit.parent_ids() {
            // A shallow clone ends somewhere.
            if let Ok(parent) = self.repository.find_commit(parent) {
                self.enter(parent.id(), parent.time().seconds(), flags);
            }
        }
    }

    fn nearest<'n>(mut self, names: &'n HashMap<Oid, Name>) -> Option<Candidate<'n>> {
        let mut candidates: Vec<Candidate<'n>> = Vec::new();
        let mut seen = 0;
        while let Some((date, order, commit)) = self.waiting.pop() {
            if let Some(name) = names.get(&commit) {
                if candidates.len() == CANDIDATES {
                    self.waiting.push((date, order, commit));
                    break;
                }
                let within = SEEN << (candidates.len() + 1);
                candidates.push(Candidate { name, depth: seen, within });
                *self.flags.entry(commit).or_default() |= within;
            }
            seen += 1;
            let flags = self.flags(commit);
            candidates.iter_mut().filter(|tag| flags & tag.within == 0).for_each(|tag| tag.depth += 1);
            if self.waiting.is_empty() && is_settled(&candidates, flags) {
                break;
            }
            self.enter_parents(commit);
        }
        // The first of the nearest.
        let mut best = candidates.into_iter().min_by_key(|tag| tag.depth)?;
        self.finish(&mut best);
        Some(best)
    }

    /// Counts the rest of the commits that the tag does not have.
    fn finish(mut self, best: &mut Candidate<'_>) {
        while let Some((_, _, commit)) = self.waiting.pop() {
            if self.flags(commit) & best.within == 0 {
                best.depth += 1;
            } else if self.waiting.iter().all(|(_, _, other)| self.flags(*other) & best.within != 0) {
                break;
            }
            self.enter_parents(commit);
        }
    }
}

/// Whether the last commit that waited is one that all of the nearest tags have,
/// so that nothing nearer can come.
fn is_settled(candidates: &[Candidate<'_>], flags: u32) -> bool {
    if candidates.iter().all(|tag| tag.name.made.is_none()) {
        return false;
    }
    let least = candidates.iter().map(|tag| tag.depth).min();
    let nearest = candidates.iter().filter(|tag| Some(tag.depth) == least);
    let within = nearest.fold(0, |bits, tag| bits | tag.within);
    flags & within == within
}

#[cfg(test)]
mod tests {
    use crate::facts::fixture::{Repo, START, who};

    /// A generator of numbers, the same each time.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % sides
        }
    }

    #[test]
    fn describe_says_what_git_says_of_any_history() {
        for seed in 0..40 {
            let mut dice = Dice(seed);
            let repo = Repo::new();
            let tree = repo.git.head().unwrap().peel_to_tree().unwrap();
            let mut commits = vec![repo.git.head().unwrap().target().unwrap()];
            for number in 0..dice.roll(30) {
                let mut parents = vec![commits[commits.len() - 1 - dice.roll(commits.len().min(4))]];
                let other = commits[dice.roll(commits.len())];
                if dice.roll(3) == 0 && other != parents[0] {
                    parents.push(other);
                }
                let parents: Vec<_> = parents.iter().map(|id| repo.git.find_commit(*id).unwrap()).collect();
                let at = who(START + i64::try_from(dice.roll(20) * 60).unwrap());
                let message = format!("{number}");
                commits.push(
                    repo.git
                        .commit(None, &at, &at, &message, &tree, &parents.iter().collect::<Vec<_>>())
                        .unwrap(),
                );
            }
            for number in 0..dice.roll(14) {
                let commit = repo.git.find_object(commits[dice.roll(commits.len())], None).unwrap();
                let name = format!("v{}", dice.roll(100) * 10 + number);
                if dice.roll(2) == 0 {
                    repo.git.tag_lightweight(&name, &commit, true).unwrap();
                } else {
                    let at = START + i64::try_from(dice.roll(5)).unwrap();
                    repo.git.tag(&name, &commit, &who(at), &name, true).unwrap();
                }
            }
            let head = *commits.last().unwrap();
            repo.git.reference("refs/heads/main", head, true, "").unwrap();
            assert_eq!(repo.read().describe, repo.describe(), "seed {seed}");
        }
    }

    #[test]
    fn an_annotated_tag_counts_more_than_one_that_is_not() {
        let repo = Repo::new();
        repo.tag("b");
        repo.annotated_tag("c", START + 1);
        repo.annotated_tag("d", START + 2);
        repo.tag("e");
        assert_eq!((repo.read().describe, repo.describe()), ("d".to_owned(), "d".to_owned()));
        repo.write("a", "b");
        repo.commit(START + 60);
        repo.write("a", "dirty");
        let short = &repo.read().sha[..7];
        assert_eq!(
            (repo.read().describe, repo.describe()),
            (format!("d-1-g{short}-dirty"), format!("d-1-g{short}-dirty"))
        );
    }
}
