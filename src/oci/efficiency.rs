//! The files that layers make together, and the bytes that they hold in vain
//! (OCI image specification, "Applying Changesets").

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::oci::layer::{OPAQUE, WHITEOUT};
use crate::oci::{ArchiveEntry, ArchiveKind, MAX_ARCHIVE_ENTRIES, read_archive};

/// Most links that are followed to find one path.
const MAX_LINKS: usize = 40;

/// What is at a path of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of its content.
    pub size: u64,
    /// The layer that it comes from, counted from 0.
    pub layer: usize,
}

/// What a path of an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// A file, or another name of one (of size 0).
    File,
    /// A directory.
    Directory(Access),
    /// A symbolic link and its text.
    Symlink(Vec<u8>),
    /// A device or a pipe.
    Special,
}

impl NodeKind {
    /// Whether it is a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

/// Who may do what in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Permission bits, with the sticky bit and its kin.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Default for Access {
    /// That of a directory which is made for what lies in it.
    fn default() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0 }
    }
}

/// Bytes of a layer that are not visible in the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waste {
    /// The file, relative to the root.
    pub path: Vec<u8>,
    /// Its bytes.
    pub size: u64,
    /// The layer that holds them.
    pub layer: usize,
    /// The layer that replaced or deleted the file.
    pub by: usize,
    /// Whether it was deleted, not replaced.
    pub deleted: bool,
}

/// The files of an image, layer put upon layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTree {
    nodes: BTreeMap<Vec<u8>, Node>,
    sizes: Vec<u64>,
    wasted: Vec<Waste>,
}

impl FileTree {
    /// Bytes of the files of each layer, the lowest layer first.
    #[must_use]
    pub fn layer_sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// The bytes that layers hold in vain, in the order in which they were lost.
    #[must_use]
    pub fn wasted(&self) -> &[Waste] {
        &self.wasted
    }

    /// Bytes of the files of all layers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.sizes.iter().fold(0, |sum, size| sum.saturating_add(*size))
    }

    /// Bytes that layers hold in vain.
    #[must_use]
    pub fn wasted_size(&self) -> u64 {
        self.wasted.iter().fold(0, |sum, waste| sum.saturating_add(waste.size))
    }

    /// Which share of the bytes of all layers would do, from 0 to 1: of each path the
    /// smallest content that a layer has for it, and none of what is deleted. This is
    /// the score of the tool dive, but for directories that are deleted: their files
    /// count as deleted here. 1 for an image without bytes.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with a few digits")]
    pub fn efficiency(&self) -> f64 {
        // Of each path that has waste: bytes of all contents, and of the smallest.
        let mut paths: BTreeMap<&[u8], (u64, u64)> = BTreeMap::new();
        for waste in &self.wasted {
            let (all, least) = paths.entry(&waste.path).or_insert((0, u64::MAX));
            *all = all.saturating_add(waste.size);
            *least = if waste.deleted { 0 } else { (*least).min(waste.size) };
        }
        let mut spare: u64 = 0;
        for (path, (all, least)) in paths {
            let shown = self.nodes.get(path).map_or(0, |node| node.size);
            spare = spare.saturating_add(all.saturating_add(shown) - least.min(shown));
        }
        let size = self.size();
        if size == 0 { 1.0 } else { size.saturating_sub(spare) as f64 / size as f64 }
    }

    /// All paths, each directory before what it holds.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_slice(), node))
    }

    /// What is at a path itself; links are not followed. The path is relative to
    /// the root.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The path that `path` leads to when every link in it is followed as a
    /// process in the image would: never out of the root. What does not exist is
    /// taken as it is written. `None` for links that go round in circles.
    #[must_use]
    pub fn resolve(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut todo: Vec<Vec<u8>> = names(path).rev().map(<[u8]>::to_vec).collect();
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                done.pop();
                continue;
            }
            done.push(name);
            let Some(Node { kind: NodeKind::Symlink(target), .. }) = self.nodes.get(&done.join(&b'/')) else {
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            done.pop();
            if target.starts_with(b"/") {
                done.clear();
            }
            todo.extend(names(target).rev().map(<[u8]>::to_vec));
        }
        Some(done.join(&b'/'))
    }

    /// Begins a layer above those that are there.
    pub fn begin_layer(&mut self) {
        self.sizes.push(0);
    }

    /// Puts something at a path, in the layer that was begun last, with the
    /// directories that it lies in. What is replaced and comes from a lower layer
    /// is waste.
    pub fn insert(&mut self, path: &[u8], kind: NodeKind, size: u64) {
        let layer = self.sizes.len().saturating_sub(1);
        if path.is_empty() {
            return;
        }
        self.make_parents(path, layer);
        if !kind.is_directory() {
            self.remove_below(path, layer + 1, false);
        }
        if let Some(old) = self.nodes.insert(path.to_vec(), Node { kind, size, layer }) {
            self.lose(path, &old, layer, false);
        }
        if let Some(total) = self.sizes.last_mut() {
            *total = total.saturating_add(size);
        }
    }

    /// Deletes what lower layers have at a path, and below it.
    pub fn remove(&mut self, path: &[u8]) {
        let layer = self.sizes.len().saturating_sub(1);
        self.remove_below(path, layer, true);
        if self.nodes.get(path).is_some_and(|node| node.layer < layer) {
            self.remove_one(path, layer, true);
        }
    }

    /// Puts a layer's archive on top.
    ///
    /// # Errors
    /// An archive that is damaged or beyond all bounds.
    pub fn apply(&mut self, archive: impl Read) -> io::Result<()> {
        self.begin_layer();
        let rest = MAX_ARCHIVE_ENTRIES.saturating_sub(self.nodes.len());
        read_archive(archive, rest, &mut |entry, _| {
            self.apply_entry(entry);
            Ok(())
        })
    }

    /// Puts one entry of the archive of the layer that was begun last on top.
    pub fn apply_entry(&mut self, entry: &ArchiveEntry) {
        let layer = self.sizes.len().saturating_sub(1);
        let (parent, name) = split(&entry.path);
        if name == OPAQUE {
            self.remove_below(parent, layer, true);
        } else if let Some(name) = name.strip_prefix(WHITEOUT) {
            self.remove(&join(parent, name));
        } else {
            let kind = match &entry.kind {
                ArchiveKind::File => NodeKind::File,
                // Another name of a symbolic link leads where that does.
                ArchiveKind::HardLink(target) => match self.nodes.get(target).map(|node| &node.kind) {
                    Some(NodeKind::Symlink(text)) => NodeKind::Symlink(text.clone()),
                    _ => NodeKind::File,
                },
                ArchiveKind::Directory => {
                    NodeKind::Directory(Access { mode: entry.mode, uid: entry.uid, gid: entry.gid })
                }
                ArchiveKind::Symlink(target) => NodeKind::Symlink(target.clone()),
                ArchiveKind::Special => NodeKind::Special,
            };
            let size = if entry.kind == ArchiveKind::File { entry.size } else { 0 };
            self.insert(&entry.path, kind, size);
        }
    }

    /// Removes what the layers below `end` have below a directory.
    fn remove_below(&mut self, path: &[u8], end: usize, deleted: bool) {
        let layer = self.sizes.len().saturating_sub(1);
        let mut prefix = path.to_vec();
        if !path.is_empty() {
            prefix.push(b'/');
        }
        let below = self.below(&prefix).filter(|(_, node)| node.layer < end);
        let paths: Vec<_> = below.map(|(path, _)| path.clone()).collect();
        let first = self.wasted.len();
        // Each directory behind what it holds.
        for path in paths.iter().rev() {
            self.remove_one(path, layer, deleted);
        }
        if let Some(lost) = self.wasted.get_mut(first..) {
            lost.reverse();
        }
    }

    /// What begins with a path and its slash.
    fn below(&self, prefix: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        self.nodes.range::<[u8], _>(range).take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// Removes what is at a path. A directory in which something stays does, too: it is
    /// one of the layer that has that.
    fn remove_one(&mut self, path: &[u8], layer: usize, deleted: bool) {
        let is_empty = self.below(&[path, b"/"].concat()).next().is_none();
        if is_empty && let Some(old) = self.nodes.remove(path) {
            self.lose(path, &old, layer, deleted);
        } else if let Some(node) = self.nodes.get_mut(path) {
            node.layer = layer;
        }
    }

    fn make_parents(&mut self, path: &[u8], layer: usize) {
        // Where a directory is there, so are those above it.
        let (parent, _) = split(path);
        if self.nodes.get(parent).is_some_and(|node| node.kind.is_directory()) {
            return;
        }
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let Some(parent) = path.get(..at) else { continue };
            if self.nodes.get(parent).is_none_or(|node| !node.kind.is_directory()) {
                let node = Node { kind: NodeKind::Directory(Access::default()), size: 0, layer };
                if let Some(old) = self.nodes.insert(parent.to_vec(), node) {
                    self.lose(parent, &old, layer, false);
                }
            }
        }
    }

    fn lose(&mut self, path: &[u8], old: &Node, by: usize, deleted: bool) {
        if old.layer < by && old.size > 0 {
            let Node { size, layer, .. } = *old;
            self.wasted.push(Waste { path: path.to_vec(), size, layer, by, deleted });
        }
    }
}

/// The components of a path that mean something.
fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let at = path.iter().rposition(|byte| *byte == b'/');
    at.map_or((&[], path), |at| (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()))
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, name].join(&b'/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Archives with whiteouts, which layers written by hoist never have.
    fn archive(entries: &[(&str, Option<&str>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in entries {
            let mut header = tar::Header::new_ustar();
            let content = content.unwrap_or_default();
            header.set_entry_type(match *path {
                path if path.ends_with('/') => tar::EntryType::Directory,
                _ => tar::EntryType::Regular,
            });
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn tree(layers: &[&[(&str, Option<&str>)]]) -> FileTree {
        let mut tree = FileTree::default();
        for layer in layers {
            tree.apply(archive(layer).as_slice()).unwrap();
        }
        tree
    }

    fn paths(tree: &FileTree) -> Vec<&str> {
        tree.iter().map(|(path, _)| std::str::from_utf8(path).unwrap()).collect()
    }

    fn waste(path: &str, size: u64, by: usize, deleted: bool) -> Waste {
        Waste { path: path.into(), size, layer: 0, by, deleted }
    }

    #[test]
    fn a_file_that_is_replaced_or_deleted_is_waste() {
        let lower = [("etc/", None), ("etc/a", Some("12345")), ("etc/b", Some("123")), ("etc/c", Some("1"))];
        let tree = tree(&[&lower, &[("etc/a", Some("1")), ("etc/.wh.b", None)]]);
        assert_eq!(paths(&tree), ["etc", "etc/a", "etc/c"]);
        assert_eq!(tree.wasted(), [waste("etc/a", 5, 1, false), waste("etc/b", 3, 1, true)]);
        assert_eq!(tree.layer_sizes(), [9, 1]);
    }

    #[test]
    fn the_smallest_content_of_a_path_would_do() {
        let efficiency = |layers: &[&[(&str, Option<&str>)]]| tree(layers).efficiency();
        assert!((efficiency(&[]) - 1.0).abs() < 1e-9);
        assert!((efficiency(&[&[("a", Some("12345"))], &[("b", Some("1"))]]) - 1.0).abs() < 1e-9);
        // The numbers of dive: 1 of 6 bytes, whichever of both is the smaller one.
        assert!((efficiency(&[&[("a", Some("12345"))], &[("a", Some("1"))]]) - 1.0 / 6.0).abs() < 1e-9);
        assert!((efficiency(&[&[("a", Some("1"))], &[("a", Some("12345"))]]) - 1.0 / 6.0).abs() < 1e-9);
        let deleted = [("a", Some("123")), ("b", Some("1"))];
        assert!((efficiency(&[&deleted, &[(".wh.a", None)]]) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn an_opaque_directory_hides_the_lower_layers_and_not_its_own() {
        let upper = [("d/", None), ("d/new", Some("1")), ("d/.wh..wh..opq", None)];
        let tree = tree(&[&[("d/old/x", Some("12")), ("e", Some("1"))], &upper]);
        assert_eq!(paths(&tree), ["d", "d/new", "e"]);
        assert_eq!(tree.wasted(), [waste("d/old/x", 2, 1, true)]);
    }

    #[test]
    fn a_directory_stays_where_its_own_layer_has_something_in_it_already() {
        let lower = [("d/a/old", Some("12")), ("d/a/older", Some("1"))];
        let upper = |whiteout| [("d/a/new", Some("1")), (whiteout, None), ("d/a/newer", Some("1"))];
        for whiteout in ["d/.wh..wh..opq", ".wh.d", "d/.wh.a"] {
            let tree = tree(&[&lower, &upper(whiteout)]);
            assert_eq!(paths(&tree), ["d", "d/a", "d/a/new", "d/a/newer"]);
            assert_eq!(tree.wasted(), [waste("d/a/old", 2, 1, true), waste("d/a/older", 1, 1, true)]);
        }
    }

    #[test]
    fn a_directory_that_is_deleted_takes_all_below_it_along() {
        let tree = tree(&[&[("d/x/y", Some("12")), ("d-e", Some("1"))], &[(".wh.d", None)]]);
        assert_eq!(paths(&tree), ["d-e"]);
        assert_eq!(tree.wasted(), [waste("d/x/y", 2, 1, true)]);
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_hides_it() {
        let tree = tree(&[&[("d/x", Some("12"))], &[("d", Some("1"))]]);
        assert_eq!(paths(&tree), ["d"]);
        assert_eq!(tree.wasted(), [waste("d/x", 2, 1, false)]);
    }

    #[test]
    fn links_are_followed_as_in_the_image() {
        let mut tree = tree(&[&[("usr/bin/sh", Some("#"))]]);
        let link = |target: &str| NodeKind::Symlink(target.into());
        tree.insert(b"bin", link("usr/bin"), 0);
        tree.insert(b"up", link("../../../usr"), 0);
        tree.insert(b"usr/share", link("/bin/."), 0);
        tree.insert(b"round", link("round"), 0);
        let resolve = |path: &str| tree.resolve(path.as_bytes()).map(|path| String::from_utf8(path).unwrap());
        assert_eq!(resolve("bin/sh"), Some("usr/bin/sh".to_owned()));
        assert_eq!(resolve("up/share/sh"), Some("usr/bin/sh".to_owned()));
        assert_eq!(resolve("/no/such"), Some("no/such".to_owned()));
        assert_eq!(resolve("../../etc"), Some("etc".to_owned()));
        assert_eq!(resolve("round/x"), None);
    }
}
