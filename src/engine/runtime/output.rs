//! What a container writes.

use std::io::{self, Read, Write};
use std::sync::mpsc::SyncSender;

use crate::engine::runtime::Request;

/// Most bytes of a stream that are kept.
const KEPT: usize = 16 << 20;

/// Where a process writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What came from a container: each stream by itself, the first 16 MiB of it, and
/// its answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// What was asked, and why it was not answered as it must be, if so.
    pub answers: Vec<(Request, Option<String>)>,
}

impl Output {
    /// The bytes of a stream.
    #[must_use]
    pub fn of(&self, stream: Stream) -> &[u8] {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    /// Keeps a piece and passes it on. What cannot be logged is kept all the same.
    pub(super) fn take(&mut self, stream: Stream, piece: &[u8], log: &mut dyn Write) {
        let _ = log.write_all(piece);
        let kept = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let room = KEPT.saturating_sub(kept.len()).min(piece.len());
        kept.extend_from_slice(piece.get(..room).unwrap_or_default());
    }
}

/// Sends on what comes from a pipe until its end.
pub(super) fn forward(mut pipe: impl Read, stream: Stream, to: &SyncSender<(Stream, Vec<u8>)>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let piece = buffer.get(..count).unwrap_or_default().to_vec();
                if to.send((stream, piece)).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
