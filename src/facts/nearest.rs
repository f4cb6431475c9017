//! What was probably meant by a path that does not exist.

use std::path::{Path, PathBuf};

use crate::diagnostic::nearest;

/// The path below `root` that is most like `path`: at the first of its parts
/// that does not exist, another that does.
#[must_use]
pub fn nearest_path(root: &Path, path: &Path) -> Option<String> {
    let mut known = PathBuf::new();
    for part in path {
        if root.join(&known).join(part).symlink_metadata().is_ok() {
            known.push(part);
            continue;
        }
        let entries = std::fs::read_dir(root.join(&known)).ok()?;
        let names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        known.push(nearest(part.to_str()?, names.iter().map(String::as_str))?);
        let whole: PathBuf = known.iter().chain(path.iter().skip(known.iter().count())).collect();
        let exists = root.join(&whole).symlink_metadata().is_ok();
        return if exists { whole } else { known }.into_os_string().into_string().ok();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_mended_where_it_first_goes_wrong() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("src/main")).unwrap();
        std::fs::write(root.path().join("src/main/app.py"), "").unwrap();
        assert_eq!(
            nearest_path(root.path(), Path::new("scr/main/app.py")),
            Some("src/main/app.py".to_owned())
        );
        assert_eq!(nearest_path(root.path(), Path::new("src/mian")), Some("src/main".to_owned()));
        assert_eq!(nearest_path(root.path(), Path::new("other")), None);
    }
}
