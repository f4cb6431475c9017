//! `hoist log`: what a step wrote, from the records of runs.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::arguments::Log;
use crate::cli::session::{Session, unwritable};
use crate::diagnostic::{Code, Problem, Problems, nearest};
use crate::facts::Project;
use crate::report::{Table, ending, record_log};
use crate::run::{Event, Happening, Outcome, events, log as log_of_step, outline, recorded};

pub(crate) fn log(session: &mut Session, options: &Log) -> Result<ExitCode, Problems> {
    let root = Project::find(&session.host, session.global.file.as_deref())?.root;
    match &options.step {
        None => last_run(session, &root)?,
        Some(step) => output_of(session, &root, step)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The steps of the newest run, as they ended.
fn last_run(session: &Session, root: &Path) -> Result<(), Problems> {
    let Some(id) = recorded(root).into_iter().next() else {
        let problem = Problem::new(Code::NoRecord, "nothing has run here yet");
        return Err(problem.help("run something, such as `hoist run`").into());
    };
    if session.global.json {
        let events = events(root, &id).map_err(|error| unreadable(&id, &error))?;
        return as_json(session, events);
    }
    let look = session.output_look();
    let mut table = Table::new();
    for event in outline(root, &id).map_err(|error| unreadable(&id, &error))? {
        if let Happening::StepEnded(ended) = &event.what {
            table.row([(None, ending(ended, &[], look))]);
        }
    }
    session.output(&table.render(look, 0))
}

/// The lines of a step in the newest run in which it had its turn.
fn output_of(session: &Session, root: &Path, step: &str) -> Result<(), Problems> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for id in recorded(root) {
        let (mut had_its_turn, mut others) = (false, Vec::new());
        for event in outline(root, &id).map_err(|error| unreadable(&id, &error))? {
            match event.what {
                Happening::StepStarted { step: started, .. } => had_its_turn |= started == step,
                Happening::StepEnded(ended) if ended.step == step => {
                    let out = matches!(ended.outcome, Outcome::NotRun { .. } | Outcome::Skipped { .. });
                    had_its_turn |= !out;
                }
                Happening::StepEnded(ended) => others.push(ended.step),
                _ => {}
            }
        }
        if !had_its_turn {
            seen.extend(others);
            continue;
        }
        if session.global.json {
            let events = events(root, &id).map_err(|error| unreadable(&id, &error))?;
            return as_json(session, events.filter(|event| about(event) == Some(step)));
        }
        let log = log_of_step(root, &id, step).map_err(|error| unreadable(&id, &error))?;
        let written = log.map_or(Ok(()), |log| record_log(&log));
        return written.map_err(|error| unwritable(&error).into());
    }
    let meant = nearest(step, seen.iter().map(String::as_str));
    let help = meant
        .map(|name| format!("did you mean `hoist log {name}`? `hoist log` lists the steps of the last run"));
    let problem = Problem::new(Code::NoRecord, format!("no run of `{step}` is recorded"));
    Err(problem.help("run it first").maybe_help(help).into())
}

fn as_json(session: &Session, events: impl Iterator<Item = Event>) -> Result<(), Problems> {
    for event in events {
        session.output(&format!("{}\n", serde_json::to_string(&event).unwrap_or_default()))?;
    }
    Ok(())
}

fn unreadable(id: &str, error: &io::Error) -> Problem {
    let title = format!("the record of the run {id} cannot be read");
    Problem::new(Code::NoRecord, title).note(error.to_string())
}

/// The step that an event is about.
fn about(event: &Event) -> Option<&str> {
    match &event.what {
        Happening::StepReady { step }
        | Happening::StepStarted { step, .. }
        | Happening::StepRetried { step, .. } => Some(step),
        Happening::Output(line) => Some(&line.step),
        Happening::StepEnded(ended) => Some(&ended.step),
        Happening::Notice { step, .. } => step.as_deref(),
        _ => None,
    }
}
