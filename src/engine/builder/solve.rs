//! Builds with BuildKit.

use std::collections::HashMap;
use std::io;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    BytesMessage, CacheOptions, CacheOptionsEntry, InfoRequest, ListWorkersRequest, SolveRequest,
    SolveResponse, StatusRequest, StatusResponse,
};
use bollard_buildkit_proto::pb;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::engine::builder::connector::Connector;
use crate::engine::builder::pipe::Pipe;
use crate::engine::builder::session::{self, Badge, DOCKERFILE};
use crate::oci::Platform;

/// The largest message of BuildKit.
const LARGEST: usize = 16 << 20;
/// The longest error of BuildKit, in bytes: it comes as a header, and has the whole
/// Dockerfile within, encoded twice.
const LONGEST_ERROR: u32 = 4 << 20;
/// Bytes of a piece of a session.
const PIECE: usize = 64 << 10;
/// Pieces of a session that wait to be sent.
const BACKLOG: usize = 4;
/// How much may be sent before it is taken, in bytes.
const WINDOW: u32 = 4 << 20;

/// Where an image goes that was built.
#[derive(Clone, Debug, Default)]
pub(super) enum Export {
    /// To the engine's own images.
    #[default]
    Engine,
    /// To whoever offers the session, as an archive.
    Session,
}

/// What is built.
#[derive(Clone, Debug, Default)]
pub(super) struct Solve {
    /// Names it among the builds of the engine.
    pub(super) id: String,
    /// The session that offers what it needs.
    pub(super) session: Badge,
    /// What the image is called.
    pub(super) name: String,
    /// Where the image goes.
    pub(super) export: Export,
    /// Attributes of the frontend: arguments, labels, the target, and so on.
    pub(super) attributes: HashMap<String, String>,
    /// What it may do that engines do not let everybody do.
    pub(super) entitlements: Vec<String>,
    /// Where caches are read from.
    pub(super) cache_from: Vec<CacheOptionsEntry>,
    /// Where caches are written to.
    pub(super) cache_to: Vec<CacheOptionsEntry>,
}

/// What BuildKit answers at a connection.
pub(super) struct BuildKit(ControlClient<Channel>);

impl BuildKit {
    /// The BuildKit inside of an engine that has an HTTP API.
    pub(super) async fn within(connector: &Connector) -> Result<Self, tonic::transport::Error> {
        let connector = connector.clone();
        let connect = tower::service_fn(move |_: http::Uri| {
            let connector = connector.clone();
            async move {
                let pipe = connector.upgraded("/grpc", &[]).await?;
                Ok::<_, io::Error>(TokioIo::new(pipe))
            }
        });
        let endpoint = Endpoint::from_static("http://engine").http2_max_header_list_size(LONGEST_ERROR);
        Ok(Self::of(endpoint.connect_with_connector(connect).await?))
    }

    /// The BuildKit that is an engine itself.
    pub(super) async fn itself(connector: &Connector) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_static("http://engine")
            .http2_max_header_list_size(LONGEST_ERROR)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        Ok(Self::of(endpoint.connect_with_connector(connector.clone()).await?))
    }

    fn of(channel: Channel) -> Self {
        let client = ControlClient::new(channel);
        Self(client.max_decoding_message_size(LARGEST).max_encoding_message_size(LARGEST))
    }

    /// Its version, or nothing where it is too old to say.
    pub(super) async fn version(&self) -> String {
        let answer = self.0.clone().info(InfoRequest::default()).await;
        let version = answer.ok().and_then(|answer| answer.into_inner().buildkit_version);
        version.map(|version| version.version.trim_start_matches('v').to_owned()).unwrap_or_default()
    }

    /// What it builds for, natively or not, the machine's own first; nothing if it does
    /// not say.
    pub(super) async fn platforms(&self) -> Vec<Platform> {
        self.workers().await.unwrap_or_default()
    }

    /// As [`platforms`](Self::platforms).
    ///
    /// # Errors
    /// It does not say, or is no BuildKit.
    pub(super) async fn workers(&self) -> Result<Vec<Platform>, Status> {
        let answer = self.0.clone().list_workers(ListWorkersRequest::default()).await?;
        let platforms = answer.into_inner().record.into_iter().flat_map(|worker| worker.platforms);
        let platform = |found: pb::Platform| {
            let variant = Some(found.variant).filter(|variant| !variant.is_empty());
            let names = [Some(found.os), Some(found.architecture), variant];
            names.into_iter().flatten().collect::<Vec<_>>().join("/").parse().ok()
        };
        Ok(platforms.filter_map(platform).collect())
    }

    /// A connection for a session, which goes to and fro within a call.
    pub(super) async fn session(&self, badge: &Badge) -> Result<Pipe, Status> {
        let (ours, theirs) = tokio::io::duplex(PIECE);
        let (mut said, mut heard) = tokio::io::split(theirs);
        let (sender, receiver) = mpsc::channel(BACKLOG);
        tokio::spawn(async move {
            let mut piece = vec![0; PIECE];
            while let Ok(count) = said.read(&mut piece).await {
                let data = piece.get(..count).unwrap_or_default().to_vec();
                if count == 0 || sender.send(BytesMessage { data }).await.is_err() {
                    break;
                }
            }
        });
        let request = offering(Request::new(ReceiverStream::new(receiver)), badge);
        let mut answers = self.0.clone().session(request).await?.into_inner();
        tokio::spawn(async move {
            while let Some(Ok(BytesMessage { data })) = answers.next().await {
                if heard.write_all(&data).await.is_err() {
                    break;
                }
            }
            // Whoever reads on the other end sees that nothing follows.
            let _ = heard.shutdown().await;
        });
        Ok(Pipe::new(ours))
    }

    /// Builds, and passes on how it goes.
    pub(super) async fn solve(
        &self,
        solve: Solve,
        told: mpsc::Sender<StatusResponse>,
    ) -> Result<SolveResponse, Status> {
        let mut client = self.0.clone();
        let status = StatusRequest { r#ref: solve.id.clone() };
        let mut watcher = self.0.clone();
        let watching = async move {
            let Ok(answer) = watcher.status(status).await else { return };
            let mut answers = answer.into_inner();
            while let Some(Ok(answer)) = answers.next().await {
                if told.send(answer).await.is_err() {
                    return;
                }
            }
        };
        let (kind, attributes) = match solve.export {
            Export::Engine => ("moby", [("name".to_owned(), solve.name)].into()),
            // With the list that archives of Docker have, and media types of OCI, of
            // which more kinds of compression are.
            Export::Session => ("docker", [("oci-mediatypes".to_owned(), "true".to_owned())].into()),
        };
        let session = solve.session.clone();
        let request = Request::new(SolveRequest {
            r#ref: solve.id,
            session: solve.session.id,
            frontend: "dockerfile.v0".to_owned(),
            frontend_attrs: solve.attributes,
            exporter_deprecated: kind.to_owned(),
            exporter_attrs_deprecated: attributes,
            entitlements: solve.entitlements,
            // Else the engine keeps what the build wrote, with the secrets that it wrote.
            internal: true,
            cache: Some(CacheOptions {
                exports: solve.cache_to,
                imports: solve.cache_from,
                ..CacheOptions::default()
            }),
            ..SolveRequest::default()
        });
        let request = offering(request, &session);
        let (answer, ()) = tokio::join!(client.solve(request), watching);
        Ok(answer?.into_inner())
    }
}

/// Says in a call what a session offers.
fn offering<T>(mut request: Request<T>, session: &Badge) -> Request<T> {
    for (name, value) in session::headers(session) {
        if let (Ok(name), Ok(value)) =
            (MetadataKey::from_bytes(name.as_bytes()), MetadataValue::try_from(value))
        {
            request.metadata_mut().append(name, value);
        }
    }
    request
}

/// Attributes that say where a build finds the Dockerfile, and the context if that is an
/// archive: else it is looked for where it is usual.
pub(super) fn places(build: &str, is_archive: bool) -> HashMap<String, String> {
    let mut attributes = HashMap::from([("filename".to_owned(), session::NAME.to_owned())]);
    if is_archive {
        attributes.insert("context".to_owned(), session::address_of_context(build));
        // Looked for apart from the context.
        attributes.insert("dockerfilekey".to_owned(), DOCKERFILE.to_owned());
    }
    attributes
}
