//! Base images of registries: what a name stands for, and bringing it here.

use std::collections::HashSet;
use std::sync::Arc;

use crate::diagnostic::{Code, Problem, Span};
use crate::oci::{Descriptor, Digest, Index, MAX_DOCUMENT, Manifest, Platform, Reference, media_type};
use crate::plan::{RegistryPlan, RemoteBase};
use crate::release::likeness::{explain_latest, image_meant};
use crate::release::publisher::Publisher;
use crate::store::{Layout, Repository, copy};

/// Where in a layout it is noted what names stand for.
const MEMORY: &str = "bases";

/// Asks a registry what the name of a base image stands for, and reads it: an index with
/// what the indexes in it name, as if it named that itself, and with the platforms that it
/// leaves out. What is
/// in `images` is not read again, and of a name with a digest not asked for; what is
/// damaged there is fetched.
///
/// # Errors
/// There is no such image; the registry cannot be reached or refuses; `images`
/// cannot be written.
pub async fn find_base(
    reference: &Reference,
    registry: &RegistryPlan,
    span: Span,
    publisher: &Publisher,
    images: &Layout,
) -> Result<(Descriptor, Vec<u8>), Problem> {
    let here = |problem: Problem| problem.label(span, "the base of this image");
    if let Some(digest) = &reference.digest
        && let Ok(Some(known)) = images.resolve(&digest.to_string())
        && let Ok(bytes) = images.read(&known)
        && let Ok(bytes) = flat(&known, bytes, images, &HashSet::new())
    {
        return Ok((known, bytes));
    }
    let repository = publisher.open_to_read(registry).await.map_err(here)?;
    let found = repository.resolve(&reference.name()).await.map_err(here)?;
    let Some(found) = found else {
        let title = format!("there is no image `{}` in `{}`", reference.name(), reference.repository);
        let problem = explain_latest(reference, Problem::new(Code::UnknownBase, title));
        let meant = match &repository {
            Repository::Registry(registry) => image_meant(registry, &reference.name()).await,
            Repository::Layout(_) => None,
        };
        let hidden = "registries also say so of images that one may not see: `hoist login` may help";
        return Err(here(problem.help(meant.unwrap_or_else(|| hidden.to_owned()))));
    };
    let bytes = read(&found, &repository, images).await.map_err(here)?;
    let mut absent = HashSet::new();
    let bytes = loop {
        let missing = match flat(&found, bytes.clone(), images, &absent) {
            Ok(bytes) => break bytes,
            Err(missing) => missing,
        };
        match read(&missing, &repository, images).await {
            // Whoever needs it says so: it may be for another platform.
            Err(problem) if problem.code == Code::NotFound && !media_type::is_index(&missing.media_type) => {
                absent.insert(missing.digest);
            }
            read => drop(read.map_err(here)?),
        }
    };
    let _forgotten = images.keep_note(MEMORY, &name(reference), &found);
    Ok((found, bytes))
}

/// What the name of a base stood for when it was asked for the last time.
#[must_use]
pub fn last_base(reference: &Reference, images: &Layout) -> Option<(Descriptor, Vec<u8>)> {
    let found: Descriptor = images.note(MEMORY, &name(reference), MAX_DOCUMENT)?;
    let bytes = flat(&found, images.read(&found).ok()?, images, &HashSet::new()).ok()?;
    Some((found, bytes))
}

/// A document of a base, which is in `images` then.
async fn read(document: &Descriptor, repository: &Repository, images: &Layout) -> Result<Vec<u8>, Problem> {
    if let Ok(bytes) = images.read(document) {
        return Ok(bytes);
    }
    let bytes = repository.read(document).await?;
    images.write(&document.media_type, &bytes)?;
    Ok(bytes)
}

/// The bytes of a base; of an index in which others lie, of one that names what they name,
/// each image with its platform, but for what is known to be `absent`. `Err` with the first
/// document that is not in `images`.
fn flat(
    base: &Descriptor,
    bytes: Vec<u8>,
    images: &Layout,
    absent: &HashSet<Digest>,
) -> Result<Vec<u8>, Box<Descriptor>> {
    let index = media_type::is_index(&base.media_type).then(|| Index::parse(&bytes).ok()).flatten();
    let Some(index) = index.filter(Index::is_open) else { return Ok(bytes) };
    let read = |one: &Descriptor| images.read(one).map_err(|_| Box::new(one.clone()));
    // In what is no index, there are no images.
    let inner = |one: &Descriptor| {
        read(one).map(|bytes| Index::parse(&bytes).unwrap_or_else(|_| Index::new(Vec::new())))
    };
    let known = |one: &Descriptor| if absent.contains(&one.digest) { Ok(None) } else { read(one).map(Some) };
    index.flat(inner)?.with_platforms(known).map(|index| index.to_bytes())
}

/// What a name is noted by.
fn name(reference: &Reference) -> String {
    blake3::hash(reference.to_string().as_bytes()).to_hex().to_string()
}

/// Takes note of where the layers of a base lie: a push to another repository of
/// that registry then mounts them.
///
/// # Errors
/// The credentials of the registry cannot be found.
pub async fn note_layers(base: &RemoteBase, publisher: &Publisher, images: &Layout) -> Result<(), Problem> {
    let Repository::Registry(registry) = publisher.open_to_read(&base.registry).await? else {
        return Ok(());
    };
    let index = media_type::is_index(&base.descriptor.media_type).then(|| Index::parse(&base.bytes));
    let all = index.and_then(Result::ok).map_or_else(|| vec![base.descriptor.clone()], |it| it.manifests);
    // Of platforms that are not wanted nothing was fetched.
    let manifests = all.iter().filter_map(|one| Manifest::parse(&images.read(one).ok()?).ok());
    manifests.flat_map(|manifest| manifest.layers).for_each(|layer| registry.note(&layer));
    Ok(())
}

/// Brings the image of a base for a platform to `images`; what is there is not
/// fetched again.
///
/// # Errors
/// A part of it is missing, or is not what its digest says; the registry cannot be
/// reached or refuses; `images` cannot be written.
pub async fn pull(
    base: &RemoteBase,
    platform: &Platform,
    publisher: &Publisher,
    images: &Layout,
) -> Result<(), Problem> {
    images.write(&base.descriptor.media_type, &base.bytes)?;
    let image = if media_type::is_index(&base.descriptor.media_type) {
        let index = Index::parse(&base.bytes).ok();
        match index.as_ref().and_then(|index| index.find(platform)) {
            Some(image) => image.clone(),
            // Whoever reads the index says so.
            None => return Ok(()),
        }
    } else {
        base.descriptor.clone()
    };
    if is_complete(&image, images) {
        return Ok(());
    }
    let from = publisher.open_to_read(&base.registry).await?;
    copy(&from, &image, &Repository::Layout(images.clone()), Arc::new(|_| ())).await.map(drop)
}

/// Whether all of an image of one platform is in `images`.
fn is_complete(image: &Descriptor, images: &Layout) -> bool {
    let manifest = images.read(image).ok().and_then(|bytes| Manifest::parse(&bytes).ok());
    let holds =
        |Manifest { config, layers, .. }| images.holds(&config) && layers.iter().all(|it| images.holds(it));
    manifest.is_some_and(holds)
}
