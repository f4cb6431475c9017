//! Builds with the API that engines had before BuildKit, which is the one of Podman.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE;
use bytes::{Bytes, BytesMut};
use http::{Method, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};

use crate::dockerfile::{Keyword, Spot};
use crate::engine::builder::build::{Build, Kept, OWNER};
use crate::engine::builder::cause::Cause;
use crate::engine::builder::context::{CHANGED, MODE};
use crate::engine::builder::engine::{Engine, EngineKind};
use crate::engine::builder::error::{EngineError, chain};
use crate::engine::builder::progress::CacheHits;
use crate::engine::builder::session::{HUB, IGNORE};

/// Begins the names of files in the context that no instruction sees.
const HIDDEN: &str = ".hoist-build-";
/// Podman's own list of files that no instruction sees; it comes before `.dockerignore`.
const PODMAN_IGNORE: &str = ".containerignore";
/// Bytes of the two blocks that end an archive.
const END: usize = 1024;
/// What Podman's API calls the network mode `none`.
const NO_NETWORK: &str = "NetworkDisabled";
/// The longest line of an engine.
const LONGEST: usize = 16 << 20;

/// Most bytes of a line of the build that are kept until it ends.
const LONGEST_SHOWN: usize = 64 << 10;

/// Most instructions of a build that are kept until it ends.
const MOST_BEGUN: usize = 1000;

/// A line of the engine's answer.
#[derive(Default, Deserialize)]
struct Told {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    aux: Option<Aux>,
}

#[derive(Deserialize)]
struct Aux {
    #[serde(rename = "ID")]
    id: Option<String>,
}

impl Engine {
    /// Builds an image with the classic API.
    pub(super) async fn build_classic(
        &self,
        build: Build,
        lines: mpsc::Sender<Vec<u8>>,
    ) -> Result<Kept, EngineError> {
        let cause = Cause::default();
        let kept = self.post_build(build, lines, &cause).await;
        kept.map_err(|error| cause.or(error))
    }

    async fn post_build(
        &self,
        build: Build,
        lines: mpsc::Sender<Vec<u8>>,
        cause: &Cause,
    ) -> Result<Kept, EngineError> {
        let broken = |error: &(dyn std::error::Error + 'static)| EngineError::Broken(chain(error));
        let own = own(&build, self.about().kind).map_err(|error| broken(&error))?;
        let body = without_end(cause.of((build.offer.context)()))
            .chain(tokio_stream::once(Ok(Bytes::from(own))))
            .map(|piece| piece.map(Frame::data));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://engine/build?{}", query(&build, self.about().kind)))
            .header("content-type", "application/x-tar")
            .header("x-registry-config", logins(&build))
            .body(StreamBody::new(body))
            .map_err(|error| broken(&error))?;
        let client = Client::builder(TokioExecutor::new()).build(self.connector.clone());
        let answer = client.request(request).await.map_err(|error| broken(&error))?;
        let status = answer.status();
        let mut body = answer.into_body();
        let mut open: Vec<u8> = Vec::new();
        let mut output = Output::default();
        let mut refused = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            let Ok(bytes) = frame.into_data() else { continue };
            if !status.is_success() {
                refused.extend_from_slice(&bytes);
                refused.truncate(LONGEST);
                continue;
            }
            open.extend_from_slice(&bytes);
            while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
                let rest = open.split_off(end + 1);
                let line = std::mem::replace(&mut open, rest);
                let told: Told = serde_json::from_slice(&line).unwrap_or_default();
                output.take(told, &lines).await?;
            }
            if open.len() > LONGEST {
                return Err(EngineError::Broken("a line of its answer has no end".to_owned()));
            }
        }
        if !status.is_success() {
            let words = message(&refused);
            return Err(EngineError::Refused(if words.is_empty() { status.to_string() } else { words }));
        }
        let told: Told = serde_json::from_slice(&open).unwrap_or_default();
        output.take(told, &lines).await?;
        let ended = || EngineError::Broken("its answer ended before the build".to_owned());
        Ok(Kept { image: output.image.ok_or_else(ended)?, hits: output.hits, has_caches: true })
    }
}

/// The words of an answer that is an error.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: Option<String>,
        cause: Option<String>,
    }
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    let words = refusal.and_then(|refusal| refusal.message.or(refusal.cause));
    words.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())
}

/// What the engine wrote, and what came of it.
#[derive(Default)]
struct Output {
    /// A line that has not ended.
    open: String,
    hits: CacheHits,
    image: Option<String>,
    /// The instructions that were begun, the last one at the end: of stages side by side in
    /// any order.
    begun: VecDeque<Begun>,
    /// Whether the last is one that hoist added.
    is_ours: bool,
}

/// An instruction of the Dockerfile that an engine began with.
struct Begun {
    instruction: String,
    spot: Option<Spot>,
}

impl Output {
    async fn take(&mut self, told: Told, lines: &mpsc::Sender<Vec<u8>>) -> Result<(), EngineError> {
        self.open.push_str(&told.stream);
        while let Some(end) = self.open.find('\n') {
            let rest = self.open.split_off(end + 1);
            let line = std::mem::replace(&mut self.open, rest);
            let line = line.trim_end();
            self.count(line);
            // Nobody listens any more once the run was given up.
            let _ = lines.send(line.as_bytes().to_vec()).await;
        }
        // A line without an end is shown in pieces.
        if self.open.len() > LONGEST_SHOWN {
            let _ = lines.send(std::mem::take(&mut self.open).into_bytes()).await;
        }
        if let Some(id) = told.aux.and_then(|aux| aux.id) {
            self.image = Some(id);
        }
        told.error.map_or(Ok(()), |error| {
            let spot = self.failed(&error).or_else(|| Spot::in_words(&error));
            Err(EngineError::Failed { words: error.trim().to_owned(), spot })
        })
    }

    /// The instruction that an error is about: the one that it names, as Podman does
    /// (`building at STEP "RUN exit 7": …`), else the last one.
    fn failed(&self, error: &str) -> Option<Spot> {
        let named = error.split_once("STEP \"").map(|(_, named)| named);
        let is_named = |begun: &&Begun| {
            let rest = named.and_then(|named| named.strip_prefix(&begun.instruction));
            rest.is_some_and(|rest| rest.starts_with('"'))
        };
        // What it names has values in the place of arguments, and no flags.
        let keyword = named.and_then(|named| named.split_whitespace().next());
        let is_like = |begun: &&Begun| {
            keyword.is_some_and(|keyword| begun.instruction.split_whitespace().next() == Some(keyword))
        };
        let latest = || self.begun.iter().rev();
        let found = latest().find(is_named).or_else(|| latest().find(is_like));
        found.or_else(|| latest().next())?.spot.clone()
    }

    fn count(&mut self, line: &str) {
        if let Some((instruction, spot)) = step(line) {
            self.is_ours = instruction.starts_with("LABEL") && instruction.contains(OWNER);
            if self.begun.len() == MOST_BEGUN {
                self.begun.pop_front();
            }
            let spot = spot.filter(|_| !self.is_ours);
            self.begun.push_back(Begun { instruction: instruction.to_owned(), spot });
            self.hits.steps += usize::from(!self.is_ours && !instruction.starts_with("FROM "));
        }
        self.hits.cached += usize::from(!self.is_ours && line.contains("> Using cache"));
    }
}

/// The instruction that a line tells of, and its spot: `[1/2] STEP 2/3: COPY …` of Podman,
/// which leaves the stage out where there is but one, and `Step 2/3 : COPY …` of Docker.
fn step(line: &str) -> Option<(&str, Option<Spot>)> {
    let fraction = |text: &str| {
        let (number, all) = text.trim_end().split_once('/')?;
        Some((number.parse::<usize>().ok()?, all.parse::<usize>().ok()?))
    };
    if let Some(rest) = line.strip_prefix("Step ") {
        let (counted, instruction) = rest.split_once(':')?;
        return Some((instruction.trim_start(), fraction(counted).map(|(number, _)| Spot::Number(number))));
    }
    let (stage, rest) = line.split_once("STEP ")?;
    let stage = match stage.trim_end().strip_prefix('[') {
        Some(stage) => fraction(stage.strip_suffix(']')?)?,
        None if stage.is_empty() => (1, 1),
        None => return None,
    };
    let (counted, instruction) = rest.split_once(':')?;
    let (number, all) = fraction(counted)?;
    let instruction = instruction.trim_start();
    // The label by which hoist finds what it left ends the last stage.
    let ours = usize::from(stage.0 == stage.1);
    let keyword = Keyword::named(instruction.split_whitespace().next()?);
    let spot = keyword.zip(stage.0.checked_sub(1)).map(|(keyword, stage)| {
        let after = all.saturating_sub(number).saturating_sub(ours);
        Spot::OfStage { stage, after, keyword }
    });
    Some((instruction, spot))
}

/// An archive without the blocks that end it, so that another can follow.
fn without_end(archive: impl Stream<Item = io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> {
    let mut held = BytesMut::new();
    archive.filter_map(move |piece| match piece {
        Ok(piece) => {
            held.extend_from_slice(&piece);
            let ready = held.len().saturating_sub(END);
            (ready > 0).then(|| Ok(held.split_to(ready).freeze()))
        }
        Err(error) => Some(Err(error)),
    })
}

/// The end of the archive that is sent: what belongs to the build and not to the context,
/// and the list that hides it. It comes last, so that an engine which is sent only a part
/// of the context keeps no secret with that.
fn own(build: &Build, kind: EngineKind) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(MODE);
        header.set_mtime(CHANGED.into());
        archive.append_data(&mut header, name, bytes)
    };
    add(&dockerfile(), &build.offer.dockerfile)?;
    let secrets = if kind == EngineKind::Podman { secrets(build) } else { BTreeMap::new() };
    for (number, (_, value)) in secrets.into_iter().enumerate() {
        add(&secret(number), value)?;
    }
    let (ignore, list) = match kind {
        EngineKind::Podman => (PODMAN_IGNORE, format!("{PODMAN_IGNORE}\n{HIDDEN}*\n").into_bytes()),
        EngineKind::Docker | EngineKind::BuildKit => (IGNORE, docker_ignore(build)?),
    };
    add(ignore, &list)?;
    archive.into_inner()
}

/// The list by which Docker leaves out its Dockerfile, and nothing else but the list itself.
/// Where the context has one that instructions may see, it stays, with two lines more: as
/// Docker's own client does it.
fn docker_ignore(build: &Build) -> io::Result<Vec<u8>> {
    let files = build.offer.files.as_ref();
    let here = files.map_or(Ok(None), |files| files.read(IGNORE))?;
    Ok(match here {
        Some(list) => [list, format!("\n!{IGNORE}\n{HIDDEN}*\n").into_bytes()].concat(),
        None => format!("{IGNORE}\n{HIDDEN}*\n").into_bytes(),
    })
}

fn dockerfile() -> String {
    format!("{HIDDEN}dockerfile")
}

fn secret(number: usize) -> String {
    format!("{HIDDEN}secret-{number}")
}

/// The secrets of a build in an order that is always the same.
fn secrets(build: &Build) -> BTreeMap<&String, &Vec<u8>> {
    build.offer.secrets.iter().collect()
}

fn query(build: &Build, kind: EngineKind) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("dockerfile", &dockerfile())
        .append_pair("t", &build.name)
        .append_pair("platform", &build.platform.to_string())
        .append_pair("buildargs", &json!(build.arguments).to_string())
        .append_pair("labels", &json!({ OWNER: build.owner }).to_string())
        .append_pair("rm", "1")
        .append_pair("forcerm", "1");
    if let Some(target) = &build.target {
        query.append_pair("target", target);
    }
    if let Some(network) = &build.network {
        let network = match (kind, network.as_str()) {
            (EngineKind::Podman, "none") => NO_NETWORK,
            (_, network) => network,
        };
        query.append_pair("networkmode", network);
    }
    if build.no_cache {
        query.append_pair("nocache", "1");
    }
    if kind == EngineKind::Podman {
        query.append_pair("layers", "1");
        let secrets = secrets(build).into_keys().enumerate();
        let secrets: Vec<String> =
            secrets.map(|(number, id)| format!("id={id},src={}", secret(number))).collect();
        if !secrets.is_empty() {
            query.append_pair("secrets", &json!(secrets).to_string());
        }
    }
    query.finish()
}

/// Who logs in at the registries of the bases, as engines take it.
fn logins(build: &Build) -> String {
    let logins = build.offer.logins.iter().flat_map(|(host, login)| {
        let login = if login.user.is_empty() {
            json!({ "identitytoken": login.secret })
        } else {
            json!({ "username": login.user, "password": login.secret })
        };
        let hub = HUB.into_iter().filter(move |_| host == "docker.io");
        hub.chain([host.as_str()]).map(move |host| (host.to_owned(), login.clone()))
    });
    let logins: serde_json::Map<_, _> = logins.collect();
    BASE64_URL_SAFE.encode(json!(logins).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a build failed of which an engine said this.
    async fn failed(told: &[&str], error: &str) -> Option<Spot> {
        let (lines, _) = mpsc::channel(1);
        let mut output = Output::default();
        for line in told {
            let told = Told { stream: format!("{line}\n"), ..Told::default() };
            output.take(told, &lines).await.unwrap();
        }
        let told = Told { error: Some(error.to_owned()), ..Told::default() };
        match output.take(told, &lines).await {
            Err(EngineError::Failed { spot, .. }) => spot,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn of_stages_side_by_side_the_step_that_the_error_names_has_failed() {
        let told = [
            "[1/4] STEP 1/2: FROM scratch AS first",
            "[1/4] STEP 2/2: COPY bin /bin",
            "[3/4] STEP 1/5: FROM 3008 AS second",
            "[3/4] STEP 2/5: LABEL a=b",
            "[3/4] STEP 3/5: RUN true",
            "[3/4] STEP 4/5: RUN exit 7",
            "[4/4] STEP 1/3: FROM 3008",
        ];
        let spot = |stage, after, keyword| Some(Spot::OfStage { stage, after, keyword });
        let error = "building at STEP \"RUN exit 7\": while running runtime: exit status 7";
        assert_eq!(failed(&told, error).await, spot(2, 1, Keyword::Run));
        // What begins like another is not that.
        let error = "building at STEP \"RUN true\": while running runtime: exit status 7";
        assert_eq!(failed(&told, error).await, spot(2, 2, Keyword::Run));
        // With the values of arguments it is no line that was told.
        let error = "building at STEP \"COPY no/none /\": no such file";
        assert_eq!(failed(&told, error).await, spot(0, 0, Keyword::Copy));
        // Quotes within are as they are.
        let quoted = ["[1/2] STEP 1/2: FROM a", "[1/2] STEP 2/2: RUN echo \"b\"", "[2/2] STEP 1/2: FROM a"];
        let error = "building at STEP \"RUN echo \"b\"\": exit status 7";
        assert_eq!(failed(&quoted, error).await, spot(0, 0, Keyword::Run));
        // Where none is named, it is the last.
        assert_eq!(failed(&told[..6], "exit status 7").await, spot(2, 1, Keyword::Run));
        assert_eq!(failed(&[], error).await, None);
    }
}
