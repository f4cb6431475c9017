//! Directories that outputs are to be made in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cache::{no_directory, stay_inside};
use crate::config::Pattern;
use crate::diagnostic::{Code, Problem};

/// Makes the directories above what a step declares to make, as far as they have
/// no wildcard: as ninja does, so that commands need no `mkdir -p`.
///
/// # Errors
/// A directory cannot be made, or a symbolic link on the way leads out of the
/// project.
pub(super) fn make_parents(root: &Path, outputs: &[Pattern]) -> Result<(), Problem> {
    for pattern in outputs.iter().filter(|pattern| !pattern.negated) {
        let directory = fixed_parent(&pattern.glob.value);
        make(root, &directory).map_err(|error| {
            let is_file = |above: &&Path| root.join(above).metadata().is_ok_and(|found| !found.is_dir());
            if let Some(file) = directory.ancestors().find(is_file) {
                return no_directory(Path::new(&pattern.glob.value), file)
                    .label(pattern.glob.span, "this is to be made in it");
            }
            let title = format!("the directory `{}` cannot be made", directory.display());
            let problem = Problem::new(Code::ReadOnly, title).note(error.to_string());
            problem.label(pattern.glob.span, "this is to be made in it")
        })?;
    }
    Ok(())
}

/// The directory of a literal path; of a glob, the part without wildcards.
fn fixed_parent(glob: &str) -> PathBuf {
    let parts: Vec<&str> = glob.split('/').collect();
    let wild = parts.iter().position(|part| part.contains(['*', '?', '[', '{']));
    parts.iter().take(wild.unwrap_or(parts.len().saturating_sub(1))).collect()
}

fn make(root: &Path, directory: &Path) -> io::Result<()> {
    // As seen from what is to be made in it.
    stay_inside(root, &directory.join("output"))
        .map_err(|_| io::Error::other("a symbolic link leads out of the project"))?;
    let made = root.join(directory);
    if made.is_dir() { Ok(()) } else { fs::create_dir_all(made) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_an_output_is_its_part_without_wildcards() {
        let parent = |glob: &str| fixed_parent(glob).display().to_string();
        assert_eq!([parent("a"), parent("a/b"), parent("a/*/b"), parent("*")], ["", "a", "a", ""]);
    }

    #[test]
    fn nothing_is_made_outside_of_the_project() {
        let project = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(other.path(), project.path().join("link")).unwrap();
        assert!(make(project.path(), Path::new("link/x")).is_err());
        assert!(fs::read_dir(other.path()).unwrap().next().is_none());
        make(project.path(), Path::new("a/b")).unwrap();
        assert!(project.path().join("a/b").is_dir());
    }
}
