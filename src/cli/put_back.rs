//! What entered a stage and failed there is put back.

use std::process::ExitCode;

use crate::cli::arguments::Running;
use crate::cli::rollback::go_back;
use crate::cli::session::{Session, exit_code};
use crate::config::Stage;
use crate::diagnostic::{Code, Problem, Problems};
use crate::plan::{Action, Step};
use crate::release::{Entrance, Entry, EntryKind};
use crate::run::{Cause, Outcome, Request, Summary};

/// The exit code of a run that is over, and what is to be said of stages that it entered:
/// those that failed are put back to what they ran before, or on hold; the right to all of
/// them is given up.
pub(crate) fn put_back(
    session: &mut Session,
    running: &Running,
    request: &Request,
    summary: &Summary,
) -> (ExitCode, Problems) {
    let ended = ExitCode::from(summary.exit_code());
    let mut problems = Problems::new();
    let Some(entrance) = &request.entrance else { return (ended, problems) };
    let broken = broken(request, summary);
    for broken in &broken {
        problems.push(settle(session, running, (entrance, &summary.run), broken));
    }
    // What stands comes before what was put back, and decides the exit code.
    let (stands, back): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| problem.code != Code::PutBack);
    let mut problems: Problems = stands.into_iter().collect();
    let over = match entrance.end() {
        Err(unsaid) => unsaid,
        // Of a stage that failed it was said already.
        Ok(others) => {
            let is_news = |other: &&Entry| broken.iter().all(|broken| broken.stage != other.stage);
            others.iter().filter(is_news).map(overtaken).collect()
        }
    };
    if running.part_of.is_some() {
        // Whoever had it go back tells of what failed; this is no failure to go back.
        if !over.is_empty() {
            session.report(&over);
        }
        let code = if problems.is_empty() { ended } else { exit_code(problems.class()) };
        return (code, problems);
    }
    problems.extend(over);
    problems.extend(back);
    if problems.is_empty() {
        return (ended, problems);
    }
    session.report(&problems);
    (exit_code(problems.class()), problems)
}

/// Somebody else took a stage over while it was deployed.
fn overtaken(other: &Entry) -> Problem {
    let Entry { stage, version, by, .. } = other;
    let title = format!("`{stage}` was taken over with {version} by {by} while this was deployed");
    Problem::new(Code::Overtaken, title)
        .note("which of the two was deployed last is not known")
        .help(format!("once that run has ended: `hoist rollback {stage} --to {version}`, or its release again, deploys it"))
}

/// A stage that was entered and does not work, as far as is known.
struct Broken {
    stage: String,
    why: String,
    /// Whether it was stopped, so that it may work.
    interrupted: bool,
    /// Whether it may go back by itself.
    goes_back: bool,
}

/// The stages that were entered and failed, or were not deployed.
fn broken(request: &Request, summary: &Summary) -> Vec<Broken> {
    let steps = || request.plan.steps.iter().zip(&summary.outcomes);
    let mut all: Vec<Broken> = Vec::new();
    for (step, outcome) in steps() {
        let stage = &step.id.owner;
        if !matches!(step.action, Action::Deploy(_) | Action::Verify(_))
            || outcome.is_success()
            || all.iter().any(|known| known.stage == *stage)
        {
            continue;
        }
        let is_enter = |other: &Step| matches!(&other.action, Action::Enter(enter) if enter.stage == *stage);
        let Some((_, entered)) = steps().find(|(other, _)| is_enter(other)) else { continue };
        if !entered.is_success() {
            continue;
        }
        let (why, interrupted) = why(step, outcome);
        // What ran there before was no other where it was entered again.
        let goes_back = !interrupted && matches!(entered, Outcome::Ran);
        all.push(Broken { stage: stage.clone(), why, interrupted, goes_back });
    }
    all
}

/// Why a step of a stage did not succeed, and whether it was interrupted.
fn why(step: &Step, outcome: &Outcome) -> (String, bool) {
    let name = format!("`{}`", step.id);
    match outcome {
        Outcome::Failed { problems } => {
            let why = problems.first().map(|problem| problem.title.clone()).unwrap_or_default();
            (if why.contains(&name) { why } else { format!("{name} failed: {why}") }, false)
        }
        Outcome::NotRun { cause } => (format!("{name} did not run: {cause}"), *cause == Cause::Interruption),
        _ => (format!("{name} was interrupted"), true),
    }
}

/// Takes a stage back, unless that is what failed, or is not wanted.
fn settle(
    session: &mut Session,
    running: &Running,
    (entrance, run): (&Entrance, &str),
    broken: &Broken,
) -> Problem {
    let Broken { stage, why, interrupted, goes_back } = broken;
    let found = entrance.stages().iter().find(|(known, _)| known.name.value == *stage);
    let goes_back = found.filter(|_| *goes_back).is_some_and(|(known, candidate)| {
        let wanted = known.verify.as_ref().is_none_or(|verify| verify.value.rollback);
        wanted && candidate.kind != EntryKind::Rollback
    });
    // What somebody else entered it with since is not taken back: that would bring back
    // what failed.
    if let Ok(Some(other)) = entrance.run_by_others(stage) {
        let title = format!("`{stage}` was entered by {} since, and is left alone: {why}", other.by);
        let problem = Problem::new(Code::NotPutBack, title);
        return problem
            .note(format!("it runs {} of commit {}", other.version, other.short()))
            .help(format!("`hoist status` shows what runs; `hoist rollback {stage}` goes back"));
    }
    let mut reason = why.clone();
    let ran_before = entrance.ran_before(stage);
    if goes_back && ran_before {
        session.say(&format!("{stage} goes back to what it ran before\n"));
        // The files that were asked for tell of what failed.
        let files = Running { junit: None, trace: None, html: None, ..running.clone() };
        let asked = Running { yes: true, dry_run: false, part_of: Some(run.to_owned()), ..files };
        match go_back(session, &asked, stage, None, why.clone()) {
            Ok(ExitCode::SUCCESS) => {
                let title = format!("`{stage}` runs what it ran before: {why}");
                return Problem::new(Code::PutBack, title)
                    .help(format!("it is on hold: {} ends that", lifting(found.map(|(known, _)| known))));
            }
            Ok(_) => reason = format!("{why}; what it went back to does not work either"),
            Err(problems) => {
                reason = format!("{why}; it did not go back: {}", problems.title());
            }
        }
    }
    let title = if *interrupted {
        format!("whether `{stage}` works is not known, and it stands: {reason}")
    } else {
        format!("`{stage}` does not work, and stands: {reason}")
    };
    let problem = Problem::new(Code::NotPutBack, title);
    let problem = match entrance.abort(stage, &reason) {
        Ok(true) => problem.note("it is on hold: nothing enters it by itself"),
        Ok(false) => problem,
        Err(problems) => problem.note(format!("the ledger does not say so: {}", problems.title())),
    };
    let enters = lifting(found.map(|(known, _)| known));
    problem.help(if !ran_before {
        format!("it ran nothing before that it could go back to: once it is right, {enters} enters it again")
    } else if *interrupted {
        format!("{enters} deploys it again; `hoist rollback {stage}` goes back")
    } else {
        format!("`hoist status` shows what runs; `hoist rollback {stage} --to VERSION` goes back")
    })
}

/// What ends the hold of a stage.
fn lifting(stage: Option<&Stage>) -> String {
    match stage.filter(|stage| !stage.from.is_empty()) {
        Some(stage) => format!("`hoist promote {}`", stage.name.value),
        None => "`hoist release --lift-hold`".to_owned(),
    }
}
