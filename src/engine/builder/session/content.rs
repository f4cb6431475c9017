//! Blobs of layouts, which an engine reads and writes by their digests.
//!
//! The service is `containerd.services.content.v1.Content`, as far as BuildKit calls it:
//! for images that a Dockerfile starts from, and for caches in directories.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;
use tower_service::Service;

use crate::diagnostic::Problem;
use crate::engine::builder::cause::Cause;
use crate::engine::builder::error::EngineError;
use crate::engine::builder::stream::written;
use crate::oci::{Digest, MAX_DOCUMENT};
use crate::store::{BlobWriter, Layout};

/// Which store is meant, in the metadata of each call.
const STORE: &str = "buildkit-attachable-store-id";
/// Answers that wait to be sent.
const BACKLOG: usize = 4;

/// Layouts by what the engine calls them.
#[derive(Clone, Default)]
pub(in crate::engine::builder) struct Contents {
    stores: Arc<HashMap<String, Layout>>,
    cause: Cause,
}

impl Contents {
    pub(in crate::engine::builder) fn new(stores: HashMap<String, Layout>) -> Self {
        Self { stores: Arc::new(stores), cause: Cause::default() }
    }

    /// The same, of which a failure becomes the cause of a build's.
    pub(super) fn with(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }

    fn store<T>(&self, request: &Request<T>) -> Result<&Layout, Status> {
        let id = request.metadata().get(STORE).and_then(|id| id.to_str().ok()).unwrap_or_default();
        self.stores.get(id).ok_or_else(|| Status::not_found(format!("no store `{id}` is offered")))
    }

    fn info(&self, request: &Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let layout = self.store(request)?;
        let (digest, path) = blob(layout, &request.get_ref().digest)?;
        let size = path.metadata().map_err(|_| missing(&digest))?.len().cast_signed();
        Ok(Response::new(InfoResponse { info: Some(Info { digest: digest.to_string(), size }) }))
    }

    fn read(&self, request: &Request<ReadRequest>) -> Result<Response<Answers<ReadResponse>>, Status> {
        let layout = self.store(request)?;
        let ReadRequest { digest, offset, size } = request.get_ref().clone();
        let (digest, path) = blob(layout, &digest)?;
        let mut file = File::open(path).map_err(|_| missing(&digest))?;
        let (from, size) = (offset.cast_unsigned(), if size > 0 { size.cast_unsigned() } else { u64::MAX });
        let pieces = self.cause.of(written(move |out| {
            file.seek(SeekFrom::Start(from))?;
            io::copy(&mut file.take(size), out).map(drop)
        }));
        let mut offset = offset;
        let answers = pieces.map(move |piece| {
            let data = piece?.to_vec();
            let answer = ReadResponse { offset, data };
            offset += i64::try_from(answer.data.len()).unwrap_or_default();
            Ok(answer)
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Answers<WriteResponse>>, Status> {
        let layout = self.store(&request)?.clone();
        let mut asked = request.into_inner();
        let first = asked.message().await?.ok_or_else(|| Status::invalid_argument("nothing is written"))?;
        if let Ok(digest) = first.expected.parse::<Digest>()
            && layout.has(&digest)
        {
            return Err(Status::already_exists(format!("content {digest}: already exists")));
        }
        let cause = self.cause.clone();
        let blob = layout.writer().map_err(|problem| failed(&cause, problem))?;
        let mut writing = Writing { blob, offset: 0, cause };
        let (sender, receiver) = mpsc::channel(BACKLOG);
        tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(request) = next {
                let is_last = request.action == COMMIT;
                let taken = spawn_blocking(move || writing.take(request)).await;
                let answer = match taken {
                    Ok(Ok((answer, Some(rest)))) if !is_last => {
                        writing = rest;
                        Ok(answer)
                    }
                    Ok(Ok((answer, _))) => return sender.send(Ok(answer)).await,
                    Ok(Err(status)) => return sender.send(Err(status)).await,
                    Err(error) => return sender.send(Err(Status::internal(error.to_string()))).await,
                };
                sender.send(answer).await?;
                next = asked.message().await.ok().flatten();
            }
            Ok(())
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// A blob that comes in pieces.
struct Writing {
    blob: BlobWriter,
    offset: i64,
    cause: Cause,
}

impl Writing {
    /// Does what one message asks for; with the last one the blob is there.
    fn take(mut self, request: WriteRequest) -> Result<(WriteResponse, Option<Self>), Status> {
        let WriteRequest { action, total, expected, offset, data, .. } = request;
        if action != STAT {
            if offset != self.offset && offset != 0 {
                return Err(Status::out_of_range(format!("{offset} is not where it ended")));
            }
            self.blob.write_all(&data).inspect_err(|error| {
                self.cause.note(EngineError::Unserved(format!("a layer cannot be written: {error}")));
            })?;
            self.offset += i64::try_from(data.len()).unwrap_or_default();
        }
        let answer = WriteResponse { action, offset: self.offset, total, digest: String::new() };
        if action != COMMIT {
            return Ok((answer, Some(self)));
        }
        let committed = self.blob.commit("application/octet-stream");
        let descriptor = committed.map_err(|problem| failed(&self.cause, problem))?;
        let digest = descriptor.digest.to_string();
        if !expected.is_empty() && expected != digest {
            return Err(Status::failed_precondition(format!("it is {digest}, and not {expected}")));
        }
        Ok((WriteResponse { digest, ..answer }, None))
    }
}

/// The place of a blob that is named by a text.
fn blob(layout: &Layout, digest: &str) -> Result<(Digest, std::path::PathBuf), Status> {
    let digest: Digest =
        digest.parse().map_err(|_| Status::invalid_argument(format!("`{digest}` is no digest")))?;
    Ok((digest, layout.blob_path(&digest)))
}

fn missing(digest: &Digest) -> Status {
    Status::not_found(format!("content {digest}: not found"))
}

/// Tells an engine why a layout here does not do.
fn failed(cause: &Cause, problem: Problem) -> Status {
    let status = Status::aborted(problem.title.clone());
    cause.note(problem.into());
    status
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl NamedService for Contents {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

impl Service<http::Request<Body>> for Contents {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let contents = self.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match method.as_str() {
                "Info" => {
                    let answer = service_fn(|asked| std::future::ready(contents.info(&asked)));
                    Grpc::new(ProstCodec::default()).unary(answer, request).await
                }
                "Read" => {
                    let answer = service_fn(|asked| std::future::ready(contents.read(&asked)));
                    Grpc::new(ProstCodec::default()).server_streaming(answer, request).await
                }
                "Write" => {
                    let answer = service_fn(|asked| {
                        let contents = contents.clone();
                        async move { contents.write(asked).await }
                    });
                    let codec = ProstCodec::default();
                    let largest = usize::try_from(MAX_DOCUMENT).unwrap_or(usize::MAX);
                    Grpc::new(codec).max_decoding_message_size(largest).streaming(answer, request).await
                }
                method => Status::unimplemented(format!("no `{method}`")).into_http(),
            })
        })
    }
}

// The messages, as far as they are read or written here.

#[derive(Clone, PartialEq, prost::Message)]
struct InfoRequest {
    #[prost(string, tag = "1")]
    digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    info: Option<Info>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Info {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadRequest {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    offset: i64,
    #[prost(int64, tag = "3")]
    size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadResponse {
    #[prost(int64, tag = "1")]
    offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

/// What a message of a write asks for: how it stands, to write, to be done.
const STAT: i32 = 0;
const COMMIT: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(int32, tag = "1")]
    action: i32,
    #[prost(string, tag = "2")]
    reference: String,
    #[prost(int64, tag = "3")]
    total: i64,
    #[prost(string, tag = "4")]
    expected: String,
    #[prost(int64, tag = "5")]
    offset: i64,
    #[prost(bytes = "vec", tag = "6")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteResponse {
    #[prost(int32, tag = "1")]
    action: i32,
    #[prost(int64, tag = "4")]
    offset: i64,
    #[prost(int64, tag = "5")]
    total: i64,
    #[prost(string, tag = "6")]
    digest: String,
}
