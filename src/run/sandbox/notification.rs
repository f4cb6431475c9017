//! The kernel's interface by which calls are announced and answered.
#![expect(
    unsafe_code,
    reason = "no library that is kept wraps seccomp's notifications; each call hands the kernel a \
              structure of the type that it is documented to take, which lives until the call returns"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use libc::{seccomp_notif, seccomp_notif_addfd, seccomp_notif_resp, sock_filter, sock_fprog};

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    /// What the answer names.
    pub(super) id: u64,
    /// The thread that waits.
    pub(super) thread: u32,
    /// The number of the call.
    pub(super) number: i64,
    /// Its arguments.
    pub(super) arguments: [u64; 6],
}

/// The answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The kernel does it.
    Go,
    /// It fails with this error.
    Fail(i32),
}

/// Has the calls of this thread, and of all that it starts, announced at the
/// descriptor that is returned.
///
/// # Errors
/// The kernel refuses: it is too old, or somebody listens already.
pub(super) fn listen(program: &mut [sock_filter]) -> io::Result<OwnedFd> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = sock_fprog { len: length, filter: program.as_mut_ptr() };
    // A signal that is handled does not make a call start again that was
    // announced; kernels before 5.19 do not know that.
    let wanted = [
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
    ];
    let mut last = io::Error::from_raw_os_error(libc::EINVAL);
    for flags in wanted {
        // SAFETY: the program lives, and its length is that of the slice.
        let listener = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
        };
        if let Ok(listener) = i32::try_from(listener)
            && listener >= 0
        {
            // SAFETY: the kernel has just opened it for us.
            return Ok(unsafe { OwnedFd::from_raw_fd(listener) });
        }
        last = io::Error::last_os_error();
        if last.raw_os_error() != Some(libc::EINVAL) {
            break;
        }
    }
    Err(last)
}

/// Takes the next call that waits.
///
/// # Errors
/// [`io::ErrorKind::NotFound`]: who called is gone.
pub(super) fn next(listener: BorrowedFd<'_>) -> io::Result<Announced> {
    let mut notification = MaybeUninit::<seccomp_notif>::zeroed();
    // SAFETY: the structure is zeroed, as the kernel wants it, and is filled by it.
    let done = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, notification.as_mut_ptr())
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: every pattern of bits is a value of the structure, which has numbers alone.
    let seccomp_notif { id, pid, data, .. } = unsafe { notification.assume_init() };
    Ok(Announced { id, thread: pid, number: i64::from(data.nr), arguments: data.args })
}

/// Answers a call. That who called is gone by now is no error.
pub(super) fn answer(listener: BorrowedFd<'_>, id: u64, answer: Answer) {
    let (error, flags) = match answer {
        Answer::Go => (0, CONTINUE),
        Answer::Fail(error) => (-error, 0),
    };
    let mut response = seccomp_notif_resp { id, val: 0, error, flags };
    // SAFETY: the structure lives until the call returns.
    unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the flag is 1")]
const CONTINUE: u32 = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
#[expect(clippy::cast_possible_truncation, reason = "the flag is 2")]
const SEND: u32 = libc::SECCOMP_ADDFD_FLAG_SEND as u32;

/// Answers a call with a descriptor of the caller's own for an open file.
/// Returns whether that was possible: kernels before 5.14 cannot.
pub(super) fn hand_over(
    listener: BorrowedFd<'_>,
    id: u64,
    file: BorrowedFd<'_>,
    close_on_exec: bool,
) -> bool {
    let mut addition = seccomp_notif_addfd {
        id,
        flags: SEND,
        srcfd: file.as_raw_fd().cast_unsigned(),
        newfd: 0,
        newfd_flags: if close_on_exec { libc::O_CLOEXEC.cast_unsigned() } else { 0 },
    };
    // SAFETY: the structure lives until the call returns, and so does the file.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut addition) >= 0 }
}
