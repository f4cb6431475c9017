//! Hears of each call before it happens, notes it, and answers.

use std::io::{IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::run::sandbox::call::{At, Call, Flags};
use crate::run::sandbox::deed::{Doing, There};
use crate::run::sandbox::file;
use crate::run::sandbox::memory::Caller;
use crate::run::sandbox::notes::Notes;
use crate::run::sandbox::notification::{self, Announced, Answer};
use crate::run::sandbox::places::{Place, Places};
use crate::run::sandbox::policy::Verdict;

/// Where the socket lies in a private directory, through its descriptor.
pub(super) fn socket_in(directory: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), file::SOCKET))
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
            let Ok(announced) = notification::next(listener.as_fd()) else { continue };
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
    /// Where a path leads that a call names, and what is there.
    fn place(&self, caller: Caller, at: At, follow: bool) -> Option<(Place, There)> {
        let path = caller.path(at.directory, at.address)?;
        self.places().resolve(&path, follow)
    }

    /// Decides on what is done at a place, and on the links that lead there where it is
    /// something that the step would read otherwise if they led elsewhere.
    fn judge_way(&self, place: &Place, there: There, doing: Doing) -> Verdict {
        let reads = matches!(doing, Doing::Read | Doing::Execute | Doing::List);
        if reads && place.links.iter().any(|link| self.judge_link(link) == Verdict::Deny) {
            return Verdict::Deny;
        }
        self.judge(&place.path, there, doing)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, listener: BorrowedFd<'_>, announced: Announced) {
        let caller = Caller(announced.thread);
        let call = Call::read(announced.number, &announced.arguments, caller);
        let done = match call {
            Some(Call::Open(at, flags)) => self.open(listener, announced.id, caller, at, flags),
            Some(Call::Do(doing, at, follow)) => Some(self.one(caller, doing, at, follow)),
            Some(Call::Move(from, to)) => Some(self.rename(caller, from, to)),
            Some(Call::Link(from, to, follow)) => Some(self.link(caller, from, to, follow)),
            None => Some(Answer::Go),
        };
        if matches!(call, Some(Call::Do(Doing::Remove, ..) | Call::Move(..))) {
            self.places().forget();
        }
        if let Some(answer) = done {
            notification::answer(listener, announced.id, answer);
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
        let Some((place, there)) = self.place(caller, at, flags.follow()) else { return Some(Answer::Go) };
        if flags.bits & libc::O_TMPFILE == libc::O_TMPFILE {
            return Some(Answer::Go);
        }
        match self.judge_way(&place, there, flags.doing(there)) {
            Verdict::Pass => Some(Answer::Go),
            Verdict::Deny => Some(Answer::Fail(libc::EACCES)),
            Verdict::Open if is_pipe(&place.path) => Some(Answer::Go),
            Verdict::Open => {
                let opened = open_for(caller, &place.path, there, flags);
                let close_on_exec = flags.bits & libc::O_CLOEXEC != 0;
                match opened {
                    Ok(file) if notification::hand_over(listener, id, file.as_fd(), close_on_exec) => None,
                    Ok(_) => Some(Answer::Go),
                    Err(error) => Some(Answer::Fail(error.raw_os_error())),
                }
            }
        }
    }

    fn one(&self, caller: Caller, doing: Doing, at: At, follow: bool) -> Answer {
        let place = self.place(caller, at, follow);
        let verdict = place.map_or(Verdict::Pass, |(place, there)| self.judge_way(&place, there, doing));
        if verdict == Verdict::Deny { Answer::Fail(libc::EACCES) } else { Answer::Go }
    }

    /// Gives a file a second name, under which it could be read.
    fn link(&self, caller: Caller, from: At, to: At, follow: bool) -> Answer {
        let (Some((from, was)), Some((to, there))) =
            (self.place(caller, from, follow), self.place(caller, to, false))
        else {
            return Answer::Go;
        };
        let denied = self.judge_way(&from, was, Doing::Read) == Verdict::Deny
            || self.judge_way(&to, there, Doing::Make) == Verdict::Deny;
        if denied { Answer::Fail(libc::EACCES) } else { Answer::Go }
    }

    fn rename(&self, caller: Caller, from: At, to: At) -> Answer {
        let (Some((from, was)), Some((to, there))) =
            (self.place(caller, from, false), self.place(caller, to, false))
        else {
            return Answer::Go;
        };
        // Under its new name it could be read.
        let (making, reading) = match was {
            There::Directory => (Doing::MakeDirectory, Doing::List),
            There::File | There::Nothing => (Doing::Make, Doing::Read),
        };
        let steps = [(&from, was, reading), (&from, was, Doing::Remove), (&to, there, making)];
        let denied =
            steps.iter().any(|(place, there, doing)| self.judge_way(place, *there, *doing) == Verdict::Deny);
        if denied { Answer::Fail(libc::EACCES) } else { Answer::Go }
    }
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
