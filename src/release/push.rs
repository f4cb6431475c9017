//! Bringing an image to a registry, where nobody sees it yet.

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, ImageConfig, Index, Manifest, media_type};
use crate::plan::PushStep;
use crate::release::publisher::{Publisher, place};
use crate::store::{Copied, Layout, Observe, Repository, copy};

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The repository, as a user would name it.
    pub repository: String,
    /// What was sent, and what was there.
    pub copied: Copied,
}

/// Copies an image by digest and makes sure that it is there. No tag is set.
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
    let found = repository.resolve(&image.digest.to_string()).await?;
    if found.is_none_or(|found| found.digest != image.digest) {
        let name = place(&step.registry);
        let title = format!("`{name}` does not have `{}` after it was copied there", image.digest);
        return Err(Problem::new(Code::Registry, title).help("run again: what is there is not sent twice"));
    }
    Ok(Pushed { repository: place(&step.registry), copied })
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
        if !matches!(manifest.config.media_type.as_str(), media_type::CONFIG | media_type::DOCKER_CONFIG) {
            continue;
        }
        let config = ImageConfig::parse(&images.read(&manifest.config)?)
            .map_err(|error| unfit(entry, error.to_string()))?;
        let found = config.platform();
        if (&found.os, &found.architecture) != (&promised.os, &promised.architecture) {
            return Err(unfit(entry, format!("its index says {promised}, its configuration {found}")));
        }
    }
    Ok(())
}
