//! The directory that holds the Dockerfile alone.
//!
//! The protocol is that of `tonistiigi/fsutil`: what there is, is told; what is wanted
//! of it, is asked for by its number.

use std::pin::Pin;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::FileSync;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// The largest piece of a file in one message; engines take 4 MiB.
const PIECE: usize = 1 << 20;
/// The name of the file, whatever it is called in the project.
pub(in crate::engine::builder) const NAME: &str = "Dockerfile";

/// The Dockerfile.
pub(super) struct Files(pub(super) Bytes);

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;
    type TarStreamStream = Self::DiffCopyStream;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(send(self.0.clone(), request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("files are sent one by one"))
    }
}

/// When the file was changed, as far as the engine is told, in nanoseconds since 1970: a
/// number that its content alone decides. A file of the same size and time is not asked
/// for again.
fn changed(file: &[u8]) -> i64 {
    let sum = blake3::hash(file);
    let number = u64::from_le_bytes(sum.as_bytes().first_chunk().copied().unwrap_or_default());
    // Before 2038: not every file system goes on.
    let (seconds, nanoseconds) = (number >> 33, number & 0x00ff_ffff);
    seconds.cast_signed() * 1_000_000_000 + nanoseconds.cast_signed()
}

/// Tells of the file, and sends it if it is asked for; whoever asked may have gone away.
async fn send(
    file: Bytes,
    mut asked: Streaming<Packet>,
    sender: mpsc::Sender<Result<Packet, Status>>,
) -> Option<()> {
    let size = i64::try_from(file.len()).ok()?;
    let mod_time = changed(&file);
    let stat = Stat { path: NAME.to_owned(), mode: 0o644, size, mod_time, ..Stat::default() };
    let told = |stat| Packet { r#type: PacketType::PacketStat.into(), stat, ..Packet::default() };
    sender.send(Ok(told(Some(stat)))).await.ok()?;
    sender.send(Ok(told(None))).await.ok()?;
    while let Some(Ok(packet)) = asked.next().await {
        match PacketType::try_from(packet.r#type).ok()? {
            PacketType::PacketReq => {
                let data = |data: &[u8]| Packet {
                    r#type: PacketType::PacketData.into(),
                    id: packet.id,
                    data: data.to_vec(),
                    ..Packet::default()
                };
                for piece in file.chunks(PIECE) {
                    sender.send(Ok(data(piece))).await.ok()?;
                }
                // An empty piece ends it.
                sender.send(Ok(data(&[]))).await.ok()?;
            }
            PacketType::PacketFin => {
                let end = Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() };
                return sender.send(Ok(end)).await.ok();
            }
            PacketType::PacketStat | PacketType::PacketData | PacketType::PacketErr => return None,
        }
    }
    None
}
