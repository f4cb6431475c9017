//! Builds with BuildKit.

use std::collections::HashMap;
use std::io;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    CacheOptions, CacheOptionsEntry, ListWorkersRequest, SolveRequest, SolveResponse, StatusRequest,
    StatusResponse,
};
use bollard_buildkit_proto::pb;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::engine::builder::connector::Connector;
use crate::engine::builder::session::{self, DOCKERFILE};
use crate::oci::Platform;

/// The largest message of BuildKit.
const LARGEST: usize = 16 << 20;

/// What is built.
#[derive(Clone, Debug, Default)]
pub(super) struct Solve {
    /// Names it among the builds of the engine.
    pub(super) id: String,
    /// The session that offers what it needs.
    pub(super) session: String,
    /// What the image is called at the engine.
    pub(super) name: String,
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
        let channel = Endpoint::from_static("http://engine").connect_with_connector(connect).await?;
        let client = ControlClient::new(channel);
        Ok(Self(client.max_decoding_message_size(LARGEST).max_encoding_message_size(LARGEST)))
    }

    /// What it builds for, natively or not; nothing if it does not say.
    pub(super) async fn platforms(&self) -> Vec<Platform> {
        let answer = self.0.clone().list_workers(ListWorkersRequest::default()).await;
        let workers = answer.map(|answer| answer.into_inner().record).unwrap_or_default();
        let platforms = workers.into_iter().flat_map(|worker| worker.platforms);
        let platform = |found: pb::Platform| {
            let variant = Some(found.variant).filter(|variant| !variant.is_empty());
            let names = [Some(found.os), Some(found.architecture), variant];
            names.into_iter().flatten().collect::<Vec<_>>().join("/").parse().ok()
        };
        platforms.filter_map(platform).collect()
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
        let mut request = Request::new(SolveRequest {
            r#ref: solve.id,
            session: solve.session.clone(),
            frontend: "dockerfile.v0".to_owned(),
            frontend_attrs: solve.attributes,
            // The store of the engine's own images.
            exporter_deprecated: "moby".to_owned(),
            exporter_attrs_deprecated: [("name".to_owned(), solve.name)].into(),
            entitlements: solve.entitlements,
            cache: Some(CacheOptions {
                exports: solve.cache_to,
                imports: solve.cache_from,
                ..CacheOptions::default()
            }),
            ..SolveRequest::default()
        });
        for (name, value) in session::headers(&solve.session) {
            if let (Ok(name), Ok(value)) =
                (MetadataKey::from_bytes(name.as_bytes()), MetadataValue::try_from(value))
            {
                request.metadata_mut().append(name, value);
            }
        }
        let (answer, ()) = tokio::join!(client.solve(request), watching);
        Ok(answer?.into_inner())
    }
}

/// Attributes that say where a build finds the context and the Dockerfile.
pub(super) fn places(build: &str) -> HashMap<String, String> {
    let attributes = [
        ("context", session::address_of_context(build)),
        ("filename", session::NAME.to_owned()),
        // Looked for apart from the context.
        ("dockerfilekey", DOCKERFILE.to_owned()),
    ];
    attributes.map(|(name, value)| (name.to_owned(), value)).into()
}
