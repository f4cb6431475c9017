//! Against the registry of Docker; left out where it is not installed.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::process::Command;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::diagnostic::Code;
use crate::oci::Digest;
use crate::store::fixture::{Answer, DockerRegistry, FakeServer, Received, image, index, openssl, program};
use crate::store::{Copied, Progress, copy};

/// `user` with the password `s3cret`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

#[tokio::test]
async fn an_index_arrives_whole_and_is_not_sent_twice() {
    let test = "an_index_arrives_whole_and_is_not_sent_twice";
    let Some(server) = DockerRegistry::start(test, "", "") else { return };
    let (_directory, images) = layout();
    let large = vec![7; 3 << 20];
    let amd64 = image(&images, "linux/amd64", &large, &[]);
    let arm64 = image(&images, "linux/arm64", b"small", &[]);
    let top = index(&images, vec![amd64.clone(), arm64]);
    let web = open(&format!("{}/acme/web", server.address)).await;

    let seen = Arc::new(Mutex::new(Progress::default()));
    let last = Arc::clone(&seen);
    let observe: Observe = Arc::new(move |progress| *last.lock().unwrap() = progress);
    let copied = copy(&local(&images), &top, &at(&web), observe).await.unwrap();
    assert_eq!((copied.sent, copied.present), (4, 0));
    let progress = *seen.lock().unwrap();
    assert_eq!((progress.done, progress.total), (copied.sent_bytes, copied.sent_bytes));

    assert_eq!(web.tags().await, Ok(vec![]));
    let bytes = web.read(&top).await.unwrap();
    web.put("1.0", &top, &bytes).await.unwrap();
    assert_eq!(web.resolve("1.0").await, Ok(Some(top.clone())));
    assert_eq!(web.resolve(&top.digest.to_string()).await, Ok(Some(top.clone())));
    assert_eq!(web.resolve("2.0").await, Ok(None));
    assert_eq!(web.tags().await, Ok(vec!["1.0".to_owned()]));
    assert_eq!(web.read(&amd64).await.map(|bytes| Digest::of(&bytes)), Ok(amd64.digest));

    let again = copy(&local(&images), &top, &at(&web), quiet()).await.unwrap();
    assert_eq!(again, Copied { present: 4, ..Copied::default() });
}

#[tokio::test]
async fn a_blob_of_another_repository_is_mounted() {
    let test = "a_blob_of_another_repository_is_mounted";
    let Some(server) = DockerRegistry::start(test, "", "") else { return };
    let (_directory, images) = layout();
    let one = image(&images, "linux/amd64", b"shared", &[]);
    let two = image(&images, "linux/amd64", b"shared", &[("a", "b")]);
    let network = network(&[]);
    let open = async |path: &str| {
        at(&registry(&network, &format!("{}/{path}", server.address), &Access::default()).await)
    };
    copy(&local(&images), &one, &open("acme/one").await, quiet()).await.unwrap();
    let copied = copy(&local(&images), &two, &open("acme/two").await, quiet()).await.unwrap();
    assert_eq!((copied.mounted, copied.sent), (1, 1));
}

#[tokio::test]
async fn a_password_is_asked_for_and_given() {
    let test = "a_password_is_asked_for_and_given";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("htpasswd");
    std::fs::write(&file, HTPASSWD).unwrap();
    let settings = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}", file.display());
    let Some(server) = DockerRegistry::start(test, "", &settings) else { return };
    let name = format!("{}/acme/web", server.address);

    let right = registry(&network(&[("PASSWORD", "s3cret")]), &name, &login("user")).await;
    assert_eq!(right.check_push().await, Ok(()));
    let wrong = registry(&network(&[("PASSWORD", "hunter2")]), &name, &login("user")).await;
    let refused = wrong.check_push().await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthorized);
    let help =
        "mend the `login` of the registry in release.kdl: it is used instead of what `hoist login` keeps";
    assert_eq!(refused.help.as_deref(), Some(help));
    assert!(refused.notes.contains(&"asked as `user`, from the `login` of the registry".to_owned()));
    assert!(!format!("{refused:?}").contains("hunter2"));
    let nobody = open(&name).await;
    let refused = nobody.check_push().await.unwrap_err();
    assert!(refused.notes.contains(&"asked without credentials".to_owned()), "{refused:?}");
    let help = format!("run `hoist login {}`, or give the registry a `login`", server.address);
    assert_eq!(refused.help, Some(help));
}

/// Gives tokens to `user`, for whatever is asked, signed with `key.pem`.
fn token_server(directory: &std::path::Path) -> FakeServer {
    let certificate = std::fs::read_to_string(directory.join("cert.pem")).unwrap();
    let der: String = certificate.lines().filter(|line| !line.starts_with('-')).collect();
    let directory = directory.to_owned();
    FakeServer::start(move |request: &Received| {
        let expected = format!("Basic {}", STANDARD.encode("user:s3cret"));
        if request.header("authorization") != Some(&expected) {
            let error = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "wrong password" }] });
            return Answer::new("401 Unauthorized").body(error.to_string());
        }
        let url =
            reqwest::Url::parse(&format!("http://x{}", request.line.split(' ').nth(1).unwrap())).unwrap();
        let access: Vec<_> = url
            .query_pairs()
            .filter(|(name, _)| name == "scope")
            .map(|(_, scope)| {
                let parts: Vec<&str> = scope.splitn(3, ':').collect();
                let actions: Vec<&str> = parts[2].split(',').collect();
                json!({ "type": parts[0], "name": parts[1], "actions": actions })
            })
            .collect();
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [der] });
        let claims = json!({
            "iss": "test", "aud": "registry", "sub": "user", "jti": "1",
            "iat": 0, "nbf": 0, "exp": 4_102_444_800_u64, "access": access,
        });
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        std::fs::write(directory.join("signed"), &signed).unwrap();
        let signature = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign", "key.pem", "signed"])
            .current_dir(&directory)
            .output()
            .unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.stdout));
        Answer::new("200 OK").body(json!({ "token": token, "expires_in": 300 }).to_string())
    })
}

#[tokio::test]
async fn tokens_are_fetched_once_for_each_scope_and_for_both_ends_of_a_mount() {
    let test = "tokens_are_fetched_once_for_each_scope_and_for_both_ends_of_a_mount";
    if program(test, "openssl", "HOIST_TEST_OPENSSL_BIN").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    openssl(
        directory.path(),
        "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=tokens",
    );
    let tokens = token_server(directory.path());
    let settings = format!(
        "auth: {{token: {{realm: \"http://{}/token\", service: registry, issuer: test, rootcertbundle: {}/cert.pem}}}}",
        tokens.address,
        directory.path().display()
    );
    let Some(server) = DockerRegistry::start(test, "", &settings) else { return };
    let (_directory, images) = layout();
    let one = image(&images, "linux/amd64", b"shared", &[]);
    let two = image(&images, "linux/amd64", b"shared", &[("a", "b")]);
    let network = network(&[("PASSWORD", "s3cret")]);
    let open =
        async |path: &str| registry(&network, &format!("{}/{path}", server.address), &login("user")).await;
    let web = open("acme/one").await;
    assert_eq!(web.check_push().await, Ok(()));
    copy(&local(&images), &one, &at(&web), quiet()).await.unwrap();
    web.put("latest", &one, &web.read(&one).await.unwrap()).await.unwrap();
    let copied = copy(&local(&images), &two, &at(&open("acme/two").await), quiet()).await.unwrap();
    assert_eq!((copied.mounted, copied.sent), (1, 1));
    let scopes = |repositories: &[&str]| {
        let scope = |one: &&str| format!("&scope=repository%3Aacme%2F{one}");
        let scopes: String = repositories.iter().map(scope).collect();
        format!("GET /token?service=registry{scopes}")
    };
    let mut asked = tokens.lines();
    asked.sort();
    asked.dedup();
    let expected = [
        scopes(&["one%3Apull%2Cpush"]),
        scopes(&["two%3Apull%2Cpush"]),
        scopes(&["two%3Apull%2Cpush", "one%3Apull"]),
    ];
    assert_eq!(asked, expected);

    let wrong = self::network(&[("PASSWORD", "no")]);
    let web = registry(&wrong, &format!("{}/acme/one", server.address), &login("user")).await;
    let refused = web.check_push().await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthorized);
    assert!(refused.notes.contains(&"UNAUTHORIZED: wrong password".to_owned()), "{refused:?}");
}
