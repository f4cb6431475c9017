//! Images of which a registry lost a part, or has something else.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;

use super::*;
use crate::diagnostic::Code;
use crate::oci::Descriptor;
use crate::store::fixture::{DockerRegistry, FakeServer, image, index};
use crate::store::registry::connection::Call;
use crate::store::{Copied, copy};

#[tokio::test]
async fn what_a_registry_lost_of_an_image_is_sent_again() {
    let test = "what_a_registry_lost_of_an_image_is_sent_again";
    let Some(server) = DockerRegistry::start_with(test, "", "", "delete: {enabled: true}") else { return };
    let (_directory, images) = layout();
    let amd64 = image(&images, "linux/amd64", b"one", &[]);
    let arm64 = image(&images, "linux/arm64", b"two", &[]);
    let top = index(&images, vec![amd64.clone(), arm64]);
    let web = open(&format!("{}/acme/web", server.address)).await;
    let bring = async || copy(&local(&images), &top, &at(&web), quiet()).await.unwrap();
    assert_eq!(bring().await.sent, 4);

    let layer = Descriptor::of("", b"two");
    let url = web.connection.url(&format!("acme/web/blobs/{}", layer.digest)).unwrap();
    web.connection.send(&Call::new(Method::DELETE, url, web.scopes())).await.unwrap();
    web.delete(&amd64.digest.to_string()).await.unwrap();
    assert_eq!(
        (web.has(&layer).await, web.has(&amd64).await, web.has(&top).await),
        (Ok(false), Ok(false), Ok(true))
    );

    assert_eq!(bring().await, Copied { sent: 1, sent_bytes: 3, present: 3, ..Copied::default() });
    assert_eq!((web.has(&layer).await, web.has(&amd64).await), (Ok(true), Ok(true)));
    assert_eq!(bring().await, Copied { present: 4, ..Copied::default() });
}

/// Stands in for a registry that has all that a layout has, and takes all that it is given;
/// instead of the content of one digest it has another.
fn having(images: &Layout, digest: String, instead: &'static [u8]) -> FakeServer {
    let images = images.clone();
    FakeServer::start(move |request: &Received| {
        let asked = request.line.rsplit('/').next().unwrap();
        if asked == digest {
            return Answer::new("200 OK").body(instead);
        }
        handed_out(&images, request)
    })
}

#[tokio::test]
async fn an_image_of_which_a_registry_has_something_else_is_not_there() {
    let (_directory, images) = layout();
    let amd64 = image(&images, "linux/amd64", b"layer", &[]);
    let top = index(&images, vec![amd64.clone()]);
    let manifest = crate::oci::Manifest::parse(&images.read(&amd64).unwrap()).unwrap();
    let instead = |one: &Descriptor, bytes| having(&images, one.digest.to_string(), bytes);
    let bring = async |server: &FakeServer| {
        let web = open(&format!("{}/acme/web", server.address)).await;
        copy(&local(&images), &top, &at(&web), quiet()).await
    };

    let as_it_is = instead(&manifest.layers[0], b"layer");
    assert_eq!(bring(&as_it_is).await, Ok(Copied { present: 2, ..Copied::default() }));
    // All of it is looked for, once.
    let mut asked: Vec<_> = as_it_is.lines().iter().map(|line| line[..4].to_owned()).collect();
    asked.sort();
    assert_eq!(asked, ["GET ", "GET ", "GET ", "HEAD"]);

    for (part, said) in [
        (&top, "is something else"),
        (&amd64, "is something else"),
        (&manifest.config, "is something else"),
        (&manifest.layers[0], "is there with another size"),
    ] {
        let server = instead(part, b"garbage");
        let problem = bring(&server).await.unwrap_err();
        assert_eq!(problem.code, Code::DigestMismatch, "{problem:?}");
        assert!(
            problem.title.contains(&part.digest.to_string()) && problem.title.ends_with(said),
            "{problem:?}"
        );
        let place = format!("`{}/acme/web`", server.address);
        assert!(problem.notes.iter().any(|note| note.contains(&place)), "{problem:?}");
    }
}

#[tokio::test]
async fn of_an_image_that_is_sent_each_part_is_looked_for_before_and_after_and_no_more() {
    let (_directory, images) = layout();
    let top = image(&images, "linux/amd64", b"layer", &[]);
    let (has, named) = (images.clone(), AtomicBool::new(false));
    let server = FakeServer::start(move |request: &Received| match request.line.split(' ').next().unwrap() {
        "GET" | "HEAD" if named.load(Ordering::SeqCst) => handed_out(&has, request),
        "GET" | "HEAD" => Answer::new("404 Not Found"),
        "POST" => Answer::new("202 Accepted").header("Location", "/upload"),
        _ => {
            named.store(request.line.starts_with("PUT"), Ordering::SeqCst);
            Answer::new("201 Created")
        }
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    assert_eq!(copy(&local(&images), &top, &at(&web), quiet()).await.unwrap().sent, 2);
    let mut asked: Vec<_> = server
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("GET ") || line.starts_with("HEAD "))
        .collect();
    asked.sort();
    let once: Vec<_> = asked.chunks(2).map(|pair| pair[0].clone()).collect();
    assert_eq!(once.len(), 3, "{asked:?}");
    assert!(asked.chunks(2).all(|pair| pair[0] == pair[pair.len() - 1] && pair.len() == 2), "{asked:?}");
}
