//! Certificates: authorities of one's own, and certificates that say who one is.

use std::fs;
use std::path::Path;

use super::*;
use crate::diagnostic::{Code, Problem};
use crate::oci::media_type;
use crate::store::Meter;
use crate::store::fixture::{DockerRegistry, openssl, program};
use crate::store::whole::Part;

/// A new certificate of an authority in `ca.pem`: `NAME.pem` with its `NAME.key`.
fn certificate(directory: &Path, name: &str) {
    openssl(
        directory,
        &format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out request -subj /CN={name}"),
    );
    let authority = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions";
    openssl(directory, &format!("x509 -req -in request {authority} -out {name}.pem"));
}

fn authority(directory: &Path, name: &str) {
    let new = "-newkey rsa:2048 -nodes -days 2";
    openssl(directory, &format!("req -x509 {new} -keyout {name}.key -out {name}.pem -subj /CN={name}"));
}

/// A registry with a certificate of an authority of its own; it is stopped with it.
fn registry_with_tls(test: &str, more: &str) -> Option<(tempfile::TempDir, DockerRegistry)> {
    program(test, "openssl", "HOIST_TEST_OPENSSL_BIN")?;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("extensions"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    authority(path, "ca");
    certificate(path, "server");
    let tls = format!("  tls: {{certificate: {0}/server.pem, key: {0}/server.key{more}}}", path.display());
    let tls = tls.replace("[DIR]", &path.display().to_string());
    let server = DockerRegistry::start(test, &tls, "")?;
    Some((directory, server))
}

async fn push(server: &DockerRegistry, access: &Access, variables: &[(&str, &str)]) -> Result<(), Problem> {
    let name = format!("{}/acme/web", server.address).parse().unwrap();
    network(variables).open(&name, access).await?.check_push().await
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_told_from_an_unknown_one() {
    let test = "a_certificate_that_is_its_own_authority_is_told_from_an_unknown_one";
    if program(test, "openssl", "HOIST_TEST_OPENSSL_BIN").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let new = "-newkey rsa:2048 -nodes -days 2 -addext subjectAltName=IP:127.0.0.1";
    openssl(path, &format!("req -x509 {new} -keyout own.key -out own.pem -subj /CN=own"));
    let tls = format!("  tls: {{certificate: {0}/own.pem, key: {0}/own.key}}", path.display());
    let Some(server) = DockerRegistry::start(test, &tls, "") else { return };
    let access = Access { ca: Some(path.join("own.pem")), ..Access::default() };
    let problem = push(&server, &access, &[]).await.unwrap_err();
    assert!(problem.help.as_ref().is_some_and(|help| help.contains("`CA:FALSE`")), "{problem:?}");
}

#[tokio::test]
async fn an_authority_of_its_own_is_trusted_where_it_is_named() {
    let test = "an_authority_of_its_own_is_trusted_where_it_is_named";
    let Some((directory, server)) = registry_with_tls(test, "") else { return };
    let path = directory.path();
    let trusting = |ca: &str| Access { ca: Some(path.join(ca)), ..Access::default() };
    assert_eq!(push(&server, &trusting("ca.pem"), &[]).await, Ok(()));
    authority(path, "other");
    let refused = push(&server, &trusting("other.pem"), &[]).await.unwrap_err();
    assert!(refused.help.as_ref().is_some_and(|help| help.contains("ca=")), "{refused:?}");
    let plain = push(&server, &Access::default(), &[]).await.unwrap_err();
    assert!(plain.help.as_ref().is_some_and(|help| help.contains("ca=")), "{plain:?}");
    let missing = push(&server, &trusting("missing.pem"), &[]).await.unwrap_err();
    assert_eq!(missing.code, Code::Unreadable);
    let none = push(&server, &trusting("ca.key"), &[]).await.unwrap_err();
    assert_eq!(none.notes, ["there is none in it"]);
}

#[tokio::test]
async fn a_registry_that_asks_for_a_certificate_is_shown_one() {
    let test = "a_registry_that_asks_for_a_certificate_is_shown_one";
    let Some((directory, server)) = registry_with_tls(test, ", clientcas: [\"[DIR]/ca.pem\"]") else {
        return;
    };
    let path = directory.path();
    certificate(path, "client");
    let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
    let showing = |key: Secret| Access {
        ca: Some(path.join("ca.pem")),
        client: Some((path.join("client.pem"), Spanned::new(key, span))),
        ..Access::default()
    };
    let file = Secret::File(path.join("client.key").display().to_string());
    assert_eq!(push(&server, &showing(file), &[]).await, Ok(()));
    let key = fs::read_to_string(path.join("client.key")).unwrap();
    let variable = showing(Secret::Env("KEY".to_owned()));
    assert_eq!(push(&server, &variable, &[("KEY", &key)]).await, Ok(()));

    let nobody = Access { ca: Some(path.join("ca.pem")), ..Access::default() };
    assert_eq!(push(&server, &nobody, &[]).await.map_err(|problem| problem.code), Err(Code::Registry));
    let unset = push(&server, &variable, &[]).await.unwrap_err();
    assert_eq!((unset.code, unset.title.as_str()), (Code::Unauthorized, "the variable `KEY` is not set"));
    let damaged = push(&server, &variable, &[("KEY", "s3cret")]).await.unwrap_err();
    assert_eq!(damaged.code, Code::Unreadable);
    assert!(!format!("{damaged:?}").contains("s3cret"));
}

#[tokio::test]
async fn certificates_that_docker_and_podman_keep_for_a_host_are_used() {
    let test = "certificates_that_docker_and_podman_keep_for_a_host_are_used";
    let Some((directory, server)) = registry_with_tls(test, ", clientcas: [\"[DIR]/ca.pem\"]") else {
        return;
    };
    let path = directory.path();
    certificate(path, "client");
    let kept = path.join("home/.config/containers/certs.d").join(&server.address);
    fs::create_dir_all(&kept).unwrap();
    for (from, to) in [("ca.pem", "ca.crt"), ("client.pem", "client.cert"), ("client.key", "client.key")] {
        fs::copy(path.join(from), kept.join(to)).unwrap();
    }
    let home = path.join("home").display().to_string();
    assert_eq!(push(&server, &Access::default(), &[("HOME", &home)]).await, Ok(()));
    // Plain HTTP where it is said, whatever is kept.
    let plain = Access { insecure: true, ..Access::default() };
    assert!(push(&server, &plain, &[("HOME", &home)]).await.is_err());
    fs::remove_file(kept.join("client.key")).unwrap();
    let half = push(&server, &Access::default(), &[("HOME", &home)]).await.unwrap_err();
    assert!(half.code == Code::Unreadable && half.title.contains("client.key"), "{half:?}");
}

/// How it ends that a registry, which asks for a certificate, leads to another server
/// for tokens and for contents: one that asks for a certificate too, or does not.
async fn led_away(test: &str, asks: bool) -> Option<[Result<(), Problem>; 2]> {
    let clients = ", clientcas: [\"[DIR]/ca.pem\"]";
    let (directory, other) = registry_with_tls(test, if asks { clients } else { "" })?;
    let path = directory.path();
    certificate(path, "client");
    let dir = path.display();
    let tls = format!("  tls: {{certificate: {dir}/server.pem, key: {dir}/server.key{clients}}}");
    let tls = tls.replace("[DIR]", &dir.to_string());
    let start = |settings: String| DockerRegistry::start(test, &tls, &settings);
    let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
    let key = Secret::File(path.join("client.key").display().to_string());
    let access = Access {
        ca: Some(path.join("ca.pem")),
        client: Some((path.join("client.pem"), Spanned::new(key, span))),
        ..Access::default()
    };
    let variables = [("HOIST_TEST_FIRST_WAIT", "1")];
    let address = &other.address;
    let tokens = start(format!(
        "auth: {{token: {{realm: \"https://{address}/token\", service: s, issuer: i, rootcertbundle: {dir}/ca.pem}}}}"
    ))?;
    let token = push(&tokens, &access, &variables).await;
    let contents = start(format!(
        "middleware: {{storage: [{{name: redirect, options: {{baseurl: \"https://{address}/\"}}}}]}}"
    ))?;
    let name = format!("{}/acme/web", contents.address);
    let web = registry(&network(&variables), &name, &access).await;
    let ((_one, images), (_two, empty)) = (layout(), layout());
    let blob = images.write(media_type::LAYER, b"content").unwrap();
    let meter = Arc::new(Meter::silent());
    web.upload(&images, &Part::layer(&blob), &meter).await.unwrap();
    let content = web.download(&blob, &empty, &meter).await.map(drop);
    Some([token, content])
}

#[tokio::test]
async fn a_certificate_is_shown_to_the_registry_that_it_is_for_and_to_nobody_else() {
    let test = "a_certificate_is_shown_to_the_registry_that_it_is_for_and_to_nobody_else";
    let Some([token, content]) = led_away(test, false).await else { return };
    assert_eq!(token.unwrap_err().notes[0], "404 Not Found");
    assert_eq!(content.unwrap_err().notes[0], "404 Not Found");
    for refused in led_away(test, true).await.unwrap() {
        let refused = refused.unwrap_err();
        assert!(refused.title.ends_with("cannot be reached"), "{refused:?}");
    }
}
