//! What refers to an image, at registries that list it and at those that do not.

use std::collections::HashMap;
use std::sync::Mutex;

use super::*;
use crate::diagnostic::Code;
use crate::oci::{Descriptor, Digest, Index, Manifest, Written, media_type};
use crate::store::attach;
use crate::store::fixture::{Answer, DockerRegistry, FakeServer, Received, image};

const SIGNATURE: &str = "application/vnd.example.signature";

/// A manifest in a layout that refers to another.
fn referrer(layout: &Layout, subject: &Descriptor, kind: &str, content: &[u8]) -> Descriptor {
    let config = layout.write("application/vnd.oci.empty.v1+json", b"{}").unwrap();
    let layer = layout.write("text/plain", content).unwrap();
    let mut manifest = Manifest::new(config, vec![layer]);
    manifest.artifact_type = Some(kind.to_owned());
    manifest.subject = Some(Descriptor { platform: None, ..subject.clone() });
    manifest.annotations.insert("a".to_owned(), "b".to_owned());
    layout.write(media_type::MANIFEST, &manifest.to_bytes()).unwrap()
}

/// Attaches two manifests to an image, each twice, and looks for them.
async fn attached(place: &Repository) {
    let (_directory, images) = layout();
    let top = image(&images, "linux/amd64", b"layer", &[]);
    let one = referrer(&images, &top, SIGNATURE, b"1");
    let two = referrer(&images, &top, "application/vnd.example.other", b"2");
    assert_eq!(place.referrers(&top.digest, None).await, Ok(vec![]));
    for one in [&one, &two, &one] {
        attach(&local(&images), one, place).await.unwrap();
    }
    let digests = async |kind: Option<&str>| {
        let found = place.referrers(&top.digest, kind).await.unwrap();
        found.iter().map(|entry| entry.digest).collect::<Vec<_>>()
    };
    assert_eq!(digests(None).await, [one.digest, two.digest]);
    assert_eq!(digests(Some(SIGNATURE)).await, [one.digest]);
    assert_eq!(digests(Some("text/plain")).await, []);
    let entry = place.referrers(&top.digest, Some(SIGNATURE)).await.unwrap().remove(0);
    assert_eq!((entry.annotations["a"].as_str(), entry.size), ("b", one.size));
    let read = Manifest::parse(&place.read(&entry).await.unwrap()).unwrap();
    assert!(place.has(&read.layers[0]).await.unwrap());
    assert_eq!(place.referrers(&one.digest, None).await, Ok(vec![]));
}

#[tokio::test]
async fn a_layout_lists_what_refers_to_an_image_and_still_has_one_image() {
    let (_directory, there) = layout();
    attached(&local(&there)).await;
    let (_images, images) = layout();
    let top = image(&images, "linux/amd64", b"layer", &[]);
    images.list(&top).unwrap();
    let signature = referrer(&images, &top, SIGNATURE, b"1");
    attach(&local(&images), &signature, &local(&images)).await.unwrap();
    assert_eq!(images.only().map(|only| only.digest), Ok(top.digest));

    // As regclient writes it.
    let (_other, other) = layout();
    let signature = referrer(&other, &top, SIGNATURE, b"1");
    let mut entry = signature.clone();
    entry.unknown.insert("artifactType".to_owned(), Written::of(SIGNATURE));
    let list = other.write(media_type::INDEX, &Index::new(vec![entry.clone()]).to_bytes()).unwrap();
    other.set_ref(&format!("sha256-{}", top.digest.hex()), &list).unwrap();
    assert_eq!(other.referrers(&top.digest, Some(SIGNATURE)), Ok(vec![entry]));
}

#[tokio::test]
async fn where_the_registry_lists_nothing_a_tag_does() {
    let test = "where_the_registry_lists_nothing_a_tag_does";
    let Some(server) = DockerRegistry::start(test, "", "") else { return };
    let web = at(&open(&format!("{}/acme/web", server.address)).await);
    attached(&web).await;
    let tags = web.tags().await.unwrap();
    assert!(tags.len() == 1 && tags[0].starts_with("sha256-"), "{tags:?}");
}

#[tokio::test]
async fn several_at_once_are_all_listed_under_the_tag() {
    let test = "several_at_once_are_all_listed_under_the_tag";
    let Some(server) = DockerRegistry::start(test, "", "") else { return };
    let web = at(&open(&format!("{}/acme/web", server.address)).await);
    let (_directory, images) = layout();
    let top = image(&images, "linux/amd64", b"layer", &[]);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8u8 {
        let one = referrer(&images, &top, SIGNATURE, &[number]);
        let (images, web) = (images.clone(), web.clone());
        tasks.spawn(async move { attach(&local(&images), &one, &web).await });
    }
    assert!(tasks.join_all().await.into_iter().all(|ended| ended.is_ok()));
    assert_eq!(web.referrers(&top.digest, None).await.map(|found| found.len()), Ok(8));
}

/// Stands in for a registry that lists referrers itself, two on a page, and filters
/// nothing.
fn that_lists() -> FakeServer {
    let stored: Mutex<HashMap<String, Vec<u8>>> = Mutex::default();
    let listed: Mutex<Vec<Descriptor>> = Mutex::default();
    FakeServer::start(move |request: &Received| {
        let (method, target) = request.line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let name = path.rsplit('/').next().unwrap().to_owned();
        if path.contains("/referrers/") {
            let all = listed.lock().unwrap();
            let from = usize::from(query.contains("page=2"));
            let page = Index::new(all.iter().skip(from).take(1).cloned().collect());
            let answer =
                Answer::new("200 OK").header("Content-Type", media_type::INDEX).body(page.to_bytes());
            let more = from == 0 && all.len() > 1;
            return if more { answer.header("Link", "<?page=2>; rel=\"next\"") } else { answer };
        }
        match method {
            "HEAD" | "GET" => match stored.lock().unwrap().get(&name) {
                Some(bytes) => Answer::new("200 OK").body(bytes.clone()),
                None => Answer::new("404 Not Found"),
            },
            "POST" => Answer::new("202 Accepted").header("Location", "/upload"),
            _ if path == "/upload" => {
                let digest = Digest::of(&request.body).to_string();
                stored.lock().unwrap().insert(digest, request.body.clone());
                Answer::new("201 Created")
            }
            _ => {
                let manifest = Manifest::parse(&request.body).unwrap();
                let mut entry = Descriptor::of(media_type::MANIFEST, &request.body);
                entry.unknown.insert("artifactType".to_owned(), Written::of(&manifest.artifact_type));
                entry.annotations = manifest.annotations;
                let mut all = listed.lock().unwrap();
                if all.iter().all(|known| known.digest != entry.digest) {
                    all.push(entry);
                }
                stored.lock().unwrap().insert(name, request.body.clone());
                let subject = manifest.subject.unwrap().digest.to_string();
                Answer::new("201 Created").header("OCI-Subject", subject)
            }
        }
    })
}

#[tokio::test]
async fn a_registry_that_says_so_lists_by_itself() {
    let server = that_lists();
    let web = open(&format!("{}/acme/web", server.address)).await;
    let (_directory, images) = layout();
    let top = image(&images, "linux/amd64", b"layer", &[]);
    let one = referrer(&images, &top, SIGNATURE, b"1");
    let two = referrer(&images, &top, "application/vnd.example.other", b"2");
    for one in [&one, &two, &one] {
        attach(&local(&images), one, &at(&web)).await.unwrap();
    }
    let found = web.referrers(&top.digest, None).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.digest).collect::<Vec<_>>(), [one.digest, two.digest]);
    let found = web.referrers(&top.digest, Some(SIGNATURE)).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.digest).collect::<Vec<_>>(), [one.digest]);
    let lines = server.lines();
    assert!(!lines.iter().any(|line| line.contains("sha256-")), "no fallback tag: {lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("?artifactType=application%2Fvnd.example.signature")));
}

#[tokio::test]
async fn a_list_that_cannot_be_had_is_not_an_empty_one() {
    for status in ["429 Too Many Requests", "403 Forbidden", "500 Internal Server Error"] {
        let server = FakeServer::start(move |_| Answer::new(status).header("Retry-After", "0"));
        let web = open(&format!("{}/acme/web", server.address)).await;
        let problem = web.referrers(&Digest::of(b"x"), None).await.unwrap_err();
        assert_eq!(problem.notes[0], status);
    }
    let server = FakeServer::start(|request: &Received| {
        if request.line.contains("/referrers/") {
            return Answer::new("404 Not Found");
        }
        Answer::new("200 OK").header("Content-Type", media_type::MANIFEST).body("{}")
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    let problem = web.referrers(&Digest::of(b"x"), None).await.unwrap_err();
    assert!(
        problem.code == Code::Registry && problem.title.contains("does not list referrers"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn what_is_written_last_to_a_list_is_read_too() {
    let list: Mutex<(usize, Option<Vec<u8>>)> = Mutex::default();
    let server = FakeServer::start(move |request: &Received| {
        let mut list = list.lock().unwrap();
        let is_list = request.line.contains("/manifests/sha256-");
        match &mut *list {
            // Somebody else writes it in the same moment, four times.
            (writes, stored) if request.line.starts_with("PUT") && is_list => {
                *writes += 1;
                *stored = (*writes > 4).then(|| request.body.clone());
                Answer::new("201 Created")
            }
            (_, Some(stored)) if is_list => {
                Answer::new("200 OK").header("Content-Type", media_type::INDEX).body(stored.clone())
            }
            _ if request.line.starts_with("PUT") => Answer::new("201 Created"),
            _ => Answer::new("404 Not Found"),
        }
    });
    let quick = network(&[("HOIST_TEST_FIRST_WAIT", "1")]);
    let web = registry(&quick, &format!("{}/acme/web", server.address), &Access::default()).await;
    let (subject, entry) = (Digest::of(b"subject"), Descriptor::of(media_type::MANIFEST, b"{}"));
    assert_eq!(web.put_referrer(&subject, &entry, b"{}").await, Ok(()));
}
