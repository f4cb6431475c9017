//! What entered a stage and failed there is put back.

use std::process::ExitCode;

use crate::cli::arguments::Running;
use crate::cli::rollback::go_back;
use crate::cli::session::{Session, exit_code};
use crate::config::Stage;
use crate::diagnostic::{Code, Problem, Problems};
use crate::plan::Action;
use crate::release::{Entrance, EntryKind};
use crate::run::{Outcome, Request, Summary};

/// The exit code of a run; where stages failed that it entered, after they were put back
/// to what they ran before, or were put on hold.
pub(crate) fn put_back(
    session: &mut Session,
    running: &Running,
    request: &Request,
    summary: &Summary,
) -> ExitCode {
    let ended = ExitCode::from(summary.exit_code());
    let Some(entrance) = &request.entrance else { return ended };
    let mut problems = Problems::new();
    for (stage, why) in failed(request, summary) {
        problems.push(settle(session, running, entrance, &stage, &why));
    }
    if problems.is_empty() {
        return ended;
    }
    // What stands comes before what was put back.
    let stands = problems.as_slice().iter().find(|problem| problem.code == Code::NotPutBack);
    let code = stands.map_or(Code::PutBack, |problem| problem.code);
    session.report(&problems);
    exit_code(code.class())
}

/// The stages that were entered and failed, and why.
fn failed(request: &Request, summary: &Summary) -> Vec<(String, String)> {
    let mut failed: Vec<(String, String)> = Vec::new();
    for (step, outcome) in request.plan.steps.iter().zip(&summary.outcomes) {
        let Outcome::Failed { problems } = outcome else { continue };
        let is_known = failed.iter().any(|(stage, _)| *stage == step.id.owner);
        if matches!(step.action, Action::Deploy(_) | Action::Verify(_)) && !is_known {
            let why = problems.first().map(|problem| problem.title.clone()).unwrap_or_default();
            let named = why.contains(&format!("`{}`", step.id));
            let why = if named { why } else { format!("`{}` failed: {why}", step.id) };
            failed.push((step.id.owner.clone(), why));
        }
    }
    failed
}

/// Takes a stage back, unless that is what failed, or is not wanted.
fn settle(session: &mut Session, running: &Running, entrance: &Entrance, stage: &str, why: &str) -> Problem {
    let found = entrance.stages().iter().find(|(known, _)| known.name.value == stage);
    let goes_back = found.is_some_and(|(known, candidate)| {
        let wanted = known.verify.as_ref().is_none_or(|verify| verify.value.rollback);
        wanted && candidate.kind != EntryKind::Rollback
    });
    let mut reason = why.to_owned();
    if goes_back {
        session.say(&format!("{stage} goes back to what it ran before\n"));
        let asked = Running { yes: true, dry_run: false, junit: None, trace: None, ..running.clone() };
        match go_back(session, &asked, stage, None, why.to_owned()) {
            Ok(ExitCode::SUCCESS) => {
                let title = format!("`{stage}` runs what it ran before: {why}");
                return Problem::new(Code::PutBack, title)
                    .help(format!("it is on hold: {} ends that", lifting(found.map(|(known, _)| known))));
            }
            Ok(_) => reason = format!("{why}; going back failed"),
            Err(problems) => {
                let first = problems.as_slice().first().map(|problem| problem.title.clone());
                reason = format!("{why}; it did not go back: {}", first.unwrap_or_default());
            }
        }
    }
    let problem = Problem::new(Code::NotPutBack, format!("`{stage}` does not work, and stands: {reason}"));
    let problem = match entrance.abort(stage, &reason) {
        Ok(()) => problem.note("it is on hold: nothing enters it by itself"),
        Err(problems) => {
            let first = problems.as_slice().first().map(|problem| problem.title.clone());
            problem.note(format!("the ledger does not say so: {}", first.unwrap_or_default()))
        }
    };
    problem.help(format!("`hoist status` shows what runs; `hoist rollback {stage} --to VERSION` goes back"))
}

/// What ends the hold of a stage.
fn lifting(stage: Option<&Stage>) -> String {
    match stage.filter(|stage| stage.from.is_some()) {
        Some(stage) => format!("`hoist promote {}`", stage.name.value),
        None => "`hoist release --lift-hold`".to_owned(),
    }
}
