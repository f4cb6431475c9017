//! The content of a blob as the body of a request.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use reqwest::Body;
use tokio::sync::mpsc;

use crate::store::Meter;

/// How much is read and sent at once, in bytes.
const PIECE: usize = 256 << 10;
/// How many pieces are read ahead.
const AHEAD: usize = 4;

/// What one request sent; taken back if it fails.
pub(super) struct Counted {
    meter: Arc<Meter>,
    sent: AtomicU64,
    arrived: AtomicBool,
}

impl Counted {
    pub(super) fn new(meter: &Arc<Meter>) -> Self {
        Self { meter: Arc::clone(meter), sent: 0.into(), arrived: false.into() }
    }

    fn add(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
        self.meter.add(count);
    }

    /// Ends when nothing was taken of a body of `length` bytes for `patience`, or, once
    /// all of it was, when that and what it takes to store it passed without an answer.
    pub(super) async fn stall(&self, length: u64, patience: Duration, storing: Duration) {
        let (mut before, mut idle) = (0, Duration::ZERO);
        loop {
            tokio::time::sleep(patience).await;
            let sent = self.sent.load(Ordering::Relaxed);
            idle = if sent == before { idle + patience } else { Duration::ZERO };
            before = sent;
            let most = if sent < length { patience } else { patience + storing };
            if idle >= most {
                return;
            }
        }
    }

    /// It arrived.
    pub(super) fn keep(&self) {
        self.arrived.store(true, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !*self.arrived.get_mut() {
            self.meter.take_back(*self.sent.get_mut());
        }
    }
}

/// The pieces of a blob, as a body takes them.
pub(super) struct Pieces(mpsc::Receiver<io::Result<Vec<u8>>>);

impl Stream for Pieces {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// A text as a body that is sent to one address and does not follow where that leads.
pub(super) fn once(text: &str) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    // There is room for one.
    let _sent = sender.try_send(Ok(text.as_bytes().to_vec()));
    Body::wrap_stream(Pieces(receiver))
}

/// Reads content on a thread of its own, a little ahead of what is sent.
pub(super) fn pieces(mut reader: impl Read + Send + 'static, counted: Arc<Counted>) -> Pieces {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            let item = match read {
                Ok(0) => return,
                Ok(_) => Ok(piece),
                Err(error) => Err(error),
            };
            let count = item.as_ref().map_or(0, |piece| piece.len() as u64);
            // The receiver is gone where the request ended early.
            if item.is_err() | sender.blocking_send(item).is_err() {
                return;
            }
            counted.add(count);
        }
    });
    Pieces(receiver)
}
