//! What an image says of itself.

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, ImageConfig, Index, Manifest, media_type};
use crate::store::Repository;

/// The label, and annotation, that holds the version.
pub(super) const VERSION: &str = "org.opencontainers.image.version";
/// The label, and annotation, that holds the commit.
pub(super) const REVISION: &str = "org.opencontainers.image.revision";

/// Version and commit of an image, as far as it says them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    /// As in the label; it need not be a version.
    pub(super) version: Option<String>,
    /// As in the label; it need not be a commit.
    pub(super) revision: Option<String>,
}

impl Labels {
    /// Reads the annotations of an image, and what they leave open from the
    /// labels of its configuration; of an index, from its first image.
    ///
    /// Another tool may have put there anything: what is no image, or is
    /// incomplete, says nothing of itself.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub(super) async fn read(from: &Repository, image: &Descriptor) -> Result<Self, Problem> {
        let mut labels = Self::default();
        labels.gather(from, image).await?;
        Ok(labels)
    }

    /// As [`read`](Self::read); `None` where documents of the image are missing that may
    /// say what is not known.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) async fn read_all(from: &Repository, image: &Descriptor) -> Result<Option<Self>, Problem> {
        let mut labels = Self::default();
        Ok(labels.gather(from, image).await?.then_some(labels))
    }

    /// Reads what an image says of itself; `false` if documents of it are missing.
    async fn gather(&mut self, from: &Repository, image: &Descriptor) -> Result<bool, Problem> {
        let mut manifest = image.clone();
        if media_type::is_index(&image.media_type) {
            let Some(bytes) = document(from, image).await? else { return Ok(false) };
            let Ok(index) = Index::parse(&bytes) else { return Ok(true) };
            self.complete(|name| index.annotations.get(name));
            // Attestations are listed for a platform called `unknown`.
            let real = |entry: &&Descriptor| entry.platform.as_ref().is_none_or(|on| on.os != "unknown");
            let Some(first) = index.manifests.iter().find(real) else { return Ok(true) };
            manifest = first.clone();
        }
        if self.is_complete() || !media_type::is_manifest(&manifest.media_type) {
            return Ok(true);
        }
        let Some(bytes) = document(from, &manifest).await? else { return Ok(false) };
        let Ok(manifest) = Manifest::parse(&bytes) else { return Ok(true) };
        self.complete(|name| manifest.annotations.get(name));
        let is_config = media_type::is_config(&manifest.config.media_type);
        if self.is_complete() || !is_config {
            return Ok(true);
        }
        let Some(bytes) = document(from, &manifest.config).await? else { return Ok(false) };
        let Ok(config) = ImageConfig::parse(&bytes) else { return Ok(true) };
        self.complete(|name| config.config.labels.get(name));
        Ok(true)
    }

    const fn is_complete(&self) -> bool {
        self.version.is_some() && self.revision.is_some()
    }

    fn complete<'a>(&mut self, get: impl Fn(&str) -> Option<&'a String>) {
        self.version = self.version.take().or_else(|| get(VERSION).cloned());
        self.revision = self.revision.take().or_else(|| get(REVISION).cloned());
    }
}

async fn document(from: &Repository, descriptor: &Descriptor) -> Result<Option<Vec<u8>>, Problem> {
    match from.read(descriptor).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(problem) if problem.code == Code::NotFound => Ok(None),
        Err(problem) => Err(problem),
    }
}
