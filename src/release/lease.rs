//! The right to a stage: to move its tags, and to deploy there. One run at a time has it.
//!
//! It is an entry of the ledger, `entering`, of which the remote takes one of those that
//! are made at the same time. Whoever comes later waits until it is gone, and is judged
//! again then. A run that goes on renews it; it is over when the stage is entered and what
//! entered works there, when nothing became visible, or when the run is known to have died:
//! its journal is here and nobody holds it, or nothing was heard of it for longer than a tag
//! can take. Who goes back does not wait for a deployment. No clocks are compared: each waits
//! by its own.
#![expect(clippy::disallowed_methods, reason = "how long a right was not renewed is seen by the clock")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Stage;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Environment, any_number};
use crate::release::back::digests;
use crate::release::entrance::Entrance;
use crate::release::gate::{Approvals, Candidate};
use crate::release::journal::Intent;
use crate::release::ledger::{Entering, Entry, EntryKind, Ledger, Page, State};
use crate::release::vouched::Vouched;

/// A right that is older is renewed before the next tag is set, and while a stage is deployed.
const FRESH: Duration = Duration::from_mins(2);
/// A run of which nothing was heard for so long has died: longer than it takes to set a tag
/// of a registry that hardly answers, behind a right that is still fresh.
const DEAD: Duration = Duration::from_mins(10);
/// Where tests say how long that is, in milliseconds. A release of hoist does not look.
const DEAD_IN_TESTS: &str = "HOIST_TEST_LEASE";
/// Longest that is waited for all that come before.
const LONGEST: Duration = Duration::from_mins(30);
/// How long is waited until the ledger is looked at again, in milliseconds.
const PAUSE: u64 = 150;
const LONGEST_PAUSE: u64 = 2000;

/// Where stages stand in the ledger: the last entry of each, and the one by which it is
/// being entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing(Vec<(Option<String>, Option<String>)>);

/// A stage that somebody else enters at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The stage.
    pub stage: String,
    /// Who enters it, and with what.
    pub entering: Entering,
}

/// What came of asking for the right to move tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is this run's.
    Taken,
    /// A stage is not as it was when tags were looked at.
    Changed,
    /// Somebody else has it.
    Busy(Box<Held>),
}

/// What came of entering a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// By this entry.
    As(String),
    /// The ledger said so already.
    Already,
    /// Not yet: somebody else entered it since its tags were looked at, by this entry.
    Changed(Option<String>),
    /// Somebody else enters it at the moment.
    Busy(Box<Held>),
}

impl Held {
    /// Who enters it, with what: a sentence without a period.
    #[must_use]
    pub fn words(&self) -> String {
        let Entry { version, by, .. } = &self.entering.entry;
        let does = match (self.entering.deploys(), self.entering.does()) {
            (true, _) => "is deployed with",
            (false, EntryKind::Rollback) => "goes back to",
            (false, _) => "is entered with",
        };
        format!("`{}` {does} {version} by {by}", self.stage)
    }
}

impl Entrance {
    /// Where its stages stand.
    pub(super) fn standing(&self, state: &State) -> Standing {
        let of = |name: &str| {
            let known = state.stages.get(name);
            let entering = known.and_then(|known| known.entering.as_ref());
            (known.and_then(|known| known.last.clone()), entering.and_then(|entering| entering.id.clone()))
        };
        Standing(self.stages.iter().map(|(stage, _)| of(&stage.name.value)).collect())
    }

    /// The last entry of a stage, where its stages stood so.
    pub(super) fn last_of(&self, standing: &Standing, stage: &str) -> Option<String> {
        let at = self.stages.iter().position(|(known, _)| known.name.value == stage)?;
        standing.0.get(at)?.0.clone()
    }

    /// A stage of this run that somebody else enters at the moment.
    #[must_use]
    pub fn busy(&self, state: &State) -> Option<Held> {
        self.stages.iter().find_map(|(stage, _)| self.busy_with(state, &stage.name.value))
    }

    pub(super) fn busy_with(&self, known: &State, stage: &str) -> Option<Held> {
        let entering = known.entering(stage).filter(|entering| !self.may_take(entering))?;
        Some(Held { stage: stage.to_owned(), entering: entering.clone() })
    }

    /// Whether somebody's right may be taken: it is this run's, or of one that died, or is
    /// about what this run goes back from.
    pub(super) fn may_take(&self, entering: &Entering) -> bool {
        let goes_back = |(stage, candidate): &(Stage, Candidate)| {
            candidate.kind == EntryKind::Rollback && stage.name.value == entering.entry.stage
        };
        self.over.lock().unwrap_or_else(PoisonError::into_inner).contains(entering.run())
            || (entering.deploys() && self.stages.iter().any(goes_back))
    }

    /// From here on this run has died, or is this one.
    pub fn take_over(&self, run: &str) {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).insert(run.to_owned());
    }

    /// Asks for the right to move the tags of all its stages, where these stand as they did
    /// when the tags were looked at. The conditions are judged once more.
    ///
    /// # Errors
    /// They are not met; the ledger cannot be written.
    pub fn take(
        &self,
        intent: &Intent,
        standing: &Standing,
        vouched: Option<&[Vouched]>,
    ) -> Result<Turn, Problems> {
        self.take_over(&intent.run);
        let mut turn = Turn::Taken;
        self.put(intent, has_entered, |page| {
            if let Some(held) = self.busy(&page.state) {
                turn = Turn::Busy(Box::new(held));
                return Ok(false);
            }
            if self.standing(&page.state) != *standing {
                turn = Turn::Changed;
                return Ok(false);
            }
            turn = Turn::Taken;
            self.refuse(&page.state, vouched, Approvals::Settled).map(|()| true)
        })?;
        Ok(turn)
    }

    /// Says that the run still moves tags.
    fn renew(&self, intent: &Intent) -> Result<(), Problems> {
        self.put(intent, stands, |page| {
            let is_lost = |entry: &Entry| {
                let entering = page.state.entering(&entry.stage);
                entering.is_none_or(|entering| entering.run() != intent.run) && !stands(page, entry, intent)
            };
            match intent.entries.iter().find(|entry| is_lost(entry)) {
                Some(entry) => {
                    let title =
                        format!("`{}` was taken over from this run, which took too long", entry.stage);
                    Err(Problem::new(Code::Ledger, title).into())
                }
                None => Ok(true),
            }
        })
    }

    /// Puts down who moves tags, for what but the stages that are done, if that is found to
    /// be right.
    fn put(
        &self,
        intent: &Intent,
        is_done: fn(&Page, &Entry, &Intent) -> bool,
        mut is_right: impl FnMut(&Page) -> Result<bool, Problems>,
    ) -> Result<(), Problems> {
        let done = self.ledger.append_all(Some(&intent.text()?), |page| {
            if !is_right(page)? {
                return Ok(Vec::new());
            }
            let entries = intent.entries.iter().filter(|entry| !is_done(page, entry, intent));
            let entries = entries.map(|entry| Entry {
                kind: EntryKind::Entering,
                at: Timestamp::now(),
                run: Some(intent.run.clone()),
                does: Some(entry.kind),
                deploys: false,
                ..entry.clone()
            });
            Ok(entries.collect())
        });
        done.map(drop)
    }

    /// Gives up the right to stages that this run entered and has settled, and ends its journal,
    /// unless something else of it is half done. Returns the entries of others who took a stage
    /// from it meanwhile.
    ///
    /// # Errors
    /// The ledger cannot be written ([`Code::HalfReleased`]), or the journal not be removed.
    pub fn end(&self) -> Result<Vec<Entry>, Problems> {
        let Some(journal) = self.journal.get() else { return Ok(Vec::new()) };
        let run = &journal.intent().run;
        let deployed = || {
            let has_entered = |stage: &Stage| journal.has_entered(&stage.name.value);
            self.stages.iter().filter(move |(stage, _)| stage.is_deployed() && has_entered(stage))
        };
        let mut others = Vec::new();
        if deployed().next().is_some() {
            let done = self.ledger.append_all(None, |page| {
                let taken = deployed().filter_map(|(stage, _)| self.taken(&page.state, stage, run));
                others = taken.collect();
                Ok(left(page, (run, true), &self.by))
            });
            done.map_err(|problems| problems.into_iter().map(unended).collect::<Problems>())?;
        }
        if !journal.is_half_done() {
            journal.end()?;
        }
        Ok(others)
    }

    /// The entry of somebody else who took a stage from a run that deployed there.
    fn taken(&self, known: &State, stage: &Stage, run: &str) -> Option<Entry> {
        let name = &stage.name.value;
        match known.entering(name) {
            Some(entering) if entering.run() == run => None,
            Some(entering) => Some(entering.entry.clone()),
            None => known
                .running(name)
                .map(|running| &running.entry)
                .filter(|entry| !self.is_ours(entry))
                .cloned(),
        }
    }

    /// Says that the run goes on, of all stages to which it has the right.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn goes_on(&self, intent: &Intent) -> Result<(), Problems> {
        let done = self.ledger.append_all(Some(&intent.text()?), |page| {
            let its = rights(page).filter(|entering| entering.run() == intent.run);
            let again = its.map(|entering| Entry {
                kind: EntryKind::Entering,
                at: Timestamp::now(),
                does: Some(entering.does()),
                gates: Vec::new(),
                ..entering.entry.clone()
            });
            Ok(again.collect())
        });
        done.map(drop)
    }

    /// The entry of somebody else who took a stage that a run entered, as the remote says it.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn taken_by_others(&self, stage: &str, run: &str) -> Result<Option<Entry>, Problem> {
        let Page { state, .. } = self.ledger.fetch()?;
        let known = self.stages.iter().find(|(known, _)| known.name.value == stage);
        Ok(known.and_then(|(known, _)| self.taken(&state, known, run)))
    }
}

/// What was done works, and nobody learns that it is over.
fn unended(problem: Problem) -> Problem {
    let title =
        format!("all of it is done, and the ledger does not say that this run has ended: {}", problem.title);
    let help = "others wait for 10 minutes, and promote nothing from there; the same again, or `hoist resume`, \
                deploys it once more and says so";
    Problem { code: Code::HalfReleased, title, ..problem }.help(help)
}

/// The rights that runs have.
fn rights(page: &Page) -> impl Iterator<Item = &Entering> {
    page.state.stages.values().filter_map(|stage| stage.entering.as_ref())
}

fn unwritable() -> Problem {
    Problem::new(Code::Ledger, "the ledger cannot be written")
}

/// Whether a run has entered a stage already.
fn has_entered(page: &Page, entry: &Entry, intent: &Intent) -> bool {
    let running = page.state.running(&entry.stage);
    running.is_some_and(|running| running.entry.run.as_deref() == Some(&intent.run))
}

/// Whether a stage runs what a run is to let in, by its own entry, or by one of before that
/// says the same, after which it gave its right up.
fn stands(page: &Page, entry: &Entry, intent: &Intent) -> bool {
    let same = |known: &Entry| known.commit == entry.commit && digests(known) == digests(entry);
    let is_free = page.state.entering(&entry.stage).is_none();
    let running = page.state.running(&entry.stage);
    has_entered(page, entry, intent) || (is_free && running.is_some_and(|running| same(&running.entry)))
}

/// Gives up the rights of a run of which nothing is visible. That to a stage which it entered
/// all the same is kept: it is not deployed there. Returns whether it had one.
///
/// # Errors
/// The ledger cannot be written.
pub fn withdraw(ledger: &Ledger, run: &str, by: &str) -> Result<bool, Problems> {
    ledger.append_all(None, |page| Ok(left(page, (run, false), by))).map(|put| put.is_some())
}

/// That a run has no right any more to stages that it entered, or that it did not.
fn left(page: &Page, (run, entered): (&str, bool), by: &str) -> Vec<Entry> {
    let its = rights(page).filter(|entering| entering.run() == run && entering.deploys() == entered);
    let left = its.map(|entering| Entry {
        kind: EntryKind::Left,
        at: Timestamp::now(),
        by: by.to_owned(),
        deploys: false,
        gates: Vec::new(),
        ..entering.entry.clone()
    });
    left.collect()
}

/// What a run of the ledger was about to make visible, for which stage, where it has not
/// done it; each run once.
///
/// # Errors
/// It cannot be read.
pub fn unfinished(ledger: &Ledger, state: &State) -> Result<Vec<(Held, Intent)>, Problem> {
    let mut found: Vec<(Held, Intent)> = Vec::new();
    for (stage, known) in &state.stages {
        let Some(entering) = &known.entering else { continue };
        let Some(id) = &entering.id else { continue };
        if found.iter().all(|(_, intent)| intent.run != entering.run()) {
            let held = Held { stage: stage.clone(), entering: entering.clone() };
            found.push((held, ledger.intent(id)?));
        }
    }
    Ok(found)
}

/// After how long a right is renewed.
#[must_use]
pub fn renewal(environment: &Environment) -> Duration {
    told(environment).map_or(FRESH, |dead| dead / 5)
}

/// How long what a run that died sent to the ledger may still be on its way: it is known to
/// have died then.
#[must_use]
pub fn lag(environment: &Environment) -> Duration {
    told(environment).unwrap_or(DEAD)
}

/// What tests say in the place of [`DEAD`].
fn told(environment: &Environment) -> Option<Duration> {
    let told = environment.text(DEAD_IN_TESTS).filter(|_| cfg!(debug_assertions));
    told.and_then(|text| text.parse().ok()).map(Duration::from_millis)
}

/// How long somebody is waited for.
#[derive(Debug)]
pub struct Patience {
    begun: Instant,
    dead: Duration,
    /// The entry that is waited for, and since when.
    seen: Option<(Option<String>, Instant)>,
    /// How often the ledger was looked at.
    looks: u64,
}

/// What is to be done about somebody who enters a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Look again after this time.
    For(Duration),
    /// It has died.
    Over,
}

impl Patience {
    /// That of a process that begins to wait.
    #[must_use]
    pub fn new(environment: &Environment) -> Self {
        let dead = told(environment).unwrap_or(DEAD);
        Self { begun: Instant::now(), dead, seen: None, looks: 0 }
    }

    /// Whether nobody was waited for so far.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.looks == 0
    }

    /// What is to be done about somebody who still enters a stage.
    ///
    /// # Errors
    /// Others come first for too long ([`Code::GateNotMet`]).
    pub fn with(&mut self, held: &Held) -> Result<Wait, Problem> {
        let now = Instant::now();
        let id = &held.entering.id;
        let since = match &self.seen {
            Some((known, since)) if known == id => *since,
            _ => self.seen.insert((id.clone(), now)).1,
        };
        if now.duration_since(since) >= self.dead {
            return Ok(Wait::Over);
        }
        if now.duration_since(self.begun) >= LONGEST.max(self.dead * 2) {
            let title = format!("{}, and others were before", held.words());
            return Err(Problem::new(Code::GateNotMet, title)
                .note(format!("others were waited for for {} min", LONGEST.as_secs() / 60))
                .help("run the same again when they are done: `hoist status` shows who enters a stage"));
        }
        self.looks += 1;
        let most = PAUSE.saturating_mul(self.looks).min(LONGEST_PAUSE);
        Ok(Wait::For(Duration::from_millis(PAUSE / 2 + any_number() % most)))
    }
}

/// The right of a run that moves tags.
#[derive(Debug)]
pub struct Lease {
    entrance: Arc<Entrance>,
    /// When it was asked for last.
    asked: Mutex<(Instant, Timestamp)>,
}

impl Lease {
    /// One that was asked for at this moment at the earliest.
    #[must_use]
    pub fn new(entrance: Arc<Entrance>, asked: (Instant, Timestamp)) -> Self {
        Self { entrance, asked: Mutex::new(asked) }
    }

    /// This moment, by both clocks of the machine: one of them stands still while it sleeps,
    /// the other may be set.
    #[must_use]
    pub fn moment() -> (Instant, Timestamp) {
        (Instant::now(), Timestamp::now())
    }

    /// Makes sure that it is still the run's own, before a tag is set.
    ///
    /// # Errors
    /// Somebody took it over; the ledger cannot be written.
    pub(super) async fn hold(&self, intent: &Intent) -> Result<(), Problem> {
        let now = Self::moment();
        let (steady, clock) = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let aged = Duration::try_from(now.1.duration_since(clock).abs()).unwrap_or(Duration::MAX);
        if now.0.duration_since(steady).max(aged) < FRESH {
            return Ok(());
        }
        let (entrance, intent) = (Arc::clone(&self.entrance), intent.clone());
        let renewed = tokio::task::spawn_blocking(move || entrance.renew(&intent)).await;
        let renewed = renewed.map_err(|error| unwritable().note(error.to_string()))?;
        renewed.map_err(|problems| problems.into_iter().next().unwrap_or_else(unwritable))?;
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }
}
