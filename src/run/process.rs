//! One process and all that it starts: its output, its end.
#![expect(clippy::disallowed_methods, reason = "this is where commands are started")]

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::run::Stream;
use crate::run::line::Written;
use crate::run::mask::Secrets;
use crate::run::teller::{Teller, Told};
use crate::run::tree::{Member, Tree};

/// How long a process may take to end after it was asked to.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How long output is awaited after the process ended, where something that it
/// started still holds the other end; and how long what was killed has to be gone.
const LINGER: Duration = Duration::from_secs(1);

/// How long a line that has not ended is waited for before it is shown.
const IDLE: Duration = Duration::from_millis(300);

/// How often it is looked whether all has ended that was asked to.
const TICK: Duration = Duration::from_millis(20);

/// How often what does not end is killed.
const KILLS: usize = 5;

/// Most bytes taken from a pipe at once, until one is full.
const CHUNK: usize = 64 * 1024;

/// Bytes that the pipe of a step holds that writes more than is read at once.
const LARGE: usize = 1024 * 1024;

/// What a command inherits beside its streams gets a number that no script takes for
/// its own.
const ABOVE: RawFd = 100;

/// What a step that runs is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Halt {
    /// Go on.
    #[default]
    No,
    /// End soon: this signal was sent to hoist.
    Soon(Signal),
    /// End now.
    Now,
}

/// What is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    /// The step that it belongs to, as its environment names it.
    pub(super) step: &'a str,
    /// Program and arguments.
    pub(super) argv: &'a [&'a str],
    /// The file that the program is; `None`: the system looks for it.
    pub(super) program: Option<&'a Path>,
    /// Where it runs.
    pub(super) dir: &'a Path,
    /// All of its environment.
    pub(super) environment: &'a [(OsString, OsString)],
    /// Whether it owns the terminal: it stays in hoist's own process group, and
    /// reads and writes what hoist reads and writes.
    pub(super) interactive: bool,
    /// Whether its standard output and standard error are one pipe: what it writes
    /// keeps its order, and all counts as standard output.
    pub(super) one_output: bool,
    /// How long it may take.
    pub(super) timeout: Option<Duration>,
    /// How long it may take to end after it was asked to.
    pub(super) grace: Duration,
    /// What it inherits beside that, if anything: see [`Claim::handed_on`].
    pub(super) claim: Option<BorrowedFd<'a>>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// By itself.
    Status(ExitStatus),
    /// It was asked to, because its time was over.
    TimedOut,
    /// It was asked to, because the run is.
    Halted,
}

/// Starts a process and waits for its end. What is not read in time waits in the
/// pipe.
///
/// A step ends with its process. If that fails or is stopped, all that it started
/// is stopped, too. If it succeeds, what it left behind goes on, since a service
/// may be what it was run for, unless that holds the pipe of the step's output:
/// nobody reads it any more, so that is stopped.
///
/// # Errors
/// It could not be started.
pub(super) async fn run(
    start: Start<'_>,
    secrets: &Arc<Secrets>,
    halt: &mut watch::Receiver<Halt>,
    teller: &mut Teller,
) -> io::Result<Exit> {
    let (mut child, stdout, stderr) = spawn(start)?;
    let mut ending = Ending {
        tree: Tree::new(child.id(), !start.interactive, start.step),
        grace: start.grace,
        asked: None,
        winding_down: false,
        kill_at: None,
        kills: 0,
    };
    let mut stdout = Pipe::new(stdout, Stream::Stdout, secrets);
    let mut stderr = Pipe::new(stderr, Stream::Stderr, secrets);
    let deadline = start.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let (mut status, mut linger, mut holders) = (None, None, Vec::new());
    while status.is_none() || ending.winding_down || stdout.is_open() || stderr.is_open() {
        let idle = (stdout.written.is_open() || stderr.written.is_open()).then(|| soon(IDLE)).flatten();
        let tick = ending.winding_down.then(|| soon(TICK)).flatten();
        tokio::select! {
            () = stdout.read(), if stdout.is_open() => teller.gather(&mut stdout.written).await,
            () = stderr.read(), if stderr.is_open() => teller.gather(&mut stderr.written).await,
            ended = child.wait(), if status.is_none() => {
                let ended = ended?;
                status = Some(ended);
                linger = soon(LINGER);
                ending.leader_ended(ended.success());
            }
            () = at(deadline), if ending.asked.is_none() && status.is_none() => {
                ending.asked = Some(Exit::TimedOut);
                ending.stop(Signal::TERM);
            }
            () = at(ending.kill_at) => ending.kill(),
            () = at(tick) => ending.look(),
            () = at(linger), if !ending.winding_down => {
                if !holders.is_empty() {
                    for holder in ending.tree.holders(&pipes(&stdout, &stderr)) {
                        ending.tree.send(holder, Signal::KILL);
                    }
                    break;
                }
                holders = ending.tree.holders(&pipes(&stdout, &stderr));
                teller.tell(Told::Notice(left_behind(&holders))).await;
                if holders.is_empty() {
                    break;
                }
                for holder in &holders {
                    ending.tree.send(*holder, Signal::TERM);
                }
                linger = soon(start.grace);
            }
            () = at(teller.owed()) => teller.tell_output().await,
            () = at(idle) => {
                teller.take_open(&mut stdout.written).await;
                teller.take_open(&mut stderr.written).await;
            }
            halt = halted(halt), if status.is_none() || ending.winding_down => {
                ending.asked.get_or_insert(Exit::Halted);
                match halt {
                    // Who pressed Ctrl-C can press it again.
                    Halt::Soon(Signal::INT) if status.is_none() => ending.tree.signal(Signal::INT),
                    Halt::Soon(signal) => ending.stop(signal),
                    Halt::Now | Halt::No => ending.kill(),
                }
            }
        }
    }
    teller.finish(&mut stdout.written).await;
    teller.finish(&mut stderr.written).await;
    Ok(match (ending.asked, status) {
        (None, Some(status)) => Exit::Status(status),
        (asked, _) => asked.unwrap_or(Exit::Halted),
    })
}

/// How a step's processes are brought to an end.
struct Ending {
    tree: Tree,
    grace: Duration,
    /// Why they were asked to end.
    asked: Option<Exit>,
    /// The process is over, and not all that it started.
    winding_down: bool,
    kill_at: Option<Instant>,
    kills: usize,
}

impl Ending {
    /// Asks all to end, and gives them some time to.
    fn stop(&mut self, signal: Signal) {
        self.tree.signal(signal);
        if self.kill_at.is_none() {
            self.kill_at = soon(self.grace);
        }
    }

    /// Ends all, and again until nothing is left: one may have started another in
    /// the meantime.
    fn kill(&mut self) {
        self.tree.signal(Signal::KILL);
        self.kills += 1;
        self.kill_at = soon(LINGER);
        self.look();
    }

    /// The process is over: if it did not do its work, the rest is to end, too.
    fn leader_ended(&mut self, success: bool) {
        self.tree.leader_ended();
        if success && self.asked.is_none() {
            self.kill_at = None;
            return;
        }
        self.winding_down = true;
        self.look();
        // Those that were asked before have the rest of their time.
        if self.winding_down && self.kill_at.is_none() {
            self.stop(Signal::TERM);
        }
    }

    /// Sees whether all is over. What even being killed does not end, the kernel
    /// holds: it is not waited for.
    fn look(&mut self) {
        if self.winding_down && (self.kills > KILLS || self.tree.is_gone()) {
            self.winding_down = false;
            self.kill_at = None;
        }
    }
}

/// What is said of processes that hold a step's output when the step is over.
fn left_behind(holders: &[Member]) -> String {
    if holders.is_empty() {
        return "something that it started still runs; what that writes is no longer read".to_owned();
    }
    let names: Vec<String> = holders.iter().map(|holder| format!("`{}`", holder.name())).collect();
    format!(
        "{} outlived it and held its output, and is stopped: a service redirects its output, as in `> log 2>&1 &`",
        names.join(", ")
    )
}

fn pipes(stdout: &Pipe, stderr: &Pipe) -> Vec<u64> {
    [stdout.id(), stderr.id()].into_iter().flatten().collect()
}

/// The process, and the other ends of its standard output and standard error.
fn spawn(start: Start<'_>) -> io::Result<(Child, Option<Receiver>, Option<Receiver>)> {
    let (name, arguments) = start
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command"))?;
    let mut command = Command::new(start.program.unwrap_or(Path::new(*name)));
    command.arg0(name).args(arguments).current_dir(start.dir).env_clear().kill_on_drop(true);
    command.envs(start.environment.iter().map(|(name, value)| (name, value)));
    let (mut stdout, mut stderr) = (None, None);
    if !start.interactive {
        command.stdin(Stdio::null()).process_group(0);
        let (reader, writer) = io::pipe()?;
        if start.one_output {
            command.stderr(writer.try_clone()?);
        } else {
            let (reader, writer) = io::pipe()?;
            command.stderr(writer);
            stderr = Some(Receiver::from_owned_fd(OwnedFd::from(reader))?);
        }
        command.stdout(writer);
        stdout = Some(Receiver::from_owned_fd(OwnedFd::from(reader))?);
    }
    Ok((start_with(&mut command, start.claim)?, stdout, stderr))
}

/// Starts a command that inherits this.
fn start_with(command: &mut Command, inherited: Option<BorrowedFd<'_>>) -> io::Result<Child> {
    /// Of two commands that are started at once, each would inherit what both do.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let Some(inherited) = inherited else { return command.spawn() };
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let copy = fcntl_dupfd_cloexec(inherited, ABOVE)?;
    fcntl_setfd(&copy, FdFlags::empty())?;
    command.spawn()
}

/// The time after a while; `None` where that is further than time can be told.
fn soon(after: Duration) -> Option<Instant> {
    Instant::now().checked_add(after)
}

/// Completes at that time; never without one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Completes when the step is asked to do something else than before.
async fn halted(halt: &mut watch::Receiver<Halt>) -> Halt {
    match halt.changed().await {
        Ok(()) => *halt.borrow_and_update(),
        // Nobody is left who could ask.
        Err(_) => std::future::pending().await,
    }
}

/// The reading end of a pipe, and what comes out of it.
struct Pipe {
    reader: Option<Receiver>,
    written: Written,
    /// Most bytes that are taken at once.
    chunk: usize,
}

impl Pipe {
    fn new(reader: Option<Receiver>, stream: Stream, secrets: &Arc<Secrets>) -> Self {
        Self { reader, written: Written::new(stream, Arc::clone(secrets)), chunk: CHUNK }
    }

    const fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    /// What the system calls the pipe, as long as it is open.
    fn id(&self) -> Option<u64> {
        rustix::fs::fstat(self.reader.as_ref()?).ok().map(|found| found.st_ino)
    }

    /// Reads the next piece. Nothing is lost where the wait for it is given up.
    async fn read(&mut self) {
        let Some(reader) = &mut self.reader else { return };
        match reader.read_buf(self.written.space(self.chunk)).await {
            Ok(0) | Err(_) => self.reader = None,
            Ok(read) if read >= CHUNK && self.chunk == CHUNK => {
                // Who writes so much is not to wait for who reads.
                #[cfg(target_os = "linux")]
                let _refused = rustix::pipe::fcntl_setpipe_size(&*reader, LARGE);
                self.chunk = LARGE / 4;
            }
            Ok(_) => {}
        }
    }
}
