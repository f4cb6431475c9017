//! `hoist plan`: what would run, and why.

use std::process::ExitCode;

use crate::cli::arguments::{Plan, Running};
use crate::cli::publishable::{publishes, refusal, warn_of_event};
use crate::cli::run::{has_gap, invisible};
use crate::cli::session::{Planned, Session, exit_code};
use crate::cli::words::Words;
use crate::config::Release;
use crate::diagnostic::{Class, Problem, Problems};
use crate::plan::{Goals, Options, dead_ends_of};
use crate::report::{forecast_json, forecast_text, refused_json, render_warning, unreached_json};
use crate::run::{Forecast, ended_allowances, forecast, hidden};

pub(crate) fn plan(session: &mut Session, options: &Plan) -> Result<ExitCode, Problems> {
    let words = Words::read(&options.words, &mut session.sources)?;
    let loaded = session.load()?;
    let (goals, heading) = match words.names.as_slice() {
        [] => usual(&loaded.release),
        _ => (Goals::Named(words.names), ""),
    };
    let allow = Options { allow_dirty: options.allow_dirty, looked_at: true, ..Options::default() };
    let planned = session.plan(loaded, &goals, &words.values, allow)?;
    if !session.global.json {
        session.say(heading);
    }
    let refused = refusal(session, &planned, options.allow_dirty)?;
    match &refused {
        Some(_) if session.global.json => {}
        Some(problem) => drop(session.report(&problem.clone().into())),
        None => warn_of_event(session, &planned.project.root, &planned.facts),
    }
    let code = show(session, &planned, &crate::run::Options::default(), refused)?;
    if heading == OF_RELEASE {
        tell_dead_ends(session, &planned);
    }
    if let (Some(text), false) = (invisible(&planned.plan, &planned.facts), session.global.json) {
        session.say(&text);
    }
    Ok(code)
}

/// What stands above the plan of a release.
const OF_RELEASE: &str = "plan of `hoist release`:\n";

/// Warns of stages that nothing can ever enter, of which the event does not tell: it enters
/// others, or is refused for another reason before.
fn tell_dead_ends(session: &Session, planned: &Planned) {
    if session.global.json {
        return;
    }
    let judged = planned.entered.iter().flat_map(|entered| &entered.stages);
    let judged: Vec<&String> = judged.map(|(stage, _)| &stage.name.value).collect();
    for stage in planned.release.stages.values().filter(|stage| !judged.contains(&&stage.name.value)) {
        for problem in dead_ends_of(&planned.release, stage).as_slice() {
            session.say(&render_warning(problem, &session.sources, session.status_look()));
        }
    }
}

/// What is planned where nothing is named, with a line that says so: what `hoist
/// release` would do, or, where a file declares no image, what `hoist run` would.
fn usual(release: &Release) -> (Goals, &'static str) {
    match (release.images.is_empty(), release.default.is_empty()) {
        (false, _) => (Goals::Release, OF_RELEASE),
        (true, false) => (Goals::Default, "plan of `hoist run`, for the file declares no image:\n"),
        (true, true) => {
            (Goals::All, "plan of all targets, for the file declares neither an image nor a `default`:\n")
        }
    }
}

/// What `--dry-run` shows.
pub(crate) fn show_forecast(
    session: &Session,
    planned: &Planned,
    running: &Running,
) -> Result<ExitCode, Problems> {
    let options = crate::run::Options {
        force: running.force,
        no_cache: running.no_cache,
        allow_regress: running.allow_regress,
        ..crate::run::Options::default()
    };
    show(session, planned, &options, None)
}

/// Shows what a run would do with each step; and what it would be `refused` for, with what
/// its stages refuse. Ends as the run would that is refused.
fn show(
    session: &Session,
    planned: &Planned,
    options: &crate::run::Options,
    refused: Option<Problem>,
) -> Result<ExitCode, Problems> {
    let mut refused = refused.map(Problems::from).unwrap_or_default();
    if let Some(entered) = &planned.entered {
        let of_stages = entered.refusals(session, planned, options.allow_regress);
        match entered.settled().filter(|_| !options.force) {
            Some(text) if !session.global.json => session.say(&text),
            _ => entered.tell(session, &of_stages),
        }
        refused.extend(of_stages);
    }
    let unreached = planned.unreached.as_slice().iter().filter(|_| publishes(&planned.plan));
    let unreached: Problems = unreached.cloned().collect();
    for problem in unreached.as_slice().iter().filter(|_| !session.global.json) {
        session.say(&format!("As long as that is so, it is refused: {}\n", problem.title));
    }
    let ended = ended_allowances(&planned.plan, &session.host);
    if !ended.is_empty() && !session.global.json {
        session.report(&ended);
    }
    refused.extend(ended);
    let forecasts = look_ahead(session, planned, options)?;
    if session.global.json {
        if !refused.is_empty() {
            session.output(&format!("{}\n", refused_json(&refused, &session.sources)))?;
        }
        if !unreached.is_empty() {
            session.output(&format!("{}\n", unreached_json(&unreached, &session.sources)))?;
        }
        for one in &forecasts {
            session.output(&format!("{}\n", forecast_json(&planned.plan, one)))?;
        }
    } else {
        let text = forecast_text(&planned.plan, &forecasts, session.output_look(), session.global.verbose);
        session.output(&text)?;
    }
    let refused = !refused.is_empty() || has_gap(&planned.plan);
    Ok(if refused { exit_code(Class::Refused) } else { ExitCode::SUCCESS })
}

/// What a run would do with each step.
pub(crate) fn look_ahead(
    session: &Session,
    planned: &Planned,
    options: &crate::run::Options,
) -> Result<Vec<Forecast>, Problems> {
    let cache = session.cache_for_run(&planned.release, &planned.project, !options.no_cache)?;
    let forecasts = forecast(&planned.plan, &cache, options)?;
    let Planned { project, release, facts, plan, .. } = planned;
    Ok(hidden(forecasts, &project.root, release, facts, plan))
}
