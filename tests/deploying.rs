//! What stages do with their images: manifests in bare git repositories, a compose that
//! tells what it was asked for, and kubectl before a small API server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use hoist::deploy::{Pin, set_image};
use serde_json::{Value, json};

use crate::fixture::{Ended, Repo, done, installed, left_out, refused};
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
            r#"project "shop"
registry "prod" "127.0.0.1:{port}/team" insecure=#true
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

    /// What the manifests of the stage say against the ledger.
    fn drift(&self) -> Value {
        let told = self.repo.hoist(&["status", "--json"]).stdout;
        let stage: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        stage["drift"].clone()
    }

    fn place(&self) -> String {
        format!("127.0.0.1:{}/team/web", self.registry.port)
    }

    fn digest(&self, tag: &str) -> String {
        digest_of(self.registry.port, &format!("web:{tag}"))
    }

    /// A program of the test's own, and the PATH that has it first.
    fn program(&self, name: &str, script: &str) -> String {
        self.repo.write_program(&format!("bin/{name}"), script);
        let all = std::env::var("PATH").unwrap_or_default();
        format!("{}:{all}", self.repo.path().join("bin").display())
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
    // A commit is a tag that never moves, too, and says less than a version.
    let release = world.repo.read("release.kdl").replace("tags { latest;", "tags { sha short=#true; latest;");
    assert!(release.contains("sha"));
    world.repo.write("release.kdl", release);
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
    assert_eq!(world.drift()["manifests"], json!([]));
}

#[test]
fn the_status_shows_which_manifests_somebody_edited() {
    if !ready("manifests that are edited by hand") {
        return;
    }
    let world = World::new(GITOPS);
    world.manifests(&files());
    done(&world.ship("1\n", "v1.0.0"));
    let none = json!({ "tags": [], "manifests": [], "unknown": null });
    assert_eq!(world.drift(), none);
    let by_hand = |path: &str, from: &str, to: &str| {
        let place = world.repo.path().with_file_name("manifests.git");
        let work = world.repo.path().with_file_name("manifests");
        let git = |words: &[&str]| world.repo.git(&[&["-C", &*work.to_string_lossy()], words].concat());
        git(&["pull", "--quiet", &place.to_string_lossy(), "main"]);
        let text = world.repo.read(&format!("../manifests/{path}"));
        world.repo.write(&format!("../manifests/{path}"), text.replace(from, to));
        git(&["commit", "--quiet", "--all", "--message", "By hand"]);
        git(&["push", "--quiet", &place.to_string_lossy(), "main"]);
    };
    // What hoist does not write is nobody's business.
    by_hand("app.env", "B=1", "B=2");
    assert_eq!(world.drift(), none);
    by_hand("values.yaml", "1.0.0", "0.9.9");
    let edited = json!({ "repository": "../manifests.git", "branch": "main", "path": "values.yaml", "pull-request": false });
    assert_eq!(world.drift()["manifests"], json!([edited]));
    let shown = world.repo.hoist(&["status"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains("drift: `values.yaml` on `main` of ../manifests.git says `image: {tag: \"0.9.9\""),
        "{shown}"
    );
    let unasked = world.repo.hoist(&["status", "--no-drift"]).stdout;
    assert!(unasked.contains("as released"), "{unasked}");
    done(&world.ship("2\n", "v2.0.0"));
    assert_eq!(world.drift(), none);
    // What cannot be read as a deployment reads it is not known.
    by_hand("app.env", "TAG=", "GAT=");
    let drift = world.drift();
    assert!(drift["unknown"].as_str().unwrap().contains("nothing in it matches"), "{drift}");
    world.stage("deploy \"run\" { run \"true\"; }");
    assert_eq!(world.drift(), none);
}

#[test]
fn a_commit_that_hoist_pushes_is_not_released_for_its_own_sake() {
    if !ready("manifests beside the sources") {
        return;
    }
    let world = World::new(
        r#"deploy "gitops" branch="main" {
        kustomize "deploy" image="placeholder/web" digest=#true
        yaml "deploy/values.yaml" set="image.tag" to="{version}"
    }"#,
    );
    let live = r#"
stage "live" {
    on tag="live-*"
    from "production"
    deploy "gitops" branch="main" { yaml "deploy/live.yaml" set="digest" digest-of="web"; }
}
"#;
    world.repo.write("release.kdl", world.repo.read("release.kdl") + live);
    world.repo.write("deploy/live.yaml", "digest: none\n");
    world.repo.write("deploy/kustomization.yaml", "images:\n- name: placeholder/web\n");
    world.repo.write("deploy/values.yaml", VALUES);
    world.repo.commit("Manifests");
    let remote = world.repo.path().with_file_name("remote.git");
    world.repo.git(&["init", "--quiet", "--bare", "--initial-branch=main", &remote.to_string_lossy()]);
    world.repo.git(&["remote", "add", "origin", &remote.to_string_lossy()]);
    world.repo.git(&["push", "--quiet", "origin", "main"]);
    let pushed = || world.repo.git(&["--git-dir", &remote.to_string_lossy(), "rev-list", "--count", "main"]);
    let pull = || {
        world.repo.git(&["pull", "--quiet", "--ff-only", "origin", "main"]);
    };
    done(&world.release("branch=main"));
    let (before, released) = (pushed(), world.digest("main-latest"));
    pull();
    // The push makes a CI system call hoist again; so it does in a clone of one commit.
    let clone = world.repo.path().with_file_name("clone");
    let from = format!("file://{}", remote.display());
    world.repo.git(&["clone", "--quiet", "--depth=1", &from, &clone.to_string_lossy()]);
    for place in [".", "../clone"] {
        let again = world.repo.hoist(&["-C", place, "release", "--event", "branch=main", "--yes"]);
        done(&again);
        let said =
            "is what deploying production wrote into `deploy/kustomization.yaml`, `deploy/values.yaml`";
        assert!(
            again.stderr.contains("Nothing to release: commit ") && again.stderr.contains(said),
            "{}",
            again.stderr
        );
        assert_eq!((pushed(), world.digest("main-latest")), (before.clone(), released.clone()));
    }
    // It counts as what it was made of where another stage takes that, which commits, too.
    world.repo.git(&["tag", "live-1"]);
    done(&world.release("tag=live-1"));
    assert_ne!(pushed(), before);
    pull();
    assert_eq!(world.repo.read("deploy/live.yaml"), format!("digest: {released}\n"));
    let planned = world.repo.hoist(&["plan", "--event", "branch=main"]);
    assert!(planned.stderr.contains("Nothing to release"), "{}", planned.stderr);
    // What somebody changes is released, also where it is in one of the same files.
    let text = world.repo.read("deploy/values.yaml");
    world.repo.write("deploy/values.yaml", text.replace("# chart", "# charts"));
    world.repo.commit("By hand");
    world.repo.git(&["push", "--quiet", "origin", "main"]);
    done(&world.release("branch=main"));
    assert_ne!(world.digest("main-latest"), released);
    pull();
    let nothing = world.release("branch=main");
    assert!(nothing.stderr.contains("Nothing to release"), "{}", nothing.stderr);
    // So is what is asked for.
    let (before, released) = (pushed(), world.digest("main-latest"));
    done(&world.repo.hoist(&["release", "--event", "branch=main", "--yes", "--force"]));
    assert_ne!(pushed(), before);
    assert_ne!(world.digest("main-latest"), released);
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
        world.repo.git(&["tag", "--force", "v1.0.0"]);
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
        "`placeholder/wbe`: it has `placeholder/db`, `placeholder/web`",
        "did you mean `image=\"placeholder/web\"`?",
        "there is no `image.tga`: `image` has `tag`, `digest`",
        "nothing in it matches `newTga:.*`",
    ]);
    world.stage("deploy \"gitops\" repo=\"../manifests.git\" branch=\"live\" { replace \"a\" \"b\" \"c\"; }");
    release(&["hoist::deploy::repository", "`../manifests.git` has no branch `live`"]);
    world.stage("deploy \"gitops\" repo=\"../manifests.git\" { replace \"../a\" \"b\" \"c\"; }");
    refused(&world.release("branch=main"), 2, &["`../a` is no path inside a repository"]);
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
fn a_directory_with_several_kustomizations_is_refused_as_kustomize_does() {
    if !ready("several kustomizations") {
        return;
    }
    let kustomize = |path: &str| {
        let edit = format!("kustomize \"{path}\" image=\"placeholder/web\"");
        format!("deploy \"gitops\" repo=\"../manifests.git\" {{ {edit}; }}")
    };
    let world = World::new(&kustomize("apps"));
    let text = "images:\n- name: placeholder/web\n";
    world.manifests(&[
        ("apps/kustomization.yml", text),
        ("apps/Kustomization", text),
        ("one/Kustomization", text),
        ("one/other.yaml", text),
    ]);
    world.repo.git(&["tag", "v1.0.0"]);
    for path in ["apps", "apps/Kustomization"] {
        world.stage(&kustomize(path));
        world.repo.git(&["tag", "--force", "v1.0.0"]);
        let said = [
            "hoist::deploy::manifest",
            "`apps/Kustomization` and `apps/kustomization.yml`",
            "kustomize build",
        ];
        refused(&world.release("tag=v1.0.0"), 3, &said);
    }
    // A file that kustomize does not look for is none of them.
    world.stage(&kustomize("one"));
    world.repo.git(&["tag", "--force", "v1.0.0"]);
    done(&world.release("tag=v1.0.0"));
    assert!(world.kept(&["show", "main:one/Kustomization"]).contains("newTag: 1.0.0"));
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
    // The only remote is the one, whatever it is called, as it is for the ledger.
    world.repo.git(&["remote", "rename", "origin", "upstream"]);
    done(&world.ship("3\n", "v3.0.0"));
    let there = world.repo.git(&["--git-dir", &remote.to_string_lossy(), "show", "deploy:values.yaml"]);
    assert_eq!(there, VALUES.replace("0.9.0", "3.0.0").trim_end());
    world.repo.git(&["remote", "remove", "upstream"]);
    let secret =
        "deploy \"gitops\" repo=\"https://ci:hunter2@host/a/b.git\" { replace \"web\" \"1\" \"2\"; }";
    world.stage(secret);
    let ended = world.release("branch=main");
    refused(&ended, 2, &["an address of a repository holds no password"]);
    world.stage("deploy \"gitops\" { replace \"web\" \"1\" \"2\"; }");
    refused(&world.release("branch=main"), 3, &["the branch `main` is checked out, and there is no remote"]);
}

#[test]
fn an_image_whose_tag_names_another_one_is_deployed_by_a_tag_of_its_own() {
    if !ready("a commit that is built twice") {
        return;
    }
    let world = World::new(
        "deploy \"gitops\" repo=\"../manifests.git\" { kustomize \"overlays/production\" image=\"placeholder/web\"; }",
    );
    world.manifests(&files());
    // What it makes is another each time.
    let release = world.repo.read("release.kdl").replace("copy \"web\"", "copy \"page\"");
    let release = release.replace(
        "tags { latest; semver \"{version}\"; branch \"{branch}-latest\"; }",
        "tags { branch \"{branch}-{short}\"; }",
    );
    let page = "target \"page\" { run \"date +%s%N > page\"; inputs \"release.kdl\"; outputs \"page\"; }\n";
    world.repo.write("release.kdl", format!("{page}{release}"));
    world.repo.write(".gitignore", "/.registry*\n/out\n/bin\n/page\n");
    world.repo.commit("Twice");
    let tag = format!("main-{}", world.repo.git(&["rev-parse", "--short=7", "HEAD"]).trim());
    let new_tag = || {
        let kept = world.kept(&["show", "main:overlays/production/kustomization.yaml"]);
        let line = kept.lines().rfind(|line| line.contains("newTag")).unwrap().to_owned();
        line.split("newTag:").nth(1).unwrap().split('#').next().unwrap().trim().to_owned()
    };
    let runs = || {
        let told = world.repo.hoist(&["status", "--json", "--no-drift"]).stdout;
        let stage: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        stage["images"][0]["digest"].as_str().unwrap().to_owned()
    };
    done(&world.release("branch=main"));
    assert_eq!((new_tag(), world.digest(&tag)), (tag.clone(), runs()));
    let first = runs();

    let again = world.repo.hoist(&["release", "--event", "branch=main", "--no-cache", "--yes"]);
    done(&again);
    assert!(again.stderr.contains("left where it is"), "{}", again.stderr);
    assert_ne!(runs(), first);
    assert_eq!(world.digest(&tag), first);
    assert!(new_tag().starts_with("keep-"), "{}", new_tag());
    assert_eq!(world.drift()["manifests"], json!([]));
    assert_eq!(world.digest(&new_tag()), runs());

    done(&world.repo.hoist(&["rollback", "production", "--yes"]));
    assert_eq!((new_tag(), runs()), (tag, first));
    assert_eq!(world.drift()["manifests"], json!([]));
}

/// Answers each request, by its lines and its body, on a port of its own.
pub(crate) fn serve(mut answer: impl FnMut(&[String], &Value) -> (u16, Value) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
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
            if lines.is_empty() {
                continue;
            }
            let length = lines.iter().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then_some(value)
            });
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            let (status, said) = answer(&lines, &serde_json::from_slice(&body).unwrap_or_default());
            let location = said["location"].as_str().map(|at| format!("Location: {at}\r\n"));
            let text = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 {}Connection: close\r\n\r\n",
                text.len(),
                location.unwrap_or_default()
            );
            let _ = reader.into_inner().write_all((head + &text).as_bytes());
        }
    });
    port
}

/// Stands for a forge: keeps pull requests as it is told of them, and what it was asked.
pub(crate) struct FakeForge {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeForge {
    /// One that speaks as GitHub and Gitea do, or as GitLab, to whoever shows this header.
    pub(crate) fn start(gitlab: bool, header: &'static str) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let mut open: Vec<Value> = Vec::new();
        let port = serve(move |lines, body| {
            heard.lock().unwrap().push(format!("{} {body}", lines[0]));
            if lines.iter().any(|line| line == header) {
                (200, answer(gitlab, &lines[0], body, &mut open))
            } else {
                (401, json!({ "message": "Bad credentials" }))
            }
        });
        Self { port, asked }
    }

    /// What changed something.
    fn changes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let changes = asked.iter().filter(|line| !line.starts_with("GET"));
        changes.map(|line| line.replace(" HTTP/1.1", "")).collect()
    }
}

fn answer(gitlab: bool, first: &str, body: &Value, open: &mut Vec<Value>) -> Value {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let is_list = first.contains("/pulls") || first.contains("/merge_requests");
    if first.starts_with("POST") && gitlab {
        open.push(json!({ "iid": 7, "title": text("title"), "source_branch": text("source_branch"), "target_branch": text("target_branch"), "web_url": "https://forge/7" }));
    } else if first.starts_with("POST") {
        open.push(json!({ "number": 7, "title": text("title"), "head": { "ref": text("head") }, "base": { "ref": text("base") }, "html_url": "https://forge/7" }));
    } else if first.starts_with('P') {
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
        ("gitlab", "authorization: Bearer t0ken-of-forge", "GITLAB_TOKEN", true),
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
            world.kept(&["show", "hoist/shop/production:values.yaml"]),
            VALUES.replace("0.9.0", "1.0.0").trim_end()
        );
        // Until it is merged, the manifests do not say what they have to.
        let waits = &world.drift()["manifests"][0];
        assert_eq!((&waits["path"], &waits["pull-request"]), (&json!("values.yaml"), &json!(true)));
        let tip = world.kept(&["rev-parse", "hoist/shop/production"]);
        let again = release("t0ken-of-forge");
        done(&again);
        assert!(again.stderr.contains("https://forge/7 is open already"), "{}", again.stderr);
        assert_eq!(world.kept(&["rev-parse", "hoist/shop/production"]), tip);
        assert_eq!(forge.changes().len(), 1, "{:?}", forge.changes());

        // The next version takes its place.
        world.repo.write("web", "2\n");
        world.repo.commit("2");
        world.repo.git(&["tag", "v2.0.0"]);
        done(&world.release_with("tag=v2.0.0", &[(variable, "t0ken-of-forge")]));
        assert_eq!(
            world.kept(&["show", "hoist/shop/production:values.yaml"]),
            VALUES.replace("0.9.0", "2.0.0").trim_end()
        );
        assert_eq!(world.kept(&["rev-list", "--count", "main..hoist/shop/production"]), "1");
        let changes = forge.changes();
        assert!(changes[0].starts_with("POST "), "{changes:?}");
        assert!(changes[1].contains("/7 {\"title\":\"Release 2.0.0\"}"), "{changes:?}");

        // Another project has a branch of its own, whatever it is called.
        let tip = world.kept(&["rev-parse", "hoist/shop/production"]);
        let others = [
            ("api", "v3.0.0", "hoist/api/production"),
            ("shop.v2", "v4.0.0", "hoist/shop-v2-c923e4c41da1/production"),
        ];
        for (project, version, branch) in others {
            let release = world.repo.read("release.kdl");
            let (_, rest) = release.split_once('\n').unwrap();
            world.repo.write("release.kdl", format!("project \"{project}\"\n{rest}"));
            world.repo.commit(project);
            world.repo.git(&["tag", version]);
            done(&world.release_with(&format!("tag={version}"), &[(variable, "t0ken-of-forge")]));
            assert_eq!(world.kept(&["rev-list", "--count", &format!("main..{branch}")]), "1");
        }
        assert_eq!(world.kept(&["rev-parse", "hoist/shop/production"]), tip);
    }
}

#[test]
fn services_are_started_with_images_by_their_digest() {
    if !ready("compose") {
        return;
    }
    let world = World::new("deploy \"compose\" { file \"deploy/compose.yaml\"; }");
    let compose = format!(
        "x-ours: &ours\n  image: {}:latest\nservices:\n  db:\n    image: postgres:15\n  front: # ours\n    \
         <<: *ours\n  back:\n    extends: {{file: ../base.yaml, service: base}}\n  web:\n    build: .\n",
        world.place()
    );
    world.repo.write("deploy/compose.yaml", &compose);
    world.repo.write("base.yaml", format!("services: {{base: {{image: \"{}\"}}}}\n", world.place()));
    world.repo.commit("Compose");
    // FakeCompose tells what it was asked for.
    let script = "#!/bin/sh\n[ \"$1 $2\" = 'compose version' ] && exit 0\necho \"$*\" | sed 's| /[^ ]*/| |' >> out\nfor word; do case $word in *.json) cat \"$word\" > over.json;; esac; done\n";
    let path = world.program("docker", script);
    let run = |tag: &str| {
        world.repo.git(&["tag", tag]);
        world.release_with(&format!("tag={tag}"), &[("PATH", &path)])
    };
    done(&run("v0.9.0"));
    assert_eq!(
        world.repo.read("out"),
        "compose -f deploy/compose.yaml -f images.json pull front back web\n\
         compose -f deploy/compose.yaml -f images.json up -d --no-build front back web\n"
    );
    let over: Value = serde_json::from_str(&world.repo.read("over.json")).unwrap();
    let image = format!("{}@{}", world.place(), world.digest("0.9.0"));
    assert_eq!(
        over,
        json!({ "services": {
            "front": { "image": image }, "back": { "image": image }, "web": { "image": image },
        } })
    );
    assert_eq!(world.repo.read("deploy/compose.yaml"), compose);

    world.stage("deploy \"compose\" { file \"deploy/compose.yaml\"; service \"fornt\"; }");
    refused(
        &run("v0.9.1"),
        3,
        &["hoist::deploy::manifest", "there is no service `fornt`", "it has `db`, `front`, `back`, `web`"],
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

/// Stands for the API server of a cluster that runs one deployment: as much of it as `set
/// image` and `rollout status` ask for. Keeps the images that it was told of.
fn fake_cluster(rolls_out: bool) -> (u16, Arc<Mutex<Vec<String>>>) {
    let images = Arc::new(Mutex::new(vec!["old".to_owned()]));
    let told = Arc::clone(&images);
    let port = serve(move |lines, body| {
        let path = lines[0].split(' ').nth(1).unwrap_or_default();
        let patched = &body["spec"]["template"]["spec"]["containers"][0]["image"];
        if let (true, Some(image)) = (lines[0].starts_with("PATCH"), patched.as_str()) {
            told.lock().unwrap().push(image.to_owned());
        }
        let mut kept = told.lock().unwrap();
        let image = kept.last_mut().unwrap().clone();
        let ready = usize::from(rolls_out);
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "django", "namespace": "shop", "generation": 2, "resourceVersion": "5", "uid": "u" },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": { "a": "b" } },
                "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "django", "image": image }] } },
            },
            "status": { "observedGeneration": 2, "replicas": 1, "updatedReplicas": ready, "readyReplicas": ready, "availableReplicas": ready },
        });
        let verbs = json!(["get", "list", "patch", "update", "watch"]);
        let said = match path.split('?').next().unwrap_or_default() {
            "/api" => json!({ "kind": "APIVersions", "versions": ["v1"] }),
            "/api/v1" => json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [] }),
            "/apis" => json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [{
                "name": "apps", "versions": [{ "groupVersion": "apps/v1", "version": "v1" }],
                "preferredVersion": { "groupVersion": "apps/v1", "version": "v1" },
            }] }),
            "/apis/apps/v1" => {
                json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [{
                "name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment",
                "verbs": verbs, "shortNames": ["deploy"],
            }] })
            }
            "/apis/apps/v1/namespaces/shop/deployments" if path.contains("watch=") => {
                json!({ "type": "ADDED", "object": deployment })
            }
            "/apis/apps/v1/namespaces/shop/deployments" => json!({
                "kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": { "resourceVersion": "5" }, "items": [deployment],
            }),
            "/apis/apps/v1/namespaces/shop/deployments/django" => deployment,
            _ => {
                return (
                    404,
                    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404 }),
                );
            }
        };
        (200, said)
    });
    (port, images)
}

#[test]
fn workloads_of_a_cluster_run_images_by_their_digest() {
    if !ready("a cluster") || !installed("a cluster", &["kubectl"]) {
        return;
    }
    let deploy = "deploy \"kubectl\" namespace=\"shop\" context=\"test\" within=\"2s\" { set \"deployment/django\" container=\"django\"; }";
    let world = World::new(deploy);
    let run = |version: &str, rolls_out: bool| {
        let (port, images) = fake_cluster(rolls_out);
        let config = world.repo.path().join("out");
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: \"http://127.0.0.1:{port}\"}}}}]\n\
             contexts: [{{name: test, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{token: x}}}}]\n"
        );
        world.repo.write("out", text);
        world.repo.git(&["tag", version]);
        let ended =
            world.release_with(&format!("tag={version}"), &[("KUBECONFIG", &config.to_string_lossy())]);
        let images = images.lock().unwrap().clone();
        (ended, images)
    };
    let (ended, images) = run("v1.0.0", true);
    done(&ended);
    let one = format!("{}@{}", world.place(), world.digest("1.0.0"));
    assert_eq!(images, ["old", &one]);

    // What is not rolled out in time goes back; that is not rolled out either.
    world.repo.write("web", "2\n");
    world.repo.commit("2");
    let (ended, images) = run("v2.0.0", false);
    refused(&ended, 5, &["`production` does not work, and stands", "does not work either"]);
    assert_eq!(ended.stderr.matches("hoist::release::not_put_back").count(), 1, "{}", ended.stderr);
    let shown = world.repo.hoist(&["status", "--no-drift"]).stdout;
    assert!(shown.contains("does not work: "), "{shown}");
    let two = format!("{}@{}", world.place(), world.digest("2.0.0"));
    assert_eq!(images, ["old", &two, &one]);
}

#[test]
fn an_edited_kustomization_means_what_kustomize_makes_of_it() {
    let kustomize = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/verifiers/bin/kustomize");
    if !kustomize.is_file() {
        return left_out("kustomize", "`tests/verifiers target/verifiers` was not run");
    }
    let digest = format!("sha256:{}", "ab".repeat(32));
    let base = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: placeholder/web}, {name: d, image: other}]}\n";
    // The entry, the tag that is known, whether the digest is asked for, and what says the
    // same to `kustomize edit set image`.
    let cases = [
        ("", Some("1.2"), false, "placeholder/web=host/web:1.2".to_owned()),
        ("images: []\n", Some("1.10"), false, "placeholder/web=host/web:1.10".to_owned()),
        ("images:\n- name: placeholder/web\n", None, false, format!("placeholder/web=host/web@{digest}")),
        (
            "images:\n- newTag: '1'\n  name: placeholder/web\n- name: other\n  newTag: \"3\"\n",
            Some("v2"),
            false,
            "placeholder/web=host/web:v2".to_owned(),
        ),
        (
            "images:\n- {name: placeholder/web, digest: 'sha256:00'}\n",
            Some("v2"),
            false,
            format!("placeholder/web=host/web@{digest}"),
        ),
        (
            "images:\n- name: placeholder/web\n  newName: x/y\n  newTag: v1\n",
            Some("v2"),
            true,
            format!("placeholder/web=host/web:v2@{digest}"),
        ),
        (
            "images:\n- name: placeholder/web\n  newTag: v1\n",
            None,
            true,
            format!("placeholder/web=host/web@{digest}"),
        ),
    ];
    let repo = Repo::new();
    repo.write("pod.yaml", base);
    let call = |words: &[&str]| {
        let output = Command::new(&kustomize).args(words).current_dir(repo.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for (images, tag, by_digest, words) in cases {
        let text = format!("resources:\n- pod.yaml\n{images}");
        let pin = Pin { repository: "host/web", tag, digest: &digest, by_digest };
        repo.write("kustomization.yaml", set_image(&text, "placeholder/web", pin).unwrap());
        let ours = call(&["build", "."]);
        repo.write("kustomization.yaml", &text);
        call(&["edit", "set", "image", &words]);
        assert_eq!(ours, call(&["build", "."]), "{text}");
        assert!(ours.contains("host/web"), "{ours}");
    }
    // It sets what an alias stands for, and leaves the alias what it was; an edit of bytes cannot.
    let text = "resources: [pod.yaml]\nimages:\n- {name: placeholder/web, newTag: &tag v1}\n- {name: other, newTag: *tag}\n";
    repo.write("kustomization.yaml", text);
    call(&["edit", "set", "image", "placeholder/web=host/web:v2"]);
    let built = call(&["build", "."]);
    assert!(built.contains("image: host/web:v2") && built.contains("image: other:v1"), "{built}");
    let pin = Pin { repository: "host/web", tag: Some("v2"), digest: &digest, by_digest: false };
    assert!(set_image(text, "placeholder/web", pin).is_err());
    // Of several kustomizations in one directory it takes none.
    repo.write("Kustomization", text);
    let output = Command::new(&kustomize).args(["build", "."]).current_dir(repo.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("multiple kustomization files"));
}
