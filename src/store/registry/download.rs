//! Receiving blobs.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digester};
use crate::store::blob::{mismatch, unusable};
use crate::store::copy::{blocking, broken};
use crate::store::registry::answer::NoAnswer;
use crate::store::registry::connection::Call;
use crate::store::registry::retry::{ATTEMPTS, SILENCES, WORTH, asked, is_passing, is_transient};
use crate::store::registry::{Delivery, Registry};
use crate::store::{Layout, Meter};

/// How many pieces wait at most to be written.
const AHEAD: usize = 8;

/// A blob on its way.
struct Receipt<'a> {
    blob: &'a Descriptor,
    pieces: mpsc::Sender<Bytes>,
    /// Bytes that were passed on.
    passed: u64,
    meter: &'a Meter,
}

/// How one connection ended.
enum Ended {
    /// With the last byte, or because nobody takes the bytes any more.
    Complete,
    /// Before that, for a reason that may pass, with how long the registry asks to
    /// wait, if it does.
    Early(Problem, Option<Duration>),
    /// Before that, because nothing came any more.
    Silent(Problem),
}

impl Registry {
    /// Brings a blob from here into a layout, unless it is there already. A
    /// connection that ends early is taken up where it ended.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses; what it sends is not what the
    /// digest says; the layout cannot be written.
    pub async fn download(
        &self,
        blob: &Descriptor,
        to: &Layout,
        meter: &Arc<Meter>,
    ) -> Result<Delivery, Problem> {
        let delivery = if to.has_whole(blob) {
            meter.add(blob.size);
            Delivery::Present
        } else {
            let (layout, expected) = (to.clone(), blob.clone());
            self.fetch(blob, meter, move |taken| keep(taken, &layout, &expected)).await?;
            Delivery::Sent
        };
        self.note(blob);
        Ok(delivery)
    }

    /// Brings a blob from here into a layout of its own, which is removed with its
    /// directory: once nobody writes there any more, also where this was given up.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub(in crate::store) async fn stage(&self, blob: &Descriptor) -> Result<(Layout, Arc<TempDir>), Problem> {
        let (between, directory) = Layout::temporary()?;
        let directory = Arc::new(directory);
        let (held, layout, expected) = (Arc::clone(&directory), between.clone(), blob.clone());
        let work = move |taken| {
            let _held = held;
            keep(taken, &layout, &expected)
        };
        self.fetch(blob, &Arc::new(Meter::silent()), work).await?;
        Ok((between, directory))
    }

    /// Hands a blob to some work, piece by piece as it comes: it is nowhere as a whole.
    /// What the work makes of it counts only once the digest is known to be right.
    ///
    /// # Errors
    /// As [`download`](Self::download); what the work fails with.
    pub async fn stream<T, F>(&self, blob: &Descriptor, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Read) -> Result<T, Problem> + Send + 'static,
    {
        let expected = blob.clone();
        let verified = move |taken| {
            let mut incoming = Incoming { pieces: taken, piece: Bytes::new(), digester: Digester::new() };
            let made = work(&mut incoming);
            // What the work left still counts for the digest.
            while incoming.next() {}
            let (digest, size) = incoming.digester.finish();
            let is_it = (digest, size) == (expected.digest, expected.size);
            if is_it { made } else { Err(mismatch(&expected, digest, size)) }
        };
        self.fetch(blob, &Arc::new(Meter::silent()), verified).await
    }

    /// Receives a blob while some work takes its pieces.
    async fn fetch<T, F>(&self, blob: &Descriptor, meter: &Arc<Meter>, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(mpsc::Receiver<Bytes>) -> Result<T, Problem> + Send + 'static,
    {
        let (pieces, taken) = mpsc::channel(AHEAD);
        let worked = tokio::spawn(blocking(move || work(taken)));
        let mut receipt = Receipt { blob, pieces, passed: 0, meter };
        let received = self.receive(&mut receipt).await;
        let passed = receipt.passed;
        drop(receipt);
        let worked = worked.await.unwrap_or_else(|error| Err(broken(&error)));
        received.and(worked).map_err(|problem| {
            meter.take_back(passed);
            let lied = problem.code == Code::DigestMismatch;
            if lied { problem.note(format!("it came from `{}`", self.name)) } else { problem }
        })
    }

    async fn receive(&self, receipt: &mut Receipt<'_>) -> Result<(), Problem> {
        let (mut attempt, mut before) = (1, 0);
        loop {
            let (problem, asked, most) = match self.connect(receipt).await? {
                Ended::Complete => return Ok(()),
                Ended::Early(problem, asked) => (problem, asked, ATTEMPTS),
                Ended::Silent(problem) => (problem, None, SILENCES),
            };
            if receipt.passed - before >= WORTH {
                attempt = 1;
            } else if attempt >= most {
                return Err(problem);
            }
            if most == SILENCES {
                self.connection.tell_silence(self.stalled);
            }
            tokio::time::sleep(asked.unwrap_or_else(|| self.connection.backoff(attempt))).await;
            (attempt, before) = (attempt + 1, receipt.passed);
        }
    }

    /// Receives as much as one connection brings.
    async fn connect(&self, receipt: &mut Receipt<'_>) -> Result<Ended, Problem> {
        let digest = receipt.blob.digest;
        let mut call = self.call(Method::GET, &format!("blobs/{digest}"))?;
        let from = receipt.passed;
        if from > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={from}-"))
        {
            call.headers.insert(RANGE, range);
        }
        let what = format!("hand out the blob `{}`", self.shown(&digest.to_string()));
        let answer = match tokio::time::timeout(self.stalled, self.ask(&call)).await {
            Ok(answer) => answer?,
            Err(_stalled) => {
                let silent = NoAnswer::Silent(self.stalled, 1);
                return Ok(Ended::Silent(self.unanswered(silent, &what)));
            }
        };
        let response = match answer {
            Ok(response) => response,
            Err(error) if is_transient(&error) => {
                return Ok(Ended::Early(self.unanswered(error, &what), None));
            }
            Err(error) => return Err(self.unanswered(error, &what)),
        };
        let status = response.status();
        // Whoever knows no ranges sends all of it again.
        let skip = match status {
            StatusCode::OK => from,
            StatusCode::PARTIAL_CONTENT if begins_at(&response, from) => 0,
            StatusCode::PARTIAL_CONTENT => return Err(self.unexpected("it sends another part of a blob")),
            status if is_passing(status) => {
                let wait = asked(&response);
                return Ok(Ended::Early(self.connection.refused(&what, response).await, wait));
            }
            _ => return Err(self.connection.refused(&what, response).await),
        };
        self.take(response, skip, receipt).await
    }

    /// Asks for a blob; once more with a fresh token where the one known has expired.
    async fn ask(&self, call: &Call) -> Result<Result<Response, reqwest::Error>, Problem> {
        let answer = self.connection.send_once(call, None).await?;
        match answer {
            Ok(response)
                if response.status() == StatusCode::UNAUTHORIZED
                    && self.connection.is_challenge(&response, call) =>
            {
                self.connection.send_once(call, None).await
            }
            answer => Ok(answer),
        }
    }

    async fn take(
        &self,
        mut response: Response,
        mut skip: u64,
        receipt: &mut Receipt<'_>,
    ) -> Result<Ended, Problem> {
        let size = receipt.blob.size;
        let what = format!("send all of the blob `{}`", self.shown(&receipt.blob.digest.to_string()));
        let cut = |receipt: &Receipt<'_>| {
            let what = format!("it sent {} of the {size} bytes of `{}`", receipt.passed, receipt.blob.digest);
            self.unexpected(&what)
        };
        // How a connection ends behind the last byte does not matter.
        while receipt.passed < size {
            let mut piece = match tokio::time::timeout(self.stalled, response.chunk()).await {
                Err(_stalled) => {
                    let waited = format!("nothing came for {} s", self.stalled.as_secs());
                    return Ok(Ended::Silent(cut(receipt).note(waited)));
                }
                Ok(Err(error)) if is_transient(&error) => {
                    return Ok(Ended::Early(self.unanswered(error, &what), None));
                }
                Ok(Err(error)) => return Err(self.unanswered(error, &what)),
                Ok(Ok(None)) => return Ok(Ended::Early(cut(receipt), None)),
                Ok(Ok(Some(piece))) => piece,
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= known as u64;
            let piece = piece.split_off(known);
            let count = piece.len() as u64;
            if receipt.passed + count > size {
                let what = format!("it sends more than the {size} bytes of `{}`", receipt.blob.digest);
                return Err(self.unexpected(&what));
            }
            if count > 0 && receipt.pieces.send(piece).await.is_err() {
                return Ok(Ended::Complete);
            }
            receipt.passed += count;
            receipt.meter.add(count);
        }
        Ok(Ended::Complete)
    }
}

/// Whether a part of a content begins where the last one ended:
/// `Content-Range: bytes 5-9/10`.
fn begins_at(response: &Response, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    first == Some(from)
}

/// A blob that comes piece by piece, read.
struct Incoming {
    pieces: mpsc::Receiver<Bytes>,
    /// What is left of the piece that came last.
    piece: Bytes,
    digester: Digester,
}

impl Incoming {
    /// Waits for the next piece; `false` at the end.
    fn next(&mut self) -> bool {
        let Some(next) = self.pieces.blocking_recv() else { return false };
        self.digester.update(&next);
        self.piece = next;
        true
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            if !self.next() {
                return Ok(0);
            }
        }
        let count = self.piece.len().min(buffer.len());
        let taken = self.piece.split_to(count);
        buffer[..count].copy_from_slice(&taken);
        Ok(count)
    }
}

/// Writes the pieces of a blob to a layout.
fn keep(mut pieces: mpsc::Receiver<Bytes>, to: &Layout, blob: &Descriptor) -> Result<(), Problem> {
    let mut writer = to.writer()?;
    while let Some(piece) = pieces.blocking_recv() {
        writer.write_all(&piece).map_err(|error| unusable("write to", to.path(), &error))?;
    }
    writer.commit_as(blob)
}
