//! Brings an image from a layout to an engine, under names.

use std::io::{self, Write};

use bollard::query_parameters::ImportImageOptions;
use serde_json::json;
use tokio_stream::StreamExt;

use crate::engine::builder::cause::Cause;
use crate::engine::builder::engine::{Engine, EngineKind};
use crate::engine::builder::error::EngineError;
use crate::engine::builder::stream::written;
use crate::engine::image::Image;
use crate::oci::Descriptor;
use crate::store::Layout;

impl Engine {
    /// Gives an image of a layout to the engine, by these names. One that it has is not
    /// sent again, and neither are layers that it has, where it takes an image without.
    ///
    /// # Errors
    /// The image cannot be read; the engine does not take it, or keeps no images.
    pub async fn load(
        &self,
        manifest: &Descriptor,
        names: &[&str],
        images: &Layout,
    ) -> Result<(), EngineError> {
        let image = Image::read(images, manifest)?;
        // An image is known to engines by the digest of its configuration.
        let id = image.manifest.config.digest.to_string();
        let mut missing = Vec::new();
        for name in names {
            let there = self.docker()?.inspect_image(name).await;
            if !there.is_ok_and(|there| there.id.is_some_and(|there| there == id)) {
                missing.push((*name).to_owned());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        // Docker looks for layers of an archive that it does not have, and for no others.
        let bare = self.about().kind == EngineKind::Docker;
        if bare && self.import(&image, &missing, false, images).await.is_ok() {
            return Ok(());
        }
        self.import(&image, &missing, true, images).await
    }

    async fn import(
        &self,
        image: &Image,
        names: &[String],
        whole: bool,
        images: &Layout,
    ) -> Result<(), EngineError> {
        let (image, names, images) = (image.clone(), names.to_owned(), images.clone());
        let cause = Cause::default();
        let archive = cause.of(written(move |out| write_archive(&image, &names, whole, &images, out)));
        let mut answers =
            Box::pin(self.docker()?.import_image_stream(ImportImageOptions::default(), archive, None));
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(|error| cause.or(error.into()))?;
            let refused = answer.error_detail.and_then(|detail| detail.message);
            if let Some(words) = refused {
                return Err(cause.or(EngineError::Refused(words)));
            }
        }
        Ok(())
    }
}

/// Writes an image as `docker load` reads it, as a whole or without its layers, which stay
/// compressed.
fn write_archive(
    image: &Image,
    names: &[String],
    whole: bool,
    images: &Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    let mut add = |path: &str, blob: &Descriptor| {
        let mut header = tar::Header::new_gnu();
        header.set_size(blob.size);
        header.set_mode(0o644);
        let content = images.open_blob(blob).map_err(|problem| io::Error::other(problem.title))?;
        archive.append_data(&mut header, path, content)
    };
    let config = format!("{}.json", image.manifest.config.digest.hex());
    add(&config, &image.manifest.config)?;
    let mut layers = Vec::new();
    for layer in &image.manifest.layers {
        let path = format!("{}.tar", layer.digest.hex());
        // Two layers may be the same.
        if whole && !layers.contains(&path) {
            add(&path, layer)?;
        }
        layers.push(path);
    }
    let list = json!([{ "Config": config, "RepoTags": names, "Layers": layers }]).to_string();
    let mut header = tar::Header::new_gnu();
    header.set_size(list.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "manifest.json", list.as_bytes())?;
    archive.finish()
}
