//! Archives that an engine pulls.

use std::collections::HashMap;
use std::pin::Pin;

use bollard_buildkit_proto::moby::upload::v1::BytesMessage;
use bollard_buildkit_proto::moby::upload::v1::upload_server::Upload;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::engine::builder::session::Source;

/// What names of archives begin with where they stand for addresses.
pub(super) const PREFIX: &str = "http://buildkit-session/";

/// Archives by name.
pub(super) struct Uploads(pub(super) HashMap<String, Source>);

#[tonic::async_trait]
impl Upload for Uploads {
    type PullStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn pull(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let path = request.metadata().get("urlpath").and_then(|path| path.to_str().ok());
        let name = path.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let source = self.0.get(name).ok_or_else(|| Status::not_found(format!("no archive `{name}`")))?;
        let pieces = source().map(|piece| match piece {
            Ok(bytes) => Ok(BytesMessage { data: bytes.into() }),
            Err(error) => Err(Status::aborted(error.to_string())),
        });
        Ok(Response::new(Box::pin(pieces)))
    }
}
