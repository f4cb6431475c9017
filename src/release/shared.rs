//! Registries as the place where machines find what others built of the same parts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::diagnostic::Problem;
use crate::oci::{Descriptor, Tag, media_type};
use crate::plan::RegistryPlan;
use crate::release::publisher::Publisher;
use crate::store::{Layout, Repository, copy};

/// What content tags begin with.
const PREFIX: &str = "k-";
/// Hex digits of a key in a tag.
const DIGITS: usize = 40;
/// How long a registry may take to say whether it has an image: building it may be
/// faster than waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tag of what is built for a key, given in hex digits. What it names is the image as
/// an engine made it: it never becomes another.
#[must_use]
pub fn content_tag(key: &str) -> Option<Tag> {
    format!("{PREFIX}{}", key.get(..DIGITS)?).parse().ok()
}

/// Whether a tag is one of those.
pub(super) fn is_content_tag(tag: &str) -> bool {
    let digits = tag.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Brings the image with a content tag here, if the registry has it.
///
/// # Errors
/// The registry cannot be reached, takes too long to answer, or does not hand the image
/// over; `images` cannot be written.
pub async fn fetch_shared(
    tag: &Tag,
    registry: &RegistryPlan,
    publisher: &Publisher,
    images: &Layout,
) -> Result<Option<Descriptor>, Problem> {
    let repository = publisher.open_to_read(registry).await?;
    // What does not answer in time is as good as empty.
    let Ok(found) = timeout(PATIENCE, repository.resolve(tag.as_str())).await else { return Ok(None) };
    let Some(image) = found?.filter(|found| media_type::is_manifest(&found.media_type)) else {
        return Ok(None);
    };
    copy(&repository, &image, &Repository::Layout(images.clone()), Arc::new(|_| ())).await?;
    Ok(Some(image))
}

/// Leaves an image at a registry, by its content tag. One that is there is left alone.
///
/// # Errors
/// The registry cannot be reached, or refuses.
pub async fn share(
    tag: &Tag,
    image: &Descriptor,
    registry: &RegistryPlan,
    publisher: &Publisher,
    images: &Layout,
) -> Result<(), Problem> {
    let repository = publisher.open(registry).await?;
    if repository.resolve(tag.as_str()).await?.is_some() {
        return Ok(());
    }
    copy(&Repository::Layout(images.clone()), image, &repository, Arc::new(|_| ())).await?;
    let document = images.read(image)?;
    // Whoever was faster built of the same parts.
    repository.swap_tag(tag, None, (image, &document)).await.map(drop)
}
