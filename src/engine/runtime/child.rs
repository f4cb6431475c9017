//! The side of hoist that makes a container and waits for its end.
#![expect(
    clippy::disallowed_methods,
    reason = "the process of a container starts what the image says, and ends as that does"
)]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions};

use crate::engine::runtime::container::Outcome;
use crate::engine::runtime::isolation::{become_user, chain, isolate};
use crate::engine::runtime::spec::spec;
use crate::engine::runtime::{COMMAND, Container, file};

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
    let outcome = run(&directory).unwrap_or_else(Outcome::Refused);
    let written = serde_json::to_vec(&outcome)
        .map_err(io::Error::from)
        .and_then(|bytes| fs::write(directory.join(file::OUTCOME), bytes));
    Some(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(directory: &Path) -> Result<Outcome, String> {
    let container = fs::read(directory.join(file::CONTAINER)).map_err(|error| error.to_string())?;
    let container: Option<Container> =
        serde_json::from_slice(&container).map_err(|error| error.to_string())?;
    let rootless = isolate()?;
    let Some(container) = container else { return Ok(Outcome::Exited(0)) };
    prepare(&container, directory, rootless).map_err(|error| error.to_string())?;
    let build = || {
        let program = Program { container: container.clone(), rootless };
        ContainerBuilder::new("container".to_owned(), SyscallType::default())
            .with_root_path(directory.join("state"))?
            .with_executor(program)
            .with_stdin(File::open("/dev/null").map_err(libcontainer::error::LibcontainerError::OtherIO)?)
            .as_init(directory)
            .with_systemd(false)
            .with_detach(false)
            .build()
    };
    let mut made = build().map_err(|error| chain(&error))?;
    let pid = made.pid().and_then(|pid| Pid::from_raw(pid.as_raw())).ok_or("the container has no process")?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|error| error.to_string())?;
    made.start().map_err(|error| chain(&error))?;
    wait(pid, &process)
}

/// Waits for the end of the container, and kills it if hoist ends or closes the
/// pipe.
fn wait(pid: Pid, process: &impl AsFd) -> Result<Outcome, String> {
    let stdin = io::stdin();
    let mut watched = vec![PollFd::new(process, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
    loop {
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
        if watched.first().is_some_and(|process| !process.revents().is_empty()) {
            break;
        }
        // Nothing is ever written to the pipe: it is closed.
        let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
        watched.truncate(1);
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

/// Writes the files that the runtime and the container read.
fn prepare(container: &Container, directory: &Path, rootless: bool) -> io::Result<()> {
    let hosts = format!("127.0.0.1\tlocalhost {}\n::1\tlocalhost\n", container.hostname);
    fs::write(directory.join("hosts"), hosts)?;
    fs::create_dir_all(directory.join("state"))?;
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
