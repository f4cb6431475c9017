//! Requests to one registry.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Body, Method, Response, StatusCode, Url};

use crate::config::Secret;
use crate::diagnostic::{Code, Problem, Spanned};
use crate::oci::RepositoryName;
use crate::store::registry::answer::{NoAnswer, refused, unexpected, unreachable};
use crate::store::registry::auth::{Authentication, Shown};
use crate::store::registry::certificates::Certificates;
use crate::store::registry::client::Clients;
use crate::store::registry::credentials::{Found, Surroundings, find};
use crate::store::registry::retry::{Backoff, Tell};
use crate::store::registry::way::{Way, Ways, is_no_answer_of_http};

/// How a registry is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Whether plain HTTP is spoken. It is with a registry on this machine in
    /// any case, unless there are certificates for it, or it is seen to speak TLS.
    pub insecure: bool,
    /// A file with the certificates of an authority, beside those of the system.
    pub ca: Option<PathBuf>,
    /// A file with a certificate to show, and its private key.
    pub client: Option<(PathBuf, Spanned<Secret>)>,
    /// User and password; without them those of docker and podman are used.
    pub login: Option<(String, Spanned<Secret>)>,
}

/// A request that can be sent again.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// What the token must allow: `repository:PATH:pull`.
    pub(super) scopes: Vec<String>,
}

impl Call {
    pub(super) fn new(method: Method, url: Url, scopes: Vec<String>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Vec::new(), scopes }
    }

    /// What it asks for, without what may be as good as a password.
    pub(super) fn shown(&self) -> String {
        format!("asked for `{} {}`", self.method, self.url.path())
    }
}

/// A registry, and who one is there.
pub(super) struct Connection {
    host: String,
    ways: Arc<Ways>,
    authentication: Authentication,
    backoff: Backoff,
}

impl Connection {
    /// Finds credentials. Nothing is sent yet.
    pub(super) async fn open(
        name: &RepositoryName,
        access: &Access,
        surroundings: &Surroundings,
    ) -> Result<Self, Problem> {
        let found = find(name, access.login.as_ref(), surroundings).await?;
        Self::with(name.host(), access, found, surroundings).await
    }

    /// The same registry, reached in the same way, for another of its repositories, which
    /// may have credentials of its own: what is connected already is used for both.
    pub(super) async fn beside(
        &self,
        name: &RepositoryName,
        access: &Access,
        surroundings: &Surroundings,
    ) -> Result<Self, Problem> {
        let found = find(name, access.login.as_ref(), surroundings).await?;
        let (host, backoff) = (self.host.clone(), self.backoff.clone());
        let authentication = Authentication::new(&host, found, backoff.clone());
        Ok(Self { host, ways: Arc::clone(&self.ways), authentication, backoff })
    }

    /// A connection with these credentials. Nothing is sent yet.
    pub(super) async fn with(
        host: &str,
        access: &Access,
        found: Found,
        surroundings: &Surroundings,
    ) -> Result<Self, Problem> {
        let here = is_here(host);
        let certificates = Certificates::find(host, access, surroundings).await?;
        let plain = access.insecure || here && certificates.is_empty();
        let address = address(host);
        let scheme = if plain { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{address}/v2/"))
            .map_err(|error| unexpected(host, &error.to_string()))?;
        let clients = Clients::new(&base, host, &certificates, here)?;
        let ways = Arc::new(Ways::new(Way { base, clients }, !plain || access.insecure));
        let backoff = Backoff::new(host, &surroundings.environment);
        let authentication = Authentication::new(host, found, backoff.clone());
        Ok(Self { host: host.to_owned(), ways, authentication, backoff })
    }

    /// The same, which says aloud what is waited for.
    pub(super) fn telling(mut self, tell: Option<Tell>) -> Self {
        self.authentication.telling(tell.clone());
        self.backoff.telling(tell);
        self
    }

    /// Says that nothing came for so long, and that it is asked for again.
    pub(super) fn tell_silence(&self, waited: Duration) {
        self.backoff.tell_silence(waited);
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the registry has asked who one is.
    pub(super) fn was_challenged(&self) -> bool {
        self.authentication.is_challenged()
    }

    /// How long to wait after an attempt that failed.
    pub(super) fn backoff(&self, attempt: u32) -> Duration {
        self.backoff.wait(attempt)
    }

    /// An address below `/v2/`.
    pub(super) fn url(&self, path: &str) -> Result<Url, Problem> {
        self.ways.now().base.join(path).map_err(|error| unexpected(&self.host, &error.to_string()))
    }

    /// Sends a request, again where that may help, and once more with a fresh
    /// token where the registry asks who it is.
    ///
    /// # Errors
    /// There is no answer, or no credentials that the registry accepts.
    pub(super) async fn send(&self, call: &Call) -> Result<Response, Problem> {
        let response = self.attempt(call).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        if !self.is_challenge(&response, call) {
            let refused = refused(&self.host, "accept the request", response).await.note(call.shown());
            return Err(self.authentication.explain(refused));
        }
        let response = self.attempt(call).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let refused = refused(&self.host, "accept the credentials", response).await.note(call.shown());
            return Err(self.authentication.explain(refused));
        }
        Ok(response)
    }

    /// Takes note of how the registry wants to know who asks; `false` if it does not
    /// say so, or if what it wants was given. A host that the registry leads to has no
    /// say in where credentials are shown.
    pub(super) fn is_challenge(&self, response: &Response, call: &Call) -> bool {
        let plain = self.ways.now().base.scheme() == "http";
        let shown = response.extensions().get().map(|Shown(header)| header);
        self.is_own(response.url())
            && self.authentication.challenged(response.headers(), &call.scopes, shown, plain)
    }

    /// What proves to whom is asked who asks; nothing to another host.
    async fn shown_to(&self, call: &Call) -> Result<Option<HeaderValue>, Problem> {
        if !self.is_own(&self.ways.address(&call.url)) {
            return Ok(None);
        }
        self.authentication.header(&self.ways.now().clients, &call.scopes).await
    }

    async fn attempt(&self, call: &Call) -> Result<Response, Problem> {
        let is_unsure = self.ways.is_unsure();
        let mut answer = Box::pin(self.ask(call)).await?;
        if is_unsure {
            // It was not sent again: whether that may help was not known yet.
            let is_broken = matches!(&answer, Err(NoAnswer::Failed(error)) if is_no_answer_of_http(error));
            if Box::pin(self.ways.turns_to_tls(&self.host, &answer)).await || is_broken {
                answer = Box::pin(self.ask(call)).await?;
            }
        }
        let silent = |why| unreachable(&self.host, why).note(call.shown());
        let response = answer.map_err(silent)?;
        let clients = &self.ways.now().clients;
        match clients.leads_to_others(&call.method, &response) {
            None => Ok(response),
            Some(url) => {
                let build = || clients.to(&url).request(call.method.clone(), url.clone());
                self.backoff.send(|| build().headers(call.headers.clone())).await.map_err(silent)
            }
        }
    }

    /// Sends a request in the way that is gone now.
    async fn ask(&self, call: &Call) -> Result<Result<Response, NoAnswer>, Problem> {
        let mut headers = call.headers.clone();
        let url = self.ways.address(&call.url);
        let shown = self.shown_to(call).await?;
        headers.extend(shown.clone().map(|header| (AUTHORIZATION, header)));
        let build = || {
            let request = self.ways.now().clients.to(&url).request(call.method.clone(), url.clone());
            request.headers(headers.clone()).body(call.body.clone())
        };
        let is_unsure = self.ways.is_unsure();
        let is_last = |error: &reqwest::Error| is_unsure && is_no_answer_of_http(error);
        let mut answer = self.backoff.send_unless(build, is_last).await;
        if let (Ok(response), Some(header)) = (&mut answer, shown) {
            response.extensions_mut().insert(Shown(header));
        }
        Ok(answer)
    }

    /// Sends a request once: one whose body, or whose answer, comes piece by piece.
    ///
    /// # Errors
    /// There are no credentials to ask with.
    pub(super) async fn send_once(
        &self,
        call: &Call,
        body: Option<Body>,
    ) -> Result<Result<Response, reqwest::Error>, Problem> {
        let (clients, url) = (&self.ways.now().clients, self.ways.address(&call.url));
        let request = clients.to(&url).request(call.method.clone(), url);
        let mut request = request.headers(call.headers.clone());
        if let Some(body) = body {
            request = request.body(body);
        }
        let shown = self.shown_to(call).await?;
        if let Some(header) = &shown {
            request = request.header(AUTHORIZATION, header.clone());
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(header) = shown {
            response.extensions_mut().insert(Shown(header));
        }
        Ok(match clients.leads_to_others(&call.method, &response) {
            None => Ok(response),
            Some(url) => {
                let request = clients.to(&url).request(call.method.clone(), url);
                request.headers(call.headers.clone()).send().await
            }
        })
    }

    /// Why the registry did not do what was asked, with what there is to know
    /// about who asked.
    pub(super) async fn refused(&self, asked: &str, response: Response) -> Problem {
        let problem = refused(&self.host, asked, response).await;
        if problem.code == Code::Unauthorized { self.authentication.explain(problem) } else { problem }
    }

    /// Where an upload goes on. An address on the same host is not followed from
    /// TLS to clear text: proxies that end TLS make registries name such ones.
    pub(super) fn location(&self, response: &Response) -> Result<Url, Problem> {
        let location = response.headers().get(reqwest::header::LOCATION);
        let text = location.and_then(|value| value.to_str().ok());
        let missing = || unexpected(&self.host, "it does not say where the upload goes on");
        let mut url = response.url().join(text.ok_or_else(missing)?).map_err(|_| missing())?;
        if self.ways.now().base.scheme() == "https" && url.scheme() == "http" {
            url.set_scheme("https").map_err(|()| missing())?;
        }
        Ok(url)
    }

    /// Whether an address is the registry's: only there credentials are shown.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.ways.now().base.origin()
    }
}

/// Where a registry is asked: Docker Hub has another name for that.
fn address(host: &str) -> &str {
    if host == "docker.io" { "registry-1.docker.io" } else { host }
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    let (name, address) = match host.strip_prefix('[') {
        Some(rest) => ("", rest.split_once(']').map_or(rest, |(address, _)| address)),
        None => host.split_once(':').map_or((host, host), |(name, _)| (name, name)),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn docker_hub_is_asked_where_it_answers() {
        let surroundings =
            Surroundings { root: "/".into(), environment: [("HOME", "/")].into_iter().collect() };
        let url = async |name: &str| {
            let name: RepositoryName = name.parse().unwrap();
            let connection = Connection::open(&name, &Access::default(), &surroundings).await.unwrap();
            connection.url(&format!("{}/tags/list", name.path())).unwrap().to_string()
        };
        let hub = "https://registry-1.docker.io/v2/library/alpine/tags/list";
        for name in ["alpine", "library/alpine", "docker.io/alpine", "index.docker.io/library/alpine"] {
            assert_eq!(url(name).await, hub, "{name}");
        }
        assert_eq!(url("ghcr.io/acme/web").await, "https://ghcr.io/v2/acme/web/tags/list");
    }

    #[test]
    fn a_registry_on_this_machine_is_recognised() {
        for host in
            ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.0.1", "[::1]:5000", "a.localhost"]
        {
            assert!(is_here(host), "{host}");
        }
        for host in ["ghcr.io", "localhost.example.org:5000", "10.0.0.1", "[2001:db8::1]:5000"] {
            assert!(!is_here(host), "{host}");
        }
    }
}
