//! The ledger of a repository: reading it, and putting entries into it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use git2::{ErrorCode, Oid, Repository, Signature};

use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Environment, any_number};
use crate::release::ledger::entry::{Entry, FORMAT};
use crate::release::ledger::git::{Ended, git};
use crate::release::ledger::state::State;

/// The reference, here and in the remote.
const LEDGER: &str = "refs/hoist/ledger";
/// Below this lie, for a moment, those that are fetched.
const FETCHED: &str = "refs/hoist/fetched";
/// Below this lies what was seen of the ledgers of remotes last.
const SEEN: &str = "refs/hoist/seen";
/// The file of a commit that holds its entry.
const ENTRY: &str = "entry.json";
/// The file of a commit that holds what all stages run behind it.
const STATE: &str = "state.json";
/// The file of a commit that holds what a run is about to make visible.
const INTENT: &str = "intent.json";
/// How often an entry is put behind those of others who were faster.
const RACES: u32 = 200;
/// How often a remote may refuse an entry although nobody was faster.
const REFUSALS: u32 = 16;
/// Longest that is waited after a lost race, in milliseconds.
const LONGEST_WAIT: u64 = 400;

/// The ledger of a repository.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The repository's git directory.
    repository: PathBuf,
    /// The name of the remote that it lives in; none where it is local.
    remote: Option<String>,
    environment: Environment,
}

/// What the ledger says now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The newest entry; none where there is none yet.
    pub head: Option<String>,
    /// What all stages run.
    pub state: State,
}

/// What became of an entry that was sent to a remote.
enum Sent {
    Taken,
    /// The remote did not take it, for this reason; somebody may have been faster.
    Refused(String),
    /// The remote does not say whether it took it, for this reason.
    Unanswered(String),
    /// The remote takes none, in its own words.
    Denied(Vec<String>),
}

impl Ledger {
    /// That of the repository that a directory lies in: in the remote `origin`, else the
    /// one that the branch tracks, else the only one.
    ///
    /// # Errors
    /// There is no repository ([`Code::NoGit`]).
    pub fn open(directory: &Path, environment: &Environment) -> Result<Self, Problem> {
        let repository = Repository::discover(directory).map_err(|error| {
            Problem::new(Code::NoGit, "stages need a git repository, which keeps what runs in them")
                .note(error.message().to_owned())
                .help("`git init` makes one")
        })?;
        let remote = remote(&repository);
        let repository = repository.path().to_owned();
        Ok(Self { repository, remote, environment: environment.clone() })
    }

    /// The remote that it lives in, if it lives in one.
    #[must_use]
    pub fn remote(&self) -> Option<&str> {
        self.remote.as_deref()
    }

    /// What git finds around it.
    pub(in crate::release) const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The address of that remote, as git takes it.
    ///
    /// # Errors
    /// There is no repository any more.
    pub fn address(&self) -> Result<Option<String>, Problem> {
        let Some(remote) = &self.remote else { return Ok(None) };
        let repository = self.repository()?;
        let found = repository.find_remote(remote).map_err(|error| unreadable(&error))?;
        Ok(found.url().ok().map(str::to_owned))
    }

    /// What it says, after the remote was asked.
    ///
    /// # Errors
    /// The remote cannot be reached; or what it says does not follow what it said before
    /// ([`Code::LedgerDiverged`]).
    pub fn fetch(&self) -> Result<Page, Problem> {
        let repository = self.repository()?;
        let head = self.synchronise(&repository)?;
        page(&repository, head)
    }

    /// What it said when the remote was asked for the last time.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> Result<Page, Problem> {
        let repository = self.repository()?;
        page(&repository, local(&repository)?)
    }

    /// The entries of a stage, or of all, the newest first and no more than so many, as of
    /// the last time that the remote was asked. Who was about to enter one is none of them.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn history(&self, stage: Option<&str>, most: usize) -> Result<Vec<(String, Entry)>, Problem> {
        let repository = self.repository()?;
        let Page { head, state } = page(&repository, local(&repository)?)?;
        let newest = stage.map(|stage| state.stages.get(stage).and_then(|known| known.last.clone()));
        let mut next = newest.unwrap_or(head);
        let mut entries = Vec::new();
        while let Some(id) = next.filter(|_| entries.len() < most) {
            let commit = Oid::from_str(&id).map_err(|error| unreadable(&error))?;
            let entry: Entry = document(&repository, commit, ENTRY)?;
            next = if stage.is_some() {
                entry.follows.clone()
            } else {
                let commit = repository.find_commit(commit).map_err(|error| unreadable(&error))?;
                commit.parent_ids().next().map(|parent| parent.to_string())
            };
            if entry.kind.is_lasting() {
                entries.push((id, entry));
            }
        }
        Ok(entries)
    }

    /// What was put down with an entry, of what its run was about to make visible.
    ///
    /// # Errors
    /// There is no such entry here, or it has none.
    pub fn intent<T: serde::de::DeserializeOwned>(&self, id: &str) -> Result<T, Problem> {
        let id = Oid::from_str(id).map_err(|error| unreadable(&error))?;
        document(&self.repository()?, id, INTENT)
    }

    /// One entry.
    ///
    /// # Errors
    /// There is no such entry here, or it cannot be read.
    pub fn entry(&self, id: &str) -> Result<Entry, Problem> {
        let id = Oid::from_str(id).map_err(|error| unreadable(&error))?;
        document(&self.repository()?, id, ENTRY)
    }

    /// Puts an entry behind all others. `make` is told what the ledger says, and makes the
    /// entry, or none if there is nothing to put down. It is asked first of what was known
    /// here: that the remote takes the entry says that it was right. Where `make` refuses,
    /// or makes none, or somebody else was faster, it is asked again, of what the remote
    /// says. Returns the id of the entry.
    ///
    /// # Errors
    /// What `make` refuses; the remote cannot be reached or does not take entries; the
    /// ledger diverged.
    pub fn append(
        &self,
        mut make: impl FnMut(&Page) -> Result<Option<Entry>, Problems>,
    ) -> Result<Option<String>, Problems> {
        self.append_all(None, |page| Ok(make(page)?.into_iter().collect()))
    }

    /// As [`append`](Self::append), several entries at once: all of them, or none. An
    /// `intent`, a JSON document, is put down with each. Returns the id of the last.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_all(
        &self,
        intent: Option<&str>,
        mut make: impl FnMut(&Page) -> Result<Vec<Entry>, Problems>,
    ) -> Result<Option<String>, Problems> {
        let repository = self.repository()?;
        let mut sent: Option<Oid> = None;
        if let (Some(remote), Some(head)) = (&self.remote, local(&repository)?) {
            let page = page(&repository, Some(head))?;
            if let Ok(entries) = make(&page) {
                sent = write_all(&repository, Some(head), page.state, entries, intent)
                    .map_err(|error| unwritable(&error))?;
            }
            if let Some(made) = sent {
                // Only onto what was judged: what the remote lost is not brought back.
                let lease = format!("--force-with-lease={LEDGER}:{head}");
                if let Sent::Taken = self.push(&repository, remote, (Some(head), made), &[&lease])? {
                    return Ok(Some(made.to_string()));
                }
            }
        }
        let mut refused: (u32, Option<Oid>, String) = (0, None, String::new());
        for race in 0..RACES {
            let head = self.synchronise(&repository)?;
            if let (Some(sent), Some(head)) = (sent, head)
                && follows(&repository, head, sent).map_err(|error| unreadable(&error))?
            {
                // It was taken, and the answer was lost.
                return Ok(Some(sent.to_string()));
            }
            if race > 0 && head == refused.1 {
                refused.0 += 1;
            } else {
                refused.0 = 0;
            }
            if refused.0 >= REFUSALS {
                return Err(not_taken([refused.2]).into());
            }
            let page = page(&repository, head)?;
            let entries = make(&page)?;
            let Some(written) = write_all(&repository, head, page.state, entries, intent)
                .map_err(|error| unwritable(&error))?
            else {
                return Ok(None);
            };
            sent = Some(written);
            match self.send(&repository, head, written)? {
                Sent::Taken => return Ok(Some(written.to_string())),
                Sent::Refused(why) => refused = (refused.0, head, why),
                // It may have been taken all the same, or somebody may have been faster.
                Sent::Unanswered(why) => {
                    self.check_push()?;
                    refused = (refused.0, head, why);
                }
                Sent::Denied(words) => return Err(not_taken(words).into()),
            }
            let most = u64::from(race + 1).saturating_mul(40).min(LONGEST_WAIT);
            std::thread::sleep(Duration::from_millis(10 + any_number() % most));
        }
        Err(not_taken([refused.2]).into())
    }

    /// Makes sure, as far as that can be seen before, that the remote takes entries from
    /// who asks.
    ///
    /// # Errors
    /// It does not, and why.
    pub fn check_push(&self) -> Result<(), Problem> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let repository = self.repository()?;
        let known = local(&repository)?.or_else(|| repository.head().ok()?.target());
        let Some(known) = known else { return Ok(()) };
        let what = format!("{known}:{LEDGER}");
        let tried = self.git(&["push", "--dry-run", "--no-verify", "--porcelain", remote, &what])?;
        // That somebody was faster is no obstacle.
        if tried.success || tried.stdout.lines().any(|line| line.starts_with('!')) {
            return Ok(());
        }
        let title = format!("the ledger cannot be pushed to the remote `{remote}`");
        let problem = Problem::new(Code::Unreachable, title).note(tried.complaint);
        Err(problem.help(format!("whoever releases must be allowed to push `{LEDGER}`")))
    }

    fn repository(&self) -> Result<Repository, Problem> {
        Repository::open(&self.repository).map_err(|error| unreadable(&error))
    }

    fn git(&self, words: &[&str]) -> Result<Ended, Problem> {
        git(&self.repository, &self.environment, words)
    }

    /// Brings what the remote has to the local reference, and returns where that is.
    fn synchronise(&self, repository: &Repository) -> Result<Option<Oid>, Problem> {
        for _ in 0..RACES {
            // It is read before the remote is asked: others who share this repository bring
            // here only what the remote has.
            let here = local(repository)?;
            let Some(remote) = &self.remote else { return Ok(here) };
            let Some(there) = self.look_there(remote)? else {
                if let Some(seen) = reference(repository, &seen(remote))? {
                    return Err(gone(remote, seen));
                }
                // Entries that were made before there was a remote are still to be sent.
                return Ok(here);
            };
            if here == Some(there) {
                note_seen(repository, remote, there)?;
                return Ok(here);
            }
            let there = self.fetch_from(repository, remote)?;
            note_seen(repository, remote, there)?;
            let follows = |new, old| follows(repository, new, old).map_err(|error| unreadable(&error));
            if let Some(here) = here
                && !follows(there, here)?
            {
                return Err(diverged(remote, here, there));
            }
            if set(repository, here, there)? {
                return Ok(Some(there));
            }
            if let Some(now) = local(repository)?
                && follows(now, there)?
            {
                return Ok(Some(now));
            }
        }
        Err(Problem::new(Code::Ledger, "the ledger cannot be written here: others write it at the same time")
            .help("run the same again"))
    }

    /// What the remote's reference names.
    fn look_there(&self, remote: &str) -> Result<Option<Oid>, Problem> {
        let listed = self.git(&["ls-remote", "--quiet", remote, LEDGER])?;
        if !listed.success {
            return Err(unreachable(remote, &listed.complaint));
        }
        let named = listed.stdout.lines().find_map(|line| {
            let (id, name) = line.split_once('\t')?;
            (name == LEDGER).then_some(id)
        });
        named.map(Oid::from_str).transpose().map_err(|error| unreadable(&error))
    }

    fn fetch_from(&self, repository: &Repository, remote: &str) -> Result<Oid, Problem> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let place = format!("{FETCHED}/{}-{}-{count}", std::process::id(), any_number());
        let words = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
        let what = format!("+{LEDGER}:{place}");
        let fetched = self.git(&[&words[..], &["--refmap=", remote, &what]].concat())?;
        if !fetched.success {
            return Err(unreachable(remote, &fetched.complaint));
        }
        let found = repository.find_reference(&place).and_then(|mut reference| {
            let id = reference.peel_to_commit()?.id();
            reference.delete()?;
            Ok(id)
        });
        found.map_err(|error| unreadable(&error))
    }

    /// Makes an entry the newest one, in the remote if there is one, unless somebody else
    /// was faster.
    fn send(&self, repository: &Repository, head: Option<Oid>, made: Oid) -> Result<Sent, Problem> {
        let lost = || Sent::Refused("somebody else writes it at the same time".to_owned());
        let Some(remote) = &self.remote else {
            return Ok(if set(repository, head, made)? { Sent::Taken } else { lost() });
        };
        self.push(repository, remote, (head, made), &[])
    }

    /// As [`send`](Self::send), to a remote.
    fn push(
        &self,
        repository: &Repository,
        remote: &str,
        (head, made): (Option<Oid>, Oid),
        options: &[&str],
    ) -> Result<Sent, Problem> {
        let what = format!("{made}:{LEDGER}");
        let words = ["push", "--quiet", "--no-verify", "--porcelain"];
        let pushed = self.git(&[&words[..], options, &[remote, &what]].concat())?;
        if !pushed.success {
            let refusal = pushed.stdout.lines().find(|line| line.starts_with('!')).map(str::to_owned);
            // A race is lost before a hook is asked, or after it agreed.
            if let Some(refusal) = refusal.as_ref().filter(|refusal| refusal.contains("hook declined")) {
                let words = pushed.complaint.lines().map(str::trim_end);
                let words = words.filter(|line| line.starts_with("remote:")).map(str::to_owned);
                return Ok(Sent::Denied([refusal.replace('\t', " ")].into_iter().chain(words).collect()));
            }
            return Ok(refusal.map_or(Sent::Unanswered(pushed.complaint), Sent::Refused));
        }
        // It is what counts; where somebody here was faster, the next look brings it here.
        let _ = set(repository, head, made);
        let _ = note_seen(repository, remote, made);
        Ok(Sent::Taken)
    }
}

/// The remote has no ledger any more.
fn gone(remote: &str, seen_there: Oid) -> Problem {
    let title = format!("`{remote}` has no ledger any more");
    Problem::new(Code::LedgerDiverged, title)
        .note(format!("the last that was seen of `{LEDGER}` there is {seen_there}"))
        .note("entries are only ever added: somebody removed it, or it is another repository now")
        .help(format!(
            "`git push {remote} {seen_there}:{LEDGER}` brings it back; where a new one is right, \
             `git update-ref -d {}` forgets that there was one",
            seen(remote)
        ))
}

/// The reference here that says what was seen of a remote's ledger last.
fn seen(remote: &str) -> String {
    format!("{SEEN}/{remote}")
}

fn note_seen(repository: &Repository, remote: &str, there: Oid) -> Result<(), Problem> {
    if reference(repository, &seen(remote))? == Some(there) {
        return Ok(());
    }
    match repository.reference(&seen(remote), there, true, "hoist") {
        // Somebody else notes it at the same time.
        Err(error) if error.code() != ErrorCode::Locked => Err(unwritable(&error)),
        _ => Ok(()),
    }
}

fn diverged(remote: &str, here: Oid, there: Oid) -> Problem {
    let title = format!("the ledger of `{remote}` does not follow what was seen of it before");
    Problem::new(Code::LedgerDiverged, title)
        .note(format!("`{LEDGER}` of `{remote}` is {there}"))
        .note(format!("the last that was seen of it, or made here, is {here}"))
        .note("entries are only ever added: somebody rewrote it, or made entries without it")
        .help(format!(
            "where {there} is right, `git update-ref {LEDGER} {there} {here}` forgets what is known here"
        ))
}

/// The remote that a repository's ledger lives in.
pub(in crate::release) fn remote(repository: &Repository) -> Option<String> {
    if repository.find_remote("origin").is_ok() {
        return Some("origin".to_owned());
    }
    let tracked = || {
        let head = repository.head().ok()?;
        let tracked = repository.branch_upstream_remote(head.name().ok()?).ok()?;
        let tracked = tracked.as_str().ok()?.to_owned();
        repository.find_remote(&tracked).is_ok().then_some(tracked)
    };
    // Of one alone there is no doubt, as there is none for git.
    let only = || {
        let remotes = repository.remotes().ok()?;
        let mut names = remotes.iter().filter_map(|name| Some(name.ok()??.to_owned()));
        names.next().filter(|_| remotes.len() == 1)
    };
    tracked().or_else(only)
}

/// What the ledger's reference names here.
fn local(repository: &Repository) -> Result<Option<Oid>, Problem> {
    reference(repository, LEDGER)
}

/// What a reference names here.
fn reference(repository: &Repository, name: &str) -> Result<Option<Oid>, Problem> {
    match repository.find_reference(name) {
        Ok(reference) => Ok(reference.target()),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(unreadable(&error)),
    }
}

/// Sets the reference here, if it is where it is expected to be; `false` if it is not.
fn set(repository: &Repository, expected: Option<Oid>, to: Oid) -> Result<bool, Problem> {
    let done = match expected {
        Some(expected) => repository.reference_matching(LEDGER, to, true, expected, "hoist"),
        None => repository.reference(LEDGER, to, false, "hoist"),
    };
    match done {
        Ok(_) => Ok(true),
        Err(error)
            if matches!(
                error.code(),
                ErrorCode::Exists | ErrorCode::Modified | ErrorCode::Locked | ErrorCode::NotFound
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(unwritable(&error)),
    }
}

/// Whether a commit is another one, or was made on top of it.
fn follows(repository: &Repository, new: Oid, old: Oid) -> Result<bool, git2::Error> {
    if new == old { Ok(true) } else { repository.graph_descendant_of(new, old) }
}

fn page(repository: &Repository, head: Option<Oid>) -> Result<Page, Problem> {
    let Some(head) = head else { return Ok(Page::default()) };
    // It says which format both have.
    let _: serde::de::IgnoredAny = document(repository, head, ENTRY)?;
    let state: State = document(repository, head, STATE)?;
    let id = head.to_string();
    Ok(Page { state: state.at(&id), head: Some(id) })
}

/// A file of an entry's commit.
fn document<T: serde::de::DeserializeOwned>(
    repository: &Repository,
    id: Oid,
    name: &str,
) -> Result<T, Problem> {
    let read = || {
        let tree = repository.find_commit(id)?.tree()?;
        let file = tree.get_name(name).ok_or_else(|| git2::Error::from_str("it holds no such file"))?;
        Ok::<_, git2::Error>(repository.find_blob(file.id())?.content().to_vec())
    };
    let unfit = |note: String| {
        Problem::new(Code::Ledger, format!("the entry {id} of the ledger cannot be read"))
            .note(format!("`{name}`: {note}"))
            .help("a newer hoist may have written it: use the version that the project releases with")
    };
    let bytes = read().map_err(|error| unfit(error.message().to_owned()))?;
    let format = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
    let format = format.and_then(|value| value.get("format")?.as_u64());
    if let Some(newer) = format.filter(|format| *format > u64::from(FORMAT)) {
        return Err(unfit(format!("it is of format {newer}, and this hoist reads {FORMAT}")));
    }
    serde_json::from_slice(&bytes).map_err(|error| unfit(error.to_string()))
}

/// Writes entries one behind the other. Returns the last; none if there is none.
fn write_all(
    repository: &Repository,
    mut head: Option<Oid>,
    mut state: State,
    entries: Vec<Entry>,
    intent: Option<&str>,
) -> Result<Option<Oid>, git2::Error> {
    let mut last = None;
    for mut entry in entries {
        let before = state.stages.get(&entry.stage);
        entry.follows = before.and_then(|before| before.last.clone());
        entry.overtakes = before.and_then(|before| before.overtaken_by(&entry)).map(str::to_owned);
        state = state.after(&entry);
        let written = write(repository, head, &state, &entry, intent)?;
        state = state.at(&written.to_string());
        (head, last) = (Some(written), Some(written));
    }
    Ok(last)
}

/// Writes an entry behind another as a commit that nothing names yet.
fn write(
    repository: &Repository,
    head: Option<Oid>,
    state: &State,
    entry: &Entry,
    intent: Option<&str>,
) -> Result<Oid, git2::Error> {
    let blob = |value: Result<Vec<u8>, serde_json::Error>| {
        let mut bytes = value.map_err(|error| git2::Error::from_str(&error.to_string()))?;
        bytes.push(b'\n');
        repository.blob(&bytes)
    };
    let mut tree = repository.treebuilder(None)?;
    tree.insert(ENTRY, blob(serde_json::to_vec_pretty(entry))?, 0o100_644)?;
    tree.insert(STATE, blob(serde_json::to_vec_pretty(state))?, 0o100_644)?;
    if let Some(intent) = intent {
        tree.insert(INTENT, blob(Ok(intent.into()))?, 0o100_644)?;
    }
    let tree = repository.find_tree(tree.write()?)?;
    let time = git2::Time::new(entry.at.as_second(), 0);
    let name: String = entry.by.chars().filter(|c| !matches!(c, '<' | '>' | '\n' | '\0')).collect();
    let name = if name.trim().is_empty() { "nobody" } else { name.trim() };
    let who = Signature::new(name, "hoist@localhost", &time)?;
    let parent = head.map(|head| repository.find_commit(head)).transpose()?;
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(None, &who, &who, &entry.subject(), &tree, &parents)
}

fn unreadable(error: &git2::Error) -> Problem {
    Problem::new(Code::Ledger, "the ledger cannot be read").note(error.message().to_owned())
}

fn unwritable(error: &git2::Error) -> Problem {
    Problem::new(Code::Ledger, "the ledger cannot be written").note(error.message().to_owned())
}

fn unreachable(remote: &str, complaint: &str) -> Problem {
    let title = format!("the ledger of the remote `{remote}` cannot be fetched");
    let problem = Problem::new(Code::Unreachable, title);
    problem
        .note(complaint.to_owned())
        .help(format!("`git ls-remote {remote} {LEDGER}` tells whether git reaches it"))
}

fn not_taken(why: impl IntoIterator<Item = String>) -> Problem {
    let problem = Problem::new(Code::Ledger, "the remote does not take an entry of the ledger");
    why.into_iter()
        .fold(problem, Problem::note)
        .help(format!("whoever releases must be allowed to push `{LEDGER}`"))
}
