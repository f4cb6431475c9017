//! Sending blobs.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use reqwest::{Body, Method, Response, StatusCode, Url};

use crate::diagnostic::Problem;
use crate::oci::Descriptor;
use crate::store::registry::Registry;
use crate::store::registry::answer::NoAnswer;
use crate::store::registry::body::{Counted, pieces};
use crate::store::registry::connection::Call;
use crate::store::registry::repository::{digest_of, header};
use crate::store::registry::retry::{ATTEMPTS, SILENCES, WORTH, asked, is_passing, is_transient};
use crate::store::whole::Part;
use crate::store::{Layout, Meter};

/// The smallest chunk that the registry takes (OCI distribution specification,
/// "Pushing a blob in chunks").
const CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";
/// The size of a chunk in bytes, unless the registry asks for larger ones.
const CHUNK: u64 = 16 << 20;
/// The slowest that a registry may be in taking note of what it got, in bytes a second.
const SLOWEST: u64 = 64 << 10;

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
pub(in crate::store) struct Session {
    url: Url,
    /// How many bytes have arrived.
    received: u64,
    /// How many bytes a chunk must have that is not the last.
    least: u64,
}

/// What became of a request of an upload.
enum Step {
    /// The blob is there.
    Stored,
    /// A part of it is.
    Received,
    /// It is more than the registry takes at once.
    TooMuch(Problem),
    /// It failed for a reason that may pass, with how long the registry asks to wait,
    /// if it does.
    Early(Problem, Option<Duration>),
    /// The registry takes nothing more, or does not answer.
    Silent(Problem),
}

impl Registry {
    /// Brings a blob of a layout here, unless it is here already.
    ///
    /// # Errors
    /// The blob is missing or damaged; the registry cannot be reached or refuses.
    pub(in crate::store) async fn upload(
        &self,
        from: &Layout,
        part: &Part,
        meter: &Arc<Meter>,
    ) -> Result<Delivery, Problem> {
        match self.offer(part, meter).await? {
            Offer::Settled(delivery) => Ok(delivery),
            Offer::Open(session) => self.deliver(from, &part.descriptor, session, meter).await,
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
    pub(in crate::store) async fn offer(&self, part: &Part, meter: &Meter) -> Result<Offer, Problem> {
        let blob = &part.descriptor;
        let offer = self.begin(part).await?;
        if let Offer::Settled(_) = offer {
            meter.add(blob.size);
            self.note(blob);
        }
        Ok(offer)
    }

    /// Gives an upload up whose content cannot be had.
    pub(in crate::store) async fn give_up(&self, session: Session) {
        self.abandon(session.url).await;
    }

    /// Sends a blob of a layout in an upload that was begun: in one piece, and where
    /// that is cut, from there on; in chunks where the registry takes no more at once.
    ///
    /// # Errors
    /// The blob is missing or damaged; the registry cannot be reached or refuses.
    pub(in crate::store) async fn deliver(
        &self,
        from: &Layout,
        blob: &Descriptor,
        mut session: Session,
        meter: &Arc<Meter>,
    ) -> Result<Delivery, Problem> {
        let sent = self.send_all(from, blob, &mut session, meter).await;
        if sent.is_err() {
            meter.take_back(session.received);
            // What is begun and not ended lies there for days.
            self.abandon(session.url).await;
        }
        sent?;
        self.note(blob);
        Ok(Delivery::Sent)
    }

    async fn send_all(
        &self,
        from: &Layout,
        blob: &Descriptor,
        session: &mut Session,
        meter: &Arc<Meter>,
    ) -> Result<(), Problem> {
        let (mut attempt, mut before, mut in_chunks) = (1, 0, false);
        loop {
            let (problem, wait, most) = match self.send_next(from, blob, session, in_chunks, meter).await? {
                Step::Stored => return Ok(()),
                Step::Received => continue,
                Step::TooMuch(problem) if in_chunks => return Err(problem),
                Step::TooMuch(_) => {
                    in_chunks = true;
                    self.begin_again(blob, session, meter).await?;
                    continue;
                }
                Step::Early(problem, wait) => (problem, wait, ATTEMPTS),
                Step::Silent(problem) => (problem, None, SILENCES),
            };
            if session.received >= before + WORTH {
                attempt = 1;
            } else if attempt >= most {
                return Err(problem);
            }
            if most == SILENCES {
                self.connection.tell_silence(self.stalled);
            }
            tokio::time::sleep(wait.unwrap_or_else(|| self.connection.backoff(attempt))).await;
            (attempt, before) = (attempt + 1, session.received);
            // One that did not get on is left.
            if attempt > 2 || !self.ask_how_far(blob, session, meter).await? {
                // The answer to the last piece may be what was lost.
                if self.has(blob).await? {
                    meter.add(blob.size.saturating_sub(session.received));
                    return Ok(());
                }
                self.begin_again(blob, session, meter).await?;
            }
        }
    }

    /// Sends what comes next: all of a blob, a part of it, or that it is complete.
    async fn send_next(
        &self,
        from: &Layout,
        blob: &Descriptor,
        session: &mut Session,
        in_chunks: bool,
        meter: &Arc<Meter>,
    ) -> Result<Step, Problem> {
        let at = session.received;
        let most = if in_chunks { CHUNK.max(session.least) } else { u64::MAX };
        let length = most.min(blob.size - at);
        let is_last = at == blob.size || at == 0 && length == blob.size;
        let method = if is_last { Method::PUT } else { Method::PATCH };
        let mut call = Call::new(method, session.url.clone(), self.scopes());
        call.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if is_last {
            call.url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        } else if let Ok(range) = HeaderValue::from_str(&format!("{at}-{}", at + length - 1)) {
            call.headers.insert(CONTENT_RANGE, range);
        }
        let reader = from.open_blob(blob)?.skip(at)?.take(length);
        let counted = Arc::new(Counted::new(meter));
        let body = Body::wrap_stream(pieces(reader, Arc::clone(&counted)));
        let asked_for = self.to_accept(blob);
        let sent = tokio::select! {
            sent = self.connection.send_once(&call, Some(body)) => sent?,
            () = counted.stall(length, self.stalled, Duration::from_secs(length / SLOWEST)) => {
                let silent = NoAnswer::Silent(self.stalled, 1);
                return Ok(Step::Silent(self.unanswered(silent, &asked_for)));
            }
        };
        let response = match sent {
            Ok(response) => response,
            Err(error) if is_transient(&error) => {
                return Ok(Step::Early(self.unanswered(error, &asked_for), None));
            }
            Err(error) => return Err(self.unanswered(error, &asked_for)),
        };
        let status = response.status();
        if status.is_success() {
            if is_last {
                if let Some(digest) = digest_of(response.headers()).filter(|digest| *digest != blob.digest) {
                    return Err(self.mismatch(blob, digest, blob.size));
                }
                counted.keep();
                return Ok(Step::Stored);
            }
            session.url = self.connection.location(&response)?;
            let received = received(&response).unwrap_or(at + length);
            if received <= at || received > at + length {
                return Err(self.unexpected("it does not say how much of an upload it has"));
            }
            counted.keep();
            meter.take_back(at + length - received);
            session.received = received;
            return Ok(Step::Received);
        }
        let wait = asked(&response);
        let problem = self.connection.refused(&asked_for, response).await;
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Step::TooMuch(problem)),
            // A token may expire between two requests: the next one gets a new one. An
            // upload that the registry forgot is answered with 404.
            status if is_passing(status) => Ok(Step::Early(problem, wait)),
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => {
                Ok(Step::Early(problem, wait))
            }
            _ => Err(problem),
        }
    }

    /// Asks how much of an upload has arrived; `false` if that is not known.
    async fn ask_how_far(
        &self,
        blob: &Descriptor,
        session: &mut Session,
        meter: &Meter,
    ) -> Result<bool, Problem> {
        let call = Call::new(Method::GET, session.url.clone(), self.scopes());
        let response = self.connection.send(&call).await?;
        let known = received(&response).filter(|known| *known <= blob.size);
        let Some(known) = known.filter(|_| response.status() == StatusCode::NO_CONTENT) else {
            return Ok(false);
        };
        if response.headers().contains_key(LOCATION) {
            session.url = self.connection.location(&response)?;
        }
        meter.take_back(session.received);
        meter.add(known);
        session.received = known;
        Ok(true)
    }

    /// Gives an upload up, and begins another.
    async fn begin_again(
        &self,
        blob: &Descriptor,
        session: &mut Session,
        meter: &Meter,
    ) -> Result<(), Problem> {
        self.abandon(session.url.clone()).await;
        meter.take_back(session.received);
        session.received = 0;
        *session = self.open_session(blob).await?;
        Ok(())
    }

    /// Begins an upload, unless the blob is here or the registry mounts it instead.
    async fn begin(&self, part: &Part) -> Result<Offer, Problem> {
        let blob = &part.descriptor;
        let is_here = async || Ok(!part.is_missing && self.has(blob).await?);
        let origin = self.origins.of(&self.name, blob.digest);
        // Some registries know no mounts, and who may write here may not read there:
        // that is no reason not to send. A blob that is here is mounted, too.
        let offered = match origin {
            Some(origin) => self.mount(blob, &origin).await.ok(),
            None => None,
        };
        match offered {
            Some(Offer::Settled(delivery)) => Ok(Offer::Settled(delivery)),
            Some(Offer::Open(session)) if is_here().await? => {
                self.give_up(session).await;
                Ok(Offer::Settled(Delivery::Present))
            }
            Some(open) => Ok(open),
            None if is_here().await? => Ok(Offer::Settled(Delivery::Present)),
            None => self.open_session(blob).await.map(Offer::Open),
        }
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
        self.session(&response).map(Offer::Open)
    }

    async fn open_session(&self, blob: &Descriptor) -> Result<Session, Problem> {
        let response = self.connection.send(&self.call(Method::POST, "blobs/uploads/")?).await?;
        let response = self.expect(response, &self.to_accept(blob)).await?;
        self.session(&response)
    }

    fn session(&self, response: &Response) -> Result<Session, Problem> {
        let least = header(response.headers(), CHUNK_MIN_LENGTH).and_then(|least| least.trim().parse().ok());
        Ok(Session { url: self.connection.location(response)?, received: 0, least: least.unwrap_or(0) })
    }

    /// What the registry is asked to do with a blob, for messages.
    fn to_accept(&self, blob: &Descriptor) -> String {
        format!("accept the blob `{}`", self.shown(&blob.digest.to_string()))
    }
}

/// How many bytes of an upload have arrived: `Range: 0-9`. An empty one is told as
/// `0-0`, so that one byte cannot be told from none: it is sent again.
fn received(response: &Response) -> Option<u64> {
    let range = header(response.headers(), RANGE.as_str())?;
    let last: u64 = range.strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}
