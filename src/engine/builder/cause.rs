//! Why a build fails, where hoist itself knows it.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio_stream::{Stream, StreamExt as _};

use crate::engine::builder::error::EngineError;

/// The first of hoist's own failures to give an engine what it asked for.
///
/// An engine that is told of one gives up what else is under way, and says any of that in
/// the place of the reason: `context canceled`.
#[derive(Clone, Default)]
pub(super) struct Cause(Arc<OnceLock<EngineError>>);

impl Cause {
    /// Keeps a failure, unless there was one before. It has to be kept before the engine is
    /// told of it.
    pub(super) fn note(&self, failure: EngineError) {
        let _first = self.0.set(failure);
    }

    /// The failure that was noted, else what the engine says.
    pub(super) fn or(&self, said: EngineError) -> EngineError {
        self.0.get().cloned().unwrap_or(said)
    }

    /// Notes what pieces end with that are made while they are sent.
    pub(super) fn of<S>(&self, pieces: S) -> impl Stream<Item = io::Result<Bytes>> + use<S>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let cause = self.clone();
        pieces
            .map(move |piece| piece.inspect_err(|error| cause.note(EngineError::Unserved(error.to_string()))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use bollard_buildkit_proto::fsutil::types::Packet;
    use bollard_buildkit_proto::fsutil::types::packet::PacketType;
    use bollard_buildkit_proto::moby::filesync::packet::file_sync_client::FileSyncClient;
    use bollard_buildkit_proto::moby::upload::v1::upload_client::UploadClient;
    use hyper_util::rt::TokioIo;
    use tonic::Request;
    use tonic::transport::{Channel, Endpoint};

    use super::*;
    use crate::config::ProjectPath;
    use crate::engine::builder::context::Context;
    use crate::engine::builder::pipe::Pipe;
    use crate::engine::builder::session::{CONTEXT, Offer, Session, offer};
    use crate::facts::{InputFile, InputKind, Seen};

    /// A session, and the engine's end of it.
    async fn session(context: Context, cause: &Cause) -> (Session, Channel) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let offered = Offer {
            context: context.archive(),
            files: Some(context),
            dockerfile: Bytes::new(),
            secrets: HashMap::new(),
            agents: HashMap::new(),
            logins: HashMap::new(),
        };
        let session = offer(Pipe::new(ours), offered, None, cause.clone());
        let mut theirs = Some(theirs);
        let connect = tower::service_fn(move |_: http::Uri| {
            let pipe = theirs.take().map(TokioIo::new);
            std::future::ready(pipe.ok_or_else(|| io::Error::other("there is but one connection")))
        });
        let endpoint = Endpoint::from_static("http://engine");
        (session, endpoint.connect_with_connector(connect).await.unwrap())
    }

    /// What an engine says that gives up what else is under way.
    fn canceled() -> EngineError {
        EngineError::Failed { words: "context canceled".to_owned(), spot: None }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_hoist_could_not_send_is_told_whatever_the_engine_says() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("z");
        std::fs::write(&path, "this").unwrap();
        let file = InputFile {
            path: ProjectPath::root().join("z").unwrap(),
            kind: InputKind::File,
            digest: *blake3::hash(b"that").as_bytes(),
            seen: Seen::of(&path).unwrap(),
        };
        let context = Context::new(root.path(), Path::new(""), vec![file]);
        let changed = EngineError::Unserved("`z` changed while it was sent".to_owned());

        let cause = Cause::default();
        assert_eq!(cause.or(canceled()), canceled());
        let (_session, channel) = session(context.clone(), &cause).await;
        let wanted = Packet { r#type: PacketType::PacketReq.into(), id: 0, ..Packet::default() };
        let asked = tokio_stream::once(wanted).chain(tokio_stream::pending());
        let mut request = Request::new(asked);
        request.metadata_mut().insert("dir-name", CONTEXT.parse().unwrap());
        let mut packets = FileSyncClient::new(channel).diff_copy(request).await.unwrap().into_inner();
        while let Ok(Some(_)) = packets.message().await {}
        assert_eq!(cause.or(canceled()), changed);

        let cause = Cause::default();
        let (_session, channel) = session(context.clone(), &cause).await;
        let mut request = Request::new(tokio_stream::empty());
        request.metadata_mut().insert("urlpath", "/build/context".parse().unwrap());
        let mut pieces = UploadClient::new(channel).pull(request).await.unwrap().into_inner();
        while let Ok(Some(_)) = pieces.message().await {}
        assert_eq!(cause.or(canceled()), changed);

        // The first reason is kept.
        let cause = Cause::default();
        std::fs::remove_file(&path).unwrap();
        let pieces: Vec<_> = cause.of((context.archive())()).collect().await;
        assert!(pieces.last().is_some_and(Result::is_err));
        cause.note(canceled());
        let told = cause.or(canceled()).to_string();
        assert!(told.starts_with("`z` cannot be read: "), "{told}");
    }
}
