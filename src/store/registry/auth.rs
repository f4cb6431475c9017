//! Proving who one is (RFC 7235; Docker's token authentication).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Url};
use serde::Deserialize;

use crate::diagnostic::{Code, Problem};
use crate::store::registry::answer::{refused, unexpected, unreachable};
use crate::store::registry::body::once;
use crate::store::registry::challenge::{Challenge, challenges};
use crate::store::registry::client::Clients;
use crate::store::registry::credentials::{Credentials, Found, LOGIN};
use crate::store::registry::retry::{Backoff, Tell};
use crate::store::registry::secret::Password;

/// How long a token is used that does not say how long it is valid, in seconds.
const DEFAULT_VALIDITY: u64 = 60;
/// A token is no longer used this long before it expires.
const MARGIN: Duration = Duration::from_secs(10);
/// The largest answer with a token, in bytes.
const MAX_TOKEN: usize = 1 << 20;
/// How long the server for tokens may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Token {
    text: Password,
    until: Instant,
}

/// What the server for tokens said last.
struct Said {
    at: Instant,
    token: Result<Token, Problem>,
}

impl Said {
    /// The header with the token that it gave.
    fn header(&self) -> Result<Option<HeaderValue>, Problem> {
        self.token.as_ref().map(|token| bearer(&token.text)).map_err(Clone::clone)
    }
}

/// The token for some scopes; locked while the server is asked for it.
type Slot = Arc<tokio::sync::Mutex<Option<Said>>>;

/// What an answer that was refused had been asked with.
#[derive(Clone)]
pub(super) struct Shown(pub(super) HeaderValue);

/// What is known of how to prove who one is at one registry.
pub(super) struct Authentication {
    host: String,
    found: Found,
    backoff: Backoff,
    challenge: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<Vec<String>, Slot>>,
}

impl Authentication {
    pub(super) fn new(host: &str, found: Found, backoff: Backoff) -> Self {
        let host = host.to_owned();
        Self { host, found, backoff, challenge: Mutex::default(), tokens: Mutex::default() }
    }

    /// The same, which says aloud what is waited for.
    pub(super) fn telling(&mut self, tell: Option<Tell>) {
        self.backoff.telling(tell);
    }

    /// Learns from a 401 how the registry wants to be asked, and forgets the token that it
    /// did not accept, if that was `shown`. False if it is not known how afterwards.
    pub(super) fn challenged(
        &self,
        headers: &HeaderMap,
        scopes: &[String],
        shown: Option<&HeaderValue>,
        plain: bool,
    ) -> bool {
        let found = challenges(headers);
        let secure = |challenge: &Challenge| match challenge {
            Challenge::Basic => true,
            // What is asked over TLS is not to be answered in clear text.
            Challenge::Bearer { realm, .. } => realm.scheme() == "https" || plain && realm.scheme() == "http",
        };
        let challenge = found.into_iter().find(secure);
        let known = challenge.is_some();
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = challenge;
        // Whoever is asking for a token now, or has another one since, is not to ask again.
        if let Ok(mut said) = self.slot(scopes).try_lock() {
            said.take_if(|said| said.header().ok().flatten().as_ref() == shown);
        }
        known
    }

    /// Whether the registry asks who one is.
    pub(super) fn is_challenged(&self) -> bool {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The header that proves who asks; none as long as the registry did not
    /// ask for one, or nobody is known to it.
    ///
    /// # Errors
    /// The server for tokens cannot be reached, or refuses.
    pub(super) async fn header(
        &self,
        clients: &Clients,
        scopes: &[String],
    ) -> Result<Option<HeaderValue>, Problem> {
        let challenge = self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (challenge, &self.found.credentials) {
            (Some(Challenge::Basic), Credentials::Basic { username, password }) => {
                Ok(basic(username, password))
            }
            (Some(Challenge::Basic) | None, _) => Ok(None),
            (Some(Challenge::Bearer { realm, service }), _) => {
                let slot = self.slot(scopes);
                let came = Instant::now();
                let mut said = slot.lock().await;
                // Who waited while another one asked has the same answer.
                let is_new = |said: &&Said| {
                    said.at > came || said.token.as_ref().is_ok_and(|token| Instant::now() < token.until)
                };
                if let Some(said) = said.as_ref().filter(is_new) {
                    return said.header();
                }
                let token = self.fetch(clients.to(&realm), &realm, service.as_deref(), scopes).await;
                said.insert(Said { at: Instant::now(), token }).header()
            }
        }
    }

    fn slot(&self, scopes: &[String]) -> Slot {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tokens.entry(scopes.to_vec()).or_default())
    }

    async fn fetch(
        &self,
        client: &Client,
        realm: &Url,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<Token, Problem> {
        let asked_at = Instant::now();
        let mut query = vec![];
        query.extend(service.map(|service| ("service", service)));
        let all_scopes = scopes.join(" ");
        let sent = if let Credentials::Identity(token) = &self.found.credentials {
            query.extend([("grant_type", "refresh_token"), ("client_id", "hoist"), ("scope", &all_scopes)]);
            query.push(("refresh_token", token.reveal()));
            let form = encoded(realm, &query);
            let body = form.query().unwrap_or_default().to_owned();
            let build = || {
                let request = client.post(realm.clone()).timeout(PATIENCE).body(once(&body));
                let request = request.header(CONTENT_LENGTH, body.len());
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            };
            self.backoff.send(build).await
        } else {
            query.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
            let mut url = realm.clone();
            url.query_pairs_mut().extend_pairs(&query);
            let header = match &self.found.credentials {
                Credentials::Basic { username, password } => basic(username, password),
                Credentials::Anonymous | Credentials::Identity(_) => None,
            };
            let build = || {
                let request = client.get(url.clone()).timeout(PATIENCE);
                header.iter().fold(request, |request, header| request.header(AUTHORIZATION, header))
            };
            self.backoff.send(build).await
        };
        let asked = format!("a token was asked for {all_scopes}");
        let mut response = sent.map_err(|why| unreachable(&self.host, why).note(asked.clone()))?;
        if !response.status().is_success() {
            let mut problem = refused(&self.host, &format!("give a token for {all_scopes}"), response).await;
            problem.code = Code::Unauthorized;
            return Err(self.explain(problem));
        }
        let mut body = Vec::new();
        while let Some(piece) =
            response.chunk().await.map_err(|error| unreachable(&self.host, error).note(asked.clone()))?
        {
            body.extend_from_slice(&piece);
            if body.len() > MAX_TOKEN {
                return Err(unexpected(&self.host, "the answer with a token is too large"));
            }
        }
        read_token(&body, asked_at).ok_or_else(|| unexpected(&self.host, "there is no token in the answer"))
    }

    /// Adds to a refusal who asked, and how to be somebody else.
    pub(super) fn explain(&self, mut problem: Problem) -> Problem {
        for note in &self.found.notes {
            problem = problem.note(note.clone());
        }
        let who = match (&self.found.credentials, &self.found.source) {
            (Credentials::Basic { username, .. }, Some(source)) => {
                format!("asked as `{username}`, from {source}")
            }
            (Credentials::Identity(_), Some(source)) => format!("asked with a token from {source}"),
            _ => "asked without credentials".to_owned(),
        };
        let help = match self.found.source.as_deref() {
            Some(LOGIN) => {
                "mend the `login` of the registry in release.kdl: it is used instead of what `hoist login` keeps"
                    .to_owned()
            }
            _ => format!("run `hoist login {}`, or give the registry a `login`", self.host),
        };
        problem.note(who).help(help)
    }
}

fn read_token(body: &[u8], asked_at: Instant) -> Option<Token> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<u64>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let text = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
    let validity = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_VALIDITY).min(86_400));
    Some(Token { text: Password::new(text), until: asked_at + validity.saturating_sub(MARGIN) })
}

/// An address whose query holds the pairs and nothing else.
fn encoded(base: &Url, pairs: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}

fn basic(username: &str, password: &Password) -> Option<HeaderValue> {
    let pair = STANDARD.encode(format!("{username}:{}", password.reveal()));
    sensitive(&format!("Basic {pair}"))
}

fn bearer(token: &Password) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {}", token.reveal()))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_until_shortly_before_it_expires() {
        let now = Instant::now();
        let read = |text: &str| {
            let token = read_token(text.as_bytes(), now)?;
            Some((token.text.reveal().to_owned(), (token.until - now).as_secs()))
        };
        assert_eq!(read(r#"{"token": "a", "expires_in": 300}"#), Some(("a".to_owned(), 290)));
        assert_eq!(read(r#"{"access_token": "b"}"#), Some(("b".to_owned(), 50)));
        assert_eq!(read(r#"{"token": ""}"#), None);
    }
}
