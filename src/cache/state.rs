//! What hoist keeps of a project beside its cache, to begin a run sooner.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::cache::content::write_whole;
use crate::cache::latest::name_of;
use crate::cache::local::FORMAT;
use crate::cache::sealed::{seal, unseal};

/// Begins the names of files of goals.
const GOALS: &str = "goals-";

/// How many different goals are kept, three files each.
const KEPT: usize = 32;

/// The names of the files of some goals.
#[derive(Clone, Debug, Default)]
pub struct GoalFiles {
    /// The table of files.
    pub files: String,
    /// The table of steps.
    pub steps: String,
    /// The texts of the steps.
    pub texts: String,
}

/// Files of a project in the cache of the user, which is known before the release
/// file is read. Each may be gone or damaged at any time; none is worth an error.
#[derive(Clone, Debug)]
pub struct State {
    dir: PathBuf,
}

impl State {
    /// That of the project in `root`, in the cache directory of the user.
    #[must_use]
    pub fn new(cache: &Path, root: &Path) -> Self {
        Self { dir: cache.join(FORMAT).join("projects").join(name_of(root)) }
    }

    /// What was written under a name, as it was written.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.dir.join(name)).ok()
    }

    /// What was written with [`State::write_sealed`].
    #[must_use]
    pub fn read_sealed(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = self.read(name)?;
        let length = unseal(&bytes)?.len();
        bytes.truncate(length);
        Some(bytes)
    }

    /// Writes bytes under a name, all or nothing. That they cannot be written
    /// costs time, and nothing else.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        if fs::create_dir_all(&self.dir).is_ok() {
            let _lost = write_whole(&self.dir, &self.dir.join(name), bytes);
        }
    }

    /// Writes bytes with what tells whether they are whole.
    pub fn write_sealed(&self, name: &str, bytes: Vec<u8>) {
        self.write(name, &seal(bytes));
    }

    /// Reads parts of what was written under a name, by where they begin and how long
    /// they are.
    pub fn parts(&self, name: &str) -> impl Fn(u64, usize) -> Option<Vec<u8>> {
        let file = File::open(self.dir.join(name)).ok();
        let size = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |found| found.len());
        move |start, length| {
            if start.checked_add(length as u64)? > size {
                return None;
            }
            let mut part = vec![0; length];
            file.as_ref()?.read_exact_at(&mut part, start).ok()?;
            Some(part)
        }
    }

    /// The names of the files of some goals, by a digest of them.
    #[must_use]
    pub fn goal_files(digest: &[u8; 32]) -> GoalFiles {
        let hex = blake3::Hash::from_bytes(*digest).to_hex();
        let files = format!("{GOALS}{}", hex.get(..32).unwrap_or_default());
        GoalFiles { steps: format!("{files}-steps"), texts: format!("{files}-texts"), files }
    }

    /// Forgets the goals of which nothing was written the longest.
    pub fn forget(&self) {
        // Their texts are written seldom: how old goals are, the newest of their files says.
        let mut goals: HashMap<String, (SystemTime, Vec<PathBuf>)> = HashMap::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let written = entry.metadata().and_then(|found| found.modified());
            let (Some(rest), Ok(written)) = (name.strip_prefix(GOALS), written) else { continue };
            let digest = rest.split_once('-').map_or(rest, |(digest, _)| digest);
            let (last, files) = goals.entry(digest.to_owned()).or_insert((written, Vec::new()));
            *last = written.max(*last);
            files.push(entry.path());
        }
        let mut goals: Vec<_> = goals.into_values().collect();
        goals.sort();
        let surplus = goals.len().saturating_sub(KEPT);
        for path in goals.into_iter().take(surplus).flat_map(|(_, files)| files) {
            let _gone = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn goals_are_forgotten_as_a_whole_and_by_their_newest_file() {
        let cache = tempfile::tempdir().unwrap();
        let state = State::new(cache.path(), Path::new("/project"));
        let last = u8::try_from(KEPT).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let goals = |at: u8| State::goal_files(&[at; 32]);
        let written = |name: &str, at: SystemTime| {
            state.write(name, b"");
            File::open(state.dir.join(name)).unwrap().set_modified(at).unwrap();
        };
        for at in 0..=last {
            let GoalFiles { files, steps, texts } = goals(at);
            let age = Duration::from_mins(u64::from(at));
            written(&files, long_ago + age);
            written(&steps, long_ago + age);
            // The first of them are those whose texts are the newest.
            written(&texts, long_ago - age);
        }
        state.forget();
        let GoalFiles { files, steps, texts } = goals(0);
        assert_eq!([files, steps, texts].map(|name| state.read(&name)), [None, None, None]);
        for at in 1..=last {
            let GoalFiles { files, steps, texts } = goals(at);
            assert!([files, steps, texts].iter().all(|name| state.read(name).is_some()), "{at}");
        }
    }
}
