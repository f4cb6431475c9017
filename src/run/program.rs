//! Where a program lies.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Access, access};

/// Finds programs as a shell does.
///
/// Known before a process is started, a program can be started without a copy of
/// this process, whose memory may be large.
#[derive(Debug, Default)]
pub(super) struct Programs {
    found: Mutex<HashMap<(OsString, String), PathBuf>>,
}

impl Programs {
    /// The file that a command names by its first word: by its path in the
    /// directory that the command runs in, or in a directory of `path`, the value of
    /// `PATH` that the command sees. `None` leaves it to the system to say what is
    /// wrong.
    ///
    /// What lies in the project, in `root`, may be made by a step: where `PATH` leads
    /// there before the program is found, it is looked for each time.
    pub(super) fn find(&self, name: &str, path: Option<&OsStr>, dir: &Path, root: &Path) -> Option<PathBuf> {
        if name.contains('/') {
            return None;
        }
        let key = (path?.to_owned(), name.to_owned());
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = found.get(&key).filter(|file| is_program(file)) {
            return Some(file.clone());
        }
        let mut steady = true;
        for directory in std::env::split_paths(path?) {
            // What is relative, or empty, is seen from where the command runs.
            steady = steady && directory.is_absolute() && !directory.starts_with(root);
            let file = dir.join(directory).join(name);
            if is_program(&file) {
                if steady {
                    found.insert(key, file.clone());
                }
                return Some(file);
            }
        }
        None
    }
}

fn is_program(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_first_file_that_can_be_run_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        for (place, mode) in [("a", 0o644), ("b", 0o755), ("c", 0o755)] {
            fs::create_dir_all(dir.path().join(place)).unwrap();
            fs::write(dir.path().join(place).join("tool"), "").unwrap();
            fs::set_permissions(dir.path().join(place).join("tool"), fs::Permissions::from_mode(mode))
                .unwrap();
        }
        fs::create_dir(dir.path().join("a/other")).unwrap();
        let programs = Programs::default();
        let found = |name: &str, path: &str| {
            programs.find(name, Some(OsStr::new(path)), dir.path(), Path::new("/nowhere"))
        };
        assert_eq!(found("tool", "nowhere:a:b:c"), Some(dir.path().join("b/tool")));
        assert_eq!(found("other", "a"), None);
        assert_eq!(found("b/tool", "a"), None);
        assert_eq!(programs.find("tool", None, dir.path(), dir.path()), None);
        let absolute = dir.path().join("c").into_os_string();
        let again = |root: &Path| programs.find("tool", Some(&absolute), dir.path(), root);
        assert_eq!(again(Path::new("/nowhere")), Some(dir.path().join("c/tool")));
        assert_eq!(again(Path::new("/nowhere")), Some(dir.path().join("c/tool")));
        fs::remove_file(dir.path().join("c/tool")).unwrap();
        assert_eq!(again(dir.path()), None);
    }
}
