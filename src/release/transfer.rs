//! Copying an image from one place to another, by digest.

use std::path::PathBuf;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, LATEST, Reference, Tag};
use crate::plan::RegistryPlan;
use crate::release::publisher::Publisher;
use crate::store::{Copied, Layout, Observe, Repository, copy_read};

/// An image in a directory or at a registry.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// In a layout.
    Layout {
        /// Its directory; what is copied to it makes it.
        path: PathBuf,
        /// Tag or digest; without it, the only image of the layout.
        name: Option<String>,
    },
    /// At a registry.
    Registry {
        /// The image.
        reference: Reference,
        /// How its registry is reached.
        registry: Box<RegistryPlan>,
    },
}

/// What a copy did.
#[derive(Clone, Debug, PartialEq)]
pub struct Transferred {
    /// The index or manifest.
    pub image: Descriptor,
    /// What was sent, and what was there.
    pub copied: Copied,
    /// Where it is now, as a user would name the place.
    pub repository: String,
    /// The tag that points to it now, unless only its digest names it.
    pub tag: Option<Tag>,
    /// What that tag pointed to before.
    pub before: Option<Digest>,
}

impl End {
    /// Its repository, to be read from.
    ///
    /// # Errors
    /// There is no such layout; what the release file says of the registry is wrong.
    pub async fn open_to_read(&self, publisher: &Publisher) -> Result<Repository, Problem> {
        match self {
            Self::Layout { path, .. } => Layout::open(path).map(Repository::Layout),
            Self::Registry { registry, .. } => publisher.open_to_read(registry).await,
        }
    }

    /// Its repository, to be changed; a layout must exist.
    ///
    /// # Errors
    /// As [`open_to_read`](Self::open_to_read).
    pub async fn open(&self, publisher: &Publisher) -> Result<Repository, Problem> {
        match self {
            Self::Layout { path, .. } => Layout::open(path).map(Repository::Layout),
            Self::Registry { registry, .. } => publisher.open(registry).await,
        }
    }

    /// What it names in its repository.
    ///
    /// # Errors
    /// There is no such image; the place cannot be read.
    pub async fn find(&self, repository: &Repository) -> Result<Descriptor, Problem> {
        let name = match (self.name(), repository) {
            (None, Repository::Layout(layout)) => return layout.only(),
            (name, _) => name.unwrap_or_default(),
        };
        if let Some(found) = repository.resolve(&name).await? {
            return Ok(found);
        }
        let problem =
            Problem::new(Code::NotFound, format!("there is no image `{name}` in `{}`", shown(self)));
        Err(match repository {
            Repository::Layout(layout) => {
                let names: Vec<_> = layout.refs()?.into_iter().map(|(name, _)| name).collect();
                problem.maybe_help((!names.is_empty()).then(|| format!("it has {}", names.join(", "))))
            }
            Repository::Registry(_) => problem,
        })
    }

    /// The image that is meant in a place that is open, and its manifest or index.
    ///
    /// # Errors
    /// As [`find`](Self::find); the document is not what its digest says.
    pub async fn fetch(&self, repository: &Repository) -> Result<(Descriptor, Vec<u8>), Problem> {
        // A registry gives both at once.
        if let (Repository::Registry(registry), Some(name)) = (repository, self.name())
            && let Some(found) = registry.resolve_and_read(&name).await?
        {
            return Ok(found);
        }
        let image = self.find(repository).await?;
        let document = repository.read(&image).await?;
        Ok((image, document))
    }

    /// Its tag, if one is given.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::Layout { name, .. } => name.as_ref()?.parse().ok(),
            Self::Registry { reference, .. } => reference.tag.clone(),
        }
    }

    /// The tag that is meant where neither tag nor digest is given.
    fn implied_tag(&self) -> Option<Tag> {
        match self {
            Self::Registry { reference: Reference { tag: None, digest: None, .. }, .. } => {
                LATEST.parse().ok()
            }
            _ => None,
        }
    }

    /// Its digest, if that is part of its name.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Layout { name, .. } => name.as_ref()?.parse().ok(),
            Self::Registry { reference, .. } => reference.digest,
        }
    }

    /// Tag or digest, as its place takes it; `None` for the only one there.
    fn name(&self) -> Option<String> {
        match self {
            Self::Layout { name, .. } => name.clone(),
            Self::Registry { reference, .. } => Some(reference.name()),
        }
    }
}

/// Copies an image with all that it names: of an index, every platform. Its tag
/// there is the one that `to` has, else that of `from`; it is set last and read
/// back. Without either, or where `to` has a digest, a layout lists it without a name.
/// What is there already is not sent again.
///
/// # Errors
/// There is no such image; a part of it is missing or damaged; one of the places
/// cannot be reached or refuses; `to` names another digest.
pub async fn transfer(
    from: &End,
    to: &End,
    publisher: &Publisher,
    observe: Observe,
) -> Result<Transferred, Problem> {
    let source = from.open_to_read(publisher).await?;
    let (image, document) = from.fetch(&source).await?;
    if to.digest().is_some_and(|digest| digest != image.digest) {
        let title = format!("`{}` cannot become another image", shown(to));
        return Err(
            Problem::new(Code::DigestMismatch, title).note(format!("what is copied is {}", image.digest))
        );
    }
    let target = match to {
        End::Layout { path, .. } => Repository::Layout(Layout::create(path)?),
        End::Registry { registry, .. } => publisher.open(registry).await?,
    };
    let copied = copy_read(&source, (&image, document.clone()), &target, observe).await?;
    let inherited = || from.tag().or_else(|| from.implied_tag()).or_else(|| to.implied_tag());
    let tag = to.tag().or_else(|| if to.digest().is_none() { inherited() } else { None });
    let name = tag.as_ref().map_or_else(|| image.digest.to_string(), Tag::to_string);
    let mut before = None;
    if let Some(tag) = &tag {
        // Whoever names a tag here wants it to be this image.
        loop {
            before = target.resolve(&name).await?.map(|held| held.digest);
            if before == Some(image.digest) || target.swap_tag(tag, before, (&image, &document)).await? {
                break;
            }
        }
    } else if let Repository::Layout(layout) = &target {
        // Nobody finds there what the index does not list.
        layout.list(&image)?;
    }
    let is_there = before == Some(image.digest)
        || target.resolve(&name).await?.is_some_and(|found| found.digest == image.digest);
    if !is_there {
        let title = format!("`{}` does not have `{name}` after it was copied there", shown(to));
        return Err(Problem::new(Code::Registry, title).help("run again: what is there is not sent twice"));
    }
    let repository = match to {
        End::Registry { reference, .. } => reference.repository.to_string(),
        End::Layout { .. } => shown(to),
    };
    Ok(Transferred { image, copied, repository, tag, before })
}

/// The place of an image, as a user would name it.
fn shown(end: &End) -> String {
    match end {
        End::Layout { path, .. } => format!("oci:{}", path.display()),
        End::Registry { reference, .. } => reference.to_string(),
    }
}
