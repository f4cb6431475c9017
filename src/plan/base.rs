//! Base images in registries.

use std::sync::Arc;

use crate::config::{Place, Registry, Release, Template};
use crate::diagnostic::{Code, Problem, Span};
use crate::facts::{Facts, Scope};
use crate::oci::{Descriptor, Index, Platform, Reference, RepositoryName, media_type};
use crate::plan::{LoginPlan, RegistryPlace, RegistryPlan};

/// The annotation of a manifest that holds the reference of its base (OCI image
/// specification, "Annotations").
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

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

impl RemoteBase {
    /// The manifest of it for a platform.
    ///
    /// # Errors
    /// The platforms that there are, if there is none for it.
    pub fn for_platform(&self, platform: &Platform) -> Result<Descriptor, Vec<Platform>> {
        for_platform(&self.descriptor, &self.bytes, platform)
    }
}

/// The name of a base image, filled in, and how its registry is reached: as the
/// release file says of a registry on the same host, if it has one.
///
/// # Errors
/// The template cannot be filled in; what it makes is no reference, or is what names no
/// image of a registry where it is written as it stands.
pub fn remote_base(
    release: &Release,
    facts: &Facts,
    template: &Template,
) -> Result<(Reference, RegistryPlan), Problem> {
    let scope = Scope::new(release, facts);
    let text = scope.fill(template)?;
    // To a registry these would be the names of images, which anybody may have.
    if text == "scratch" || ["oci:", "image:"].iter().any(|prefix| text.starts_with(prefix)) {
        let title = format!("a template cannot make the base `{text}`");
        let problem =
            Problem::new(Code::InvalidReference, title).label(template.span, "only an image of a registry");
        return Err(problem.help("write `scratch`, `oci:…`, or `image:…` as it is, without `{…}`"));
    }
    let reference: Reference = text.parse().map_err(|why| {
        Problem::new(Code::InvalidReference, format!("`{text}` is not the name of an image"))
            .label(template.span, format!("{why}"))
    })?;
    let registry = registry_of(release, facts, &reference.repository);
    Ok((reference, registry))
}

/// How the registry of a repository is reached: as the release file says of the
/// registry whose prefix is the longest that the repository has, else of the first on
/// the same host, if it has one.
#[must_use]
pub fn registry_of(release: &Release, facts: &Facts, name: &RepositoryName) -> RegistryPlan {
    let scope = Scope::new(release, facts);
    let on_host = release.registries.values().filter_map(|registry| match &registry.place {
        // Of a name that is not known here, it is not known either what host it has.
        Place::Remote(place) => Some((registry, closeness(&scope.fill(place).ok()?, name)?)),
        Place::Layout(_) => None,
    });
    // Of those that are equally close, the first.
    let closest = on_host.reduce(|best, next| if next.1 > best.1 { next } else { best });
    match closest {
        Some((declared, _)) => {
            RegistryPlan::declared(&scope, declared, RegistryPlace::Remote(name.to_string()))
        }
        None => RegistryPlan::plain(name),
    }
}

/// Every registry that the release file declares: its place is `host[:port][/prefix]` or
/// its directory. Of one whose place is not known here, why.
#[must_use]
pub fn declared_registries(release: &Release, facts: &Facts) -> Vec<(String, Result<RegistryPlan, Problem>)> {
    let scope = Scope::new(release, facts);
    let plan = |registry: &Registry| {
        let place = match &registry.place {
            Place::Remote(place) => {
                RegistryPlace::Remote(scope.fill(place)?.trim_end_matches('/').to_owned())
            }
            Place::Layout(path) => RegistryPlace::Layout(path.clone()),
        };
        Ok(RegistryPlan::declared(&scope, registry, place))
    };
    release.registries.values().map(|registry| (registry.name.value.clone(), plan(registry))).collect()
}

impl RegistryPlan {
    /// A repository at a registry that the release file declares.
    pub(super) fn declared(scope: &Scope<'_>, registry: &Registry, place: RegistryPlace) -> Self {
        let login = registry.login.as_ref().map(|login| LoginPlan {
            username: scope.fill(&login.username).map_err(Box::new),
            password: login.password.clone(),
        });
        let ca = registry.ca.as_ref().map(|ca| ca.value.clone());
        let client = registry.client.clone();
        let span = match &registry.place {
            Place::Remote(place) => place.span,
            Place::Layout(_) => registry.name.span,
        };
        let (name, insecure) = (registry.name.value.clone(), registry.insecure);
        Self { name, span: Some(span), place, insecure, ca, client, login }
    }

    /// A place that is reached without anything of its own.
    #[must_use]
    pub fn with_defaults(name: &str, place: RegistryPlace) -> Self {
        let name = name.to_owned();
        Self { name, span: None, place, insecure: false, ca: None, client: None, login: None }
    }

    /// A repository of which no release file says anything.
    #[must_use]
    pub fn plain(name: &RepositoryName) -> Self {
        Self::with_defaults(name.host(), RegistryPlace::Remote(name.to_string()))
    }
}

/// How close a place, `host[:port][/prefix]`, is to a repository on the same host: the
/// more components a prefix of the repository has the closer, and one that is none is
/// the least close. `None` on another host.
fn closeness(place: &str, name: &RepositoryName) -> Option<usize> {
    // With two components, so that none of them is taken for one of Docker's library.
    let below: RepositoryName = format!("{}/x/y", place.trim_end_matches('/')).parse().ok()?;
    let prefix: Vec<&str> = below.path().split('/').collect();
    let prefix = &prefix[..prefix.len() - 2];
    let has_prefix = name.path().split('/').collect::<Vec<_>>().starts_with(prefix);
    (below.host() == name.host()).then_some(if has_prefix { 1 + prefix.len() } else { 0 })
}

/// The manifest for a platform that an index names, or the one manifest that there
/// is; `Err` with the platforms that there are, if there is none for it.
pub(super) fn for_platform(
    descriptor: &Descriptor,
    bytes: &[u8],
    platform: &Platform,
) -> Result<Descriptor, Vec<Platform>> {
    if !media_type::is_index(&descriptor.media_type) {
        return match &descriptor.platform {
            Some(found) if !found.serves(platform) => Err(vec![found.clone()]),
            _ => Ok(descriptor.clone()),
        };
    }
    // What cannot be read is told when the image is assembled.
    let Ok(index) = Index::parse(bytes) else { return Ok(descriptor.clone()) };
    if index.find(platform).is_none() && index.find_foreign(platform).is_some() {
        return Ok(descriptor.clone());
    }
    index.find(platform).cloned().ok_or_else(|| index.platforms())
}

/// A base is for these platforms, and not for the one that is wanted.
#[must_use]
pub fn not_for(code: Code, wanted: &Platform, platforms: &[Platform], span: Span) -> Problem {
    let there: Vec<String> = platforms.iter().map(|platform| format!("`{platform}`")).collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    Problem::new(code, format!("the base image is not for `{wanted}`"))
        .label(span, format!("its platforms: {there}"))
        .help("leave the platform out of `platforms`, or take a base that has it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::World;

    #[test]
    fn a_repository_is_reached_as_the_closest_registry_of_its_host_says() {
        let world = World::new(
            r#"
            registry "other" "ghcr.io/other"
            registry "team" "ghcr.io/acme/team"
            registry "acme" "ghcr.io/acme"
            registry "hub" "docker.io"
            "#,
        );
        let of = |name: &str| registry_of(&world.release, &world.facts, &name.parse().unwrap()).name;
        assert_eq!(of("ghcr.io/acme/web"), "acme");
        assert_eq!(of("ghcr.io/acme/team/web"), "team");
        assert_eq!(of("ghcr.io/acme/team"), "team");
        // Part of a component is no prefix.
        assert_eq!(of("ghcr.io/acme/teams/web"), "acme");
        assert_eq!(of("ghcr.io/nobody/web"), "other");
        assert_eq!(of("alpine"), "hub");
        assert_eq!(of("quay.io/acme/web"), "quay.io");
    }
}
