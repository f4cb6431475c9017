//! One process and all that it starts: a process group, its output, its end.
#![expect(clippy::disallowed_methods, reason = "this is where commands are started")]

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::run::Stream;
use crate::run::line::{Line, Lines};
use crate::run::mask::Secrets;
use crate::run::teller::{Teller, Told};

/// How long a process may take to end after it was asked to.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How long output is awaited after the process ended, where something that it
/// started still holds the other end.
const LINGER: Duration = Duration::from_secs(1);

/// Most bytes taken from a pipe at once.
const CHUNK: usize = 64 * 1024;

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
    /// Program and arguments.
    pub(super) argv: &'a [String],
    /// Where it runs.
    pub(super) dir: &'a Path,
    /// All of its environment.
    pub(super) environment: &'a [(OsString, OsString)],
    /// Whether it owns the terminal: it stays in hoist's own process group, and
    /// reads and writes what hoist reads and writes.
    pub(super) interactive: bool,
    /// How long it may take.
    pub(super) timeout: Option<Duration>,
    /// How long it may take to end after it was asked to.
    pub(super) grace: Duration,
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

/// Starts a process and waits for its end. Each piece of output is told as
/// masked lines; what is not read in time waits in the pipe.
///
/// Whatever the process started in its group and left behind is killed, unless
/// the process succeeded: a service may be what it was run for.
///
/// # Errors
/// It could not be started.
pub(super) async fn run(
    start: Start<'_>,
    secrets: &Arc<Secrets>,
    halt: &mut watch::Receiver<Halt>,
    teller: &mut Teller,
) -> io::Result<Exit> {
    let mut child = spawn(start)?;
    let group = Group { leader: child.id(), own: !start.interactive };
    let mut stdout = Pipe::new(child.stdout.take(), Stream::Stdout, secrets);
    let mut stderr = Pipe::new(child.stderr.take(), Stream::Stderr, secrets);
    let deadline = start.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let (mut status, mut asked, mut kill_at, mut linger) = (None, None, None, None);
    while status.is_none() || stdout.is_open() || stderr.is_open() {
        tokio::select! {
            lines = stdout.read(), if stdout.is_open() => teller.lines(lines).await,
            lines = stderr.read(), if stderr.is_open() => teller.lines(lines).await,
            ended = child.wait(), if status.is_none() => {
                let ended = ended?;
                if !ended.success() || asked.is_some() {
                    group.signal(Signal::KILL);
                }
                status = Some(ended);
                linger = Instant::now().checked_add(LINGER);
            }
            () = at(deadline), if asked.is_none() && status.is_none() => {
                asked = Some(Exit::TimedOut);
                group.signal(Signal::TERM);
                kill_at = Instant::now().checked_add(start.grace);
            }
            () = at(kill_at), if status.is_none() => {
                group.signal(Signal::KILL);
                kill_at = None;
            }
            () = at(linger) => {
                let text = "something that it started still runs; what that writes is no longer read";
                teller.tell(Told::Notice(text.to_owned())).await;
                break;
            }
            halt = halted(halt), if status.is_none() => {
                asked.get_or_insert(Exit::Halted);
                match halt {
                    Halt::Soon(signal) => {
                        group.signal(signal);
                        // Who pressed Ctrl-C can press it again.
                        if signal != Signal::INT {
                            kill_at = Instant::now().checked_add(start.grace);
                        }
                    }
                    Halt::Now | Halt::No => group.signal(Signal::KILL),
                }
            }
        }
    }
    teller.lines(stdout.finish()).await;
    teller.lines(stderr.finish()).await;
    Ok(match (asked, status) {
        (None, Some(status)) => Exit::Status(status),
        (asked, _) => asked.unwrap_or(Exit::Halted),
    })
}

fn spawn(start: Start<'_>) -> io::Result<Child> {
    let (program, arguments) = start
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command"))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(start.dir).env_clear().kill_on_drop(true);
    command.envs(start.environment.iter().map(|(name, value)| (name, value)));
    if !start.interactive {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    }
    command.spawn()
}

/// The process and what it started.
#[derive(Clone, Copy, Debug)]
struct Group {
    leader: Option<u32>,
    own: bool,
}

impl Group {
    /// Sends a signal; to a group that has ended it does nothing.
    fn signal(self, signal: Signal) {
        let Some(leader) = self.leader.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
            return;
        };
        let _ended = if self.own { kill_process_group(leader, signal) } else { kill_process(leader, signal) };
    }
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

/// The reading end of a pipe, and the lines that come out of it.
struct Pipe<R> {
    reader: Option<R>,
    buffer: Vec<u8>,
    lines: Lines,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(reader: Option<R>, stream: Stream, secrets: &Arc<Secrets>) -> Self {
        Self { reader, buffer: Vec::new(), lines: Lines::new(stream, Arc::clone(secrets)) }
    }

    const fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    /// The lines that end in the next piece. Nothing is lost where the wait for
    /// it is given up.
    async fn read(&mut self) -> Vec<Line> {
        let Some(reader) = &mut self.reader else { return Vec::new() };
        self.buffer.clear();
        self.buffer.reserve(CHUNK);
        match reader.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => {
                self.reader = None;
                Vec::new()
            }
            Ok(_) => self.lines.feed(&self.buffer),
        }
    }

    fn finish(&mut self) -> Vec<Line> {
        self.lines.finish()
    }
}
