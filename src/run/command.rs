//! Runs the commands of a target.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::watch;

use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Environment, Facts, Host};
use crate::plan::{CommandStep, Exec, Variables};
use crate::run::jobserver::{self, Jobserver};
use crate::run::mask::Secrets;
use crate::run::plain::plain_command;
use crate::run::process::{self, Exit, GRACE, Halt, Start};
use crate::run::program::Programs;
use crate::run::room::Room;
use crate::run::sandbox::{Cage, Entry, Left, no_sandbox};
use crate::run::teller::{Teller, Told};
use crate::run::tree::{self, adopt_orphans};

/// What the commands of all targets share.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    root: PathBuf,
    /// What the caller's own environment says.
    host: Environment,
    /// The same with the variables of `dotenv` files.
    all: Environment,
    secrets: Arc<Secrets>,
    jobserver: Arc<Jobserver>,
    programs: Arc<Programs>,
    /// What no other run has: tells its steps from those of others.
    run: String,
    /// Whether what they write goes to one place.
    one_output: bool,
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

impl Attempt {
    fn failed(problem: Problem) -> Self {
        Self::Failed(Box::new(problem))
    }
}

impl Commands {
    /// Commands that run below `root` and see what the caller's environment and
    /// the facts allow them to see.
    pub(super) fn new(
        root: PathBuf,
        host: &Host,
        facts: &Facts,
        secrets: Arc<Secrets>,
        jobserver: Arc<Jobserver>,
        one_output: bool,
    ) -> Self {
        adopt_orphans();
        Self {
            root,
            host: host.environment.clone(),
            all: facts.environment.clone(),
            secrets,
            jobserver,
            programs: Arc::default(),
            run: tree::new_mark(),
            one_output,
            grace: GRACE,
        }
    }

    /// Runs a target's commands one after the other, and all of them again as
    /// often as the target says, with room made for them again.
    ///
    /// # Errors
    /// The command that could not be started, failed, or took too long in the
    /// last attempt; or the step was asked to stop.
    pub(super) async fn run(
        &self,
        name: &str,
        step: &CommandStep,
        (cage, room): (Option<&Cage>, &mut Room<'_>),
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<(), Unsuccessful> {
        let token = tokio::select! {
            token = self.jobserver.token() => token,
            _ = halt.wait_for(|halt| *halt != Halt::No) => return Err(Unsuccessful::Halted),
        };
        let mark = format!("{}/{name}", self.run);
        let dir = self.root.join(step.dir.as_path());
        let environment = self.environment(&mark, &step.variables, token.flags(), cage, &dir);
        let attempts = step.retries.saturating_add(1);
        let mut attempt = 1;
        loop {
            let with = (cage, room.claim());
            match self.attempt((name, &mark), step, &environment, with, halt, teller).await {
                Err(Attempt::Failed(problem)) if attempt < attempts && *halt.borrow() == Halt::No => {
                    attempt += 1;
                    let because = problem.labels.first().map(|label| label.text.clone());
                    teller.begin_attempt();
                    cage.inspect(|cage| cage.forget());
                    let because = because.unwrap_or(problem.title);
                    teller.tell(Told::Retried { attempt, attempts, because }).await;
                    room.make(teller).await.map_err(Unsuccessful::Failed)?;
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
        (name, mark): (&str, &str),
        step: &CommandStep,
        environment: &[(OsString, OsString)],
        (cage, claim): (Option<&Cage>, Option<BorrowedFd<'_>>),
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<(), Attempt> {
        let dir = self.root.join(step.dir.as_path());
        let deadline = step.timeout.and_then(|timeout| tokio::time::Instant::now().checked_add(timeout));
        for exec in &step.commands {
            if *halt.borrow() != Halt::No {
                return Err(Attempt::Halted);
            }
            let timeout = deadline.map(|at| at.saturating_duration_since(tokio::time::Instant::now()));
            let path = environment.iter().rfind(|(variable, _)| variable == "PATH");
            let path = path.map(|(_, value)| value.as_os_str());
            let entry = cage.map(|cage| cage.enter(&exec.argv)).transpose();
            let entry =
                entry.map_err(|error| Attempt::failed(no_sandbox(name, exec.span, &error.to_string())))?;
            let argv = entry.as_ref().map_or(exec.argv.as_slice(), Entry::argv);
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            let find = |word: &str| self.programs.find(word, path, &dir, &self.root);
            let plain = if cage.is_none() { plain_command(&exec.argv, environment) } else { None };
            let plain = plain.and_then(|words| Some((find(words.first()?)?, words)));
            // Of a shell that is not expected to be needed, the system finds the place.
            let program = argv.first().filter(|_| plain.is_none()).and_then(|word| find(word));
            let start = Start {
                step: mark,
                argv: &argv,
                program: program.as_deref(),
                dir: &dir,
                environment,
                interactive: step.interactive,
                one_output: self.one_output,
                timeout,
                grace: self.grace,
                claim,
            };
            let exit = match &plain {
                Some((program, argv)) => {
                    let start = Start { argv, program: Some(program), ..start };
                    process::run(start, &self.secrets, halt, teller).await
                }
                None => Err(Errno::NOEXEC.into()),
            };
            let exit = match exit {
                // A shell takes a text that says no other program for a script.
                Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
                    process::run(start, &self.secrets, halt, teller).await
                }
                exit => exit,
            };
            let exit = match entry.map(Entry::left) {
                Some(Left::Refused(why)) if matches!(exit, Ok(Exit::Status(_))) => {
                    return Err(Attempt::failed(no_sandbox(name, exec.span, &why)));
                }
                Some(Left::NotStarted(error)) => Err(error),
                _ => exit,
            };
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
            return Err(Attempt::failed(problem));
        }
        Ok(())
    }

    /// Runs one command of a step to its end, whatever that says.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) async fn once(
        &self,
        name: &str,
        step: &CommandStep,
        exec: &Exec,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> io::Result<Exit> {
        let (mark, dir) = (format!("{}/{name}", self.run), self.root.join(step.dir.as_path()));
        let environment = self.environment(&mark, &step.variables, None, None, &dir);
        let path = environment.iter().rfind(|(variable, _)| variable == "PATH");
        let path = path.map(|(_, value)| value.as_os_str());
        let argv: Vec<&str> = exec.argv.iter().map(String::as_str).collect();
        let program = argv.first().and_then(|word| self.programs.find(word, path, &dir, &self.root));
        let start = Start {
            step: &mark,
            argv: &argv,
            program: program.as_deref(),
            dir: &dir,
            environment: &environment,
            interactive: false,
            one_output: self.one_output,
            timeout: step.timeout,
            grace: self.grace,
            claim: None,
        };
        process::run(start, &self.secrets, halt, teller).await
    }

    /// All that a command sees of the environment, by name. `mark` tells whose it
    /// is; `flags` tell of the jobserver; a step that sets them itself means it.
    fn environment(
        &self,
        mark: &str,
        variables: &Variables,
        flags: Option<&str>,
        cage: Option<&Cage>,
        dir: &Path,
    ) -> Vec<(OsString, OsString)> {
        let mut environment = BTreeMap::new();
        if variables.inherit {
            environment.extend(self.all.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        } else {
            let strict = Variables::STRICT.iter().filter_map(|name| Some((name, self.host.get(name)?)));
            environment.extend(strict.map(|(name, value)| (OsString::from(name), value.to_owned())));
        }
        // As shells do, also where there is none.
        environment.insert("PWD".into(), dir.components().as_path().into());
        if let Some(flags) = flags {
            environment.insert(jobserver::VARIABLE.into(), flags.into());
        }
        environment.extend(cage.map(|cage| (OsString::from("TMPDIR"), cage.temporary().into())));
        let passed = variables.pass.iter().filter_map(|name| Some((name, self.all.get(name)?)));
        environment.extend(passed.map(|(name, value)| (OsString::from(name), value.to_owned())));
        environment.extend(variables.set.iter().map(|(name, value)| (name.into(), value.into())));
        environment.insert(tree::VARIABLE.into(), mark.into());
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

#[cfg(test)]
mod tests {
    use crate::plan::Subject;
    use crate::run::fixture::Project;

    use super::*;

    #[test]
    fn a_cacheable_step_sees_only_what_it_declares() {
        let mut project = Project::new();
        let all =
            [("PATH", "/usr/bin:/bin"), ("HOME", "/home/me"), ("CI_TOKEN", "hunter2!"), ("EDITOR", "ed")];
        project.environment = all.into_iter().collect();
        let step = project.cached(
            "env",
            "env | sort | grep -v -e ^_ -e ^PWD -e ^SHLVL -e ^HOIST_STEP=",
            &[],
            "a",
            &[],
        );
        step.command().variables = Variables {
            inherit: false,
            set: [("PORT".to_owned(), "80".to_owned())].into_iter().collect(),
            pass: vec!["CI_TOKEN".to_owned(), "NOT_SET".to_owned()],
        };
        let lines = ["CI_TOKEN=***", "HOME=/home/me", "PATH=/usr/bin:/bin", "PORT=80"]
            .map(|line| format!("env > {line}"));
        assert_eq!(project.run().lines()[1..5], lines);
    }

    #[test]
    fn a_step_that_always_runs_sees_all() {
        let mut project = Project::new();
        let all = [("PATH", "/usr/bin:/bin"), ("EDITOR", "ed")];
        project.environment = all.into_iter().collect();
        project.target("env", "echo $EDITOR", &[]).command().variables.inherit = true;
        assert_eq!(project.run().lines()[1], "env > ed");
    }

    #[test]
    fn a_secret_is_masked_across_writes_in_the_log_and_in_the_problem() {
        let mut project = Project::new();
        project.environment =
            [("PATH", "/usr/bin:/bin"), ("TOKEN", "correct horse battery")].into_iter().collect();
        let script =
            "printf 'it is correct hor'; printf 'se battery\\n'; printf %s \"$TOKEN\" | base64; exit 1";
        project.cached("leak", script, &[], "a", &[]).command().variables.pass = vec!["TOKEN".to_owned()];
        let told = project.run();
        assert_eq!(told.lines()[1..3], ["leak > it is ***", "leak > ***"]);
        assert_eq!(told.summary.problems.as_slice()[0].notes, ["it is ***\n***"]);
        let log = told.summary.record.unwrap().join("logs/0.log");
        let kept = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
        assert!(kept.contains("it is ***\n") && !kept.contains("horse"), "{kept}");
    }

    #[test]
    fn a_secret_is_masked_in_what_is_said_of_a_step() {
        let mut project = Project::new();
        project.environment =
            [("PATH", "/usr/bin:/bin"), ("TOKEN", "correct horse battery")].into_iter().collect();
        let step = project.cached("call", "", &[], "a", &[]);
        step.definition.text(Subject::Variable("T".to_owned()), "one");
        let command = step.command();
        command.variables.pass = vec!["TOKEN".to_owned()];
        command.commands[0].argv = vec!["correct horse battery".to_owned()];
        let told = project.run();
        let problem = &told.summary.problems.as_slice()[0];
        assert_eq!(problem.labels[0].text, "there is no program `***` in PATH");
        assert_eq!(problem.help.as_deref(), Some("install `***`, or add its directory to PATH"));
        let definition = &mut project.plan.steps[0].definition;
        definition.parts.retain(|part| part.subject != Subject::Variable("T".to_owned()));
        definition.text(Subject::Variable("T".to_owned()), "correct horse battery");
        let told = project.run();
        let reasons: Vec<_> = told
            .events
            .iter()
            .filter_map(|event| match &event.what {
                crate::run::Happening::StepStarted { reasons, .. } => Some(reasons[0].text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(reasons, ["variable T: one → ***"]);
    }

    #[test]
    fn a_missing_program_is_named() {
        let mut project = Project::new();
        project.target("lint", "", &[]).command().commands[0].argv = vec!["no-such-linter".to_owned()];
        let told = project.run();
        let problem = &told.summary.problems.as_slice()[0];
        assert_eq!(problem.code, Code::CannotStart);
        assert_eq!(problem.labels[0].text, "there is no program `no-such-linter` in PATH");
        assert_eq!(problem.help.as_deref(), Some("install `no-such-linter`, or add its directory to PATH"));
    }

    #[test]
    fn a_plain_command_is_what_a_shell_would_make_of_it() {
        let mut project = Project::new();
        std::fs::create_dir(project.root().join("bin")).unwrap();
        project.write("bin/tool", "echo \"$1 in $PWD\"\n");
        let tool = project.root().join("bin/tool");
        std::fs::set_permissions(tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", project.root().join("bin").display());
        project.environment = [("PATH", path.as_str()), ("PWD", "/elsewhere")].into_iter().collect();
        project.target("script", "tool said", &[]);
        project.target("program", "env", &[0]);
        project.target("none", "no-such-tool at all", &[1]);
        let told = project.run();
        let root = project.root();
        assert_eq!(told.lines()[1], format!("script > said in {}", root.display()));
        assert!(told.lines().contains(&format!("program > PWD={}", root.display())));
        let problem = &told.summary.problems.as_slice()[0];
        assert_eq!(problem.labels[0].text, "exit status 127");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let mut project = Project::new();
        project.target("lint", "true", &[]).command().dir =
            crate::config::ProjectPath::root().join("api").unwrap();
        let label = project.run().summary.problems.as_slice()[0].labels[0].text.clone();
        assert_eq!(label, format!("its directory `{}` does not exist", project.root().join("api").display()));
    }

    #[test]
    fn commands_run_in_their_directory_one_after_the_other_until_one_fails() {
        let mut project = Project::new();
        std::fs::create_dir(project.root().join("api")).unwrap();
        let command = project.target("x", "basename \"$PWD\"", &[]).command();
        command.dir = crate::config::ProjectPath::root().join("api").unwrap();
        let script = |script: &str| Exec {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            ..command.commands[0].clone()
        };
        let more = [script("kill -9 $$"), script("echo never")];
        command.commands.extend(more);
        assert_eq!(project.run().lines()[1..3], ["x > api", "x: `x` failed, ended by SIGKILL"]);
    }

    #[test]
    fn a_failing_step_is_tried_again() {
        let mut project = Project::new();
        let script = "echo try; test -e once || { touch once; exit 7; }";
        project.target("flaky", script, &[]).command().retries = 2;
        let lines =
            ["flaky > try", "flaky again, 2 of 3: exit status 7", "flaky > try", "flaky: ran", "done 0"];
        assert_eq!(project.run().lines()[1..], lines);
    }

    #[test]
    fn after_the_last_attempt_the_step_has_failed() {
        let mut project = Project::new();
        project.target("flaky", "exit 7", &[]).command().retries = 1;
        let told = project.run();
        assert_eq!(told.summary.problems.as_slice()[0].notes, ["this was attempt 2 of 2"]);
    }

    #[test]
    fn what_takes_too_long_is_stopped_with_all_that_it_started() {
        let mut project = Project::new();
        let script = "sh -c 'echo $$ > child; exec sleep 600' & wait";
        project.target("slow", script, &[]).command().timeout = Some(Duration::from_millis(300));
        let told = project.run();
        assert_eq!(told.summary.problems.as_slice()[0].code, Code::TimedOut);
        assert_eq!(
            told.lines()[1],
            "slow: `slow` did not end in time, still ran after 300ms, and was stopped"
        );
        assert!(is_gone(&project.read("child").unwrap_or_default()));
    }

    #[test]
    fn what_a_failed_step_left_behind_is_killed() {
        let mut project = Project::new();
        project.target("x", "sleep 600 & echo $! > child; exit 1", &[]);
        project.run();
        assert!(is_gone(&project.read("child").unwrap()));
    }

    #[test]
    fn what_a_step_started_as_a_service_goes_on() {
        let mut project = Project::new();
        project.target("serve", "sleep 600 > /dev/null 2>&1 & echo $! > child", &[]);
        project.target("stop", "kill $(cat child)", &[0]);
        assert_eq!(project.run().ends(), ["serve: ran", "stop: ran"]);
    }

    #[test]
    fn standard_input_is_empty() {
        let mut project = Project::new();
        project.target("x", "cat; echo end", &[]);
        assert_eq!(project.run().lines()[1], "x > end");
    }

    /// Whether a process ends, or has: who killed it does not wait for it.
    fn is_gone(id: &str) -> bool {
        let path = format!("/proc/{}/stat", id.trim());
        let runs = || std::fs::read_to_string(&path).is_ok_and(|status| !status.contains(") Z "));
        let until = std::time::Instant::now() + Duration::from_mins(1);
        while runs() && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        !runs()
    }
}
