//! `hoist resume`: a release that died goes on, or back.

mod preview;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::arguments::Running;
use crate::cli::place::until_signalled;
use crate::cli::run::{asker, carry_out, ci, consent};
use crate::cli::session::{Loaded, Session, exit_code};
use crate::cli::shortcut::Prepared;
use crate::cli::stage_arguments::Resume;
use crate::cli::stages::{Entered, again, candidate, facts_of, promoted, registry, stage_of, who};
use crate::diagnostic::{Code, Problem, Problems, Span, counted};
use crate::facts::{Facts, Needs};
use crate::plan::{Action, Goals, Plan, RegistryPlan};
use crate::release::{
    Candidate, Entry, EntryKind, Held, Intent, IntentTag, Journal, Journals, Ledger, Patience, Publisher,
    Returned, Running as Ran, State, TagChange, TagResult, Wait, digests, keep_alive_tag, lag, unfinished,
    withdraw,
};
use crate::report::tag_lines;
use crate::run::TagMove;
use crate::tags::PlannedTag;

pub(crate) fn resume(session: &mut Session, options: &Resume) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let Journals { mut dead, live } = Journals::find(&loaded.project.root)?;
    for run in &live {
        session.say(&format!("the run {run} goes on, and is left alone\n"));
    }
    let here: Vec<String> = runs(&dead).chain(live).collect();
    if options.running.dry_run {
        return preview::preview(session, &loaded, (&dead, &here), options);
    }
    dead.extend(elsewhere(session, &loaded, &here, options.of.as_deref())?);
    if dead.is_empty() {
        session.say("nothing to resume: no release stopped half way\n");
        return Ok(ExitCode::SUCCESS);
    }
    let over: Vec<String> = runs(&dead).collect();
    let mut ended = ExitCode::SUCCESS;
    for journal in dead {
        let loaded = session.load()?;
        let gives_up = options.back && journal.is_untouched();
        let what = match (gives_up, options.back) {
            (true, _) => "it is given up",
            (false, true) => "it is put back",
            (false, false) => "it is finished",
        };
        announce(session, journal.intent(), journal.moved().len(), what);
        if !options.running.yes && !ci(session) {
            let confirm = asker(session, false);
            let question = match (gives_up, options.back) {
                (true, _) => "Give it up?",
                (false, true) => "Put it back?",
                (false, false) => "Finish it?",
            };
            consent(&confirm, question, "resumed")?;
        }
        if gives_up {
            let left = leave(session, &loaded.project.root, &journal)?;
            let late =
                if left { "" } else { "; what it sent to the ledger may come late, and is known then" };
            session.say(&format!("nothing of it became visible{late}\n"));
            continue;
        }
        let code = if options.back {
            back(session, &loaded, &journal)?
        } else {
            forward(session, &loaded, &journal, (&options.running, &over))?
        };
        if code != ExitCode::SUCCESS {
            ended = code;
        }
    }
    Ok(ended)
}

fn runs(journals: &[Journal]) -> impl Iterator<Item = String> {
    journals.iter().map(|journal| journal.intent().run.clone())
}

/// Ends a journal of which nothing became visible, and the right to move tags that its run
/// had; returns whether it did. Where it has none, what asks for it may still be on its way to
/// the remote for a while, and somebody has to know whose it is.
fn leave(session: &Session, root: &Path, journal: &Journal) -> Result<bool, Problems> {
    if !journal.intent().entries.is_empty() {
        let ledger = Ledger::open(root, &session.host.environment)?;
        let had = withdraw(&ledger, &journal.intent().run, &who(session))?;
        if !had && ledger.remote().is_some() && journal.age() < lag(&session.host.environment) {
            return Ok(false);
        }
    }
    journal.end()?;
    Ok(true)
}

/// Journals of runs of which the ledger says that they enter stages, and which are not of
/// this machine; once they are known to have died.
fn elsewhere(
    session: &Session,
    loaded: &Loaded,
    here: &[String],
    of: Option<&str>,
) -> Result<Vec<Journal>, Problems> {
    if loaded.release.stages.is_empty() {
        return Ok(Vec::new());
    }
    let root = &loaded.project.root;
    let ledger = Ledger::open(root, &session.host.environment)?;
    let mut found = Vec::new();
    for (held, intent) in unfinished(&ledger, &ledger.fetch()?.state)? {
        let run = &intent.run;
        if here.contains(run) {
            continue;
        }
        if of != Some(run) && !has_died(session, &ledger, &held)? {
            session.say(&format!("the run {run} is done\n"));
            continue;
        }
        found.push(Journal::adopt(root, intent)?);
    }
    check_of(of, here.iter().cloned().chain(runs(&found)))?;
    Ok(found)
}

/// Refuses the name of a run that did not stop half way.
fn check_of(of: Option<&str>, mut runs: impl Iterator<Item = String>) -> Result<(), Problem> {
    match of.filter(|of| !runs.any(|run| run == *of)) {
        Some(of) => {
            let problem = Problem::new(Code::UnknownTarget, format!("no run {of} stopped half way"));
            Err(problem.help("`hoist status --json` shows the runs that enter stages"))
        }
        None => Ok(()),
    }
}

/// Waits until a run elsewhere has done what it is about, or nothing was heard of it for so
/// long that it has died.
fn has_died(session: &Session, ledger: &Ledger, held: &Held) -> Result<bool, Problems> {
    let (mut held, mut patience) = (held.clone(), Patience::new(&session.host.environment));
    let run = held.entering.run().to_owned();
    session.say(&format!(
        "{} elsewhere: whether that goes on is waited for; `--of {run}` says that it has ended\n",
        held.words()
    ));
    loop {
        match patience.with(&held)? {
            Wait::Over => return Ok(true),
            Wait::For(time) => std::thread::sleep(time),
        }
        match ledger.fetch()?.state.entering(&held.stage) {
            Some(entering) if entering.run() == run => held.entering = entering.clone(),
            _ => return Ok(false),
        }
    }
}

/// Says what stopped half way, and what becomes of it.
fn announce(session: &Session, intent: &Intent, moved: usize, what: &str) {
    let stages: Vec<_> = intent.entries.iter().map(|entry| format!("`{}`", entry.stage)).collect();
    let of = if stages.is_empty() { String::new() } else { format!(" for {}", stages.join(", ")) };
    let tags = counted(intent.tags.len(), "tag");
    let far = match moved {
        0 => format!("before the first of {tags}"),
        _ => format!("when {moved} of {tags} could have moved"),
    };
    session.say(&format!("the run {}{of} stopped {far}; {what}\n", intent.run));
}

/// Says of releases that stopped half way that they did, before another one begins, and ends
/// the journals of those of which nothing is left to be done; returns all others.
///
/// # Errors
/// A journal cannot be read, or is of a newer format: what is half done is not known.
pub(crate) fn stopped(session: &Session, root: &Path) -> Result<Vec<Journal>, Problem> {
    let is_done = |journal: &Journal| {
        if journal.is_untouched() {
            leave(session, root, journal).unwrap_or(false)
        } else {
            is_past(session, root, journal) && journal.end().is_ok()
        }
    };
    let left: Vec<Journal> = Journals::find(root)?.dead.into_iter().filter(|one| !is_done(one)).collect();
    tell_stopped(session, left.iter());
    Ok(left)
}

/// As [`stopped`], of whoever only looks: nothing is ended.
///
/// # Errors
/// As that.
pub(crate) fn look_for_stopped(session: &Session, root: &Path) -> Result<(), Problem> {
    let Journals { dead, .. } = Journals::find(root)?;
    let seen = dead.iter().filter(|journal| !journal.is_untouched() && !is_past(session, root, journal));
    tell_stopped(session, seen);
    Ok(())
}

fn tell_stopped<'a>(session: &Session, journals: impl Iterator<Item = &'a Journal>) {
    for journal in journals.filter(|journal| !journal.is_untouched()) {
        let run = &journal.intent().run;
        session.say(&format!("the release of run {run} stopped half way: `hoist resume` finishes it\n"));
    }
}

/// Whether others entered all stages since that a run entered which died.
fn is_past(session: &Session, root: &Path, journal: &Journal) -> bool {
    let ledger = Ledger::open(root, &session.host.environment).and_then(|ledger| ledger.read());
    let (intent, entered) = (journal.intent(), journal.entered_stages());
    let is_past = |state: &State| superseded(state, intent, &entered).len() == intent.entries.len();
    !entered.is_empty() && ledger.is_ok_and(|page| is_past(&page.state))
}

/// Ends the journals of all that a run, which succeeded, has done as well.
pub(crate) fn settle(session: &Session, root: &Path, plan: &Plan, half: &[Journal]) -> Result<(), Problems> {
    let tags = |intended: &IntentTag| {
        plan.steps.iter().any(|step| match &step.action {
            Action::Tag(step) => {
                // One more keeps the image where all others move.
                let keeps =
                    keep_alive_tag(&intended.digest).is_some_and(|keep| keep.as_str() == intended.tag);
                step.registry.place.to_string() == intended.repository
                    && (keeps || step.tags.iter().any(|planned| planned.tag.as_str() == intended.tag))
            }
            _ => false,
        })
    };
    let enters = |stage: &str| {
        let is_it = |action: &Action| matches!(action, Action::Enter(step) if step.stage == stage);
        plan.steps.iter().any(|step| is_it(&step.action))
    };
    for journal in half {
        let intent = journal.intent();
        let is_done = intent.tags.iter().all(tags) && intent.entries.iter().all(|entry| enters(&entry.stage));
        if journal.is_untouched() {
            leave(session, root, journal)?;
        } else if is_done {
            journal.end()?;
        }
    }
    Ok(())
}

/// How a repository of a journal is reached.
fn reach(loaded: &Loaded, facts: &Facts, repository: &str) -> Result<RegistryPlan, Problem> {
    registry(&loaded.release, facts, repository).ok_or_else(|| {
        let title = format!("`{repository}` cannot be reached: it is not the name of a repository");
        Problem::new(Code::InvalidReference, title)
    })
}

fn facts_now(session: &Session, loaded: &Loaded) -> Result<Facts, Problems> {
    session.gather(loaded, &Needs::default(), &indexmap::IndexMap::new())
}

/// Sets what is not set, by digest; then, for each stage, its tags, the ledger, and what
/// comes behind it.
fn forward(
    session: &mut Session,
    loaded: &Loaded,
    journal: &Journal,
    (running, over): (&Running, &[String]),
) -> Result<ExitCode, Problems> {
    let facts = facts_now(session, loaded)?;
    let intent = journal.intent();
    let state = match intent.entries.as_slice() {
        [] => State::default(),
        _ => Ledger::open(&loaded.project.root, &session.host.environment)?.fetch()?.state,
    };
    let over_since = superseded(&state, intent, &journal.entered_stages());
    for entry in &over_since {
        let Entry { stage: name, version, .. } = entry;
        session.say(&format!("{name} was entered with {version}, runs something else since, and stays so\n"));
    }
    if !intent.entries.is_empty() && over_since.len() == intent.entries.len() {
        journal.end()?;
        return Ok(ExitCode::SUCCESS);
    }
    let publisher = Publisher::new(loaded.project.root.clone(), facts.environment.clone());
    let publisher = publisher.allow_regress(intent.allow_regress);
    let place = place_of(session, loaded);
    let reach = |repository: &str| reach(loaded, &facts, repository);
    let work = async {
        let (changes, done) = journal.forward(&reach, &publisher, place).await;
        Ok::<_, Problems>((changes, done))
    };
    let (changes, done) = until_signalled(work, "resuming was stopped; `hoist resume` goes on")?;
    tell(session, &changes);
    done?;
    let (mut ended, mut is_open) = (ExitCode::SUCCESS, false);
    for entry in intent.entries.iter().filter(|entry| !over_since.contains(entry)) {
        let loaded = session.load()?;
        let ledger = Ledger::open(&loaded.project.root, &session.host.environment)?;
        let code = enter(session, loaded, intent, entry, (running, over))?;
        if code != ExitCode::SUCCESS {
            ended = code;
            // What entered, and failed there, was put back, or is on hold.
            is_open |= !is_since(&ledger.read()?.state, entry);
        }
    }
    if !is_open {
        journal.end()?;
    }
    Ok(ended)
}

/// The entries of a run by which it entered stages that run something else since.
fn superseded(state: &State, intent: &Intent, entered: &[String]) -> Vec<Entry> {
    let runs = |entry: &&Entry| {
        let running = state.running(&entry.stage).map(|running| &running.entry);
        running.is_some_and(|running| running.commit == entry.commit && digests(running) == digests(entry))
    };
    let entered = intent.entries.iter().filter(|entry| entered.contains(&entry.stage));
    entered.filter(|entry| !runs(entry)).cloned().collect()
}

/// Whether something was done to a stage since it was decided to do this.
fn is_since(state: &State, entry: &Entry) -> bool {
    state.stages.get(&entry.stage).and_then(|stage| stage.last.as_ref()) != entry.follows.as_ref()
}

fn place_of(session: &mut Session, loaded: &Loaded) -> Span {
    let declared = loaded.release.images.values().next().map(|image| image.name.span);
    declared.unwrap_or_else(|| Span::new(session.sources.add("release.kdl", ""), 0..0))
}

fn tell(session: &Session, changes: &[TagChange]) {
    let moves: Vec<TagMove> = changes
        .iter()
        .filter(|change| change.result != TagResult::Already)
        .map(|change| TagMove {
            repository: change.repository.clone(),
            tag: change.tag.to_string(),
            from: change.from.map(|from| from.to_string()),
            to: change.to.to_string(),
            kept: match &change.result {
                TagResult::Kept(why) => Some(why.clone()),
                _ => None,
            },
        })
        .collect();
    session.say(&tag_lines(&moves, session.status_look()));
}

/// Lets the images of an entry enter their stage as they were to.
fn enter(
    session: &mut Session,
    loaded: Loaded,
    intent: &Intent,
    entry: &Entry,
    (running, over): (&Running, &[String]),
) -> Result<ExitCode, Problems> {
    let stage = stage_of(&loaded.release, &entry.stage)?.clone();
    let ledger = Ledger::open(&loaded.project.root, &session.host.environment)?;
    let page = ledger.fetch()?;
    let facts = facts_of(session, &loaded, entry, true)?;
    let mut images = promoted((&loaded.release, &facts), &stage, (&entry.stage, entry))?;
    let place = stage.name.span;
    for (image, promoted) in &mut images {
        let mut tags: BTreeMap<String, Vec<PlannedTag>> = BTreeMap::new();
        for intended in intent.tags.iter().filter(|tag| tag.image == *image) {
            let Some(planned) = intended.planned(place) else { continue };
            let is_other = promoted.image.as_ref().is_some_and(|image| image.digest != intended.digest);
            let returns = is_other.then(|| intended.descriptor());
            tags.entry(intended.repository.clone()).or_default().push(PlannedTag { returns, ..planned });
        }
        promoted.tags = Some(tags);
    }
    let Some(git) = &facts.git else { return Ok(ExitCode::SUCCESS) };
    let from = match (&entry.from, &entry.source) {
        (Some(from), Some(source)) => {
            let ran = ledger.entry(source)?;
            Some((from.clone(), Ran { id: Some(source.clone()), since: ran.at, number: 0, entry: ran }))
        }
        _ => None,
    };
    let runs = page.state.running(&entry.stage);
    if entry.kind == EntryKind::Rollback
        && is_since(&page.state, entry)
        && runs.is_none_or(|runs| digests(&runs.entry) != digests(entry))
    {
        let title = format!("`{}` was entered since, and does not go back from that", entry.stage);
        let problem = Problem::new(Code::NotPromotable, title);
        return Err(problem.help("`hoist resume --back` puts back the tags that were moved").into());
    }
    let candidate = Candidate {
        kind: entry.kind,
        source: entry.source.clone(),
        leaves: runs.and_then(|runs| runs.id.clone()),
        reason: entry.reason.clone(),
        ..again(entry, candidate(&loaded.release, &facts, &stage, (git, &entry.tree), from))
    };
    let mut planned = session.plan_stage(loaded, &facts, &entry.stage, images)?;
    let (approval, over) = (intent.approval.clone(), over.to_vec());
    planned.entered = Some(Entered { approval, over, ..Entered::by_hand(ledger, page, stage, candidate) });
    let running = Running {
        yes: true,
        allow_regress: running.allow_regress || intent.allow_regress || entry.kind == EntryKind::Rollback,
        ..running.clone()
    };
    carry_out(session, &running, false, &Goals::Stage(entry.stage.clone()), Prepared::alone(planned))
}

/// Puts back what can be put back, and says what cannot.
fn back(session: &mut Session, loaded: &Loaded, journal: &Journal) -> Result<ExitCode, Problems> {
    let facts = facts_now(session, loaded)?;
    let intent = journal.intent();
    let ledger = match intent.entries.as_slice() {
        [] => None,
        _ => Some(Ledger::open(&loaded.project.root, &session.host.environment)?),
    };
    if let Some(ledger) = &ledger {
        check_not_entered(ledger, intent, &journal.entered_stages())?;
    }
    let publisher = Publisher::new(loaded.project.root.clone(), facts.environment.clone());
    let reach = |repository: &str| reach(loaded, &facts, repository);
    let work = async { journal.back(&reach, &publisher).await.map_err(not_back) };
    let Returned { restored, stands, others } =
        until_signalled(work, "putting back was stopped; `hoist resume --back` goes on")?;
    for (name, digest) in &restored {
        session.say(&format!("{name} holds {digest} again\n"));
    }
    for name in &others {
        session.say(&format!("{name} was moved by somebody else since, and stays\n"));
    }
    if let Some(ledger) = &ledger {
        for entry in &intent.entries {
            abort(session, ledger, entry, &intent.run)?;
        }
        withdraw(ledger, &intent.run, &who(session))?;
    }
    journal.end()?;
    let problem = if stands.is_empty() {
        let title = format!("the release of run {} was put back", intent.run);
        Problem::new(Code::PutBack, title)
    } else {
        let title = format!("the release of run {} was put back in part", intent.run);
        let problem = Problem::new(Code::NotPutBack, title);
        let problem = stands.into_iter().fold(problem, Problem::note);
        problem.help("the same release again finishes it; another version leaves these behind")
    };
    let code = problem.code.class();
    session.report(&problem.into());
    Ok(exit_code(code))
}

/// Refuses to put back what a stage runs.
fn check_not_entered(ledger: &Ledger, intent: &Intent, entered: &[String]) -> Result<(), Problem> {
    if let Some(stage) = entered.first() {
        let title = format!("the run {} cannot be put back: it has entered `{stage}` already", intent.run);
        let problem = Problem::new(Code::NotPromotable, title);
        let help =
            format!("`hoist status {stage}` shows what runs; `hoist rollback {stage}` goes back from it");
        return Err(problem.help(help));
    }
    let page = ledger.fetch()?;
    let runs = |entry: &&Entry| {
        let running = page.state.running(&entry.stage);
        is_since(&page.state, entry) && running.is_some_and(|ran| digests(&ran.entry) == digests(entry))
    };
    match intent.entries.iter().find(runs) {
        Some(entry) => {
            let (run, stage) = (&intent.run, &entry.stage);
            let title =
                format!("the run {run} cannot be put back: `{stage}` runs its images, as the ledger says");
            let help = format!("`hoist resume` finishes it; then `hoist rollback {}` goes back", entry.stage);
            Err(Problem::new(Code::NotPromotable, title).help(help))
        }
        None => Ok(()),
    }
}

fn not_back(problem: Problem) -> Problem {
    let code = if problem.code == Code::Interrupted { problem.code } else { Code::NotPutBack };
    Problem { code, ..problem }.help("`hoist resume --back` again goes on with it")
}

/// Puts down that a version was given up, unless somebody entered the stage since.
fn abort(session: &Session, ledger: &Ledger, entry: &Entry, run: &str) -> Result<(), Problems> {
    let by = who(session);
    let done = ledger.append(|page| {
        if is_since(&page.state, entry) {
            return Ok(None);
        }
        Ok(Some(Entry {
            kind: EntryKind::Aborted,
            at: session.host.now,
            by: by.clone(),
            run: Some(run.to_owned()),
            deploys: false,
            follows: None,
            reason: Some(format!("{} was given up half way, and put back", entry.version)),
            ..entry.clone()
        }))
    });
    done.map(drop)
}
