//! Brings an image from an engine to a layout.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::StreamExt;

use crate::engine::builder::archive::take_image;
use crate::engine::builder::engine::Engine;
use crate::engine::builder::error::{EngineError, chain};
use crate::engine::builder::layers::KnownLayers;
use crate::oci::{Descriptor, Digest, LayerCompression};
use crate::store::Layout;

/// Pieces that were received and not read yet.
const BACKLOG: usize = 16;

impl Engine {
    /// Copies an image of the engine to a layout, its layers compressed so, and returns
    /// its manifest. Layers that came the same way before are not compressed again.
    ///
    /// # Errors
    /// The engine has no such image, or goes away; the layout cannot be written.
    pub async fn save(
        &self,
        image: &str,
        compression: LayerCompression,
        images: &Layout,
    ) -> Result<Descriptor, EngineError> {
        let inspected = self.docker.inspect_image(image).await?;
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
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let images = images.clone();
        let taking = spawn_blocking(move || take_image(Pieces::new(receiver), compression, known, &images));
        let mut archive = Box::pin(self.docker.export_image(image));
        while let Some(piece) = archive.next().await {
            let piece = piece.map_err(EngineError::from);
            let failed = piece.as_ref().err().cloned();
            // Whoever takes it ended early, and says why.
            if sender.send(piece.map_err(io::Error::other)).await.is_err() {
                break;
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        drop(sender);
        taking.await.map_err(|error| EngineError::Broken(chain(&error)))?
    }
}

/// Pieces that come one by one, as something to read.
pub(super) struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Pieces {
    pub(super) fn new(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { pieces, piece: Bytes::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
