//! Bringing an image to a registry, where nobody sees it yet.

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, ImageConfig, Index, Manifest, media_type};
use crate::plan::{FoundStep, PushStep, RegistryPlan};
use crate::release::publisher::{Publisher, place};
use crate::seal::{Along, copy_along};
use crate::store::{Copied, Layout, Observe, Repository, copy};

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The repository, as a user would name it.
    pub repository: String,
    /// What was sent, and what was there.
    pub copied: Copied,
    /// What vouches for it and came along.
    pub along: Along,
}

/// Copies an image by digest and makes sure that all of it is there, as [`copy`] says: so
/// the platforms of what is there are those that were checked here. No tag is set.
///
/// # Errors
/// A part of the image is missing, damaged, or for another platform than its
/// index says; the destination cannot be reached or refuses.
pub async fn push(
    step: &PushStep,
    image: &Descriptor,
    images: &Layout,
    publisher: &Publisher,
    observe: Observe,
) -> Result<Pushed, Problem> {
    check_platforms(images, image)?;
    let repository = publisher.open(&step.registry).await?;
    let copied = copy(&Repository::Layout(images.clone()), image, &repository, observe).await?;
    Ok(Pushed { repository: place(&step.registry), copied, along: Along::default() })
}

/// Copies an image that is in other places by digest, with all that vouches for it there,
/// and makes sure that all of it is there. No tag is set.
///
/// # Errors
/// It is in none of those places; one of them cannot be reached or refuses.
pub async fn bring(
    step: &PushStep,
    found: &FoundStep,
    publisher: &Publisher,
    observe: Observe,
) -> Result<Pushed, Problem> {
    let image = found.image.as_ref().ok_or_else(|| gone(found))?;
    let repository = publisher.open(&step.registry).await?;
    for source in sources(step, found) {
        let from = publisher.open_to_read(source).await?;
        // To read it takes no longer than to ask whether it is there.
        if let Some(document) = from.read_if_there(image).await? {
            let (copied, along) = copy_along(&from, (image, document), &repository, observe).await?;
            return Ok(Pushed { repository: place(&step.registry), copied, along });
        }
    }
    Err(gone(found))
}

/// Where an image may be taken from, the best place first: what is where it goes may have
/// been copied there by one who ended before all that vouches for it was there.
fn sources<'a>(step: &PushStep, found: &'a FoundStep) -> Vec<&'a RegistryPlan> {
    let mut sources: Vec<&RegistryPlan> = found.sources.iter().collect();
    sources.sort_by_key(|source| source.place == step.registry.place);
    sources
}

/// The place that an image is taken from: the first of its [`sources`] that has it.
///
/// # Errors
/// One of them cannot be reached.
pub(super) async fn source_of<'a>(
    step: &PushStep,
    found: &'a FoundStep,
    publisher: &Publisher,
) -> Result<Option<(&'a RegistryPlan, Repository)>, Problem> {
    first_of(sources(step, found), found, publisher).await
}

/// The first of some places that has an image.
async fn first_of<'a>(
    sources: impl IntoIterator<Item = &'a RegistryPlan>,
    found: &FoundStep,
    publisher: &Publisher,
) -> Result<Option<(&'a RegistryPlan, Repository)>, Problem> {
    let Some(image) = &found.image else { return Ok(None) };
    for source in sources {
        let from = publisher.open_to_read(source).await?;
        if from.resolve(&image.digest.to_string()).await?.is_some() {
            return Ok(Some((source, from)));
        }
    }
    Ok(None)
}

/// Finds an image in one of the places where it is to be.
///
/// # Errors
/// It is in none of them; one of them cannot be reached.
pub async fn find(found: &FoundStep, publisher: &Publisher) -> Result<Descriptor, Problem> {
    let there = first_of(&found.sources, found, publisher).await?;
    found.image.clone().filter(|_| there.is_some()).ok_or_else(|| gone(found))
}

fn gone(found: &FoundStep) -> Problem {
    let digest = found.image.as_ref().map(|image| image.digest.to_string()).unwrap_or_default();
    let title = format!("the image {digest} is gone, and is not built again");
    let problem = Problem::new(Code::NotPromotable, title);
    let sources = found.sources.iter();
    sources.fold(problem, |problem, source| problem.note(format!("`{}` does not have it", source.place)))
}

/// An index that promises a platform its image is not for is not published.
fn check_platforms(images: &Layout, image: &Descriptor) -> Result<(), Problem> {
    if !media_type::is_index(&image.media_type) {
        return Ok(());
    }
    let unfit = |descriptor: &Descriptor, note: String| {
        Problem::new(Code::Registry, format!("`{}` cannot be published", descriptor.digest)).note(note)
    };
    let index = Index::parse(&images.read(image)?).map_err(|error| unfit(image, error.to_string()))?;
    for entry in &index.manifests {
        let Some(promised) = &entry.platform else { continue };
        if !media_type::is_manifest(&entry.media_type) || promised.os == "unknown" {
            continue;
        }
        let manifest =
            Manifest::parse(&images.read(entry)?).map_err(|error| unfit(entry, error.to_string()))?;
        if !media_type::is_config(&manifest.config.media_type) {
            continue;
        }
        let config = ImageConfig::parse(&images.read(&manifest.config)?)
            .map_err(|error| unfit(entry, error.to_string()))?;
        let found = config.platform();
        if !promised.is_of_the_kind_of(&found) {
            return Err(unfit(entry, format!("its index says {promised}, its configuration {found}")));
        }
    }
    Ok(())
}
