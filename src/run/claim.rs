//! The right to make a step's outputs, which one hoist has at a time.

use std::fs::{self, File};
use std::path::Path;
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

/// The file whose bytes are locked, below the project's directory. It stays empty:
/// each step has a byte far behind its end.
const FILE: &str = ".hoist/lock";

/// How often it is looked whether another hoist is done.
const TICK: Duration = Duration::from_millis(50);

/// The claims of one run in a project.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    /// `None` where it cannot be written.
    file: Option<Arc<File>>,
}

/// Held while a step's outputs are looked for, made, and kept: of two processes
/// that write one file at once, each would keep what both wrote. Ends with the
/// process that holds it, however that ends.
#[derive(Debug)]
pub(super) struct Claim {
    held: Option<(Arc<File>, libc::off_t)>,
}

impl Claims {
    /// Those of a run in the project in `root`.
    pub(super) fn new(root: &Path) -> Self {
        let file = root.join(FILE);
        let open = || File::options().create(true).truncate(false).write(true).open(&file);
        let file = open().or_else(|_| fs::create_dir_all(root.join(".hoist")).and_then(|()| open()));
        Self { file: file.ok().map(Arc::new) }
    }

    /// Waits until no other hoist makes the outputs of this step; `None` if that is
    /// given up. Where the file system knows no locks, it does not wait.
    pub(super) async fn of(
        &self,
        step: &StepId,
        is_given_up: impl Fn() -> bool,
        teller: &Teller,
    ) -> Option<Claim> {
        let Some(file) = &self.file else { return Some(Claim { held: None }) };
        let byte = byte_of(step);
        let mut told = false;
        loop {
            match set(file, byte, libc::F_WRLCK) {
                Ok(()) => return Some(Claim { held: Some((Arc::clone(file), byte)) }),
                Err(Errno::EAGAIN | Errno::EACCES) => {}
                Err(_) => return Some(Claim { held: None }),
            }
            if !told {
                let text = "another hoist makes the same here: waits for it";
                teller.tell(Told::Notice(text.to_owned())).await;
                told = true;
            }
            tokio::time::sleep(TICK).await;
            if is_given_up() {
                return None;
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((file, byte)) = &self.held {
            let _ends_with_the_process = set(file, *byte, libc::F_UNLCK);
        }
    }
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
        let (one, other) = (one.file.unwrap(), other.file.unwrap());
        let [a, b] = ["a", "b"].map(|name| byte_of(&StepId::target(name)));
        assert_eq!(set(&one, a, libc::F_WRLCK), Ok(()));
        assert_eq!(set(&other, a, libc::F_WRLCK), Err(Errno::EAGAIN));
        assert_eq!(set(&other, b, libc::F_WRLCK), Ok(()));
        assert_eq!(set(&one, a, libc::F_UNLCK), Ok(()));
        assert_eq!(set(&other, a, libc::F_WRLCK), Ok(()));
    }
}
