//! The context, which an engine pulls.

use std::pin::Pin;

use bollard_buildkit_proto::moby::upload::v1::BytesMessage;
use bollard_buildkit_proto::moby::upload::v1::upload_server;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::engine::builder::cause::Cause;
use crate::engine::builder::session::Source;

/// What the address of the context ends with.
pub(super) const NAME: &str = "context";

/// The archive of the context.
pub(super) struct Upload {
    pub(super) archive: Source,
    pub(super) cause: Cause,
}

#[tonic::async_trait]
impl upload_server::Upload for Upload {
    type PullStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn pull(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let path = request.metadata().get("urlpath").and_then(|path| path.to_str().ok());
        let name = path.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        if name != NAME {
            return Err(Status::not_found(format!("no archive `{name}`")));
        }
        let pieces = self.cause.of((self.archive)()).map(|piece| match piece {
            Ok(bytes) => Ok(BytesMessage { data: bytes.into() }),
            Err(error) => Err(Status::aborted(error.to_string())),
        });
        Ok(Response::new(Box::pin(pieces)))
    }
}
