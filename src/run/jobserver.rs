//! The places that hoist shares with what its steps start: make's jobserver.
//!
//! As many steps run at once as `-j` says, and `make`, `cargo`, or `ninja` in one
//! of them would each take as many processors again. So hoist offers them a pipe
//! of tokens, as make does: whoever wants to do one thing more at a time takes a
//! token and puts it back. A step owns the one token that it was started with;
//! the first step that runs has hoist's own, each further one takes one from the
//! pipe. hoist that was itself started with such a pipe takes part in that.
//!
//! The pipe is a named one, which needs no file descriptor to be handed down,
//! unless the `make` of this machine is older than 4.4 and would give up on it:
//! then it is told by its descriptors, which all commands inherit.
#![expect(clippy::disallowed_methods, reason = "make is asked for its version")]

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, OnceCell};
use tokio::task::spawn_blocking;

/// The variable that tells of a jobserver.
pub(super) const VARIABLE: &str = "MAKEFLAGS";

/// The places of a run. Nothing is made before the first step asks.
#[derive(Debug)]
pub(super) struct Jobserver {
    jobs: usize,
    /// `MAKEFLAGS` of hoist's own environment.
    flags: String,
    /// Whether the jobserver that those tell of is left alone.
    own: bool,
    pool: OnceCell<Option<Arc<Pool>>>,
}

/// A place to run. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Token {
    /// `None` for a run without places.
    taken: Option<(Arc<Pool>, Place)>,
}

/// Where a place comes from.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// It is the one that hoist was started with.
    Own,
    /// This byte was read from the pipe.
    Token(u8),
}

#[derive(Debug)]
struct Pool {
    reader: pipe::Receiver,
    writer: File,
    /// How many tokens the pipe holds while none is taken, if hoist made it.
    size: Option<usize>,
    state: Mutex<State>,
    /// hoist's own place became free.
    freed: Notify,
    /// What commands are told of the pipe.
    flags: String,
    /// What has to stay as long as the pipe is used: its place, if it is told by its name,
    /// and the ends that commands inherit.
    _kept: Option<(Option<TempDir>, [File; 2])>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether hoist's own place is taken.
    own_taken: bool,
    /// Tokens that steps have, hoist's own place included.
    taken: usize,
}

impl Jobserver {
    /// So many places. `flags` is the value of [`VARIABLE`] in hoist's environment:
    /// a jobserver that it tells of is taken part in, unless the number of places
    /// was asked for.
    pub(super) fn new(jobs: usize, asked_for: bool, flags: Option<&OsStr>) -> Self {
        let flags = flags.and_then(OsStr::to_str).unwrap_or_default().to_owned();
        Self { jobs, flags, own: asked_for, pool: OnceCell::new() }
    }

    /// Waits for a place, at least for hoist's own.
    pub(super) async fn token(&self) -> Token {
        let pool = self.pool.get_or_init(|| self.open()).await.clone();
        match pool {
            Some(pool) => pool.token().await,
            None => Token { taken: None },
        }
    }

    /// As [`token`](Self::token), for what does not pass places on: where nobody has some to
    /// share so far, none are made for it.
    pub(super) async fn token_if_shared(&self) -> Token {
        let is_told = !self.own && auth(&self.flags).is_some();
        if is_told || self.pool.initialized() { self.token().await } else { Token { taken: None } }
    }

    /// A further place for whoever has one, if there is one at once. Where nobody has some
    /// to share, everybody does as they please.
    pub(super) fn spare(&self) -> Option<Token> {
        let Some(Some(pool)) = self.pool.get() else { return Some(Token { taken: None }) };
        pool.try_take().map(|place| Token { taken: Some((Arc::clone(pool), place)) })
    }

    async fn open(&self) -> Option<Arc<Pool>> {
        if !self.own
            && let Some(auth) = auth(&self.flags)
            && let Ok(pool) = Pool::join(auth, self.flags.clone())
        {
            return Some(Arc::new(pool));
        }
        if self.jobs < 2 {
            return None;
        }
        let named = spawn_blocking(make_knows_names).await.unwrap_or(false);
        // Without one, each command does as it pleases.
        Pool::create(self.jobs, &self.flags, named).ok().map(Arc::new)
    }
}

impl Token {
    /// What a command is told of the places, if there are some to share.
    pub(super) fn flags(&self) -> Option<&str> {
        self.taken.as_ref().map(|(pool, _)| pool.flags.as_str())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some((pool, place)) = &self.taken {
            pool.give_back(*place);
        }
    }
}

impl Pool {
    fn create(jobs: usize, flags: &str, named: bool) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("hoist-jobs-").tempdir()?;
        let path = directory.path().join("fifo");
        let name = path.to_str().filter(|name| !name.contains(char::is_whitespace));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let reader = pipe::OpenOptions::new().open_receiver(&path)?;
        let writer = OpenOptions::new().write(true).open(&path)?;
        // Apart from hoist's own, which never wait: who inherits them may want to.
        let ends = [File::open(&path)?, OpenOptions::new().write(true).open(&path)?];
        let (auth, directory) = if let Some(name) = name.filter(|_| named) {
            (format!("fifo:{name}"), Some(directory))
        } else {
            for end in &ends {
                fcntl_setfd(end, FdFlags::empty())?;
            }
            (format!("{},{}", ends[0].as_raw_fd(), ends[1].as_raw_fd()), None)
        };
        (&writer).write_all(&vec![b'+'; jobs - 1])?;
        let others = flags.split_whitespace().filter(|flag| !tells_of_jobs(flag));
        let others = others.collect::<Vec<_>>().join(" ");
        Ok(Self {
            reader,
            writer,
            size: Some(jobs - 1),
            state: Mutex::default(),
            freed: Notify::new(),
            flags: format!("{others} -j{jobs} --jobserver-auth={auth}"),
            _kept: Some((directory, ends)),
        })
    }

    /// Takes part in the jobserver that made hoist run.
    fn join(auth: &str, flags: String) -> io::Result<Self> {
        let (from, to) = match (auth.strip_prefix("fifo:"), auth.split_once(',')) {
            (Some(path), _) => (PathBuf::from(path), PathBuf::from(path)),
            (None, Some((from, to))) => (descriptor(from)?, descriptor(to)?),
            (None, None) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(Self {
            reader: pipe::OpenOptions::new().open_receiver(from)?,
            writer: OpenOptions::new().write(true).open(to)?,
            size: None,
            state: Mutex::default(),
            freed: Notify::new(),
            flags,
            _kept: None,
        })
    }

    async fn token(self: Arc<Self>) -> Token {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_take() {
                return Token { taken: Some((Arc::clone(&self), place)) };
            }
            tokio::select! {
                () = freed => {}
                _ = self.reader.readable() => {}
            }
        }
    }

    /// Takes hoist's own place or a token, if there is one.
    fn try_take(&self) -> Option<Place> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut byte = [0];
        let place = if state.own_taken {
            // The second one notes that there is nothing, if there is nothing: then it
            // can be waited for.
            let read = matches!(rustix::io::read(&self.reader, &mut byte), Ok(1))
                || matches!(self.reader.try_read(&mut byte), Ok(1));
            if !read {
                return None;
            }
            Place::Token(byte[0])
        } else {
            state.own_taken = true;
            Place::Own
        };
        state.taken += 1;
        Some(place)
    }

    fn give_back(&self, place: Place) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken -= 1;
        if let Place::Token(byte) = place {
            drop((&self.writer).write_all(&[byte]));
        } else {
            state.own_taken = false;
            self.freed.notify_one();
        }
        if let (0, Some(size)) = (state.taken, self.size) {
            self.refill(size);
        }
    }

    /// Nothing runs: who was killed with a token in hand has lost it, so that what
    /// is missing is put back; and what came back later than that is taken out.
    fn refill(&self, size: usize) {
        let mut bytes = [0; 256];
        while matches!(rustix::io::read(&self.reader, &mut bytes), Ok(1..)) {}
        drop((&self.writer).write_all(&vec![b'+'; size]));
    }
}

/// The pipe that these flags tell of: the last one counts.
fn auth(flags: &str) -> Option<&str> {
    let told = |flag| {
        ["--jobserver-auth=", "--jobserver-fds="].into_iter().find_map(|name| str::strip_prefix(flag, name))
    };
    flags.split_whitespace().filter_map(told).next_back()
}

/// Whether a flag of make says how much is done at once.
fn tells_of_jobs(flag: &str) -> bool {
    flag.starts_with("-j") || flag.starts_with("--jobserver-") || flag.starts_with("--jobs")
}

/// A file descriptor that was inherited, as a file: opened anew, so that it can be
/// made not to wait without others noticing.
fn descriptor(number: &str) -> io::Result<PathBuf> {
    let number: u32 = number.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(Path::new("/dev/fd").join(number.to_string()))
}

/// Whether the `make` of this machine, if it has one, knows jobservers by name.
fn make_knows_names() -> bool {
    let asked = Command::new("make").arg("--version").env_remove(VARIABLE).stdin(Stdio::null()).output();
    let Ok(answer) = asked else { return true };
    let answer = String::from_utf8_lossy(&answer.stdout);
    let version = answer.strip_prefix("GNU Make ").and_then(|rest| rest.lines().next());
    let mut numbers = version.unwrap_or_default().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (4, 4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Whether a place is free: what is not there at once comes from elsewhere.
    async fn free(jobserver: &Jobserver) -> Option<Token> {
        tokio::time::timeout(Duration::from_millis(1), jobserver.token()).await.ok()
    }

    #[test]
    fn there_are_as_many_places_as_jobs_and_each_comes_back() {
        block_on(async {
            let jobserver = Jobserver::new(3, false, None);
            let mut tokens: Vec<Token> = Vec::new();
            for _ in 0..3 {
                tokens.push(jobserver.token().await);
            }
            for at in 0..3 {
                assert!(free(&jobserver).await.is_none());
                tokens.remove(2 - at);
                tokens.push(jobserver.token().await);
            }
        });
    }

    #[test]
    fn what_a_killed_command_took_is_put_back_when_nothing_runs() {
        block_on(async {
            let jobserver = Jobserver::new(4, false, None);
            let token = jobserver.token().await;
            let (pool, _) = token.taken.clone().unwrap();
            let mut lost = [0; 2];
            assert_eq!(rustix::io::read(&pool.reader, &mut lost).unwrap(), 2);
            let second = jobserver.token().await;
            assert!(free(&jobserver).await.is_none());
            drop((token, second));
            let all = [jobserver.token().await, jobserver.token().await, jobserver.token().await];
            assert!(free(&jobserver).await.is_some());
            drop(all);
        });
    }

    #[test]
    fn hoist_below_hoist_takes_part_by_name_and_by_descriptor() {
        block_on(async {
            for named in [true, false] {
                let pool = Arc::new(Pool::create(2, "-s -j8 --jobserver-auth=7,8", named).unwrap());
                assert!(pool.flags.starts_with("-s -j2 --jobserver-auth="), "{}", pool.flags);
                let flags = pool.flags.clone();
                let inner = Jobserver::new(8, false, Some(flags.as_ref()));
                let (own, further) = (inner.token().await, inner.token().await);
                assert_eq!(own.flags(), Some(flags.as_str()));
                let outer = Arc::clone(&pool).token().await;
                assert!(pool.try_take().is_none() && free(&inner).await.is_none());
                drop(further);
                assert!(pool.try_take().is_some());
                drop((own, outer));
            }
        });
    }

    #[test]
    fn who_has_a_place_gets_further_ones_as_long_as_there_are_some() {
        block_on(async {
            let jobserver = Jobserver::new(2, false, None);
            assert!(jobserver.token_if_shared().await.taken.is_none() && jobserver.spare().is_some());
            assert!(!jobserver.pool.initialized());
            let (first, further) = (jobserver.token().await, jobserver.spare());
            assert!(further.is_some() && jobserver.spare().is_none());
            drop(first);
            assert!(jobserver.spare().is_some());
            assert!(jobserver.token_if_shared().await.taken.is_some());
        });
    }

    #[test]
    fn who_asks_for_a_number_of_jobs_gets_it() {
        block_on(async {
            let pool = Pool::create(2, "", true).unwrap();
            let inner = Jobserver::new(1, true, Some(pool.flags.as_ref()));
            assert_eq!((inner.token().await.flags(), inner.token().await.flags()), (None, None));
        });
    }
}
