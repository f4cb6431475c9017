//! A directory as an image, for Dockerfiles that copy from it by name.

use tokio_stream::StreamExt as _;

use crate::engine::builder::error::{EngineError, chain};
use crate::engine::builder::session::Source;
use crate::engine::builder::stream::read;
use crate::oci::{Descriptor, History, ImageConfig, LayerCompression, Manifest, Platform, media_type};
use crate::store::Layout;

/// Makes an image of nothing but the files of an archive, and returns its manifest.
///
/// # Errors
/// The archive cannot be made; the layout cannot be written.
pub async fn directory_image(
    archive: &Source,
    platform: &Platform,
    images: &Layout,
) -> Result<Descriptor, EngineError> {
    let (platform, images) = (platform.clone(), images.clone());
    let unserved = |error: std::io::Error| EngineError::Unserved(error.to_string());
    read(archive().map(move |piece| piece.map_err(unserved)), move |archive| {
        let compression = LayerCompression::GZIP;
        let mut blob = images.writer()?;
        let diff_id =
            compression.compress(archive, &mut blob).map_err(|error| EngineError::Broken(chain(&error)))?;
        let layer = blob.commit(compression.media_type())?;
        let mut config = ImageConfig::new(&platform);
        config.rootfs.diff_ids.push(diff_id);
        let created_by = Some("hoist: copy of a directory".to_owned());
        config.history.push(History { created_by, ..History::default() });
        let config = images.write(media_type::CONFIG, &config.to_bytes())?;
        Ok(images.write(media_type::MANIFEST, &Manifest::new(config, vec![layer]).to_bytes())?)
    })
    .await
}
