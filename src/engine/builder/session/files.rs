//! Directories that an engine looks through: the context, and one that holds the Dockerfile
//! alone.
//!
//! The protocol is that of `tonistiigi/fsutil`: what there is, is told; what is wanted
//! of it, is asked for by its number.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc as threads;

use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::FileSync;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::engine::builder::cause::Cause;
use crate::engine::builder::context::Context;
use crate::engine::builder::error::EngineError;
use crate::engine::builder::session::CONTEXT;
use crate::engine::builder::session::listing::Listing;

/// The largest piece of a file in one message; engines take 4 MiB.
const PIECE: usize = 256 << 10;
/// Messages that wait to be sent.
const BACKLOG: usize = 16;
/// The name of the file, whatever it is called in the project.
pub(in crate::engine::builder) const NAME: &str = "Dockerfile";
/// What the names of files end with that say what is no part of a context.
pub(in crate::engine::builder) const IGNORE: &str = ".dockerignore";

/// The Dockerfile, and the context unless that is an archive.
pub(super) struct Files {
    pub(super) dockerfile: Bytes,
    pub(super) context: Option<Context>,
    pub(super) cause: Cause,
}

impl Files {
    /// The context, if that is what is meant and more of it is wanted than what says what is
    /// no part of it: that is not told in the first place.
    fn wanted(&self, asked: &MetadataMap) -> Wanted {
        let values = |name: &'static str| {
            asked.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>()
        };
        let Some(context) = self.context.as_ref().filter(|_| values("dir-name").contains(&CONTEXT)) else {
            return Wanted::Dockerfile;
        };
        let wanted = [values("followpaths"), values("include-patterns")].concat();
        if !wanted.is_empty() && wanted.iter().all(|path| path.ends_with(IGNORE)) {
            return Wanted::Nothing;
        }
        Wanted::Context(context.clone())
    }
}

/// What an engine asks for.
enum Wanted {
    Dockerfile,
    Context(Context),
    Nothing,
}

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;
    type TarStreamStream = Self::DiffCopyStream;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let listing = match self.wanted(request.metadata()) {
            Wanted::Dockerfile => Listing::of_one(NAME, changed(&self.dockerfile), self.dockerfile.clone()),
            Wanted::Context(context) => {
                let listing = spawn_blocking(move || context.listing()).await.map_err(io::Error::other);
                listing.flatten().map_err(|error| unsent(&self.cause, &error))?
            }
            Wanted::Nothing => Listing::default(),
        };
        let listing = Arc::new(listing);
        let (sender, receiver) = mpsc::channel(BACKLOG);
        tokio::spawn(send(listing, request.into_inner(), sender, self.cause.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("files are sent one by one"))
    }
}

/// When the Dockerfile was changed, as far as the engine is told, in nanoseconds since
/// 1970: a number that its content alone decides. A file of the same size and time is not
/// asked for again.
fn changed(file: &[u8]) -> i64 {
    let sum = blake3::hash(file);
    let number = u64::from_le_bytes(sum.as_bytes().first_chunk().copied().unwrap_or_default());
    // Before 2038: not every file system goes on.
    let (seconds, nanoseconds) = (number >> 33, number & 0x00ff_ffff);
    seconds.cast_signed() * 1_000_000_000 + nanoseconds.cast_signed()
}

type Sender = mpsc::Sender<Result<Packet, Status>>;

/// Tells what there is, and sends what is asked for meanwhile; whoever asked may have gone
/// away.
async fn send(
    listing: Arc<Listing>,
    mut asked: Streaming<Packet>,
    sender: Sender,
    cause: Cause,
) -> Option<()> {
    // As many as there are files may be asked for before the first is sent.
    let (ask, numbers) = threads::channel();
    let (told, telling) = (Arc::clone(&listing), sender.clone());
    spawn_blocking(move || tell(&told, &telling));
    let sending = sender.clone();
    spawn_blocking(move || {
        for number in numbers {
            match pour(&listing, number, &sending) {
                Ok(()) => {}
                // Nobody takes it any more, and why is not known here.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return,
                Err(error) => {
                    let _ = sending.blocking_send(Err(unsent(&cause, &error)));
                    return;
                }
            }
        }
    });
    while let Some(Ok(packet)) = asked.next().await {
        match PacketType::try_from(packet.r#type).ok()? {
            PacketType::PacketReq => ask.send(packet.id).ok()?,
            PacketType::PacketFin => return sender.send(Ok(message(PacketType::PacketFin))).await.ok(),
            PacketType::PacketStat | PacketType::PacketData | PacketType::PacketErr => return None,
        }
    }
    None
}

/// Ends what is sent with why it cannot be.
fn unsent(cause: &Cause, error: &io::Error) -> Status {
    cause.note(EngineError::Unserved(error.to_string()));
    Status::aborted(error.to_string())
}

fn message(kind: PacketType) -> Packet {
    Packet { r#type: kind.into(), ..Packet::default() }
}

/// Tells of all that there is; one of nothing ends it.
fn tell(listing: &Listing, sender: &Sender) -> Option<()> {
    let stats = listing.stats().map(|stat| Some(stat.clone()));
    for stat in stats.chain([None]) {
        sender.blocking_send(Ok(Packet { stat, ..message(PacketType::PacketStat) })).ok()?;
    }
    Some(())
}

/// Sends a file; an empty piece ends it. Where nobody takes it any more, the pipe is broken.
fn pour(listing: &Listing, number: u32, sender: &Sender) -> io::Result<()> {
    let content = listing.content(number).ok_or_else(|| io::Error::other("no such file was told of"))?;
    let piece = |data| {
        let packet = Packet { id: number, data, ..message(PacketType::PacketData) };
        sender.blocking_send(Ok(packet)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    };
    content(&mut |file| {
        loop {
            let mut data = Vec::with_capacity(PIECE);
            file.take(PIECE as u64).read_to_end(&mut data)?;
            if data.is_empty() {
                return Ok(());
            }
            piece(data)?;
        }
    })?;
    piece(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nobody_takes_a_file_any_more_is_told_from_a_file_that_fails() {
        let listing = Listing::of_one(NAME, 0, Bytes::from_static(b"FROM scratch\n"));
        let (sender, receiver) = mpsc::channel(BACKLOG);
        pour(&listing, 0, &sender).unwrap();
        drop(receiver);
        assert_eq!(pour(&listing, 0, &sender).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_ne!(pour(&listing, 1, &sender).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
