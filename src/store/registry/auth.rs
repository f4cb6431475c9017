//! Proving who one is (RFC 7235; Docker's token authentication).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
};
use reqwest::{Client, Url};
use serde::Deserialize;

use crate::diagnostic::{Code, Problem};
use crate::store::registry::answer::{refused, unexpected, unreachable};
use crate::store::registry::body::once;
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

/// How a registry wants to be told who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With name and password in every request.
    Basic,
    /// With a token from a server.
    Bearer {
        /// The server's address.
        realm: Url,
        /// What the registry is called there.
        service: Option<String>,
    },
}

struct Token {
    text: Password,
    until: Instant,
}

/// What is known of how to prove who one is at one registry.
pub(super) struct Authentication {
    host: String,
    found: Found,
    backoff: Backoff,
    challenge: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<Vec<String>, Token>>,
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

    /// Learns from a 401 how the registry wants to be asked, and forgets the
    /// token that it did not accept. False if that is not known afterwards.
    pub(super) fn challenged(&self, headers: &HeaderMap, scopes: &[String], plain: bool) -> bool {
        let found = challenges(headers);
        let secure = |challenge: &Challenge| match challenge {
            Challenge::Basic => true,
            // What is asked over TLS is not to be answered in clear text.
            Challenge::Bearer { realm, .. } => realm.scheme() == "https" || plain && realm.scheme() == "http",
        };
        let challenge = found.into_iter().find(secure);
        let known = challenge.is_some();
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = challenge;
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(scopes);
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
                if let Some(token) = self.cached(scopes) {
                    return Ok(bearer(&token));
                }
                let token = self.fetch(clients.to(&realm), &realm, service.as_deref(), scopes).await?;
                let header = bearer(&token.text);
                self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(scopes.to_vec(), token);
                Ok(header)
            }
        }
    }

    fn cached(&self, scopes: &[String]) -> Option<Password> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let valid = |token: &&Token| Instant::now() < token.until;
        tokens.get(scopes).filter(valid).map(|token| token.text.clone())
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

/// The challenges of an answer that are understood, tokens first.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut found: Vec<Challenge> = texts.filter_map(challenge).collect();
    found.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
    found
}

/// One challenge: a scheme and `name="value"` or `name=value`, with commas.
pub(super) fn challenge(text: &str) -> Option<Challenge> {
    let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    while let Some((name, value)) = rest.trim_start_matches([' ', ',']).split_once('=') {
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_once(',').unwrap_or((value, "")),
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "realm" => realm = value.parse().ok(),
            "service" => service = Some(value.to_owned()),
            _ => {}
        }
        rest = after;
    }
    Some(Challenge::Bearer { realm: realm?, service })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_tokens_are_given() {
        let ghcr = r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull""#;
        let expected = Challenge::Bearer {
            realm: "https://ghcr.io/token".parse().unwrap(),
            service: Some("ghcr.io".to_owned()),
        };
        assert_eq!(challenge(ghcr), Some(expected.clone()));
        assert_eq!(challenge("bearer Realm=https://ghcr.io/token, service=ghcr.io"), Some(expected));
        assert_eq!(challenge(r#"Basic realm="x""#), Some(Challenge::Basic));
        assert_eq!(challenge("Negotiate"), None);
        assert_eq!(challenge("Bearer service=x"), None);
        assert_eq!(challenge("Bearer realm=\"unclosed"), None);
    }

    #[test]
    fn a_token_is_preferred_to_a_password_in_every_request() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=x"));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"https://x.io/t\""));
        let kinds: Vec<_> = challenges(&headers).iter().map(|one| *one == Challenge::Basic).collect();
        assert_eq!(kinds, [false, true]);
    }

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
