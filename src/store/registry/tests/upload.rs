//! Content on its way there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::diagnostic::{Code, Problem};
use crate::oci::{Digest, media_type};
use crate::store::fixture::{Answer, FakeServer, Received};
use crate::store::whole::Part;
use crate::store::{Delivery, Meter};

/// An upload as a registry sees it.
#[derive(Default)]
struct Storage {
    upload: Option<Vec<u8>>,
    blobs: Vec<Digest>,
}

impl Storage {
    /// Answers as the specification says: blobs, and one upload at a time.
    fn answer(&mut self, request: &Received) -> Answer {
        let (method, target) = request.line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path.contains("/blobs/sha256:") {
            let there = self.blobs.iter().any(|digest| path.ends_with(&digest.to_string()));
            return Answer::new(if there { "200 OK" } else { "404 Not Found" });
        }
        if method == "POST" {
            self.upload = Some(Vec::new());
            return Answer::new("202 Accepted").header("Location", "/upload");
        }
        let Some(upload) = &mut self.upload else { return Answer::new("404 Not Found") };
        let begins = request.header("content-range").and_then(|range| range.split_once('-')?.0.parse().ok());
        match method {
            "DELETE" => self.upload = None,
            "GET" => {}
            _ if begins.is_some_and(|begins: usize| begins != upload.len()) => {
                return Answer::new("416 Range Not Satisfiable");
            }
            _ => upload.extend(&request.body),
        }
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        let is_whole = length.is_none_or(|length: usize| length == request.body.len());
        if let Some(digest) = query.strip_prefix("digest=sha256%3A").filter(|_| is_whole) {
            let upload = self.upload.take().unwrap();
            let found = Digest::of(&upload);
            if found.hex() != digest {
                return Answer::new("400 Bad Request").body(r#"{"errors": [{"code": "DIGEST_INVALID"}]}"#);
            }
            self.blobs.push(found);
            return Answer::new("201 Created").header("Docker-Content-Digest", found.to_string());
        }
        let answer = Answer::new(if method == "PATCH" { "202 Accepted" } else { "204 No Content" });
        let last = self.upload.as_ref().map_or(0, |upload| upload.len().saturating_sub(1));
        answer.header("Location", "/upload").header("Range", format!("0-{last}"))
    }
}

/// A server that stores, cuts the request of a number (from 0, only those with a body
/// count), and answers some otherwise.
fn server(
    cuts: &'static [(usize, u64)],
    otherwise: impl Fn(&Received) -> Option<Answer> + Send + 'static,
) -> FakeServer {
    let (count, storage) = (AtomicUsize::new(0), Mutex::new(Storage::default()));
    let cut = move |request: &Received| {
        request.header("content-length").filter(|length| *length != "0")?;
        let at = count.fetch_add(1, Ordering::SeqCst);
        cuts.iter().find(|(number, _)| *number == at).map(|(_, bytes)| *bytes)
    };
    FakeServer::start_cutting(cut, move |request| {
        otherwise(request).unwrap_or_else(|| storage.lock().unwrap().answer(request))
    })
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Sends a blob, and counts what is told of it.
async fn send(server: &FakeServer, content: &[u8]) -> (Result<Delivery, Problem>, u64) {
    let (_directory, images) = layout();
    let blob = images.write(media_type::LAYER, content).unwrap();
    let meter = Arc::new(Meter::silent());
    let network = network(&[("HOIST_TEST_FIRST_WAIT", "1")]);
    let web = registry(&network, &format!("{}/acme/web", server.address), &Access::default()).await;
    let sent = web.upload(&images, &Part::layer(&blob), &meter).await;
    // A thread that reads ahead may still count, and take back what it counted.
    let expected = if sent.is_ok() { blob.size } else { 0 };
    for _ in 0..100 {
        if meter.done() == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (sent, meter.done())
}

/// The method of each request, with the bytes of its body if it has one.
fn requests(server: &FakeServer) -> Vec<String> {
    let shown = |request: Received| {
        let method = request.line.split(' ').next().unwrap().to_owned();
        if request.body.is_empty() { method } else { format!("{method} {}", request.body.len()) }
    };
    server.received().into_iter().map(shown).collect()
}

#[tokio::test]
async fn an_upload_that_is_cut_goes_on_where_it_was() {
    let server = server(&[(0, 300_000), (1, 200_000)], |_| None);
    let (sent, told) = send(&server, &content(1_000_000)).await;
    assert_eq!((sent, told), (Ok(Delivery::Sent), 1_000_000));
    let expected = ["HEAD", "POST", "PUT 300000", "GET", "PATCH 200000"];
    assert_eq!(requests(&server)[..5], expected);
    // The second in a row that did not get far is not gone on with.
    assert_eq!(requests(&server)[5..], ["HEAD", "DELETE", "POST", "PUT 1000000"]);
}

#[tokio::test]
async fn as_long_as_an_upload_gets_on_it_is_not_begun_again() {
    let cuts = &[(0, 2 << 20), (1, 2 << 20), (2, 2 << 20), (3, 2 << 20), (4, 2 << 20), (5, 2 << 20)];
    let server = server(cuts, |_| None);
    let (sent, told) = send(&server, &content(13 << 20)).await;
    assert_eq!((sent, told), (Ok(Delivery::Sent), 13 << 20));
    let lines = requests(&server);
    assert_eq!(lines.iter().filter(|line| *line == "POST").count(), 1, "{lines:?}");
    assert_eq!(lines[lines.len() - 2..], ["PATCH 1048576", "PUT"]);
}

#[tokio::test]
async fn an_upload_that_was_forgotten_is_begun_again() {
    for answer in ["404 Not Found", "204 No Content", "200 OK"] {
        let server = server(&[(0, 300_000)], move |request| {
            request.line.starts_with("GET /upload").then(|| Answer::new(answer))
        });
        let (sent, told) = send(&server, &content(1_000_000)).await;
        assert_eq!((sent, told), (Ok(Delivery::Sent), 1_000_000), "{answer}");
        let expected = ["HEAD", "POST", "PUT 300000", "GET", "HEAD", "DELETE", "POST", "PUT 1000000"];
        assert_eq!(requests(&server), expected, "{answer}");
    }
}

#[tokio::test]
async fn an_upload_whose_last_answer_was_lost_is_not_repeated() {
    let server = server(&[(0, 1_000_000)], |_| None);
    let (sent, told) = send(&server, &content(1_000_000)).await;
    assert_eq!((sent, told), (Ok(Delivery::Sent), 1_000_000));
    assert_eq!(requests(&server), ["HEAD", "POST", "PUT 1000000", "GET", "HEAD"]);
}

#[tokio::test]
async fn a_registry_that_takes_no_more_at_once_gets_chunks() {
    let limit = |request: &Received| {
        let length = request.header("content-length")?.parse::<u64>().ok()?;
        (length > 20 << 20).then(|| Answer::new("413 Payload Too Large"))
    };
    let chunked = server(&[], limit);
    let (sent, told) = send(&chunked, &content(40 << 20)).await;
    assert_eq!((sent, told), (Ok(Delivery::Sent), 40 << 20));
    let mib = |method: &str, count: usize| format!("{method} {}", count << 20);
    let expected =
        ["HEAD".into(), "POST".into(), mib("PUT", 40), "DELETE".into(), "POST".into(), mib("PATCH", 16)];
    assert_eq!(requests(&chunked)[..6], expected);
    assert_eq!(requests(&chunked)[6..], [mib("PATCH", 16), mib("PATCH", 8), "PUT".to_owned()]);

    // Where it asks for larger ones, they are larger.
    let larger = server(&[], move |request| {
        if request.line.starts_with("POST") {
            let answer = Answer::new("202 Accepted").header("OCI-Chunk-Min-Length", (18 << 20).to_string());
            return Some(answer.header("Location", "/other"));
        }
        if request.line.starts_with("PUT") && request.body.is_empty() {
            return Some(Answer::new("201 Created"));
        }
        limit(request).or_else(|| {
            let (_, end) = request.header("content-range")?.split_once('-')?;
            Some(Answer::new("202 Accepted").header("Location", "/other").header("Range", format!("0-{end}")))
        })
    });
    assert_eq!(send(&larger, &content(40 << 20)).await, (Ok(Delivery::Sent), 40 << 20));
    let patched = requests(&larger).into_iter().filter(|line| line.starts_with("PATCH"));
    assert_eq!(patched.collect::<Vec<_>>(), [mib("PATCH", 18), mib("PATCH", 18), mib("PATCH", 4)]);

    // Nothing is small enough for this one.
    let refusing = server(&[], |request| {
        matches!(&request.line[..4], "PUT " | "PATC").then(|| Answer::new("413 Payload Too Large"))
    });
    let (refused, told) = send(&refusing, &content(1000)).await;
    assert_eq!((refused.unwrap_err().notes[0].as_str(), told), ("413 Payload Too Large", 0));
}

#[tokio::test]
async fn an_upload_that_never_gets_on_is_given_up_and_says_which() {
    let cuts = &[(0, 9), (1, 9), (2, 9), (3, 9), (4, 9)];
    let server = server(cuts, |_| None);
    let content = content(1_000_000);
    let (refused, told) = send(&server, &content).await;
    let problem = refused.unwrap_err();
    assert_eq!((problem.code, told), (Code::Registry, 0));
    assert!(problem.title.contains(&server.address), "{problem:?}");
    let what = format!("it was to accept the blob `acme/web@{}`", Digest::of(&content));
    assert!(problem.notes.contains(&what), "{problem:?}");
    let lines = requests(&server);
    assert_eq!(lines.last().map(String::as_str), Some("DELETE"));
    assert_eq!(lines.iter().filter(|line| line.starts_with("PUT") || line.starts_with("PATCH")).count(), 5);
}

#[tokio::test]
async fn what_a_registry_took_for_something_else_is_not_there() {
    let lying = server(&[], |request| {
        let other = Digest::of(b"other").to_string();
        let answer = Answer::new("201 Created").header("Docker-Content-Digest", other);
        request.line.starts_with("PUT").then_some(answer)
    });
    let (refused, told) = send(&lying, b"content").await;
    let problem = refused.unwrap_err();
    assert_eq!((problem.code, told), (Code::DigestMismatch, 0));
    let from = format!("it came from `{}/acme/web`", lying.address);
    assert!(problem.notes.contains(&from), "{problem:?}");
}

#[tokio::test]
async fn a_registry_that_takes_a_blob_and_says_nothing_is_given_up() {
    let server = FakeServer::start(|request: &Received| match request.line.split(' ').next() {
        Some("POST") => Answer::new("202 Accepted").header("Location", "/upload"),
        Some("PUT") => {
            std::thread::sleep(Duration::from_secs(2));
            Answer::new("201 Created")
        }
        _ => Answer::new("404 Not Found"),
    });
    let quick = network(&[("HOIST_TEST_FIRST_WAIT", "1")]);
    let mut web = registry(&quick, &format!("{}/acme/web", server.address), &Access::default()).await;
    web.stalled = Duration::from_millis(500);
    let (_directory, images) = layout();
    let blob = images.write(media_type::LAYER, b"content").unwrap();
    let meter = Arc::new(Meter::silent());
    let problem = web.upload(&images, &Part::layer(&blob), &meter).await.unwrap_err();
    let asked = format!("it was to accept the blob `acme/web@{}`", blob.digest);
    assert_eq!(problem.title, format!("the registry `{}` does not answer", server.address));
    assert_eq!(problem.notes, ["nothing came for 0.5 s".to_owned(), asked]);
    assert_eq!(server.lines().iter().filter(|line| line.starts_with("PUT")).count(), 3);
}
