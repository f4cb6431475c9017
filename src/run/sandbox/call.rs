//! Calls that name paths, and what they do with them.

use crate::run::sandbox::deed::{Doing, Opening, There};
use crate::run::sandbox::memory::Caller;

/// A path as a call names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// The open directory that it is seen from; negative for the working directory.
    pub(super) directory: i32,
    /// Where it stands in the caller's memory.
    pub(super) address: u64,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Opens a path.
    Open(At, Flags),
    /// Does one thing with a path; whether a link at its end is followed.
    Do(Doing, At, bool),
    /// Takes a path away and puts it in the place of another.
    Move(At, At),
    /// Gives a file a second name; whether a link at the end of the first is followed.
    Link(At, At, bool),
}

/// How a path is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    /// The bits of `open`.
    pub(super) bits: i32,
    /// Permissions of a file that is made.
    pub(super) mode: u32,
}

/// Numbers of calls that read content, list, execute, or change.
pub(super) const USING: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_truncate,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mknodat,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_renameat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
];

/// Numbers of calls that look whether there is something, and what.
pub(super) const LOOKING: &[i64] = &[
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_newfstatat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
];

impl Call {
    /// What a call does that has one of the numbers above.
    pub(super) fn read(number: i64, arguments: &[u64; 6], caller: Caller) -> Option<Self> {
        let [first, second, third, fourth, fifth, _] = *arguments;
        let at = |directory: u64, address: u64| At { directory: low(directory), address };
        let here = |address: u64| At { directory: libc::AT_FDCWD, address };
        let flags = |bits: u64, mode: u64| Flags { bits: low(bits), mode: low(mode).cast_unsigned() };
        let nofollow = |bits: u64| low(bits) & libc::AT_SYMLINK_NOFOLLOW == 0;
        Some(match number {
            libc::SYS_openat => Self::Open(at(first, second), flags(third, fourth)),
            libc::SYS_openat2 => {
                let how = |offset| Some(u64::from_ne_bytes(caller.bytes(third.checked_add(offset)?)?));
                Self::Open(at(first, second), flags(how(0)?, how(8)?))
            }
            libc::SYS_execve => Self::Do(Doing::Execute, here(first), true),
            libc::SYS_execveat => Self::Do(Doing::Execute, at(first, second), nofollow(fifth)),
            libc::SYS_truncate => Self::Do(Doing::Write(TRUNCATED), here(first), true),
            libc::SYS_mkdirat => Self::Do(Doing::MakeDirectory, at(first, second), false),
            libc::SYS_unlinkat => Self::Do(Doing::Remove, at(first, second), false),
            libc::SYS_renameat2 => Self::Move(at(first, second), at(third, fourth)),
            libc::SYS_linkat => {
                Self::Link(at(first, second), at(third, fourth), low(fifth) & libc::AT_SYMLINK_FOLLOW != 0)
            }
            libc::SYS_symlinkat => Self::Do(Doing::Make, at(second, third), false),
            libc::SYS_mknodat => Self::Do(Doing::Make, at(first, second), false),
            libc::SYS_fchmodat => Self::Do(Doing::Write(TRUNCATED), at(first, second), true),
            libc::SYS_fchmodat2 => Self::Do(Doing::Write(TRUNCATED), at(first, second), nofollow(fourth)),
            libc::SYS_statx => Self::Do(Doing::Look, at(first, second), nofollow(third)),
            libc::SYS_faccessat => Self::Do(Doing::Look, at(first, second), true),
            libc::SYS_faccessat2 => Self::Do(Doing::Look, at(first, second), nofollow(fourth)),
            libc::SYS_readlinkat => Self::Do(Doing::Look, at(first, second), false),
            _ => return Self::of_processor(number, arguments),
        })
    }

    /// Calls that only some processors have.
    #[cfg(target_arch = "x86_64")]
    fn of_processor(number: i64, arguments: &[u64; 6]) -> Option<Self> {
        let [a, b, c, d, ..] = *arguments;
        let at = |directory: u64, address: u64| At { directory: low(directory), address };
        let here = |address: u64| At { directory: libc::AT_FDCWD, address };
        let flags = |bits: i32, mode: u64| Flags { bits, mode: low(mode).cast_unsigned() };
        Some(match number {
            libc::SYS_open => Self::Open(here(a), flags(low(b), c)),
            libc::SYS_creat => Self::Open(here(a), flags(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, b)),
            libc::SYS_mkdir => Self::Do(Doing::MakeDirectory, here(a), false),
            libc::SYS_rmdir | libc::SYS_unlink => Self::Do(Doing::Remove, here(a), false),
            libc::SYS_rename => Self::Move(here(a), here(b)),
            libc::SYS_renameat => Self::Move(at(a, b), at(c, d)),
            libc::SYS_link => Self::Link(here(a), here(b), false),
            libc::SYS_symlink => Self::Do(Doing::Make, here(b), false),
            libc::SYS_mknod => Self::Do(Doing::Make, here(a), false),
            libc::SYS_chmod => Self::Do(Doing::Write(TRUNCATED), here(a), true),
            libc::SYS_newfstatat => Self::Do(Doing::Look, at(a, b), low(d) & libc::AT_SYMLINK_NOFOLLOW == 0),
            libc::SYS_stat | libc::SYS_access => Self::Do(Doing::Look, here(a), true),
            libc::SYS_lstat | libc::SYS_readlink => Self::Do(Doing::Look, here(a), false),
            _ => return None,
        })
    }

    /// Calls that only some processors have.
    #[cfg(not(target_arch = "x86_64"))]
    fn of_processor(number: i64, arguments: &[u64; 6]) -> Option<Self> {
        let [a, b, c, d, ..] = *arguments;
        let at = |directory: u64, address: u64| At { directory: low(directory), address };
        match number {
            #[cfg(target_arch = "aarch64")]
            libc::SYS_renameat => Some(Self::Move(at(a, b), at(c, d))),
            #[cfg(target_arch = "aarch64")]
            libc::SYS_newfstatat => {
                Some(Self::Do(Doing::Look, at(a, b), low(d) & libc::AT_SYMLINK_NOFOLLOW == 0))
            }
            _ => None,
        }
    }
}

/// A file that is cut off, or may be executed from now on: without being read.
const TRUNCATED: Opening = Opening { read: false, create: false, truncate: true };

impl Flags {
    /// Whether a link at the end of the path is followed.
    pub(super) const fn follow(self) -> bool {
        let exclusive = self.bits & libc::O_CREAT != 0 && self.bits & libc::O_EXCL != 0;
        self.bits & libc::O_NOFOLLOW == 0 && !exclusive
    }

    /// What opening does where this is.
    pub(super) fn doing(self, there: There) -> Doing {
        let has = |bit: i32| self.bits & bit == bit;
        let mode = self.bits & libc::O_ACCMODE;
        let create = has(libc::O_CREAT);
        if has(libc::O_PATH) {
            Doing::Look
        } else if mode != libc::O_RDONLY || has(libc::O_TRUNC) || create && there == There::Nothing {
            let (read, truncate) = (mode != libc::O_WRONLY, has(libc::O_TRUNC));
            Doing::Write(Opening { read, create, truncate })
        } else if there == There::Directory || has(libc::O_DIRECTORY) {
            Doing::List
        } else {
            Doing::Read
        }
    }
}

/// The lower half of an argument: what calls take as an `int`.
#[expect(clippy::cast_possible_truncation, reason = "the upper half means nothing there")]
const fn low(argument: u64) -> i32 {
    argument as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doing(bits: i32, there: There) -> Doing {
        Flags { bits, mode: 0 }.doing(there)
    }

    #[test]
    fn how_a_path_is_opened_says_what_is_done() {
        assert_eq!(doing(libc::O_RDONLY | libc::O_CLOEXEC, There::File), Doing::Read);
        assert_eq!(doing(libc::O_RDONLY, There::Directory), Doing::List);
        assert_eq!(doing(libc::O_RDONLY | libc::O_DIRECTORY, There::Directory), Doing::List);
        assert_eq!(doing(libc::O_PATH, There::File), Doing::Look);
        assert_eq!(doing(libc::O_RDONLY | libc::O_CREAT, There::File), Doing::Read);
        let opening = Opening { read: true, create: true, truncate: true };
        let bits = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        assert_eq!(doing(bits, There::Nothing), Doing::Write(opening));
        let opening = Opening { read: false, create: false, truncate: false };
        assert_eq!(doing(libc::O_WRONLY | libc::O_APPEND, There::File), Doing::Write(opening));
    }

    #[test]
    fn a_link_at_the_end_is_followed_unless_the_call_says_otherwise() {
        let follow = |bits: i32| Flags { bits, mode: 0 }.follow();
        assert!(follow(libc::O_RDONLY) && follow(libc::O_CREAT | libc::O_WRONLY));
        assert!(!follow(libc::O_NOFOLLOW) && !follow(libc::O_CREAT | libc::O_EXCL));
    }
}
