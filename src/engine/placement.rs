//! Where copied files end up in an image.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::diagnostic::{Code, Problem, Span, nearest};
use crate::engine::copy::{Copied, FoundFile, Source, SourceKind};
use crate::oci::{Access, FileTree, InvalidEntry, Layer, LayerEntry, LayerEntryKind, NodeKind};
use crate::plan::{CopyPlan, RemovePlan};

/// A layer in the making, on top of what the image has so far.
///
/// The tree knows what the layers below and the earlier copies put where: a
/// directory that is there keeps its permissions, and a link to a directory, such
/// as `/bin` of many distributions, is followed and not replaced.
pub(super) struct Placement<'a> {
    tree: &'a mut FileTree,
    layer: Layer<FoundFile>,
    /// The path of the directory that was asked for last, and the one that it really has:
    /// most files lie beside each other.
    last: Option<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(tree: &'a mut FileTree) -> Self {
        tree.begin_layer();
        Self { tree, layer: Layer::default(), last: None }
    }

    /// The layer, with the directories that its files lie in and its deletions are made in,
    /// as they are below: where layers are mounted one over the other, a directory that one
    /// of them does not describe would be made for its files, and hide the permissions and
    /// the owner that it has below.
    pub(super) fn finish(mut self, span: Span) -> Result<Layer<FoundFile>, Problem> {
        let mut above: BTreeSet<&[u8]> = BTreeSet::new();
        for path in self.layer.iter().map(|(path, _)| path).chain(self.layer.removed()) {
            let mut path = split(path).0;
            while !path.is_empty() && !self.layer.has(path) && above.insert(path) {
                path = split(path).0;
            }
        }
        let above: Vec<Vec<u8>> = above.into_iter().map(<[u8]>::to_vec).collect();
        for path in above {
            if let Some(NodeKind::Directory(access)) = self.tree.get(&path).map(|node| &node.kind) {
                let inserted = self.layer.insert(&path, directory(*access));
                inserted.map_err(|error| refused(&path, error, span))?;
            }
        }
        Ok(self.layer)
    }

    /// Deletes what the layers below have at a path. Links on the way to it are
    /// followed.
    pub(super) fn remove(&mut self, remove: &RemovePlan) -> Result<(), Problem> {
        let path = plain(&remove.path, remove.span)?;
        let (parent, name) = split(&path);
        let parent = self.tree.resolve(parent).ok_or_else(|| circular(remove.span, parent))?;
        let path = join(&parent, name);
        if self.tree.get(&path).is_none() {
            let (wanted, all) = (String::from_utf8_lossy(&path), self.tree.iter());
            let paths = all.filter_map(|(path, _)| std::str::from_utf8(path).ok());
            let title = format!("`{}` is not in the layers below", remove.path);
            return Err(Problem::new(Code::Assemble, title)
                .label(remove.span, "nothing to remove")
                .maybe_help(nearest(&wanted, paths).map(|near| format!("did you mean `/{near}`?"))));
        }
        self.layer.remove(&path).map_err(|error| {
            let title = format!("`{}` cannot be removed", remove.path);
            Problem::new(Code::Assemble, title).label(remove.span, error.to_string())
        })?;
        self.tree.remove(&path);
        self.last = None;
        Ok(())
    }

    /// Puts what a `copy` found where it says.
    pub(super) fn place(&mut self, copy: &CopyPlan, copied: Copied) -> Result<(), Problem> {
        let to = plain(&copy.to, copy.span)?;
        let into = copied.into;
        let top = if into { self.directory(copy, &to, true)? } else { to };
        for Source { below, kind } in copied.sources {
            let below = below.as_os_str().as_bytes();
            if into && !matches!(kind, SourceKind::Directory) {
                self.directories(copy, &top, split(below).0)?;
            }
            let path = join(&top, below);
            match kind {
                SourceKind::Directory => {
                    self.directory(copy, &path, true)?;
                }
                SourceKind::Symlink(text) => {
                    let text = text.as_os_str().as_bytes().to_vec();
                    self.leaf(
                        copy,
                        &path,
                        LayerEntryKind::Symlink(text.clone()),
                        0o777,
                        NodeKind::Symlink(text),
                        0,
                    )?;
                }
                SourceKind::File { found, executable } => {
                    let mode = copy.mode.unwrap_or(if executable { 0o755 } else { 0o644 });
                    let size = found.stat.size;
                    let kind = LayerEntryKind::File { size, content: found };
                    self.leaf(copy, &path, kind, mode, NodeKind::File, size)?;
                }
            }
        }
        Ok(())
    }

    /// Sees to it that there is a directory, and returns the path that it really
    /// has. `own` says that it is part of what is copied: then it has its owner.
    fn directory(&mut self, copy: &CopyPlan, path: &[u8], own: bool) -> Result<Vec<u8>, Problem> {
        let path = self.tree.resolve(path).ok_or_else(|| circular(copy.span, path))?;
        if path.is_empty() {
            return Ok(path);
        }
        match self.tree.get(&path).map(|node| &node.kind) {
            Some(NodeKind::Directory(_)) => return Ok(path),
            Some(_) => {
                return Err(Problem::new(Code::Assemble, format!("`{}` is not a directory", shown(&path)))
                    .label(copy.span, "a file of this name is in the image already")
                    .help("copy to another directory"));
            }
            None => {}
        }
        self.directory(copy, split(&path).0, false)?;
        let (uid, gid) = if own { (copy.uid, copy.gid) } else { (0, 0) };
        let access = Access { uid, gid, ..Access::default() };
        self.insert(copy, &path, directory(access), NodeKind::Directory(access), 0)?;
        Ok(path)
    }

    /// Sees to the directories between the one that is copied into and a file: they are
    /// part of what is copied.
    fn directories(&mut self, copy: &CopyPlan, top: &[u8], below: &[u8]) -> Result<(), Problem> {
        let path = join(top, below);
        if below.is_empty() || self.last.as_ref().is_some_and(|(asked, _)| *asked == path) {
            return Ok(());
        }
        self.directories(copy, top, split(below).0)?;
        self.directory(copy, &path, true).map(drop)
    }

    /// Puts a file or a link into its directory.
    fn leaf(
        &mut self,
        copy: &CopyPlan,
        path: &[u8],
        kind: LayerEntryKind<FoundFile>,
        mode: u32,
        node: NodeKind,
        size: u64,
    ) -> Result<(), Problem> {
        let (parent, name) = split(path);
        let real = match self.last.take() {
            // No directory that is there is replaced.
            Some((asked, real)) if asked == parent => real,
            _ => self.directory(copy, parent, false)?,
        };
        let path = join(&real, name);
        self.last = Some((parent.to_vec(), real));
        if path.is_empty() || self.tree.get(&path).is_some_and(|there| there.kind.is_directory()) {
            return Err(Problem::new(Code::Assemble, format!("`{}` is a directory", shown(&path)))
                .label(copy.span, "a file cannot take its place")
                .help(format!(
                    "to copy into it: `copy \"{}\" \"{}/\"`",
                    copy.from,
                    copy.to.trim_end_matches('/')
                )));
        }
        self.insert(copy, &path, LayerEntry { kind, mode, uid: copy.uid, gid: copy.gid }, node, size)
    }

    fn insert(
        &mut self,
        copy: &CopyPlan,
        path: &[u8],
        entry: LayerEntry<FoundFile>,
        node: NodeKind,
        size: u64,
    ) -> Result<(), Problem> {
        self.layer.insert(path, entry).map_err(|error| refused(path, error, copy.span))?;
        self.tree.insert(path, node, size);
        Ok(())
    }
}

/// The entry of a directory.
const fn directory(Access { mode, uid, gid }: Access) -> LayerEntry<FoundFile> {
    LayerEntry { kind: LayerEntryKind::Directory, mode, uid, gid }
}

/// What a layer cannot hold.
fn refused(path: &[u8], error: InvalidEntry, span: Span) -> Problem {
    let title = format!("`{}` cannot be part of a layer", shown(path));
    let problem = Problem::new(Code::Assemble, title).label(span, error.to_string());
    let (InvalidEntry::Whiteout, (parent, name)) = (error, split(path)) else { return problem };
    let deleted = shown(&join(parent, name.strip_prefix(b".wh.").unwrap_or(name)));
    problem.help(format!("leave it out with `exclude=`; to delete what the base has: `remove \"{deleted}\"`"))
}

/// A path in the image, relative to its root.
fn plain(text: &str, span: Span) -> Result<Vec<u8>, Problem> {
    let path = Path::new(text);
    let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    if !path.is_absolute() || !plain {
        return Err(Problem::new(Code::Assemble, format!("`{text}` is not a path in an image"))
            .label(span, "absolute, and without `..`"));
    }
    let names = text.split('/').filter(|name| !matches!(*name, "" | "."));
    Ok(names.collect::<Vec<_>>().join("/").into_bytes())
}

fn circular(span: Span, path: &[u8]) -> Problem {
    Problem::new(Code::Assemble, format!("`{}` cannot be reached", shown(path)))
        .label(span, "links of the image go round in circles")
}

/// The directory of a path, and its name there.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let at = path.iter().rposition(|byte| *byte == b'/');
    at.map_or((&[], path), |at| (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()))
}

fn join(parent: &[u8], below: &[u8]) -> Vec<u8> {
    match (parent, below) {
        (path, b"") | (b"", path) => path.to_vec(),
        (parent, below) => [parent, below].join(&b'/'),
    }
}

fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}
