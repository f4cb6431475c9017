//! How one logs in to the registries that many use, at stand-ins for them on loopback:
//! each asks, and is answered, as the real one.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::diagnostic::{Code, Problem};
use crate::oci::Descriptor;
use crate::store::fixture::{Answer, FakeServer, Received};
use crate::store::{Question, answers, each};

/// A registry that asks for a token, and the server that gives it to whom it knows.
struct WithTokens {
    registry: FakeServer,
    tokens: FakeServer,
}

impl WithTokens {
    fn start(path: &str, service: &str, knows: impl Fn(&Received) -> bool + Send + 'static) -> Self {
        let tokens = FakeServer::start(move |request| {
            if knows(request) {
                return Answer::new("200 OK").body(r#"{"token": "granted", "access_token": "granted"}"#);
            }
            Answer::new("401 Unauthorized").body(r#"{"errors": [{"code": "DENIED", "message": "unknown"}]}"#)
        });
        let realm = format!("http://{}{path}", tokens.address);
        let scope = "repository:acme/web:pull";
        let challenge = format!("Bearer realm=\"{realm}\",service=\"{service}\",scope=\"{scope}\"");
        let registry = FakeServer::start(move |request| {
            if request.header("authorization") == Some("Bearer granted") {
                return Answer::new("202 Accepted").header("Location", "/upload");
            }
            Answer::new("401 Unauthorized").header("WWW-Authenticate", challenge.clone())
        });
        Self { registry, tokens }
    }

    /// What the token server was asked: the line of the request.
    fn asked(&self) -> String {
        self.tokens.lines().remove(0)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn is_basic(request: &Received, user: &str, password: &str) -> bool {
    request.line.starts_with("GET ") && request.header("authorization") == Some(&basic(user, password))
}

/// A `login` of a release file.
fn says(user: &str, password: Secret) -> Access {
    let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
    Access { login: Some((user.to_owned(), Spanned::new(password, span))), ..Access::default() }
}

/// Whether one may push there.
async fn push(server: &FakeServer, access: &Access, variables: &[(&str, &str)]) -> Result<(), Problem> {
    let name = format!("{}/acme/web", server.address);
    registry(&network(variables), &name, access).await.check_push().await
}

/// A home directory with a file in it that can be executed.
fn home_with(path: &str, text: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    home
}

#[tokio::test]
async fn ghcr_gives_a_token_for_the_token_of_a_job() {
    let ghcr = WithTokens::start("/token", "ghcr.io", |request| is_basic(request, "octocat", "ghs_1"));
    let access = says("octocat", Secret::Env("GITHUB_TOKEN".to_owned()));
    assert_eq!(push(&ghcr.registry, &access, &[("GITHUB_TOKEN", "ghs_1")]).await, Ok(()));
    let scope = "repository%3Aacme%2Fweb%3Apull%2Cpush";
    assert_eq!(ghcr.asked(), format!("GET /token?service=ghcr.io&scope={scope}"));
    // Of the token of another job, nothing is said but that it is not known.
    let refused = push(&ghcr.registry, &access, &[("GITHUB_TOKEN", "ghs_2")]).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthorized);
    assert!(refused.notes.contains(&"DENIED: unknown".to_owned()), "{refused:?}");
    assert!(!format!("{refused:?}").contains("ghs_2"));
}

#[tokio::test]
async fn docker_hub_gives_a_token_for_what_docker_login_keeps() {
    let hub =
        WithTokens::start("/token", "registry.docker.io", |request| is_basic(request, "acme", "dckr_pat_1"));
    let file = serde_json::json!({ "auths": {
        "https://index.docker.io/v1/": { "auth": STANDARD.encode("hub:1") },
        &hub.registry.address: { "auth": STANDARD.encode("acme:dckr_pat_1") },
    }});
    let home = home_with(".docker/config.json", &file.to_string());
    let home = home.path().to_str().unwrap();
    assert_eq!(push(&hub.registry, &Access::default(), &[("HOME", home)]).await, Ok(()));
    assert!(hub.asked().starts_with("GET /token?service=registry.docker.io&scope="));
}

/// ECR asks for a name and a password in each request.
fn ecr() -> FakeServer {
    FakeServer::start(|request| {
        if request.header("authorization") == Some(&basic("AWS", "ecr-password")) {
            return Answer::new("202 Accepted").header("Location", "/upload");
        }
        let challenge =
            "Basic realm=\"https://1.dkr.ecr.us-east-1.amazonaws.com/\",service=\"ecr.amazonaws.com\"";
        Answer::new("401 Unauthorized").header("WWW-Authenticate", challenge)
    })
}

#[tokio::test]
async fn ecr_takes_the_password_that_a_command_prints() {
    let path = std::env::var("PATH").unwrap();
    let server = ecr();
    let access = says("AWS", Secret::Command("echo ecr-password".to_owned()));
    let name = format!("{}/acme/web", server.address).parse().unwrap();
    let root = tempfile::tempdir().unwrap();
    let environment = [("PATH", path.as_str())].into_iter().collect();
    let network = Network::new(Surroundings { root: root.path().to_owned(), environment });
    assert_eq!(network.open(&name, &access).await.unwrap().check_push().await, Ok(()));
    let shown = says("AWS", Secret::Command("echo ecr-password; exit 3".to_owned()));
    let refused = network.open(&name, &shown).await.map(drop).unwrap_err();
    assert_eq!(refused.notes, ["exit status: 3"]);
}

#[tokio::test]
async fn ecr_takes_what_its_credential_helper_says() {
    let server = ecr();
    // It is told the host on its standard input, as docker does, and nothing as an argument
    // but what is wanted.
    let helper = format!(
        "#!/bin/sh\nread server\n[ \"$1 $server $#\" = 'get {} 1' ] || exit 1\n\
         echo '{{\"ServerURL\": \"x\", \"Username\": \"AWS\", \"Secret\": \"ecr-password\"}}'\n",
        server.address
    );
    let home = home_with("bin/docker-credential-ecr-login", &helper);
    let file = serde_json::json!({ "credHelpers": { &server.address: "ecr-login" } });
    std::fs::create_dir(home.path().join(".docker")).unwrap();
    std::fs::write(home.path().join(".docker/config.json"), file.to_string()).unwrap();
    let path = format!("{}:{}", home.path().join("bin").display(), std::env::var("PATH").unwrap());
    let variables = [("HOME", home.path().to_str().unwrap()), ("PATH", &path)];
    assert_eq!(push(&server, &Access::default(), &variables).await, Ok(()));
}

#[tokio::test]
async fn artifact_registry_takes_the_key_of_a_service_account_or_a_token_of_access() {
    const KEY: &str = "{\n  \"type\": \"service_account\",\n  \"private_key\": \"-----BEGIN\\n:\\\"\"\n}";
    let service = "us-docker.pkg.dev";
    let google = WithTokens::start("/v2/token", service, |request| is_basic(request, "_json_key", KEY));
    let home = home_with("key.json", &format!("{KEY}\n"));
    let file = Secret::File(home.path().join("key.json").display().to_string());
    assert_eq!(push(&google.registry, &says("_json_key", file), &[]).await, Ok(()));
    assert!(google.asked().starts_with("GET /v2/token?service=us-docker.pkg.dev&scope="));

    let knows = |request: &Received| is_basic(request, "oauth2accesstoken", "ya29.a");
    let google = WithTokens::start("/v2/token", service, knows);
    let access = says("oauth2accesstoken", Secret::Env("TOKEN".to_owned()));
    assert_eq!(push(&google.registry, &access, &[("TOKEN", "ya29.a")]).await, Ok(()));
}

/// The user of Azure that stands for a token.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

#[tokio::test]
async fn acr_exchanges_a_refresh_token() {
    let acr = || {
        WithTokens::start("/oauth2/token", "acme.azurecr.io", |request| {
            let body = String::from_utf8_lossy(&request.body);
            let said = ["grant_type=refresh_token", "refresh_token=eyJ.1", "service=acme.azurecr.io"];
            request.line == "POST /oauth2/token"
                && request.header("authorization").is_none()
                && said.iter().all(|part| body.split('&').any(|found| found == *part))
        })
    };
    // As `az acr login` writes it, and as `docker login` writes it.
    for entry in [
        serde_json::json!({ "auth": STANDARD.encode(format!("{NOBODY}:")), "identitytoken": "eyJ.1" }),
        serde_json::json!({ "auth": STANDARD.encode(format!("{NOBODY}:eyJ.1")) }),
        serde_json::json!({ "auth": STANDARD.encode("<token>:eyJ.1") }),
    ] {
        let acr = acr();
        let file = serde_json::json!({ "auths": { &acr.registry.address: entry } });
        let home = home_with(".docker/config.json", &file.to_string());
        let home = home.path().to_str().unwrap();
        assert_eq!(push(&acr.registry, &Access::default(), &[("HOME", home)]).await, Ok(()), "{file}");
    }
    let acr = acr();
    let access = says(NOBODY, Secret::Env("TOKEN".to_owned()));
    assert_eq!(push(&acr.registry, &access, &[("TOKEN", "eyJ.1")]).await, Ok(()));
    let refused = push(&acr.registry, &access, &[("TOKEN", "eyJ.2")]).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthorized);
    assert!(!format!("{refused:?}").contains("eyJ.2"));
}

#[tokio::test]
async fn harbor_gives_a_token_for_a_robot() {
    let knows = |request: &Received| is_basic(request, "robot$acme+ci", "s$cr:t");
    let harbor = WithTokens::start("/service/token", "harbor-registry", knows);
    let access = says("robot$acme+ci", Secret::Env("PASSWORD".to_owned()));
    assert_eq!(push(&harbor.registry, &access, &[("PASSWORD", "s$cr:t")]).await, Ok(()));
    assert!(harbor.asked().starts_with("GET /service/token?service=harbor-registry&scope="));
}

#[tokio::test]
async fn of_many_requests_one_asks_for_the_token_of_all() {
    let number = Arc::new(AtomicUsize::new(1));
    let (of_tokens, of_server) = (Arc::clone(&number), Arc::clone(&number));
    let tokens = FakeServer::start(move |_| {
        let token = format!("{{\"token\": \"t{}\"}}", of_tokens.load(Ordering::SeqCst));
        Answer::new("200 OK").body(token)
    });
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", tokens.address);
    let server = FakeServer::start(move |request| {
        let expected = format!("Bearer t{}", of_server.load(Ordering::SeqCst));
        if request.header("authorization") == Some(&expected) {
            return Answer::new("200 OK");
        }
        Answer::new("401 Unauthorized").header("WWW-Authenticate", challenge.clone())
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    let place = at(&web);
    let ask_at_once = async || {
        let blobs: Vec<_> = (0..8_u8).map(|number| Descriptor::of("", &[number])).collect();
        let asked = each(&place, blobs, |place, blob| async move { place.has(&blob).await });
        assert_eq!(asked.await, Ok(vec![true; 8]));
    };
    ask_at_once().await;
    assert_eq!(tokens.lines().len(), 1);
    ask_at_once().await;
    assert_eq!(tokens.lines().len(), 1);
    // From here on another one is taken.
    number.store(2, Ordering::SeqCst);
    ask_at_once().await;
    assert_eq!(tokens.lines().len(), 2);
}

#[tokio::test]
async fn whoever_waits_for_a_token_that_is_refused_does_not_ask_again() {
    let tokens = FakeServer::start(|_| {
        // Until all wait for it.
        std::thread::sleep(std::time::Duration::from_millis(200));
        Answer::new("403 Forbidden")
    });
    let challenge = format!("Bearer realm=\"http://{}/token\"", tokens.address);
    let server = FakeServer::start(move |_| {
        Answer::new("401 Unauthorized").header("WWW-Authenticate", challenge.clone())
    });
    let web = open(&format!("{}/acme/web", server.address)).await;
    let blobs: Vec<_> = (0..4_u8).map(|number| Descriptor::of("", &[number])).collect();
    let mut questions: Vec<Question<'_, Result<bool, Problem>>> = Vec::new();
    for blob in &blobs {
        questions.push(Box::pin(web.has(blob)));
    }
    for answer in answers(questions).await {
        assert_eq!(answer.unwrap_err().code, Code::Unauthorized);
    }
    assert_eq!(tokens.lines().len(), 1);
}

#[tokio::test]
async fn a_token_is_asked_for_where_a_password_would_do_too() {
    let tokens = FakeServer::start(|_| Answer::new("200 OK").body(r#"{"token": "t"}"#));
    let realm = format!("http://{}/token", tokens.address);
    let server = FakeServer::start(move |request| match request.header("authorization") {
        Some("Bearer t") => Answer::new("202 Accepted").header("Location", "/upload"),
        _ => Answer::new("401 Unauthorized")
            .header("WWW-Authenticate", format!("Basic realm=\"A\", Bearer realm=\"{realm}\",service=\"x\"")),
    });
    assert_eq!(push(&server, &Access::default(), &[]).await, Ok(()));
    assert!(tokens.lines()[0].starts_with("GET /token?service=x&scope="), "{:?}", tokens.lines());
}

#[tokio::test]
async fn repositories_of_one_registry_keep_credentials_of_their_own() {
    let server = FakeServer::start(|request: &Received| match request.header("authorization") {
        Some(_) => Answer::new("200 OK"),
        None => Answer::new("401 Unauthorized").header("WWW-Authenticate", "Basic realm=x"),
    });
    let auth = |user: &str| serde_json::json!({ "auth": STANDARD.encode(format!("{user}:s3cret")) });
    let address = &server.address;
    let file = serde_json::json!({ "auths": {
        format!("{address}/acme"): auth("ann"),
        format!("{address}/team"): auth("tom"),
    } });
    let home = home_with(".config/containers/auth.json", &file.to_string());
    let network = network(&[("HOME", home.path().to_str().unwrap())]);
    let content = Descriptor::of("text/plain", b"content");
    for repository in ["acme/web", "team/web", "free/web"] {
        let web = registry(&network, &format!("{address}/{repository}"), &Access::default()).await;
        assert_eq!(web.has(&content).await.is_ok(), repository != "free/web");
    }
    let shown: Vec<_> = server
        .received()
        .iter()
        .map(|request| {
            let repository = request.line.split('/').nth(2).unwrap().to_owned();
            (repository, request.header("authorization").map(str::to_owned))
        })
        .collect();
    let asked = |repository: &str, user: Option<&str>| {
        (repository.to_owned(), user.map(|user| basic(user, "s3cret")))
    };
    let (ann, tom) = (asked("acme", Some("ann")), asked("team", Some("tom")));
    assert_eq!(shown[..4], [asked("acme", None), ann, asked("team", None), tom]);
    assert!(shown[4..].iter().all(|one| *one == asked("free", None)), "{shown:?}");
}
