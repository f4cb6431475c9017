//! A repository, wherever it is.

use std::io::Read;

use crate::diagnostic::Problem;
use crate::oci::{Descriptor, Digest, Tag};
use crate::store::copy::blocking;
use crate::store::{Deletion, Layout, Registry};

/// Images under one name, in a layout or at a registry.
#[derive(Clone, Debug)]
pub enum Repository {
    /// A directory.
    Layout(Layout),
    /// At a registry.
    Registry(Registry),
}

impl Repository {
    /// What a tag or a digest points to; `None` if nothing.
    ///
    /// # Errors
    /// The place cannot be read, or does not answer as specified.
    pub async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, Problem> {
        match self {
            Self::Layout(layout) => {
                let (layout, name) = (layout.clone(), name.to_owned());
                blocking(move || layout.resolve(&name)).await
            }
            Self::Registry(registry) => registry.resolve(name).await,
        }
    }

    /// What a tag or a digest points to, with its bytes; `None` if nothing. A registry gives
    /// both at once.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve) and [`read`](Self::read).
    pub async fn resolve_and_read(&self, name: &str) -> Result<Option<(Descriptor, Vec<u8>)>, Problem> {
        match self {
            Self::Registry(registry) => registry.resolve_and_read(name).await,
            Self::Layout(_) => {
                let Some(found) = self.resolve(name).await? else { return Ok(None) };
                let bytes = self.read(&found).await?;
                Ok(Some((found, bytes)))
            }
        }
    }

    /// A document: a manifest, an index, or a configuration; verified.
    ///
    /// # Errors
    /// It is not there, or is not what its digest says.
    pub async fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Problem> {
        match self {
            Self::Layout(layout) => {
                let (layout, descriptor) = (layout.clone(), descriptor.clone());
                blocking(move || layout.read(&descriptor)).await
            }
            Self::Registry(registry) => registry.read(descriptor).await,
        }
    }

    /// As [`read`](Self::read); `None` if it is not there.
    ///
    /// # Errors
    /// It is not what its digest says; the place cannot be read.
    pub async fn read_if_there(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>, Problem> {
        match self {
            Self::Registry(registry) => registry.read_if_there(descriptor).await,
            Self::Layout(layout) => {
                let (layout, descriptor) = (layout.clone(), descriptor.clone());
                blocking(move || layout.read_if_there(&descriptor)).await
            }
        }
    }

    /// Hands a blob to some work, piece by piece: it is nowhere in memory as a whole.
    /// What the work makes of it counts only if all of the blob was as its digest says.
    ///
    /// # Errors
    /// It is not there, or is not what its digest says; what the work fails with.
    pub async fn stream<T, F>(&self, blob: &Descriptor, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Read) -> Result<T, Problem> + Send + 'static,
    {
        match self {
            Self::Layout(layout) => {
                let (layout, blob) = (layout.clone(), blob.clone());
                blocking(move || {
                    let made = work(&mut layout.open_blob(&blob)?);
                    // Of damaged content, whatever the work says of it is beside the point.
                    made.map_err(|problem| layout.verify(&blob).err().unwrap_or(problem))
                })
                .await
            }
            Self::Registry(registry) => registry.stream(blob, work).await,
        }
    }

    /// Whether a blob or manifest is there.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses.
    pub async fn has(&self, descriptor: &Descriptor) -> Result<bool, Problem> {
        match self {
            Self::Layout(layout) => Ok(layout.has(&descriptor.digest)),
            Self::Registry(registry) => registry.has(descriptor).await,
        }
    }

    /// The same, only read from: who may not write there is not asked to.
    #[must_use]
    pub fn to_read(self) -> Self {
        match self {
            Self::Registry(registry) => Self::Registry(registry.to_read()),
            layout @ Self::Layout(_) => layout,
        }
    }

    /// Whether both are one place.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Layout(one), Self::Layout(other)) => one.path() == other.path(),
            (Self::Registry(one), Self::Registry(other)) => one.name() == other.name(),
            _ => false,
        }
    }

    /// Makes a tag point to an image that is here, whose manifest or index was read, if
    /// it still points to what is expected; `false` if it does not. Most registries cannot
    /// compare: there, what somebody else sets in the same moment is lost.
    ///
    /// # Errors
    /// The image is not here; the place refuses.
    pub async fn swap_tag(
        &self,
        tag: &Tag,
        expected: Option<Digest>,
        (image, document): (&Descriptor, &[u8]),
    ) -> Result<bool, Problem> {
        match self {
            Self::Layout(layout) => {
                let (layout, name, image) = (layout.clone(), tag.to_string(), image.clone());
                blocking(move || {
                    layout.read(&image)?;
                    layout.swap_ref(&name, expected, &image)
                })
                .await
            }
            Self::Registry(registry) => registry.swap_tag(tag, expected, image, document).await,
        }
    }

    /// As [`swap_tag`](Self::swap_tag), for whoever overwrites what somebody else sets in any
    /// case: a registry is not asked whether it can compare.
    ///
    /// # Errors
    /// As [`swap_tag`](Self::swap_tag).
    pub async fn set_tag(
        &self,
        tag: &Tag,
        expected: Option<Digest>,
        (image, document): (&Descriptor, &[u8]),
    ) -> Result<bool, Problem> {
        match self {
            Self::Layout(_) => self.swap_tag(tag, expected, (image, document)).await,
            Self::Registry(registry) => registry.set_tag(tag, expected, image, document).await,
        }
    }

    /// Whether [`swap_tag`](Self::swap_tag) is known to compare: nobody's tag is overwritten.
    #[must_use]
    pub fn is_comparing(&self) -> bool {
        match self {
            Self::Layout(_) => true,
            Self::Registry(registry) => registry.is_comparing(),
        }
    }

    /// Whether several tags may be set at once, as far as it is known.
    #[must_use]
    pub fn may_take_tags(&self) -> bool {
        match self {
            Self::Layout(_) => false,
            Self::Registry(registry) => registry.may_take_tags(),
        }
    }

    /// Makes several tags point to an image that is here, whose manifest or index was
    /// read, with one request; those that the registry says it has set. Where it does
    /// not know how, or refuses, none.
    pub async fn put_tags(&self, tags: &[&Tag], (image, document): (&Descriptor, &[u8])) -> Vec<Tag> {
        match self {
            Self::Layout(_) => Vec::new(),
            Self::Registry(registry) => registry.put_tags(tags, image, document).await,
        }
    }

    /// All tags.
    ///
    /// # Errors
    /// The place cannot be read, or does not answer as specified.
    pub async fn tags(&self) -> Result<Vec<String>, Problem> {
        match self {
            Self::Layout(layout) => {
                let layout = layout.clone();
                blocking(move || Ok(layout.refs()?.into_iter().map(|(name, _)| name).collect())).await
            }
            Self::Registry(registry) => registry.tags().await,
        }
    }

    /// Deletes a tag; or, by its digest, a manifest with all its tags. Blobs stay.
    ///
    /// # Errors
    /// The place cannot be written; the registry cannot be reached, or refuses.
    pub async fn delete(&self, name: &str) -> Result<Deletion, Problem> {
        match self {
            Self::Layout(layout) => {
                let (layout, name) = (layout.clone(), name.to_owned());
                let removed = blocking(move || layout.remove_ref(&name)).await?;
                Ok(if removed { Deletion::Done } else { Deletion::Absent })
            }
            Self::Registry(registry) => registry.delete(name).await,
        }
    }

    /// What refers to a manifest here: signatures, attestations, and the like, of one
    /// type or of all. See [`attach`](crate::store::attach).
    ///
    /// # Errors
    /// The place cannot be read; that is never taken for an empty list.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Problem> {
        match self {
            Self::Layout(layout) => {
                let (layout, subject) = (layout.clone(), *subject);
                let artifact_type = artifact_type.map(str::to_owned);
                blocking(move || layout.referrers(&subject, artifact_type.as_deref())).await
            }
            Self::Registry(registry) => registry.referrers(subject, artifact_type).await,
        }
    }
}
