//! Base images in registries.

use std::sync::Arc;

use crate::config::{Place, Release, Template};
use crate::diagnostic::{Code, Problem};
use crate::facts::{Facts, Scope};
use crate::oci::{Descriptor, Index, Platform, Reference, RepositoryName, media_type};
use crate::plan::{LoginPlan, RegistryPlace, RegistryPlan};

/// A base image in a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteBase {
    /// Its name.
    pub reference: Reference,
    /// How its repository is reached.
    pub registry: RegistryPlan,
    /// The index or manifest that the name stands for.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// The name of a base image, filled in, and how its registry is reached: as the
/// release file says of a registry on the same host, if it has one.
///
/// # Errors
/// The template cannot be filled in; what it makes is no reference.
pub fn remote_base(
    release: &Release,
    facts: &Facts,
    template: &Template,
) -> Result<(Reference, RegistryPlan), Problem> {
    let scope = Scope::new(release, facts);
    let text = scope.fill(template)?;
    let reference: Reference = text.parse().map_err(|why| {
        Problem::new(Code::InvalidReference, format!("`{text}` is not the name of an image"))
            .label(template.span, format!("{why}"))
    })?;
    let registry = registry_of(release, facts, &reference.repository);
    Ok((reference, registry))
}

/// How the registry of a repository is reached: as the release file says of a
/// registry on the same host, if it has one.
#[must_use]
pub fn registry_of(release: &Release, facts: &Facts, name: &RepositoryName) -> RegistryPlan {
    let scope = Scope::new(release, facts);
    let on_host = |registry: &&crate::config::Registry| match &registry.place {
        // Of a name that is not known here, it is not known either what host it has.
        Place::Remote(host) => scope.fill(host).is_ok_and(|host| host_of(&host) == Some(name.host().into())),
        Place::Layout(_) => false,
    };
    let Some(declared) = release.registries.values().find(on_host) else { return RegistryPlan::plain(name) };
    RegistryPlan {
        name: declared.name.value.clone(),
        place: RegistryPlace::Remote(name.to_string()),
        insecure: declared.insecure,
        ca: declared.ca.as_ref().map(|ca| ca.value.clone()),
        login: declared.login.as_ref().map(|login| LoginPlan {
            username: scope.fill(&login.username).map_err(Box::new),
            password: login.password.clone(),
        }),
    }
}

impl RegistryPlan {
    /// A repository of which no release file says anything.
    #[must_use]
    pub fn plain(name: &RepositoryName) -> Self {
        let place = RegistryPlace::Remote(name.to_string());
        Self { name: name.host().to_owned(), place, insecure: false, ca: None, login: None }
    }
}

/// The host of `host[:port][/prefix]`.
fn host_of(place: &str) -> Option<String> {
    let name = format!("{}/x", place.trim_end_matches('/'));
    Some(name.parse::<RepositoryName>().ok()?.host().to_owned())
}

/// The manifest for a platform that an index names, or the one manifest that there
/// is; `Err` with the platforms that there are, if there is none for it.
pub(super) fn for_platform(
    descriptor: &Descriptor,
    bytes: &[u8],
    platform: &Platform,
) -> Result<Descriptor, Vec<Platform>> {
    if !media_type::is_index(&descriptor.media_type) {
        return Ok(descriptor.clone());
    }
    // What cannot be read is told when the image is assembled.
    let Ok(index) = Index::parse(bytes) else { return Ok(descriptor.clone()) };
    if let Some(found) = index.find(platform) {
        return Ok(found.clone());
    }
    let platforms = index.manifests.into_iter().filter_map(|entry| entry.platform);
    Err(platforms.filter(|found| found.architecture != "unknown").collect())
}
