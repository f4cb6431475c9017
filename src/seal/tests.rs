//! Keys of other tools, and images that are signed, attested, and tampered with.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::config::{Secret, Sign};
use crate::diagnostic::{Code, Sources, Span, Spanned};
use crate::facts::Environment;
use crate::oci::{Descriptor, Manifest, media_type};
use crate::seal::{
    Attestation, Form, InvalidKey, Keyring, PublicKey, Signer, Subject, attach_document, attest, sign, verify,
};
use crate::store::{Layout, Repository};

/// Of `openssl genpkey`: PKCS#8.
const PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEEfhIifwVdldZxAV
B9wKvQqHxbQ/glHiLFPGlrR/b1ahRANCAAQKk97zmy2/vsGfYyRyOJNCu/IE75wr
WpSeNtodUITwSPLUfYdQ3OH30h8KOY07BRYJxTEZaggGVv3HyFUSTkST
-----END PRIVATE KEY-----
";
const PKCS8_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECpPe85stv77Bn2MkcjiTQrvyBO+c
K1qUnjbaHVCE8Ejy1H2HUNzh99IfCjmNOwUWCcUxGWoIBlb9x8hVEk5Ekw==
-----END PUBLIC KEY-----
";
/// Of `openssl ecparam -genkey`: SEC 1, behind a block with the curve.
const SEC1: &str = "\
-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIPjxbP338lepp1c3kyB6yRgvfCUZNml4fTqVQ8H2NTijoAoGCCqGSM49
AwEHoUQDQgAEwB2ykReK0oJurivlgYYujaAJcIL7Rdwpsp0EBlXTl9s/Eye+n+jf
qg1XUgYeFb7wxMFLF9DcczPd+1wiF+kEMw==
-----END EC PRIVATE KEY-----
";
const SEC1_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEwB2ykReK0oJurivlgYYujaAJcIL7
Rdwpsp0EBlXTl9s/Eye+n+jfqg1XUgYeFb7wxMFLF9DcczPd+1wiF+kEMw==
-----END PUBLIC KEY-----
";
/// For another curve.
const P384: &str = "\
-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDB0dYct/gsK396PSrpp
lZ19aF/oyPEcZioa5T+mlOoNzOHAX7c0Wpt/5eBiGNA0hRahZANiAAQbSkQPbA74
JbdFKo3IQiAdcNOTmGnmJ2MtmYVX3XNaELf0cBnyri2W4QFQI/r7qDBi1/Uez+0l
oJMArOPJyDPUU0oTgEQfWA9jndoCLSyUpNY8S/S0vP2e3H4b6rbzmYk=
-----END PRIVATE KEY-----
";
/// Of `cosign generate-key-pair`, with the password `correct-horse`.
const COSIGN: &str = "\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJFV3pwK0tOMm1jVGpkaFZZTGcwajFKd0ZkMTZwbDcx
d3FmeEc0ZG5zem40PSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJjOTMzTnRqK2pmWmlnTXU5VVJ2d3lzRUcrcnJsMTdkZSJ9LCJj
aXBoZXJ0ZXh0IjoieTRWQzZ4MEprck1uVGtuZ2oyRzBkM1lyVVpwOVg4Vk1WMkNz
Mm4xOTZUQ1hGdmtQZ3VDWlhTYitEUHV5TzhQb2MyZFo4anRqMDR6UGhoVFdxRjh1
K3BGTjdFYkZQMU5jYURKWkZYQTJoaU5NU1pITWRNcVBPSVEreHl5R3dSWEdCWUFG
Nk9wVTNKR2hGTzhBT3JDbCt2MWRUZjVEZXBDK3FZYUdxZHRzRWFCYkFHMldOTTFa
Qk5hM3Zxd2ZCZG1OUEFCSE4xWFBFODNuZVE9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
";
const COSIGN_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuw2D42B92tvVuaamavgYWsQCdCGU
67GSx0JrAcoKGpKy0WjDtP+3lGcKPnHqtVApKSfmhkpoBRvyAYuzgZrwTg==
-----END PUBLIC KEY-----
";

fn signer(text: &str) -> Signer {
    Signer::read(text, b"").unwrap()
}

#[test]
fn keys_of_openssl_and_cosign_are_read_and_belong_to_their_public_halves() {
    let pairs =
        [(PKCS8, PKCS8_PUBLIC, ""), (SEC1, SEC1_PUBLIC, ""), (COSIGN, COSIGN_PUBLIC, "correct-horse")];
    for (private, public, password) in pairs {
        let signer = Signer::read(private, password.as_bytes()).unwrap();
        let public = PublicKey::read(public).unwrap();
        assert_eq!(signer.public(), &public);
        let signature = signer.sign(b"message");
        assert_eq!(signature, signer.sign(b"message"), "the same each time");
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"another", &signature));
        assert!(!public.verifies(b"message", "bm8gc2lnbmF0dXJl"));
        // As Windows ends lines.
        assert!(Signer::read(&private.replace('\n', "\r\n"), password.as_bytes()).is_ok());
    }
    assert!(Signer::is_encrypted(COSIGN) && !Signer::is_encrypted(PKCS8));
    let older = COSIGN.replace("SIGSTORE", "COSIGN");
    assert!(Signer::read(&older, b"correct-horse").is_ok());
}

#[test]
fn what_is_no_key_says_why() {
    let why = |text: &str| Signer::read(text, b"").unwrap_err();
    assert_eq!(why("hello"), InvalidKey::NotPem);
    assert_eq!(why(P384), InvalidKey::Damaged);
    assert_eq!(why(PKCS8_PUBLIC), InvalidKey::Kind("PUBLIC KEY".to_owned()));
    assert_eq!(why(&PKCS8.replace("PRIVATE", "RSA PRIVATE")), InvalidKey::Kind("RSA PRIVATE KEY".to_owned()));
    assert_eq!(why(&PKCS8.replace("MIGH", "AAAA")), InvalidKey::Damaged);
    assert_eq!(Signer::read(COSIGN, b"wrong").unwrap_err(), InvalidKey::Password);
    assert_eq!(PublicKey::read(PKCS8).unwrap_err(), InvalidKey::Kind("PRIVATE KEY".to_owned()));
    let shown = format!("{:?}", signer(PKCS8));
    assert!(shown.contains("sha256:") && !shown.contains("BEGIN"), "{shown}");
}

fn span(text: &str) -> Span {
    Span::new(Sources::default().add("release.kdl", text), 0..text.len())
}

#[tokio::test]
async fn a_keyring_says_what_is_missing_and_never_what_was_tried() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("cosign.key"), COSIGN).unwrap();
    let keyring = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| (*name, std::ffi::OsString::from(*value)));
        Keyring::new(root.path(), variables.collect::<Environment>())
    };
    let declared = |key: Secret, password: &str| Sign {
        key: Spanned::new(key, span("key")),
        password: Spanned::new(Secret::Env(password.to_owned()), span("key")),
        span: span("sign"),
    };
    let file = || Secret::File("cosign.key".to_owned());
    let right = keyring(&[("COSIGN_PASSWORD", "correct-horse"), ("KEY", PKCS8)]);
    let found = right.signer(&declared(file(), "COSIGN_PASSWORD")).await.unwrap();
    assert_eq!(found.public(), &PublicKey::read(COSIGN_PUBLIC).unwrap());
    let found = right.signer(&declared(Secret::Env("KEY".to_owned()), "COSIGN_PASSWORD")).await.unwrap();
    assert_eq!(found.public(), &PublicKey::read(PKCS8_PUBLIC).unwrap());

    let refused = async |keyring: Keyring, key: Secret| {
        let problem = keyring.signer(&declared(key, "PASSWORD")).await.unwrap_err();
        assert_eq!(problem.code, Code::SigningKey);
        assert!(!format!("{problem:?}").contains("incorrect-horse"), "{problem:?}");
        format!("{}: {}: {}", problem.title, problem.labels[0].text, problem.help.unwrap_or_default())
    };
    let unset = refused(keyring(&[]), Secret::Env("KEY".to_owned())).await;
    assert!(unset.starts_with("the variable `KEY` is not set"), "{unset}");
    let missing = refused(keyring(&[]), Secret::File("other.key".to_owned())).await;
    assert!(missing.starts_with("cannot read `other.key`"), "{missing}");
    let no_password = refused(keyring(&[]), file()).await;
    assert!(no_password.contains("set `PASSWORD` to its password"), "{no_password}");
    let wrong = refused(keyring(&[("PASSWORD", "incorrect-horse")]), file()).await;
    assert!(wrong.contains("the password does not open it: `PASSWORD` is what was tried"), "{wrong}");
}

/// A layout with an image that has no layers.
fn image(text: &str) -> (tempfile::TempDir, Repository, Descriptor) {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::create(directory.path()).unwrap();
    let image = add(&layout, text);
    (directory, Repository::Layout(layout), image)
}

fn add(layout: &Layout, text: &str) -> Descriptor {
    let config = layout.write(media_type::CONFIG, text.as_bytes()).unwrap();
    let image = layout.write(media_type::MANIFEST, &Manifest::new(config, Vec::new()).to_bytes()).unwrap();
    layout.set_ref(text, &image).unwrap();
    image
}

#[tokio::test]
async fn an_image_is_signed_once_by_each_key() {
    let (_directory, place, image) = image("1");
    let (one, other) = (signer(PKCS8), signer(SEC1));
    let keys = [one.public(), other.public()];
    let before = verify(&place, &image.digest, &keys).await.unwrap();
    assert!(before.signatures.is_empty());
    assert_eq!(before.refusal("web", 0, "it").unwrap().code, Code::Unsigned);

    assert!(sign(&place, &image, &one).await.unwrap());
    assert!(!sign(&place, &image, &one).await.unwrap());
    let found = verify(&place, &image.digest, &keys).await.unwrap();
    assert_eq!((found.forms(0), found.forms(1)), (vec![Form::Bundle], vec![]));
    let refusal = found.refusal("web", 1, "the other").unwrap();
    assert_eq!((refusal.code, &*refusal.title), (Code::WrongSignature, "`web` is not signed by the other"));

    assert!(sign(&place, &image, &other).await.unwrap());
    let found = verify(&place, &image.digest, &keys).await.unwrap();
    assert_eq!((found.signatures.len(), found.refusal("web", 1, "the other")), (2, None));
}

#[tokio::test]
async fn a_signature_of_another_image_or_of_another_content_counts_for_nothing() {
    let (_directory, place, image) = image("1");
    let Repository::Layout(layout) = &place else { unreachable!() };
    let signer = signer(PKCS8);
    sign(&place, &image, &signer).await.unwrap();
    let referrer = place.referrers(&image.digest, None).await.unwrap().remove(0);
    let mut manifest = Manifest::parse(&layout.read(&referrer).unwrap()).unwrap();

    // The signature is attached to another image.
    let other = add(layout, "2");
    manifest.subject = Some(other.clone());
    let moved = layout.write(media_type::MANIFEST, &manifest.to_bytes()).unwrap();
    layout.list(&moved).unwrap();
    let found = verify(&place, &other.digest, &[signer.public()]).await.unwrap();
    let refusal = found.refusal("web", 0, "the key").unwrap();
    assert_eq!(refusal.code, Code::WrongSignature);
    assert!(refusal.notes[1].ends_with(&format!("is for another image, `{}`", image.digest)), "{refusal:?}");

    // What it says is changed to that image.
    let bundle: Value = serde_json::from_slice(&layout.read(&manifest.layers[0]).unwrap()).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let base64 = base64::engine::general_purpose::STANDARD;
    let statement = String::from_utf8(base64.decode(payload).unwrap()).unwrap();
    let forged = base64.encode(statement.replace(&image.digest.hex(), &other.digest.hex()));
    let forged = bundle.to_string().replace(payload, &forged);
    manifest.layers = vec![layout.write(&manifest.layers[0].media_type, forged.as_bytes()).unwrap()];
    let forged = layout.write(media_type::MANIFEST, &manifest.to_bytes()).unwrap();
    layout.list(&forged).unwrap();
    let found = verify(&place, &other.digest, &[signer.public()]).await.unwrap();
    let refusal = found.refusal("web", 0, "the key").unwrap();
    assert!(refusal.notes[2].ends_with("was not made by this key"), "{refusal:?}");
    // It is signed all the same, beside them.
    assert!(sign(&place, &other, &signer).await.unwrap());
}

#[tokio::test]
async fn what_is_attached_and_cannot_be_read_is_no_signature_and_hides_none() {
    let (_directory, place, image) = image("1");
    let Repository::Layout(layout) = &place else { unreachable!() };
    let signer = signer(PKCS8);
    sign(&place, &image, &signer).await.unwrap();
    let referrer = place.referrers(&image.digest, None).await.unwrap().remove(0);
    let manifest = Manifest::parse(&layout.read(&referrer).unwrap()).unwrap();
    for content in [
        "",
        "{}",
        "[]",
        r#"{"mediaType":"x","dsseEnvelope":{"payload":"","payloadType":"","signatures":[]}}"#,
    ] {
        let layers = vec![layout.write(&manifest.layers[0].media_type, content.as_bytes()).unwrap()];
        let broken = Manifest { layers, ..manifest.clone() };
        let broken = layout.write(media_type::MANIFEST, &broken.to_bytes()).unwrap();
        layout.list(&broken).unwrap();
    }
    let found = verify(&place, &image.digest, &[signer.public()]).await.unwrap();
    assert_eq!(found.refusal("web", 0, "the key"), None);
    assert_eq!(found.attestations.iter().filter(|one| one.flaw.is_some()).count(), 4);
    assert!(!sign(&place, &image, &signer).await.unwrap());
}

#[tokio::test]
async fn the_same_is_attested_once_and_another_thing_beside_it() {
    let (_directory, place, image) = image("1");
    let signer = signer(PKCS8);
    let subjects = [Subject { name: None, digest: image.digest }];
    let stated = |predicate: Value| Attestation {
        predicate_type: "https://example.com/made".to_owned(),
        predicate,
        states_the_same: |one, other| one["by"] == other["by"],
    };
    let attest = async |predicate: Value| {
        attest(&place, &image, &subjects, &stated(predicate), &signer).await.unwrap()
    };
    assert!(attest(json!({ "by": "me", "at": 1 })).await);
    assert!(!attest(json!({ "by": "me", "at": 2 })).await);
    assert!(attest(json!({ "by": "you" })).await);
    let found = verify(&place, &image.digest, &[signer.public()]).await.unwrap();
    assert_eq!((found.attestations.len(), found.attested(0)), (2, vec!["https://example.com/made"]));
    // What is stated of it is no signature.
    assert_eq!(found.refusal("web", 0, "the key").unwrap().code, Code::Unsigned);
}

#[tokio::test]
async fn a_document_that_nobody_signs_is_attached_once_by_its_type() {
    let (_directory, place, image) = image("1");
    let kind = "application/vnd.cyclonedx+json";
    let attach =
        async |text: &str| attach_document(&place, &image, kind, text.as_bytes(), "bom.json").await.unwrap();
    assert!(attach("{}").await);
    assert!(!attach("{}").await);
    assert!(attach("{ }").await);
    assert_eq!(place.referrers(&image.digest, Some(kind)).await.unwrap().len(), 2);
}
