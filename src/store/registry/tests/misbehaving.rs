//! Against servers that are broken, busy, or hostile.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::diagnostic::Code;
use crate::oci::{Descriptor, Digest, MAX_DOCUMENT, media_type};
use crate::store::fixture::{Answer, FakeServer, Received, image};
use crate::store::whole::Part;
use crate::store::{Layout, copy};

/// Answers the first requests with these, in their order, all others with the last.
fn one_after_the_other(answers: Vec<Answer>) -> impl Fn(&Received) -> Answer + Send + 'static {
    let count = AtomicUsize::new(0);
    move |_| {
        let at = count.fetch_add(1, Ordering::SeqCst);
        answers[at.min(answers.len() - 1)].clone()
    }
}

fn manifest_answer(bytes: &[u8]) -> Answer {
    Answer::new("200 OK")
        .header("Content-Type", media_type::MANIFEST)
        .header("Docker-Content-Digest", Digest::of(bytes).to_string())
        .body(bytes)
}

#[tokio::test]
async fn a_registry_that_is_busy_is_asked_again_when_it_says() {
    let busy = Answer::new("429 Too Many Requests").header("Retry-After", "0");
    let broken = Answer::new("503 Service Unavailable").header("Retry-After", "0");
    let server = FakeServer::start(one_after_the_other(vec![busy, broken, manifest_answer(b"{}")]));
    let web = open(&format!("{}/acme/web", server.address)).await;
    assert_eq!(web.resolve("1").await, Ok(Some(Descriptor::of(media_type::MANIFEST, b"{}"))));
    assert_eq!(server.lines(), ["HEAD /v2/acme/web/manifests/1"; 3]);
}

#[tokio::test]
async fn a_registry_that_closes_the_first_connection_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/acme/web", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut begun = Vec::new();
        for at in 0..3 {
            let (mut connection, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            let _count = connection.read(&mut bytes).unwrap();
            begun.push(bytes[0]);
            if at == 2 {
                connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        }
        begun
    });
    let web = registry(&network(&[("HOIST_TEST_FIRST_WAIT", "1")]), &name, &Access::default()).await;
    assert_eq!(web.resolve("1").await, Ok(None));
    // The second says hello for TLS, which nobody there speaks.
    assert_eq!(server.join().unwrap(), [b'H', 0x16, b'H']);
}

#[tokio::test]
async fn a_registry_that_stays_broken_is_given_up_with_its_own_words() {
    let words = r#"{"errors": [{"code": "UNKNOWN", "message": "disk\u001b[1m full"}]}"#;
    let broken = Answer::new("500 Internal Server Error").header("Retry-After", "0").body(words);
    let server = FakeServer::start(move |_| broken.clone());
    let web = open(&format!("{}/acme/web", server.address)).await;
    let problem = web.check_push().await.unwrap_err();
    let title = format!("the registry `{}` did not let you write to `acme/web`", server.address);
    assert_eq!((problem.code, problem.title), (Code::Registry, title));
    assert_eq!(problem.notes, ["500 Internal Server Error", "UNKNOWN: disk [1m full"]);
    assert_eq!(server.lines().len(), 5);
}

#[tokio::test]
async fn an_upload_that_breaks_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    let images = Layout::create(directory.path()).unwrap();
    let top = image(&images, "linux/amd64", &vec![1; 600 << 10], &[]);
    let (broken, named) = (AtomicUsize::new(0), AtomicBool::new(false));
    let has = images.clone();
    let server = FakeServer::start(move |request: &Received| {
        let (method, target) = request.line.split_once(' ').unwrap();
        match method {
            "GET" | "HEAD" if named.load(Ordering::SeqCst) => handed_out(&has, request),
            "GET" | "HEAD" => Answer::new("404 Not Found"),
            "POST" => Answer::new("202 Accepted").header("Location", "/upload?session=a%2Fb"),
            "PUT" if target.starts_with("/upload") => {
                assert!(target.starts_with("/upload?session=a%2Fb&digest=sha256%3A"), "{target}");
                if broken.fetch_add(1, Ordering::SeqCst) == 0 {
                    return Answer::new("502 Bad Gateway").header("Retry-After", "0");
                }
                Answer::new("201 Created")
            }
            "PUT" => {
                named.store(true, Ordering::SeqCst);
                Answer::new("201 Created")
            }
            _ => Answer::new("202 Accepted"),
        }
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    let copied = copy(&local(&images), &top, &at(&web), quiet()).await.unwrap();
    assert_eq!(copied.sent, 2);
    let whole = |request: &Received| {
        let length = request.header("content-length").map(str::to_owned);
        request.line.starts_with("PUT /upload") && Some(request.body.len().to_string()) == length
    };
    assert_eq!(server.received().iter().filter(|request| whole(request)).count(), 3);
    let last = server.lines().into_iter().rfind(|line| line.starts_with("PUT"));
    assert_eq!(last.unwrap(), format!("PUT /v2/acme/web/manifests/{}", top.digest));
}

#[tokio::test]
async fn a_layer_that_is_damaged_here_is_not_sent_there() {
    let directory = tempfile::tempdir().unwrap();
    let images = Layout::create(directory.path()).unwrap();
    let top = image(&images, "linux/amd64", b"layer", &[]);
    std::fs::write(images.blob_path(&Digest::of(b"layer")), b"rotte").unwrap();
    let server = FakeServer::start(|request: &Received| match request.line.split(' ').next().unwrap() {
        "GET" | "HEAD" => Answer::new("404 Not Found"),
        "POST" => Answer::new("202 Accepted").header("Location", "/upload"),
        _ => Answer::new("201 Created"),
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    let problem = copy(&local(&images), &top, &at(&web), quiet()).await.unwrap_err();
    assert_eq!(problem.code, Code::DigestMismatch);
    assert!(!server.lines().iter().any(|line| line.contains("PUT /v2/acme/web/manifests")));
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let storage = FakeServer::start(|_| Answer::new("200 OK").body("content"));
    let elsewhere = format!("http://{}/content", storage.address.replace("127.0.0.1", "localhost"));
    let server = FakeServer::start(move |request: &Received| {
        if request.header("authorization").is_none() {
            return Answer::new("401 Unauthorized").header("WWW-Authenticate", "Basic realm=x");
        }
        Answer::new("307 Temporary Redirect").header("Location", elsewhere.clone())
    });
    let network = network(&[("PASSWORD", "s3cret")]);
    let web = registry(&network, &format!("{}/acme/web", server.address), &login("user")).await;
    let content = Descriptor::of("text/plain", b"content");
    assert_eq!(web.read(&content).await, Ok(b"content".to_vec()));
    let followed = storage.received();
    assert_eq!(followed.len(), 1);
    assert_eq!((followed[0].header("authorization"), followed[0].header("referer")), (None, None));
}

#[tokio::test]
async fn credentials_do_not_go_to_an_upload_at_another_host() {
    let directory = tempfile::tempdir().unwrap();
    let images = Layout::create(directory.path()).unwrap();
    let top = image(&images, "linux/amd64", b"layer", &[]);
    let storage = FakeServer::start(|_| Answer::new("201 Created"));
    let elsewhere = format!("http://{}/upload", storage.address);
    let (has, named) = (images.clone(), AtomicBool::new(false));
    let server = FakeServer::start(move |request: &Received| {
        if request.header("authorization").is_none() {
            return Answer::new("401 Unauthorized").header("WWW-Authenticate", "Basic realm=x");
        }
        match request.line.split(' ').next().unwrap() {
            "GET" | "HEAD" if named.load(Ordering::SeqCst) => handed_out(&has, request),
            "GET" | "HEAD" => Answer::new("404 Not Found"),
            "POST" => Answer::new("202 Accepted").header("Location", elsewhere.clone()),
            "PUT" => {
                named.store(true, Ordering::SeqCst);
                Answer::new("201 Created")
            }
            _ => Answer::new("202 Accepted"),
        }
    });
    let network = network(&[("PASSWORD", "s3cret")]);
    let web = registry(&network, &format!("{}/acme/web", server.address), &login("user")).await;
    copy(&local(&images), &top, &at(&web), quiet()).await.unwrap();
    let headers: Vec<_> =
        storage.received().iter().map(|request| request.header("authorization").is_some()).collect();
    assert_eq!(headers, [false, false]);
}

#[tokio::test]
async fn a_token_of_identity_is_exchanged_for_one_of_access() {
    let tokens = FakeServer::start(|_| Answer::new("200 OK").body(r#"{"access_token": "short"}"#));
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", tokens.address);
    let server = FakeServer::start(move |request: &Received| {
        if request.header("authorization") != Some("Bearer short") {
            return Answer::new("401 Unauthorized").header("WWW-Authenticate", challenge.clone());
        }
        manifest_answer(b"{}")
    });
    let docker = tempfile::tempdir().unwrap();
    let file = format!(r#"{{"auths": {{"{}": {{"identitytoken": "long & secret"}}}}}}"#, server.address);
    std::fs::write(docker.path().join("config.json"), file).unwrap();
    let network = network(&[("DOCKER_CONFIG", docker.path().to_str().unwrap())]);
    let web = registry(&network, &format!("{}/acme/web", server.address), &Access::default()).await;
    assert!(web.resolve("1").await.unwrap().is_some());
    let received = tokens.received();
    let body = String::from_utf8(received[0].body.clone()).unwrap();
    assert_eq!(received[0].line, "POST /token");
    assert_eq!(
        body,
        "service=s&grant_type=refresh_token&client_id=hoist&scope=repository%3Aacme%2Fweb%3Apull%2Cpush\
         &refresh_token=long+%26+secret"
    );
}

#[tokio::test]
async fn a_token_of_identity_does_not_follow_to_another_host() {
    let elsewhere = FakeServer::start(|_| Answer::new("200 OK").body(r#"{"access_token": "short"}"#));
    let location = format!("http://{}/token", elsewhere.address);
    let tokens = FakeServer::start(move |_| {
        Answer::new("307 Temporary Redirect").header("Location", location.clone())
    });
    let challenge = format!("Bearer realm=\"http://{}/token\"", tokens.address);
    let server = FakeServer::start(move |_| {
        Answer::new("401 Unauthorized").header("WWW-Authenticate", challenge.clone())
    });
    let docker = tempfile::tempdir().unwrap();
    let file = format!(r#"{{"auths": {{"{}": {{"identitytoken": "long"}}}}}}"#, server.address);
    std::fs::write(docker.path().join("config.json"), file).unwrap();
    let network = network(&[("DOCKER_CONFIG", docker.path().to_str().unwrap())]);
    let web = registry(&network, &format!("{}/acme/web", server.address), &Access::default()).await;
    let refused = web.resolve("1").await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthorized);
    assert_eq!((tokens.received().len(), elsewhere.received().len()), (1, 0));
}

#[tokio::test]
async fn what_a_registry_hands_out_is_checked_and_bounded() {
    let server = FakeServer::start(|request: &Received| {
        if request.line.contains("/blobs/") {
            return Answer::new("200 OK").body("something else");
        }
        let too_much = usize::try_from(MAX_DOCUMENT).unwrap() + 1;
        Answer::new("200 OK").header("Content-Type", media_type::MANIFEST).body(vec![b' '; too_much])
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    let blob = Descriptor::of("text/plain", b"content");
    assert_eq!(web.read(&blob).await.unwrap_err().code, Code::DigestMismatch);
    let manifest = Descriptor::of(media_type::MANIFEST, b"{}");
    assert_eq!(web.read(&manifest).await.unwrap_err().code, Code::Registry);
    // There is no digest in the answer to HEAD, so the content itself is asked for.
    assert_eq!(web.resolve("1").await.unwrap_err().code, Code::Registry);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_said_to_be() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let web = open(&format!("{gone}/acme/web")).await;
    let problem = web.resolve("1").await.unwrap_err();
    let title = format!("the registry `{gone}` cannot be reached");
    assert_eq!((problem.code, problem.title), (Code::Registry, title));
}

#[tokio::test]
async fn under_a_digest_there_is_that_content_or_none() {
    let server = FakeServer::start(|_| manifest_answer(b"{}"));
    let web = open(&format!("{}/acme/web", server.address)).await;
    let other = Digest::of(b"another").to_string();
    assert_eq!(web.resolve(&other).await.map_err(|problem| problem.code), Err(Code::DigestMismatch));
    let same = Digest::of(b"{}").to_string();
    assert_eq!(web.resolve(&same).await, Ok(Some(Descriptor::of(media_type::MANIFEST, b"{}"))));

    // One that says no digest with the head says it with the body.
    let server =
        FakeServer::start(|_| Answer::new("200 OK").header("Content-Type", media_type::MANIFEST).body("{}"));
    let web = open(&format!("{}/acme/web", server.address)).await;
    assert_eq!(web.resolve(&other).await.map_err(|problem| problem.code), Err(Code::DigestMismatch));
}

#[tokio::test]
async fn a_host_that_the_registry_leads_to_does_not_say_where_credentials_go() {
    let tokens = FakeServer::start(|_| Answer::new("200 OK").body(r#"{"token": "t"}"#));
    let challenge = format!("Bearer realm=\"http://{}/token\"", tokens.address);
    let storage = FakeServer::start(move |_| {
        Answer::new("401 Unauthorized").header("WWW-Authenticate", challenge.clone())
    });
    let elsewhere = format!("http://{}/content", storage.address);
    let server = FakeServer::start(move |_| {
        Answer::new("307 Temporary Redirect").header("Location", elsewhere.clone())
    });
    let network = network(&[("PASSWORD", "s3cret")]);
    let web = registry(&network, &format!("{}/acme/web", server.address), &login("user")).await;
    let content = Descriptor::of("text/plain", b"content");
    let code = |problem: crate::diagnostic::Problem| problem.code;
    assert_eq!(web.read(&content).await.map_err(code), Err(Code::Unauthorized));
    let directory = tempfile::tempdir().unwrap();
    let images = Layout::create(directory.path()).unwrap();
    let meter = Arc::new(crate::store::Meter::silent());
    assert_eq!(web.download(&content, &images, &meter).await.map_err(code), Err(Code::Unauthorized));
    assert_eq!((storage.lines().len(), tokens.lines().len()), (2, 0));
}

/// A registry that holds `layer` in every repository but `acme/other`, and answers
/// like this if it is to mount it.
fn without_mounts(mounted: Answer) -> FakeServer {
    FakeServer::start(move |request: &Received| {
        let (method, target) = request.line.split_once(' ').unwrap();
        match method {
            "HEAD" => Answer::new("404 Not Found"),
            "GET" => Answer::new("200 OK").body("layer"),
            "POST" if target.contains("mount=") => mounted.clone(),
            "POST" => Answer::new("202 Accepted").header("Location", "/upload"),
            _ => Answer::new("201 Created"),
        }
    })
}

/// Brings `layer` from `acme/web` to `acme/other`; the methods of all requests.
async fn beside(server: &FakeServer) -> Vec<String> {
    let network = network(&[]);
    let open = async |path: &str| {
        registry(&network, &format!("{}/{path}", server.address), &Access::default()).await
    };
    let (from, to) = (open("acme/web").await, open("acme/other").await);
    let layer = Descriptor::of(media_type::LAYER, b"layer");
    let meter = Arc::new(crate::store::Meter::silent());
    let brought = copy::bring(&at(&from), &Part::layer(&layer), &at(&to), &meter).await;
    assert_eq!(brought, Ok(crate::store::Delivery::Sent));
    server.lines().iter().map(|line| line.split_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn a_layer_whose_mount_is_refused_is_sent() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "405 Method Not Allowed"] {
        let server = without_mounts(Answer::new(status));
        assert_eq!(beside(&server).await, ["POST", "HEAD", "POST", "GET", "PUT"], "{status}");
    }
}

#[tokio::test]
async fn an_upload_that_begins_instead_of_a_mount_takes_the_layer() {
    let server = without_mounts(Answer::new("202 Accepted").header("Location", "/upload"));
    assert_eq!(beside(&server).await, ["POST", "HEAD", "GET", "PUT"]);
}

#[tokio::test]
async fn a_blob_that_passes_by_counts_only_if_it_is_what_its_digest_says() {
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let blob = Descriptor::of(media_type::LAYER, &bytes);
    // The first connection breaks, the second brings the rest.
    let whole = Answer::new("200 OK").body(bytes.clone());
    let rest = Answer::new("206 Partial Content")
        .header("Content-Range", format!("bytes 1000-{}/{}", bytes.len() - 1, bytes.len()))
        .body(&bytes[1000..]);
    let server = FakeServer::start(one_after_the_other(vec![whole.clone().cut(1000), rest]));
    let web = open(&format!("{}/acme/web", server.address)).await;
    let all = |blob: &mut dyn std::io::Read| {
        let mut read = Vec::new();
        blob.read_to_end(&mut read).unwrap();
        Ok(read)
    };
    assert_eq!(web.stream(&blob, all).await, Ok(bytes.clone()));

    // Another content of the same size, and none of which is read by the work.
    let mut other = bytes;
    other[70_000] ^= 1;
    let server = FakeServer::start(one_after_the_other(vec![Answer::new("200 OK").body(other)]));
    let web = open(&format!("{}/acme/web", server.address)).await;
    for problem in
        [web.stream(&blob, all).await.unwrap_err(), web.stream(&blob, |_| Ok(())).await.unwrap_err()]
    {
        assert_eq!(problem.code, Code::DigestMismatch);
    }
}

#[tokio::test]
async fn a_document_that_is_cut_is_asked_for_again() {
    let whole = manifest_answer(br#"{"schemaVersion": 2}"#);
    let server =
        FakeServer::start(one_after_the_other(vec![whole.clone().cut(5), whole.clone().cut(0), whole]));
    let network = network(&[("HOIST_TEST_FIRST_WAIT", "1")]);
    let web = registry(&network, &format!("{}/acme/web", server.address), &Access::default()).await;
    let expected = Descriptor::of(media_type::MANIFEST, br#"{"schemaVersion": 2}"#);
    assert_eq!(web.read(&expected).await, Ok(br#"{"schemaVersion": 2}"#.to_vec()));
    assert_eq!(server.lines().len(), 3);
}
