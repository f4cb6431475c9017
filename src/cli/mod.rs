//! The command line: arguments to the stations, outcomes to exit codes.
//!
//! The composition root: one file a command, each a straight line through the
//! stations. Owns the arguments, the exit codes, and every question that is
//! asked of the user. Nothing imports it but `main`.
//!
//! Exit codes: 0 done, 1 a step failed, 2 the file or the command line is
//! wrong, 3 refused before anything was done, 4 failed and put back, 5 failed with
//! something published, 130 interrupted.

mod approval;
mod arguments;
mod bases;
mod check;
mod clean;
mod completions;
mod copy;
mod cut;
mod deployed;
mod doctor;
mod fmt;
mod graph;
mod history;
mod immutable;
mod init;
mod inspect;
mod list;
mod log;
mod login;
mod place;
mod plan;
mod promote;
mod prune;
mod publishable;
mod put_back;
mod records;
mod remove;
mod report;
mod resume;
mod rollback;
mod run;
mod session;
mod shortcut;
mod source;
mod stage_arguments;
mod stages;
mod status;
mod tags;
mod verify;
mod visible;
mod watch;
mod why;
mod words;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::arguments::{Arguments, Command};
use crate::cli::session::{Session, exit_code};
use crate::diagnostic::{Code, Problem, Problems, Sources, nearest};
use crate::report::{Look, output, problems_json, render};

/// The `hoist` program: reads the command line, does what it says, and returns
/// the exit code.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = crate::engine::runtime_main() {
        return code;
    }
    if let Some(code) = completions::answer() {
        return code;
    }
    let words: Vec<_> = std::env::args_os().collect();
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    match Arguments::read(words) {
        Ok(arguments) => start(arguments),
        Err(error) => usage(&error, json),
    }
}

/// Help and version go to standard output and are a success; a command line
/// that is wrong goes to standard error, or as JSON where that is asked for.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if let Some(problem) = not_a_word(error) {
        return without_session(&problem, json);
    }
    let text = error.render().to_string();
    if error.use_stderr() {
        return without_session(&unknown(error).unwrap_or_else(|| of_clap(&text)), json);
    }
    if output(&text).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A value that is not one of the words which its argument takes.
fn not_a_word(error: &clap::Error) -> Option<Problem> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    };
    let Some(ContextValue::Strings(words)) = error.get(ContextKind::ValidValue) else { return None };
    let (argument, value) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?);
    // A value that is missing is told in clap's words, unless the words are known.
    if words.is_empty() {
        return None;
    }
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let words = words.join(", ");
    let help = format!("write one of {words}");
    let meant = text(ContextKind::SuggestedValue)
        .map(|meant| format!("did you mean `{meant}`? It is one of {words}"));
    let title = match value.as_str() {
        "" => format!("`{argument}` needs a value"),
        value => format!("`{value}` is not a value of `{argument}`"),
    };
    Some(Problem::new(Code::CommandLine, title).help(help).maybe_help(meant))
}

/// A flag that a command does not have, or a word too many.
fn unknown(error: &clap::Error) -> Option<Problem> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let word = text(ContextKind::InvalidArg)?;
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let call: Vec<&str> = usage
        .trim_start_matches("Usage:")
        .split_whitespace()
        .take_while(|word| !word.starts_with(['[', '<', '-']))
        .collect();
    let call = call.join(" ");
    let title = if word.starts_with('-') {
        format!("`{call}` has no flag `{word}`")
    } else {
        format!("`{call}` takes no `{word}`")
    };
    let meant = text(ContextKind::SuggestedArg).map(|meant| format!("did you mean `{meant}`?"));
    let help = format!("`{call} --help` lists what it takes");
    Some(Problem::new(Code::CommandLine, title).help(help).maybe_help(meant))
}

/// A complaint of clap: `error:` what is wrong, `tip:` what to type, and the usage.
fn of_clap(text: &str) -> Problem {
    let mut parts = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty());
    let title = parts.next().unwrap_or_default();
    let title: Vec<&str> = title.strip_prefix("error: ").unwrap_or(title).lines().map(str::trim).collect();
    let title = title.join(" ").replace('\'', "`");
    let mut problem = Problem::new(Code::CommandLine, title).help("`--help` behind the command tells more");
    for part in parts {
        problem = match (part.strip_prefix("tip: "), part.strip_prefix("Usage: ")) {
            (Some(tip), _) => problem.help(tip),
            (_, Some(usage)) => {
                let lines = usage.lines().map(|line| format!("usage: {}", line.trim()));
                lines.fold(problem, Problem::note)
            }
            // That there is a help.
            (None, None) => problem,
        };
    }
    problem
}

/// Shows a problem that came before anything was known of the machine.
fn without_session(problem: &Problem, json: bool) -> ExitCode {
    let problems = Problems::from(problem.clone());
    if json {
        // Nobody is left to tell that standard output went away.
        drop(output(&format!("{}\n", problems_json(&problems, &Sources::new()))));
    } else {
        // Nothing was asked for that says how it is to be shown.
        let global = Arguments::read(["hoist".into()]).map(|arguments| arguments.global).ok();
        let look = global.and_then(|global| Session::open(global).ok()).map(|session| session.status_look());
        crate::report::status(&render(&problems, &Sources::new(), look.unwrap_or(Look::PLAIN)));
    }
    exit_code(problems.class())
}

fn start(arguments: Arguments) -> ExitCode {
    let Arguments { global, command, named } = arguments;
    let json = global.json;
    match Session::open(global) {
        Ok(mut session) => {
            let outcome =
                session.enter().map_err(Problems::from).and_then(|()| execute(&mut session, command));
            let outcome = outcome.map_err(|problems| if named { or_command(problems) } else { problems });
            outcome.unwrap_or_else(|problems| session.refuse(&problems))
        }
        Err(problem) => without_session(&problem, json),
    }
}

/// Where the first name is unknown and a command is called at least as much like it
/// as anything in the file, says so.
fn or_command(problems: Problems) -> Problems {
    let mut all: Vec<Problem> = problems.into_iter().collect();
    let commands = Arguments::commands();
    if let Some(problem) = all.first_mut().filter(|problem| problem.code == Code::UnknownTarget)
        && problem.labels.first().is_some_and(|label| label.span.start == 0)
        && let Some(name) = problem.title.split('`').nth(1)
        && let Some(command) = nearest(name, commands.iter().map(String::as_str))
    {
        let help = problem.help.as_deref().unwrap_or_default();
        // That it is a stage, or private, says more.
        let known = !problem.title.starts_with("no target");
        match help.strip_prefix("did you mean `").and_then(|help| help.strip_suffix("`?")) {
            // A goal has the name of its command.
            Some(meant) if meant == command => {
                problem.help = Some(format!("did you mean the command `hoist {command}`?"));
            }
            None if known => {}
            None => problem.help = Some(format!("did you mean the command `hoist {command}`?")),
            Some(meant) if nearest(name, [command, meant]) == Some(command) => {
                problem.help = Some(format!("did you mean `{meant}`, or the command `hoist {command}`?"));
            }
            Some(_) => {}
        }
    }
    let mut problems = Problems::new();
    problems.extend(all);
    problems
}

fn execute(session: &mut Session, command: Option<Command>) -> Result<ExitCode, Problems> {
    match command {
        // `Arguments::read` has turned names into a run.
        None | Some(Command::Name(_)) => list::list(session),
        Some(Command::Run(options)) => run::run(session, &options),
        Some(Command::Release(options)) => run::release(session, &options),
        Some(Command::Promote(options)) => promote::promote(session, &options),
        Some(Command::Rollback(options)) => rollback::rollback(session, &options),
        Some(Command::Resume(options)) => resume::resume(session, &options),
        Some(Command::Status(options)) => status::status(session, &options),
        Some(Command::History(options)) => history::history(session, &options),
        Some(Command::Cut(options)) => cut::cut(session, &options),
        Some(Command::Plan(options)) => plan::plan(session, &options),
        Some(Command::Why(options)) => why::why(session, &options),
        Some(Command::Graph(options)) => graph::graph(session, &options),
        Some(Command::Tags(options)) => tags::tags(session, &options),
        Some(Command::Check) => check::check(session),
        Some(Command::Fmt(options)) => fmt::fmt(session, &options),
        Some(Command::Init(options)) => init::init(session, &options),
        Some(Command::Copy(options)) => copy::copy(session, &options),
        Some(Command::Remove(options)) => remove::remove(session, &options),
        Some(Command::Prune(options)) => prune::prune(session, &options),
        Some(Command::Login(options)) => login::login(session, &options),
        Some(Command::Logout(options)) => login::logout(session, &options),
        Some(Command::Doctor) => doctor::doctor(session),
        Some(Command::Inspect(options)) => inspect::inspect(session, &options),
        Some(Command::Verify(options)) => verify::verify(session, &options),
        Some(Command::Log(options)) => log::log(session, &options),
        Some(Command::Report(options)) => report::report(session, &options),
        Some(Command::Clean(options)) => clean::clean(session, &options),
        Some(Command::Completions(options)) => completions::completions(&options),
    }
}
