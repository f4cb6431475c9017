//! Output of commands that is part of a key.
#![expect(clippy::disallowed_methods, reason = "tools are asked for their versions")]

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::config::{Command, Release};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::facts::{Facts, Pipes, Scope, ToolQuery};

/// How long a command may take that only says what it is.
const LIMIT: Duration = Duration::from_secs(30);

/// How long it is waited for without a word.
const SILENT: Duration = Duration::from_secs(1);

/// Most bytes of its output that are kept.
const LARGEST: u64 = 1 << 20;

/// A command, ready to run: equal ones are run once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    /// As it is written.
    shown: String,
    argv: Vec<String>,
    dir: std::path::PathBuf,
    /// What the script names, and what is set for it.
    variables: Vec<(String, String)>,
    /// Names of what is passed on.
    pass: Vec<String>,
}

/// Runs the commands, several at once, and returns their outputs in order. `waiting` is
/// told what each is that takes its time.
///
/// They stay in the process group of hoist: who stops that before anything runs, as with
/// Ctrl-C, stops them with it.
pub(super) fn run_all(
    root: &Path,
    release: &Release,
    facts: &Facts,
    queries: &[ToolQuery],
    waiting: &(dyn Fn(&str) + Sync),
) -> Result<Vec<String>, Problems> {
    let mut problems = Problems::new();
    let calls: Vec<(Call, Span)> = queries
        .iter()
        .filter_map(|query| Some((problems.take(call(root, release, facts, query))?, query.command.span)))
        .collect();
    let spans: BTreeMap<&Call, Span> = calls.iter().rev().map(|(call, span)| (call, *span)).collect();
    let outputs: BTreeMap<&Call, Result<String, Problem>> = std::thread::scope(|scope| {
        let threads: Vec<_> = spans
            .iter()
            .map(|(call, span)| (*call, scope.spawn(|| run(call, facts, *span, waiting))))
            .collect();
        let ended = threads.into_iter().filter_map(|(call, thread)| Some((call, thread.join().ok()?)));
        ended.collect()
    });
    for problem in outputs.values().filter_map(|output| output.as_ref().err()) {
        problems.push(problem.clone());
    }
    let answers = calls.iter().filter_map(|(call, _)| outputs.get(call)?.as_ref().ok().cloned()).collect();
    problems.or(answers)
}

fn call(root: &Path, release: &Release, facts: &Facts, query: &ToolQuery) -> Result<Call, Problem> {
    let scope = Scope::new(release, facts).with_matrix(&query.matrix).of(&query.owner);
    let span = query.command.span;
    let (argv, mut variables): (Vec<String>, Vec<_>) = match &query.command.value {
        Command::Script(script) => {
            let variables =
                scope.script_variables(script).map_err(|problem| problem.label(span, "named here"))?;
            let shell = release.settings.shell.iter().cloned();
            (shell.chain([script.clone()]).collect(), variables.into_iter().collect())
        }
        Command::Argv(argv) => (argv.iter().map(|it| scope.fill(it)).collect::<Result<_, _>>()?, Vec::new()),
    };
    let shown = match &query.command.value {
        Command::Script(script) => script.clone(),
        Command::Argv(words) => {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            words.join(" ")
        }
    };
    for (name, value) in &query.env {
        variables.push((name.clone(), scope.fill(value)?));
    }
    Ok(Call { shown, argv, dir: root.join(query.dir.as_path()), variables, pass: query.pass.clone() })
}

fn run(call: &Call, facts: &Facts, span: Span, waiting: &dyn Fn(&str)) -> Result<String, Problem> {
    let (shown, environment) = (&call.shown, &facts.environment);
    let problem = |code, what: String| Problem::new(code, what).label(span, "its output is part of the key");
    let mut command = std::process::Command::new(call.argv.first().map_or("", String::as_str));
    command.args(call.argv.iter().skip(1)).current_dir(&call.dir).env_clear().envs(environment.strict());
    command.envs(call.pass.iter().filter_map(|name| Some((name, environment.get(name)?))));
    command.envs(call.variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| {
        problem(Code::CannotStart, format!("the tool `{shown}` cannot be started"))
            .help("install it, or correct `PATH`")
            .note(error.to_string())
    })?;
    let Some((status, stdout, stderr)) = wait(child, LIMIT, || waiting(shown)) else {
        let title = format!("the tool `{shown}` did not end within {} s", LIMIT.as_secs());
        return Err(problem(Code::TimedOut, title).help("name a command that only says its version"));
    };
    if !status.success() {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with exit status {code}"),
            (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
        };
        let failed = problem(Code::CommandFailed, format!("the tool `{shown}` {how}"));
        let stderr = masked(stderr, call, facts);
        let lines: Vec<&str> = stderr.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(10));
        return Err(last.fold(failed, |failed, line| failed.note(*line)));
    }
    // Some, such as `java -version`, say what they are on standard error.
    Ok(if stdout.trim().is_empty() { stderr } else { stdout }.trim_end().to_owned())
}

/// What a tool said, without values of `.env` files and of what is passed to it.
/// Those of less than four characters stay: they are no secrets, and would take
/// half of the text with them.
fn masked(text: String, call: &Call, facts: &Facts) -> String {
    let names = facts.dotenv.iter().chain(&call.pass);
    let mut secrets: Vec<&str> =
        names.filter_map(|name| facts.environment.text(name)).filter(|value| value.len() >= 4).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text, |text, secret| text.replace(secret, "***"))
}

/// The status and what was printed; `None` if it took too long, and is ended.
fn wait(mut child: Child, limit: Duration, waiting: impl FnOnce()) -> Option<(ExitStatus, String, String)> {
    let (sender, receiver) = mpsc::channel();
    let process = child.id();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let pipes: Vec<u64> = [stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd)]
        .into_iter()
        .filter_map(|pipe| rustix::fs::fstat(pipe?).ok().map(|found| found.st_ino))
        .collect();
    std::thread::spawn(move || {
        let error = std::thread::spawn(move || text(stderr));
        let output = text(stdout);
        let error = error.join().unwrap_or_default();
        // Nobody listens any more if it took too long.
        drop(sender.send((child.wait(), output, error)));
    });
    let ended = receiver.recv_timeout(SILENT.min(limit)).or_else(|ended| {
        if ended == RecvTimeoutError::Timeout {
            waiting();
        }
        receiver.recv_timeout(limit.saturating_sub(SILENT))
    });
    if ended.is_err() {
        kill(process, &pipes);
    }
    let (status, output, error) = ended.ok()?;
    Some((status.ok()?, output, error))
}

/// Ends a process, and all others that still hold the pipes which it was to write to.
fn kill(process: u32, pipes: &[u64]) {
    let pipes = Pipes::new(pipes);
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let others: Vec<u32> =
        all.filter(|other| *other != std::process::id() && pipes.are_held_by(other)).collect();
    for process in others.into_iter().chain([process]) {
        if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            // It may have ended by itself just now.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

fn text(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What cannot be read is not said; the status tells whether it failed.
        drop(stream.by_ref().take(LARGEST).read_to_end(&mut bytes));
        drop(std::io::copy(&mut stream, &mut std::io::sink()));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::config::{Command, ProjectPath};
    use crate::diagnostic::{Sources, Spanned};
    use crate::facts::fixture::{Files, facts, release, span, tool};
    use crate::facts::load;
    use crate::facts::{Environment, Event};

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let path = std::env::var("PATH").unwrap();
        variables.iter().copied().chain([("PATH", path.as_str())]).collect()
    }

    fn run(files: &Files, queries: &[ToolQuery]) -> Result<Vec<String>, Problems> {
        let facts =
            Facts { environment: environment(&[("CI", "true"), ("LANG", "C")]), ..facts(Event::Unnamed) };
        run_all(&files.path(""), &release(), &facts, queries, &|_| ())
    }

    fn script(text: &str) -> ToolQuery {
        let command = Spanned::new(Command::Script(text.to_owned()), span(text));
        ToolQuery {
            owner: "target".to_owned(),
            command,
            dir: ProjectPath::root(),
            matrix: IndexMap::new(),
            env: IndexMap::new(),
            pass: Vec::new(),
        }
    }

    #[test]
    fn outputs_are_in_the_order_of_the_questions_and_the_same_is_asked_once() {
        let files = Files::with(&[]);
        let count = script("echo x >> count; wc -l < count");
        let queries = [tool(&["echo", "{project} 1.0"]), count.clone(), count, script("echo 17 >&2")];
        assert_eq!(run(&files, &queries).unwrap(), ["demo 1.0", "1", "1", "17"]);
    }

    #[test]
    fn a_tool_sees_the_strict_environment_and_what_its_script_names() {
        let files = Files::with(&[]);
        let mut query = script("echo \"${CI-none} $LANG $os $HOIST_PROJECT\"; pwd");
        query.matrix.insert("os".to_owned(), "a".to_owned());
        let expected = format!("none C a demo\n{}", files.path("").display());
        assert_eq!(run(&files, &[query]).unwrap(), [expected.trim_end_matches('/')]);
    }

    #[test]
    fn a_variable_of_the_target_s_own_file_comes_before_one_of_the_project() {
        let files = Files::with(&[
            ("release.kdl", "include \"api/release.kdl\"\nvar \"cc\" \"gcc\""),
            ("api/release.kdl", "var \"cc\" \"clang\""),
        ]);
        let release = load(&files.project(), &mut Sources::new()).unwrap();
        let facts = Facts { environment: environment(&[]), ..facts(Event::Unnamed) };
        let query = ToolQuery { owner: "api/lint".to_owned(), ..script("echo $cc") };
        assert_eq!(run_all(&files.path(""), &release, &facts, &[query], &|_| ()).unwrap(), ["clang"]);
    }

    #[test]
    fn a_tool_that_takes_too_long_is_ended_with_what_it_left_behind() {
        let files = Files::with(&[]);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "sleep 600 & echo $! > left"]).current_dir(files.path(""));
        let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let told = std::cell::Cell::new(false);
        let ended = wait(child, Duration::from_millis(200), || told.set(true));
        assert!(ended.is_none() && told.get());
        let left: i32 = std::fs::read_to_string(files.path("left")).unwrap().trim().parse().unwrap();
        while rustix::process::test_kill_process(Pid::from_raw(left).unwrap()).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_tool_that_fails_does_not_tell_secrets() {
        let files = Files::with(&[]);
        let variables = [("FILE", "hunter2"), ("PASSED", "hunter2-and-more")];
        let facts = Facts {
            environment: environment(&variables),
            dotenv: vec!["FILE".to_owned()],
            ..facts(Event::Unnamed)
        };
        let query = ToolQuery {
            pass: vec!["PASSED".to_owned()],
            ..tool(&["sh", "-c", "echo $0 $PASSED >&2; exit 1", "{env.FILE}"])
        };
        let problems = run_all(&files.path(""), &release(), &facts, &[query], &|_| ()).unwrap_err();
        let problem = &problems.as_slice()[0];
        let title = "the tool `sh -c echo $0 $PASSED >&2; exit 1 {env.FILE}` ended with exit status 1";
        assert_eq!((problem.title.as_str(), problem.notes.as_slice()), (title, &["*** ***".to_owned()][..]));
    }

    #[test]
    fn a_tool_that_fails_or_is_not_there_is_told_with_its_place() {
        let files = Files::with(&[]);
        let queries = [script("echo why >&2; exit 3"), tool(&["no-such-tool", "--version"])];
        let problems = run(&files, &queries).unwrap_err();
        let told = |code, title: &str, query: &ToolQuery| {
            Problem::new(code, title).label(query.command.span, "its output is part of the key")
        };
        let failed = told(
            Code::CommandFailed,
            "the tool `echo why >&2; exit 3` ended with exit status 3",
            &queries[0],
        );
        let missing =
            told(Code::CannotStart, "the tool `no-such-tool --version` cannot be started", &queries[1])
                .help("install it, or correct `PATH`")
                .note("No such file or directory (os error 2)");
        let mut problems = problems.as_slice().to_vec();
        problems.sort_by_key(|problem| problem.code == Code::CannotStart);
        assert_eq!(problems, [failed.note("why"), missing]);
    }
}
