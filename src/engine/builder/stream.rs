//! Between pieces that come and threads that read and write.

use std::io::{self, Read, Write};
use std::pin::pin;

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};

use crate::engine::builder::error::{EngineError, chain};
use crate::engine::builder::session::ByteStream;

/// Bytes of a piece.
const PIECE: usize = 256 << 10;
/// Pieces that wait to be taken; whoever makes more waits, too.
const BACKLOG: usize = 4;

/// The bytes that `write` writes, as they are asked for. An error of it is the last
/// piece. Once nobody takes the pieces any more, writing fails.
pub(super) fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) -> ByteStream {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    spawn_blocking(move || {
        let mut pieces = Outgoing { sender, piece: BytesMut::with_capacity(PIECE) };
        let ended = write(&mut pieces).and_then(|()| pieces.flush());
        if let Err(error) = ended {
            // Whoever does not listen need not know.
            let _ = pieces.sender.blocking_send(Err(error));
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

/// What `read` makes of pieces, which it reads on a thread while they come.
///
/// # Errors
/// The first piece that is an error; what `read` ends with.
pub(super) async fn read<T: Send + 'static, E: Into<EngineError>>(
    pieces: impl Stream<Item = Result<Bytes, E>>,
    read: impl FnOnce(&mut dyn Read) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let reading = spawn_blocking(move || read(&mut Incoming { pieces: receiver, piece: Bytes::new() }));
    let mut pieces = pin!(pieces);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(Into::into);
        let failed = piece.as_ref().err().cloned();
        // Whoever takes it ended early, and says why.
        if sender.send(piece.map_err(io::Error::other)).await.is_err() {
            break;
        }
        if let Some(error) = failed {
            return Err(error);
        }
    }
    drop(sender);
    reading.await.map_err(|error| EngineError::Broken(chain(&error)))?
}

/// Pieces that come one by one, as something to read.
struct Incoming {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Collects what is written in pieces.
struct Outgoing {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: BytesMut,
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE)).freeze();
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        if piece.is_empty() { Ok(()) } else { self.sender.blocking_send(Ok(piece)).map_err(gone) }
    }
}
