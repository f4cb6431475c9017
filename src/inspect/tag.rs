//! What a tag of a repository points to.

use crate::diagnostic::{Code, Problem};
use crate::inspect::{PlatformReport, View, image_of};
use crate::oci::{Descriptor, Platform};
use crate::store::Repository;

/// A tag, and what it points to.
#[derive(Clone, Debug, PartialEq)]
pub struct TagReport {
    /// The tag.
    pub tag: String,
    /// The image; or why it cannot be read.
    pub image: Result<TaggedImage, Problem>,
}

/// An image that a tag points to.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggedImage {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// What it runs on. What is no image, such as a signature, runs on nothing.
    pub platforms: Vec<Platform>,
    /// Bytes that are transferred for the layers of its largest platform.
    pub transferred: u64,
    /// When it was made, as the first of its configurations says.
    pub created: Option<String>,
}

/// Looks at what a tag points to; `None` if there is no such tag any more.
pub async fn tagged(repository: &Repository, tag: &str) -> Option<TagReport> {
    let image = match repository.resolve_and_read(tag).await {
        Ok(Some((descriptor, bytes))) => look(repository, descriptor, bytes).await,
        Ok(None) => return None,
        Err(problem) => Err(problem),
    };
    Some(TagReport { tag: tag.to_owned(), image })
}

async fn look(
    repository: &Repository,
    descriptor: Descriptor,
    bytes: Vec<u8>,
) -> Result<TaggedImage, Problem> {
    let mut tagged = TaggedImage { descriptor, platforms: Vec::new(), transferred: 0, created: None };
    match image_of(repository, (&tagged.descriptor, bytes), &View::default()).await {
        Ok(found) => {
            tagged.transferred =
                found.platforms.iter().map(PlatformReport::transferred).max().unwrap_or_default();
            tagged.created = found.platforms.iter().find_map(|image| image.config.created.clone());
            tagged.platforms = found.platforms.into_iter().map(|image| image.platform).collect();
        }
        Err(problem) if problem.code == Code::NotAnImage => {}
        Err(problem) => return Err(problem),
    }
    Ok(tagged)
}
