//! Files as patterns: a wildcard where a directory is read as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::run::sandbox::report::escaped;

/// From this many files on a directory that was not listed is a wildcard.
const SEVERAL: usize = 3;

/// Patterns that match `read`, and let `listed` be listed. `visible` are all files
/// that wildcards can match: one that is not among them is named.
///
/// A wildcard matches what was read and nothing else, but in a directory that was
/// listed: who lists it depends on what it holds.
pub(super) fn fold(
    read: &BTreeSet<&Path>,
    visible: &BTreeSet<&Path>,
    listed: &BTreeSet<PathBuf>,
) -> Vec<String> {
    let mut patterns: BTreeSet<String> = BTreeSet::new();
    let mut looked_through: BTreeSet<PathBuf> = BTreeSet::new();
    let mut by_ending: BTreeMap<&str, BTreeSet<&Path>> = BTreeMap::new();
    for path in read {
        let ending = path.extension().and_then(|ending| ending.to_str()).filter(|_| visible.contains(path));
        match ending {
            Some(ending) => {
                by_ending.entry(ending).or_default().insert(path);
            }
            None => {
                patterns.insert(hidden(path, read, visible));
            }
        }
    }
    for (ending, files) in by_ending {
        let group = Group { ending, files, visible, listed };
        let mut waiting: BTreeSet<&Path> = group.files.clone();
        while let Some(path) = waiting.pop_first() {
            let Some(directory) = group.whole(path) else {
                patterns.insert(escaped(path));
                continue;
            };
            waiting.retain(|other| !group.covers(&directory, other));
            patterns.insert(group.pattern(&directory));
            looked_through.insert(directory.0);
        }
    }
    for directory in listed {
        let named = patterns.contains(&escaped(directory));
        if !named && !directory.ancestors().any(|above| looked_through.contains(above)) {
            patterns.insert(below(directory, "*"));
            looked_through.insert(directory.clone());
        }
    }
    patterns.into_iter().collect()
}

/// A file that wildcards pass over, or that has no ending: by its name; where
/// several lie in a directory of which wildcards match nothing, that.
fn hidden(path: &Path, read: &BTreeSet<&Path>, visible: &BTreeSet<&Path>) -> String {
    if visible.contains(path) {
        return escaped(path);
    }
    let hides_all = |directory: &&Path| {
        let seen = visible.range(*directory..).find(|other| *other != directory);
        !directory.as_os_str().is_empty() && seen.is_none_or(|file| !file.starts_with(directory))
    };
    let top = path.ancestors().skip(1).take_while(hides_all).last();
    let many = |directory: &&Path| read.iter().filter(|file| file.starts_with(directory)).count() >= SEVERAL;
    escaped(top.filter(many).unwrap_or(path))
}

/// The files of one ending.
struct Group<'a> {
    ending: &'a str,
    files: BTreeSet<&'a Path>,
    visible: &'a BTreeSet<&'a Path>,
    listed: &'a BTreeSet<PathBuf>,
}

/// A directory, and whether those below it are meant, too.
type Directory = (PathBuf, bool);

impl Group<'_> {
    /// The highest directory around a file of which everything with this ending is
    /// read.
    fn whole(&self, path: &Path) -> Option<Directory> {
        let here = path.parent()?;
        let listed = self.listed.contains(here);
        let (mut best, mut above) = (None, Some(here));
        let direct = (here.to_owned(), false);
        if listed || self.is_exact(&direct) {
            best = Some(direct);
        }
        while let Some(directory) = above {
            let deep = (directory.to_owned(), true);
            let may = !directory.as_os_str().is_empty() || self.listed.contains(directory);
            if may && self.is_exact(&deep) {
                best = Some(deep);
            }
            above = directory.parent();
        }
        best.map(|(directory, deep)| {
            let all_here = self.files.iter().filter(|file| file.starts_with(&directory));
            let all_here = all_here.clone().all(|file| file.parent() == Some(&directory));
            (directory, deep && !all_here)
        })
    }

    /// Whether all files that the pattern of a directory matches are read, and are
    /// several.
    fn is_exact(&self, directory: &Directory) -> bool {
        let matched = || self.visible.iter().filter(|file| self.covers(directory, file));
        matched().count() >= SEVERAL && matched().all(|file| self.files.contains(file))
    }

    fn covers(&self, (directory, deep): &Directory, path: &Path) -> bool {
        let ending = path.extension().is_some_and(|ending| ending == self.ending);
        ending && if *deep { path.starts_with(directory) } else { path.parent() == Some(directory) }
    }

    fn pattern(&self, (directory, deep): &Directory) -> String {
        let ending = escaped(Path::new(self.ending));
        below(directory, &if *deep { format!("**/*.{ending}") } else { format!("*.{ending}") })
    }
}

fn below(directory: &Path, pattern: &str) -> String {
    if directory.as_os_str().is_empty() {
        pattern.to_owned()
    } else {
        format!("{}/{pattern}", escaped(directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(read: &[&str], others: &[&str], listed: &[&str], expected: &[&str]) {
        let read: BTreeSet<&Path> = read.iter().map(Path::new).collect();
        let ignored = |path: &&Path| path.starts_with("node_modules");
        let visible = read.iter().copied().filter(|path| !ignored(path)).chain(others.iter().map(Path::new));
        let listed = listed.iter().map(PathBuf::from).collect();
        assert_eq!(fold(&read, &visible.collect(), &listed), expected);
    }

    #[test]
    fn few_files_are_named() {
        check(&["Makefile", "src/a.c", "src/b.c"], &["src/c.c"], &[], &["Makefile", "src/a.c", "src/b.c"]);
    }

    #[test]
    fn a_directory_that_is_read_as_a_whole_is_a_wildcard() {
        let read = ["src/a.rs", "src/b.rs", "src/deep/c.rs", "Cargo.toml"];
        check(&read, &["tests/d.rs", "src/notes.md"], &[], &["Cargo.toml", "src/**/*.rs"]);
        check(&read, &["src/deep/other.rs"], &[], &["Cargo.toml", "src/a.rs", "src/b.rs", "src/deep/c.rs"]);
        check(&["src/a.c", "src/b.c", "src/c.c"], &[], &[], &["src/*.c"]);
    }

    #[test]
    fn a_directory_that_is_listed_is_a_wildcard_in_any_case() {
        check(&["src/a.py"], &["src/b.py"], &["src"], &["src/*.py"]);
        check(&["a.py"], &["b/c.txt"], &["", "b"], &["*.py"]);
        check(&["a.py"], &["b/c.txt"], &["b"], &["a.py", "b/*"]);
    }

    #[test]
    fn what_wildcards_pass_over_is_named_by_its_directory() {
        let read = ["node_modules/a/x.js", "node_modules/a/y.js", "node_modules/b/z.js"];
        check(&read, &["src/a.js"], &[], &["node_modules"]);
        check(&read[..1], &["src/a.js"], &[], &["node_modules/a/x.js"]);
        check(&read, &["src/a.js"], &["node_modules"], &["node_modules"]);
    }

    #[test]
    fn a_name_with_signs_of_a_pattern_stands_for_itself() {
        check(&["app/[id].ts"], &[], &[], &["app/\\[id\\].ts"]);
    }
}
