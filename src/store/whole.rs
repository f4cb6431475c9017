//! Whether all of an image is at a registry, which may have lost a part of it, or hand out
//! something else than it was given.

use tokio::time::sleep;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, MAX_DOCUMENT};
use crate::store::{Question, Registry, all};

/// How often what was brought is looked for: some registries take a moment to see it.
const LOOKS: u32 = 4;

/// A manifest, an index, or a blob of an image.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) descriptor: Descriptor,
    /// Whether it is read and compared with its digest; else only its size is asked for.
    is_read: bool,
    /// Whether it was looked for where it is to be, and is not there.
    pub(super) is_missing: bool,
}

impl Part {
    /// A manifest, an index, or a configuration.
    pub(super) fn document(descriptor: &Descriptor) -> Self {
        // A blob of any size may stand where a configuration does.
        Self { descriptor: descriptor.clone(), is_read: descriptor.size <= MAX_DOCUMENT, is_missing: false }
    }

    /// A blob that may be large.
    pub(super) fn layer(descriptor: &Descriptor) -> Self {
        Self { descriptor: descriptor.clone(), is_read: false, is_missing: false }
    }
}

/// The parts that a registry does not have. All are looked at side by side.
///
/// # Errors
/// It has something else in the place of one; it cannot be reached or refuses.
pub(super) async fn missing(registry: &Registry, parts: Vec<Part>) -> Result<Vec<Part>, Problem> {
    let mut looks: Vec<Question<'_, _>> = Vec::new();
    for part in parts {
        looks.push(Box::pin(async move {
            let is_there = if part.is_read {
                registry.read_if_there(&part.descriptor).await.map(|found| found.is_some())
            } else {
                registry.has_whole(&part.descriptor).await
            };
            Ok((!is_there.map_err(explain)?).then_some(Part { is_missing: true, ..part }))
        }));
    }
    Ok(all(looks).await?.into_iter().flatten().collect())
}

/// Says what to do about content that is not what was sent. To send it once more helps
/// nobody: registries take what they have for the same.
fn explain(problem: Problem) -> Problem {
    if problem.code != Code::DigestMismatch {
        return problem;
    }
    problem.help(
        "run again; if it stays so, a proxy on the way or the registry's storage is broken: \
         mend it, or delete the image there",
    )
}

/// Makes sure that a registry has what was brought there.
///
/// # Errors
/// It has not, or has something else; it cannot be reached or refuses.
pub(super) async fn read_back(registry: &Registry, mut parts: Vec<Part>) -> Result<(), Problem> {
    for look in 1.. {
        parts = missing(registry, parts).await?;
        let Some(first) = parts.first() else { break };
        if look == LOOKS {
            let (place, digest) = (registry.name(), first.descriptor.digest);
            let title = format!("`{place}` does not have `{digest}` after it was copied there");
            let problem = Problem::new(Code::Registry, title);
            return Err(problem.help("run again: what is there is not sent twice"));
        }
        sleep(registry.backoff(look)).await;
    }
    Ok(())
}
