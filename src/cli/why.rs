//! `hoist why`: all reasons for which a step would run again.

use std::process::ExitCode;

use crate::cli::arguments::Why;
use crate::cli::plan::look_ahead;
use crate::cli::session::Session;
use crate::cli::words::Words;
use crate::diagnostic::{Code, Problem, Problems};
use crate::plan::{Goals, Options};
use crate::report::{forecast_json, why_text};

pub(crate) fn why(session: &mut Session, options: &Why) -> Result<ExitCode, Problems> {
    let words = Words::read(&options.words, &mut session.sources)?;
    if words.names.is_empty() {
        let problem = Problem::new(Code::CommandLine, "`hoist why` needs the name of a step");
        return Err(problem.help("`hoist graph` shows the names of all steps").into());
    }
    let loaded = session.load()?;
    let allow = Options { allow_dirty: true, looked_at: true, ..Options::default() };
    let planned = session.plan(loaded, &Goals::Named(words.names), &words.values, allow)?;
    let forecasts = look_ahead(session, &planned, &crate::run::Options::default())?;
    for one in &forecasts {
        let named = planned.plan.steps.get(one.step.0 as usize).is_some_and(|step| step.goal);
        if !named {
            continue;
        }
        let text = if session.global.json {
            format!("{}\n", forecast_json(&planned.plan, one))
        } else {
            why_text(&planned.plan, one, &forecasts, session.output_look(), session.global.verbose)
        };
        session.output(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
