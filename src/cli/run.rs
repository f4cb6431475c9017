//! `hoist run` and `hoist release`: plans, and runs the plan.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::cache::Cache;
use crate::cli::approval::approve;
use crate::cli::arguments::{Release, Run, Running};
use crate::cli::plan::show_forecast;
use crate::cli::publishable;
use crate::cli::put_back::put_back;
use crate::cli::report::Files;
use crate::cli::resume::{settle, stopped};
use crate::cli::session::{Planned, Session, above, exit_code, runtime, unwritable};
use crate::cli::shortcut::{self, Prepared, prepare};
use crate::cli::stages::Entered;
use crate::cli::tags::event;
use crate::cli::visible::{Staying, visible};
use crate::cli::watch::watch;
use crate::cli::words::Words;
use crate::diagnostic::{Class, Code, Problem, Problems};
use crate::facts::{EventSource, Facts};
use crate::plan::{Action, Goals, Plan, Step};
use crate::report::{View, status};
use crate::run::{Confirm, Event, Request, Settled, amend};

pub(crate) fn run(session: &mut Session, options: &Run) -> Result<ExitCode, Problems> {
    if options.watch {
        return watch(session, options);
    }
    let (goals, values) = asked(session, &options.words)?;
    if options.learn && !matches!(goals, Goals::Named(_)) {
        let problem = Problem::new(Code::CommandLine, "`--learn` needs the name of a target");
        return Err(problem.help("name it: `hoist run --learn TARGET`").into());
    }
    let prepared = ready(session, &options.running, options.learn, &goals, &values)?;
    carry_out(session, &options.running, options.learn, &goals, prepared)
}

/// What the words of `hoist run` name, and the values of variables.
pub(crate) fn asked(
    session: &mut Session,
    words: &[String],
) -> Result<(Goals, IndexMap<String, String>), Problems> {
    let words = Words::read(words, &mut session.sources)?;
    let goals = if words.names.is_empty() { Goals::Default } else { Goals::Named(words.names) };
    Ok((goals, words.values))
}

pub(crate) fn release(session: &mut Session, options: &Release) -> Result<ExitCode, Problems> {
    let words = Words::values_only("release", &options.words, &mut session.sources)?;
    let running = &options.running;
    let prepared = ready(session, running, false, &Goals::Release, &words.values).map(|mut prepared| {
        let entered = prepared.planned.entered.iter_mut().filter(|_| options.lift_hold);
        for (_, candidate) in entered.flat_map(|entered| &mut entered.stages) {
            candidate.automatic = false;
        }
        prepared
    });
    let ended = prepared.and_then(|prepared| carry_out(session, running, false, &Goals::Release, prepared));
    match ended {
        // A base that cannot be asked for, a tool that does not say its version: no step
        // has begun, and what was to be released is refused.
        Err(problems) if problems.class() == Class::Failed => {
            session.refuse(&problems);
            Ok(exit_code(Class::Refused))
        }
        ended => ended,
    }
}

/// Plans what is asked for.
fn ready(
    session: &mut Session,
    running: &Running,
    learn: bool,
    goals: &Goals,
    values: &IndexMap<String, String>,
) -> Result<Prepared, Problems> {
    let prepared = prepare(session, &shortcut::Request { goals, values, running, learn })?;
    let commands = |step: &Step| step.goal && matches!(step.action, Action::Command(_));
    if learn && !prepared.planned.plan.steps.iter().any(commands) {
        let problem = Problem::new(Code::CommandLine, "`--learn` needs the name of a target with commands");
        return Err(problem.help("`hoist graph` shows the names of all steps").into());
    }
    publishable::check(session, &prepared.planned, running)?;
    Ok(prepared)
}

/// Runs what is planned, after all that is asked before.
pub(crate) fn carry_out(
    session: &mut Session,
    running: &Running,
    learn: bool,
    goals: &Goals,
    mut prepared: Prepared,
) -> Result<ExitCode, Problems> {
    if let Some(text) =
        prepared.planned.entered.as_ref().and_then(Entered::settled).filter(|_| !running.force)
    {
        session.say(&text);
        return Ok(ExitCode::SUCCESS);
    }
    if running.dry_run {
        return show_forecast(session, &prepared.planned, running);
    }
    let enters = |entered: &Entered| -> IndexMap<String, String> {
        let stages = entered.stages.iter().map(|(stage, _)| &stage.name.value);
        stages.filter_map(|stage| Some((stage.clone(), entered.words(stage)?))).collect()
    };
    let enters = prepared.planned.entered.as_ref().map(enters).unwrap_or_default();
    let entrance = match prepared.planned.entered.take() {
        // What cannot run is refused by the run itself.
        Some(entered) if !has_gap(&prepared.planned.plan) => {
            Some(entered.entrance(session, &prepared.planned, running.allow_regress)?)
        }
        _ => None,
    };
    let half = if publishes(&prepared.planned.plan) {
        stopped(session, &prepared.planned.project.root)?
    } else {
        Vec::new()
    };
    if let Some(entrance) = &entrance {
        for journal in &half {
            entrance.take_over(&journal.intent().run);
        }
    }
    let confirm = asker(session, running.yes);
    let options = options(session, running);
    agree(session, (&prepared.planned, &enters), (running.yes, &options), &confirm)?;
    let entrance = entrance.map(|entrance| approve(session, &prepared.planned, (entrance, &enters)));
    let entrance = entrance.transpose()?;
    let Planned { release, project, .. } = &prepared.planned;
    let cache = session.cache_for_run(release, project, !running.no_cache)?;
    let cache = cache.knowing(std::mem::take(&mut prepared.planned.known));
    let owners = owners(&prepared.planned.plan);
    let remembering = prepared.remembering(session).filter(|_| !cache.is_temporary());
    let mut files = Files::of(session, &prepared.planned.project.root, running);
    let mut view = view(session, &prepared.planned.project.root, owners);
    let Prepared { planned, settled, .. } = prepared;
    let mut request = request(session, planned, settled, cache, goals, running, confirm);
    request.entrance = entrance.map(Arc::new);
    // What is only brought back from the cache reads nothing.
    request.options.force |= learn;
    request.options.learn = learn;
    let mut see = |event: &Event| {
        files.see(event);
        view.see(event);
    };
    let summary = if request.plan.steps.is_empty() {
        crate::run::rest(&request, &mut see)
    } else {
        let runtime = runtime()?;
        let summary = runtime.block_on(crate::run::execute(request.clone(), &mut see));
        // A thread may still wait for an answer that nobody will give.
        runtime.shutdown_background();
        summary
    };
    if let Some(remembering) = remembering {
        remembering.keep(&request, &summary);
    }
    let lost = view.close(&summary.problems, &session.sources);
    // A file that cannot be written leaves no stage as it is.
    let written = files.write();
    let (ended, settled) = put_back(session, running, &request, &summary);
    if let (0, Some(lost)) = (summary.exit_code(), lost) {
        return Err(unwritable(&lost).into());
    }
    // The record and the files tell how it ended at last.
    if !settled.is_empty()
        && let Ok(event) = amend(&request.root, &summary.run, &settled, &session.sources)
    {
        files.see(&event);
        drop(files.write());
    }
    let written = written.and(files.summarise());
    if let Err(problems) = written {
        let code = session.report(&problems);
        return Ok(if summary.exit_code() == 0 { code } else { ended });
    }
    if summary.exit_code() == 0 {
        settle(session, &request.root, &request.plan, &half)?;
        if let (Some(text), false) = (invisible(&request.plan, &request.facts), session.global.json) {
            session.say(&text);
        }
    }
    Ok(ended)
}

/// What is to be said of a plan that pushes images, gives none of them a name, and lets no
/// stage run them.
pub(crate) fn invisible(plan: &Plan, facts: &Facts) -> Option<String> {
    let shows = |step: &Step| match &step.action {
        Action::Tag(tag) => tag.tags.iter().any(|tag| !tag.local),
        Action::Enter(_) => true,
        _ => false,
    };
    let pushes = plan.steps.iter().any(|step| matches!(step.action, Action::Push(_)));
    (pushes && !plan.steps.iter().any(shows)).then(|| {
        let event = event(&facts.event);
        format!(
            "Nothing becomes visible: no rule of `tags` yields a tag for {event}; images have their \
             digests alone.\n`hoist tags` shows the rules, and why; `--event` names another event.\n"
        )
    })
}

/// Whether a plan makes something visible.
fn publishes(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| matches!(step.action, Action::Tag(_) | Action::Enter(_)))
}

/// Whether something of a plan cannot be carried out.
pub(crate) fn has_gap(plan: &Plan) -> bool {
    !plan.gaps.is_empty() || plan.steps.iter().any(|step| step.action.gap().is_some())
}

/// What is asked of `run`.
pub(crate) fn request(
    session: &Session,
    planned: Planned,
    settled: Settled,
    cache: Cache,
    goals: &Goals,
    running: &Running,
    confirm: Confirm,
) -> Request {
    let Planned { project, release, facts, plan, .. } = planned;
    let names = match goals {
        Goals::Named(names) => names.iter().map(|name| name.value.clone()).collect(),
        Goals::Release => vec!["release".to_owned()],
        Goals::Stage(name) => vec![name.clone()],
        Goals::Default | Goals::All => Vec::new(),
    };
    Request {
        plan: Arc::new(plan),
        release: Arc::new(release),
        facts: Arc::new(facts),
        settled: Arc::new(settled),
        sources: Arc::new(session.sources.clone()),
        host: Arc::new(session.host.clone()),
        root: project.root,
        cache,
        goals: names,
        entrance: None,
        options: options(session, running),
        confirm,
    }
}

/// How it is run.
fn options(session: &Session, running: &Running) -> crate::run::Options {
    crate::run::Options {
        jobs: running.jobs.map(usize::from),
        keep_going: running.keep_going,
        force: running.force,
        no_cache: running.no_cache,
        sandbox: running.sandbox,
        learn: false,
        one_output: one_output(session),
        allow_regress: running.allow_regress,
        part_of: running.part_of.clone(),
    }
}

/// Whether what steps write ends in one place: where hoist itself does, and in the
/// logs of CI systems, which are all on standard output.
fn one_output(session: &Session) -> bool {
    session.host.one_output || (!session.global.quiet && session.dialect().is_some())
}

/// Steps that own the terminal while they run.
pub(crate) fn owners(plan: &Plan) -> Vec<String> {
    plan.steps.iter().filter(|step| step.action.owns_terminal()).map(|step| step.id.to_string()).collect()
}

pub(crate) fn view(session: &Session, root: &Path, owners: Vec<String>) -> View {
    let (look, verbose) = (session.status_look(), session.global.verbose);
    let dumb = session.host.environment.text("TERM").is_none_or(|term| term == "dumb");
    if session.global.json {
        View::json()
    } else if session.global.quiet {
        View::plain(look, verbose, true, session.host.one_output)
    } else if let Some(dialect) = session.dialect() {
        View::folded(dialect, session.output_look(), verbose, above(root))
    } else if session.host.error_is_terminal && session.host.output_is_terminal && !dumb && !ci(session) {
        View::live(look, verbose, owners)
    } else {
        View::plain(look, verbose, false, session.host.one_output)
    }
}

/// Whether this is a CI system, where nobody watches or answers.
pub(crate) fn ci(session: &Session) -> bool {
    session.host.environment.text("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Whether somebody can be asked, on the terminal.
pub(crate) fn can_ask(session: &Session) -> bool {
    session.host.input_is_terminal && !session.global.json && !ci(session)
}

/// Ends why nobody could be asked.
const YES: &str = "; `--yes` answers";

/// Asks on the terminal, or says why it cannot.
pub(crate) fn asker(session: &Session, yes: bool) -> Confirm {
    let possible = can_ask(session);
    let why =
        if ci(session) { "`CI` is set, so nobody is asked" } else { "standard input is not a terminal" };
    Arc::new(move |question| {
        if yes {
            return Ok(true);
        }
        if !possible || !std::io::stdin().is_terminal() {
            return Err(format!("{why}{YES}"));
        }
        status(&format!("{question} [y/N] "));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    })
}

/// Outside of CI, shows what would become visible in registries on the network,
/// and asks. A layout directory is the user's own.
fn agree(
    session: &Session,
    (planned, enters): (&Planned, &IndexMap<String, String>),
    (yes, options): (bool, &crate::run::Options),
    confirm: &Confirm,
) -> Result<(), Problems> {
    let is_seen = !visible(&planned.plan, enters, &Staying::default()).is_empty();
    let automatic = yes || ci(session) || matches!(planned.facts.event_source, EventSource::Ci(_));
    // What cannot run is refused without a question.
    let refused = has_gap(&planned.plan);
    if !is_seen || automatic || refused {
        return Ok(());
    }
    let lines = visible(&planned.plan, enters, &Staying::find(session, planned, options)?);
    if session.global.json {
        // Nobody can be asked: what the question was about is part of the refusal.
        let tell = |problem: Problem| {
            lines.iter().fold(problem, |problem, line| problem.note(format!("would publish {}", line.trim())))
        };
        return Ok(consent(confirm, "Publish?", "published").map_err(tell)?);
    }
    status(&format!("This would publish:\n{}", lines.concat()));
    Ok(consent(confirm, "Publish?", "published")?)
}

/// Asks; `done` is the word for what is not done without a yes.
///
/// # Errors
/// The answer is no, or nobody can be asked ([`Code::NotConfirmed`]).
pub(crate) fn consent(confirm: &Confirm, question: &str, done: &str) -> Result<(), Problem> {
    let unanswered = |why: &str| {
        Problem::new(Code::NotConfirmed, format!("nothing was {done}: {why}"))
            .help("answer in advance with `--yes`")
    };
    match confirm(question) {
        Ok(true) => Ok(()),
        Ok(false) => Err(unanswered("the answer was no")),
        Err(why) => {
            let why = why.strip_suffix(YES).unwrap_or(&why);
            Err(unanswered("nobody could be asked").note(why))
        }
    }
}
