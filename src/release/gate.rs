//! Whether images may enter a stage. Pure.
//!
//! A condition that cannot be judged is not met: what is not known is no evidence.

use std::time::Duration;

use jiff::Timestamp;
use semver::Version;

use crate::config::{Sign, Stage};
use crate::diagnostic::{Code, Label, Problem, Span, counted};
use crate::facts::short;
use crate::release::history::NotTold;
use crate::release::ledger::{Entry, EntryKind, GateRecord, Running, State};
use crate::release::scanned::{self, Scans};
use crate::release::verdict::read_version;
use crate::release::vouched::{Vouched, provenance, signed};

/// What is to enter a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What is done.
    pub kind: EntryKind,
    /// Nobody asked for it by hand: an event did.
    pub automatic: bool,
    /// What it is for, as `--event` takes it.
    pub event: String,
    /// The commit: 40 hex digits.
    pub commit: String,
    /// Its tree.
    pub tree: String,
    /// What `{version}` is.
    pub version: String,
    /// Whether the tree has changes that are not in the commit.
    pub dirty: bool,
    /// Whether there were files that git neither tracks nor ignores.
    pub untracked: bool,
    /// Each image with the tests that it passed, or has to pass before anything is tagged.
    pub images: Vec<(String, Vec<String>)>,
    /// Each image with its scans.
    pub scans: Vec<(String, Scans)>,
    /// Each image with what the release file says of who vouches for it.
    pub vouching: Vec<Vouching>,
    /// The stage that the images come from, and what runs there.
    pub from: Option<(String, Running)>,
    /// The entry by which they ran there; of a rollback, the one that it returns to.
    pub source: Option<String>,
    /// The entry by which the stage ran what a rollback leaves.
    pub leaves: Option<String>,
    /// Why it is done, where that does not go without saying.
    pub reason: Option<String>,
}

impl Candidate {
    /// Why the images may be of more than the commit, and what to do about it.
    #[must_use]
    pub const fn more_than_commit(&self) -> Option<(&'static str, &'static str)> {
        if self.dirty {
            let why = "the images were made from a tree with changes that are not committed";
            Some((why, "commit them, and release that commit"))
        } else if self.untracked {
            let why = "there were files that git does not track, which may be part of the images";
            Some((why, "commit them, or name them in `.gitignore`: `git status` lists them"))
        } else {
            None
        }
    }
}

/// Who vouches for an image, as the release file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouching {
    /// The image.
    pub image: String,
    /// The keys that sign it.
    pub keys: Vec<Sign>,
    /// Whether it is stated how it was made.
    pub provenance: bool,
}

/// What else is known when conditions are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// The time.
    pub now: Timestamp,
    /// Whether the commit is on the branch that is required; an error says why that is
    /// not known.
    pub branch: Result<bool, NotTold>,
    /// The remote whose branch counts, as it was fetched last; none where there is none.
    pub remote: Option<String>,
    /// Whether the stage runs a commit that was made on top of this one.
    pub behind: bool,
    /// Whether the stage may go back to an older version or commit.
    pub allow_regress: bool,
    /// Who approved it, and where that was said; or why what was asked does not.
    pub approval: Result<String, Option<Problem>>,
    /// What vouches for the images where they are; `None` before they are made, when what
    /// is declared has to do.
    pub vouched: Option<Vec<Vouched>>,
}

/// A condition, and whether it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name, as in `require`; `hold` and `order` go without saying.
    pub name: &'static str,
    /// How it was seen to be met; or why it is not, and what would do.
    pub finding: Result<String, Unmet>,
}

/// Why a condition is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// A sentence without a period.
    pub why: String,
    /// What would meet it: something to do.
    pub remedy: String,
    /// Places that show it, beside that of the condition.
    pub labels: Vec<Label>,
}

/// What a missing approval means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approvals {
    /// A refusal: all who could be asked were.
    Settled,
    /// Nothing yet: it is asked for once all else is met, and is named beside what is not.
    Open {
        /// Whether somebody is asked, on a terminal.
        asks: bool,
    },
}

/// All conditions of a stage, judged.
#[must_use]
pub fn judge(stage: &Stage, candidate: &Candidate, known: &State, world: &World) -> Vec<Gate> {
    let name = stage.name.value.as_str();
    let require = stage.require.as_ref().map(|require| &require.value);
    let wants = |wanted: fn(&crate::config::Require) -> bool| require.is_some_and(wanted);
    let mut gates = vec![hold(stage, candidate, known), order(name, candidate, known, world)];
    gates.retain(|gate| gate.finding.is_err());
    if wants(|require| require.tests) {
        gates.push(Gate { name: "tests", finding: tests(candidate) });
    }
    if let Some(severity) = require.and_then(|require| require.scan) {
        let from = candidate.from.as_ref().map(|(from, _)| from.as_str());
        gates.push(Gate { name: "scan", finding: scanned::gate(&candidate.scans, severity, from) });
    }
    if wants(|require| require.signed) {
        gates.push(Gate { name: "signed", finding: signed(candidate, world.vouched.as_deref()) });
    }
    if wants(|require| require.provenance) {
        gates.push(Gate { name: "provenance", finding: provenance(candidate, world.vouched.as_deref()) });
    }
    if let Some(wanted) = require.and_then(|require| require.soak) {
        gates.push(Gate { name: "soak", finding: soak(candidate, wanted, world.now) });
    }
    if let Some(wanted) = require.and_then(|require| require.branch.as_deref()) {
        gates.push(Gate { name: "branch", finding: branch(wanted, candidate, world) });
    }
    if wants(|require| require.clean) {
        let finding = match candidate.more_than_commit() {
            Some((why, remedy)) => Err(unmet(why, remedy)),
            None => Ok("the tree had no changes".to_owned()),
        };
        gates.push(Gate { name: "clean", finding });
    }
    if let Some(approve) = &stage.approve {
        let groups = approve.value.by.join(", ");
        let finding = match &world.approval {
            Ok(who) => Ok(format!("{who}, for {groups}")),
            Err(problem) => Err(unapproved(&groups, problem.as_ref())),
        };
        gates.push(Gate { name: APPROVE, finding });
    }
    gates
}

/// The variable that says who approved a run, where nobody can be asked.
pub const APPROVED_BY: &str = "HOIST_APPROVED_BY";

/// What was met, for the ledger.
#[must_use]
pub fn evidence(gates: &[Gate]) -> Vec<GateRecord> {
    let met = gates.iter().filter_map(|gate| {
        let evidence = gate.finding.as_ref().ok()?.clone();
        Some(GateRecord { gate: gate.name.to_owned(), evidence })
    });
    met.collect()
}

/// The refusal that names all conditions that are not met, if there are any.
#[must_use]
pub fn refusal(stage: &Stage, gates: &[Gate], approvals: Approvals) -> Option<Problem> {
    let unmet = gates.iter().filter_map(|gate| Some((gate.name, gate.finding.as_ref().err()?)));
    let (open, unmet): (Vec<_>, Vec<_>) =
        unmet.partition(|(name, _)| *name == APPROVE && approvals != Approvals::Settled);
    if unmet.is_empty() {
        return None;
    }
    let names: Vec<_> = unmet.iter().map(|(name, _)| format!("`{name}`")).collect();
    let title = format!("`{}` may not be entered: {} not met", stage.name.value, list(&names));
    let mut problem = Problem::new(Code::GateNotMet, title);
    for (name, Unmet { why, remedy, labels }) in unmet {
        let (span, words) = place(stage, name);
        let own = Label { span, text: words.to_owned() };
        for label in std::iter::once(own).chain(labels.iter().cloned()) {
            if problem.labels.iter().all(|known| known.span != label.span) {
                problem.labels.push(label);
            }
        }
        problem = problem.note(format!("{name}: {why}; {remedy}"));
    }
    for (name, Unmet { why, remedy, .. }) in open {
        let approve = stage.approve.as_ref().map(|approve| &approve.value);
        let groups = approve.map(|approve| approve.by.join(", ")).unwrap_or_default();
        let by_request = approve.is_some_and(|approve| approve.pull_request.is_some());
        let awaited = match (by_request, approvals == Approvals::Open { asks: true }) {
            (false, false) => format!("{why}; {remedy}"),
            (false, true) => format!("one of {groups} will be asked, once all else is met"),
            (true, false) => {
                "whether a merged pull request approves it is looked at, once all else is met".to_owned()
            }
            (true, true) => format!(
                "unless a merged pull request approves it, one of {groups} will be asked, once all else is met"
            ),
        };
        problem = problem.note(format!("{name}: {awaited}"));
    }
    Some(problem)
}

/// Why nobody of these approved it, as what was asked says, and what else would do.
fn unapproved(groups: &str, problem: Option<&Problem>) -> Unmet {
    let own = format!("answer on a terminal, or set `{APPROVED_BY}` to who approved it");
    let Some(problem) = problem else {
        return unmet(format!("nobody of {groups} approved it"), own);
    };
    let why = format!("nobody of {groups} approved it: {}", problem.sentence());
    let remedy = problem.help.as_ref().map_or_else(|| own.clone(), |help| format!("{help}; or {own}"));
    Unmet { why, remedy, labels: problem.labels.clone() }
}

/// The condition that somebody agrees.
const APPROVE: &str = "approve";

/// Where the file says a condition, and what is said there.
fn place(stage: &Stage, gate: &str) -> (Span, &'static str) {
    let own = match gate {
        APPROVE => stage.approve.as_ref().map(|approve| (approve.span, "who has to agree")),
        "hold" => Some((stage.name.span, "this stage is on hold")),
        "order" => Some((stage.name.span, "this stage runs what is newer")),
        "from" => {
            let all = stage.from.iter().map(|from| from.span).reduce(Span::to);
            all.map(|span| (span, "where they have to work before"))
        }
        condition => stage.require.as_ref().map(|require| {
            let place = require.value.place(condition);
            place.map_or((require.span, "these are the conditions"), |place| (place, "asked for here"))
        }),
    };
    own.unwrap_or((stage.name.span, "this stage"))
}

fn list(names: &[String]) -> String {
    match names {
        [one] => format!("{one} is"),
        [rest @ .., last] => format!("{} and {last} are", rest.join(", ")),
        [] => String::new(),
    }
}

pub(super) fn unmet(why: impl Into<String>, remedy: impl Into<String>) -> Unmet {
    Unmet { why: why.into(), remedy: remedy.into(), labels: Vec::new() }
}

fn hold(stage: &Stage, candidate: &Candidate, known: &State) -> Gate {
    let name = stage.name.value.as_str();
    let hold = known.stages.get(name).and_then(|stage| stage.hold.as_ref());
    let finding = match hold.filter(|_| candidate.automatic) {
        None => Ok("the stage is not on hold".to_owned()),
        Some(hold) => Err(unmet(
            format!("it is on hold since {}, by {}: {}", second(hold.since), hold.by, hold.reason),
            if stage.from.is_empty() {
                "`hoist release --lift-hold` enters it all the same, and ends that".to_owned()
            } else {
                format!(
                    "`hoist promote {name}` enters it by hand, and ends that, as `hoist release --lift-hold` does"
                )
            },
        )),
    };
    Gate { name: "hold", finding }
}

/// A time to the second.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn order(name: &str, candidate: &Candidate, known: &State, world: &World) -> Gate {
    let finding = match known.running(name).filter(|_| !world.allow_regress) {
        Some(running) => newer(&running.entry.version, &candidate.version, world.behind).map_or_else(
            || Ok("the stage runs nothing newer".to_owned()),
            |why| {
                let remedy = format!("`--allow-regress`, or `hoist rollback {name}`, goes back");
                Err(unmet(why, remedy))
            },
        ),
        None => Ok("the stage runs nothing newer".to_owned()),
    };
    Gate { name: "order", finding }
}

/// That a stage runs a higher version than this one, if it does.
#[must_use]
pub fn runs_higher(known: &State, stage: &str, version: &str) -> Option<String> {
    let running = &known.running(stage)?.entry.version;
    higher(&read_version(running)?, &read_version(version)?)
}

fn higher(there: &Version, ours: &Version) -> Option<String> {
    ours.cmp_precedence(there).is_lt().then(|| format!("it runs {there}, which is higher than {ours}"))
}

/// Why what a stage runs is newer than a candidate, if it is known to be.
fn newer(running: &str, candidate: &str, behind: bool) -> Option<String> {
    match (read_version(running), read_version(candidate)) {
        (Some(there), Some(ours)) => higher(&there, &ours),
        _ => behind.then(|| "it runs a later commit of the same history".to_owned()),
    }
}

/// Why a candidate may not come instead of what a run that died has set in part: its tags
/// would be left as they are.
pub(super) fn half_way(
    candidate: &Candidate,
    before: &Entry,
    (behind, allow_regress): (bool, bool),
) -> Option<String> {
    let what = |kind, event, commit, version| (kind, event, commit, version);
    let same = what(Some(candidate.kind), &candidate.event, &candidate.commit, &candidate.version)
        == what(before.does, &before.event, &before.commit, &before.version);
    let back = candidate.kind == EntryKind::Rollback || before.does == Some(EntryKind::Rollback);
    let lower = || !allow_regress && newer(&before.version, &candidate.version, behind).is_some();
    (!same && (back || lower()))
        .then(|| format!("{} of {} stopped half way there", before.version, before.by))
}

fn tests(candidate: &Candidate) -> Result<String, Unmet> {
    let without: Vec<_> = candidate
        .images
        .iter()
        .filter(|(_, tests)| tests.is_empty())
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !without.is_empty() {
        let why = format!("nothing says that {} passed a test", without.join(", "));
        return Err(unmet(why, "declare a `test` or an `expect` in the image, and release it again"));
    }
    let count = candidate.images.iter().map(|(_, tests)| tests.len()).sum();
    Ok(format!("{} passed", counted(count, "test")))
}

fn soak(candidate: &Candidate, wanted: Duration, now: Timestamp) -> Result<String, Unmet> {
    let Some((from, running)) = &candidate.from else {
        return Err(unmet("the images come from no stage that they could have run in", "declare `from`"));
    };
    let ran = now.duration_since(running.since);
    if ran.is_negative() {
        let since = second(running.since);
        let why = format!(
            "by the clock of this machine it is {}, and they run in `{from}` since {since}",
            second(now)
        );
        return Err(unmet(why, "set the clock"));
    }
    let wanted = jiff::SignedDuration::try_from(wanted).unwrap_or(jiff::SignedDuration::MAX);
    if ran < wanted {
        let why = format!("they run in `{from}` for {}, and {} are required", length(ran), length(wanted));
        let due = running.since.checked_add(wanted).map(second);
        let remedy = match due {
            Ok(due) => format!("wait until {due}"),
            Err(_) => "wait".to_owned(),
        };
        return Err(unmet(why, remedy));
    }
    Ok(format!("they run in `{from}` since {}", second(running.since)))
}

/// A length of time in its two largest units.
fn length(time: jiff::SignedDuration) -> String {
    let seconds = time.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

fn branch(wanted: &str, candidate: &Candidate, world: &World) -> Result<String, Unmet> {
    let short = short(&candidate.commit);
    match &world.branch {
        Ok(true) => Ok(format!("{short} is on `{wanted}`")),
        Ok(false) => Err(match &world.remote {
            Some(remote) => unmet(
                format!("commit {short} is not on `{remote}/{wanted}`, as that was fetched last"),
                format!("merge it into `{wanted}`, and push that"),
            ),
            None => {
                unmet(format!("commit {short} is not on `{wanted}`"), format!("merge it into `{wanted}`"))
            }
        }),
        Err(NotTold { why, meant }) => Err(unmet(
            format!("whether commit {short} is on `{wanted}` is not known: {why}"),
            match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!(
                    "fetch the whole history of `{wanted}`: `git fetch --unshallow`, `fetch-depth: 0` in CI"
                ),
            },
        )),
    }
}
