//! The side of hoist that makes a container and waits for its end.
#![expect(
    clippy::disallowed_methods,
    reason = "the process of a container starts what the image says, and ends as that does"
)]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions};

use crate::diagnostic::causes;
use crate::engine::runtime::asking::Asking;
use crate::engine::runtime::container::{Outcome, Report};
use crate::engine::runtime::isolation::{become_user, cover, isolate, uncover};
use crate::engine::runtime::spec::spec;
use crate::engine::runtime::{COMMAND, Container, file};

/// How long a container may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a container if the process was started for that: `hoist __runtime
/// DIRECTORY`. Called first in `main`, before there is a second thread.
///
/// `None` if the process was started for something else.
#[must_use]
pub fn runtime_main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != COMMAND {
        return None;
    }
    let directory = PathBuf::from(arguments.next()?);
    let container = told(&directory);
    let scratch = container.as_ref().ok().and_then(|container| container.as_ref()?.scratch.clone());
    let report = container
        .and_then(|container| run(container, &directory))
        .unwrap_or_else(|reason| Report { outcome: Outcome::Refused(reason), unmet: Vec::new() });
    if is_left_behind() {
        // Nobody is left who would do it, or read what came of it. Of several children each
        // removes what it can, so that nothing stays of what the others still make.
        uncover(&directory);
        let own = fs::remove_dir_all(&directory);
        let removed = scratch.map_or(own, fs::remove_dir_all);
        return Some(if removed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let written = serde_json::to_vec(&report)
        .map_err(io::Error::from)
        .and_then(|bytes| fs::write(directory.join(file::REPORT), bytes));
    Some(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether hoist is gone: the pipe was closed, and nothing written to it before.
fn is_left_behind() -> bool {
    let stdin = io::stdin();
    let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
    let is_ready = poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0);
    is_ready && stdin.lock().read(&mut [0]).is_ok_and(|count| count == 0)
}

/// What is to run, or nothing but to find out whether it can.
fn told(directory: &Path) -> Result<Option<Container>, String> {
    let container = fs::read(directory.join(file::CONTAINER)).map_err(|error| error.to_string())?;
    serde_json::from_slice(&container).map_err(|error| error.to_string())
}

fn run(container: Option<Container>, directory: &Path) -> Result<Report, String> {
    let rootless = isolate()?;
    let Some(container) = container else {
        return Ok(Report { outcome: Outcome::Exited(0), unmet: Vec::new() });
    };
    if let Some(base) = &container.base {
        cover(base, directory, rootless)?;
    }
    prepare(&container, directory, rootless).map_err(|error| error.to_string())?;
    let build = || {
        let program = Program { container: container.clone(), rootless };
        ContainerBuilder::new("container".to_owned(), SyscallType::default())
            .with_root_path(directory.join(file::STATE))?
            .with_executor(program)
            .with_stdin(File::open("/dev/null").map_err(libcontainer::error::LibcontainerError::OtherIO)?)
            .as_init(directory)
            .with_systemd(false)
            .with_detach(false)
            .build()
    };
    let mut made = build().map_err(|error| causes(&error))?;
    let pid = made.pid().and_then(|pid| Pid::from_raw(pid.as_raw())).ok_or("the container has no process")?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|error| error.to_string())?;
    made.start().map_err(|error| causes(&error))?;
    let asking = Asking::start(container.requests.clone())?;
    let outcome = wait(pid, &process, asking.as_ref(), signal(container.stop_signal.as_deref()))?;
    Ok(Report { outcome, unmet: asking.map(|asking| asking.unmet()).unwrap_or_default() })
}

/// Waits for the end of the container: kills it if hoist ends or writes to the pipe,
/// and stops it when it has answered all that it was asked.
fn wait(pid: Pid, process: &impl AsFd, asking: Option<&Asking>, stop: Signal) -> Result<Outcome, String> {
    let stdin = io::stdin();
    let (mut hoist, mut asked) = (Some(&stdin), asking.map(|asking| &asking.done));
    let mut deadline: Option<Instant> = None;
    loop {
        let mut watched = vec![PollFd::new(process, PollFlags::IN)];
        watched.extend(hoist.map(|hoist| PollFd::new(hoist, PollFlags::IN)));
        watched.extend(asked.map(|asked| PollFd::new(asked, PollFlags::IN)));
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let rest = rest.and_then(|rest| Timespec::try_from(rest).ok());
        match poll(&mut watched, rest.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
        let mut ready = watched.iter().map(|watched| !watched.revents().is_empty());
        if ready.next() == Some(true) {
            break;
        }
        // What is written to a pipe means no more than that it is not closed yet.
        let is_left = hoist.is_some() && ready.next() == Some(true);
        if is_left || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
            (hoist, asked, deadline) = (None, None, None);
        } else if asked.is_some() && ready.next() == Some(true) {
            let stop = if takes(pid, stop) { stop } else { Signal::KILL };
            let _ = rustix::process::pidfd_send_signal(process, stop);
            (asked, deadline) = (None, Some(Instant::now() + GRACE));
        }
    }
    let status =
        rustix::process::waitpid(Some(pid), WaitOptions::empty()).map_err(|error| error.to_string())?;
    let (_, status) = status.ok_or("the container's process is gone")?;
    let status = ExitStatus::from_raw(status.as_raw());
    let number = |status: i32| u8::try_from(status).unwrap_or(u8::MAX);
    Ok(match (status.code(), status.signal()) {
        (_, Some(signal)) => Outcome::Signalled(number(signal)),
        (code, None) => Outcome::Exited(number(code.unwrap_or_default())),
    })
}

/// Whether a process has a handler for a signal. The first process of a container
/// is not ended by one that it has none for.
fn takes(pid: Pid, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    caught.is_none_or(|caught| caught >> (signal.as_raw() - 1) & 1 == 1)
}

/// A signal by its name or number; `SIGTERM` if it has none that is known.
fn signal(name: Option<&str>) -> Signal {
    let name = name.unwrap_or_default().to_ascii_uppercase();
    match name.strip_prefix("SIG").unwrap_or(&name) {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "KILL" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "WINCH" => Signal::WINCH,
        number => number.parse().ok().and_then(Signal::from_named_raw).unwrap_or(Signal::TERM),
    }
}

/// Writes the files that the runtime and the container read.
fn prepare(container: &Container, directory: &Path, rootless: bool) -> io::Result<()> {
    let hosts = format!("127.0.0.1\tlocalhost {}\n::1\tlocalhost\n", container.hostname);
    fs::write(directory.join("hosts"), hosts)?;
    fs::create_dir_all(directory.join(file::STATE))?;
    fs::write(directory.join("config.json"), serde_json::to_vec(&spec(container, directory, rootless))?)
}

/// Starts the program of a container.
#[derive(Clone)]
struct Program {
    container: Container,
    /// Made without root: the program's user has yet to be taken on.
    rootless: bool,
}

impl Executor for Program {
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // They are given to the program when it is started.
        Ok(())
    }

    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let Container { program, args, env, uid, gid, .. } = &self.container;
        if self.rootless && (*uid, *gid) != (0, 0) {
            // Without this the map of users belongs to the root of the machine.
            let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
            if let Err(reason) = become_user(*uid, *gid) {
                let _ = writeln!(io::stderr(), "hoist: cannot become the user {uid}: {reason}");
                std::process::exit(126)
            }
        }
        // The container ends with the runtime, even if that is killed.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        let mut command = Command::new(program);
        command.env_clear().envs(env.iter().filter_map(|variable| variable.split_once('=')));
        command.args(args.iter().skip(1));
        if let Some(name) = args.first() {
            command.arg0(name);
        }
        let error = command.exec();
        let hint = match error.kind() {
            io::ErrorKind::NotFound => " (its interpreter or loader is not in the image)",
            _ => "",
        };
        let _ = writeln!(io::stderr(), "hoist: cannot execute `{program}`: {error}{hint}");
        // As a shell says that there is a file and it cannot be executed.
        std::process::exit(126)
    }
}
