//! The image that a build made, which an engine without a store of images sends.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSend;
use bytes::Bytes;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::engine::builder::archive::take_image;
use crate::engine::builder::error::{EngineError, chain};
use crate::engine::builder::layers::KnownLayers;
use crate::engine::builder::stream::read;
use crate::oci::{Descriptor, LayerCompression};
use crate::store::Layout;

/// What came of the archive of an image.
type Taken = Result<Descriptor, EngineError>;

/// Puts the image that is sent into a layout.
#[derive(Clone)]
pub(in crate::engine::builder) struct Receiver {
    compression: LayerCompression,
    images: Layout,
    taken: Arc<Mutex<Option<Taken>>>,
}

impl Receiver {
    /// Layers that are not compressed yet are compressed so.
    pub(in crate::engine::builder) fn new(compression: LayerCompression, images: &Layout) -> Self {
        Self { compression, images: images.clone(), taken: Arc::default() }
    }

    /// The manifest of the image, or why it was not taken; `None` if none was sent.
    pub(in crate::engine::builder) fn taken(&self) -> Option<Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[tonic::async_trait]
impl FileSend for Receiver {
    type DiffCopyStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let pieces = request.into_inner().map(|piece| piece.map(|piece| Bytes::from(piece.data)));
        let Self { compression, images, .. } = self.clone();
        let taken = read(pieces, move |archive| {
            let known = KnownLayers::find(&[], compression, &images);
            let image = take_image(&mut *archive, compression, known, &images)?;
            // Who sends it takes it for lost unless it is read to its end.
            io::copy(archive, &mut io::sink()).map_err(|error| EngineError::Broken(chain(&error)))?;
            Ok(image)
        });
        let taken = taken.await;
        let refusal = taken.as_ref().err().map(ToString::to_string);
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        match refusal {
            None => Ok(Response::new(Box::pin(tokio_stream::empty()))),
            Some(words) => Err(Status::aborted(words)),
        }
    }
}
