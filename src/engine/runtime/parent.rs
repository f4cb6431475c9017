//! The side of hoist that wants a container to run.
#![expect(clippy::disallowed_methods, reason = "hoist starts itself again for a container")]

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::iter;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::diagnostic::{Code, Problem};
use crate::engine::runtime::container::{Outcome, Report};
use crate::engine::runtime::output::forward;
use crate::engine::runtime::{COMMAND, Container, Ended, Limits, Output, Stream, file};

/// How often it is looked whether a container is to be killed.
const TICK: Duration = Duration::from_millis(50);
/// How long the child may take to kill a container before it is killed itself.
const GRACE: Duration = Duration::from_secs(10);

/// Pieces of output that wait to be taken; a container that writes more waits, too.
const BACKLOG: usize = 16;
/// How long it may take to find out whether containers can be run.
const PROBE: Duration = Duration::from_secs(10);

/// Runs containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    program: PathBuf,
}

impl Runtime {
    /// A runtime that runs this program again, wherever its file is by now.
    #[must_use]
    pub fn current() -> Self {
        Self::at("/proc/self/exe")
    }

    /// A runtime that runs a `hoist` program.
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Runs a container until it ends. `directory` has its root file system as
    /// `rootfs`; files of the runtime's own are put beside it. What it writes is
    /// passed on to `log` as it comes.
    ///
    /// # Errors
    /// [`Code::NoRuntime`]: the container could not be started here.
    pub fn run(
        &self,
        container: &Container,
        directory: &Path,
        limits: Limits<'_>,
        log: &mut dyn Write,
    ) -> Result<(Ended, Output), Problem> {
        self.play(Some(container), directory, limits, log)
    }

    /// Finds out whether this machine lets one have the namespaces of a container.
    ///
    /// # Errors
    /// [`Code::NoRuntime`]: it does not.
    pub fn probe(&self) -> Result<(), Problem> {
        let directory = tempfile::tempdir().map_err(|error| no_runtime(&error.to_string()))?;
        let limits = Limits { timeout: PROBE, stop: &AtomicBool::new(false) };
        match self.play(None, directory.path(), limits, &mut io::sink())? {
            (Ended::Exited(0), _) => Ok(()),
            (ended, _) => Err(no_runtime(&format!("it ended with {ended:?}"))),
        }
    }

    /// Runs a container, or prepares to and runs nothing.
    fn play(
        &self,
        container: Option<&Container>,
        directory: &Path,
        limits: Limits<'_>,
        log: &mut dyn Write,
    ) -> Result<(Ended, Output), Problem> {
        if !cfg!(target_os = "linux") {
            return Err(no_runtime("the embedded runtime needs Linux"));
        }
        clear(directory).map_err(|error| no_runtime(&error.to_string()))?;
        let ran = self.run_in(container, directory, limits, log);
        // What is still there goes with the directory.
        let _ = clear(directory);
        ran
    }

    fn run_in(
        &self,
        container: Option<&Container>,
        directory: &Path,
        limits: Limits<'_>,
        log: &mut dyn Write,
    ) -> Result<(Ended, Output), Problem> {
        let mut child = self.start(container, directory).map_err(|error| no_runtime(&error.to_string()))?;
        let pieces = listen(&mut child);
        let mut output = Output::default();
        let killed = watch(&mut child, &pieces, limits, &mut output, log);
        child.wait().map_err(|error| no_runtime(&error.to_string()))?;
        let report = fs::read(directory.join(file::REPORT)).ok();
        let report = report.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
        let unmet = report.as_ref().map(|report| report.unmet.clone()).unwrap_or_default();
        let unmet = unmet.into_iter().chain(iter::repeat(Some("it was not asked".to_owned())));
        let requests = container.iter().flat_map(|container| &container.requests);
        output.answers = requests.cloned().zip(unmet).collect();
        if let Some(killed) = killed {
            return Ok((killed, output));
        }
        match report.map(|report| report.outcome) {
            Some(Outcome::Exited(status)) => Ok((Ended::Exited(status), output)),
            Some(Outcome::Signalled(signal)) => Ok((Ended::Signalled(signal), output)),
            Some(Outcome::Refused(reason)) => Err(no_runtime(&reason)),
            None => Err(no_runtime("the runtime ended without a word")),
        }
    }

    fn start(&self, container: Option<&Container>, directory: &Path) -> io::Result<Child> {
        fs::write(directory.join(file::CONTAINER), serde_json::to_vec(&container)?)?;
        Command::new(&self.program)
            .arg(COMMAND)
            .arg(directory)
            // A group of its own: Ctrl-C is for hoist, which then closes the pipe.
            .process_group(0)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// Removes what the runtime and a container that shares its files left in a directory.
///
/// # Errors
/// The file system refuses.
pub(in crate::engine) fn clear(directory: &Path) -> io::Result<()> {
    // The kernel makes a directory that not even its owner may list.
    let work = directory.join(file::WORK).join("work");
    let _none = fs::set_permissions(work, Permissions::from_mode(0o700));
    let _none = fs::remove_file(directory.join(file::REPORT));
    for name in [file::UPPER, file::WORK, file::STATE] {
        match fs::remove_dir_all(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Has both streams read, so that neither fills up while the other is waited for.
fn listen(child: &mut Child) -> Receiver<(Stream, Vec<u8>)> {
    let (sender, pieces) = mpsc::sync_channel(BACKLOG);
    if let Some(stdout) = child.stdout.take() {
        let sender = sender.clone();
        thread::spawn(move || forward(stdout, Stream::Stdout, &sender));
    }
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || forward(stderr, Stream::Stderr, &sender));
    }
    pieces
}

/// Takes the output until its end, and kills the container when its time is up
/// or its end is asked for; then says why.
fn watch(
    child: &mut Child,
    pieces: &Receiver<(Stream, Vec<u8>)>,
    limits: Limits<'_>,
    output: &mut Output,
    log: &mut dyn Write,
) -> Option<Ended> {
    let start = Instant::now();
    let mut killed: Option<(Ended, Instant)> = None;
    loop {
        match pieces.recv_timeout(TICK) {
            Ok((stream, piece)) => output.take(stream, &piece, log),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return killed.map(|(ended, _)| ended),
        }
        match killed {
            None if limits.stop.load(Ordering::Relaxed) => killed = Some((Ended::Stopped, Instant::now())),
            None if start.elapsed() > limits.timeout => killed = Some((Ended::TimedOut, Instant::now())),
            Some((_, since)) if since.elapsed() > GRACE => {
                let _ = child.kill();
            }
            _ => continue,
        }
        if let Some(mut stdin) = child.stdin.take() {
            // Without a word before its end the child would take it for the end of hoist.
            let _ = stdin.write_all(b"kill");
        }
    }
}

fn no_runtime(reason: &str) -> Problem {
    Problem::new(Code::NoRuntime, "the image cannot be run here").note(reason).help(
        "run as root, or where users may have namespaces of their own \
         (`sysctl user.max_user_namespaces kernel.unprivileged_userns_clone`); \
         in a container, start that with `--privileged`",
    )
}
