//! Which files git tracks, and which it ignores.

use std::path::{Path, PathBuf};

use git2::{Index, Repository};

use crate::diagnostic::Problem;
use crate::facts::Environment;
use crate::facts::git::{open, refused};

/// The files of a project that git tracks.
pub struct Tracked {
    repository: Option<(Repository, Index)>,
    /// Where the project lies in the repository.
    below: PathBuf,
}

impl Tracked {
    /// Those of the project in `root`; none where there is no repository.
    ///
    /// # Errors
    /// There is one that cannot be read, or may not be: it belongs to another user.
    pub fn read(root: &Path, environment: &Environment) -> Result<Self, Problem> {
        let none = Self { repository: None, below: PathBuf::new() };
        let repository = open(root, environment).map_err(|error| refused(root, &error))?;
        let Some(repository) = repository else { return Ok(none) };
        let tree = repository.workdir().and_then(|tree| tree.canonicalize().ok());
        let Some((root, tree)) = root.canonicalize().ok().zip(tree) else { return Ok(none) };
        let Ok(below) = root.strip_prefix(tree) else { return Ok(none) };
        let index = repository.index().map_err(|error| refused(&root, &error))?;
        Ok(Self { repository: Some((repository, index)), below: below.to_owned() })
    }

    /// Whether git tracks a file of the project, or it lies in another repository
    /// that git tracks as a whole.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        let Some((_, index)) = &self.repository else { return false };
        let path = self.below.join(path);
        // A file that is merged has up to three entries, and not the first one.
        let has = |path: &Path| (0..=3).any(|stage| index.get_path(path, stage).is_some());
        path.ancestors().filter(|path| !path.as_os_str().is_empty()).any(has)
    }

    /// Whether a file of the project lies in a repository that neither tracks nor ignores
    /// it, so that no commit has it.
    #[must_use]
    pub fn lacks(&self, path: &Path) -> bool {
        let Some((repository, _)) = &self.repository else { return false };
        !self.has(path) && !repository.is_path_ignored(self.below.join(path)).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_in_the_index_is_tracked_and_what_is_neither_there_nor_ignored_is_lacking() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("services/api");
        fs::create_dir_all(root.join("gen")).unwrap();
        let has = |path: &str| Tracked::read(&root, &Environment::default()).unwrap().has(Path::new(path));
        fs::write(root.join("gen/a.c"), "a").unwrap();
        fs::write(root.join("gen/b.c"), "b").unwrap();
        assert!(!has("gen/a.c"));
        assert!(!Tracked::read(&root, &Environment::default()).unwrap().lacks(Path::new("gen/a.c")));
        let repository = Repository::init(directory.path()).unwrap();
        let mut index = repository.index().unwrap();
        index.add_path(Path::new("services/api/gen/a.c")).unwrap();
        index.write().unwrap();
        assert_eq!(["gen/a.c", "gen/b.c", "gen"].map(has), [true, false, false]);
        let lacks =
            |path: &str| Tracked::read(&root, &Environment::default()).unwrap().lacks(Path::new(path));
        assert_eq!(["gen/a.c", "gen/b.c"].map(lacks), [false, true]);
        fs::write(directory.path().join("services/.gitignore"), "b.c\n").unwrap();
        assert_eq!(["gen/a.c", "gen/b.c"].map(lacks), [false, false]);
    }
}
