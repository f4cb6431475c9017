//! What is written by a thread, as pieces that come.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::builder::session::ByteStream;

/// Bytes of a piece.
const PIECE: usize = 256 << 10;
/// Pieces that wait to be taken; whoever writes more waits, too.
const BACKLOG: usize = 4;

/// The bytes that `write` writes, as they are asked for. An error of it is the last
/// piece. Once nobody takes the pieces any more, writing fails.
pub(super) fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) -> ByteStream {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    spawn_blocking(move || {
        let mut pieces = Pieces { sender, piece: BytesMut::with_capacity(PIECE) };
        let ended = write(&mut pieces).and_then(|()| pieces.flush());
        if let Err(error) = ended {
            // Whoever does not listen need not know.
            let _ = pieces.sender.blocking_send(Err(error));
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

/// Collects what is written in pieces.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: BytesMut,
}

impl Write for Pieces {
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
