//! Who one is at registries: `hoist login`, `logout`, and what `doctor` says of it.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::fixture::{Ended, Repo, installed};
use crate::registry::Registry;

/// `user` with the password `s3cret`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

/// A project that pushes to a registry that lets in nobody else than `user`.
fn project() -> Option<(Repo, Registry, String)> {
    if !installed("logging in to a registry", &["docker-registry"]) {
        return None;
    }
    let repo = Repo::new();
    repo.write(".registry.users", HTPASSWD);
    let users = repo.path().join(".registry.users");
    let settings = format!("auth: {{ htpasswd: {{ realm: test, path: {} }} }}", users.display());
    let registry = Registry::start_with(&repo, &settings);
    let host = format!("127.0.0.1:{}", registry.port);
    repo.write(
        "release.kdl",
        format!("registry \"local\" \"{host}/team\"\nregistry \"out\" \"oci:dist\"\nimage \"web\" {{\n    assemble from=\"scratch\" {{ layer {{ copy \"release.kdl\" \"/a\"; }}; }}\n    tags {{ raw \"dev\"; }}\n    push \"local\"\n}}\n"),
    );
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    Some((repo, registry, host))
}

/// A call that is given a password.
fn login(repo: &Repo, host: &str, password: &str, more: &[&str]) -> Ended {
    let arguments = [&["login", host, "-u", "user", "--password-stdin"], more].concat();
    let mut command = repo.command(&arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("hoist can be started");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(format!("{password}\n").as_bytes()).expect("it is read");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Ended { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn doctor(repo: &Repo) -> (i32, String) {
    let ended = repo.hoist(&["doctor", "--json"]);
    let value: Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    let checks = value["checks"].as_array().expect("a list");
    let local = checks.iter().find(|check| check["name"] == "registry local").expect("it is checked");
    (ended.code, format!("{} {}", local["status"], local["found"]).replace('"', ""))
}

#[test]
fn a_password_is_kept_after_the_registry_has_accepted_it() {
    let Some((repo, _registry, host)) = project() else { return };
    let (code, found) = doctor(&repo);
    assert_eq!(code, 1, "{found}");
    assert!(
        found.starts_with(&format!("fail {host}/team/web: may neither pull nor push (anonymous")),
        "{found}"
    );

    let wrong = login(&repo, &host, "wr0ng", &[]);
    assert_eq!(wrong.code, 3, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("hoist::store::unauthorized"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("wr0ng"), "{}", wrong.stderr);
    let anonymous = repo.hoist(&["login"]).stdout;
    assert!(anonymous.contains("anonymous: nothing is kept for it"), "{anonymous}");

    let right = login(&repo, &host, "s3cret", &[]);
    assert_eq!(right.code, 0, "{}", right.stderr);
    assert!(right.stderr.contains("the password lies there unencrypted"), "{}", right.stderr);
    let known = repo.hoist(&["login"]).stdout;
    assert!(known.contains("user") && known.contains(".docker/config.json"), "{known}");
    let (code, found) = doctor(&repo);
    assert_eq!(code, 0, "{found}");
    assert!(found.starts_with(&format!("ok {host}/team/web: may pull, may push as user (")), "{found}");
    assert!(!found.contains("s3cret"), "{found}");
    let released = repo.hoist(&["release", "--event", "branch=main", "--yes"]);
    assert_eq!(released.code, 0, "{}", released.stderr);

    let out = repo.hoist(&["logout", &host]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(repo.hoist(&["login"]).stdout.contains("anonymous"));
    let json = login(&repo, &format!("https://{host}/"), "s3cret", &["--json"]);
    let json: Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!((&json["verified"], &json["encrypted"]), (&Value::Bool(true), &Value::Bool(false)));
}

#[test]
fn nobody_is_asked_for_a_password_where_there_is_no_terminal() {
    let repo = Repo::new();
    let asked = repo.hoist(&["login", "ghcr.io", "-u", "user"]);
    assert_eq!(asked.code, 3, "{}", asked.stderr);
    assert!(asked.stderr.contains("--password-stdin"), "{}", asked.stderr);
    for wrong in ["ghcr.io/acme", "not a host", ""] {
        assert_eq!(repo.hoist(&["login", wrong, "-u", "user", "--password-stdin"]).code, 2, "{wrong}");
    }
    assert!(!repo.path().join("../home/.docker").exists());
}

#[test]
fn what_is_missing_is_a_failure_only_where_it_is_needed() {
    let repo = Repo::new();
    let bare = repo.hoist(&["doctor"]);
    assert_eq!(bare.code, 0, "{}", bare.stdout);
    assert!(bare.stdout.contains("warn  release.kdl  there is none here or above"), "{}", bare.stdout);
    let blocked = [("HOIST_CACHE_DIR", "/proc/nothing/cache")];
    let cache = repo.hoist_with(&["doctor"], &blocked);
    assert_eq!(cache.code, 1, "{}", cache.stdout);
    assert!(cache.stdout.contains("fail  cache"), "{}", cache.stdout);
    // Secrets of the file are named, and never shown.
    repo.write(
        "release.kdl",
        "registry \"a\" \"127.0.0.1:1/x\" { login username=\"me\" password=\"env:TOKEN\"; }\n",
    );
    let known = repo.hoist_with(&["doctor"], &[("TOKEN", "s3cret")]);
    assert!(known.stdout.contains("as me (`login` in release.kdl, env:TOKEN)"), "{}", known.stdout);
    assert!(!known.stdout.contains("s3cret"), "{}", known.stdout);
    let unset = repo.hoist(&["login"]).stdout;
    assert!(unset.contains("the variable `TOKEN` is not set"), "{unset}");
    repo.write("release.kdl", "imag \"a\"\n");
    let wrong = repo.hoist(&["doctor"]);
    assert_eq!(wrong.code, 1, "{}", wrong.stdout);
    assert!(wrong.stdout.contains("`hoist check` shows where"), "{}", wrong.stdout);
}

#[test]
fn a_login_is_kept_where_the_environment_of_the_file_says() {
    let Some((repo, _registry, host)) = project() else { return };
    let release = repo.read("release.kdl");
    repo.write("release.kdl", format!("dotenv \".env\"\n{release}"));
    repo.write(".env", format!("REGISTRY_AUTH_FILE={}\n", repo.path().join("auth.json").display()));
    let path = format!("{{\"auths\": {{\"{host}/team\": {{\"auth\": \"eDp5\"}}}}}}");
    repo.write("auth.json", path);
    let right = login(&repo, &host, "s3cret", &[]);
    assert_eq!(right.code, 0, "{}", right.stderr);
    assert!(repo.read("auth.json").contains("dXNlcjpzM2NyZXQ="), "{}", repo.read("auth.json"));
    // What podman keeps for a path there is found first.
    let narrower = format!("for what is below {host}/team the file has another login");
    assert!(right.stderr.contains(&narrower), "{}", right.stderr);
    assert!(right.stderr.contains("others may read that file"), "{}", right.stderr);
    let json = login(&repo, &host, "s3cret", &["--json"]);
    crate::schemas::check("login", &json.stdout);
    let json: Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(json["narrower"], serde_json::json!([format!("{host}/team")]));
    assert_eq!(repo.hoist(&["logout", &host]).code, 0);
    assert!(!repo.read("auth.json").contains("dXNlcjpzM2NyZXQ="));
}

#[test]
fn a_password_is_not_cut() {
    let Some((repo, _registry, host)) = project() else { return };
    let long = login(&repo, &host, &"x".repeat(70_000), &[]);
    assert_eq!(long.code, 2, "{}", long.stderr);
    assert!(long.stderr.contains("it has more than 65536 bytes"), "{}", long.stderr);
}

#[test]
fn help_names_the_password_that_was_wrong() {
    let Some((repo, _registry, host)) = project() else { return };
    let wrong = login(&repo, &host, "wr0ng", &[]);
    assert!(
        wrong.stderr.contains(&format!("nothing was kept: run `hoist login {host}` again")),
        "{}",
        wrong.stderr
    );
    assert_eq!(login(&repo, &host, "s3cret", &[]).code, 0);
    let release = repo.read("release.kdl").replace(
        &format!("\"{host}/team\""),
        &format!("\"{host}/team\" {{ login username=\"user\" password=\"env:PASSWORD\"; }}"),
    );
    repo.write("release.kdl", release);
    let refused = repo.hoist_with(
        &["release", "--event", "branch=main", "--yes", "--allow-dirty"],
        &[("PASSWORD", "wr0ng")],
    );
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("mend the `login` of the registry in release.kdl"), "{}", refused.stderr);
    let doctor = repo.hoist_with(&["doctor"], &[("PASSWORD", "wr0ng")]);
    assert!(
        doctor.stdout.contains("may neither pull nor push as user (`login` in release.kdl, env:PASSWORD)"),
        "{}",
        doctor.stdout
    );
}

#[test]
fn doctor_tells_what_is_not_reached_and_looks_for_bases() {
    let Some((repo, _registry, host)) = project() else { return };
    repo.write(
        "release.kdl",
        format!(
            "registry \"gone\" \"127.0.0.1:1/team\"\nregistry \"out\" \"oci:dist\"\n\
             image \"a\" {{ assemble from=\"127.0.0.1:1/base:1\"; tags {{ raw \"dev\"; }}; push \"gone\"; }}\n\
             image \"b\" {{ assemble from=\"{host}/base:1\"; tags {{ raw \"dev\"; }}; push \"out\"; }}\n"
        ),
    );
    let ended = repo.hoist_with(&["doctor"], &[("DOCKER_HOST", "tcp://127.0.0.1:1")]);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    let row = |name: &str| {
        let found = ended.stdout.lines().find(|line| line.contains(name));
        found.unwrap_or_else(|| panic!("{name}: {}", ended.stdout)).to_owned()
    };
    let base = row("base 127.0.0.1:1/base:1");
    assert!(base.starts_with("fail") && base.contains("cannot be reached: Connection refused"), "{base}");
    let base = row(&format!("base {host}/base:1"));
    assert!(base.starts_with("fail") && base.contains("may not be read (anonymous"), "{base}");
    let gone = row("registry gone");
    assert!(gone.contains("127.0.0.1:1/team/a: cannot be reached: Connection refused"), "{gone}");
    let engine = row("DOCKER_HOST");
    assert!(engine.starts_with("warn"), "nothing needs it: {engine}");
    assert!(engine.ends_with("tcp://127.0.0.1:1: Connection refused (os error 111)"), "{engine}");
    assert!(!ended.stdout.contains("()"), "{}", ended.stdout);
}
