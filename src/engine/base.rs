//! What an assembled image starts from.

use std::io;

use crate::diagnostic::{Code, Problem};
use crate::engine::base_files::files_of;
use crate::engine::image::Image;
use crate::oci::{Descriptor, Digest, FileTree, History, ImageConfig, media_type};
use crate::plan::{AssembleStep, not_for};
use crate::store::Layout;

/// The lower part of an image: configuration, layers, and their files.
pub(super) struct Base {
    pub(super) config: ImageConfig,
    pub(super) layers: Vec<Descriptor>,
    pub(super) tree: FileTree,
    /// Of its manifest.
    pub(super) digest: Option<Digest>,
}

impl Base {
    /// No files at all.
    pub(super) fn scratch(step: &AssembleStep) -> Self {
        let (config, tree) = (ImageConfig::new(&step.platform), FileTree::default());
        Self { config, layers: Vec::new(), tree, digest: None }
    }

    /// The image for the step's platform, its layers copied to `images`.
    pub(super) fn read(
        step: &AssembleStep,
        layout: &Layout,
        descriptor: &Descriptor,
        images: &Layout,
    ) -> Result<Self, Problem> {
        let found = Image::find(layout, descriptor, &step.platform);
        let image = match found.map_err(|problem| problem.label(step.span, "of the base image"))? {
            Ok(image) => image,
            Err(platforms) => {
                return Err(not_for(Code::Assemble, &step.platform, &platforms, step.span));
            }
        };
        let found = image.config.platform();
        if !found.serves(&step.platform) {
            let title = format!("the base image for `{}` is for `{found}`", step.platform);
            return Err(Problem::new(Code::Assemble, title)
                .label(step.span, "what names it and its configuration do not say the same")
                .note(format!("the configuration of {} says `{found}`", image.descriptor.digest))
                .help("take another base, or have whoever made this one mend it"));
        }
        let tree = files_of(&image, layout, images);
        let tree = tree.map_err(|problem| problem.label(step.span, "of the base image"))?;
        for layer in &image.manifest.layers {
            carry(layer, layout, images)?;
        }
        let layers: Vec<_> = image.manifest.layers.iter().map(as_oci).collect();
        let mut config = image.config;
        align(&mut config.history, layers.len());
        Ok(Self { config, layers, tree, digest: Some(image.descriptor.digest) })
    }
}

/// Makes a history say what made each of so many layers, as `BuildKit` does: of too many
/// entries the lowest made none, and of layers that it does not know nobody knows.
fn align(history: &mut Vec<History>, layers: usize) {
    let count = history.iter().filter(|entry| !entry.empty_layer).count();
    let too_many = history.iter_mut().filter(|entry| !entry.empty_layer).take(count.saturating_sub(layers));
    too_many.for_each(|entry| entry.empty_layer = true);
    history.resize_with(history.len() + layers.saturating_sub(count), History::default);
}

/// Copies a layer as it is.
fn carry(layer: &Descriptor, from: &Layout, to: &Layout) -> Result<(), Problem> {
    if to.holds(layer) {
        return Ok(());
    }
    let mut content = from.open_blob(layer)?;
    let mut writer = to.writer()?;
    io::copy(&mut content, &mut writer).map_err(|error| {
        Problem::new(Code::Assemble, format!("the layer `{}` cannot be copied", layer.digest))
            .note(error.to_string())
    })?;
    writer.commit_as(layer)
}

/// The same layer by its OCI type: a manifest of OCI may name no other.
fn as_oci(layer: &Descriptor) -> Descriptor {
    let media_type = match layer.media_type.as_str() {
        media_type::DOCKER_LAYER => media_type::LAYER,
        media_type::DOCKER_LAYER_GZIP => media_type::LAYER_GZIP,
        other => other,
    };
    Descriptor { media_type: media_type.to_owned(), ..layer.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_says_of_each_layer_what_made_it() {
        let aligned = |texts: &[&str], layers| {
            let entry = |text: &&str| History {
                created_by: Some((*text).to_owned()),
                empty_layer: *text == "-",
                ..History::default()
            };
            let mut history: Vec<_> = texts.iter().map(entry).collect();
            align(&mut history, layers);
            let made = history.into_iter().filter(|entry| !entry.empty_layer);
            made.map(|entry| entry.created_by.unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(aligned(&["a", "-", "b"], 2), ["a", "b"]);
        assert_eq!(aligned(&["a", "-", "b", "c"], 1), ["c"]);
        assert_eq!(aligned(&["a"], 3), ["a", "", ""]);
        assert_eq!(aligned(&[], 1), [""]);
    }
}
