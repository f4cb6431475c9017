//! Hears of each call before it happens, notes it, and answers.

use std::collections::{BTreeSet, HashSet};
use std::io::{IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexSet;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::run::sandbox::call::{At, Call, Flags};
use crate::run::sandbox::deed::{Deed, Doing, There};
use crate::run::sandbox::file;
use crate::run::sandbox::memory::{Caller, resolve};
use crate::run::sandbox::notify::{self, Announced, Answer};
use crate::run::sandbox::policy::{Policy, Verdict};

/// Where the socket lies in a private directory, through its descriptor.
pub(super) fn socket_in(directory: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), file::SOCKET))
}

/// What a step's calls are compared with, and what was noted of them.
#[derive(Debug)]
pub(super) struct Notes {
    /// The project's directory, without symbolic links.
    pub(super) root: PathBuf,
    /// Where the step may do everything, although it may lie in the project.
    pub(super) free: PathBuf,
    /// What is allowed; without it everything is, and everything is noted.
    pub(super) policy: Option<Policy>,
    /// What was noted.
    pub(super) noted: Mutex<Noted>,
}

/// What was noted of a step's calls.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// What was denied; without a policy, all that was done, in order.
    pub(super) deeds: IndexSet<Deed>,
    /// What the step made beside its outputs.
    made: HashSet<PathBuf>,
    /// Why nothing could be noted, if so.
    pub(super) blind: BTreeSet<String>,
}

/// What the child says first, with the stream on which it may say more.
#[derive(Debug)]
pub(super) struct Hello {
    /// Its words, empty if it came to none.
    pub(super) words: String,
    /// What follows.
    pub(super) stream: UnixStream,
}

/// Waits for the child, and hears its calls until the last process has ended that
/// could make one.
pub(super) fn watch(socket: &UnixListener, notes: &Arc<Notes>, hello: &Sender<Hello>) {
    let Ok((stream, _)) = socket.accept() else { return };
    let (words, listener) = first_words(&stream);
    if let Some(why) = words.strip_prefix("U ") {
        notes.lock().blind.insert(why.lines().next().unwrap_or_default().to_owned());
    }
    // Nobody waits for it where the step was given up.
    let _given_up = hello.send(Hello { words, stream });
    if let Some(listener) = listener {
        while is_ready(listener.as_fd()) {
            // Whoever called may be gone by now.
            let Ok(announced) = notify::next(listener.as_fd()) else { continue };
            notes.hear(listener.as_fd(), announced);
        }
    }
}

fn first_words(stream: &UnixStream) -> (String, Option<OwnedFd>) {
    let mut bytes = [0; 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let length = received.map_or(0, |received| received.bytes);
    let mut listener = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            listener = descriptors.last().or(listener);
        }
    }
    (String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned(), listener)
}

/// Whether a call waits; not, if there will be none any more.
fn is_ready(listener: BorrowedFd<'_>) -> bool {
    loop {
        let mut watched = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
            Ok(_) => return watched.iter().all(|it| it.revents().contains(PollFlags::IN)),
        }
    }
}

/// What the child said after its first words.
pub(super) fn last_words(mut stream: &UnixStream) -> String {
    let mut words = String::new();
    // What a process holds open that was left behind is not waited for.
    if stream.set_nonblocking(true).is_ok() {
        let _ended = stream.read_to_string(&mut words);
    }
    words
}

impl Notes {
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets an attempt that is over.
    pub(super) fn forget(&self) {
        *self.lock() = Noted::default();
    }

    fn hear(&self, listener: BorrowedFd<'_>, announced: Announced) {
        let caller = Caller(announced.thread);
        let done = match Call::read(announced.number, &announced.arguments, caller) {
            Some(Call::Open(at, flags)) => self.open(listener, announced.id, caller, at, flags),
            Some(Call::Do(doing, at, follow)) => self.one(caller, doing, at, follow),
            Some(Call::Move(from, to)) => self.rename(caller, from, to),
            None => Some(Answer::Go),
        };
        if let Some(answer) = done {
            notify::answer(listener, announced.id, answer);
        }
    }

    /// Opens a path; `None` if that is done and answered.
    fn open(
        &self,
        listener: BorrowedFd<'_>,
        id: u64,
        caller: Caller,
        at: At,
        flags: Flags,
    ) -> Option<Answer> {
        let Some((path, there)) = place(caller, at, flags.follow()) else { return Some(Answer::Go) };
        if flags.bits & libc::O_TMPFILE == libc::O_TMPFILE {
            return Some(Answer::Go);
        }
        match self.judge(&path, there, flags.doing(there)) {
            Verdict::Pass => Some(Answer::Go),
            Verdict::Deny => Some(Answer::Fail(libc::EACCES)),
            Verdict::Open if is_pipe(&path) => Some(Answer::Go),
            Verdict::Open => {
                let opened = open_for(caller, &path, there, flags);
                let close_on_exec = flags.bits & libc::O_CLOEXEC != 0;
                match opened {
                    Ok(file) if notify::hand_over(listener, id, file.as_fd(), close_on_exec) => None,
                    Ok(_) => Some(Answer::Go),
                    Err(error) => Some(Answer::Fail(error.raw_os_error())),
                }
            }
        }
    }

    fn one(&self, caller: Caller, doing: Doing, at: At, follow: bool) -> Option<Answer> {
        let (path, there) = place(caller, at, follow).unzip();
        let verdict = match (path, there) {
            (Some(path), Some(there)) => self.judge(&path, there, doing),
            _ => Verdict::Pass,
        };
        Some(if verdict == Verdict::Deny { Answer::Fail(libc::EACCES) } else { Answer::Go })
    }

    fn rename(&self, caller: Caller, from: At, to: At) -> Option<Answer> {
        let (Some((from, was)), Some((to, there))) = (place(caller, from, false), place(caller, to, false))
        else {
            return Some(Answer::Go);
        };
        let making = if was == There::Directory { Doing::MakeDirectory } else { Doing::Make };
        let denied = self.judge(&from, was, Doing::Remove) == Verdict::Deny
            || self.judge(&to, there, making) == Verdict::Deny;
        Some(if denied { Answer::Fail(libc::EACCES) } else { Answer::Go })
    }

    /// Decides, and notes what is worth it.
    fn judge(&self, path: &Path, there: There, doing: Doing) -> Verdict {
        if path.starts_with(&self.free) {
            return Verdict::Pass;
        }
        let Ok(below) = path.strip_prefix(&self.root) else { return self.judge_above(path, there, doing) };
        let deed = Deed { path: below.to_owned(), doing, there };
        let mut noted = self.lock();
        let Some(policy) = &self.policy else {
            noted.deeds.insert(deed);
            return Verdict::Pass;
        };
        let verdict = policy.decide(below, there, doing, &noted.made);
        if verdict == Verdict::Deny {
            noted.deeds.insert(deed);
        } else if matches!(doing, Doing::Write(_) | Doing::Make) {
            noted.made.insert(deed.path);
        }
        verdict
    }

    /// Directories above the project: what they held when the step began is
    /// allowed one by one, and so is neither their list nor anything new.
    fn judge_above(&self, path: &Path, there: There, doing: Doing) -> Verdict {
        let is_above = |path: &Path| path != self.root && self.root.starts_with(path);
        let new = || there == There::Nothing && path.parent().is_some_and(is_above);
        let denied = match doing {
            Doing::List => is_above(path),
            Doing::Write(opening) => opening.create && new(),
            Doing::Make | Doing::MakeDirectory => new(),
            _ => false,
        };
        if denied && self.policy.is_some() {
            self.lock().deeds.insert(Deed { path: path.to_owned(), doing, there });
            return Verdict::Deny;
        }
        Verdict::Pass
    }
}

fn place(caller: Caller, at: At, follow: bool) -> Option<(PathBuf, There)> {
    resolve(&caller.path(at.directory, at.address)?, follow)
}

fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Opens a file as its caller would, with the permissions that it would have.
fn open_for(caller: Caller, path: &Path, there: There, flags: Flags) -> rustix::io::Result<OwnedFd> {
    let bits = OFlags::from_bits_retain(flags.bits.cast_unsigned());
    let file = rustix::fs::open(
        path,
        bits | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::from_raw_mode(flags.mode & 0o7777),
    )?;
    if there == There::Nothing
        && let Some(umask) = caller.umask()
    {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(flags.mode & 0o7777 & !umask))?;
    }
    Ok(file)
}
