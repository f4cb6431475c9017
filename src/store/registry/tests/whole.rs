//! Images of which a registry lost a part, or has something else.

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
    // The image is looked for, and then all of it, once.
    let mut asked: Vec<_> = as_it_is.lines().iter().map(|line| line[..4].to_owned()).collect();
    asked[1..].sort();
    assert_eq!(asked, ["HEAD", "GET ", "GET ", "GET ", "HEAD"]);

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
