//! `hoist log`: what a step wrote, from the records of runs.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::arguments::Log;
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems, nearest};
use crate::facts::Project;
use crate::report::{Table, ending};
use crate::run::{Event, Happening, Outcome, events, recorded};

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
    let look = session.output_look();
    let mut table = Table::new();
    for event in read(root, &id)? {
        if session.global.json {
            session.output(&format!("{}\n", serde_json::to_string(&event).unwrap_or_default()))?;
        } else if let Happening::StepEnded(ended) = &event.what {
            table.row([(None, ending(ended, &[], look))]);
        }
    }
    session.output(&table.render(look, 0))
}

/// The lines of a step in the newest run in which it had its turn.
fn output_of(session: &Session, root: &Path, step: &str) -> Result<(), Problems> {
    let mut seen: Vec<String> = Vec::new();
    for id in recorded(root) {
        let events = read(root, &id)?;
        let had_its_turn = events.iter().any(|event| match &event.what {
            Happening::StepEnded(ended) => {
                ended.step == step
                    && !matches!(ended.outcome, Outcome::NotRun { .. } | Outcome::Skipped { .. })
            }
            _ => false,
        });
        if !had_its_turn {
            seen.extend(events.into_iter().filter_map(|event| match event.what {
                Happening::StepEnded(ended) => Some(ended.step),
                _ => None,
            }));
            continue;
        }
        for event in events {
            if session.global.json && about(&event) == Some(step) {
                session.output(&format!("{}\n", serde_json::to_string(&event).unwrap_or_default()))?;
            } else if let Happening::Output(line) = &event.what
                && line.step == step
                && !session.global.json
            {
                session.output(&format!("{}\n", line.text))?;
            }
        }
        return Ok(());
    }
    let meant = nearest(step, seen.iter().map(String::as_str));
    let help = meant
        .map(|name| format!("did you mean `hoist log {name}`? `hoist log` lists the steps of the last run"));
    let problem = Problem::new(Code::NoRecord, format!("no run of `{step}` is recorded"));
    Err(problem.help("run it first").maybe_help(help).into())
}

fn read(root: &Path, id: &str) -> Result<Vec<Event>, Problem> {
    let events = events(root, id).map_err(|error| {
        Problem::new(Code::NoRecord, format!("the record of the run {id} cannot be read"))
            .note(error.to_string())
    })?;
    Ok(events.collect())
}

/// The step that an event is about.
fn about(event: &Event) -> Option<&str> {
    match &event.what {
        Happening::StepReady { step }
        | Happening::StepStarted { step, .. }
        | Happening::StepRetried { step, .. } => Some(step),
        Happening::Output(line) => Some(&line.step),
        Happening::StepEnded(ended) => Some(&ended.step),
        Happening::Learned(learned) => Some(&learned.step),
        Happening::Notice { step, .. } => step.as_deref(),
        _ => None,
    }
}
