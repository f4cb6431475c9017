//! Entering stages: conditions before, an entry of the ledger behind.
#![expect(clippy::disallowed_methods, reason = "an entry says when it was made")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;

use crate::config::Stage;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::short;
use crate::release::ancestry::find_kinship;
use crate::release::back::previous;
use crate::release::gate::{Approvals, Candidate, Gate, World, evidence, half_way, judge, refusal, unmet};
use crate::release::history::{Kinship, is_on_branch, kinship, tree_of};
use crate::release::journal::{Intent, Journal};
use crate::release::lease::{Entered, Held, Standing, withdraw};
use crate::release::ledger::{
    Entering, Entry, EntryImage, EntryKind, EntryScan, Ledger, Page, Running, State,
};
use crate::release::scanned::Scans;
use crate::release::vouched::{Vouched, asks};

/// What a run is to do with stages.
#[derive(Debug)]
pub struct Entrance {
    pub(super) ledger: Ledger,
    /// The project's directory.
    root: PathBuf,
    pub(super) by: String,
    allow_regress: bool,
    approval: Result<String, Option<Problem>>,
    /// What vouches for promoted images where they are taken from, once it was looked for.
    sources: Option<Vec<Vouched>>,
    pub(super) stages: Vec<(Stage, Candidate)>,
    /// This run, and those that died: their rights to move tags are this run's.
    pub(super) over: Mutex<BTreeSet<String>>,
    /// How commits stand to each other, as far as the remote was asked: new and old.
    kinships: Mutex<BTreeMap<(String, String), Kinship>>,
    /// What became visible is put down here until it works, or is put back.
    pub(super) journal: OnceLock<Arc<Journal>>,
}

impl Entrance {
    /// What enters stages in the order in which they are given, by whom.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        root: PathBuf,
        by: String,
        allow_regress: bool,
        stages: Vec<(Stage, Candidate)>,
    ) -> Self {
        Self {
            ledger,
            root,
            by,
            allow_regress,
            approval: Err(None),
            sources: None,
            stages,
            over: Mutex::default(),
            kinships: Mutex::default(),
            journal: OnceLock::new(),
        }
    }

    /// The same, approved by whom; or why what was asked does not.
    #[must_use]
    pub fn approved(mut self, approval: Result<String, Option<Problem>>) -> Self {
        self.approval = approval;
        self
    }

    /// The same, with what vouches for promoted images where they are taken from.
    #[must_use]
    pub fn vouched(mut self, sources: Vec<Vouched>) -> Self {
        self.sources = Some(sources);
        self
    }

    /// Whether a stage asks who vouches for its images.
    #[must_use]
    pub fn asks_for_seals(&self) -> bool {
        let requires = self.stages.iter().filter_map(|(stage, _)| stage.require.as_ref());
        requires.into_iter().any(|require| asks(&require.value))
    }

    /// The stages that are entered, and with what.
    #[must_use]
    pub fn stages(&self) -> &[(Stage, Candidate)] {
        &self.stages
    }

    /// Makes sure that all conditions of all stages are met, as the ledger says it, and by
    /// what vouches for the images where they are, once they are there. Returns where the
    /// stages stand, and one that somebody else enters at the moment. What was known of the
    /// ledger here is enough to be let in, for whoever enters is judged once more when that is
    /// put down; it is not enough to be refused, or to wait for others.
    ///
    /// # Errors
    /// For each stage, the conditions that are not met; the ledger cannot be read.
    pub fn check(&self, vouched: Option<&[Vouched]>) -> Result<(Standing, Option<Held>), Problems> {
        let Page { state, .. } = self.ledger.read()?;
        if self.refuse(&state, vouched, Approvals::Settled).is_ok() && self.busy(&state).is_none() {
            return Ok((self.standing(&state), None));
        }
        let Page { state, .. } = self.ledger.fetch()?;
        self.refuse(&state, vouched, Approvals::Settled)?;
        Ok((self.standing(&state), self.busy(&state)))
    }

    /// Keeps a journal until what became visible works, or was put back.
    pub fn keep(&self, journal: Arc<Journal>) {
        let _first = self.journal.set(journal);
    }

    /// Gives up the right of a run to move tags, of which none was moved.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn withdraw(&self, run: &str) -> Result<(), Problems> {
        withdraw(&self.ledger, run, &self.by).map(drop)
    }

    /// Makes sure that what will be done can be put down.
    ///
    /// # Errors
    /// The remote does not let one push.
    pub fn check_ledger(&self) -> Result<(), Problem> {
        self.ledger.check_push()
    }

    /// The address of the remote that has the ledger, as git takes it.
    ///
    /// # Errors
    /// There is no repository any more.
    pub fn address_of_ledger(&self) -> Result<Option<String>, Problem> {
        self.ledger.address()
    }

    /// As [`check`](Self::check), but for approvals, of what the ledger said before:
    /// nobody is asked to approve what is refused anyway. `asks` is whether somebody will be,
    /// on a terminal.
    ///
    /// # Errors
    /// The conditions that are not met.
    pub fn check_before_approval(&self, state: &State, asks: bool) -> Result<(), Problems> {
        self.refuse(state, None, Approvals::Open { asks })
    }

    pub(super) fn refuse(
        &self,
        state: &State,
        vouched: Option<&[Vouched]>,
        approvals: Approvals,
    ) -> Result<(), Problems> {
        let mut problems = Problems::new();
        for (stage, candidate) in &self.stages {
            let gates = self.judge(stage, candidate, state, vouched);
            problems.extend(refusal(stage, &gates, approvals));
        }
        problems.or(())
    }

    fn judge(
        &self,
        stage: &Stage,
        candidate: &Candidate,
        known: &State,
        vouched: Option<&[Vouched]>,
    ) -> Vec<Gate> {
        let half = self.half_way(stage, candidate, known);
        // What is gone back to was let in before.
        if candidate.kind == EntryKind::Rollback {
            return half.into_iter().chain(left(stage, candidate, known)).collect();
        }
        let wanted = stage.require.as_ref().and_then(|require| require.value.branch.as_deref());
        let branch = wanted.map_or(Ok(true), |branch| {
            is_on_branch(&self.root, &candidate.commit, branch, self.ledger.remote())
        });
        let running = known.running(&stage.name.value);
        let behind = running.is_some_and(|running| {
            self.kinship(&running.entry.commit, &candidate.commit) == Kinship::Follows
        });
        let world = World {
            now: Timestamp::now(),
            branch,
            remote: self.ledger.remote().map(str::to_owned),
            behind,
            allow_regress: self.allow_regress,
            approval: self.approval.clone(),
            vouched: vouched.or(self.sources_of(candidate)).map(<[Vouched]>::to_vec),
        };
        let mut gates = judge(stage, candidate, known, &world);
        gates.extend(unfit(candidate, known).or_else(|| self.unproved(candidate, known)));
        gates.extend(half);
        gates
    }

    /// How the commit `new` stands to the commit `old`. The remote is asked, once, where the
    /// repository here has not all of them.
    fn kinship(&self, new: &str, old: &str) -> Kinship {
        let here = kinship(&self.root, new, old);
        if here != Kinship::Unknown {
            return here;
        }
        let mut known = self.kinships.lock().unwrap_or_else(PoisonError::into_inner);
        let both = (new.to_owned(), old.to_owned());
        let ask = || find_kinship(&self.root, self.ledger.environment(), new, old);
        *known.entry(both).or_insert_with(ask)
    }

    /// Refuses to leave behind what a run that died has set in part, unless what comes is
    /// the same, or newer.
    fn half_way(&self, stage: &Stage, candidate: &Candidate, known: &State) -> Option<Gate> {
        let entering = known.entering(&stage.name.value);
        let entering = entering.filter(|entering| !entering.deploys() && self.may_take(entering))?;
        let before = &entering.entry;
        let behind = self.kinship(&before.commit, &candidate.commit) == Kinship::Follows;
        let why = half_way(candidate, before, (behind, self.allow_regress))?;
        let remedy = "`hoist resume` finishes that, `hoist resume --back` puts it back".to_owned();
        Some(Gate { name: "order", finding: Err(unmet(why, remedy)) })
    }

    /// Refuses what is still deployed in the stage that it comes from: it has not been seen to
    /// work there.
    fn unproved(&self, candidate: &Candidate, known: &State) -> Option<Gate> {
        let (from, _) = candidate.from.as_ref().filter(|_| candidate.kind == EntryKind::Promote)?;
        let is_entered = self.stages.iter().any(|(stage, _)| stage.name.value == *from);
        let entering = known.entering(from).filter(|entering| entering.deploys() && !is_entered)?;
        let Entry { version, by, .. } = &entering.entry;
        let why = format!("`{from}` is still deployed with {version} by {by}");
        let run = entering.run();
        let remedy = format!(
            "the same again once that has worked; if it has died, `hoist resume --of {run}` deploys it again"
        );
        Some(Gate { name: "from", finding: Err(unmet(why, remedy)) })
    }

    /// The scans that an image of a stage passed before this run.
    #[must_use]
    pub fn scans_of(&self, stage: &str, image: &str) -> Vec<EntryScan> {
        let candidate = self.stages.iter().find(|(known, _)| known.name.value == stage);
        let scans = candidate.into_iter().flat_map(|(_, candidate)| &candidate.scans);
        let passed = scans.filter(|(name, _)| name == image).filter_map(|(_, scans)| match scans {
            Scans::Passed(passed) => Some(passed.clone()),
            Scans::Declared(_) => None,
        });
        passed.flatten().collect()
    }

    /// What vouches for images where they are taken from, if they are taken from somewhere.
    fn sources_of(&self, candidate: &Candidate) -> Option<&[Vouched]> {
        self.sources.as_deref().filter(|_| candidate.kind == EntryKind::Promote)
    }

    /// Puts down that a stage runs these images now. Where it is deployed behind that, the run
    /// keeps the right to it. Where no tag had to move, and so nobody was kept from moving them,
    /// they were `looked` at while this was the stage's last entry.
    ///
    /// # Errors
    /// The conditions are not met any more; the ledger cannot be written.
    pub fn enter(
        &self,
        (intent, stage, looked): (&Intent, &str, Option<&Option<String>>),
        images: &[EntryImage],
        vouched: Option<&[Vouched]>,
    ) -> Result<Entered, Problems> {
        let run = intent.run.as_str();
        let Some((stage, candidate)) = self.stages.iter().find(|(known, _)| known.name.value == stage) else {
            let title = format!("`{stage}` is not entered by this run");
            return Err(Problem::new(Code::NotPromotable, title).into());
        };
        let (mut busy, mut is_same, mut changed) = (None, false, None);
        let whole = stage.is_deployed().then(|| intent.text()).transpose()?;
        let done = self.ledger.append_all(whole.as_deref(), |page| {
            changed = None;
            busy = self.busy_with(&page.state, &stage.name.value);
            if busy.is_some() {
                return Ok(Vec::new());
            }
            let before = page.state.stages.get(&stage.name.value);
            let mut entry =
                Entry { run: Some(run.to_owned()), ..self.entry(stage, candidate, images.to_vec()) };
            let running = before.and_then(|before| before.running.as_ref());
            let held = before.is_some_and(|before| before.hold.is_some());
            let entering = before.and_then(|before| before.entering.as_ref());
            is_same = !held && running.is_some_and(|running| running.entry.is_same(&entry));
            if is_same {
                let right = if entry.deploys {
                    Some(Entry { kind: EntryKind::Entering, does: Some(entry.kind), ..entry })
                } else {
                    let left = |entry: &Entry| Entry {
                        kind: EntryKind::Left,
                        at: Timestamp::now(),
                        ..entry.clone()
                    };
                    entering.map(|entering| left(&entering.entry))
                };
                return Ok(right.into_iter().collect());
            }
            // What was to be scanned, was.
            let scans = images.iter().map(|image| (image.name.clone(), Scans::Passed(image.scans.clone())));
            let candidate = Candidate { scans: scans.collect(), ..candidate.clone() };
            let gates = self.judge(stage, &candidate, &page.state, vouched);
            entry.gates = evidence(&gates);
            // Who has the right to move its tags was let in when it was given.
            if entering.is_some_and(|entering| entering.run() == run) {
                return Ok(vec![entry]);
            }
            if let Some(problem) = refusal(stage, &gates, Approvals::Settled) {
                return Err(problem.into());
            }
            let last = before.and_then(|before| before.last.clone());
            changed = looked.filter(|looked| **looked != last).map(|_| last);
            Ok(if changed.is_some() { Vec::new() } else { vec![entry] })
        })?;
        if let Some(last) = changed {
            return Ok(Entered::Changed(last));
        }
        Ok(match (busy, done) {
            (Some(held), _) => Entered::Busy(Box::new(held)),
            (None, Some(id)) if !is_same => Entered::As(id),
            _ => Entered::Already,
        })
    }

    /// What is going to be put down of a stage that stands so, but for what is known only
    /// then.
    #[must_use]
    pub fn intended(&self, standing: &Standing, stage: &str, images: Vec<EntryImage>) -> Option<Entry> {
        let (known, candidate) = self.stages.iter().find(|(known, _)| known.name.value == stage)?;
        let follows = self.last_of(standing, stage);
        Some(Entry { follows, ..self.entry(known, candidate, images) })
    }

    /// Who approved it, and where that was said.
    #[must_use]
    pub fn approval(&self) -> Option<&str> {
        self.approval.as_deref().ok()
    }

    /// What a stage runs instead of what this run entered it with: somebody else's.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn run_by_others(&self, stage: &str) -> Result<Option<Entry>, Problem> {
        let Page { state, .. } = self.ledger.fetch()?;
        let running = state.running(stage).map(|running| &running.entry);
        Ok(running.filter(|entry| !self.is_ours(entry)).cloned())
    }

    pub(super) fn is_ours(&self, entry: &Entry) -> bool {
        let of_stage = self.stages.iter().find(|(stage, _)| stage.name.value == entry.stage);
        of_stage.is_some_and(|(_, candidate)| {
            let ours = (&candidate.event, &candidate.commit, &candidate.version);
            ours == (&entry.event, &entry.commit, &entry.version)
        })
    }

    /// What a stage runs, as of the last time that the remote was asked.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn runs(&self, stage: &str) -> Result<Option<Running>, Problem> {
        Ok(self.ledger.read()?.state.running(stage).cloned())
    }

    /// Whether a stage ran something else before that it could go back to.
    #[must_use]
    pub fn ran_before(&self, stage: &str) -> bool {
        let history = self.ledger.history(Some(stage), usize::MAX);
        history.is_ok_and(|history| previous(&history).is_some())
    }

    /// Puts down that what this run entered a stage with failed there and stands. What somebody
    /// else entered it with since, or deploys there, is left alone. Returns whether it was put
    /// down.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn abort(&self, stage: &str, reason: &str) -> Result<bool, Problems> {
        let run = self.journal.get().map(|journal| journal.intent().run.as_str());
        let done = self.ledger.append(|page| {
            let Some(before) = page.state.stages.get(stage) else { return Ok(None) };
            let Some(running) = before.running.as_ref().filter(|running| self.is_ours(&running.entry)) else {
                return Ok(None);
            };
            let is_ours = |entering: &Entering| Some(entering.run()) == run;
            let last = before.last.as_ref().map(|last| self.ledger.entry(last)).transpose()?;
            if last.is_some_and(|last| last.kind == EntryKind::Aborted)
                || !before.entering.as_ref().is_none_or(is_ours)
            {
                return Ok(None);
            }
            Ok(Some(Entry {
                kind: EntryKind::Aborted,
                at: Timestamp::now(),
                by: self.by.clone(),
                run: run.map(str::to_owned),
                deploys: false,
                source: running.id.clone(),
                follows: None,
                reason: Some(reason.to_owned()),
                ..running.entry.clone()
            }))
        });
        done.map(|done| done.is_some())
    }

    fn entry(&self, stage: &Stage, candidate: &Candidate, images: Vec<EntryImage>) -> Entry {
        let Candidate { kind, event, commit, tree, version, dirty, untracked, from, source, reason, .. } =
            candidate.clone();
        Entry {
            format: Entry::FORMAT,
            kind,
            stage: stage.name.value.clone(),
            at: Timestamp::now(),
            by: self.by.clone(),
            does: None,
            deploys: stage.is_deployed(),
            run: None,
            event,
            commit,
            tree,
            version,
            dirty,
            untracked,
            from: from.map(|(stage, _)| stage),
            source,
            follows: None,
            overtakes: None,
            images,
            gates: Vec::new(),
            reason,
        }
    }
}

/// Refuses what failed in the stage that it comes from, or was taken back there meanwhile.
fn unfit(candidate: &Candidate, state: &State) -> Option<Gate> {
    let (from, ran) = candidate.from.as_ref().filter(|_| candidate.kind == EntryKind::Promote)?;
    let there = state.stages.get(from)?;
    let (hold, running) = (there.hold.as_ref()?, there.running.as_ref()?);
    let (why, remedy) = if running.entry.images != ran.entry.images || running.id != ran.id {
        let why = format!("`{from}` went back from these images meanwhile: {}", hold.reason);
        (why, format!("`hoist history {from}` shows to what"))
    } else {
        let why = format!("these images failed in `{from}`: {}", there.failure()?);
        (why, format!("enter `{from}` again, where they have to work before"))
    };
    Some(Gate { name: "from", finding: Err(unmet(why, remedy)) })
}

/// Refuses to go back where somebody else entered the stage since that was decided.
fn left(stage: &Stage, candidate: &Candidate, known: &State) -> Option<Gate> {
    let leaves = candidate.leaves.as_ref()?;
    let name = &stage.name.value;
    let running = known.running(name).filter(|running| running.id.as_ref() != Some(leaves))?;
    let entry = &running.entry;
    let why = format!("`{name}` runs {} since, by {}", entry.version, entry.by);
    let remedy = format!("`hoist status` shows what runs; `hoist rollback {name}` goes back from that");
    Some(Gate { name: "order", finding: Err(unmet(why, remedy)) })
}

/// What runs in a stage, to be promoted from there.
///
/// # Errors
/// It was never entered ([`Code::NotPromotable`]).
pub fn running_in<'a>(state: &'a State, from: &str) -> Result<&'a Running, Problem> {
    state.running(from).ok_or_else(|| {
        Problem::new(Code::NotPromotable, format!("nothing runs in `{from}` that could be promoted"))
            .help("release something there first: `hoist status` shows what runs where")
    })
}

/// What runs in a stage, if it was made from this tree.
///
/// # Errors
/// Something else runs there, and what ([`Code::NotPromotable`]).
pub fn ran_in<'a>(
    state: &'a State,
    from: &str,
    (commit, tree): (&str, &str),
) -> Result<&'a Running, Problem> {
    let running = running_in(state, from)?;
    let entry = &running.entry;
    if entry.tree == tree && !entry.dirty {
        return Ok(running);
    }
    let short = short(commit);
    let title = format!("commit {short} does not run in `{from}`, and is not built again");
    let dirty = if entry.dirty { ", with changes that are not committed" } else { "" };
    // It may have gone back from what is asked for.
    let hold = state.stages.get(from).and_then(|there| there.hold.as_ref());
    let hold = hold.map(|hold| format!(", and is on hold: {}", hold.reason)).unwrap_or_default();
    Err(Problem::new(Code::NotPromotable, title)
        .note(format!("`{from}` runs {} of commit {}{dirty}{hold}", entry.version, entry.short()))
        .help(format!("release this commit to `{from}` first, or `hoist promote` takes what runs there")))
}

/// The tree of a commit of the project, as 40 hex digits.
///
/// # Errors
/// The commit is not here.
pub fn tree_of_commit(root: &Path, commit: &str) -> Result<String, Problem> {
    tree_of(root, commit).ok_or_else(|| Problem::new(Code::NoGit, format!("commit {commit} cannot be read")))
}
