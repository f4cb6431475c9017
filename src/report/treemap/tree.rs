//! The files of an image by directory.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::oci::{FileTree, NodeKind};

/// Deepest that directories are told apart: a name below holds the rest of its path.
const DEEPEST: usize = 48;

/// A directory.
#[derive(Debug, Default)]
pub(super) struct Dir<'a> {
    /// Its path, relative to the root.
    pub(super) path: &'a [u8],
    pub(super) dirs: BTreeMap<&'a [u8], Dir<'a>>,
    pub(super) leaves: Vec<Leaf<'a>>,
    /// Bytes of all files below.
    pub(super) size: u64,
    /// Files below that have content.
    pub(super) count: usize,
}

/// The content that a layer has for a file.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    pub(super) name: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) size: u64,
    pub(super) layer: usize,
    /// If it is not visible: the layer that hides it, and whether by deleting it.
    pub(super) lost: Option<(usize, bool)>,
}

impl<'a> Dir<'a> {
    /// All contents, visible or not.
    pub(super) fn of(files: &'a FileTree) -> Self {
        let mut root = Self::default();
        for (path, node) in files.iter() {
            if node.kind == NodeKind::File && node.size > 0 {
                root.insert(path, node.size, node.layer, None);
            }
        }
        for waste in files.wasted() {
            root.insert(&waste.path, waste.size, waste.layer, Some((waste.by, waste.deleted)));
        }
        root
    }

    fn insert(&mut self, path: &'a [u8], size: u64, layer: usize, lost: Option<(usize, bool)>) {
        let (mut dir, mut start) = (self, 0);
        for _ in 0..DEEPEST {
            dir.size = dir.size.saturating_add(size);
            dir.count += 1;
            let rest = path.get(start..).unwrap_or_default();
            let Some(at) = rest.iter().position(|byte| *byte == b'/') else { break };
            let end = start + at;
            dir = dir.dirs.entry(path.get(start..end).unwrap_or_default()).or_default();
            dir.path = path.get(..end).unwrap_or_default();
            start = end + 1;
        }
        let name = path.get(start..).unwrap_or_default();
        dir.leaves.push(Leaf { name, path, size, layer, lost });
    }

    /// The directory that the only way down leads to, and what it is called from above:
    /// `usr/share/doc`.
    pub(super) fn descend(&self) -> (&Self, Cow<'a, [u8]>) {
        let name = self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let (mut dir, mut names) = (self, Cow::Borrowed(name));
        while let (true, [only]) = (dir.leaves.is_empty(), dir.dirs.values().collect::<Vec<_>>().as_slice()) {
            let below = only.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            names = Cow::Owned([&names, below].join(&b'/'));
            dir = only;
        }
        (dir, names)
    }
}
