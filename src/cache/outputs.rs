//! What a step made, as values.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cache::Blake3;
use crate::cache::part::{path_text, text_path};
use crate::config::ProjectPath;

/// Separates digests of outputs from every other use of BLAKE3.
const DOMAIN: &str = "hoist 2026-11 outputs v1";

/// The files, links, and directories that a step made, sorted by path, each
/// path once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs(Vec<Output>);

/// One thing that a step made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where.
    pub path: ProjectPath,
    /// What.
    pub kind: OutputKind,
}

/// What a step made at a path. Modes are the permission bits, `0o7777` at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// A file.
    File {
        /// Digest of its content.
        digest: Blake3,
        /// Size of its content in bytes.
        size: u64,
        /// Its permissions.
        mode: u32,
    },
    /// A symbolic link, and its text.
    Symlink(PathBuf),
    /// A directory; what it holds are outputs of their own.
    Directory {
        /// Its permissions.
        mode: u32,
    },
}

impl OutputKind {
    /// The digest of the content of a file.
    pub(super) const fn digest(&self) -> Option<Blake3> {
        match self {
            Self::File { digest, .. } => Some(*digest),
            Self::Symlink(_) | Self::Directory { .. } => None,
        }
    }
}

impl Output {
    /// The size of its content in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self.kind {
            OutputKind::File { size, .. } => size,
            OutputKind::Symlink(_) | OutputKind::Directory { .. } => 0,
        }
    }
}

impl Outputs {
    /// Sorts them. Of several with one path the first is kept.
    #[must_use]
    pub fn new(mut outputs: Vec<Output>) -> Self {
        outputs.sort_by(|one, other| one.path.cmp(&other.path));
        outputs.dedup_by(|one, other| one.path == other.path);
        Self(outputs)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by path: a directory comes before what it holds.
    pub fn iter(&self) -> std::slice::Iter<'_, Output> {
        self.0.iter()
    }

    /// All of them, by path.
    #[must_use]
    pub fn as_slice(&self) -> &[Output] {
        &self.0
    }

    /// What is at this path.
    #[must_use]
    pub fn get(&self, path: &ProjectPath) -> Option<&OutputKind> {
        let at = self.0.binary_search_by(|output| output.path.cmp(path)).ok()?;
        self.0.get(at).map(|output| &output.kind)
    }

    /// The digest of all: paths, kinds, contents, permissions.
    #[must_use]
    pub fn digest(&self) -> Blake3 {
        let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
        let mut feed = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        for Output { path, kind } in &self.0 {
            feed(path.as_path().as_os_str().as_encoded_bytes());
            match kind {
                OutputKind::File { digest, mode, .. } => {
                    feed(b"file");
                    feed(&digest.0);
                    feed(&mode.to_le_bytes());
                }
                OutputKind::Symlink(text) => {
                    feed(b"symlink");
                    feed(text.as_os_str().as_encoded_bytes());
                }
                OutputKind::Directory { mode } => {
                    feed(b"directory");
                    feed(&mode.to_le_bytes());
                }
            }
        }
        hasher.finalize().into()
    }
}

impl<'a> IntoIterator for &'a Outputs {
    type Item = &'a Output;
    type IntoIter = std::slice::Iter<'a, Output>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// An output as it lies on disk.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredOutput {
    path: String,
    #[serde(flatten)]
    kind: StoredKind,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum StoredKind {
    File { digest: Blake3, size: u64, mode: u32 },
    Symlink { text: String },
    Directory { mode: u32 },
}

impl From<&Output> for StoredOutput {
    fn from(output: &Output) -> Self {
        let kind = match &output.kind {
            OutputKind::File { digest, size, mode } => {
                StoredKind::File { digest: *digest, size: *size, mode: *mode }
            }
            OutputKind::Symlink(text) => StoredKind::Symlink { text: path_text(text.as_os_str()) },
            OutputKind::Directory { mode } => StoredKind::Directory { mode: *mode },
        };
        Self { path: path_text(output.path.as_path().as_os_str()), kind }
    }
}

impl StoredOutput {
    /// The output; `None` for a path that leads out of the project, whoever may
    /// have written it, and for a mode that is none.
    pub(super) fn into_output(self) -> Option<Output> {
        let path = ProjectPath::root().join(text_path(&self.path)?).ok().filter(|path| !path.is_root())?;
        let checked = |mode: u32| (mode <= 0o7777).then_some(mode);
        let kind = match self.kind {
            StoredKind::File { digest, size, mode } => {
                OutputKind::File { digest, size, mode: checked(mode)? }
            }
            StoredKind::Symlink { text } => OutputKind::Symlink(text_path(&text)?.into()),
            StoredKind::Directory { mode } => OutputKind::Directory { mode: checked(mode)? },
        };
        Some(Output { path, kind })
    }
}
