//! Trying again what may succeed the next time.
#![expect(clippy::disallowed_methods, reason = "registries say until when to wait")]

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};

use crate::facts::Environment;
use crate::store::blob::Damaged;
use crate::store::registry::answer::NoAnswer;

/// How often a request is sent at most.
pub(super) const ATTEMPTS: u32 = 5;
/// How often it is waited for who says nothing.
pub(super) const SILENCES: u32 = 3;
/// How long is waited for the head of an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest that is waited because a registry asks for it.
const LONGEST: Duration = Duration::from_mins(1);

/// A connection that carried so many bytes was worth a new one.
pub(super) const WORTH: u64 = 1 << 20;
/// How long is waited before the second attempt.
const FIRST: Duration = Duration::from_millis(250);
/// Where tests say how long that is, in milliseconds. A release of hoist does not look.
const FIRST_IN_TESTS: &str = "HOIST_TEST_FIRST_WAIT";
/// Where tests say how long is waited for an answer, in milliseconds.
const ANSWER_IN_TESTS: &str = "HOIST_TEST_ANSWER_WAIT";

/// Says aloud what is waited for, in a sentence without a period.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// How long is waited between attempts, and for an answer.
#[derive(Clone)]
pub(super) struct Backoff {
    /// Who is waited for.
    host: String,
    first: Duration,
    answer: Duration,
    tell: Option<Tell>,
}

impl Backoff {
    pub(super) fn new(host: &str, environment: &Environment) -> Self {
        let told = |name| environment.text(name).filter(|_| cfg!(debug_assertions))?.parse().ok();
        let wait = |name, usual| told(name).map_or(usual, Duration::from_millis);
        let (first, answer) = (wait(FIRST_IN_TESTS, FIRST), wait(ANSWER_IN_TESTS, ANSWER));
        Self { host: host.to_owned(), first, answer, tell: None }
    }

    /// The same, which says aloud that somebody is asked again who said nothing.
    pub(super) fn telling(&mut self, tell: Option<Tell>) {
        self.tell = tell;
    }

    /// Says that nothing came for so long.
    pub(super) fn tell_silence(&self, waited: Duration) {
        if let Some(tell) = &self.tell {
            let seconds = waited.as_secs_f64();
            tell(&format!(
                "nothing came from the registry `{}` for {seconds} s: it is asked again",
                self.host
            ));
        }
    }

    /// The first wait, doubled each time.
    pub(super) fn wait(&self, attempt: u32) -> Duration {
        self.first * 2u32.saturating_pow(attempt.min(6).saturating_sub(1))
    }

    /// Sends what `build` makes until it succeeds, cannot succeed, or has been sent
    /// [`ATTEMPTS`] times; to who says nothing, [`SILENCES`] times. An answer that says
    /// that it failed is an answer.
    pub(super) async fn send(&self, build: impl Fn() -> RequestBuilder) -> Result<Response, NoAnswer> {
        self.send_unless(build, |_| false).await
    }

    /// As [`send`](Self::send), but for errors after which it is not sent again.
    pub(super) async fn send_unless(
        &self,
        build: impl Fn() -> RequestBuilder,
        is_last: impl Fn(&reqwest::Error) -> bool,
    ) -> Result<Response, NoAnswer> {
        let (mut attempt, mut silences) = (1, 0);
        loop {
            let wait = match tokio::time::timeout(self.answer, build().send()).await {
                Ok(Ok(response)) if attempt < ATTEMPTS && is_passing(response.status()) => asked(&response),
                Ok(Err(error)) if attempt < attempts(&error) && is_transient(&error) && !is_last(&error) => {
                    None
                }
                Ok(result) => return result.map_err(NoAnswer::from),
                Err(_silent) => {
                    silences += 1;
                    if silences == SILENCES || attempt >= ATTEMPTS {
                        return Err(NoAnswer::Silent(self.answer, silences));
                    }
                    self.tell_silence(self.answer);
                    None
                }
            };
            tokio::time::sleep(wait.unwrap_or_else(|| self.wait(attempt))).await;
            attempt += 1;
        }
    }
}

/// Where nothing listens, something rarely does a little later.
fn attempts(error: &reqwest::Error) -> u32 {
    if error.is_connect() { 3 } else { ATTEMPTS }
}

/// Whether an answer is likely to be another one a little later.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether a request failed for a reason that may pass.
pub(super) fn is_transient(error: &reqwest::Error) -> bool {
    !error.is_builder() && !error.is_redirect() && !is_certificate(error) && !is_damage(error)
}

/// Whether the other side's certificate was not accepted, or it does not speak TLS.
pub(super) fn is_certificate(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| find_cause::<rustls::Error>(cause).is_some())
}

/// Whether the content to be sent was found to be damaged.
pub(super) fn is_damage(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| find_cause::<Damaged>(cause).is_some())
}

/// What a cause is, or holds: some errors travel inside those of input and output, which
/// hide what they hold from the chain of causes.
pub(super) fn find_cause<'a, E: Error + 'static>(cause: &'a (dyn Error + 'static)) -> Option<&'a E> {
    cause.downcast_ref::<E>().or_else(|| find_cause(cause.downcast_ref::<io::Error>()?.get_ref()?))
}

/// What an error was caused by, from the outside to the inside.
pub(super) fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// How long the registry asks to wait, up to [`LONGEST`].
pub(super) fn asked(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(retry_after(value, Timestamp::now())?.min(LONGEST))
}

/// `Retry-After`: seconds, or a date.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_says_when_to_come_again_in_seconds_or_by_a_date() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 10:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn waiting_grows_and_stays_bounded() {
        let backoff = Backoff::new("x", &Environment::default());
        let waits: Vec<_> = (1..=4).map(|attempt| backoff.wait(attempt).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000]);
        assert_eq!(backoff.wait(40), backoff.wait(6));
    }
}
