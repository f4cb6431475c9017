//! How a registry is spoken with: over TLS, or in plain HTTP.

use std::error::Error;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Response, StatusCode, Url};
use tokio::sync::Mutex;

use crate::diagnostic::Problem;
use crate::store::registry::answer::NoAnswer;
use crate::store::registry::certificates::Certificates;
use crate::store::registry::client::Clients;
use crate::store::registry::retry::{causes, find_cause, is_certificate};

/// How long it may take to find out whether TLS is spoken.
const PROBE: Duration = Duration::from_secs(2);

/// A way to a registry.
pub(super) struct Way {
    /// Where it is asked: an address that ends with `/v2/`.
    pub(super) base: Url,
    pub(super) clients: Clients,
}

/// The way to a registry. With one on this machine plain HTTP is spoken, until it is seen
/// that it speaks TLS: before it has asked for any credentials.
pub(super) struct Ways {
    first: Way,
    tls: OnceLock<Way>,
    is_sure: AtomicBool,
    turn: Mutex<()>,
}

impl Ways {
    pub(super) fn new(first: Way, is_sure: bool) -> Self {
        Self { first, tls: OnceLock::new(), is_sure: is_sure.into(), turn: Mutex::default() }
    }

    /// The way that is gone now.
    pub(super) fn now(&self) -> &Way {
        self.tls.get().unwrap_or(&self.first)
    }

    /// An address as it is asked now.
    pub(super) fn address(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if self.tls.get().is_some() && url.origin() == self.first.base.origin() {
            let _same = url.set_scheme("https");
        }
        url
    }

    /// Whether it is not known yet that plain HTTP is understood.
    pub(super) fn is_unsure(&self) -> bool {
        !self.is_sure.load(Ordering::Relaxed) && self.tls.get().is_none()
    }

    /// Whether it is to be asked again, over TLS, which it was found to speak.
    pub(super) async fn turns_to_tls(&self, host: &str, answer: &Result<Response, NoAnswer>) -> bool {
        let may_speak = match answer {
            Ok(response) if response.status() != StatusCode::BAD_REQUEST => {
                self.is_sure.store(true, Ordering::Relaxed);
                false
            }
            Ok(_) => true,
            // Some servers lead from plain HTTP to TLS, where no certificate is known yet.
            Err(NoAnswer::Failed(error)) => is_no_answer_of_http(error) || is_certificate(error),
            Err(NoAnswer::Silent(..)) => false,
        };
        if !may_speak {
            return false;
        }
        let _turn = self.turn.lock().await;
        if self.is_unsure() {
            if let Ok(way) = self.over_tls(host)
                && speaks_tls(&way).await
            {
                let _new = self.tls.set(way);
            }
            self.is_sure.store(true, Ordering::Relaxed);
        }
        self.tls.get().is_some()
    }

    fn over_tls(&self, host: &str) -> Result<Way, Problem> {
        let mut base = self.first.base.clone();
        let _same = base.set_scheme("https");
        let clients = Clients::new(&base, host, &Certificates::default(), true)?;
        Ok(Way { base, clients })
    }
}

/// Whether who answers at an address speaks TLS, whatever its certificate.
async fn speaks_tls(way: &Way) -> bool {
    let asked = way.clients.to(&way.base).get(way.base.clone()).send();
    match tokio::time::timeout(PROBE, asked).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => causes(&error).any(|cause| {
            let found = find_cause::<rustls::Error>(cause);
            found.is_some_and(|error| {
                matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
            })
        }),
        Err(_silent) => false,
    }
}

/// Whether what came is not HTTP, or the connection was closed: what servers that speak TLS
/// do, if they say nothing else.
pub(super) fn is_no_answer_of_http(error: &reqwest::Error) -> bool {
    let is_closed = |cause: &(dyn Error + 'static)| {
        let of_http = find_cause::<hyper::Error>(cause);
        of_http.is_some_and(|error| error.is_parse() || error.is_incomplete_message())
            || find_cause::<io::Error>(cause)
                .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    };
    !error.is_connect() && causes(error).any(is_closed)
}
