//! What hoist adds to an image that an engine built.

use crate::diagnostic::{Code, Problem};
use crate::engine::builder::build::OWNER;
use crate::engine::image::Image;
use crate::oci::{Descriptor, Manifest, media_type};
use crate::plan::DockerfileStep;
use crate::store::Layout;

/// What engines say of the containers that they built in, which nobody else knows.
const OF_CONTAINERS: [&str; 3] = ["container", "container_config", "parent"];

/// Labels, and the commit's time as that of the image, so that the same commit makes
/// the same image of the same layers; without what says where it was built. Returns the
/// new manifest.
///
/// # Errors
/// The image is for another platform than the one it was to be built for; the layout
/// cannot be read or written.
pub fn finish(step: &DockerfileStep, built: &Descriptor, images: &Layout) -> Result<Descriptor, Problem> {
    let Image { manifest, mut config, .. } = Image::read(images, built)?;
    let found = config.platform();
    if !found.serves(&step.platform) {
        let title = format!("the engine built for `{found}`, and not for `{}`", step.platform);
        return Err(Problem::new(Code::BuildFailed, title).label(step.span, "built from this"));
    }
    config.config.labels.shift_remove(OWNER);
    let is_owner = |text: &String| text.contains(OWNER);
    config.history.retain(|entry| !(entry.empty_layer && entry.created_by.as_ref().is_some_and(is_owner)));
    for name in OF_CONTAINERS {
        config.unknown.shift_remove(name);
    }
    config.config.unknown.shift_remove("Hostname");
    config.config.labels.extend(step.labels.clone());
    config.created = Some(step.created.to_string());
    let config = images.write(media_type::CONFIG, &config.to_bytes())?;
    images.write(media_type::MANIFEST, &Manifest::new(config, manifest.layers).to_bytes())
}
