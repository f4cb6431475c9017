//! Images on their way through stages: docker-registry on loopback, and a bare git
//! repository for the remote.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::fixture::{Ended, Repo, done, installed, refused};
use crate::proxy::{Fault, Proxy};
use crate::registry::{Registry, digest_of};
use crate::schemas::check;
use crate::signals::pid;

/// Three stages, and what production asks for.
fn release(port: u16, production: &str) -> String {
    format!(
        r#"
registry "dev" "127.0.0.1:{port}/team" insecure=#true
registry "prod" "127.0.0.1:{port}/team/prod" insecure=#true
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; user "1"; entrypoint "/web"; }}
    platforms "linux/amd64" "linux/arm64"
    tags {{
        semver "{{version}}" "{{major}}.{{minor}}"
        latest
        branch "{{branch}}-{{short}}" "{{branch}}-latest" match="develop,staging"
    }}
    expect user="!root"
    push "dev"
}}
stage "develop" {{ on branch="develop"; }}
stage "staging" {{ on branch="staging"; }}
stage "production" {{
    on tag="v*.*.*"
    from "staging"
    registry "prod"
    tags {{ raw "live"; }}
    {production}
}}
"#
    )
}

/// A project with a commit on `develop` and `staging`, a remote, and a registry.
struct World {
    repo: Repo,
    registry: Registry,
}

impl World {
    fn new(production: &str) -> Self {
        let world = Self::without_remote(production);
        let remote = world.remote();
        world.repo.git(&["init", "--quiet", "--bare", &remote.to_string_lossy()]);
        world.repo.git(&["remote", "add", "origin", &remote.to_string_lossy()]);
        world.repo.git(&["push", "--quiet", "origin", "develop", "staging"]);
        world
    }

    fn without_remote(production: &str) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n/out\n");
        let registry = Registry::start(&repo);
        repo.write("release.kdl", release(registry.port, production));
        repo.write("web", "1\n");
        repo.git(&["init", "--quiet", "--initial-branch=staging"]);
        repo.commit("Begin");
        repo.git(&["branch", "develop"]);
        Self { repo, registry }
    }

    fn remote(&self) -> PathBuf {
        self.repo.path().with_file_name("remote.git")
    }

    /// Another content of the image, on the branch `staging`.
    fn change(&self, content: &str) {
        self.repo.write("web", content);
        self.repo.commit(content);
        self.repo.git(&["push", "--quiet", "origin", "staging"]);
    }

    fn release(&self, event: &str) -> Ended {
        self.repo.hoist(&["release", "--event", event, "--yes"])
    }

    /// Releases a content to staging, and a version of it to production.
    fn ship(&self, content: &str, version: &str) {
        self.change(content);
        done(&self.release("branch=staging"));
        self.repo.git(&["tag", version]);
        done(&self.release(&format!("tag={version}")));
    }

    fn digest(&self, image: &str) -> String {
        digest_of(self.registry.port, image)
    }

    fn status(&self, stage: &str) -> Value {
        status(&self.repo.hoist(&["status", "--json"]), stage)
    }

    fn history(&self) -> Vec<Value> {
        let ended = self.repo.hoist(&["history", "--json"]);
        done(&ended);
        check("ledger", &ended.stdout);
        lines(&ended.stdout)
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

fn status(ended: &Ended, stage: &str) -> Value {
    done(ended);
    check("status", &ended.stdout);
    let mut stages = lines(&ended.stdout).into_iter();
    stages.find(|one| one["stage"] == stage).expect("there is such a stage")
}

fn ready(what: &str) -> bool {
    installed(what, &["docker-registry", "skopeo", "git"])
}

#[test]
fn an_image_is_built_once_and_goes_from_develop_to_production_by_its_digest() {
    if !ready("stages") {
        return;
    }
    let world = World::new("require tests=#true clean=#true branch=\"staging\"");
    done(&world.release("branch=develop"));
    refused(
        &world.release("tag=v1.0.0"),
        3,
        &["hoist::release::not_promotable", "nothing runs in `staging` that could be promoted"],
    );
    done(&world.release("branch=staging"));
    let built = world.digest("web:staging-latest");
    // A commit that never ran there is not built again.
    world.repo.git(&["checkout", "--quiet", "-b", "other"]);
    world.repo.write("web", "other\n");
    world.repo.commit("Other");
    let short = world.repo.git(&["rev-parse", "--short=7", "staging"]);
    refused(
        &world.release("tag=v1.0.0"),
        3,
        &["does not run in `staging`, and is not built again", &format!("of commit {short}")],
    );
    world.repo.git(&["checkout", "--quiet", "staging"]);

    let shipped = world.release("tag=v1.0.0");
    done(&shipped);
    assert!(!shipped.stderr.contains("web:build"), "{}", shipped.stderr);
    for tag in
        ["web:1.0.0", "web:latest", "prod/web:1.0.0", "prod/web:1.0", "prod/web:latest", "prod/web:live"]
    {
        assert_eq!(world.digest(tag), built, "{tag}");
    }
    // The stage's own tags are in its own registry.
    assert_eq!(world.digest("web:live"), "none");

    let production = world.status("production");
    assert_eq!(production["version"], "1.0.0");
    assert_eq!(production["images"][0]["digest"], *built);
    assert_eq!(production["drift"]["tags"], Value::Array(Vec::new()));
    let history = world.history();
    let said: Vec<_> = history.iter().map(|one| format!("{} {}", one["kind"], one["stage"])).collect();
    assert_eq!(said, [r#""promote" "production""#, r#""release" "staging""#, r#""release" "develop""#]);
    let gates: Vec<_> =
        history[0]["gates"].as_array().unwrap().iter().map(|gate| gate["gate"].as_str().unwrap()).collect();
    assert_eq!(gates, ["tests", "branch", "clean"]);
    assert_eq!(history[0]["source"], history[1]["entry"]);
    assert_eq!(history[1]["images"][0]["tests"], serde_json::json!(["expect"]));

    // Again: nothing to do, and no entry.
    let again = world.release("tag=v1.0.0");
    done(&again);
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    assert_eq!(world.history().len(), 3);

    // By hand, to another registry's place as well: what runs in staging, whatever is here.
    world.change("2\n");
    done(&world.release("branch=staging"));
    world.repo.git(&["tag", "v1.1.0"]);
    world.repo.git(&["checkout", "--quiet", "develop"]);
    done(&world.repo.hoist(&["promote", "production", "--yes"]));
    assert_eq!(world.digest("prod/web:1.1.0"), world.digest("web:staging-latest"));
    assert_eq!(world.status("production")["version"], "1.1.0");
    let table = world.repo.hoist(&["status"]).stdout;
    assert!(table.contains("production  1.1.0"), "{table}");
}

#[test]
fn a_stage_goes_back_and_is_on_hold_until_somebody_promotes_by_hand() {
    if !ready("rollbacks") {
        return;
    }
    let world = World::new("deploy \"run\" { run \"echo $HOIST_STAGE $HOIST_IMAGE_WEB >> out\"; }");
    world.ship("1\n", "v1.0.0");
    let one = world.digest("prod/web:live");
    world.ship("2\n", "v2.0.0");
    let two = world.digest("prod/web:live");
    assert_ne!(one, two);
    let asked = world.repo.hoist(&["rollback", "production"]);
    refused(
        &asked,
        3,
        &[
            "This would publish",
            "prod/web: live, latest",
            "stage production: 1.0.0 (",
            ") instead of 2.0.0 (",
            "hoist::release::not_confirmed",
        ],
    );

    done(&world.repo.hoist(&["rollback", "production", "--yes", "--reason", "it was slow"]));
    assert_eq!([world.digest("prod/web:live"), world.digest("web:latest")], [one.clone(), one.clone()]);
    // What was new with it is nowhere else, and what never moves stays.
    assert_eq!([world.digest("prod/web:2.0"), world.digest("prod/web:2.0.0")], [two.clone(), two.clone()]);
    let status = world.status("production");
    assert_eq!((&status["version"], &status["hold"]["reason"]), (&"1.0.0".into(), &"it was slow".into()));
    assert_eq!(status["drift"]["tags"], Value::Array(Vec::new()));
    let deployed = world.repo.read("out");
    let place = format!("production 127.0.0.1:{}/team/prod/web@", world.registry.port);
    let deployed: Vec<_> = deployed.lines().map(|line| line.strip_prefix(&place).unwrap()).collect();
    assert_eq!(deployed, [one.as_str(), two.as_str(), one.as_str()]);

    refused(
        &world.release("tag=v2.0.0"),
        3,
        &["hoist::release::gate_not_met", "hold: it is on hold since", "it was slow"],
    );
    refused(&world.repo.hoist(&["rollback", "production", "--yes"]), 3, &["ran nothing before"]);
    done(&world.repo.hoist(&["promote", "production", "--yes"]));
    assert_eq!(world.digest("prod/web:live"), two);
    assert_eq!(world.status("production")["hold"], Value::Null);
    done(&world.repo.hoist(&["rollback", "production", "--yes", "--to", "v1.0.0"]));
    assert_eq!(world.digest("prod/web:live"), one);
    refused(
        &world.repo.hoist(&["rollback", "production", "--yes", "--to", "7.0.0"]),
        3,
        &["`production` never ran 7.0.0"],
    );
    // What somebody else moved since is theirs.
    done(&world.repo.hoist(&["promote", "production", "--yes"]));
    let port = world.registry.port;
    world.repo.git(&["commit", "--quiet", "--allow-empty", "--message", "Theirs"]);
    world.repo.git(&["push", "--quiet", "origin", "staging:develop"]);
    done(&world.release("branch=develop"));
    let theirs = world.digest("web:develop-latest");
    assert!(![&one, &two].contains(&&theirs));
    let from = format!("docker://127.0.0.1:{port}/team/web:develop-latest");
    let to = format!("docker://127.0.0.1:{port}/team/web:latest");
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let moved = Command::new("skopeo").arg("copy").arg("--all").args(plain).args([from, to]).output();
    assert!(moved.unwrap().status.success());
    let drift = world.status("production")["drift"]["tags"].clone();
    assert_eq!(
        (drift[0]["tag"].as_str(), drift[0]["holds"].as_str()),
        (Some("latest"), Some(theirs.as_str()))
    );
    let back = world.repo.hoist(&["rollback", "production", "--yes"]);
    done(&back);
    assert!(
        back.stderr.contains("web:latest was moved by somebody else since, and stays"),
        "{}",
        back.stderr
    );
}

#[test]
fn tags_go_back_to_what_each_of_them_held() {
    if !ready("lines of versions") {
        return;
    }
    let world = World::new("");
    world.ship("1\n", "v1.2.9");
    let old = world.digest("prod/web:live");
    world.ship("2\n", "v1.3.0");
    let new = world.digest("prod/web:live");
    world.change("3\n");
    done(&world.release("branch=staging"));
    world.repo.git(&["tag", "v1.2.10"]);
    let regress = ["release", "--event", "tag=v1.2.10", "--yes", "--allow-regress"];
    done(&world.repo.hoist(&regress));
    let patch = world.digest("prod/web:live");
    let holds = |tags: &[(&str, &String)]| {
        for (tag, digest) in tags {
            assert_eq!(world.digest(&format!("prod/web:{tag}")), **digest, "{tag}");
        }
    };
    holds(&[("latest", &patch), ("1.3", &new), ("1.2", &patch)]);

    let asked = world.repo.hoist(&["rollback", "production"]);
    let short = &old["sha256:".len()..][..12];
    refused(&asked, 3, &["1.2 (back to ", short]);
    done(&world.repo.hoist(&["rollback", "production", "--yes"]));
    // `1.2` never was a 1.3.0.
    holds(&[("latest", &new), ("1.3", &new), ("1.2", &old), ("1.2.10", &patch), ("live", &new)]);
    let status = world.status("production");
    assert_eq!((&status["version"], &status["drift"]["tags"]), (&"1.3.0".into(), &Value::Array(Vec::new())));
    let entry = &world.history()[0];
    let tags = entry["images"][0]["places"].as_array().unwrap().iter().flat_map(|place| {
        place["tags"].as_array().unwrap().iter().map(|tag| (tag["tag"].as_str().unwrap(), &tag["digest"]))
    });
    let back: Vec<_> = tags.filter(|(tag, _)| *tag == "1.2").collect();
    assert_eq!(back, [("1.2", &Value::from(old.as_str())); 2], "{entry}");

    done(&world.repo.hoist(&["rollback", "production", "--yes", "--to", "1.2.9"]));
    holds(&[("latest", &old), ("1.3", &new), ("1.2", &old), ("live", &old)]);
}

#[test]
fn the_version_of_what_was_promoted_is_that_of_its_name() {
    if !ready("versions of promoted images") {
        return;
    }
    let old_line =
        "}\nstage \"lts\" {\n on tag=\"v*.*.1\"; from \"staging\"; registry \"prod\"; tags { raw \"lts\"; }";
    let world = World::new(old_line);
    let text = world.repo.read("release.kdl").replace("on tag=\"v*.*.*\"", "on tag=\"v*.*.0\"");
    world.repo.write("release.kdl", text);
    world.ship("1\n", "v1.2.0");
    world.ship("2\n", "v1.3.0");
    let new = world.digest("prod/web:live");
    // What was built before it had a version says that of a tag before, or none.
    world.ship("3\n", "v1.2.1");
    let patch = world.digest("prod/web:lts");
    assert_ne!(patch, new);
    for (tag, digest) in [("latest", &new), ("1.3", &new), ("1.2", &patch), ("1.2.1", &patch)] {
        assert_eq!(world.digest(&format!("prod/web:{tag}")), *digest, "{tag}");
    }
}

#[test]
fn what_fails_when_it_is_deployed_is_put_back_by_itself() {
    if !ready("deployments that fail") {
        return;
    }
    let world = World::new(
        "deploy \"run\" { run \"echo $HOIST_VERSION >> out\"; }\n    \
         verify within=\"1s\" { run \"! grep -q bad web\"; }",
    );
    world.ship("good\n", "v1.0.0");
    let good = world.digest("prod/web:live");
    world.change("bad\n");
    done(&world.release("branch=staging"));
    // The commit that is checked out says whether it works: it is not what is gone back to.
    let failed = world.release("tag=v1.1.0");
    refused(&failed, 5, &["hoist::release::not_put_back"]);
    world.repo.write("web", "good\n");
    world.repo.commit("Good again");
    let status = world.status("production");
    assert_eq!(status["version"], "1.0.0");
    assert!(status["hold"]["reason"].as_str().unwrap().contains("`production:verify` failed"), "{status}");
    assert_eq!(world.digest("prod/web:live"), good);
    let kinds: Vec<_> = world.history().iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds[..3], ["aborted", "rollback", "promote"]);

    // Where what it goes back to works, it is put back.
    let text = world.repo.read("release.kdl").replace("! grep -q bad web", "test $HOIST_VERSION = 1.0.0");
    world.repo.write("release.kdl", text);
    world.ship_to_staging();
    let page = ".hoist/page.html";
    let failed =
        world.repo.hoist(&["promote", "production", "--event", "tag=v1.2.0", "--yes", "--html", page]);
    refused(
        &failed,
        4,
        &["hoist::release::put_back", "`production` runs what it ran before", "it is on hold"],
    );
    // That it went back is a part of it.
    let log = world.repo.hoist(&["log"]).stdout;
    for said in ["production:verify", "exit status 1", "hoist::release::put_back", "put-back: 1 failed"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    let back = log.lines().find_map(|line| line.trim().strip_prefix("to go back: ")).expect("it went back");
    let back = back.split(' ').next().unwrap();
    assert!(world.repo.hoist(&["log", "--run", back]).stdout.contains("production:deploy@run"));
    let report = world.repo.hoist(&["report"]).stdout;
    assert!(report.contains("runs what it ran before"), "{report}");
    let of_step = world.repo.hoist(&["log", "production:deploy@run"]);
    assert!(of_step.stderr.contains(&format!("this is of {back}, which went back")), "{}", of_step.stderr);
    assert_eq!(world.status("production")["version"], "1.0.0");
    let page = world.repo.read(page);
    for said in
        ["<code>v1.2.0</code>", ">put-back</em>", "Exit code 4", "`production` runs what it ran before"]
    {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(world.repo.read("out"), "1.0.0\n1.1.0\n1.0.0\n1.2.0\n1.0.0\n");

    // Unless that is not wanted.
    let text = world.repo.read("release.kdl").replace("within=\"1s\"", "within=\"1s\" rollback=#false");
    world.repo.write("release.kdl", text);
    world.ship_to_staging();
    let failed = world.repo.hoist(&["promote", "production", "--event", "tag=v1.3.0", "--yes"]);
    refused(&failed, 5, &["hoist::release::not_put_back", "`production` does not work, and stands"]);
    let status = world.status("production");
    assert_eq!(status["version"], "1.3.0");
    assert_ne!(status["hold"], Value::Null);
}

impl World {
    fn ship_to_staging(&self) {
        self.repo.commit("Next");
        self.repo.git(&["push", "--quiet", "origin", "staging"]);
        done(&self.release("branch=staging"));
    }
}

#[test]
fn a_stage_is_verified_by_what_answers() {
    if !ready("stages that are verified") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // It is not up at once.
    let serve = std::thread::spawn(move || {
        for answer in ["503 Service Unavailable", "200 OK"] {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let text = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            reader.into_inner().write_all(text.as_bytes()).unwrap();
        }
    });
    let verify = format!("verify within=\"5m\" {{ http \"http://127.0.0.1:{port}/healthz\"; }}");
    let world = World::new(&verify);
    done(&world.release("branch=staging"));
    let ended = world.release("tag=v1.0.0");
    done(&ended);
    assert!(ended.stderr.contains("not yet: `http://127.0.0.1"), "{}", ended.stderr);
    serve.join().unwrap();

    // Now nothing answers, and there is nothing to go back to.
    let text = world.repo.read("release.kdl").replace("5m", "1s");
    world.repo.write("release.kdl", text);
    world.ship_to_staging();
    let failed = world.release("tag=v1.1.0");
    refused(&failed, 5, &["hoist::deploy::not_verified", "does not answer"]);
}

#[test]
fn conditions_are_judged_before_anything_is_done() {
    if !ready("conditions of stages") {
        return;
    }
    let world =
        World::new("require tests=#true soak=\"24h\" branch=\"main\" signed=#true\n    approve \"managers\"");
    done(&world.release("branch=staging"));
    let said = [
        "hoist::release::gate_not_met",
        "`signed`, `soak` and `branch` are not met",
        "signed: `web` declares no `sign`",
        "soak: they run in `staging` for",
        "and 1 d 0 h are required; wait until",
        "branch: whether commit",
        "there is no `refs/remotes/origin/main` here",
        "approve: nobody of managers approved it; answer on a terminal, or set `HOIST_APPROVED_BY`",
    ];
    refused(&world.release("tag=v1.0.0"), 3, &said);
    refused(&world.repo.hoist(&["promote", "production", "--yes"]), 3, &said);
    let looked = world.repo.hoist(&["plan", "--event", "tag=v1.0.0"]);
    assert_eq!(looked.code, 3, "{}", looked.stderr);
    assert!(
        looked.stderr.contains("It would be refused: `production` may not be entered"),
        "{}",
        looked.stderr
    );
    let names = format!("127.0.0.1:{}/team/prod/web:live", world.registry.port);
    assert!(looked.stdout.contains(&names), "{}", looked.stdout);
    assert_eq!(world.digest("web:1.0.0"), "none");

    let text =
        world.repo.read("release.kdl").replace("soak=\"24h\" branch=\"main\" signed=#true", "soak=\"0s\"");
    world.repo.write("release.kdl", text);
    world.ship_to_staging();
    world.repo.git(&["tag", "--force", "v1.0.0"]);
    // `--yes` is no approval.
    let unapproved = world.release("tag=v1.0.0");
    let said = ["approve: nobody of managers approved it", "HOIST_APPROVED_BY", "who has to agree"];
    refused(&unapproved, 3, &said);
    assert_eq!(world.digest("web:1.0.0"), "none");
    let words = ["release", "--event", "tag=v1.0.0", "--yes"];
    done(&world.repo.hoist_with(&words, &[("HOIST_APPROVED_BY", "ada")]));
    let gates = world.history()[0]["gates"].clone();
    assert_eq!(gates[2]["evidence"], "ada, by `HOIST_APPROVED_BY`, for managers");
}

#[test]
fn a_deployment_that_cannot_be_done_is_refused_before_anything_is_published() {
    if !ready("deployments that are not available") {
        return;
    }
    let world = World::new("deploy \"gitops\" branch=\"staging\" { replace \"a\" \"b\" \"c\"; }");
    world.repo.write("release.kdl", world.repo.read("release.kdl").replace("from \"staging\"", ""));
    world.repo.commit("Build it");
    for flags in [&[][..], &["--keep-going"]] {
        let ended = world.repo.hoist(&[&["release", "--event", "tag=v1.0.0", "--yes"], flags].concat());
        refused(&ended, 3, &["hoist::deploy::manifest", "there is no `a` on `staging`"]);
        assert_eq!([world.digest("web:1.0.0"), world.digest("prod/web:live")], ["none", "none"]);
    }
}

/// A clone of the world's remote, in which hoist is called as in the project.
fn in_clone(world: &World, clone: &Path, words: &[&str]) -> Command {
    let mut command = world.repo.command(words);
    command.current_dir(clone).stdin(Stdio::null());
    command
}

fn clone(world: &World, name: &str, flags: &[&str]) -> PathBuf {
    let path = world.repo.path().with_file_name(name);
    let from = format!("file://{}", world.remote().display());
    let words = [&["clone", "--quiet", "--branch=staging"], flags, &[&from, path.to_str().unwrap()]].concat();
    world.repo.git(&words);
    path
}

/// Promotes to production with a `git` that does this first, by the cases of its command
/// line; and what that printed.
fn promote_with_git(world: &World, cases: &str) -> (Ended, String) {
    let (bin, log) = (world.repo.path().with_file_name("bin"), world.repo.path().with_file_name("asked"));
    let git = String::from_utf8(Command::new("which").arg("git").output().unwrap().stdout).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n{cases}\nesac >> {}\nexec {} \"$@\"\n",
        log.display(),
        git.trim()
    );
    world.repo.write_program("../bin/git", script);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let promote = world.repo.hoist_with(&["promote", "production", "--yes"], &[("PATH", &path)]);
    (promote, std::fs::read_to_string(log).unwrap())
}

#[test]
fn a_promotion_asks_the_remote_of_the_ledger_no_more_than_it_has_to() {
    if !ready("promotions that ask a remote") {
        return;
    }
    let world = World::new("");
    done(&world.release("branch=staging"));
    let (promote, asked) = promote_with_git(
        &world,
        "*' --dry-run '*) echo try ;;\n*' push '*) echo push ;;\n*' ls-remote '* | *' fetch '*) echo look ;;",
    );
    done(&promote);
    // What it says, the right to move tags, and the entry.
    assert_eq!(asked, "look\npush\npush\n");
}

#[test]
fn who_may_not_push_the_ledger_is_told_before_anything_is_visible_and_at_once() {
    if !ready("promotions that may not be put down") {
        return;
    }
    let world = World::new("");
    done(&world.release("branch=staging"));
    let (promote, asked) =
        promote_with_git(&world, "*' push '*) echo push; echo 'fatal: denied' >&2; exit 128 ;;");
    refused(&promote, 3, &["the ledger cannot be pushed to the remote `origin`", "fatal: denied"]);
    assert_eq!(world.history().len(), 1);
    // Before and after it was looked at, and then to find out why.
    assert_eq!(asked, "push\npush\npush\n");
}

#[test]
fn promotions_at_the_same_time_stand_one_behind_the_other_and_none_is_lost() {
    if !ready("promotions at the same time") {
        return;
    }
    let world = World::new("");
    let stages: String = (0..16)
        .map(|at| format!("stage \"p{at}\" {{ from \"staging\"; tags {{ raw \"p{at}\"; }}; }}\n"))
        .collect();
    world.repo.write("release.kdl", world.repo.read("release.kdl") + &stages);
    world.repo.commit("Many stages");
    world.repo.git(&["push", "--quiet", "origin", "staging"]);
    done(&world.release("branch=staging"));
    let clones: Vec<_> = (0..16).map(|at| clone(&world, &format!("clone{at}"), &[])).collect();
    let children: Vec<_> = clones
        .iter()
        .enumerate()
        .map(|(at, path)| {
            let mut command = in_clone(&world, path, &["promote", &format!("p{at}"), "--yes", "--jobs=1"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hoist can be started")
        })
        .collect();
    for child in children {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let remote = world.remote();
    let chain =
        world.repo.git(&["--git-dir", &remote.to_string_lossy(), "log", "--format=%P", "refs/hoist/ledger"]);
    // Each entry behind one: who is about to enter a stage says so before.
    assert_eq!(chain.split_whitespace().count(), 2 * 17 - 1, "{chain}");
    assert!(chain.lines().all(|parents| parents.split(' ').count() == 1), "{chain}");
    let history = world.history();
    assert_eq!(history.len(), 17);
    let built = world.digest("web:staging-latest");
    for at in 0..16 {
        assert!(history.iter().any(|one| one["stage"] == format!("p{at}")));
        assert_eq!(world.status(&format!("p{at}"))["images"][0]["digest"], *built);
        assert_eq!(world.digest(&format!("web:p{at}")), built);
    }
}

#[test]
fn an_image_that_was_added_to_a_stage_stays_when_that_goes_back() {
    if !ready("stages that grow") {
        return;
    }
    let world = World::new("deploy \"run\" { run \"echo $HOIST_DIGEST_WEB >> out\"; }");
    world.ship("1\n", "v1.0.0");
    let one = world.digest("prod/web:live");
    let worker = "image \"worker\" { assemble from=\"scratch\" { layer { copy \"web\" \"/w\"; }; }\n    \
                  tags { semver \"{version}\"; latest; branch \"{branch}-{short}\"; }\n    push \"dev\"; }\n";
    let text = world.repo.read("release.kdl").replace("DIGEST_WEB", "DIGEST_WEB $HOIST_DIGEST_WORKER");
    world.repo.write("release.kdl", text + worker);
    // What never ran there cannot be taken from there.
    let said =
        ["`worker` does not run in `staging`", "release `worker` to `staging` first; or `git checkout"];
    refused(&world.repo.hoist(&["promote", "production", "--yes"]), 3, &said);
    world.ship("2\n", "v2.0.0");
    let added = world.digest("prod/worker:live");
    let back = world.repo.hoist(&["rollback", "production", "--yes"]);
    done(&back);
    assert!(
        back.stderr.contains("`worker` did not run there in 1.0.0, and stays as it is"),
        "{}",
        back.stderr
    );
    assert_eq!(
        [world.digest("prod/web:live"), world.digest("prod/worker:live")],
        [one.clone(), added.clone()]
    );
    assert_eq!(world.repo.read("out").lines().last(), Some(format!("{one} {added}").as_str()));
    let production = world.status("production");
    assert_eq!(
        (&production["version"], production["images"].as_array().map(Vec::len)),
        (&"1.0.0".into(), Some(2))
    );
    // There is nothing before that.
    refused(&world.repo.hoist(&["rollback", "production", "--yes"]), 3, &["ran nothing before"]);
    // An image that was removed since does not come back.
    let text = world.repo.read("release.kdl").replace(" $HOIST_DIGEST_WORKER", "");
    world.repo.write("release.kdl", text.split("image \"worker\"").next().unwrap());
    world.change("3\n");
    done(&world.release("branch=staging"));
    done(&world.repo.hoist(&["promote", "production", "--event", "tag=v3.0.0", "--yes"]));
    let back = world.repo.hoist(&["rollback", "production", "--to", "2.0.0", "--yes"]);
    done(&back);
    let said = "`worker` ran there in 2.0.0, and belongs to `production` no more";
    assert!(back.stderr.contains(said), "{}", back.stderr);
}

#[test]
fn what_is_known_is_shown_where_neither_the_remote_nor_the_registry_answers() {
    if !ready("a status without a network") {
        return;
    }
    let mut world = World::new("");
    world.ship("1\n", "v1.0.0");
    world.ship("2\n", "v2.0.0");
    let first_wait = [("HOIST_TEST_FIRST_WAIT", "1")];
    // Without the registry, what it holds is not known, and all else is.
    world.registry.stop();
    let down = world.repo.hoist_with(&["status"], &first_wait);
    done(&down);
    assert!(
        down.stdout.contains("production  2.0.0") && down.stdout.contains("drift is not known"),
        "{}",
        down.stdout
    );
    let json = world.repo.hoist_with(&["status", "--json"], &first_wait);
    assert!(status(&json, "production")["drift"]["unknown"].is_string());
    let back = world.repo.hoist_with(&["rollback", "production", "--yes"], &first_wait);
    refused(&back, 3, &["hoist::release::unreachable"]);
    // Without the remote, what was known before is shown, and that it is that.
    std::fs::remove_dir_all(world.remote()).unwrap();
    for words in [&["status", "--no-drift"][..], &["history"]] {
        let known = world.repo.hoist(words);
        let said =
            ["hoist::release::unreachable", "what is shown was known here before: its newest entry is of 20"];
        refused(&known, 3, &said);
        assert!(known.stdout.contains("2.0.0"), "{}", known.stdout);
    }
}

#[test]
fn a_shallow_clone_promotes() {
    if !ready("shallow clones") {
        return;
    }
    let world = World::new("require clean=#true branch=\"staging\"");
    done(&world.release("branch=staging"));
    let path = clone(&world, "shallow", &["--depth=1"]);
    world.repo.git(&["-C", &path.to_string_lossy(), "tag", "v1.0.0"]);
    let ended = in_clone(&world, &path, &["release", "--event", "tag=v1.0.0", "--yes"]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(world.digest("prod/web:1.0.0"), world.digest("web:staging-latest"));
    assert_eq!(world.status("production")["version"], "1.0.0");
}

#[test]
fn an_older_commit_does_not_enter_from_a_shallow_clone() {
    if !ready("older shallow clones") {
        return;
    }
    let world = World::new("");
    let path = clone(&world, "shallow", &["--depth=1"]);
    for content in ["2\n", "3\n"] {
        world.change(content);
        done(&world.release("branch=staging"));
    }
    let mut late = in_clone(&world, &path, &["release", "--event", "branch=staging", "--yes"]);
    let late = late.output().unwrap();
    let said = String::from_utf8_lossy(&late.stderr);
    assert_eq!(late.status.code(), Some(3), "{said}");
    assert!(said.contains("hoist::release::gate_not_met") && said.contains("order: it runs"), "{said}");
    assert_eq!(world.history().len(), 2);
}

#[test]
fn without_a_remote_the_ledger_is_local() {
    if !ready("a local ledger") {
        return;
    }
    let world = World::without_remote("require branch=\"staging\"");
    done(&world.release("branch=staging"));
    done(&world.release("tag=v1.0.0"));
    assert_eq!(world.digest("prod/web:1.0.0"), world.digest("web:staging-latest"));
    assert_eq!(world.history().len(), 2);
}

#[test]
fn a_ledger_that_was_rewritten_is_refused_before_anything_is_published() {
    if !ready("a ledger that was rewritten") {
        return;
    }
    let world = World::new("");
    done(&world.release("branch=staging"));
    let git_dir = world.remote();
    let git = |words: &[&str]| world.repo.git(&[&["--git-dir", &*git_dir.to_string_lossy()], words].concat());
    let other = git(&["commit-tree", "-m", "x", "refs/hoist/ledger^{tree}"]);
    git(&["update-ref", "refs/hoist/ledger", &other]);
    let said = ["hoist::release::ledger_diverged", "the ledger of `origin` does not follow", &other];
    refused(&world.release("tag=v1.0.0"), 3, &said);
    refused(&world.repo.hoist(&["status"]), 3, &said);
    assert_eq!(world.digest("prod/web:1.0.0"), "none");
    assert_eq!(git(&["rev-parse", "refs/hoist/ledger"]), other);
    // A remote that is gone is no empty ledger.
    std::fs::remove_dir_all(&git_dir).unwrap();
    refused(&world.release("tag=v1.0.0"), 3, &["hoist::release::unreachable", "cannot be fetched"]);
}

#[test]
fn a_promotion_that_is_killed_between_its_tags_is_completed_by_the_same_again() {
    if ready("promotions that are killed") {
        completed_by(&["release", "--event", "tag=v1.0.0", "--yes"]);
    }
}

#[test]
fn a_promotion_that_is_killed_between_its_tags_is_resumed_with_its_deployment() {
    if ready("promotions that are killed") {
        completed_by(&["resume", "--yes"]);
    }
}

fn completed_by(words: &[&str]) {
    let world = World::new(
        "approve \"managers\"\n    deploy \"run\" { run \"echo $HOIST_VERSION $HOIST_DIGEST_WEB >> out\"; }",
    );
    done(&world.release("branch=staging"));
    let harm = |name: &str, _| {
        name.starts_with("PUT /v2/team/prod/web/manifests/live").then_some(Fault::Delay(120_000))
    };
    let proxy = Proxy::start(world.registry.port, Box::new(harm));
    let place = format!("registry \"prod\" \"127.0.0.1:{}/", world.registry.port);
    let through = place.replace(&world.registry.port.to_string(), &proxy.port.to_string());
    world.repo.write("release.kdl", world.repo.read("release.kdl").replace(&place, &through));
    world.ship_to_staging();
    let mut child = world
        .repo
        .command(&["release", "--event", "tag=v1.0.0", "--yes"])
        .env("HOIST_APPROVED_BY", "ada")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("hoist can be started");
    let deadline = Instant::now() + Duration::from_mins(2);
    while proxy.told().is_empty() {
        assert!(Instant::now() < deadline, "a tag is set");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(pid(child.id()), Signal::KILL).expect("hoist runs");
    child.wait().expect("it ends");
    // Tags are there, and nothing says that the stage runs it.
    let built = world.digest("web:staging-latest");
    assert_eq!(
        [world.digest("prod/web:1.0.0"), world.digest("prod/web:latest")],
        [built.clone(), "none".to_owned()]
    );
    assert_eq!(world.status("production")["version"], Value::Null);
    proxy.heal();
    assert!(!world.repo.has("out"));
    // Who approved it is part of what is resumed; the same again asks again.
    let approval: &[(&str, &str)] = if words[0] == "resume" { &[] } else { &[("HOIST_APPROVED_BY", "ada")] };
    done(&world.repo.hoist_with(words, approval));
    assert_eq!(world.digest("prod/web:latest"), built);
    assert_eq!(world.status("production")["version"], "1.0.0");
    assert_eq!(world.repo.read("out"), format!("1.0.0 {built}\n"));
    assert!(world.history()[0]["gates"][0]["evidence"].as_str().unwrap().starts_with("ada, by"));
    assert!(world.repo.hoist(&["resume"]).stderr.contains("nothing to resume"));
}

#[test]
fn a_stage_of_a_branch_is_entered_by_commits_of_the_branch() {
    if !ready("releases of a branch") {
        return;
    }
    let world = World::new("");
    done(&world.release("branch=staging"));
    world.repo.git(&["checkout", "--quiet", "-b", "topic"]);
    world.change("another");
    let said = ["is not on the branch `staging`", "`git checkout staging`"];
    refused(&world.release("branch=staging"), 3, &said);
    let looked = world.repo.hoist(&["plan", "--event", "branch=staging"]);
    refused(&looked, 3, &said);
    // Where it was merged, it may be built without being there.
    world.repo.git(&["push", "--quiet", "origin", "topic:staging"]);
    world.repo.git(&["fetch", "--quiet"]);
    world.repo.git(&["checkout", "--quiet", "--detach"]);
    done(&world.release("branch=staging"));
    // What is known of no branch is believed.
    world.repo.commit("A third");
    let unknown = world.release("branch=release/1");
    done(&unknown);
    assert!(
        unknown.stderr.contains("Nothing becomes visible: no rule of `tags` yields a tag for"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_branch_whose_commit_was_tagged_since_has_the_same_image_again() {
    if !ready("branches that are released again") {
        return;
    }
    let world = World::new("");
    world.ship("1\n", "v1.0.0");
    let (image, entries) = (world.digest("prod/web:1.0.0"), world.history().len());
    // As a CI job that is run again.
    for event in ["branch=staging", "tag=v1.0.0", "branch=staging"] {
        done(&world.release(event));
    }
    assert_eq!(world.history().len(), entries);
    assert_eq!([world.digest("web:staging-latest"), world.digest("prod/web:1.0.0")], [image.clone(), image]);
    assert_eq!(world.status("production")["version"], "1.0.0");
}

#[test]
fn files_that_are_no_part_of_an_image_leave_it_clean() {
    if !ready("clean trees") {
        return;
    }
    let world = World::new("require clean=#true");
    world.repo.write("stray", "1");
    world.ship("1\n", "v1.0.0");
    assert_eq!(world.status("production")["version"], "1.0.0");
    // What may be part of it is made good by the same release from a clean tree.
    world.change("2\n");
    let text = world.repo.read("release.kdl");
    world.repo.write("release.kdl", text.replace("copy \"web\"", "copy \"all\""));
    world.repo.write("all/web", "2\n");
    world.repo.commit("All");
    world.repo.git(&["push", "--quiet", "origin", "staging"]);
    world.repo.write("all/stray", "1");
    refused(&world.release("branch=staging"), 3, &["`all/stray`"]);
    done(&world.repo.hoist(&["release", "--event", "branch=staging", "--yes", "--allow-dirty"]));
    world.repo.git(&["tag", "v2.0.0"]);
    refused(&world.release("tag=v2.0.0"), 3, &["clean: there were files that git does not track"]);
    std::fs::remove_file(world.repo.path().join("all/stray")).unwrap();
    done(&world.release("branch=staging"));
    done(&world.release("tag=v2.0.0"));
    assert_eq!(world.status("production")["version"], "2.0.0");
}

#[test]
fn what_cannot_be_asked_is_refused_before_anything_is_done() {
    if !installed("addresses of stages", &["git"]) {
        return;
    }
    for address in ["example.com", "ftp://example.com/", "http://a b/"] {
        let repo = Repo::with(&format!(
            "image \"web\" {{ assemble from=\"scratch\"; tags {{ raw \"dev\"; }}; push \"out\"; }}\n\
             registry \"out\" \"oci:out\"\n\
             stage \"live\" {{ on branch=\"main\"; verify {{ http \"{address}\"; }}; }}\n"
        ));
        let said = ["is not the address of a web page", "https://HOST/PATH"];
        refused(&repo.hoist(&["release", "--event", "branch=main", "--yes"]), 2, &said);
        refused(&repo.hoist(&["plan", "--event", "branch=main"]), 2, &said);
        assert!(!repo.has("out"));
    }
}

#[test]
fn who_looks_at_a_run_that_died_changes_nothing_and_what_it_sent_late_is_known() {
    if !ready("runs that die while they push") {
        return;
    }
    let world = World::new("");
    world.change("1\n");
    let hook = world.remote().join("hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\nrm \"$0\"\nsleep 3\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let release = ["release", "--event", "branch=staging", "--yes"];
    let quiet = Stdio::null;
    let mut command = world.repo.command(&release);
    let mut child =
        command.stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().expect("hoist can be started");
    let deadline = Instant::now() + Duration::from_mins(2);
    // It asks for the right to move tags.
    while hook.exists() {
        assert!(Instant::now() < deadline, "it is pushed");
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(pid(child.id()), Signal::KILL).expect("hoist runs");
    child.wait().expect("it ends");
    let journals = || std::fs::read_dir(world.repo.path().join(".hoist/transactions")).unwrap().count();
    let (left, ledger) = (journals(), world.repo.git(&["ls-remote", "origin", "refs/hoist/ledger"]));
    assert_eq!(left, 1);
    done(&world.repo.hoist(&["status", "--no-drift"]));
    assert_eq!(journals(), left);
    // It may come, or not: whose it is, is known in either case.
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until && world.repo.git(&["ls-remote", "origin", "refs/hoist/ledger"]) == ledger {
        std::thread::sleep(Duration::from_millis(50));
    }
    let again = world.repo.hoist(&release);
    done(&again);
    assert!(!again.stderr.contains("is waited for"), "{}", again.stderr);
    assert_eq!(journals(), 0);
    assert_ne!(world.digest("web:staging-latest"), "none");
}

#[test]
fn an_image_says_where_it_ran_without_the_repository() {
    if !ready("entries that are attached to images") {
        return;
    }
    let world = World::new("record");
    world.ship("1\n", "v1.0.0");
    world.ship("2\n", "v2.0.0");
    let place = format!("127.0.0.1:{}/team/prod/web", world.registry.port);
    let of = |image: &str, more: &[&str]| {
        let ended = world.repo.hoist(&[&["history", "--of", image, "--json"], more].concat());
        done(&ended);
        check("ledger", &ended.stdout);
        lines(&ended.stdout)
    };
    let planned = world.repo.hoist(&["graph", "--json", "release", "--event", "tag=v2.0.0"]);
    done(&planned);
    check("plan", &planned.stdout);
    let report = world.repo.hoist(&["report", "--json"]);
    check("report", &report.stdout);
    assert!(report.stdout.contains("production:record"), "{}", report.stdout);
    let history = world.history();
    let is_of = |entry: &&Value, digest: &str| entry["images"][0]["digest"] == digest;
    let production = |digest: &str| -> Vec<Value> {
        history
            .iter()
            .filter(|entry| is_of(entry, digest) && entry["stage"] == "production")
            .cloned()
            .collect()
    };
    let one = format!("{place}:1.0.0");
    assert_eq!(of(&one, &[]), production(&world.digest("prod/web:1.0.0")));
    assert_eq!(of(&format!("{place}:2.0.0"), &[])[0]["version"], "2.0.0");
    // What is there is not attached again, and who has nothing says so.
    done(&world.release("tag=v2.0.0"));
    assert_eq!(of(&format!("{place}:2.0.0"), &[]).len(), 1);
    let none = format!("127.0.0.1:{}/team/web:staging-latest", world.registry.port);
    let ended = world.repo.hoist(&["history", "--of", &none, "staging"]);
    refused(&ended, 0, &["nothing is attached that says that it ran there"]);
    // A rollback is one more, of the image that it goes back to.
    done(&world.repo.hoist(&["rollback", "production", "--yes", "--reason", "slow"]));
    let kinds = |entries: &[Value]| -> Vec<String> {
        entries.iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&of(&one, &[])), ["rollback", "promote"]);
    assert_eq!(kinds(&of(&one, &["-n", "1"])), ["rollback"]);
    // It goes along with a copy, to where there is neither repository nor release file.
    let elsewhere = Repo::new();
    let copy = format!("oci:{}:here", elsewhere.path().join("copy").display());
    done(&world.repo.hoist(&["copy", &one, &copy]));
    let told = elsewhere.hoist(&["history", "--of", "oci:copy:here"]);
    refused(&told, 0, &[]);
    assert!(told.stdout.contains("rollback") && told.stdout.contains("slow"), "{}", told.stdout);
}

#[test]
fn what_cannot_be_attached_takes_back_nothing() {
    if !ready("entries that cannot be attached") {
        return;
    }
    let world = World::new(
        "record; deploy \"run\" { run \"touch\" \"out\"; }; verify { run \"test\" \"-e\" \"out\"; }",
    );
    let is_tagged = AtomicBool::new(false);
    let harm = move |name: &str, _| {
        if name.starts_with("PUT /v2/team/prod/web/manifests/latest") {
            is_tagged.store(true, Ordering::SeqCst);
        }
        // What is put there from then on refers to the image.
        let is_late =
            is_tagged.load(Ordering::SeqCst) && name.starts_with("PUT ") && name.contains("/sha256:");
        is_late.then_some(Fault::Status("400 Bad Request", None))
    };
    let proxy = Proxy::start(world.registry.port, Box::new(harm));
    let place = format!("registry \"prod\" \"127.0.0.1:{}/", world.registry.port);
    let through = place.replace(&world.registry.port.to_string(), &proxy.port.to_string());
    world.repo.write("release.kdl", world.repo.read("release.kdl").replace(&place, &through));
    world.ship_to_staging();
    let ended = world.release("tag=v1.0.0");
    refused(&ended, 1, &["FAILED production:record", "400 Bad Request", "ok production:verify"]);
    let status = world.status("production");
    assert_eq!((&status["version"], &status["hold"]), (&"1.0.0".into(), &Value::Null));
    proxy.heal();
    done(&world.release("tag=v1.0.0"));
    let image = format!("127.0.0.1:{}/team/prod/web:1.0.0", world.registry.port);
    let attached = world.repo.hoist(&["history", "--of", &image, "--json"]);
    assert_eq!(lines(&attached.stdout)[0]["stage"], "production", "{}", attached.stderr);
}

#[test]
fn an_older_line_is_published_and_takes_the_place_of_nothing() {
    if !ready("a patch of an older line") {
        return;
    }
    let world = World::new("");
    world.ship("1\n", "v1.2.9");
    world.ship("2\n", "v1.3.0");
    let (old, new) = (world.digest("web:1.2.9"), world.digest("web:1.3.0"));
    world.change("3\n");
    done(&world.release("branch=staging"));
    let patch = world.digest("web:staging-latest");
    world.repo.git(&["tag", "v1.2.10"]);
    let said = "production stays as it is: it runs 1.3.0, which is higher than 1.2.10";
    let looked = world.repo.hoist(&["plan", "--event", "tag=v1.2.10"]);
    refused(&looked, 0, &[said]);
    assert!(!looked.stdout.contains("production:enter"), "{}", looked.stdout);
    refused(&world.release("tag=v1.2.10"), 0, &[said]);
    // It is what ran in staging, by its own names.
    let tags = ["web:1.2.10", "web:1.2", "web:1.3", "web:latest", "prod/web:1.2", "prod/web:1.2.10"];
    let none = "none".to_owned();
    assert_eq!(
        tags.map(|tag| world.digest(tag)),
        [patch.clone(), patch.clone(), new.clone(), new.clone(), old, none]
    );
    assert_eq!([world.digest("prod/web:live"), world.digest("prod/web:latest")], [new.clone(), new]);
    assert_eq!(world.status("production")["version"], "1.3.0");
    refused(&world.release("tag=v1.2.10"), 0, &[said]);
    done(&world.repo.hoist(&["release", "--event", "tag=v1.2.10", "--yes", "--allow-regress"]));
    assert_eq!(world.status("production")["version"], "1.2.10");
    assert_eq!(world.digest("prod/web:live"), patch);
}

#[test]
fn what_no_commit_has_is_not_published_as_one() {
    if !installed("files that git does not track", &["git"]) {
        return;
    }
    let repo = Repo::with(
        r#"
target "binary" { inputs "src"; outputs "made"; run "cp" "src/main" "made"; }
target "lint" { inputs "notes"; run "true"; }
image "web" {
    needs "lint"
    assemble from="scratch" { layer { copy "made" "/web"; copy "files" "/files"; }; entrypoint "/web"; }
    platforms "linux/amd64"
    tags { sha; }
    push "images"
}
registry "images" "oci:dist"
stage "staging" { on branch="main"; }
"#,
    );
    repo.write(".gitignore", "/dist\n*.log\n");
    repo.write("src/main", "1");
    repo.write("files/a", "a");
    repo.write("notes/a", "a");
    repo.commit("More");
    let release =
        |more: &[&str]| repo.hoist(&[&["release", "--yes", "--event", "branch=main"], more].concat());
    // Nobody's business: what is made, what is ignored, what is only looked at, what is elsewhere.
    for path in ["files/b.log", "notes/b", "elsewhere"] {
        repo.write(path, "1");
    }
    done(&release(&[]));
    done(&release(&["--force"]));
    assert!(repo.has("made"));
    for (path, stays) in [("files/credentials.json", "`files/a`"), ("src/more", "`src/main`")] {
        repo.write(path, "1");
        let said = ["is made of files that commit", path, ".gitignore", "--allow-dirty"];
        for look in [&["plan"][..], &["release", "--yes"]] {
            let ended = repo.hoist(&[look, &["--event", "branch=main"]].concat());
            refused(&ended, 3, &said);
            assert!(!ended.stderr.contains(stays), "{}", ended.stderr);
        }
        done(&repo.hoist(&["plan", "--event", "branch=main", "--allow-dirty"]));
        done(&repo.hoist(&["run", "build"]));
        std::fs::remove_file(repo.path().join(path)).unwrap();
    }
    repo.write("files/c", "c");
    done(&release(&["--allow-dirty"]));
}

#[test]
fn the_next_version_is_cut_from_the_highest_of_its_line() {
    if !installed("git tags", &["git"]) {
        return;
    }
    let repo = Repo::with(
        "image \"web\" { assemble from=\"scratch\"; tags { semver \"{version}\" prefix=\"api/v\"; }; }",
    );
    let cut = |words: &[&str]| repo.hoist(&[&["cut"], words].concat());
    let first = cut(&["minor", "--json"]);
    done(&first);
    check("cut", &first.stdout);
    assert_eq!(repo.git(&["cat-file", "-t", "api/v0.1.0"]), "tag");
    refused(&cut(&["minor"]), 3, &["this commit is `api/v0.1.0` already"]);
    // What a release of it would be refused for is found before there is a tag.
    let right = repo.read("release.kdl");
    repo.write("release.kdl", right.replace("prefix=\"api/v\"", "prefix=\"api/v\"; raw \"{nothing}\""));
    repo.commit("Wrong");
    refused(&cut(&["patch"]), 2, &["nothing"]);
    let stage = "\nstage \"live\" { on tag=\"api/v*\"; deploy \"run\" { run \"deploy\" \"{nothing}\"; }; }\n";
    repo.write("release.kdl", right.replace("tags {", "push \"oci:images\"; tags {") + stage);
    repo.commit("Wrong as well");
    refused(&cut(&["patch"]), 2, &["nothing"]);
    assert_eq!(repo.git(&["tag", "--list"]), "api/v0.1.0");
    // What a release does not do need not be for its event.
    repo.write("release.kdl", format!("target \"preview\" {{ run \"echo\" \"{{number}}\"; }}\n{right}"));
    repo.commit("Next");
    refused(&cut(&["patch", "--push"]), 2, &["there is no remote to push the tag to"]);
    let remote = repo.path().with_file_name("remote.git");
    repo.git(&["init", "--quiet", "--bare", &remote.to_string_lossy()]);
    repo.git(&["remote", "add", "origin", &remote.to_string_lossy()]);
    refused(&cut(&["patch", "--push"]), 3, &["This would push api/v0.1.1", "nothing was tagged"]);
    let pushed = cut(&["patch", "--push", "--yes", "--message", "Fixes"]);
    done(&pushed);
    assert_eq!((pushed.stdout.as_str(), pushed.stderr.as_str()), ("api/v0.1.1\n", "pushed to origin\n"));
    let there = ["--git-dir", &*remote.to_string_lossy(), "tag", "--list", "-n1"];
    assert_eq!(repo.git(&there), "api/v0.1.1      Fixes");
    repo.write("release.kdl", repo.read("release.kdl") + "\n");
    repo.commit("More");
    repo.write("release.kdl", repo.read("release.kdl") + "\n");
    refused(&cut(&["major"]), 3, &["the tree has changes that a tag would not have"]);
    // What others cut has to be here.
    repo.git(&["push", "--quiet", "origin", "HEAD~1:refs/tags/api/v1.0.0"]);
    let late = cut(&["major", "--allow-dirty", "--push", "--yes"]);
    refused(&late, 3, &["`origin` has the tag `api/v1.0.0`, which is not here", "`git fetch --tags origin`"]);
    assert_eq!(repo.git(&["tag", "--list", "api/v1*"]), "");
    repo.git(&["fetch", "--quiet", "--tags", "origin"]);
    assert_eq!(cut(&["major", "--allow-dirty"]).stdout, "api/v2.0.0\n");
    // A remote that does not take the tag: it is in neither place.
    repo.git(&["commit", "--quiet", "--allow-empty", "--message", "Last"]);
    repo.git(&["remote", "set-url", "--push", "origin", "nowhere"]);
    let refused_there = cut(&["patch", "--allow-dirty", "--push", "--yes"]);
    refused(&refused_there, 1, &["hoist::release::tagging", "the git tag was not pushed"]);
    assert_eq!(repo.git(&["tag", "--list", "api/v2.0.1"]), "");
    // One that cannot be asked keeps nobody from cutting here.
    repo.git(&["remote", "set-url", "origin", "nowhere"]);
    let alone = cut(&["patch", "--allow-dirty"]);
    done(&alone);
    assert_eq!(alone.stdout, "api/v2.0.1\n");
    assert!(alone.stderr.contains("`origin` cannot be asked for what others cut"), "{}", alone.stderr);
    // An older line goes on by itself.
    repo.git(&["remote", "remove", "origin"]);
    repo.git(&["checkout", "--quiet", "--force", "-b", "old", "api/v0.1.0"]);
    repo.git(&["commit", "--quiet", "--allow-empty", "--message", "Fix"]);
    assert_eq!(cut(&["patch"]).stdout, "api/v0.1.2\n");
    repo.git(&["commit", "--quiet", "--allow-empty", "--message", "Another"]);
    repo.git(&["tag", "api/v0.2.0", "api/v1.0.0"]);
    let minor = cut(&["minor"]);
    assert_eq!(minor.stdout, "api/v0.3.0\n");
    let said = "behind api/v0.1.2; what others cut up to api/v0.2.0 is elsewhere, and taken";
    assert!(minor.stderr.contains(said), "{}", minor.stderr);
}

#[test]
fn whoever_may_not_write_the_ledger_is_refused_before_anything_is_published() {
    if !ready("a ledger that may not be written") {
        return;
    }
    let world = World::new("");
    // Such a remote can be fetched from, and takes nothing.
    let git_dir = world.remote();
    world.repo.git(&["remote", "set-url", "--push", "origin", &format!("{}.gone", git_dir.display())]);
    let refused_it = world.release("branch=staging");
    refused(
        &refused_it,
        3,
        &["hoist::release::unreachable", "the ledger cannot be pushed to the remote `origin`"],
    );
    assert_eq!(world.digest("web:staging-latest"), "none");
    // What enters no stage needs no ledger.
    world.repo.git(&["branch", "--force", "main"]);
    done(&world.release("branch=main"));
}

#[test]
fn a_remote_that_takes_no_entry_is_found_before_anything_is_visible() {
    if !ready("a ledger that is not taken") {
        return;
    }
    let world = World::new("");
    let hook = world.remote().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho the ledger is closed today >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said = [
        "hoist::release::ledger",
        "the remote does not take an entry of the ledger",
        "pre-receive hook declined",
        "remote: the ledger is closed today",
    ];
    refused(&world.release("branch=staging"), 3, &said);
    assert_eq!(world.digest("web:staging-latest"), "none");
    assert_eq!(world.status("staging")["version"], Value::Null);
    assert!(world.repo.hoist(&["resume", "--yes"]).stderr.contains("nothing to resume"));
    std::fs::remove_file(&hook).unwrap();
    done(&world.release("branch=staging"));
    assert_eq!(world.status("staging")["images"][0]["digest"], *world.digest("web:staging-latest"));
}
