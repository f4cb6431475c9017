//! Which tags of a place never change.

use crate::cli::place::Places;
use crate::config::{Image, Place};
use crate::facts::Scope;
use crate::oci::{RepositoryName, Tag};
use crate::release::End;
use crate::tags::{Movement, evaluate};

/// Why a tag of a place never changes: release.kdl has a rule for it, or it names a full
/// version or a commit, and release.kdl does not say that it moves.
pub(crate) fn immutable(places: &Places, to: &End, tag: &Tag) -> Option<&'static str> {
    match declared(places, to, tag) {
        Some(true) => Some("a rule of release.kdl says so"),
        None if is_version(tag.as_str()) => Some("it names a full version"),
        None if is_commit(tag.as_str()) => Some("it names a commit"),
        Some(false) | None => None,
    }
}

/// Whether a rule of release.kdl makes the tag, in this place, one that never changes;
/// `None` if no rule makes it.
fn declared(places: &Places, to: &End, tag: &Tag) -> Option<bool> {
    let (loaded, facts) = places.known.as_ref()?;
    let images = loaded.release.images.values().filter(|image| goes_to(places, image, to));
    let tags = images.filter_map(|image| evaluate(&loaded.release, facts, &image.tags).ok());
    let named = tags.flat_map(|tagging| tagging.tags).filter(|planned| planned.tag == *tag);
    named.map(|planned| planned.movement == Movement::Immutable).reduce(|one, other| one || other)
}

/// Whether release.kdl publishes an image to a place.
fn goes_to(places: &Places, image: &Image, to: &End) -> bool {
    let Some((loaded, facts)) = &places.known else { return false };
    let scope = Scope::new(&loaded.release, facts);
    let Ok(repository) = scope.fill(&image.repository) else { return false };
    let registries = image.push.iter().filter_map(|push| loaded.release.registries.get(&push.registry.value));
    registries.map(|registry| &registry.place).any(|place| match (place, to) {
        (Place::Remote(host), End::Registry { reference, .. }) => scope.fill(host).is_ok_and(|host| {
            let name = format!("{}/{repository}", host.trim_end_matches('/')).parse::<RepositoryName>();
            name.is_ok_and(|name| name == reference.repository)
        }),
        (Place::Layout(directory), End::Layout { path, .. }) => {
            let declared = loaded.project.root.join(directory.as_path()).join(&repository);
            declared == *path
                || declared
                    .canonicalize()
                    .ok()
                    .is_some_and(|one| path.canonicalize().is_ok_and(|other| one == other))
        }
        _ => false,
    })
}

/// `1.2.3`, `v1.2.3-rc.1`.
fn is_version(tag: &str) -> bool {
    semver::Version::parse(tag.strip_prefix('v').unwrap_or(tag)).is_ok()
}

/// A commit in full.
fn is_commit(tag: &str) -> bool {
    tag.len() == 40 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_versions_and_commits_are_told_from_tags_that_move() {
        for tag in ["1.2.3", "v1.2.3", "0.1.0-rc.1"] {
            assert!(is_version(tag), "{tag}");
        }
        for tag in ["1.2", "1", "latest", "v1", "main-1.2.3", "vv1.2.3"] {
            assert!(!is_version(tag), "{tag}");
        }
        assert!(is_commit(&"a0".repeat(20)) && !is_commit("a0a0a0a") && !is_commit(&"x0".repeat(20)));
    }
}
