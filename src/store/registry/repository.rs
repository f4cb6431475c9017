//! The verbs of a repository.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::Mutex;

use crate::diagnostic::Problem;
use crate::oci::{Descriptor, Digest, MAX_DOCUMENT, RepositoryName, media_type};
use crate::store::blob::{mismatch, mismatch_in_size};
use crate::store::registry::answer::{NoAnswer, unexpected, unreachable};
use crate::store::registry::connection::{Call, Connection};
use crate::store::registry::network::Origins;
use crate::store::registry::retry::{ATTEMPTS, SILENCES, is_transient};
use crate::store::registry::tagging::Abilities;

/// The digest that a registry says content has.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// How long nothing may arrive of a blob.
const STALLED: Duration = Duration::from_mins(1);

/// The whole of an answer.
pub(super) struct Document {
    /// Where it came from at last.
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

/// What it means that something is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is none.
    IsNone,
    /// It is an error.
    IsRefused,
}

/// A repository at a registry.
#[derive(Clone)]
pub struct Registry {
    pub(super) connection: Arc<Connection>,
    pub(super) name: RepositoryName,
    pub(super) origins: Arc<Origins>,
    /// What tokens are asked for.
    actions: &'static str,
    /// How long nothing may arrive of a blob before it is asked for again.
    pub(super) stalled: Duration,
    /// Held while a list of referrers is changed.
    pub(super) referring: Arc<Mutex<()>>,
    /// What it was found to be able to.
    pub(super) abilities: Arc<Abilities>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.name).finish()
    }
}

impl Registry {
    pub(super) fn new(connection: Connection, name: RepositoryName, origins: Arc<Origins>) -> Self {
        let connection = Arc::new(connection);
        let (actions, stalled) = ("pull,push", STALLED);
        let (referring, abilities) = (Arc::default(), Arc::default());
        Self { connection, name, origins, actions, stalled, referring, abilities }
    }

    /// The same, only to be read from: who may not write there is not asked to.
    #[must_use]
    pub fn to_read(mut self) -> Self {
        self.actions = "pull";
        self
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// What a tag or a digest points to; `None` if nothing.
    ///
    /// # Errors
    /// The registry cannot be reached, refuses, or does not answer as specified; it
    /// has something else under the digest.
    pub async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, Problem> {
        let Some(found) = self.find(name).await? else { return Ok(None) };
        self.is_what_was_asked(name, &found).map(|()| Some(found))
    }

    /// What a tag or a digest points to, with its bytes; `None` if nothing.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve) and [`read`](Self::read).
    pub async fn resolve_and_read(&self, name: &str) -> Result<Option<(Descriptor, Vec<u8>)>, Problem> {
        let Some((found, bytes)) = self.get(name).await? else { return Ok(None) };
        self.is_what_was_asked(name, &found).map(|()| Some((found, bytes)))
    }

    /// Whoever names a digest trusts nobody to say what it stands for.
    fn is_what_was_asked(&self, name: &str, found: &Descriptor) -> Result<(), Problem> {
        match name.parse::<Digest>() {
            Ok(digest) if digest != found.digest => {
                let asked = Descriptor::new(&found.media_type, digest, found.size);
                Err(self.mismatch(&asked, found.digest, found.size))
            }
            _ => Ok(()),
        }
    }

    /// What the registry says that a name points to.
    async fn find(&self, name: &str) -> Result<Option<Descriptor>, Problem> {
        let mut call = self.call(Method::HEAD, &format!("manifests/{name}"))?;
        call.headers = accept_manifests();
        let response = self.connection.send(&call).await?;
        match response.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            status if status.is_success() => {}
            // Some proxies know no HEAD, and an error without words is worth a question.
            _ => return Ok(self.get(name).await?.map(|(descriptor, _)| descriptor)),
        }
        let (media_type, digest) = (media_type_of(response.headers()), digest_of(response.headers()));
        let size = size_of(response.headers());
        if let (Some(media_type), Some(digest), Some(size)) = (media_type, digest, size) {
            return Ok(Some(Descriptor::new(&media_type, digest, size)));
        }
        Ok(self.get(name).await?.map(|(descriptor, _)| descriptor))
    }

    /// A manifest or index by tag or digest, with its bytes.
    pub(super) async fn get(&self, name: &str) -> Result<Option<(Descriptor, Vec<u8>)>, Problem> {
        let mut call = self.call(Method::GET, &format!("manifests/{name}"))?;
        call.headers = accept_manifests();
        let asked = format!("hand out the manifest `{}`", self.shown(name));
        let Some(document) = self.document(&call, &asked, Missing::IsNone).await? else { return Ok(None) };
        let (media_type, said) = (media_type_of(&document.headers), digest_of(&document.headers));
        let bytes = document.bytes;
        if let Some(said) = said.filter(|said| *said != Digest::of(&bytes)) {
            let expected = Descriptor::new("", said, bytes.len() as u64);
            return Err(self.mismatch(&expected, Digest::of(&bytes), expected.size));
        }
        let written = || {
            let document: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
            Some(document.get("mediaType")?.as_str()?.to_owned())
        };
        let known = |found: &String| media_type::MANIFESTS.contains(&found.as_str());
        let media_type = media_type.filter(known).or_else(written).filter(known);
        let media_type = media_type.ok_or_else(|| self.unexpected("what it hands out is no manifest"))?;
        Ok(Some((Descriptor::of(&media_type, &bytes), bytes)))
    }

    /// A document: a manifest, an index, or a configuration.
    ///
    /// # Errors
    /// It is not there, is not what its digest says, or has more than
    /// [`MAX_DOCUMENT`] bytes.
    pub async fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Problem> {
        let read = self.read_as(descriptor, Missing::IsRefused).await?;
        Ok(read.unwrap_or_default())
    }

    /// As [`read`](Self::read); `None` if it is not there.
    ///
    /// # Errors
    /// It is not what its digest says ([`DigestMismatch`]), or has more than
    /// [`MAX_DOCUMENT`] bytes.
    ///
    /// [`DigestMismatch`]: crate::diagnostic::Code::DigestMismatch
    pub(in crate::store) async fn read_if_there(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Option<Vec<u8>>, Problem> {
        self.read_as(descriptor, Missing::IsNone).await
    }

    async fn read_as(&self, descriptor: &Descriptor, missing: Missing) -> Result<Option<Vec<u8>>, Problem> {
        let mut call = self.call(Method::GET, &path_of(descriptor))?;
        call.headers = accept_manifests();
        let asked = format!("hand out `{}`", self.shown(&descriptor.digest.to_string()));
        let Some(document) = self.document(&call, &asked, missing).await? else { return Ok(None) };
        let bytes = document.bytes;
        let found = (Digest::of(&bytes), bytes.len() as u64);
        if found != (descriptor.digest, descriptor.size) {
            return Err(self.mismatch(descriptor, found.0, found.1));
        }
        Ok(Some(bytes))
    }

    /// Whether a blob or manifest is there.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses.
    pub async fn has(&self, descriptor: &Descriptor) -> Result<bool, Problem> {
        self.look(descriptor).await.map(|found| found.is_some())
    }

    /// Whether a blob is there, and has the size that it should have as far as the registry
    /// says one.
    ///
    /// # Errors
    /// It has another size ([`DigestMismatch`]); the registry cannot be reached or refuses.
    ///
    /// [`DigestMismatch`]: crate::diagnostic::Code::DigestMismatch
    pub(in crate::store) async fn has_whole(&self, descriptor: &Descriptor) -> Result<bool, Problem> {
        let Some(headers) = self.look(descriptor).await? else { return Ok(false) };
        match size_of(&headers).filter(|size| *size != descriptor.size) {
            Some(size) => Err(mismatch_in_size(descriptor, size).note(format!("it is in `{}`", self.name))),
            None => Ok(true),
        }
    }

    /// What the registry says of a blob or manifest without handing it out; `None` if it is
    /// not there.
    async fn look(&self, descriptor: &Descriptor) -> Result<Option<HeaderMap>, Problem> {
        let mut call = self.call(Method::HEAD, &path_of(descriptor))?;
        call.headers = accept_manifests();
        let response = self.connection.send(&call).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(response.headers().clone())),
            _ => Err(self
                .connection
                .refused(&format!("look for `{}`", self.shown(&descriptor.digest.to_string())), response)
                .await),
        }
    }

    /// How long to wait before it is looked again for what is not there yet.
    pub(in crate::store) fn backoff(&self, attempt: u32) -> Duration {
        self.connection.backoff(attempt)
    }

    /// Stores a manifest or index whose parts are there, under its digest or
    /// under a tag.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses.
    pub async fn put(&self, name: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Problem> {
        self.put_manifest(name, descriptor, bytes).await.map(drop)
    }

    /// As [`put`](Self::put); the headers of the answer.
    pub(super) async fn put_manifest(
        &self,
        name: &str,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<HeaderMap, Problem> {
        let response = self.connection.send(&self.putting(name, descriptor, bytes)?).await?;
        self.stored(name, descriptor, response).await
    }

    /// The request that stores a manifest or index.
    pub(super) fn putting(&self, name: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<Call, Problem> {
        let mut call = self.call(Method::PUT, &format!("manifests/{name}"))?;
        let media_type = HeaderValue::from_str(&descriptor.media_type);
        let media_type = media_type.map_err(|error| self.unexpected(&error.to_string()))?;
        call.headers.insert(CONTENT_TYPE, media_type);
        bytes.clone_into(&mut call.body);
        Ok(call)
    }

    /// The headers of the answer to that, if it was stored.
    pub(super) async fn stored(
        &self,
        name: &str,
        descriptor: &Descriptor,
        response: Response,
    ) -> Result<HeaderMap, Problem> {
        let response = self.expect(response, &format!("accept the manifest `{}`", self.shown(name))).await?;
        match digest_of(response.headers()) {
            Some(digest) if digest != descriptor.digest => {
                Err(self.mismatch(descriptor, digest, descriptor.size))
            }
            _ => Ok(response.headers().clone()),
        }
    }

    /// Makes sure that images may be put here: begins an upload and gives it up.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses.
    pub async fn check_push(&self) -> Result<(), Problem> {
        let response = self.connection.send(&self.call(Method::POST, "blobs/uploads/")?).await?;
        let asked = format!("let you write to `{}`", self.name.path());
        let response = self.expect(response, &asked).await?;
        self.abandon(self.connection.location(&response)?).await;
        Ok(())
    }

    /// Gives an upload up. Where that fails, it ends by itself: nobody goes on with it.
    pub(super) async fn abandon(&self, session: Url) {
        drop(self.connection.send(&Call::new(Method::DELETE, session, self.scopes())).await);
    }

    pub(super) fn call(&self, method: Method, path: &str) -> Result<Call, Problem> {
        let url = self.connection.url(&format!("{}/{path}", self.name.path()))?;
        Ok(Call::new(method, url, self.scopes()))
    }

    /// A tag or a digest here, as a user would name it.
    pub(super) fn shown(&self, name: &str) -> String {
        let before = if name.starts_with("sha256:") { '@' } else { ':' };
        format!("{}{before}{name}", self.name.path())
    }

    pub(super) fn scopes(&self) -> Vec<String> {
        vec![format!("repository:{}:{}", self.name.path(), self.actions)]
    }

    pub(super) async fn expect(&self, response: Response, asked: &str) -> Result<Response, Problem> {
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.connection.refused(asked, response).await)
    }

    /// The whole answer to a request; where it is cut, it is asked for again.
    pub(super) async fn document(
        &self,
        call: &Call,
        asked: &str,
        missing: Missing,
    ) -> Result<Option<Document>, Problem> {
        let mut attempt = 1;
        loop {
            let response = self.connection.send(call).await?;
            if response.status() == StatusCode::NOT_FOUND && missing == Missing::IsNone {
                return Ok(None);
            }
            let response = self.expect(response, asked).await?;
            let (url, headers) = (response.url().clone(), response.headers().clone());
            match self.body(response).await? {
                Ok(bytes) => return Ok(Some(Document { url, headers, bytes })),
                Err(why) if is_worth_asking_again(&why, attempt) => {
                    tokio::time::sleep(self.connection.backoff(attempt)).await;
                    attempt += 1;
                }
                Err(why) => return Err(self.unanswered(why, asked)),
            }
        }
    }

    /// The body of an answer, if it is not too large; `Err` in `Ok` if it is cut.
    async fn body(&self, mut response: Response) -> Result<Result<Vec<u8>, NoAnswer>, Problem> {
        let mut bytes = Vec::new();
        loop {
            match tokio::time::timeout(self.stalled, response.chunk()).await {
                Ok(Ok(Some(piece))) => bytes.extend_from_slice(&piece),
                Ok(Ok(None)) => return Ok(Ok(bytes)),
                Ok(Err(error)) => return Ok(Err(error.into())),
                Err(_silent) => return Ok(Err(NoAnswer::Silent(self.stalled, 1))),
            }
            if bytes.len() as u64 > MAX_DOCUMENT {
                return Err(self.unexpected(&format!("it sends more than {MAX_DOCUMENT} bytes")));
            }
        }
    }

    /// A request that got no answer, or not all of it: what was asked completes "it was
    /// to …".
    pub(super) fn unanswered(&self, why: impl Into<NoAnswer>, asked: &str) -> Problem {
        unreachable(self.connection.host(), why).note(format!("it was to {asked}"))
    }

    pub(super) fn unexpected(&self, what: &str) -> Problem {
        unexpected(self.connection.host(), what).note(format!("asked for `{}`", self.name))
    }

    /// Content of the registry is not what was announced.
    pub(super) fn mismatch(&self, expected: &Descriptor, digest: Digest, size: u64) -> Problem {
        mismatch(expected, digest, size).note(format!("it came from `{}`", self.name))
    }
}

/// Whether an answer that broke off may come as a whole the next time.
fn is_worth_asking_again(why: &NoAnswer, attempt: u32) -> bool {
    match why {
        NoAnswer::Failed(error) => attempt < ATTEMPTS && is_transient(error),
        NoAnswer::Silent(..) => attempt < SILENCES,
    }
}

/// Where content is found below the repository.
fn path_of(descriptor: &Descriptor) -> String {
    let manifest =
        media_type::is_index(&descriptor.media_type) || media_type::is_manifest(&descriptor.media_type);
    format!("{}/{}", if manifest { "manifests" } else { "blobs" }, descriptor.digest)
}

fn accept_manifests() -> HeaderMap {
    let types = media_type::MANIFESTS.iter().map(|accepted| (ACCEPT, HeaderValue::from_static(accepted)));
    let mut headers = HeaderMap::new();
    for (name, value) in types {
        headers.append(name, value);
    }
    headers.append(ACCEPT, HeaderValue::from_static("*/*;q=0.1"));
    headers
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn digest_of(headers: &HeaderMap) -> Option<Digest> {
    header(headers, CONTENT_DIGEST)?.parse().ok()
}

fn size_of(headers: &HeaderMap) -> Option<u64> {
    header(headers, CONTENT_LENGTH.as_str())?.parse().ok()
}

fn media_type_of(headers: &HeaderMap) -> Option<String> {
    let value = header(headers, CONTENT_TYPE.as_str())?;
    let media_type = value.split_once(';').map_or(value, |(media_type, _)| media_type).trim();
    media_type::MANIFESTS.contains(&media_type).then(|| media_type.to_owned())
}
