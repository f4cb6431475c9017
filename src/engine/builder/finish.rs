//! What hoist adds to an image that an engine built.

use jiff::Timestamp;

use crate::diagnostic::{Code, Problem};
use crate::engine::builder::build::OWNER;
use crate::engine::image::Image;
use crate::oci::{Descriptor, ImageConfig, Manifest, media_type};
use crate::plan::DockerfileStep;
use crate::store::Layout;

/// Labels, and the commit's time as that of the image, less what tells of the engine and
/// the moment, so that the same commit makes the same image of the same layers. Returns
/// the new manifest.
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
    leave_out_the_making(&mut config, step.created);
    config.config.labels.extend(step.labels.clone());
    config.created = Some(step.created.to_string());
    let config = images.write(media_type::CONFIG, &config.to_bytes())?;
    images.write(media_type::MANIFEST, &Manifest::new(config, manifest.layers).to_bytes())
}

/// What engines of Docker's kind keep of the container that an image was made in.
const OF_THE_CONTAINER: [&str; 4] = ["container", "container_config", "docker_version", "parent"];
/// The same within the configuration of containers.
const OF_ITS_CONFIG: [&str; 9] = [
    "Hostname",
    "Domainname",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Image",
];

/// Leaves out hoist's own label, names of containers, and times after the commit's.
fn leave_out_the_making(config: &mut ImageConfig, commit: Timestamp) {
    config.config.labels.shift_remove(OWNER);
    config.unknown.retain(|name, _| !OF_THE_CONTAINER.contains(&name.as_str()));
    config.config.unknown.retain(|name, _| !OF_ITS_CONFIG.contains(&name.as_str()));
    config.history.retain(|entry| {
        let is_ours = entry.created_by.as_ref().is_some_and(|command| command.contains(OWNER));
        !(entry.empty_layer && is_ours)
    });
    for entry in &mut config.history {
        let later = entry.created.as_ref().and_then(|created| created.parse::<Timestamp>().ok());
        if later.is_some_and(|created| created > commit) {
            entry.created = Some(commit.to_string());
        }
        // Podman's remark names an image that nobody else has.
        if entry.comment.as_ref().is_some_and(|comment| comment.starts_with("FROM ")) {
            entry.comment = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_of_the_engine_and_the_moment_is_left_out() {
        let text = r#"{"architecture":"amd64","os":"linux","container":"a","parent":"b",
            "container_config":{"Labels":{"dev.hoist.project":"x"}},
            "config":{"Hostname":"a","Tty":false,"OnBuild":["RUN x"],"Labels":{"dev.hoist.project":"x","a":"b"}},
            "rootfs":{"type":"layers","diff_ids":[]},
            "history":[
                {"created":"2020-01-01T00:00:00Z","created_by":"below"},
                {"created":"2026-11-26T22:06:59.75Z","created_by":"COPY a b","comment":"FROM 0e57c1e618bf"},
                {"created":"2026-11-26T22:06:59.94Z","created_by":"LABEL \"dev.hoist.project\"=\"x\"","empty_layer":true}
            ]}"#;
        let mut config = ImageConfig::parse(text.as_bytes()).unwrap();
        leave_out_the_making(&mut config, "2026-01-02T03:04:05Z".parse().unwrap());
        let expected = r#"{"architecture":"amd64","os":"linux",
            "config":{"OnBuild":["RUN x"],"Labels":{"a":"b"}},
            "rootfs":{"type":"layers","diff_ids":[]},
            "history":[
                {"created":"2020-01-01T00:00:00Z","created_by":"below"},
                {"created":"2026-01-02T03:04:05Z","created_by":"COPY a b"}
            ]}"#;
        assert_eq!(config, ImageConfig::parse(expected.as_bytes()).unwrap());
    }
}
