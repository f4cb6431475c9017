//! Which commit came before which, where the repository here does not tell.
//!
//! A clone of a build service often has one commit alone, or not yet the one that a tag
//! holds. Then the commits between them are fetched, without files, into a repository of
//! their own that is removed afterwards: the one here stays as it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::Repository;
use tempfile::TempDir;

use crate::deploy::Git;
use crate::facts::Environment;
use crate::release::history::{Kinship, kinship};
use crate::release::ledger::remote;

/// How many commits behind each other are fetched, until it is known.
const DEPTHS: &[&str] = &["--depth=64", "--depth=1024", DEEPEST];
/// Most of them.
const DEEPEST: &str = "--depth=16384";
/// How long the remote may take for all of it.
const LIMIT: Duration = Duration::from_mins(1);
/// Of the settings of a repository, the sections that say how a remote is reached.
const SECTIONS: &[&str] = &["credential.", "http.", "https.", "protocol.", "ssh.", "url."];
/// Likewise, of `core` and of a remote.
const SETTINGS: &[&str] =
    &["askpass", "gitproxy", "sshcommand", "proxy", "proxyauthmethod", "uploadpack", "url", "vcs"];

/// How the commit `new` stands to the commit `old`. The remote is asked where the
/// repository of a directory does not tell, and whether a branch was rewritten.
pub(super) fn find_kinship(directory: &Path, environment: &Environment, new: &str, old: &str) -> Kinship {
    let here = kinship(directory, new, old);
    if matches!(here, Kinship::Same | Kinship::Follows | Kinship::Precedes) {
        return here;
    }
    Elsewhere::new(directory, environment).map_or(here, |there| there.kinship(here, new, old))
}

/// Commits of a remote, in a repository of their own.
struct Elsewhere<'a> {
    place: TempDir,
    /// Where paths of the remote's address begin.
    directory: PathBuf,
    remote: String,
    environment: &'a Environment,
    /// How the remote is reached, as variables that git reads.
    settings: Vec<(String, OsString)>,
    begun: Instant,
}

impl<'a> Elsewhere<'a> {
    /// An empty one; `None` where the project has no remote, or there is no git.
    fn new(directory: &Path, environment: &'a Environment) -> Option<Self> {
        let repository = Repository::discover(directory).ok()?;
        let remote = remote(&repository)?;
        let settings = settings(repository.path(), environment)?;
        let directory = repository.workdir().unwrap_or_else(|| repository.path()).to_owned();
        let place = TempDir::new().ok()?;
        let elsewhere = Self { place, directory, remote, environment, settings, begun: Instant::now() };
        elsewhere.does(&["init", "--quiet", "--bare", "--template="]).then_some(elsewhere)
    }

    /// How one commit stands to the other, by what the repository here says and what the
    /// remote has.
    fn kinship(&self, here: Kinship, new: &str, old: &str) -> Kinship {
        let mut found = here;
        for depth in DEPTHS {
            if found != Kinship::Unknown || !self.fetch(depth, &[new, old]) {
                break;
            }
            found = self.compare(new, old);
        }
        if matches!(found, Kinship::Follows | Kinship::Precedes)
            || !self.fetch(DEEPEST, &["+refs/heads/*:refs/heads/*"])
        {
            return found;
        }
        if found == Kinship::Unknown {
            found = self.compare(new, old);
        }
        let replaces = || self.is_on_branch(new) && !self.is_on_branch(old) && !self.is_cut_off();
        match found {
            Kinship::Strays | Kinship::Unknown if replaces() => Kinship::Replaces,
            found => found,
        }
    }

    /// How one commit stands to the other, by what was fetched.
    fn compare(&self, new: &str, old: &str) -> Kinship {
        let follows = |new, old| self.does(&["merge-base", "--is-ancestor", old, new]);
        let is_here = |commit: &str| self.does(&["cat-file", "-e", &format!("{commit}^{{commit}}")]);
        if follows(new, old) {
            Kinship::Follows
        } else if follows(old, new) {
            Kinship::Precedes
        } else if !self.is_cut_off() && is_here(new) && is_here(old) {
            Kinship::Strays
        } else {
            Kinship::Unknown
        }
    }

    /// Whether one of the branches that were fetched has a commit.
    fn is_on_branch(&self, commit: &str) -> bool {
        let found = self.git(&["for-each-ref", "--count=1", "--contains", commit, "refs/heads/"]);
        found.is_some_and(|branches| !branches.is_empty())
    }

    /// Whether there are commits behind those that were fetched.
    fn is_cut_off(&self) -> bool {
        self.place.path().join("shallow").metadata().is_ok_and(|file| file.len() > 0)
    }

    /// Fetches commits without files, where the remote can leave them out.
    fn fetch(&self, depth: &str, what: &[&str]) -> bool {
        let words = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--refmap="];
        let words = [&words[..], &["--no-auto-maintenance", "--filter=tree:0", depth, &self.remote], what];
        self.does(&words.concat())
    }

    fn does(&self, words: &[&str]) -> bool {
        self.git(words).is_some()
    }

    /// What git prints, if it does what it is to do.
    fn git(&self, words: &[&str]) -> Option<String> {
        let set: Vec<_> = self.settings.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let git = Git {
            directory: &self.directory,
            repository: Some(self.place.path()),
            environment: self.environment,
            set: &set,
        };
        let ended = git.call_within(words, LIMIT.saturating_sub(self.begun.elapsed())).ok()?;
        ended.success.then(|| ended.text())
    }
}

/// What the settings of a repository say of how remotes are reached, as variables
/// (git-config, `GIT_CONFIG_COUNT`), behind those that are set already.
fn settings(repository: &Path, environment: &Environment) -> Option<Vec<(String, OsString)>> {
    let git = Git { directory: repository, repository: Some(repository), environment, set: &[] };
    let listed = git.call(&["config", "--list", "--null", "--show-scope"], &[]).ok()?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut pieces = text.split('\0');
    let mut count: usize =
        environment.text("GIT_CONFIG_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0);
    let mut set = Vec::new();
    while let (Some(scope), Some(setting)) = (pieces.next(), pieces.next()) {
        let (key, value) = setting.split_once('\n').unwrap_or((setting, "true"));
        let last = key.rsplit('.').next().unwrap_or(key);
        let of_remote = (key.starts_with("core.") || key.starts_with("remote.")) && SETTINGS.contains(&last);
        let counts = of_remote || SECTIONS.iter().any(|section| key.starts_with(section));
        if counts && matches!(scope, "local" | "worktree") {
            set.push((format!("GIT_CONFIG_KEY_{count}"), key.into()));
            set.push((format!("GIT_CONFIG_VALUE_{count}"), value.into()));
            count += 1;
        }
    }
    set.push(("GIT_CONFIG_COUNT".to_owned(), count.to_string().into()));
    // What was left out is not fetched after all.
    set.push(("GIT_NO_LAZY_FETCH".to_owned(), "1".into()));
    Some(set)
}
