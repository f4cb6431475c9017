//! Content on its way here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, media_type};
use crate::store::fixture::{Answer, DockerRegistry, FakeServer, Received, image, index};
use crate::store::{Copied, copy};

/// Fetches a blob that is `content` from a server that answers like this, and says
/// what became of it, and which ranges were asked for.
async fn fetch(
    content: &[u8],
    answer: impl Fn(usize, Option<u64>) -> Answer + Send + 'static,
) -> (Result<Vec<u8>, Problem>, Vec<Option<String>>) {
    let count = AtomicUsize::new(0);
    let server = FakeServer::start(move |request: &Received| {
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
        let from = range.and_then(|range| range.strip_suffix('-')?.parse().ok());
        answer(count.fetch_add(1, Ordering::SeqCst), from)
    });
    let (_directory, layout) = layout();
    let web = open(&format!("{}/acme/web", server.address)).await;
    let blob = Descriptor::of(media_type::LAYER, content);
    let web = at(&web);
    let Repository::Registry(registry) = &web else { unreachable!() };
    let meter = Arc::new(crate::store::Meter::silent());
    let result = registry.download(&blob, &layout, &meter).await;
    let unfinished = std::fs::read_dir(layout.path()).unwrap().count();
    assert_eq!(unfinished, 3, "nothing is left of what was not finished");
    let result = result.map(|_| std::fs::read(layout.blob_path(&blob.digest)).unwrap());
    if result.is_err() {
        assert!(!layout.has(&blob.digest));
    }
    let ranges = server.received().iter().map(|one| one.header("range").map(str::to_owned)).collect();
    (result, ranges)
}

/// The rest of a content, as a registry that knows ranges sends it.
fn rest(content: &[u8], from: Option<u64>) -> Answer {
    let Some(from) = from else { return Answer::new("200 OK").body(content) };
    let rest = &content[usize::try_from(from).unwrap()..];
    let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
    Answer::new("206 Partial Content").header("Content-Range", range).body(rest)
}

#[tokio::test]
async fn a_download_that_is_cut_goes_on_where_it_was() {
    let content = "0123456789".repeat(100_000).into_bytes();
    let sent = content.clone();
    let (result, ranges) = fetch(&content, move |count, from| {
        let answer = rest(&sent, from);
        if count < 3 { answer.cut(300_000) } else { answer }
    })
    .await;
    assert_eq!(result, Ok(content));
    assert_eq!(ranges.len(), 4);
    assert_eq!(ranges[0], None);
    assert!(ranges[3].as_ref().is_some_and(|range| range.ends_with('-')), "{ranges:?}");
}

#[tokio::test]
async fn a_server_without_ranges_sends_all_of_it_again() {
    let content = "0123456789".repeat(100_000).into_bytes();
    let sent = content.clone();
    let (result, ranges) = fetch(&content, move |count, _| {
        let answer = Answer::new("200 OK").body(sent.clone());
        if count == 0 { answer.cut(300_000) } else { answer }
    })
    .await;
    assert_eq!(result, Ok(content));
    assert_eq!(ranges.len(), 2);
}

#[tokio::test]
async fn what_is_longer_shorter_or_other_than_its_digest_says_is_refused() {
    let code = |result: Result<Vec<u8>, Problem>| result.map_err(|problem| problem.code);
    let (longer, _) = fetch(b"content", |_, _| Answer::new("200 OK").body("content and more")).await;
    assert_eq!(code(longer), Err(Code::Registry));
    let (other, asked) = fetch(b"content", |_, _| Answer::new("200 OK").body("CONTENT")).await;
    assert_eq!((code(other), asked.len()), (Err(Code::DigestMismatch), 1));
    let begun = Instant::now();
    let (shorter, asked) = fetch(b"content", |_, _| Answer::new("200 OK").body("cont")).await;
    assert_eq!((code(shorter), asked.len()), (Err(Code::Registry), 5));
    assert!(begun.elapsed() > Duration::from_secs(3), "each time it waits longer");
    let (elsewhere, _) = fetch(b"content", |_, from| match from {
        None => Answer::new("200 OK").body("content").cut(4),
        Some(_) => Answer::new("206 Partial Content").header("Content-Range", "bytes 0-6/7").body("content"),
    })
    .await;
    assert_eq!(code(elsewhere), Err(Code::Registry));
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_said_to_be_missing() {
    let (result, asked) = fetch(b"content", |_, _| Answer::new("404 Not Found")).await;
    assert_eq!((result.map_err(|problem| problem.code), asked.len()), (Err(Code::NotFound), 1));
}

#[tokio::test]
async fn an_image_comes_here_and_goes_from_registry_to_registry() {
    let test = "an_image_comes_here_and_goes_from_registry_to_registry";
    let Some(one) = DockerRegistry::start(test, "", "") else { return };
    let Some(two) = DockerRegistry::start(test, "", "") else { return };
    let (_images, images) = layout();
    let manifests = ["linux/amd64", "linux/arm64"].map(|platform| image(&images, platform, b"layer", &[]));
    let top = index(&images, manifests.to_vec());
    let network = network(&[]);
    let open = async |address: &str, path: &str| {
        at(&registry(&network, &format!("{address}/{path}"), &Access::default()).await)
    };
    let source = open(&one.address, "acme/web").await;
    copy(&local(&images), &top, &source, quiet()).await.unwrap();

    let (_here, here) = layout();
    let copied = copy(&source, &top, &local(&here), quiet()).await.unwrap();
    assert_eq!((copied.sent, copied.present), (3, 0));
    assert_eq!(here.read(&top), images.read(&top));
    let again = copy(&source, &top, &local(&here), quiet()).await.unwrap();
    assert_eq!(again, Copied { present: 3, ..Copied::default() });

    let beside = copy(&source, &top, &open(&one.address, "acme/other").await, quiet()).await.unwrap();
    assert_eq!(beside, Copied { mounted: 3, ..Copied::default() });
    let there = open(&two.address, "acme/web").await;
    let copied = copy(&source, &top, &there, quiet()).await.unwrap();
    assert_eq!((copied.sent, copied.mounted), (3, 0));
    assert_eq!(there.resolve(&top.digest.to_string()).await.unwrap().unwrap().digest, top.digest);
}

#[tokio::test]
async fn an_index_comes_behind_those_that_it_names() {
    let test = "an_index_comes_behind_those_that_it_names";
    let Some(one) = DockerRegistry::start(test, "", "") else { return };
    let (_images, images) = layout();
    let [amd, arm] = ["linux/amd64", "linux/arm64"].map(|platform| image(&images, platform, b"layer", &[]));
    let inner = index(&images, vec![amd.clone()]);
    let outer = index(&images, vec![arm, inner.clone()]);
    // It names both, the one that waits for the other first.
    let top = index(&images, vec![outer, inner, amd]);
    let there = format!("{}/acme/web", one.address);
    let there = at(&registry(&network(&[]), &there, &Access::default()).await);
    copy(&local(&images), &top, &there, quiet()).await.unwrap();
    assert_eq!(there.read(&top).await.unwrap(), images.read(&top).unwrap());
}

#[tokio::test]
async fn how_a_connection_ends_behind_the_last_byte_does_not_matter() {
    let (result, ranges) =
        fetch(b"content", |_, _| Answer::new("200 OK").body("content and more").cut(7)).await;
    assert_eq!((result, ranges.len()), (Ok(b"content".to_vec()), 1));
    let (nothing, ranges) = fetch(b"", |_, _| Answer::new("200 OK")).await;
    assert_eq!((nothing, ranges.len()), (Ok(Vec::new()), 1));
}

#[tokio::test]
async fn a_server_that_accepts_and_does_not_answer_is_asked_again() {
    let count = AtomicUsize::new(0);
    let server = FakeServer::start(move |_: &Received| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_secs(3));
        }
        Answer::new("200 OK").body("content")
    });
    let (_directory, layout) = layout();
    let mut registry = open(&format!("{}/acme/web", server.address)).await;
    registry.stalled = Duration::from_secs(1);
    let blob = Descriptor::of(media_type::LAYER, b"content");
    let meter = Arc::new(crate::store::Meter::silent());
    assert_eq!(registry.download(&blob, &layout, &meter).await, Ok(crate::store::Delivery::Sent));
    assert!(layout.holds(&blob) && server.lines().len() > 1);
}
