//! Runs the commands of a target.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Environment, Facts, Host};
use crate::plan::{CommandStep, Exec, Variables};
use crate::run::mask::Secrets;
use crate::run::process::{self, Exit, GRACE, Halt, Start};
use crate::run::teller::{Teller, Told};

/// What the commands of all targets share.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    root: PathBuf,
    /// What the caller's own environment says.
    host: Environment,
    /// The same with the variables of `dotenv` files.
    all: Environment,
    secrets: Arc<Secrets>,
    grace: Duration,
}

/// Why a step did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unsuccessful {
    /// For these reasons.
    Failed(Problems),
    /// It was asked to stop.
    Halted,
}

impl Unsuccessful {
    /// For one reason.
    pub(super) fn failed(problem: Problem) -> Self {
        Self::Failed(problem.into())
    }
}

/// Why an attempt did not succeed.
enum Attempt {
    Failed(Box<Problem>),
    Halted,
}

impl Commands {
    /// Commands that run below `root` and see what the caller's environment and
    /// the facts allow them to see.
    pub(super) fn new(root: PathBuf, host: &Host, facts: &Facts, secrets: Arc<Secrets>) -> Self {
        Self { root, host: host.environment.clone(), all: facts.environment.clone(), secrets, grace: GRACE }
    }

    /// Runs a target's commands one after the other, and all of them again as
    /// often as the target says.
    ///
    /// # Errors
    /// The command that could not be started, failed, or took too long in the
    /// last attempt; or the step was asked to stop.
    pub(super) async fn run(
        &self,
        name: &str,
        step: &CommandStep,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<(), Unsuccessful> {
        let attempts = step.retries.saturating_add(1);
        let mut attempt = 1;
        loop {
            match self.attempt(name, step, halt, teller).await {
                Err(Attempt::Failed(problem)) if attempt < attempts && *halt.borrow() == Halt::No => {
                    attempt += 1;
                    let because = problem.labels.first().map(|label| label.text.clone());
                    teller.forget();
                    let because = because.unwrap_or(problem.title);
                    teller.tell(Told::Retried { attempt, attempts, because }).await;
                }
                Err(Attempt::Failed(problem)) if attempts > 1 => {
                    let note = format!("this was attempt {attempt} of {attempts}");
                    return Err(Unsuccessful::failed(problem.note(note)));
                }
                Err(Attempt::Failed(problem)) => return Err(Unsuccessful::failed(*problem)),
                Err(Attempt::Halted) => return Err(Unsuccessful::Halted),
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn attempt(
        &self,
        name: &str,
        step: &CommandStep,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<(), Attempt> {
        let dir = self.root.join(step.dir.as_path());
        let environment = self.environment(&step.variables);
        let deadline = step.timeout.and_then(|timeout| tokio::time::Instant::now().checked_add(timeout));
        for exec in &step.commands {
            if *halt.borrow() != Halt::No {
                return Err(Attempt::Halted);
            }
            let timeout = deadline.map(|at| at.saturating_duration_since(tokio::time::Instant::now()));
            let (argv, interactive, grace) = (exec.argv.as_slice(), step.interactive, self.grace);
            let start = Start { argv, dir: &dir, environment: &environment, interactive, timeout, grace };
            let exit = process::run(start, &self.secrets, halt, teller).await;
            let problem = match exit {
                Ok(Exit::Status(status)) if status.success() => continue,
                Ok(Exit::Halted) => return Err(Attempt::Halted),
                Ok(Exit::Status(status)) => failed(name, exec, status),
                Ok(Exit::TimedOut) => timed_out(name, exec, step.timeout.unwrap_or_default()),
                Err(error) => cannot_start(name, exec, &dir, &error),
            };
            let problem = match teller.tail() {
                Some(tail) => problem.note(tail),
                None => problem,
            };
            return Err(Attempt::Failed(Box::new(problem)));
        }
        Ok(())
    }

    /// All that a command sees of the environment, by name.
    fn environment(&self, variables: &Variables) -> Vec<(OsString, OsString)> {
        let mut environment = BTreeMap::new();
        if variables.inherit {
            environment.extend(self.all.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        } else {
            let strict = Variables::STRICT.iter().filter_map(|name| Some((name, self.host.get(name)?)));
            environment.extend(strict.map(|(name, value)| (OsString::from(name), value.to_owned())));
        }
        let passed = variables.pass.iter().filter_map(|name| Some((name, self.all.get(name)?)));
        environment.extend(passed.map(|(name, value)| (OsString::from(name), value.to_owned())));
        environment.extend(variables.set.iter().map(|(name, value)| (name.into(), value.into())));
        environment.into_iter().collect()
    }
}

fn failed(name: &str, exec: &Exec, status: ExitStatus) -> Problem {
    let problem = Problem::new(Code::CommandFailed, format!("`{name}` failed"));
    match (status.code(), status.signal()) {
        (Some(code), _) => {
            let help = match code {
                126 => Some(
                    "a shell says 126 for a file that may not be executed: `chmod +x` makes it executable",
                ),
                127 => Some(
                    "a shell says 127 for a program that it does not find: install it, or add it to PATH",
                ),
                _ => None,
            };
            problem.label(exec.span, format!("exit status {code}")).maybe_help(help.map(str::to_owned))
        }
        (None, Some(signal)) => problem.label(exec.span, format!("ended by {}", signal_name(signal))),
        (None, None) => problem.label(exec.span, "ended for an unknown reason"),
    }
}

fn timed_out(name: &str, exec: &Exec, timeout: Duration) -> Problem {
    Problem::new(Code::TimedOut, format!("`{name}` did not end in time"))
        .label(exec.span, format!("still ran after {timeout:?}, and was stopped"))
        .help("raise `timeout`, or find out what it waits for")
}

fn cannot_start(name: &str, exec: &Exec, dir: &Path, error: &io::Error) -> Problem {
    let problem = Problem::new(Code::CannotStart, format!("`{name}` cannot be started"));
    let program = exec.argv.first().map(String::as_str).unwrap_or_default();
    match error.kind() {
        io::ErrorKind::NotFound if !dir.is_dir() => problem
            .label(exec.span, format!("its directory `{}` does not exist", dir.display()))
            .help("create the directory, or correct `dir`"),
        io::ErrorKind::NotFound if program.contains('/') => problem
            .label(exec.span, format!("there is no `{program}`, or what its first line names is missing"))
            .help("the path is relative to the target's `dir`"),
        io::ErrorKind::NotFound => problem
            .label(exec.span, format!("there is no program `{program}` in PATH"))
            .help(format!("install `{program}`, or add its directory to PATH")),
        io::ErrorKind::PermissionDenied => problem
            .label(exec.span, format!("`{program}` may not be executed"))
            .help(format!("`chmod +x {program}` makes it executable")),
        _ => problem.label(exec.span, error.to_string()),
    }
}

/// The name of a signal, or its number.
fn signal_name(number: i32) -> String {
    let names = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (15, "SIGTERM"),
    ];
    let name = names.iter().find(|(known, _)| *known == number);
    name.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned())
}
