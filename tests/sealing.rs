//! Signatures and attestations: what hoist makes is put before cosign and skopeo, and what
//! cosign makes before hoist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::faults::{FIRST_WAIT, Story};
use crate::fixture::{Ended, Repo, files_with, installed, left_out};
use crate::proxy::{Fault, Proxy, direct};
use crate::registry::{Registry, digest_of};
use crate::schemas;

/// The password of the keys of these tests.
const PASSWORD: &str = "correct-horse-battery";

/// What verifies and signs beside hoist: see `tests/verifiers`.
fn verifiers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/verifiers/bin")
}

/// Whether they, and a registry, are there.
fn ready(what: &str) -> bool {
    if !installed(what, &["docker-registry", "skopeo", "openssl"]) {
        return false;
    }
    let there = ["cosign", "skopeo"].iter().all(|name| verifiers().join(name).is_file());
    if !there {
        left_out(what, "`tests/verifiers target/verifiers` was not run");
    }
    there
}

/// A project whose image is signed with a key of cosign, and a registry for it.
struct World {
    repo: Repo,
    registry: Registry,
}

const IMAGE: &str = r#"
image "web" {
    assemble from="scratch" {
        layer { copy "web" "/web"; }
        entrypoint "/web"
    }
    platforms "linux/amd64" "linux/arm64"
    tags { semver "{version}" "{major}.{minor}"; latest; }
    sign key="file:keys/cosign.key"
    push "local"
}
"#;

impl World {
    fn new(image: &str) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n/keys\n/out\n/made\n");
        let registry = Registry::start(&repo);
        let world = Self { repo, registry };
        world.key("cosign");
        world.repo.write("web", "1\n");
        world.repo.write("release.kdl", World::file(world.registry.port, image));
        world.repo.git(&["init", "--quiet", "--initial-branch=main"]);
        world.repo.commit("Begin");
        world
    }

    fn file(port: u16, image: &str) -> String {
        format!("registry \"local\" \"127.0.0.1:{port}/team\" insecure=#true\n{image}")
    }

    /// Makes a pair of keys as cosign does.
    fn key(&self, name: &str) {
        self.repo.write("keys/.keep", "");
        let output = self
            .verifier("cosign")
            .current_dir(self.repo.path().join("keys"))
            .args(["generate-key-pair", "--output-key-prefix", name])
            .output()
            .expect("cosign runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a pair of keys as openssl does.
    fn plain_key(&self) {
        let openssl = |arguments: &str| {
            let output =
                Command::new("openssl").args(arguments.split(' ')).current_dir(self.repo.path()).output();
            assert!(output.expect("openssl is installed").status.success(), "{arguments}");
        };
        openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out keys/plain.pem");
        openssl("pkey -in keys/plain.pem -pubout -out keys/plain.pub");
    }

    fn verifier(&self, name: &str) -> Command {
        let mut command = Command::new(verifiers().join(name));
        command.current_dir(self.repo.path()).env("HOME", self.repo.path().join("keys"));
        command.env("COSIGN_PASSWORD", PASSWORD);
        command
    }

    fn cosign(&self, arguments: &[&str]) -> Output {
        self.verifier("cosign").args(arguments).output().expect("cosign runs")
    }

    /// Whether cosign accepts an image: the words of a command before what all need.
    fn accepts(&self, key: &str, words: &[&str], image: &str) -> bool {
        let key = format!("keys/{key}.pub");
        let all = ["--insecure-ignore-tlog=true", "--allow-http-registry", "--key", &key, image];
        self.cosign(&[words, &all].concat()).status.success()
    }

    /// Whether skopeo copies an image, all of whose platforms must be signed.
    fn is_trusted(&self, key: &str, image: &str) -> bool {
        let host = format!("127.0.0.1:{}", self.registry.port);
        let key = self.repo.path().join(format!("keys/{key}.pub"));
        let policy = serde_json::json!({
            "default": [{ "type": "reject" }],
            "transports": { "docker": { &host: [{
                "type": "sigstoreSigned",
                "keyPath": key,
                "signedIdentity": { "type": "matchRepository" },
            }] } },
        });
        self.repo.write("keys/policy.json", policy.to_string());
        let attachments = format!("docker: {{ \"{host}\": {{ use-sigstore-attachments: true }} }}\n");
        self.repo.write("keys/registries.d/default.yaml", attachments);
        let _ = fs::remove_dir_all(self.repo.path().join("keys/trusted"));
        let output = self
            .verifier("skopeo")
            .args(["--policy", "keys/policy.json", "--registries.d", "keys/registries.d", "copy", "--all"])
            .args(["--remove-signatures", "--src-tls-verify=false", &format!("docker://{image}")])
            .arg("oci:keys/trusted:x")
            .output()
            .expect("skopeo runs");
        output.status.success()
    }

    /// Calls hoist with the password of the keys.
    fn hoist(&self, arguments: &[&str]) -> Ended {
        self.repo.hoist_with(arguments, &[("COSIGN_PASSWORD", PASSWORD)])
    }

    fn release(&self, tag: &str) -> Ended {
        self.hoist(&["release", "--event", &format!("tag={tag}"), "--yes"])
    }

    fn web(&self, name: &str) -> String {
        format!("127.0.0.1:{}/team/web{name}", self.registry.port)
    }

    /// The tags of the repository, each with its digest.
    fn tags(&self) -> Vec<(String, String)> {
        let listed = direct(self.registry.port, "/v2/team/web/tags/list").unwrap_or_default();
        let listed: Value = serde_json::from_slice(&listed).unwrap_or_default();
        let names = listed["tags"].as_array().cloned().unwrap_or_default();
        let names = names.iter().filter_map(Value::as_str);
        let digest = |tag: &str| digest_of(self.registry.port, &format!("web:{tag}"));
        let mut tags: Vec<_> = names.map(|tag| (tag.to_owned(), digest(tag))).collect();
        tags.sort();
        tags
    }

    /// The tags that are names of images.
    fn names(&self) -> Vec<String> {
        let tags = self.tags().into_iter().map(|(tag, _)| tag);
        tags.filter(|tag| !tag.starts_with("sha256-")).collect()
    }

    /// The digests of the images for each platform.
    fn platforms(&self, tag: &str) -> Vec<String> {
        let index =
            direct(self.registry.port, &format!("/v2/team/web/manifests/{tag}")).expect("it is there");
        let index: Value = serde_json::from_slice(&index).expect("it is JSON");
        let manifests = index["manifests"].as_array().expect("an index").iter();
        manifests.map(|entry| entry["digest"].as_str().expect("a digest").to_owned()).collect()
    }

    /// What is stated of an image in the list of its attestations.
    fn statement(&self, tag: &str, kind: &str) -> Value {
        let image = self.web(&format!(":{tag}"));
        let words = ["verify-attestation", "--insecure-ignore-tlog=true", "--allow-http-registry"];
        let output =
            self.cosign(&[&words[..], &["--key", "keys/cosign.pub", "--type", kind, &image]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let envelope: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let payload = envelope["payload"].as_str().expect("a payload");
        serde_json::from_slice(&STANDARD.decode(payload).expect("base64")).expect("JSON")
    }
}

/// The words of cosign that look at bundles; it needs a root of trust although it asks
/// nobody.
fn of_bundles(world: &World) -> [String; 3] {
    let root = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;
    world.repo.write("keys/root.json", root);
    ["--new-bundle-format".to_owned(), "--trusted-root".to_owned(), "keys/root.json".to_owned()]
}

#[test]
fn cosign_and_skopeo_accept_what_hoist_signed_and_nothing_else() {
    if !ready("signatures before other verifiers") {
        return;
    }
    let world = World::new(IMAGE);
    world.key("other");
    let released = world.release("v1.0.0");
    assert_eq!(released.code, 0, "{}", released.stderr);
    let image = world.web(":1.0.0");
    let bundles = of_bundles(&world);
    let bundles: Vec<&str> = bundles.iter().map(String::as_str).collect();
    let in_bundle = ["verify-attestation", "--type", "https://sigstore.dev/cosign/sign/v1"];
    let in_bundle = [&in_bundle[..], &bundles].concat();
    // The index, and what whoever pulls it for a platform gets.
    for digest in
        world.platforms("1.0.0").iter().map(|digest| format!("@{digest}")).chain([":1.0.0".to_owned()])
    {
        let image = world.web(&digest);
        assert!(world.accepts("cosign", &["verify"], &image), "{image}");
        assert!(world.accepts("cosign", &in_bundle, &image), "{image}");
        assert!(!world.accepts("other", &["verify"], &image), "{image}");
        assert!(!world.accepts("other", &in_bundle, &image), "{image}");
    }
    assert!(world.is_trusted("cosign", &image));
    assert!(!world.is_trusted("other", &image));
    assert_eq!(world.hoist(&["verify", &image, "--key", "keys/cosign.pub"]).code, 0);

    // Another image under the same name, which nobody signed.
    world.repo.write("web", "2\n");
    world.repo.write("release.kdl", World::file(world.registry.port, &IMAGE.replace("    sign", "    //")));
    world.repo.commit("Not signed");
    assert_eq!(world.release("v1.1.0").code, 0);
    let unsigned = world.web(":1.1.0");
    assert!(!world.accepts("cosign", &["verify"], &unsigned) && !world.is_trusted("cosign", &unsigned));
    let refused = world.hoist(&["verify", &unsigned, "--key", "keys/cosign.pub"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("hoist::seal::unsigned"), "{}", refused.stderr);

    // The signature of the one put beside the other.
    let list =
        |tag: &str| format!(":sha256-{}.sig", &digest_of(world.registry.port, &format!("web:{tag}"))[7..]);
    let copied = world.hoist(&["copy", &world.web(&list("1.0.0")), &world.web(&list("1.1.0"))]);
    assert_eq!(copied.code, 0, "{}", copied.stderr);
    assert!(!world.accepts("cosign", &["verify"], &unsigned) && !world.is_trusted("cosign", &unsigned));
    let refused = world.hoist(&["verify", &unsigned, "--key", "keys/cosign.pub"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("hoist::seal::wrong_signature"), "{}", refused.stderr);
    assert!(refused.stderr.contains("is for another image"), "{}", refused.stderr);
    let refused = world.hoist(&["verify", &image, "--key", "keys/other.pub"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("was not made by this key"), "{}", refused.stderr);
}

#[test]
fn hoist_verifies_what_cosign_signed_and_both_sign_one_image() {
    if !ready("signatures of cosign") {
        return;
    }
    let world = World::new(&IMAGE.replace("    sign", "    //"));
    world.key("other");
    assert_eq!(world.release("v1.0.0").code, 0);
    let image = world.web(":1.0.0");
    let sign = |key: &str| {
        let key = format!("keys/{key}.key");
        let words = ["sign", "--yes", "--tlog-upload=false", "--allow-http-registry", "--key", &key, &image];
        let output = world.cosign(&words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let is_verified = |key: &str| {
        let ended = world.hoist(&["verify", &image, "--key", &format!("keys/{key}.pub")]);
        assert!(matches!(ended.code, 0 | 3), "{}", ended.stderr);
        ended.code == 0
    };
    assert!(!is_verified("other"));
    sign("other");
    assert!(is_verified("other") && !is_verified("cosign"));

    // hoist adds its own to the list that cosign began.
    world.repo.write("release.kdl", World::file(world.registry.port, IMAGE));
    // The same commit is the same image.
    let signed = world.hoist(&["release", "--event", "tag=v1.0.0", "--yes", "--allow-dirty"]);
    assert_eq!(signed.code, 0, "{}", signed.stderr);
    assert!(is_verified("other") && is_verified("cosign"));
    assert!(world.accepts("other", &["verify"], &image) && world.accepts("cosign", &["verify"], &image));
    assert!(world.is_trusted("cosign", &image));
    // And cosign to what hoist wrote.
    sign("other");
    for key in ["other", "cosign"] {
        assert!(is_verified(key) && world.accepts(key, &["verify"], &image), "{key}");
    }

    // What cosign attests in a bundle is told as well.
    world.repo.write("keys/predicate.json", "{\"made\":\"by hand\"}");
    let words = ["attest", "--yes", "--tlog-upload=false", "--allow-http-registry", "--new-bundle-format"];
    let what = ["--predicate", "keys/predicate.json", "--type", "https://example.com/made"];
    let output = world.cosign(&[&words[..], &what, &["--key", "keys/other.key", &image]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = world.hoist(&["verify", &image, "--key", "keys/other.pub"]);
    assert!(told.stdout.contains("attested by it: https://example.com/made"), "{}", told.stdout);
}

#[test]
fn provenance_and_bill_of_materials_are_attested_once_and_cosign_reads_them() {
    if !ready("attestations before cosign") {
        return;
    }
    let attest = "    attest provenance=#true sbom=\"made/bom.json\"\n    push";
    let target = "target \"bom\" { run \"mkdir -p made && cp bom made/bom.json\"; inputs \"bom\"; \
                  outputs \"made/bom.json\"; }\nvar \"color\" \"red\"\nvar \"size\" \"1\"\n\
                  target \"compile\" { run \"mkdir -p made && cp web made/web\"; inputs \"web\"; outputs \"made/web\"; }\n";
    let image = IMAGE.replace("    push", attest).replace("copy \"web\"", "copy \"made/web\"");
    let world = World::new(&format!("{target}{image}"));
    world.repo.write("bom", "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"version\":1}\n");
    world.repo.git(&["remote", "add", "origin", "https://user:hidden@git.example.com/acme/web.git"]);
    world.repo.commit("With a bill of materials");
    let sha = world.repo.git(&["rev-parse", "HEAD"]);
    let arguments = ["release", "--event", "tag=v1.0.0", "--yes", "color=blue"];
    let released = world.hoist(&arguments);
    assert_eq!(released.code, 0, "{}", released.stderr);
    let bundles = of_bundles(&world);
    let bundles: Vec<&str> = bundles.iter().map(String::as_str).collect();
    for kind in ["slsaprovenance1", "cyclonedx"] {
        let words = ["verify-attestation", "--type", kind];
        for digest in
            world.platforms("1.0.0").iter().map(|digest| format!("@{digest}")).chain([":latest".to_owned()])
        {
            let image = world.web(&digest);
            assert!(world.accepts("cosign", &words, &image), "{kind} {image}");
            assert!(world.accepts("cosign", &[&words[..], &bundles].concat(), &image), "{kind} {image}");
        }
    }
    let statement = world.statement("1.0.0", "slsaprovenance1");
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let subjects: Vec<_> = statement["subject"].as_array().expect("subjects").iter().collect();
    let index = digest_of(world.registry.port, "web:1.0.0");
    assert_eq!((subjects.len(), &subjects[0]["digest"]["sha256"]), (3, &Value::from(&index[7..])));
    let build = &statement["predicate"]["buildDefinition"];
    let parameters = serde_json::json!({
        "image": "web",
        "platforms": ["linux/amd64", "linux/arm64"],
        "event": { "kind": "tag", "name": "v1.0.0" },
        "variables": { "color": "blue" },
    });
    assert_eq!(build["externalParameters"], parameters);
    let source = serde_json::json!({
        "digest": { "gitCommit": sha }, "name": "source", "uri": "git+https://git.example.com/acme/web",
    });
    // The list is what b3sum says; what a step makes for another is in the key of that one.
    let list = format!("{}  web\n", blake3::hash(b"1\n"));
    let list = hoist::oci::Digest::of(list.as_bytes()).hex();
    let inputs = serde_json::json!({
        "name": "inputs of compile", "digest": { "sha256": list }, "annotations": { "files": 1 },
    });
    assert_eq!(build["resolvedDependencies"], serde_json::json!([source, inputs]));
    let steps = build["internalParameters"]["steps"].as_array().expect("steps");
    let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["compile", "web:build@linux/amd64", "web:build@linux/arm64", "web:index"]);
    assert!(steps.iter().all(|step| step["key"]["blake3"].as_str().is_some_and(|key| key.len() == 64)));
    let run = &statement["predicate"]["runDetails"];
    assert!(run["builder"]["id"].is_string() && run["metadata"]["invocationId"].is_string(), "{run}");
    let bom = world.statement("1.0.0", "cyclonedx");
    assert_eq!(bom["predicate"]["bomFormat"], "CycloneDX");

    // Again, in another run at another time: nothing is added.
    let before = world.tags();
    let again = world.hoist(&arguments);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    assert_eq!(world.tags(), before);
    let json = world.hoist(&["verify", "--json", &world.web(":1.0.0"), &world.web(":latest")]);
    assert_eq!(json.code, 0, "{}{}", json.stdout, json.stderr);
    schemas::check("verify", &json.stdout);
    let first: Value = serde_json::from_str(json.stdout.lines().next().expect("a line")).expect("JSON");
    let attested = serde_json::json!(["https://cyclonedx.org/bom", "https://slsa.dev/provenance/v1"]);
    assert_eq!((&first["verified"], &first["keys"][0]["attested"]), (&Value::from(true), &attested));
    assert_eq!(first["keys"][0]["forms"], serde_json::json!(["tag", "bundle"]));

    // What is no bill of materials stops the release before its tags.
    world.repo.write("bom", "{\"some\":\"thing\"}\n");
    world.repo.commit("No bill of materials");
    let failed = world.release("v1.1.0");
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    for said in ["hoist::seal::sbom", "`made/bom.json` is no bill of materials", "sbom=\"made/bom.json\""] {
        assert!(failed.stderr.contains(said), "{said}: {}", failed.stderr);
    }
    assert_eq!(world.names(), ["1.0", "1.0.0", "latest"]);
}

/// Whether a request is harmed.
type IsHarmed = fn(&str) -> bool;

/// Whether a request is about a list of signatures.
fn is_list(name: &str) -> bool {
    name.strip_suffix(".sig").is_some()
}

/// Whether a request is about the tag that lists what refers to an image.
fn is_fallback(name: &str) -> bool {
    let tag = name.split_once("/manifests/sha256-").map(|(_, tag)| tag);
    tag.is_some_and(|tag| tag.len() == 64)
}

#[test]
fn a_registry_that_fails_at_signatures_gets_no_tag_and_is_never_taken_for_unsigned() {
    if !ready("faults at signatures") {
        return;
    }
    let world = World::new(IMAGE);
    let refused = Fault::Status("403 Forbidden", None);
    let broken = Fault::Status("500 Internal Server Error", None);
    // Listing, then writing: the list under a tag, what is in it, and referrers, whose list
    // is under a tag, too.
    let cases: [(&str, Fault, IsHarmed); 6] = [
        ("list", refused, |name| !name.starts_with("PUT") && is_list(name)),
        ("list that breaks", broken, |name| !name.starts_with("PUT") && is_list(name)),
        ("referrers", broken, |name| name.contains("/referrers/")),
        ("referrers by tag", refused, |name| name.starts_with("GET") && is_fallback(name)),
        ("writing the list", broken, |name| name.starts_with("PUT") && is_list(name)),
        ("writing referrers", refused, |name| name.starts_with("PUT") && is_fallback(name)),
    ];
    let arguments = ["release", "--event", "tag=v1.0.0", "--yes", "--allow-dirty"];
    for (what, fault, is_harmed) in cases {
        let harm = move |name: &str, _| is_harmed(name).then_some(fault);
        let proxy = Proxy::start(world.registry.port, Box::new(harm));
        world.repo.write("release.kdl", World::file(proxy.port, IMAGE));
        let ended = world.hoist(&arguments);
        assert!(matches!(ended.code, 1 | 3), "{what} {}: {}", ended.code, ended.stderr);
        assert!(!proxy.told().is_empty(), "{what}");
        assert!(ended.stderr.contains("no tag was set at `local`"), "{what}: {}", ended.stderr);
        assert_eq!(world.names(), Vec::<String>::new(), "{what}");
    }
    let proxy = Proxy::start(world.registry.port, Box::new(|_, _| None));
    world.repo.write("release.kdl", World::file(proxy.port, IMAGE));
    let healed = world.hoist(&arguments);
    assert_eq!(healed.code, 0, "{}", healed.stderr);
    assert!(world.hoist(&["verify", &world.web(":1.0.0"), "--key", "keys/cosign.pub"]).code == 0);

    // Who only looks is told that it cannot be read, not that nothing is there.
    let cases: [IsHarmed; 2] = [|name| is_list(name), |name| name.contains("/referrers/")];
    for is_harmed in cases {
        let harm = move |name: &str, _| is_harmed(name).then_some(broken);
        let proxy = Proxy::start(world.registry.port, Box::new(harm));
        let image = format!("127.0.0.1:{}/team/web:1.0.0", proxy.port);
        let ended = world.hoist(&["verify", &image, "--key", "keys/cosign.pub"]);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("hoist::store::registry"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("is not signed"), "{}", ended.stderr);
    }
}

/// How many stories are told of whatever happens to whichever request: fewer than of releases
/// that are not signed, of which `HOIST_FAULT_ROUNDS` says how many there are.
fn stories() -> u64 {
    let rounds = std::env::var("HOIST_FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse::<u64>().ok());
    rounds.unwrap_or(300).div_ceil(30)
}

/// Entries of the list under a tag.
fn entries(port: u16, path: &str) -> usize {
    let list = direct(port, path).expect("there is a list");
    let list: Value = serde_json::from_slice(&list).expect("it is JSON");
    list.get("layers").or(list.get("manifests")).and_then(Value::as_array).map_or(0, Vec::len)
}

#[test]
fn whatever_happens_at_a_registry_what_has_a_name_there_is_signed_and_attested_once() {
    if !ready("stories of faults at signatures") {
        return;
    }
    let image = IMAGE.replace("file:keys/cosign.key", "file:keys/plain.pem");
    let world = World::new(&image.replace("    push", "    attest provenance=#true\n    push"));
    world.plain_key();
    let text = world.repo.read("release.kdl");
    let text = text.replacen(&format!("127.0.0.1:{}/team", world.registry.port), "{place}", 1);
    world.repo.write("release.kdl", format!("var \"place\" env=\"PLACE\"\n{text}"));
    world.repo.commit("To wherever is said");
    let port = world.registry.port;
    for seed in 0..stories() {
        let proxy = Proxy::start(port, Arc::new(Story::new(seed)).harm());
        let place = format!("127.0.0.1:{}/s{seed}", proxy.port);
        let release = || {
            let environment = [("PLACE", &*place), FIRST_WAIT];
            world.repo.hoist_with(&["release", "--event", "tag=v1.0.0", "--yes"], &environment)
        };
        let list = |end: &str| {
            let index = direct(port, &format!("/v2/s{seed}/web/manifests/1.0.0")).expect("it has a name");
            let digest = hoist::oci::Digest::of(&index).hex();
            format!("/v2/s{seed}/web/manifests/sha256-{digest}{end}")
        };
        let verify = |tag: &str| {
            let name = format!("127.0.0.1:{port}/s{seed}/web:{tag}");
            world.repo.hoist(&["verify", &name, "--key", "keys/plain.pub"])
        };
        let ended = release();
        assert!(matches!(ended.code, 0 | 1 | 3 | 5), "story {seed}: {}: {}", ended.code, ended.stderr);
        for tag in ["1.0.0", "1.0", "latest"] {
            if direct(port, &format!("/v2/s{seed}/web/manifests/{tag}")).is_some() {
                let verified = verify(tag);
                assert_eq!(verified.code, 0, "story {seed}: {tag}: {}{}", ended.stderr, verified.stderr);
            }
        }
        proxy.heal();
        let healed = release();
        assert_eq!(healed.code, 0, "story {seed}: {}\n{}", proxy.told(), healed.stderr);
        let verified = verify("latest");
        assert_eq!(verified.code, 0, "story {seed}: {}", verified.stderr);
        assert!(
            verified.stdout.contains("https://slsa.dev/provenance/v1"),
            "story {seed}: {}",
            verified.stdout
        );
        let found = [".sig", ".att", ""].map(|end| entries(port, &list(end)));
        assert_eq!(found, [1, 1, 2], "story {seed}: {}", proxy.told());
    }
}

#[test]
fn a_key_that_cannot_be_used_is_told_before_anything_is_built() {
    if !ready("keys that cannot be used") {
        return;
    }
    let world = World::new(IMAGE);
    let release = |environment: &[(&str, &str)]| {
        world.repo.git(&["tag", "--force", "v1.0.0"]);
        let ended = world.repo.hoist_with(&["release", "--event", "tag=v1.0.0", "--yes"], environment);
        assert_eq!(ended.code, 3, "{}", ended.stderr);
        assert!(ended.stderr.contains("hoist::seal::signing_key"), "{}", ended.stderr);
        assert!(ended.stderr.contains("6 not run"), "{}", ended.stderr);
        ended.stderr
    };
    assert!(release(&[]).contains("set `COSIGN_PASSWORD` to its password"));
    let wrong = release(&[("COSIGN_PASSWORD", "wrong-horse")]);
    assert!(wrong.contains("the password does not open it") && !wrong.contains("wrong-horse"), "{wrong}");
    let doctor = world.repo.hoist(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("key file:keys/cosign.key"), "{}", doctor.stdout);

    world.repo.write(
        "release.kdl",
        World::file(world.registry.port, &IMAGE.replace("file:keys/cosign.key", "env:KEY")),
    );
    world.repo.commit("A key of the environment");
    assert!(release(&[]).contains("the variable `KEY` is not set"));
    assert!(release(&[("KEY", "no key at all")]).contains("it has no line `-----BEGIN"));
    let checked = world.repo.hoist(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(
        checked.stderr.contains("`web` is signed with `env:KEY`, and the variable is not set"),
        "{}",
        checked.stderr
    );
    assert!(!world.repo.has("keys/trusted") && world.tags().is_empty());
}

#[test]
fn a_bill_of_materials_needs_no_key_and_is_missed_before_anything_is_built() {
    let repo = Repo::new();
    let image = r#"
        registry "out" "oci:out"
        image "web" {
            assemble from="scratch" { user "1"; }
            tags { raw "dev"; }
            attest sbom="bom.json"
            push "out"
        }
    "#;
    repo.write(".gitignore", "/out\n");
    repo.write("release.kdl", image);
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    let release = || repo.hoist(&["release", "--event", "branch=main", "--yes"]);
    let missing = release();
    assert_eq!(missing.code, 3, "{}", missing.stderr);
    for said in ["hoist::seal::sbom", "cannot read `bom.json`", "5 not run"] {
        assert!(missing.stderr.contains(said), "{said}: {}", missing.stderr);
    }
    repo.write("bom.json", "{\"spdxVersion\":\"SPDX-2.3\"}");
    repo.commit("A bill of materials");
    let released = release();
    assert_eq!(released.code, 0, "{}", released.stderr);
    assert!(released.stderr.contains("attached `bom.json`, which nobody signed"), "{}", released.stderr);
    let again = release();
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    let inspected = repo.hoist(&["inspect", "oci:out/web:dev"]);
    assert_eq!(inspected.stdout.matches("application/spdx+json").count(), 1, "{}", inspected.stdout);
}

#[test]
fn keys_and_passwords_are_told_to_nobody_and_kept_nowhere() {
    if !ready("secrecy of keys") {
        return;
    }
    // The command sees which arguments all processes have.
    let key = "command:cat /proc/[0-9]*/cmdline > made/arguments 2> /dev/null; cat keys/plain.pem";
    let image = IMAGE.replace("file:keys/cosign.key", key);
    let image = image.replace("    push", "    sign key=\"file:keys/cosign.key\"\n    push");
    let target = "target \"tell\" { run \"env; cat keys/cosign.key\"; }\n";
    let world = World::new(&format!("{target}{}", image.replace("    push", "    needs \"tell\"\n    push")));
    world.plain_key();
    world.repo.write("made/.keep", "");
    let ended = world.release("v1.0.0");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let verified = world.hoist(&["verify", "--json", &world.web(":1.0.0")]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let failed =
        world.repo.hoist_with(&["verify", &world.web(":1.0.0")], &[("COSIGN_PASSWORD", "wrong-horse")]);
    assert_eq!(failed.code, 3, "{}", failed.stderr);
    let of = |name: &str| {
        let text = world.repo.read(name);
        let lines = text.lines().filter(|line| !line.starts_with("-----") && line.len() > 16);
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut secrets = of("keys/cosign.key");
    secrets.extend(of("keys/plain.pem"));
    assert!(secrets.len() > 4);
    secrets.extend([PASSWORD.to_owned(), "wrong-horse".to_owned()]);
    let above = world.repo.path().parent().expect("it has a parent").to_owned();
    for secret in &secrets {
        for ended in [&ended, &verified, &failed] {
            assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{secret}");
        }
        // All that hoist and the registry have kept, and the arguments of processes.
        let places = ["cache", "home", "project/.hoist", "project/.registry", "project/made"];
        for place in places {
            assert_eq!(files_with(&above.join(place), secret), Vec::<PathBuf>::new(), "{secret}");
        }
    }
    let arguments = fs::read(world.repo.path().join("made/arguments")).expect("the command ran");
    assert!(String::from_utf8_lossy(&arguments).contains(env!("CARGO_BIN_EXE_hoist")), "it saw hoist");
}

#[test]
fn an_image_in_a_directory_is_signed_with_a_bundle() {
    if !ready("signatures in directories") {
        return;
    }
    let world = World::new(&IMAGE.replace("push \"local\"", "attest provenance=#true\n    push \"out\""));
    let text = world.repo.read("release.kdl");
    world.repo.write("release.kdl", format!("registry \"out\" \"oci:out\"\n{text}"));
    world.repo.commit("To a directory");
    let released = world.release("v1.0.0");
    assert_eq!(released.code, 0, "{}", released.stderr);
    let verified = world.hoist(&["verify", "oci:out/web:1.0.0"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    for said in ["signed by the key `file:keys/cosign.key`", "in a bundle", "https://slsa.dev/provenance/v1"]
    {
        assert!(verified.stdout.contains(said), "{said}: {}", verified.stdout);
    }
    let again = world.release("v1.0.0");
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    // It is the only image of the directory all the same.
    let inspected = world.hoist(&["inspect", "oci:out/web", "-q"]);
    assert_eq!(inspected.stdout.trim(), world.hoist(&["inspect", "web", "-q"]).stdout.trim());
}

#[test]
fn the_release_file_of_the_page_on_signing_is_right() {
    let page = include_str!("../docs/signing.md");
    let (_, rest) = page.split_once("```kdl\n").expect("it has a release file");
    let (text, _) = rest.split_once("```").expect("which ends");
    let repo = Repo::with(text);
    repo.write("web", "1\n");
    repo.write("dist/bom.cdx.json", "{\"bomFormat\":\"CycloneDX\"}");
    let checked = repo.hoist(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(
        checked.stderr.contains("`env:COSIGN_PRIVATE_KEY`, and the variable is not set"),
        "{}",
        checked.stderr
    );
    let planned = repo.hoist(&["plan", "--json", "--event", "tag=v1.0.0", "--allow-dirty"]);
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    for step in ["web:sign@ghcr", "web:attest@ghcr", "web:tag@ghcr"] {
        assert!(planned.stdout.contains(step), "{step}: {}", planned.stdout);
    }
}
