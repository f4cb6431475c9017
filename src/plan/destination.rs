//! The repositories that images are published to.

use crate::config::{Image, Place, ProjectPath, Release};
use crate::diagnostic::{Code, Problem};
use crate::facts::{Facts, Scope};
use crate::oci::RepositoryName;
use crate::plan::unit::{DEFAULT_REGISTRY, channels};
use crate::plan::{RegistryPlace, RegistryPlan};

/// The repositories that the images of a release are published to for any event, those of
/// stages among them: each with the name of its image. Of one whose name is not known here,
/// why.
#[must_use]
pub fn destinations(release: &Release, facts: &Facts) -> Vec<(String, Result<RegistryPlan, Problem>)> {
    let of_image = |image: &Image| -> Vec<_> {
        let channels = channels(release, image).into_iter();
        let place = |name: &str| (image.name.value.clone(), repository_in(release, facts, image, name));
        channels.map(|channel| place(channel.name)).collect()
    };
    release.images.values().flat_map(of_image).collect()
}

/// A registry, by its name, with the repository of an image in it.
///
/// # Errors
/// A template of one of both has no value; they make no repository.
pub(super) fn repository_in(
    release: &Release,
    facts: &Facts,
    image: &Image,
    name: &str,
) -> Result<RegistryPlan, Problem> {
    let scope = Scope::new(release, facts);
    let repository = scope.fill(&image.repository)?;
    let declared = release.registries.get(name);
    let layout = |directory: ProjectPath| match directory.join(&repository) {
        Ok(path) if path != directory => Ok(RegistryPlace::Layout(path)),
        _ => Err(format!("`{repository}` is no path below a directory")),
    };
    let place = match declared.map(|registry| &registry.place) {
        Some(Place::Remote(host)) => {
            let name = format!("{}/{repository}", scope.fill(host)?.trim_end_matches('/'));
            match name.parse::<RepositoryName>() {
                Ok(_) => Ok(RegistryPlace::Remote(name)),
                Err(_) if name.starts_with("oci:") => {
                    Err(format!("`{name}`: what is a directory does not come from a variable"))
                }
                Err(why) => Err(format!("`{name}`: {why}")),
            }
        }
        Some(Place::Layout(path)) => layout(path.clone()),
        None => layout(ProjectPath::root().join(DEFAULT_REGISTRY.1).unwrap_or_default()),
    };
    let place = place.map_err(|why| {
        let title = format!("`{}` cannot be published to `{name}`", image.name.value);
        Problem::new(Code::InvalidReference, title).label(image.repository.span, why).help(
            "a repository is lower-case words joined by `/`, such as \"team/web\"; a directory begins with \
                 `oci:` in the file",
        )
    })?;
    Ok(match declared {
        Some(registry) => RegistryPlan::declared(&scope, registry, place),
        None => RegistryPlan::with_defaults(name, place),
    })
}
