//! Sending blobs.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, StatusCode, Url};
use tokio::sync::mpsc;

use crate::diagnostic::Problem;
use crate::oci::Descriptor;
use crate::store::registry::Registry;
use crate::store::registry::answer::unreachable;
use crate::store::registry::connection::Call;
use crate::store::registry::retry::{ATTEMPTS, backoff, is_passing, is_transient, pause};
use crate::store::{BlobReader, Layout, Meter};

/// How much is read and sent at once, in bytes.
const PIECE: usize = 256 << 10;
/// How many pieces are read ahead.
const AHEAD: usize = 4;
/// The slowest that an upload may be, in bytes a second, after the first minutes.
const SLOWEST: u64 = 64 << 10;
/// How long any upload may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// How a blob came to be at a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was there.
    Present,
    /// The registry had it in another repository.
    Mounted,
    /// It was sent.
    Sent,
}

/// What a registry says to a blob that is offered to it.
pub(in crate::store) enum Offer {
    /// It has it.
    Settled(Delivery),
    /// Its content is to be sent.
    Open(Session),
}

/// An upload that was begun.
pub(in crate::store) struct Session(Url);

impl Registry {
    /// Brings a blob of a layout here, unless it is here already.
    ///
    /// # Errors
    /// The blob is missing or damaged; the registry cannot be reached or refuses.
    pub async fn upload(
        &self,
        from: &Layout,
        blob: &Descriptor,
        meter: &Arc<Meter>,
    ) -> Result<Delivery, Problem> {
        match self.offer(blob, meter).await? {
            Offer::Settled(delivery) => Ok(delivery),
            Offer::Open(session) => self.deliver(from, blob, session, meter).await,
        }
    }

    /// Takes note that the blob is here: other repositories of the same registry may
    /// mount it.
    pub fn note(&self, blob: &Descriptor) {
        self.origins.note(&self.name, blob.digest);
    }

    /// Has a blob here without its content, where it is here or the registry has it in
    /// another repository that is known; else begins an upload.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses.
    pub(in crate::store) async fn offer(&self, blob: &Descriptor, meter: &Meter) -> Result<Offer, Problem> {
        let offer =
            if self.has(blob).await? { Offer::Settled(Delivery::Present) } else { self.begin(blob).await? };
        if let Offer::Settled(_) = offer {
            meter.add(blob.size);
            self.note(blob);
        }
        Ok(offer)
    }

    /// Gives an upload up whose content cannot be had.
    pub(in crate::store) async fn give_up(&self, Session(session): Session) {
        self.abandon(session).await;
    }

    /// Sends a blob of a layout in an upload that was begun, or, where that fails, in
    /// another.
    ///
    /// # Errors
    /// The blob is missing or damaged; the registry cannot be reached or refuses.
    pub(in crate::store) async fn deliver(
        &self,
        from: &Layout,
        blob: &Descriptor,
        Session(mut session): Session,
        meter: &Arc<Meter>,
    ) -> Result<Delivery, Problem> {
        let mut attempt = 1;
        loop {
            let reader = from.open_blob(blob)?;
            let mut call = Call::new(Method::PUT, session, self.scopes());
            call.url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
            call.headers.insert(CONTENT_LENGTH, HeaderValue::from(blob.size));
            call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            let patience = PATIENCE + Duration::from_secs(blob.size / SLOWEST);
            let counted = Arc::new(Counted::new(meter));
            let body = Body::wrap_stream(pieces(reader, Arc::clone(&counted)));
            let wait = match self.connection.send_once(&call, Some(body), patience).await? {
                Ok(response) if response.status().is_success() => {
                    counted.keep();
                    self.note(blob);
                    return Ok(Delivery::Sent);
                }
                // A token may expire between two requests: the next one gets a new one.
                Ok(response) if attempt < ATTEMPTS && may_pass(response.status()) => {
                    pause(&response, attempt)
                }
                Ok(response) => {
                    let asked = format!("accept the blob `{}`", blob.digest);
                    return Err(self.connection.refused(&asked, response).await);
                }
                Err(error) if attempt < ATTEMPTS && is_transient(&error) => backoff(attempt),
                Err(error) => return Err(unreachable(self.connection.host(), error)),
            };
            tokio::time::sleep(wait).await;
            attempt += 1;
            Session(session) = self.open_session(blob).await?;
        }
    }

    /// Begins an upload, unless the registry mounts the blob instead.
    async fn begin(&self, blob: &Descriptor) -> Result<Offer, Problem> {
        // Some registries know no mounts, and who may write here may not read there:
        // that is no reason not to send.
        if let Some(origin) = self.origins.of(&self.name, blob.digest)
            && let Ok(offer) = self.mount(blob, &origin).await
        {
            return Ok(offer);
        }
        self.open_session(blob).await.map(Offer::Open)
    }

    /// Asks for a blob from another repository. Where that is not granted, an upload
    /// has begun.
    async fn mount(&self, blob: &Descriptor, origin: &str) -> Result<Offer, Problem> {
        let mut call = self.call(Method::POST, "blobs/uploads/")?;
        let digest = blob.digest.to_string();
        call.url.query_pairs_mut().append_pair("mount", &digest).append_pair("from", origin);
        call.scopes.push(format!("repository:{origin}:pull"));
        let response = self.connection.send(&call).await?;
        let response = self.expect(response, &format!("mount the blob `{digest}`")).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(Offer::Settled(Delivery::Mounted));
        }
        self.connection.location(&response).map(|url| Offer::Open(Session(url)))
    }

    async fn open_session(&self, blob: &Descriptor) -> Result<Session, Problem> {
        let response = self.connection.send(&self.call(Method::POST, "blobs/uploads/")?).await?;
        let response = self.expect(response, &format!("accept the blob `{}`", blob.digest)).await?;
        self.connection.location(&response).map(Session)
    }
}

fn may_pass(status: StatusCode) -> bool {
    // An upload session that the registry forgot is answered with 404.
    is_passing(status) || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND)
}

/// What one attempt sent; taken back if it fails.
struct Counted {
    meter: Arc<Meter>,
    sent: std::sync::atomic::AtomicU64,
}

impl Counted {
    fn new(meter: &Arc<Meter>) -> Self {
        Self { meter: Arc::clone(meter), sent: 0.into() }
    }

    fn add(&self, count: u64) {
        self.sent.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
        self.meter.add(count);
    }

    fn keep(&self) {
        self.sent.store(0, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.meter.take_back(*self.sent.get_mut());
    }
}

/// The pieces of a blob, as a body takes them.
struct Pieces(mpsc::Receiver<io::Result<Vec<u8>>>);

impl Stream for Pieces {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Reads a blob on a thread of its own, a little ahead of what is sent.
fn pieces(mut reader: BlobReader, counted: Arc<Counted>) -> Pieces {
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
