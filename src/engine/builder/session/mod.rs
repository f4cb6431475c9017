//! What an engine may ask of hoist while it builds.
//!
//! BuildKit turns a connection around: it is the client of services that whoever builds
//! offers to it. The services are those of `moby/buildkit/session`.

mod auth;
mod content;
mod files;
mod listing;
mod receive;
mod secrets;
mod ssh;
mod upload;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSendServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use bollard_buildkit_proto::moby::upload::v1::upload_server::UploadServer;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::engine::builder::cause::Cause;
use crate::engine::builder::context::Context;
use crate::engine::builder::pipe::Pipe;
use auth::Credentials;
pub(super) use auth::HUB;
pub(super) use content::Contents;
use files::Files;
pub(super) use files::{IGNORE, NAME};
pub(super) use listing::{Content, Listing};
pub(super) use receive::Receiver;
use secrets::Secrets;
use ssh::Agents;
use upload::Upload;

/// Bytes that are made while they are sent.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Makes the same bytes each time that it is asked.
pub type Source = Arc<dyn Fn() -> ByteStream + Send + Sync>;

/// Who logs in at a registry, and with what.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user; empty for an identity token.
    pub user: String,
    /// The password or the token.
    pub secret: String,
}

/// Who logs in where, by host; Docker Hub's is `docker.io`.
pub type Logins = HashMap<String, Login>;

/// What an engine may ask for while it builds.
#[derive(Clone)]
pub struct Offer {
    /// The archive of the context.
    pub context: Source,
    /// The files of the context, for engines that take but those that they do not have.
    pub files: Option<Context>,
    /// The Dockerfile.
    pub dockerfile: Bytes,
    /// Values of secrets by id.
    pub secrets: HashMap<String, Vec<u8>>,
    /// Sockets of ssh agents by id.
    pub agents: HashMap<String, PathBuf>,
    /// Who logs in where.
    pub logins: Logins,
}

/// Name of the directory that holds the Dockerfile alone.
pub(super) const DOCKERFILE: &str = "dockerfile";
/// Name of the directory that is the context.
pub(super) const CONTEXT: &str = "context";

/// The address at which an engine finds the context of a build.
///
/// No other build has it: what two builds ask for at one address at the same time, an
/// engine fetches once, from either of them.
pub(super) fn address_of_context(build: &str) -> String {
    format!("http://buildkit-session/{build}/{}", upload::NAME)
}

/// How an engine finds a service: a header for each method.
const METHODS: [&str; 8] = [
    "/grpc.health.v1.Health/Check",
    "/moby.upload.v1.Upload/Pull",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.FileSend/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
];

/// A session, as an engine is told of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Badge {
    /// No other session has it.
    pub(super) id: String,
    /// The engine takes a directory for the same as another of this mark, but for files of
    /// another size or time; empty for none.
    pub(super) shared: String,
}

/// Headers, or entries of gRPC's metadata, that say what a session offers.
pub(super) fn headers(badge: &Badge) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("x-docker-expose-session-uuid", badge.id.clone()),
        ("x-docker-expose-session-name", "hoist".to_owned()),
        ("x-docker-expose-session-sharedkey", badge.shared.clone()),
    ];
    headers.extend(METHODS.map(|method| ("x-docker-expose-session-grpc-method", method.to_owned())));
    headers
}

/// Images and caches that go to and fro within a session, with an engine that has no
/// place of its own for them.
#[derive(Clone)]
pub(super) struct Transfer {
    /// Layouts that the engine reads and writes.
    pub(super) contents: Contents,
    /// Where the image goes.
    pub(super) receiver: Receiver,
}

/// How much an engine may send before it is taken, in bytes.
const WINDOW: u32 = 4 << 20;

/// Offers a session over a connection that the engine made into one, until it is dropped.
///
/// Why something that the engine asks for cannot be given to it becomes the `cause`.
pub(super) fn offer(pipe: Pipe, offer: Offer, transfer: Option<Transfer>, cause: Cause) -> Session {
    let (session, dropped) = oneshot::channel();
    tokio::spawn(serve(pipe, offer, transfer, cause, dropped));
    Session(session)
}

/// A session that goes on; when this is dropped, it ends as soon as nothing of it is
/// under way any more.
pub(super) struct Session(
    #[expect(dead_code, reason = "that it goes away is what it tells")] oneshot::Sender<()>,
);

async fn serve(
    pipe: Pipe,
    offer: Offer,
    transfer: Option<Transfer>,
    cause: Cause,
    dropped: oneshot::Receiver<()>,
) {
    let archive = Upload { archive: offer.context, cause: cause.clone() };
    let files = Files { dockerfile: offer.dockerfile, context: offer.files, cause: cause.clone() };
    let (contents, receiver) = transfer.map(|transfer| (transfer.contents, transfer.receiver)).unzip();
    let router = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .add_service(HealthServer::new(Healthy))
        .add_service(UploadServer::new(archive))
        .add_service(FileSyncServer::new(files))
        .add_service(AuthServer::new(Credentials(offer.logins)))
        .add_service(SecretsServer::new(Secrets(offer.secrets)))
        .add_service(SshServer::new(Agents(offer.agents)))
        .add_optional_service(contents.map(|contents| contents.with(cause)))
        .add_optional_service(receiver.map(FileSendServer::new));
    // How it ended is told by the build that it belongs to.
    let pipes = tokio_stream::once(Ok::<_, io::Error>(pipe)).chain(tokio_stream::pending());
    let _ = router.serve_with_incoming_shutdown(pipes, async { drop(dropped.await) }).await;
}

/// Says that the session is there.
struct Healthy;

#[tonic::async_trait]
impl Health for Healthy {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("no list"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("no watch"))
    }
}
