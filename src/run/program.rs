//! Where a program lies.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// The file that a command names by its first word, as a shell finds it: by its
/// path in the directory that the command runs in, or in a directory of `path`,
/// the value of `PATH` that the command sees. `None` leaves it to the system to
/// say what is wrong.
///
/// Known before a process is started, it can be started without a copy of this
/// one, whose memory may be large.
pub(super) fn program(name: &str, path: Option<&OsStr>, dir: &Path) -> Option<PathBuf> {
    if name.contains('/') {
        return None;
    }
    let fits = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    // What is relative, or empty, is seen from where the command runs.
    std::env::split_paths(path?).map(|directory| dir.join(directory).join(name)).find(fits)
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
            fs::set_permissions(dir.path().join(place).join("tool"), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(dir.path().join("a/other")).unwrap();
        let found = |name: &str, path: &str| program(name, Some(OsStr::new(path)), dir.path());
        assert_eq!(found("tool", "nowhere:a:b:c"), Some(dir.path().join("b/tool")));
        assert_eq!(found("other", "a"), None);
        assert_eq!(found("b/tool", "a"), None);
        assert_eq!(program("tool", None, dir.path()), None);
    }
}
