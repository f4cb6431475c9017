//! What a tag of a repository points to.

use crate::diagnostic::{Code, Problem};
use crate::inspect::{PlatformReport, View, image};
use crate::oci::{Descriptor, Platform};
use crate::store::Repository;

/// A tag, and the image that it points to.
#[derive(Clone, Debug, PartialEq)]
pub struct TagReport {
    /// The tag.
    pub tag: String,
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// What it runs on.
    pub platforms: Vec<Platform>,
    /// Bytes that are transferred for the layers of its largest platform.
    pub transferred: u64,
    /// When it was made, as the first of its configurations says.
    pub created: Option<String>,
}

/// Looks at what a tag points to; `None` if there is no such tag any more. What is no
/// image, such as a signature, has no platforms.
///
/// # Errors
/// The place cannot be read, or does not answer as specified.
pub async fn tagged(repository: &Repository, tag: &str) -> Result<Option<TagReport>, Problem> {
    let Some(descriptor) = repository.resolve(tag).await? else { return Ok(None) };
    let mut report =
        TagReport { tag: tag.to_owned(), descriptor, platforms: Vec::new(), transferred: 0, created: None };
    match image(repository, &report.descriptor, &View::default()).await {
        Ok(found) => {
            report.transferred =
                found.platforms.iter().map(PlatformReport::transferred).max().unwrap_or_default();
            report.created = found.platforms.iter().find_map(|image| image.config.created.clone());
            report.platforms = found.platforms.into_iter().map(|image| image.platform).collect();
        }
        Err(problem) if problem.code == Code::NotAnImage => {}
        Err(problem) => return Err(problem),
    }
    Ok(Some(report))
}
