//! The files that a user writes, as the model knows them.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// One file or link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    File { text: String, executable: bool },
    Link(String),
}

impl Node {
    pub(crate) fn file(text: impl Into<String>) -> Self {
        Self::File { text: text.into(), executable: false }
    }
}

/// What reading a path gives, links followed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got<'a> {
    File {
        path: String,
        text: &'a str,
        executable: bool,
    },
    Directory(String),
    /// A link that leads nowhere.
    Broken,
    Missing,
}

/// Files and links by their paths; directories are what holds some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) BTreeMap<String, Node>);

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// As an editor does that truncates.
    InPlace,
    /// As an editor does that renames.
    Renamed,
    /// In place, and the time of modification is put back to what it was.
    SameTime,
    /// By renaming a file that has the time of modification of the old one.
    Twin,
    /// In place, with a time of modification an hour ago.
    Past,
    /// In place, with a time of modification in an hour.
    Future,
}

impl Tree {
    /// Whether files lie below a path.
    pub(crate) fn is_directory(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.0.range(below.clone()..).next().is_some_and(|(path, _)| path.starts_with(&below))
    }

    /// Whether a file can be written here: no file stands where a directory has
    /// to be, or the other way round.
    pub(crate) fn has_room(&self, path: &str) -> bool {
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            if self.0.contains_key(parent) {
                return false;
            }
            above = parent;
        }
        !self.is_directory(path)
    }

    /// What a path leads to.
    pub(crate) fn get(&self, path: &str) -> Got<'_> {
        let mut at = path.to_owned();
        for hop in 0..8 {
            match self.0.get(&at) {
                Some(Node::File { text, executable }) => {
                    return Got::File { path: at, text, executable: *executable };
                }
                Some(Node::Link(to)) => at = joined(&at, to),
                None if self.is_directory(&at) => return Got::Directory(at),
                None if hop == 0 => return Got::Missing,
                None => return Got::Broken,
            }
        }
        Got::Broken
    }

    /// Everything that is written is the same on disk, and nothing else is there
    /// but for `made`.
    pub(crate) fn check(&self, root: &Path, made: &dyn Fn(&str) -> bool) -> Result<(), String> {
        let mut found = Self::default();
        for top in ["src", "mix"] {
            found.read(root, top)?;
        }
        found.0.retain(|path, _| !made(path));
        if found == *self {
            return Ok(());
        }
        Err(format!("the user's own files were changed: there should be {self:?}, there is {found:?}"))
    }

    fn read(&mut self, root: &Path, path: &str) -> Result<(), String> {
        let full = root.join(path);
        let Ok(metadata) = full.symlink_metadata() else { return Ok(()) };
        let fail = |error: std::io::Error| format!("{path}: {error}");
        if metadata.is_symlink() {
            let to = fs::read_link(&full).map_err(fail)?;
            self.0.insert(path.to_owned(), Node::Link(to.to_string_lossy().into_owned()));
        } else if metadata.is_dir() {
            for entry in fs::read_dir(&full).map_err(fail)? {
                let name = entry.map_err(fail)?.file_name();
                self.read(root, &format!("{path}/{}", name.to_string_lossy()))?;
            }
        } else {
            let text = fs::read_to_string(&full).map_err(fail)?;
            let executable = metadata.permissions().mode() & 0o100 != 0;
            self.0.insert(path.to_owned(), Node::File { text, executable });
        }
        Ok(())
    }

    /// Writes a node, in the model and on disk.
    pub(crate) fn put(&mut self, root: &Path, path: &str, node: Node, how: How) {
        let full = root.join(path);
        fs::create_dir_all(full.parent().expect("it lies in the project")).expect("it can be made");
        match &node {
            Node::File { text, executable } => {
                if full.is_symlink() {
                    fs::remove_file(&full).expect("it can be removed");
                }
                write(&full, text, how);
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(&full, Permissions::from_mode(mode)).expect("it is ours");
            }
            Node::Link(to) => {
                drop(fs::remove_file(&full));
                symlink(to, &full).expect("it can be made");
            }
        }
        self.0.insert(path.to_owned(), node);
    }

    /// Removes a node, or all below a directory, in the model and on disk, with
    /// the directories that are empty then.
    pub(crate) fn remove(&mut self, root: &Path, path: &str) {
        let below = format!("{path}/");
        self.0.retain(|other, _| other != path && !other.starts_with(&below));
        let full = root.join(path);
        let _ = fs::remove_file(&full).or_else(|_| fs::remove_dir_all(&full));
        for above in full.ancestors().skip(1).take_while(|above| *above != root) {
            if fs::remove_dir(above).is_err() {
                break;
            }
        }
    }

    /// Has what lies at two paths take each other's place, if something does and
    /// neither is a link.
    pub(crate) fn swap(&mut self, root: &Path, one: &str, other: &str) {
        let there = |path| matches!(self.0.get(path), Some(Node::File { .. })) || self.is_directory(path);
        if !there(one) || !there(other) {
            return;
        }
        let (here, there, aside) = (root.join(one), root.join(other), root.join("aside"));
        for (from, to) in [(&here, &aside), (&there, &here), (&aside, &there)] {
            fs::rename(from, to).expect("it can be renamed");
        }
        let moved = |path: &str, from: &str, to: &str| {
            let rest = path.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            rest.map(|rest| format!("{to}{rest}"))
        };
        let place =
            |path: String| moved(&path, one, other).or_else(|| moved(&path, other, one)).unwrap_or(path);
        self.0 = std::mem::take(&mut self.0).into_iter().map(|(path, node)| (place(path), node)).collect();
    }

    /// Makes the directory hold exactly these files, as a checkout of another
    /// commit does.
    pub(crate) fn become_like(&mut self, root: &Path, other: &Self) {
        let gone: Vec<String> = self.0.keys().filter(|path| !other.0.contains_key(*path)).cloned().collect();
        for path in gone {
            self.remove(root, &path);
        }
        for (path, node) in &other.0 {
            if self.0.get(path) != Some(node) {
                self.put(root, path, node.clone(), How::InPlace);
            }
        }
    }
}

fn write(full: &Path, text: &str, how: How) {
    let hour = Duration::from_hours(1);
    let old = full.metadata().ok().and_then(|metadata| metadata.modified().ok());
    let renamed = matches!(how, How::Renamed | How::Twin);
    let place = if renamed { full.with_extension("new") } else { full.to_owned() };
    let mut file = File::create(&place).expect("it can be written");
    file.write_all(text.as_bytes()).expect("it can be written");
    let time = match how {
        How::SameTime | How::Twin => old,
        How::Past => Some(SystemTime::now() - hour),
        How::Future => Some(SystemTime::now() + hour),
        How::InPlace | How::Renamed => None,
    };
    if let Some(time) = time {
        file.set_modified(time).expect("it is ours");
    }
    if renamed {
        fs::rename(&place, full).expect("it can be renamed");
    }
}

/// Where a link at `from` leads that says `to`.
fn joined(from: &str, to: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Sets the time of modification of what is there.
pub(crate) fn touch(full: &Path, how: How) {
    let hour = Duration::from_hours(1);
    let time = match how {
        How::Past => SystemTime::now() - hour,
        How::Future => SystemTime::now() + hour,
        _ => SystemTime::now(),
    };
    if full.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 1) {
        let file = File::options().append(true).open(full).expect("it can be opened");
        file.set_modified(time).expect("it is ours");
    }
}
