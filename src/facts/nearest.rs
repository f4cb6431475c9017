//! What was probably meant by a path that does not exist.

use std::path::{Path, PathBuf};

use crate::diagnostic::nearest;

/// The path below `root` that is most like `path`: at the first of its parts
/// that does not exist, another that does. No other file is meant by the name of a
/// Dockerfile.
#[must_use]
pub fn nearest_path(root: &Path, path: &Path) -> Option<String> {
    let mut known = PathBuf::new();
    for part in path {
        if root.join(&known).join(part).symlink_metadata().is_ok() {
            known.push(part);
            continue;
        }
        let entries = std::fs::read_dir(root.join(&known)).ok()?;
        let part = part.to_str()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter(|name| !is_dockerfile(part) || is_dockerfile(name)).collect();
        names.sort();
        let first = || names.first().map(String::as_str).filter(|_| is_dockerfile(part));
        known.push(nearest(part, names.iter().map(String::as_str)).or_else(first)?);
        let whole: PathBuf = known.iter().chain(path.iter().skip(known.iter().count())).collect();
        let exists = root.join(&whole).symlink_metadata().is_ok();
        return if exists { whole } else { known }.into_os_string().into_string().ok();
    }
    None
}

/// `Dockerfile`, `web.Dockerfile`, `Dockerfile.web`, `Containerfile`; no list of what
/// such a file leaves out.
fn is_dockerfile(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["dockerfile", "containerfile"].iter().any(|word| name.contains(word)) && !name.ends_with("ignore")
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

    #[test]
    fn only_a_dockerfile_is_meant_by_the_name_of_one() {
        let root = tempfile::tempdir().unwrap();
        let meant = |path: &str| nearest_path(root.path(), Path::new(path));
        for name in ["Makefile", "web.Dockerfile.dockerignore"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        assert_eq!(meant("Dockerfile"), None);
        assert_eq!(meant("Makefil"), Some("Makefile".to_owned()));
        std::fs::write(root.path().join("web.Dockerfile"), "").unwrap();
        assert_eq!(meant("Dockerfile"), Some("web.Dockerfile".to_owned()));
    }
}
