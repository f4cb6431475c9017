//! Secrets of every kind in one release: none of them is anywhere but where it was put.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::deploying::FakeForge;
use crate::engines::processes;
use crate::fixture::{Ended, Repo, done, files_with, installed};
use crate::logins::HTPASSWD;
use crate::registry::Registry;

/// Variables with secrets in them.
const VARIABLES: [(&str, &str); 5] = [
    ("REGISTRY_PASSWORD", "s3cret"),
    ("COSIGN_PASSWORD", "horse-of-k3ys"),
    ("TOKEN", "t0ken-of-targets"),
    ("PROBE_TOKEN", "t0ken-of-probes"),
    ("GITHUB_TOKEN", "t0ken-of-forge"),
];
/// A secret of a dotenv file.
const DOTENV: &str = "s3cret-of-dotenv";
/// One in the address of the remote.
const REMOTE: &str = "t0ken-of-remotes";

struct World {
    repo: Repo,
    registry: Registry,
    forge: FakeForge,
}

impl World {
    fn new() -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n/.env\n/keys\n/out\n");
        repo.write(".registry-users", HTPASSWD);
        let users = repo.path().join(".registry-users").display().to_string();
        let auth = format!("auth: {{ htpasswd: {{ realm: test, path: {users} }} }}\n");
        let registry = Registry::start_with(&repo, &auth);
        let forge = FakeForge::start(false, "authorization: Bearer t0ken-of-forge");
        let world = Self { repo, registry, forge };
        world.repo.write(".env", format!("HIDDEN={DOTENV}\n"));
        world.repo.write("web", "1\n");
        world.repo.write("release.kdl", world.release());
        world.key();
        world.repo.git(&["init", "--quiet", "--initial-branch=main"]);
        world.repo.commit("Begin");
        for name in ["acme/remote", "acme/manifests"] {
            world.repo.git(&["init", "--quiet", "--bare", "--initial-branch=main", &world.beside(name)]);
            world.repo.git(&["push", "--quiet", &world.beside(name), "main"]);
        }
        world.repo.git(&["remote", "add", "origin", "https://bot:t0ken-of-remotes@git.invalid/acme/remote"]);
        world
    }

    fn release(&self) -> String {
        let (port, forge) = (self.registry.port, self.forge.port);
        format!(
            r#"
dotenv ".env"
registry "prod" "127.0.0.1:{port}/team" {{ login username="user" password="env:REGISTRY_PASSWORD"; }}
target "tell" {{
    outputs "out/told"
    pass-env "TOKEN"
    run "mkdir -p out && echo made > out/told && echo told $TOKEN"
}}
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; entrypoint "/web"; }}
    needs "tell"
    tags {{ semver "{{version}}"; latest; }}
    sign key="file:keys/plain.pem"
    attest provenance=#true
    push "prod"
}}
stage "production" {{
    on tag="v*"
    deploy "gitops" repo="https://git.invalid/acme/manifests" {{
        replace "web" "^.*$" "{{version}}"
        pull-request title="Release {{version}}" forge="github" api="http://127.0.0.1:{forge}/api"
    }}
    deploy "run" {{ run "echo deployed with $TOKEN $HIDDEN"; }}
    verify within="5s" {{ http "http://bot:{{env.PROBE_TOKEN}}@127.0.0.1:{forge}/?key={{env.PROBE_TOKEN}}" status=401; }}
}}
"#
        )
    }

    fn key(&self) {
        self.repo.write("keys/.keep", "");
        let made = Command::new("openssl")
            .args([
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-out",
                "keys/plain.pem",
            ])
            .current_dir(self.repo.path())
            .stderr(Stdio::null())
            .status();
        assert!(made.expect("openssl is installed").success());
    }

    fn beside(&self, name: &str) -> String {
        self.repo.path().with_file_name(name).display().to_string()
    }

    /// Calls hoist with all secrets; addresses of `git.invalid` lead beside the project.
    fn hoist(&self, arguments: &[&str]) -> Ended {
        let key = format!("url.{}.insteadOf", self.beside(""));
        let instead = [
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", key.as_str()),
            ("GIT_CONFIG_VALUE_0", "https://bot:t0ken-of-remotes@git.invalid/"),
            ("GIT_CONFIG_KEY_1", key.as_str()),
            ("GIT_CONFIG_VALUE_1", "https://git.invalid/"),
        ];
        self.repo.hoist_with(arguments, &[&VARIABLES[..], &instead].concat())
    }

    /// The lines of the private key, and all other secrets.
    fn secrets(&self) -> Vec<String> {
        let key = self.repo.read("keys/plain.pem");
        let key = key.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned);
        let others = VARIABLES.iter().map(|(_, value)| *value).chain([DOTENV, REMOTE]).map(str::to_owned);
        key.chain(others).collect()
    }
}

/// All that git keeps in a repository, unpacked.
fn objects(repository: &str) -> String {
    let words = ["-C", repository, "cat-file", "--batch-all-objects", "--batch"];
    let read = Command::new("git").args(words).output().expect("git is installed");
    String::from_utf8_lossy(&read.stdout).into_owned()
}

#[test]
fn secrets_of_every_kind_are_nowhere_but_where_they_were_put() {
    if !installed("secrets of a release", &["docker-registry", "openssl", "git"]) {
        return;
    }
    let world = World::new();
    let over = AtomicBool::new(false);
    let (mut told, seen) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = Vec::new();
            while !over.load(Ordering::Relaxed) {
                seen.extend(world.secrets().iter().flat_map(|secret| processes(secret)));
                std::thread::sleep(Duration::from_millis(5));
            }
            seen
        });
        let release = ["release", "--event", "tag=v1.0.0", "--yes", "--trace", "out/trace.json"];
        let files = ["--junit", "out/junit.xml", "--html", "out/page.html"];
        let first = world.hoist(&[&release[..], &files].concat());
        let again = world.hoist(&["release", "--event", "tag=v1.0.0", "--yes", "--json"]);
        over.store(true, Ordering::Relaxed);
        (vec![first, again], watch.join().unwrap())
    });
    for ended in &told {
        done(ended);
    }
    assert_eq!(told[0].stdout, "told ***\ndeployed with *** ***\n");
    assert_eq!(seen, Vec::<String>::new());
    for words in [
        &["status", "--json"][..],
        &["history", "--json"],
        &["log"],
        &["log", "--json"],
        &["why", "tell"],
        &["plan", "release", "--event", "tag=v1.0.0", "--json"],
        &["report"],
        &["doctor", "--json"],
        &["rollback", "production", "--yes"],
    ] {
        told.push(world.hoist(words));
    }
    let variables = [("REGISTRY_PASSWORD", "wr0ng-password"), ("TOKEN", "t0ken-of-targets")];
    let refused = world.repo.hoist_with(&["release", "--event", "tag=v1.0.1", "--yes"], &variables);
    assert_ne!(refused.code, 0);
    told.push(refused);

    let repositories = ["acme/remote", "acme/manifests", "project"];
    let objects = repositories.map(|name| objects(&world.beside(name))).concat();
    assert!(objects.contains("\"kind\": \"promote\"") || objects.contains("\"kind\": \"release\""));
    // Where they were put, and so found.
    let put = [".env", "keys/plain.pem", ".git/config", ".registry-users"];
    for secret in world.secrets().iter().map(String::as_str).chain(["wr0ng-password"]) {
        for ended in &told {
            assert!(!ended.stdout.contains(secret), "{secret}: {}", ended.stdout);
            assert!(!ended.stderr.contains(secret), "{secret}: {}", ended.stderr);
        }
        assert!(!objects.contains(secret), "{secret} is in a commit");
        let files = files_with(world.repo.path().parent().unwrap(), secret);
        assert!(secret != DOTENV || files.iter().any(|file| file.ends_with(".env")), "{files:?}");
        let found: Vec<_> = files.iter().filter(|file| !put.iter().any(|put| file.ends_with(put))).collect();
        assert_eq!(found, Vec::<&PathBuf>::new(), "{secret}");
    }
}

#[test]
fn what_is_named_after_a_secret_is_not_told() {
    let repo = Repo::with(
        r#"target "a" { pass-env "TOKEN"; run "mkdir -p out; touch \"out/$TOKEN\""; inputs "in"; outputs "out/"; }"#,
    );
    repo.write("in", "");
    let hoist = |words: &[&str]| repo.hoist_with(words, &[("TOKEN", "t0ken-of-targets")]);
    done(&hoist(&["run", "a"]));
    std::fs::remove_dir_all(repo.path().join("out")).unwrap();
    for words in [&["why", "a"][..], &["why", "a", "--json"], &["plan", "a"], &["plan", "a", "--json", "-v"]]
    {
        let told = hoist(words).stdout;
        assert!(told.contains("***") && !told.contains("t0ken"), "{told}");
    }
}
