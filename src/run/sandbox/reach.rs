//! From what a step declares to what its sandbox allows.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::Pattern;
use crate::facts::Readable;
use crate::run::sandbox::policy::{Outputs, Policy};
use crate::run::sandbox::rules::{Access, Rules};

/// From this many files on it is looked whether directories hold nothing else: a
/// rule costs about as much as reading a small file.
const MANY: usize = 64;

/// What lies in the root of a system, where that cannot be listed: as in a sandbox
/// around this one.
const USUAL: &[&str] = &[
    "bin", "dev", "etc", "gnu", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "nix", "opt",
    "proc", "root", "run", "sbin", "snap", "srv", "sys", "tmp", "usr", "var",
];

/// What an entry of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    Link,
    Other,
}

/// How a directory is looked at: by its absolute path, its entries; empty for one
/// that cannot be listed.
pub(super) type Lister<'a> = &'a dyn Fn(&Path) -> Vec<(OsString, Kind)>;

/// What the target of a step may do, and the rules that say so to the kernel.
pub(super) fn reach(
    root: &Path,
    readable: &Readable,
    outputs: &[Pattern],
    free: &Path,
    list: Lister<'_>,
) -> (Policy, Rules) {
    let mut policy = Policy {
        inputs: readable.files.iter().cloned().collect(),
        listed: readable.directories.clone(),
        outputs: Outputs::new(outputs),
        ..Policy::default()
    };
    for pattern in outputs.iter().filter(|pattern| !pattern.negated) {
        let Base { directory, literal, deep } = Base::of(&pattern.glob.value);
        policy.deep.extend(deep.then(|| directory.clone()));
        policy.beside.insert(directory);
        // An output that is a directory.
        policy.open.extend(literal.filter(|path| is_directory(root, path, list)));
    }
    let mut beside: Vec<_> = policy.beside.iter().cloned().collect();
    beside.sort();
    let free_of_others =
        |directory: &PathBuf| !directory.as_os_str().is_empty() && holds_only(root, directory, &policy, list);
    let open: Vec<_> = beside.iter().filter(|directory| free_of_others(directory)).cloned().collect();
    policy.open.extend(open);

    let mut places: BTreeSet<(PathBuf, Access)> = BTreeSet::new();
    places.extend(around(root, list).into_iter().map(|path| (path, Access::All)));
    places.insert((free.to_owned(), Access::All));
    places.extend(read(root, readable, list).into_iter().map(|path| (root.join(path), Access::Read)));
    places.extend(readable.directories.iter().map(|path| (root.join(path), Access::List)));
    places.extend(beside.iter().map(|path| (root.join(path), Access::Make)));
    places.extend(policy.open.iter().map(|path| (root.join(path), Access::All)));
    let places = places.into_iter().map(|(path, access)| (access, path)).collect();
    (policy, Rules { deny: true, places })
}

/// All that lies in the directories above, but for what leads to the project. A
/// symbolic link allows nothing: where it leads is allowed or not by itself.
fn around(root: &Path, list: Lister<'_>) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for (above, child) in root.ancestors().skip(1).zip(root.ancestors()) {
        let mut entries = list(above);
        if entries.is_empty() && above.parent().is_none() {
            entries.extend(USUAL.iter().map(|name| (OsString::from(name), Kind::Directory)));
        }
        let entries = entries.into_iter().filter(|(_, kind)| *kind != Kind::Link);
        places.extend(entries.map(|(name, _)| above.join(name)).filter(|path| path != child));
    }
    places
}

/// The files that are read; where a directory is listed anyway, and holds nothing
/// else, the directory in their place.
fn read(root: &Path, readable: &Readable, list: Lister<'_>) -> Vec<PathBuf> {
    let files: BTreeSet<&Path> = readable.files.iter().map(PathBuf::as_path).collect();
    let fold = Fold { root, files: &files, list };
    let mut places = Vec::new();
    let mut whole: Vec<PathBuf> = Vec::new();
    if files.len() >= MANY {
        for directory in &readable.directories {
            fold.directory(directory, &mut whole);
        }
    }
    let covered: BTreeSet<&Path> = whole.iter().map(PathBuf::as_path).collect();
    places.extend(
        files
            .iter()
            .filter(|file| !file.ancestors().any(|above| covered.contains(above)))
            .map(|file| (*file).to_owned()),
    );
    places.extend(whole);
    places
}

struct Fold<'a> {
    root: &'a Path,
    files: &'a BTreeSet<&'a Path>,
    list: Lister<'a>,
}

impl Fold<'_> {
    /// Whether all that lies below is read. If not, adds the directories below it
    /// of which that is true.
    fn directory(&self, directory: &Path, whole: &mut Vec<PathBuf>) -> bool {
        let mut below = Vec::new();
        let mut all = true;
        for (name, kind) in (self.list)(&self.root.join(directory)) {
            let path = directory.join(name);
            all &= match kind {
                Kind::Directory if self.has_some(&path) => self.directory(&path, &mut below),
                Kind::Directory => false,
                Kind::Link => true,
                Kind::Other => self.files.contains(path.as_path()),
            };
        }
        if all && !directory.as_os_str().is_empty() {
            whole.push(directory.to_owned());
        } else {
            whole.append(&mut below);
        }
        all
    }

    fn has_some(&self, directory: &Path) -> bool {
        self.files.range(directory..).next().is_some_and(|file| file.starts_with(directory))
    }
}

/// Whether a directory holds outputs and inputs alone.
fn holds_only(root: &Path, directory: &Path, policy: &Policy, list: Lister<'_>) -> bool {
    list(&root.join(directory)).into_iter().all(|(name, kind)| {
        let path = directory.join(name);
        let declared = || policy.outputs.cover(&path) || policy.inputs.contains(&path);
        match kind {
            Kind::Directory => policy.outputs.cover(&path) || holds_only(root, &path, policy, list),
            Kind::Link | Kind::Other => declared(),
        }
    })
}

fn is_directory(root: &Path, path: &Path, list: Lister<'_>) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
    list(&root.join(parent)).iter().any(|(other, kind)| other == name && *kind == Kind::Directory)
}

/// The directory that an output lies in: the part of its pattern without wildcards.
pub(super) fn directory_of(glob: &str) -> PathBuf {
    Base::of(glob).directory
}

/// What is known of an output before it is made.
struct Base {
    /// The directory that it lies in: the part without wildcards.
    directory: PathBuf,
    /// The output itself, if it has no wildcards.
    literal: Option<PathBuf>,
    /// Whether directories below match wildcards.
    deep: bool,
}

impl Base {
    fn of(glob: &str) -> Self {
        let parts: Vec<&str> = glob.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let wild = parts.iter().position(|part| part.contains(['*', '?', '[', '{']));
        let fixed = wild.unwrap_or(parts.len().saturating_sub(1));
        Self {
            directory: parts.iter().take(fixed).collect(),
            literal: wild.is_none().then(|| parts.iter().collect()),
            deep: wild.is_some_and(|wild| wild + 1 < parts.len() || parts.get(wild) == Some(&"**")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::diagnostic::{Sources, Span, Spanned};

    /// A file system by the paths of its files; `->` marks a link, `/` a directory.
    struct Disk(BTreeMap<PathBuf, Vec<(OsString, Kind)>>);

    impl Disk {
        fn with(paths: &[&str]) -> Self {
            let mut entries: BTreeMap<PathBuf, Vec<(OsString, Kind)>> = BTreeMap::new();
            for path in paths {
                let (text, mut kind) = match (path.strip_suffix("->"), path.strip_suffix('/')) {
                    (Some(link), _) => (link, Kind::Link),
                    (_, Some(directory)) => (directory, Kind::Directory),
                    _ => (*path, Kind::Other),
                };
                let mut at = Path::new(text);
                while let (Some(above), Some(name)) = (at.parent(), at.file_name()) {
                    let here = entries.entry(above.to_owned()).or_default();
                    if !here.iter().any(|(known, _)| known == name) {
                        here.push((name.to_owned(), kind));
                    }
                    (at, kind) = (above, Kind::Directory);
                }
            }
            Self(entries)
        }

        fn reach(&self, files: &[&str], directories: &[&str], outputs: &[&str]) -> Vec<String> {
            let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
            let readable = Readable { files: paths(files), directories: paths(directories) };
            let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
            let pattern =
                |glob: &&str| Pattern { glob: Spanned::new((*glob).to_owned(), span), negated: false };
            let outputs: Vec<Pattern> = outputs.iter().map(pattern).collect();
            let list = |path: &Path| self.0.get(path).cloned().unwrap_or_default();
            let (_, rules) =
                reach(Path::new("/home/me/p"), &readable, &outputs, Path::new("/tmp/own"), &list);
            assert!(rules.deny);
            let place = |(access, path): &(Access, PathBuf)| format!("{access:?} {}", path.display());
            rules.places.iter().map(place).collect()
        }
    }

    #[test]
    fn everything_around_the_project_is_allowed_but_links_to_it() {
        let disk = Disk::with(&[
            "/usr/bin/cc",
            "/bin->",
            "/home/me/.cache/x",
            "/home/me/p/a",
            "/home/me/way->",
            "/home/you/",
        ]);
        let expected = ["All /home/me/.cache", "All /home/you", "All /tmp/own", "All /usr"];
        assert_eq!(disk.reach(&[], &[], &[]), expected);
    }

    #[test]
    fn what_is_declared_is_allowed_as_far_as_rules_can_say_it() {
        let disk =
            Disk::with(&["/home/me/p/src/a", "/home/me/p/out/old", "/home/me/p/dist/x", "/home/me/p/gen/y"]);
        let outputs = ["out/new", "dist", "gen/*"];
        let expected = [
            "Make /home/me/p/",
            "All /home/me/p/dist",
            "All /home/me/p/gen",
            "Make /home/me/p/gen",
            "Make /home/me/p/out",
            "List /home/me/p/src",
            "Read /home/me/p/src/a",
            "All /tmp/own",
        ];
        let found = disk.reach(&["src/a"], &["src"], &outputs);
        assert_eq!(
            found
                .iter()
                .map(String::as_str)
                .filter(|it| !it.contains("All /home/me/p/."))
                .collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn many_files_are_allowed_by_the_directories_that_hold_nothing_else() {
        let files: Vec<String> = (0..100).map(|at| format!("src/{}/{at}", at % 4)).collect();
        let mut all: Vec<String> = files.iter().map(|file| format!("/home/me/p/{file}")).collect();
        all.push("/home/me/p/src/2/other".to_owned());
        let disk = Disk::with(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let rules = disk.reach(&files, &["src"], &[]);
        let read: Vec<_> = rules.iter().filter(|rule| rule.starts_with("Read")).collect();
        assert_eq!(read.len(), 3 + 25, "{read:?}");
        assert!(read.iter().any(|rule| *rule == "Read /home/me/p/src/0"));
        assert!(!read.iter().any(|rule| *rule == "Read /home/me/p/src/2"));
        // Where nothing is listed, a directory would allow too much.
        let rules = disk.reach(&files, &[], &[]);
        assert_eq!(rules.iter().filter(|rule| rule.starts_with("Read")).count(), 100);
    }
}
