//! What stages do with their images: manifests in bare git repositories, a compose that
//! tells what it was asked for, and kubectl before a small API server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::fixture::{Ended, Repo, installed};
use crate::registry::{Registry, digest_of};

const KUSTOMIZATION: &str = "# Äpfel\r\nresources:\r\n- ../base   # base\r\nimages:\r\n- name: placeholder/db\r\n  newTag: \"15\"\r\n- newTag: 0.9.0   # by hoist\r\n  name: 'placeholder/web'\r\n";
const VALUES: &str = "image: {tag: \"0.9.0\", digest: ''}  # chart\n";

/// A project with a registry, and a bare repository with manifests beside it.
struct World {
    repo: Repo,
    registry: Registry,
}

impl World {
    /// With this in its only stage.
    fn new(stage: &str) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n/out\n/bin\n");
        let registry = Registry::start(&repo);
        let world = Self { repo, registry };
        world.repo.write("web", "1\n");
        world.repo.git(&["init", "--quiet", "--initial-branch=main"]);
        world.stage(stage);
        world
    }

    /// Another stage.
    fn stage(&self, stage: &str) {
        let port = self.registry.port;
        let text = format!(
            r#"registry "prod" "127.0.0.1:{port}/team" insecure=#true
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; entrypoint "/web"; }}
    tags {{ latest; semver "{{version}}"; branch "{{branch}}-latest"; }}
    push "prod"
}}
stage "production" {{
    on tag="v*" branch="main"
    {stage}
}}
"#
        );
        self.repo.write("release.kdl", text);
        self.repo.commit("Next");
    }

    /// A bare repository with these files on `main`.
    fn manifests(&self, files: &[(&str, &str)]) -> PathBuf {
        let place = self.repo.path().with_file_name("manifests.git");
        let work = self.repo.path().with_file_name("manifests");
        let git = |words: &[&str]| {
            self.repo.git(&[&["-C", &*work.to_string_lossy()], words].concat());
        };
        self.repo.git(&["init", "--quiet", "--bare", "--initial-branch=main", &place.to_string_lossy()]);
        self.repo.git(&["init", "--quiet", "--initial-branch=main", &work.to_string_lossy()]);
        for (path, text) in files {
            self.repo.write(&format!("../manifests/{path}"), text);
        }
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--message", "Begin"]);
        git(&["push", "--quiet", &place.to_string_lossy(), "main"]);
        place
    }

    /// What git says of the manifests, to the byte.
    fn kept(&self, words: &[&str]) -> String {
        let place = self.repo.path().with_file_name("manifests.git");
        self.repo.git(&[&["--git-dir", &*place.to_string_lossy()], words].concat())
    }

    fn release(&self, event: &str) -> Ended {
        self.release_with(event, &[])
    }

    fn release_with(&self, event: &str, environment: &[(&str, &str)]) -> Ended {
        self.repo.hoist_with(&["release", "--event", event, "--yes"], environment)
    }

    /// Releases a content as a version.
    fn ship(&self, content: &str, version: &str) -> Ended {
        self.repo.write("web", content);
        self.repo.commit(content);
        self.repo.git(&["tag", version]);
        self.release(&format!("tag={version}"))
    }

    fn place(&self) -> String {
        format!("127.0.0.1:{}/team/web", self.registry.port)
    }

    fn digest(&self, tag: &str) -> String {
        digest_of(self.registry.port, &format!("web:{tag}"))
    }

    /// A program of the test's own, and the PATH that has it first.
    fn program(&self, name: &str, script: &str) -> String {
        let path = self.repo.path().join("bin").join(name);
        self.repo.write(&format!("bin/{name}"), script);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let all = std::env::var("PATH").unwrap_or_default();
        format!("{}:{all}", self.repo.path().join("bin").display())
    }
}

#[track_caller]
fn done(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
}

#[track_caller]
fn refused(ended: &Ended, code: i32, said: &[&str]) {
    assert_eq!(ended.code, code, "{}\n{}", ended.stdout, ended.stderr);
    for said in said {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

fn ready(what: &str) -> bool {
    installed(what, &["docker-registry", "skopeo", "git"])
}

const GITOPS: &str = r#"deploy "gitops" repo="../manifests.git" {
        kustomize "overlays/production" image="placeholder/web"
        yaml "values.yaml" set="image.tag" to="{version}"
        yaml "values.yaml" set="image.digest" digest-of="web"
        replace "app.env" "^TAG=.*" "TAG={version}"
        commit "Release {version} to production"
    }"#;

fn files() -> [(&'static str, &'static str); 3] {
    [
        ("overlays/production/kustomization.yaml", KUSTOMIZATION),
        ("values.yaml", VALUES),
        ("app.env", "TAG=x\nB=1"),
    ]
}

#[test]
fn manifests_are_edited_to_the_byte_and_committed() {
    if !ready("manifests of a repository") {
        return;
    }
    let world = World::new(GITOPS);
    world.manifests(&files());
    let shipped = world.ship("1\n", "v1.0.0");
    done(&shipped);
    assert!(shipped.stderr.contains("on `main` of ../manifests.git"), "{}", shipped.stderr);
    assert_eq!(
        world.kept(&["log", "--format=%an <%ae> %s", "main"]).lines().next().unwrap(),
        "Tester <tester@example.com> Release 1.0.0 to production"
    );
    let diff = world.kept(&["diff", "--no-color", "--unified=0", "main~1", "main"]);
    let lines: Vec<&str> = diff
        .split('\n')
        .filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---"))
        .collect();
    let digest = world.digest("1.0.0");
    assert_eq!(
        lines,
        [
            "-TAG=x",
            "+TAG=1.0.0",
            "-- newTag: 0.9.0   # by hoist\r",
            "+- newTag: 1.0.0   # by hoist\r",
            &format!("+  newName: {}\r", world.place()),
            "-image: {tag: \"0.9.0\", digest: ''}  # chart",
            &format!("+image: {{tag: \"1.0.0\", digest: '{digest}'}}  # chart"),
        ]
    );
    // Again: nothing to say, and nothing is committed.
    let again = world.release("tag=v1.0.0");
    done(&again);
    assert!(again.stderr.contains("nothing was committed"), "{}", again.stderr);
    assert_eq!(world.kept(&["rev-list", "--count", "main"]), "2");

    // What is rolled back says by the same path what it said before, but for what comes of the commit.
    done(&world.ship("2\n", "v2.0.0"));
    assert!(world.kept(&["show", "main:values.yaml"]).contains(&world.digest("2.0.0")));
    done(&world.repo.hoist(&["rollback", "production", "--yes"]));
    assert_eq!(world.kept(&["show", "main:values.yaml"]), world.kept(&["show", "main~2:values.yaml"]));
    assert_eq!(
        world.kept(&["show", "main:overlays/production/kustomization.yaml"]),
        world.kept(&["show", "main~2:overlays/production/kustomization.yaml"])
    );
    assert_eq!(world.kept(&["rev-list", "--count", "main"]), "4");

    // So does what fails when it is verified.
    world.stage(&format!("{GITOPS}\n    verify within=\"1s\" {{ run \"test $HOIST_VERSION != 3.0.0\"; }}"));
    refused(&world.repo.hoist(&["promote", "production", "--yes"]), 3, &[]);
    let failed = world.ship("3\n", "v3.0.0");
    refused(&failed, 3, &["hoist::release::gate_not_met"]);
}

#[test]
fn what_fails_after_it_was_committed_is_committed_back() {
    if !ready("manifests that are put back") {
        return;
    }
    let world = World::new(&format!(
        "{GITOPS}\n    verify within=\"1s\" {{ run \"test $HOIST_VERSION != 2.0.0\"; }}"
    ));
    world.manifests(&files());
    done(&world.ship("1\n", "v1.0.0"));
    let before = world.kept(&["rev-parse", "main^{tree}"]);
    refused(&world.ship("2\n", "v2.0.0"), 4, &["hoist::release::put_back"]);
    assert_eq!(world.kept(&["rev-parse", "main^{tree}"]), before);
    assert_eq!(world.kept(&["rev-list", "--count", "main"]), "4");
}

#[test]
fn what_cannot_be_edited_is_refused_before_anything_is_published() {
    if !ready("manifests that do not fit") {
        return;
    }
    let world = World::new(
        r#"deploy "gitops" repo="../manifests.git" branch="main" {
        kustomize "overlays/prod" image="placeholder/web"
        kustomize "overlays/production" image="placeholder/wbe"
        yaml "values.yaml" set="image.tga" to="{version}"
        replace "values.yaml" "newTga:.*" "x"
    }"#,
    );
    let release = |said: &[&str]| {
        refused(&world.release("tag=v1.0.0"), 3, said);
        assert_eq!(world.digest("1.0.0"), "none");
    };
    world.repo.git(&["tag", "v1.0.0"]);
    release(&["hoist::deploy::repository", "the manifests in `../manifests.git` cannot be fetched"]);
    world.manifests(&files());
    release(&[
        "hoist::deploy::manifest",
        "there is no `overlays/prod/kustomization.yaml` on `main` of `../manifests.git`",
        "`overlays` has `production`",
        "`images` has no entry for `placeholder/wbe`: it has `placeholder/db`, `placeholder/web`",
        "did you mean `image=\"placeholder/web\"`?",
        "there is no `image.tga`: `image` has `tag`, `digest`",
        "nothing in it matches `newTga:.*`",
    ]);
    world.stage("deploy \"gitops\" repo=\"../manifests.git\" branch=\"live\" { replace \"a\" \"b\" \"c\"; }");
    release(&["hoist::deploy::repository", "`../manifests.git` has no branch `live`"]);
    world.stage("deploy \"gitops\" repo=\"../manifests.git\" { replace \"../a\" \"b\" \"c\"; }");
    refused(&world.release("tag=v1.0.0"), 2, &["`../a` is no path inside a repository"]);
    // A branch gives the image no tag that stays.
    world.stage("deploy \"gitops\" repo=\"../manifests.git\" { kustomize \"overlays/production\" image=\"placeholder/web\"; }");
    refused(
        &world.release("branch=main"),
        3,
        &["gives this image no tag that stays with it", "write `digest=#true`"],
    );
    world.stage("deploy \"gitops\" repo=\"../manifests.git\" { kustomize \"overlays/production\" image=\"placeholder/web\" digest=#true; }");
    done(&world.release("branch=main"));
    let text = world.kept(&["show", "main:overlays/production/kustomization.yaml"]);
    assert!(text.contains(&format!("- digest: {}   # by hoist\r", world.digest("main-latest"))), "{text}");
}

#[test]
fn a_commit_goes_on_top_of_what_others_commit_meanwhile() {
    if !ready("commits at the same time") {
        return;
    }
    let world = World::new(GITOPS);
    let place = world.manifests(&files());
    let other = world.kept(&["commit-tree", "-p", "main", "-m", "Other", "main^{tree}"]);
    // Whoever pushes first finds that somebody else did.
    let hook = format!(
        "#!/bin/sh\n[ -e raced ] && exit 0\ntouch raced\nunset GIT_QUARANTINE_PATH\ngit update-ref refs/heads/main {other}\nexit 1\n"
    );
    let path = place.join("hooks/pre-receive");
    std::fs::create_dir_all(place.join("hooks")).unwrap();
    std::fs::write(&path, hook).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    done(&world.ship("1\n", "v1.0.0"));
    let log = world.kept(&["log", "--format=%s", "main"]);
    assert_eq!(log.lines().collect::<Vec<_>>(), ["Release 1.0.0 to production", "Other", "Begin"]);

    // Who is refused and nobody was faster is told why, and the stage goes back.
    std::fs::write(&path, "#!/bin/sh\necho protected >&2\nexit 1\n").unwrap();
    let ended = world.ship("2\n", "v2.0.0");
    refused(&ended, 4, &["hoist::deploy::repository", "does not take the commit", "protected"]);
    assert_eq!(world.kept(&["rev-list", "--count", "main"]), "3");
    assert_eq!(world.digest("latest"), world.digest("1.0.0"));
}

#[test]
fn a_branch_of_the_project_is_committed_to_without_its_files() {
    if !ready("manifests of the project") {
        return;
    }
    let world = World::new(
        "deploy \"gitops\" branch=\"deploy\" { yaml \"values.yaml\" set=\"image.tag\" to=\"{version}\"; }",
    );
    world.repo.git(&["checkout", "--quiet", "--orphan", "deploy"]);
    world.repo.git(&["rm", "--quiet", "-rf", "."]);
    world.repo.write("values.yaml", VALUES);
    world.repo.git(&["add", "values.yaml"]);
    world.repo.git(&["commit", "--quiet", "--message", "Begin"]);
    world.repo.git(&["checkout", "--quiet", "main"]);
    done(&world.ship("1\n", "v1.0.0"));
    assert_eq!(world.repo.git(&["show", "deploy:values.yaml"]), VALUES.replace("0.9.0", "1.0.0").trim_end());
    assert_eq!(world.repo.git(&["log", "-1", "--format=%s", "deploy"]), "Deploy 1.0.0 to production");
    assert_eq!(world.repo.git(&["status", "--porcelain"]), "");
    assert_eq!(world.repo.git(&["for-each-ref", "refs/hoist/manifests"]), "");

    // With a remote, there.
    let remote = world.repo.path().with_file_name("remote.git");
    world.repo.git(&["init", "--quiet", "--bare", &remote.to_string_lossy()]);
    world.repo.git(&["remote", "add", "origin", &remote.to_string_lossy()]);
    world.repo.git(&["push", "--quiet", "origin", "main", "deploy"]);
    done(&world.ship("2\n", "v2.0.0"));
    assert_eq!(world.repo.git(&["show", "deploy:values.yaml"]), VALUES.replace("0.9.0", "1.0.0").trim_end());
    let there = world.repo.git(&["--git-dir", &remote.to_string_lossy(), "show", "deploy:values.yaml"]);
    assert_eq!(there, VALUES.replace("0.9.0", "2.0.0").trim_end());
    world.repo.git(&["remote", "remove", "origin"]);
    world.stage("deploy \"gitops\" { replace \"web\" \"1\" \"2\"; }");
    refused(&world.release("tag=v2.0.0"), 3, &["the branch `main` is checked out, and there is no remote"]);
}

/// Stands for a forge: keeps pull requests as it is told of them, and what it was asked.
struct FakeForge {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeForge {
    /// One that speaks as GitHub and Gitea do, or as GitLab, to whoever shows this header.
    fn start(gitlab: bool, header: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut open: Vec<Value> = Vec::new();
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                        break;
                    }
                    lines.push(line.trim_end().to_owned());
                }
                let Some(first) = lines.first().cloned() else { continue };
                let length = lines.iter().find_map(|line| line.strip_prefix("content-length: "));
                let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
                reader.read_exact(&mut body).unwrap();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let known = lines.iter().any(|line| line == header);
                let (status, said) = if known {
                    (200, answer(gitlab, &first, &body, &mut open))
                } else {
                    (401, json!({ "message": "Bad credentials" }))
                };
                heard.lock().unwrap().push(format!("{first} {body}"));
                let text = said.to_string();
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    text.len()
                );
                let _ = reader.into_inner().write_all((head + &text).as_bytes());
            }
        });
        Self { port, asked }
    }

    /// What changed something.
    fn changes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|line| !line.starts_with("GET"))
            .map(|line| line.replace(" HTTP/1.1", ""))
            .collect()
    }
}

fn answer(gitlab: bool, first: &str, body: &Value, open: &mut Vec<Value>) -> Value {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let is_list = first.contains("/pulls") || first.contains("/merge_requests");
    if first.starts_with("POST") && gitlab {
        open.push(json!({ "iid": 7, "title": text("title"), "source_branch": text("source_branch"), "target_branch": text("target_branch"), "web_url": "https://forge/7" }));
    } else if first.starts_with("POST") {
        open.push(json!({ "number": 7, "title": text("title"), "head": { "ref": text("head") }, "base": { "ref": text("base") }, "html_url": "https://forge/7" }));
    } else if first.starts_with("P") {
        open[0]["title"] = body["title"].clone();
    } else if first.contains("page=2") {
        return json!([]);
    } else if is_list {
        return Value::Array(open.clone());
    } else {
        return json!({});
    }
    open[0].clone()
}

#[test]
fn a_pull_request_is_opened_once_and_found_again() {
    if !ready("pull requests") {
        return;
    }
    let stage = |repo: &Path, forge: &str, port: u16| {
        let repo = repo.display();
        format!(
            r#"deploy "gitops" repo="{repo}" {{
        yaml "values.yaml" set="image.tag" to="{{version}}"
        pull-request title="Release {{version}}" forge="{forge}" api="http://127.0.0.1:{port}/api"
    }}"#
        )
    };
    let forges = [
        ("github", "authorization: Bearer t0ken-of-forge", "GITHUB_TOKEN", false),
        ("gitea", "authorization: token t0ken-of-forge", "GITEA_TOKEN", false),
        ("gitlab", "private-token: t0ken-of-forge", "GITLAB_TOKEN", true),
    ];
    for (name, header, variable, gitlab) in forges {
        let forge = FakeForge::start(gitlab, header);
        let world = World::new("");
        let manifests = world.manifests(&files());
        world.stage(&stage(&manifests, name, forge.port));
        world.repo.git(&["tag", "v1.0.0"]);
        let release = |token: &str| world.release_with("tag=v1.0.0", &[(variable, token)]);
        // Without a token, or with one that lets nobody in, nothing is published.
        refused(&world.release("tag=v1.0.0"), 3, &["hoist::store::unauthorized", variable]);
        refused(&release("wrong"), 3, &["hoist::deploy::pull_request", "401", "Bad credentials"]);
        assert_eq!(world.digest("1.0.0"), "none");

        let opened = release("t0ken-of-forge");
        done(&opened);
        assert!(opened.stderr.contains("the pull request https://forge/7 is open"), "{}", opened.stderr);
        assert!(!opened.stderr.contains("t0ken-of-forge"), "{}", opened.stderr);
        assert_eq!(world.kept(&["show", "main:values.yaml"]), VALUES.trim_end());
        assert_eq!(
            world.kept(&["show", "hoist/production:values.yaml"]),
            VALUES.replace("0.9.0", "1.0.0").trim_end()
        );
        let tip = world.kept(&["rev-parse", "hoist/production"]);
        let again = release("t0ken-of-forge");
        done(&again);
        assert!(again.stderr.contains("https://forge/7 is open already"), "{}", again.stderr);
        assert_eq!(world.kept(&["rev-parse", "hoist/production"]), tip);
        assert_eq!(forge.changes().len(), 1, "{:?}", forge.changes());

        // The next version takes its place.
        world.repo.write("web", "2\n");
        world.repo.commit("2");
        world.repo.git(&["tag", "v2.0.0"]);
        done(&world.release_with("tag=v2.0.0", &[(variable, "t0ken-of-forge")]));
        assert_eq!(
            world.kept(&["show", "hoist/production:values.yaml"]),
            VALUES.replace("0.9.0", "2.0.0").trim_end()
        );
        assert_eq!(world.kept(&["rev-list", "--count", "main..hoist/production"]), "1");
        let changes = forge.changes();
        assert!(changes[0].starts_with("POST "), "{changes:?}");
        assert!(changes[1].contains("/7 {\"title\":\"Release 2.0.0\"}"), "{changes:?}");
    }
}

#[test]
fn services_are_started_with_images_by_their_digest() {
    if !ready("compose") {
        return;
    }
    let world = World::new("deploy \"compose\" { file \"deploy/compose.yaml\"; }");
    let compose = format!(
        "services:\n  db:\n    image: postgres:15\n  front: # ours\n    image: {}:latest\n  web:\n    build: .\n",
        world.place()
    );
    world.repo.write("deploy/compose.yaml", &compose);
    world.repo.commit("Compose");
    world.repo.git(&["tag", "v0.9.0"]);
    // FakeCompose tells what it was asked for.
    let script = "#!/bin/sh\n[ \"$1 $2\" = 'compose version' ] && exit 0\necho \"$*\" | sed 's| /[^ ]*/| |' >> out\nfor word; do case $word in *.json) cat \"$word\" > over.json;; esac; done\n";
    let path = world.program("docker", script);
    let run = |tag: &str| world.release_with(&format!("tag={tag}"), &[("PATH", &path)]);
    done(&run("v0.9.0"));
    assert_eq!(
        world.repo.read("out"),
        "compose -f deploy/compose.yaml -f images.json pull front web\n\
         compose -f deploy/compose.yaml -f images.json up -d --no-build front web\n"
    );
    let over: Value = serde_json::from_str(&world.repo.read("over.json")).unwrap();
    let image = format!("{}@{}", world.place(), world.digest("0.9.0"));
    assert_eq!(
        over,
        serde_json::json!({ "services": { "front": { "image": image }, "web": { "image": image } } })
    );
    assert_eq!(world.repo.read("deploy/compose.yaml"), compose);

    world.stage("deploy \"compose\" { file \"deploy/compose.yaml\"; service \"fornt\"; }");
    refused(
        &run("v0.9.0"),
        3,
        &["hoist::deploy::manifest", "there is no service `fornt`", "it has `db`, `front`, `web`"],
    );
    // Where nothing starts services, nothing is published.
    world.stage("deploy \"compose\" { file \"deploy/compose.yaml\"; service \"web\"; }");
    world.repo.git(&["tag", "v1.0.0"]);
    std::fs::remove_dir_all(world.repo.path().join("bin")).unwrap();
    let bin = world.repo.path().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let git = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|place| place.join("git"))
        .find(|git| git.is_file());
    std::os::unix::fs::symlink(git.unwrap(), bin.join("git")).unwrap();
    let ended = world.release_with("tag=v1.0.0", &[("PATH", &bin.to_string_lossy())]);
    refused(&ended, 3, &["hoist::deploy::no_tool", "there is nothing that starts services"]);
    assert_eq!(world.digest("1.0.0"), "none");
}
