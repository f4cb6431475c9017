//! Waiting for changes of the file system.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::diagnostic::{Code, Problem};
use crate::facts::poll::Poll;

/// Hears the paths at which something happened. A path that is a directory means
/// that something in it may have changed.
pub(super) type Hear = Arc<dyn Fn(BTreeSet<PathBuf>) + Send + Sync>;

/// Watches directories, each without those in it, and tells of what happens
/// there.
pub struct Watcher {
    hear: Hear,
    eyes: Eyes,
    watched: BTreeSet<PathBuf>,
}

/// How changes are seen.
enum Eyes {
    /// The system tells.
    System(RecommendedWatcher),
    /// Looking again and again.
    Polling(Poll),
}

impl Watcher {
    /// Watches nothing yet. `poll` looks again and again instead of asking the
    /// system, which does not tell of changes on some network file systems. The
    /// second value says why it is polled although it was not asked for.
    ///
    /// # Errors
    /// Neither is possible ([`Code::CannotStart`]).
    pub fn new(
        poll: bool,
        hear: impl Fn(BTreeSet<PathBuf>) + Send + Sync + 'static,
    ) -> Result<(Self, Option<String>), Problem> {
        let hear: Hear = Arc::new(hear);
        let mut why = None;
        let mut eyes = None;
        if !poll {
            match RecommendedWatcher::new(telling(&hear), Config::default()) {
                Ok(watcher) => eyes = Some(Eyes::System(watcher)),
                Err(error) => why = Some(polling_because(&error)),
            }
        }
        let eyes = match eyes {
            Some(eyes) => eyes,
            None => Eyes::Polling(polling(&hear)?),
        };
        Ok((Self { hear, eyes, watched: BTreeSet::new() }, why))
    }

    /// Watches these directories and no others; those of `anew` may have been
    /// removed and made again. Where the system can watch no more, says so and
    /// looks again and again from now on.
    ///
    /// # Errors
    /// Neither is possible ([`Code::CannotStart`]).
    pub fn watch(
        &mut self,
        directories: BTreeSet<PathBuf>,
        anew: &BTreeSet<PathBuf>,
    ) -> Result<Option<String>, Problem> {
        let failed = match &mut self.eyes {
            Eyes::System(watcher) => attend(watcher, &self.watched, &directories, anew).err(),
            Eyes::Polling(poll) => {
                poll.watch(&directories);
                None
            }
        };
        self.watched = directories;
        let Some(error) = failed else { return Ok(None) };
        let poll = polling(&self.hear)?;
        poll.watch(&self.watched);
        self.eyes = Eyes::Polling(poll);
        Ok(Some(polling_because(&error)))
    }
}

/// Has the system tell of these directories, and no longer of those before.
fn attend(
    watcher: &mut RecommendedWatcher,
    before: &BTreeSet<PathBuf>,
    directories: &BTreeSet<PathBuf>,
    anew: &BTreeSet<PathBuf>,
) -> notify::Result<()> {
    for gone in before.iter().filter(|path| !directories.contains(*path) || anew.contains(*path)) {
        // The system forgets a directory that is removed by itself.
        let _forgotten = watcher.unwatch(gone);
    }
    for directory in directories.iter().filter(|path| !before.contains(*path) || anew.contains(*path)) {
        match watcher.watch(directory, RecursiveMode::NonRecursive) {
            // A directory can go at any time; another change tells of that.
            Err(error) if directory.is_dir() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn polling(hear: &Hear) -> Result<Poll, Problem> {
    Poll::new(hear).map_err(|error| {
        Problem::new(Code::CannotStart, "the project cannot be watched for changes").note(error.to_string())
    })
}

fn polling_because(error: &notify::Error) -> String {
    let why = match &error.kind {
        notify::ErrorKind::MaxFilesWatch => "fs.inotify.max_user_watches is reached".to_owned(),
        notify::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    };
    format!("the system cannot watch so much ({why}): looks for changes every second instead")
}

/// Passes on the paths of events that are changes.
fn telling(hear: &Hear) -> impl Fn(notify::Result<notify::Event>) + Send + 'static {
    let hear = Arc::clone(hear);
    move |event| {
        // An error of one path is that it has gone.
        let Ok(event) = event else { return };
        if event.need_rescan() {
            // Some were lost: anything may have changed.
            hear([PathBuf::from("/")].into());
        } else if !matches!(event.kind, EventKind::Access(_)) && !event.paths.is_empty() {
            hear(event.paths.into_iter().collect());
        }
    }
}
