//! Lists of names, and deletion.

use super::*;
use crate::diagnostic::Code;
use crate::store::fixture::{Answer, DockerRegistry, FakeServer, Received, image};
use crate::store::{Deletion, copy};

#[tokio::test]
async fn a_list_of_tags_is_read_page_by_page_from_one_host() {
    let server = FakeServer::start(|request: &Received| match request.line.as_str() {
        "GET /v2/acme/web/tags/list?n=1000" => Answer::new("200 OK")
            .header("Link", "</v2/acme/web/tags/list?last=b&n=1000>; rel=\"next\"")
            .body(r#"{"name": "acme/web", "tags": ["a", "b"]}"#),
        "GET /v2/acme/web/tags/list?last=b&n=1000" => Answer::new("200 OK")
            .header("Link", "<https://other.example/v2/acme/web/tags/list?last=c>; rel=\"next\"")
            .body(r#"{"tags": ["c"]}"#),
        "GET /v2/acme/web/tags/list?last=c" => {
            Answer::new("200 OK").header("Link", "<http://[>; rel=\"next\"").body(r#"{"tags": ["d"]}"#)
        }
        other => panic!("{other}"),
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    // A list that goes on somewhere is never taken for a whole one.
    let problem = web.tags().await.unwrap_err();
    assert!(problem.notes[0].starts_with("the address of its next page: "), "{problem:?}");
    assert_eq!(server.lines().len(), 3);
}

/// A page of a thousand tags from a number on.
fn thousand(first: usize) -> Answer {
    let tags: Vec<String> = (first..first + 1000).map(|number| format!("{number:05}")).collect();
    Answer::new("200 OK").body(serde_json::json!({ "tags": tags }).to_string())
}

#[tokio::test]
async fn full_pages_without_a_link_are_followed_by_the_last_name() {
    let server = FakeServer::start(|request: &Received| match request.line.as_str() {
        "GET /v2/acme/web/tags/list?n=1000" => thousand(0),
        "GET /v2/acme/web/tags/list?n=1000&last=00999" => thousand(1000),
        "GET /v2/acme/web/tags/list?n=1000&last=01999" => Answer::new("200 OK").body(r#"{"tags": null}"#),
        other => panic!("{other}"),
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    let tags = web.tags().await.unwrap();
    assert_eq!((tags.len(), tags.last().map(String::as_str)), (2000, Some("01999")));

    // One that knows no pages says all at once, whatever it is asked.
    let server = FakeServer::start(|_| thousand(0));
    let web = open(&format!("{}/acme/web", server.address)).await;
    assert_eq!(web.tags().await.map(|tags| tags.len()), Ok(1000));
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_list_that_never_ends_or_breaks_off_is_an_error() {
    let server = FakeServer::start(|_| {
        Answer::new("200 OK").header("Link", "<?again>; rel=next").body(r#"{"tags": ["a"]}"#)
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    let problem = web.tags().await.unwrap_err();
    assert_eq!(problem.notes[0], "its list has no end");
    let server = FakeServer::start(|request: &Received| {
        if request.line.contains("last") {
            return Answer::new("404 Not Found");
        }
        Answer::new("200 OK").header("Link", "<?last=a>; rel=next").body(r#"{"tags": ["a"]}"#)
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    assert_eq!(web.tags().await.unwrap_err().notes[0], "a page of its list is missing");
}

#[tokio::test]
async fn names_are_listed_and_deleted_at_a_real_registry() {
    let test = "names_are_listed_and_deleted_at_a_real_registry";
    let Some(server) = DockerRegistry::start_with(test, "", "", "delete: {enabled: true}") else { return };
    let (_directory, images) = layout();
    let network = network(&[]);
    let top = image(&images, "linux/amd64", b"layer", &[]);
    for path in ["acme/a", "acme/b"] {
        let name = format!("{}/{path}", server.address);
        let web = registry(&network, &name, &Access::default()).await;
        copy(&local(&images), &top, &at(&web), quiet()).await.unwrap();
        let bytes = images.read(&top).unwrap();
        for tag in ["1", "2"] {
            web.put(tag, &top, &bytes).await.unwrap();
        }
    }
    let a = at(&registry(&network, &format!("{}/acme/a", server.address), &Access::default()).await);
    let Repository::Registry(web) = &a else { unreachable!() };
    assert_eq!(web.repositories().await, Ok(vec!["acme/a".to_owned(), "acme/b".to_owned()]));
    let mut tags = a.tags().await.unwrap();
    tags.sort();
    assert_eq!(tags, ["1", "2"]);
    // It knows deletion by digest only.
    let Deletion::NotAllowed(problem) = a.delete("1").await.unwrap() else { panic!("it is gone") };
    assert!(problem.help.is_some_and(|help| help.starts_with("delete by the digest")));
    assert_eq!(a.tags().await.map(|tags| tags.len()), Ok(2));
    assert_eq!(a.delete(&top.digest.to_string()).await, Ok(Deletion::Done));
    assert_eq!(a.resolve("2").await, Ok(None));
    assert_eq!(a.delete(&top.digest.to_string()).await, Ok(Deletion::Absent));
}

#[tokio::test]
async fn a_tag_is_deleted_where_that_is_allowed() {
    let server = FakeServer::start(|request: &Received| match request.line.as_str() {
        "DELETE /v2/acme/web/manifests/1" => Answer::new("202 Accepted"),
        _ => Answer::new("404 Not Found"),
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    assert_eq!((web.delete("1").await, web.delete("2").await), (Ok(Deletion::Done), Ok(Deletion::Absent)));
}

#[tokio::test]
async fn a_registry_that_allows_no_deletion_is_said_not_to() {
    let test = "a_registry_that_allows_no_deletion_is_said_not_to";
    let Some(server) = DockerRegistry::start(test, "", "") else { return };
    let web = open(&format!("{}/acme/web", server.address)).await;
    let answer = web.delete(&crate::oci::Digest::of(b"x").to_string()).await;
    let Ok(Deletion::NotAllowed(problem)) = answer else { panic!("{answer:?}") };
    assert!(problem.title.contains("does not allow deletion of `acme/web@sha256:"), "{problem:?}");
    assert_eq!((problem.code, problem.notes[0].as_str()), (Code::Registry, "405 Method Not Allowed"));

    for (status, code, words) in [
        ("400 Bad Request", Code::Registry, "does not allow deletion of `acme/web:1`"),
        ("403 Forbidden", Code::Unauthorized, "did not delete `acme/web:1`"),
    ] {
        let server = FakeServer::start(move |_| Answer::new(status));
        let web = open(&format!("{}/acme/web", server.address)).await;
        let problem = match web.delete("1").await {
            Ok(Deletion::NotAllowed(problem)) | Err(problem) => problem,
            Ok(other) => panic!("{other:?}"),
        };
        assert!(problem.code == code && problem.title.contains(words), "{problem:?}");
    }
}

#[tokio::test]
async fn the_next_page_may_be_in_any_link_of_any_header() {
    let server = FakeServer::start(|request: &Received| {
        let answer = Answer::new("200 OK");
        if request.line.contains("last=a") {
            return answer.body(r#"{"tags": ["b"]}"#);
        }
        let answer = answer.header("Link", "</help>; rel=\"help\"");
        let several = "</first>; rel=first, </v2/acme/web/tags/list?last=a>; title=\"x\"; rel=\"next\", </x>";
        answer.header("Link", several).body(r#"{"tags": ["a"]}"#)
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    assert_eq!(web.tags().await, Ok(vec!["a".to_owned(), "b".to_owned()]));
}
