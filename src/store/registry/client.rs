//! HTTP clients: one for a registry, and one for all others that it leads to.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};

use crate::diagnostic::Problem;
use crate::store::registry::answer::unreachable;
use crate::store::registry::certificates::Certificates;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(20);
/// How many other addresses an answer may lead to, one after the other.
const REDIRECTS: usize = 5;

/// Who asks a registry, and who asks the servers for tokens and contents that it leads
/// to: these are shown no certificate that was meant for the registry.
pub(super) struct Clients {
    own: Client,
    others: Client,
    /// An address of the registry.
    base: Url,
    /// Whether the registry is shown a certificate.
    shows: bool,
}

impl Clients {
    /// For a registry at this address; `here` is this machine.
    ///
    /// # Errors
    /// The certificates of the system cannot be used.
    pub(super) fn new(
        base: &Url,
        host: &str,
        certificates: &Certificates,
        here: bool,
    ) -> Result<Self, Problem> {
        let plain = base.scheme() == "http";
        let shows = !plain && certificates.has_identity();
        let own = client(host, certificates, plain, here, shows)?;
        let others =
            if shows { client(host, &certificates.to_others(), plain, here, false)? } else { own.clone() };
        Ok(Self { own, others, base: base.clone(), shows })
    }

    /// Who asks at an address.
    pub(super) fn to(&self, url: &Url) -> &Client {
        if url.origin() == self.base.origin() { &self.own } else { &self.others }
    }

    /// Where an answer leads that was not followed because that is another server,
    /// which is to be shown no certificate; never from TLS to clear text.
    pub(super) fn leads_to_others(&self, method: &Method, response: &Response) -> Option<Url> {
        let reads = *method == Method::GET || *method == Method::HEAD;
        if !self.shows || !reads || !response.status().is_redirection() {
            return None;
        }
        let location = response.headers().get(reqwest::header::LOCATION)?.to_str().ok()?;
        let url = response.url().join(location).ok()?;
        (url.origin() != self.base.origin() && url.scheme() == "https").then_some(url)
    }
}

/// A client; one that `stays` follows no answer to another server.
fn client(
    host: &str,
    certificates: &Certificates,
    plain: bool,
    here: bool,
    stays: bool,
) -> Result<Client, Problem> {
    // It is set once for the process; a second time says that it is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let down = |from: &Url, to: &Url| from.scheme() == "https" && to.scheme() != "https";
    let policy = Policy::custom(move |attempt| {
        let last = attempt.previous().last();
        if attempt.previous().len() > REDIRECTS {
            attempt.error("it leads from one address to the next")
        } else if last.is_some_and(|from| down(from, attempt.url())) {
            attempt.error("it leads from TLS to clear text")
        } else if stays && last.is_some_and(|from| from.origin() != attempt.url().origin()) {
            attempt.stop()
        } else {
            attempt.follow()
        }
    });
    let agent = concat!("hoist/", env!("CARGO_PKG_VERSION"));
    let mut builder = Client::builder().user_agent(agent).connect_timeout(CONNECT).redirect(policy);
    // Nobody else is told an address: it may be as good as a password.
    builder = builder.referer(false);
    if here {
        builder = builder.no_proxy();
    }
    if plain {
        // A machine without certificates can still speak plain HTTP.
        builder = builder.tls_certs_only([]);
    } else {
        builder = certificates.install(builder);
    }
    builder.build().map_err(|error| {
        let problem = unreachable(host, error);
        problem.help("install the package `ca-certificates`, or name an authority with `ca=\"ca.pem\"`")
    })
}
