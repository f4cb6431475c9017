//! Where the project is.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Problem};
use crate::facts::{Host, nearest_path};

/// The name of the file that declares a project.
const FILE: &str = "release.kdl";

/// A directory and the file in it that declares what is built and released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The directory of the file; absolute, without symbolic links.
    pub root: PathBuf,
    /// The file; absolute.
    pub file: PathBuf,
}

impl Project {
    /// The project of the given file, or of the nearest `release.kdl` in the
    /// working directory and those above it.
    ///
    /// # Errors
    /// There is no such file ([`Code::NoReleaseFile`]), or its directory cannot
    /// be read ([`Code::Unreadable`]).
    pub fn find(host: &Host, file: Option<&Path>) -> Result<Self, Problem> {
        match file {
            Some(file) => named(host, file),
            None => above(&host.directory),
        }
    }

    fn of(file: &Path) -> Result<Self, Problem> {
        let unreadable = |why: String| {
            Problem::new(Code::Unreadable, format!("the directory of `{}` cannot be read", file.display()))
                .note(why)
        };
        let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(unreadable("it is not the path of a file".to_owned()));
        };
        let root = directory.canonicalize().map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { file: root.join(name), root })
    }
}

fn named(host: &Host, file: &Path) -> Result<Project, Problem> {
    let path = host.directory.join(file);
    if path.is_file() {
        return Project::of(&path);
    }
    if path.is_dir() {
        let below = file.join(FILE);
        let has_one = host.directory.join(&below).is_file();
        return Err(Problem::new(Code::NoReleaseFile, format!("`{}` is a directory", file.display()))
            .maybe_help(has_one.then(|| format!("`--file {}`", below.display()))));
    }
    let help = nearest_path(&host.directory, file).map(|near| format!("did you mean `--file {near}`?"));
    Err(Problem::new(Code::NoReleaseFile, format!("there is no file `{}`", file.display())).maybe_help(help))
}

fn above(directory: &Path) -> Result<Project, Problem> {
    match directory.ancestors().map(|above| above.join(FILE)).find(|file| file.is_file()) {
        Some(file) => Project::of(&file),
        None => Err(Problem::new(
            Code::NoReleaseFile,
            format!("no `{FILE}` in `{}` or in a directory above it", directory.display()),
        )
        .help("`hoist init` writes one")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::facts::Environment;

    fn host(directory: &Path) -> Host {
        Host::fixed(directory, Environment::default(), jiff::Timestamp::UNIX_EPOCH)
    }

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        (directory, path)
    }

    #[test]
    fn the_nearest_file_above_is_found() {
        let (_keep, root) = directory();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join(FILE), "").unwrap();
        let found = Project { root: root.clone(), file: root.join(FILE) };
        assert_eq!(Project::find(&host(&root.join("a/b")), None), Ok(found));
        fs::write(root.join("a").join(FILE), "").unwrap();
        let nearer = Project { root: root.join("a"), file: root.join("a").join(FILE) };
        assert_eq!(Project::find(&host(&root.join("a/b")), None), Ok(nearer));
    }

    #[test]
    fn a_named_file_makes_its_directory_the_project() {
        let (_keep, root) = directory();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/ci.kdl"), "").unwrap();
        let found = Project { root: root.join("a"), file: root.join("a/ci.kdl") };
        assert_eq!(Project::find(&host(&root.join("a/b")), Some(Path::new("../ci.kdl"))), Ok(found));
    }

    #[test]
    fn a_file_that_is_missing_is_said_with_the_one_that_was_meant() {
        let (_keep, root) = directory();
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a").join(FILE), "").unwrap();
        let at = host(&root);
        let problem = Project::find(&at, Some(Path::new("a/relase.kdl"))).unwrap_err();
        assert_eq!(
            problem,
            Problem::new(Code::NoReleaseFile, "there is no file `a/relase.kdl`")
                .help("did you mean `--file a/release.kdl`?")
        );
        let problem = Project::find(&at, Some(Path::new("a"))).unwrap_err();
        assert_eq!(
            problem,
            Problem::new(Code::NoReleaseFile, "`a` is a directory").help("`--file a/release.kdl`")
        );
    }

    #[test]
    fn without_a_file_the_way_to_one_is_said() {
        let (_keep, root) = directory();
        let problem = Project::find(&host(&root), None).unwrap_err();
        assert_eq!(problem.code, Code::NoReleaseFile);
        assert_eq!(problem.help.as_deref(), Some("`hoist init` writes one"));
    }
}
