//! Brings an image from an engine to a layout.

use crate::engine::builder::archive::take_image;
use crate::engine::builder::engine::Engine;
use crate::engine::builder::error::EngineError;
use crate::engine::builder::layers::KnownLayers;
use crate::engine::builder::stream::read;
use crate::oci::{Descriptor, Digest, LayerCompression};
use crate::store::Layout;

impl Engine {
    /// Copies an image of the engine to a layout, its layers compressed so, and returns
    /// its manifest. Layers that came the same way before are not compressed again.
    ///
    /// # Errors
    /// The engine has no such image, or goes away; the layout cannot be written.
    pub(super) async fn save(
        &self,
        image: &str,
        compression: LayerCompression,
        images: &Layout,
    ) -> Result<Descriptor, EngineError> {
        let inspected = self.docker()?.inspect_image(image).await?;
        let ids = inspected.root_fs.and_then(|root| root.layers).unwrap_or_default();
        let ids: Vec<Digest> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let known = KnownLayers::find(&ids, compression, images);
        match self.save_with(image, compression, known, images).await {
            // It may not hand over its layers in the order that they have.
            Err(EngineError::Broken(_)) => {
                let known = KnownLayers::find(&[], compression, images);
                self.save_with(image, compression, known, images).await
            }
            saved => saved,
        }
    }

    async fn save_with(
        &self,
        image: &str,
        compression: LayerCompression,
        known: KnownLayers,
        images: &Layout,
    ) -> Result<Descriptor, EngineError> {
        let (archive, images) = (self.docker()?.export_image(image), images.clone());
        read(archive, move |archive| take_image(archive, compression, known, &images)).await
    }
}
