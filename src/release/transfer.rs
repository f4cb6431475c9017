//! Copying an image from one place to another, by digest.

use std::path::PathBuf;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, LATEST, Reference, Tag};
use crate::plan::RegistryPlan;
use crate::release::publisher::Publisher;
use crate::store::{Copied, Layout, Observe, Repository, copy};

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
    /// Its tag, if one is given.
    fn tag(&self) -> Option<Tag> {
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
    fn digest(&self) -> Option<Digest> {
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
    let source = match from {
        End::Layout { path, .. } => Repository::Layout(Layout::open(path)?),
        End::Registry { registry, .. } => publisher.open_to_read(registry).await?,
    };
    let image = match (from.name(), &source) {
        (None, Repository::Layout(layout)) => layout.only()?,
        (name, _) => {
            let name = name.unwrap_or_default();
            source.resolve(&name).await?.ok_or_else(|| {
                Problem::new(Code::NotFound, format!("there is no image `{name}` in `{}`", shown(from)))
            })?
        }
    };
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
    let copied = copy(&source, &image, &target, observe).await?;
    let inherited = || from.tag().or_else(|| from.implied_tag()).or_else(|| to.implied_tag());
    let tag = to.tag().or_else(|| if to.digest().is_none() { inherited() } else { None });
    let name = tag.as_ref().map_or_else(|| image.digest.to_string(), Tag::to_string);
    let mut before = None;
    if let Some(tag) = &tag {
        // Whoever names a tag here wants it to be this image.
        loop {
            before = target.resolve(&name).await?.map(|held| held.digest);
            if target.swap_tag(tag, before, &image).await? {
                break;
            }
        }
    } else if let Repository::Layout(layout) = &target {
        // Nobody finds there what the index does not list.
        layout.list(&image)?;
    }
    let found = target.resolve(&name).await?;
    if found.is_none_or(|found| found.digest != image.digest) {
        let title = format!("`{}` does not have `{name}` after it was copied there", shown(to));
        return Err(Problem::new(Code::Registry, title).help("run again: what is there is not sent twice"));
    }
    let repository = match to {
        End::Registry { reference, .. } => reference.repository.to_string(),
        End::Layout { .. } => shown(to),
    };
    Ok(Transferred { image, copied, repository, tag, before })
}

fn shown(end: &End) -> String {
    match end {
        End::Layout { path, .. } => format!("oci:{}", path.display()),
        End::Registry { reference, .. } => reference.to_string(),
    }
}
