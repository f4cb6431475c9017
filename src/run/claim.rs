//! The right to make a step's outputs, which one hoist has at a time.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
#[cfg(target_os = "linux")]
use nix::fcntl::FcntlArg::F_OFD_SETLK as SET_LOCK;
// Belongs to the process: two runs in one process do not wait for each other.
#[cfg(not(target_os = "linux"))]
use nix::fcntl::FcntlArg::F_SETLK as SET_LOCK;
use nix::fcntl::fcntl;
use nix::libc;

use crate::plan::StepId;
use crate::run::teller::{Teller, Told};
use crate::run::tree::left_running;

/// The file whose bytes are locked, below the project's directory. It stays empty:
/// each step has a byte far behind its end.
const FILE: &str = ".hoist/lock";

/// How often it is looked whether another hoist is done.
const TICK: Duration = Duration::from_millis(50);

/// After so many looks it is looked again for whom it waits.
const LOOKS: u32 = 20;

/// The claims of one run in a project.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    path: PathBuf,
    /// `None` where it cannot be written.
    file: Option<Arc<File>>,
}

/// Held while a step's outputs are looked for, made, and kept: of two processes
/// that write one file at once, each would keep what both wrote.
///
/// Its end is said aloud, so that a service which the step leaves behind keeps
/// nobody waiting. Where hoist is killed before, it ends with the last of the
/// commands that it was [handed on](Self::handed_on) to: they go on writing.
#[derive(Debug)]
pub(super) struct Claim {
    held: Option<(Arc<File>, libc::off_t)>,
}

impl Claims {
    /// Those of a run in the project in `root`.
    pub(super) fn new(root: &Path) -> Self {
        let path = root.join(FILE);
        let file =
            open(&path).or_else(|_| fs::create_dir_all(root.join(".hoist")).and_then(|()| open(&path)));
        Self { path, file: file.ok().map(Arc::new) }
    }

    /// The file, opened for one claim: what inherits it holds on to no other claim.
    /// Where locks belong to the process, one that is closed would end them all.
    fn own(&self) -> Option<Arc<File>> {
        let own = if cfg!(target_os = "linux") { open(&self.path).ok().map(Arc::new) } else { None };
        own.or_else(|| self.file.clone())
    }

    /// Waits until no other hoist makes the outputs of this step, and nothing that one
    /// left behind which was killed; `None` if that is given up. Where the file system
    /// knows no locks, it does not wait.
    pub(super) async fn of(
        &self,
        step: &StepId,
        is_given_up: impl Fn() -> bool,
        teller: &Teller,
    ) -> Option<Claim> {
        let Some(file) = self.own() else { return Some(Claim { held: None }) };
        let byte = byte_of(step);
        let (mut looks, mut told) = (0, String::new());
        loop {
            match set(&file, byte, libc::F_WRLCK) {
                Ok(()) => return Some(Claim { held: Some((file, byte)) }),
                Err(Errno::EAGAIN | Errno::EACCES) => {}
                Err(_) => return Some(Claim { held: None }),
            }
            if looks % LOOKS == 0 {
                let text = self.waits_for(step);
                if text != told {
                    teller.tell(Told::Notice(text.clone())).await;
                    told = text;
                }
            }
            looks += 1;
            tokio::time::sleep(TICK).await;
            if is_given_up() {
                return None;
            }
        }
    }

    fn waits_for(&self, step: &StepId) -> String {
        match left_running(&step.to_string(), &self.path) {
            Some((name, group)) => format!(
                "`{name}` still makes the same here, left behind by a hoist that was killed: waits for it \
                 (`kill -- -{group}` ends it)"
            ),
            None => "another hoist makes the same here: waits for it".to_owned(),
        }
    }
}

impl Claim {
    /// What a command is to inherit that makes the outputs, so that it keeps the claim if
    /// hoist is killed; nothing where locks belong to the process.
    pub(super) fn handed_on(&self) -> Option<BorrowedFd<'_>> {
        self.held.as_ref().filter(|_| cfg!(target_os = "linux")).map(|(file, _)| file.as_fd())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((file, byte)) = &self.held {
            let _ends_when_it_is_closed = set(file, *byte, libc::F_UNLCK);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(path)
}

/// The byte that stands for a step: the same in every process.
fn byte_of(step: &StepId) -> libc::off_t {
    let digest = blake3::hash(step.to_string().as_bytes());
    let first = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    libc::off_t::from_le_bytes(first) & (libc::off_t::MAX >> 1)
}

#[expect(clippy::cast_possible_truncation, reason = "constants of the system's header, in a field for them")]
fn set(file: &File, byte: libc::off_t, kind: libc::c_int) -> Result<(), Errno> {
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file, SET_LOCK(&lock)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_claimed_once_and_others_beside_it() {
        let dir = tempfile::TempDir::new().unwrap();
        let (one, other) = (Claims::new(dir.path()), Claims::new(dir.path()));
        let (one, other) = (one.own().unwrap(), other.own().unwrap());
        let [a, b] = ["a", "b"].map(|name| byte_of(&StepId::target(name)));
        assert_eq!(set(&one, a, libc::F_WRLCK), Ok(()));
        assert_eq!(set(&other, a, libc::F_WRLCK), Err(Errno::EAGAIN));
        assert_eq!(set(&other, b, libc::F_WRLCK), Ok(()));
        assert_eq!(set(&one, a, libc::F_UNLCK), Ok(()));
        assert_eq!(set(&other, a, libc::F_WRLCK), Ok(()));
    }
}
