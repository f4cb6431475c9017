//! What `hoist prune` deletes, and what it leaves: layouts, and docker-registry on loopback.

use std::path::Path;
use std::process::{Command, Stdio};

use hoist::oci::{Descriptor, Manifest, media_type};
use hoist::store::Layout;
use serde_json::{Value, json};

use crate::fixture::{Ended, Repo, done, installed, refused};
use crate::proxy::{Fault, Proxy, direct};
use crate::registry::{Registry, digest_of};
use crate::schemas::check;

/// An image that is pushed to one registry.
fn release(registry: &str) -> String {
    format!(
        "{registry}\nimage \"web\" {{\n    assemble from=\"scratch\" {{ layer {{ copy \"web\" \"/web\"; }}; }}\n    \
         platforms \"linux/amd64\" \"linux/arm64\"\n    tags {{ raw \"dev\"; }}\n    push \"out\"\n}}\n"
    )
}

fn project(registry: &str) -> Repo {
    let repo = Repo::new();
    repo.write(".gitignore", "/.registry*\n/out\n/made\n");
    repo.write("release.kdl", release(registry));
    repo.write("web", "0");
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    repo
}

/// Makes an image of its own, as if in this month of 2020, under this name.
fn make(repo: &Repo, content: &str, month: u32, to: &str) {
    make_so(repo, content, month, &["copy", "web", to]);
}

/// The same, copied by this call.
fn make_so(repo: &Repo, content: &str, month: u32, copy: &[&str]) {
    repo.write("web", content);
    let time = (1_577_836_800 + u64::from(month - 1) * 31 * 86_400).to_string();
    done(&repo.hoist_with(&["run", "web"], &[("SOURCE_DATE_EPOCH", &time)]));
    done(&repo.hoist_with(copy, &[("SOURCE_DATE_EPOCH", &time)]));
}

fn tags(repo: &Repo, place: &str) -> Vec<String> {
    let listed = repo.hoist(&["inspect", place, "-q"]);
    let mut tags: Vec<String> = listed.stdout.lines().map(ToOwned::to_owned).collect();
    tags.sort();
    tags
}

/// The first repository of what is printed as JSON.
fn first(ended: &Ended) -> Value {
    done(ended);
    check("prune", &ended.stdout);
    serde_json::from_str(ended.stdout.lines().next().expect("a line")).expect("it is JSON")
}

fn tags_of(value: &Value) -> Vec<&str> {
    let images = value["images"].as_array().expect("a list").iter();
    images.flat_map(|image| image["tags"].as_array().expect("a list")).filter_map(Value::as_str).collect()
}

fn sorted(value: &Value) -> Vec<&str> {
    let mut tags = tags_of(value);
    tags.sort_unstable();
    tags
}

/// Puts a manifest that refers to the image of a tag into a layout.
fn refer(path: &Path, tag: &str) -> Descriptor {
    let layout = Layout::open(path).expect("it is a layout");
    let subject = layout.resolve(tag).expect("it can be read").expect("there is such a tag");
    let config = layout.write("application/vnd.oci.empty.v1+json", b"{}").expect("it can be written");
    let layer = layout.write("text/plain", b"a remark").expect("it can be written");
    let mut manifest = Manifest::new(config, vec![layer]);
    manifest.artifact_type = Some("text/plain".to_owned());
    manifest.subject = Some(Descriptor::new(&subject.media_type, subject.digest, subject.size));
    let referrer = layout.write(media_type::MANIFEST, &manifest.to_bytes()).expect("it can be written");
    layout.list(&referrer).expect("it can be listed");
    referrer
}

#[test]
fn a_dry_run_is_what_happens_without_a_yes_and_rules_say_what_goes() {
    let repo = project("registry \"out\" \"oci:out\" { retain \"old-*\" last=1 younger=\"30d\"; }");
    for (month, tag) in (1..).zip(["old-1", "old-2", "old-3", "other", "1.0.0"]) {
        make(&repo, tag, month, &format!("oci:out/web:{tag}"));
    }
    let before = tags(&repo, "oci:out/web");
    let shown = repo.hoist(&["prune"]);
    done(&shown);
    assert!(
        shown.stdout.contains("old-1") && shown.stdout.contains("`old-*`: not among the last 1"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("3 tags kept (`-v` says why)"), "{}", shown.stdout);
    assert_eq!(shown.stderr, "nothing was deleted: `--yes` deletes 2 images\n");
    done(&repo.hoist(&["prune", "--dry-run"]));
    let wide = repo.hoist(&["prune", "-v"]).stdout;
    assert!(wide.contains("it is among the last 1") && wide.contains("no rule is for it"), "{wide}");
    let would = first(&repo.hoist(&["prune", "--json"]));
    assert_eq!((&would["deleted"], sorted(&would)), (&json!(false), vec!["old-1", "old-2"]));
    assert_eq!(tags(&repo, "oci:out/web"), before);

    let others = ["prune", "--match", "old-*", "--last", "2", "--younger", "30d", "--json"];
    assert_eq!(tags_of(&first(&repo.hoist(&others))), ["old-1"]);

    // Of versions only where that is said.
    let versions = ["prune", "--match", "*", "--younger", "30d", "--json"];
    let would = first(&repo.hoist(&versions));
    assert!(!tags_of(&would).contains(&"1.0.0") && tags_of(&would).contains(&"other"), "{would}");
    let would = first(&repo.hoist(&[&versions[..], &["--versions"]].concat()));
    assert!(tags_of(&would).contains(&"1.0.0"), "{would}");

    let blobs = || std::fs::read_dir(repo.path().join("out/web/blobs/sha256")).expect("it is there").count();
    let all = blobs();
    let gone = repo.hoist(&["prune", "--yes"]);
    done(&gone);
    assert!(gone.stderr.contains("oci:out/web: deleted sha256:"), "{}", gone.stderr);
    assert_eq!(tags(&repo, "oci:out/web"), ["1.0.0", "old-3", "other"]);
    assert!(blobs() < all, "nothing needs the layers any more");
    done(&repo.hoist(&["inspect", "oci:out/web:old-3"]));
    let again = repo.hoist(&["prune", "--yes"]);
    assert_eq!((again.code, again.stderr.as_str()), (0, "nothing is to be deleted\n"));
}

#[test]
fn what_a_run_that_stopped_before_its_tags_is_to_publish_stays() {
    let repo = project("registry \"out\" \"oci:out\" { retain \"old-*\" last=1; }");
    for (month, tag) in (1..).zip(["old-1", "old-2", "old-3"]) {
        make(&repo, tag, month, &format!("oci:out/web:{tag}"));
    }
    assert_eq!(sorted(&first(&repo.hoist(&["prune", "--json"]))), ["old-1", "old-2"]);
    let image = repo.hoist(&["inspect", "oci:out/web:old-1", "--digest"]).stdout.trim().to_owned();
    let tag = json!({
        "image": "web", "digest": image, "media-type": media_type::INDEX, "size": 1, "repository": "oci:out/web",
        "tag": "1.0.0", "semver": true, "follows": "immutable"
    });
    let intent = json!({
        "format": 3, "run": "1-stopped", "at": "2026-01-02T03:04:05Z", "allow-regress": false, "tags": [tag],
        "entries": []
    });
    repo.write(".hoist/transactions/1-stopped.jsonl", format!("{intent}\n"));
    let would = first(&repo.hoist(&["prune", "--json"]));
    assert_eq!(sorted(&would), ["old-2"], "{would:#}");
    let wide = repo.hoist(&["prune", "-v"]).stdout;
    assert!(wide.contains("`hoist resume` needs it, for the run 1-stopped"), "{wide}");
    // So does an image without tags that is to enter a stage.
    let entry = json!({
        "format": 3, "kind": "release", "stage": "staging", "at": "2026-01-02T03:04:05Z", "by": "a",
        "run": "1-stopped", "event": "tag=v1.0.0", "commit": "1".repeat(40), "tree": "2".repeat(40),
        "version": "1.0.0", "dirty": false, "gates": [],
        "images": [{
            "name": "web", "digest": image, "media-type": media_type::INDEX, "size": 1, "tests": [], "places": []
        }]
    });
    let without = json!({
        "format": 3, "run": "1-stopped", "at": "2026-01-02T03:04:05Z", "allow-regress": false, "tags": [],
        "entries": [entry]
    });
    repo.write(".hoist/transactions/1-stopped.jsonl", format!("{without}\n"));
    let would = first(&repo.hoist(&["prune", "--json"]));
    assert_eq!(sorted(&would), ["old-2"], "{would:#}");
    // Once a tag may have moved, what it goes back to is not known either.
    repo.write(
        ".hoist/transactions/1-stopped.jsonl",
        format!("{intent}\n{}\n", json!({ "moving": { "tag": 0, "from": null } })),
    );
    refused(&repo.hoist(&["prune", "--yes"]), 3, &["stopped half way"]);
}

#[test]
fn what_is_asked_for_has_to_make_sense() {
    let repo = project("registry \"out\" \"oci:out\"");
    refused(
        &repo.hoist(&["prune", "wbe"]),
        2,
        &["there is no registry or image `wbe`", "did you mean `web`?"],
    );
    refused(&repo.hoist(&["prune", "--match", "a-*"]), 2, &["--last", "--younger"]);
    refused(&repo.hoist(&["prune", "--match", "[", "--last", "1"]), 2, &["invalid value `[` for"]);
    refused(&repo.hoist(&["prune", "--younger", "3w", "--match", "*"]), 2, &["`w` is not one of"]);
    repo.write("release.kdl", release("registry \"out\" \"oci:out\" { retain \"a-*\"; }"));
    refused(&repo.hoist(&["prune"]), 2, &["`retain` has none of `last=`, `younger=`"]);
    // Nothing was published yet.
    repo.write("release.kdl", release("registry \"out\" \"oci:out\""));
    let nothing = repo.hoist(&["prune", "out", "--yes"]);
    assert_eq!((nothing.code, nothing.stderr.as_str()), (0, "nothing is to be deleted\n"));
}

#[test]
fn what_refers_to_an_image_goes_and_stays_with_it() {
    if !installed("pruning of a registry", &["docker-registry", "skopeo"]) {
        return;
    }
    let repo = Repo::new();
    let registry = Registry::start(&repo);
    let port = registry.port;
    let web = format!("127.0.0.1:{port}/team/web");
    let declared =
        format!("registry \"out\" \"127.0.0.1:{port}/team\" {{ retain \"old-*\" younger=\"30d\"; }}");
    repo.write(".gitignore", "/.registry*\n/out\n/made\n");
    repo.write("release.kdl", release(&declared));
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    for (month, tag) in (1..).zip(["old-1", "old-2", "1.0.0"]) {
        make(&repo, tag, month, &format!("oci:made:{tag}"));
        let referrer = refer(&repo.path().join("made"), tag);
        // It has another subject each time.
        done(&repo.hoist(&["copy", &format!("oci:made:{tag}"), &format!("{web}:{tag}")]));
        assert!(direct(port, &format!("/v2/team/web/manifests/{}", referrer.digest)).is_some());
    }
    let list = |tag: &str| format!("{}.sig", digest_of(port, &format!("web:{tag}")).replace(':', "-"));
    let (gone, stays) = (list("old-1"), list("1.0.0"));
    for signature in [&gone, &stays] {
        // A list is a manifest, and no index.
        let to = format!("{web}:{signature}");
        make_so(&repo, signature, 4, &["copy", "--platform", "linux/amd64", "web", &to]);
    }
    // `old-2` is `1.0.0`, too: this registry takes no tag away alone.
    done(&repo.hoist(&["copy", &format!("{web}:1.0.0"), &format!("{web}:old-2"), "--force"]));
    let index = direct(port, "/v2/team/web/manifests/old-1").expect("it is there");
    let index: Value = serde_json::from_slice(&index).expect("it is JSON");
    let child = |index: &Value| index["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    // A tag of one platform of a live index.
    let live = direct(port, "/v2/team/web/manifests/1.0.0").expect("it is there");
    let live: Value = serde_json::from_slice(&live).expect("it is JSON");
    done(&repo.hoist(&["copy", &format!("{web}@{}", child(&live)), &format!("{web}:old-3")]));

    let pruned = first(&repo.hoist(&["prune", "--yes", "--json"]));
    assert_eq!(tags_of(&pruned), ["old-1"], "{pruned:#}");
    let left = tags(&repo, &web);
    assert!(!left.contains(&"old-1".to_owned()) && !left.contains(&gone), "{left:?}");
    for tag in ["old-2", "old-3", "1.0.0", &stays] {
        assert!(left.contains(&tag.to_owned()), "{tag}: {left:?}");
        assert!(direct(port, &format!("/v2/team/web/manifests/{tag}")).is_some(), "{tag}");
    }
    assert!(direct(port, &format!("/v2/team/web/manifests/{}", child(&index))).is_none());
    assert!(direct(port, &format!("/v2/team/web/manifests/{}", child(&live))).is_some());
    let why = |tag: &str| {
        let kept = pruned["kept"].as_array().expect("a list");
        let found = kept.iter().find(|one| one["tag"] == *tag).expect("it is kept");
        found["why"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(why("old-2"), "the registry takes no tag away alone, and another tag names it, too");
    assert_eq!(why("old-3"), "the registry takes no tag away alone, and it is part of `1.0.0`");
    // All that `1.0.0` has is there: it can be copied with what refers to it.
    let copied = repo.hoist(&["copy", &format!("{web}:1.0.0"), "oci:out:whole"]);
    done(&copied);
    assert!(copied.stderr.contains("taken along"), "{}", copied.stderr);
}

#[test]
fn where_nobody_may_delete_it_is_said_with_what_to_do() {
    if !installed("pruning where deletion is off", &["docker-registry"]) {
        return;
    }
    let repo = Repo::new();
    let registry = Registry::start(&repo);
    let web = format!("127.0.0.1:{}/team/web", registry.port);
    let declared = format!(
        "registry \"out\" \"127.0.0.1:{}/team\" {{ retain \"old-*\" younger=\"30d\"; }}",
        registry.port
    );
    repo.write("release.kdl", release(&declared));
    make(&repo, "1", 1, &format!("{web}:old-1"));
    let host = format!("127.0.0.1:{}", registry.port);
    drop(registry);
    let settings = repo.read(".registry.yml").replace("enabled: true", "enabled: false");
    repo.write(".registry.yml", settings);
    let mut child = Command::new("docker-registry")
        .args(["serve", &repo.path().join(".registry.yml").to_string_lossy()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the registry can be started");
    while std::net::TcpStream::connect(&host).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ended = repo.hoist(&["prune", "--yes"]);
    let left = tags(&repo, &web);
    child.kill().and_then(|()| child.wait()).expect("it ends");
    refused(&ended, 1, &["does not allow deletion", "REGISTRY_STORAGE_DELETE_ENABLED=true", "`127.0.0.1:"]);
    assert_eq!(left, ["old-1"]);
    // A registry that does not answer says nothing of what would go.
    refused(&repo.hoist(&["prune", "--yes"]), 3, &["hoist::release::unreachable", "nothing was deleted"]);
}

#[test]
fn a_tag_that_moves_meanwhile_stays_with_what_it_held() {
    if !installed("pruning amid changes", &["docker-registry", "skopeo"]) {
        return;
    }
    let repo = Repo::new();
    let registry = Registry::start(&repo);
    let port = registry.port;
    // Right before it would be deleted: behind the look, and the look whether anything came.
    let harm = move |request: &str, before: usize| {
        if request == "HEAD /v2/team/web/manifests/old-1" && before == 2 {
            let name = |tag: &str| format!("docker://127.0.0.1:{port}/team/web:{tag}");
            let flags =
                ["--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"];
            let moved = Command::new("skopeo").args(flags).args([name("new"), name("old-1")]).output();
            assert!(moved.is_ok_and(|moved| moved.status.success()), "it moves");
        }
        None::<Fault>
    };
    let proxy = Proxy::start(port, Box::new(harm));
    let declared =
        format!("registry \"out\" \"127.0.0.1:{}/team\" {{ retain \"old-*\" younger=\"30d\"; }}", proxy.port);
    repo.write("release.kdl", release(&declared));
    for (month, tag) in (1..).zip(["old-1", "old-2", "new"]) {
        make(&repo, tag, month, &format!("127.0.0.1:{port}/team/web:{tag}"));
    }
    let held = digest_of(port, "web:old-1");
    let ended = repo.hoist(&["prune", "--yes"]);
    done(&ended);
    assert!(ended.stderr.contains("kept old-1: somebody moved it meanwhile"), "{}", ended.stderr);
    assert_eq!(tags(&repo, &format!("127.0.0.1:{port}/team/web")), ["new", "old-1"]);
    assert_eq!(digest_of(port, "web:old-1"), digest_of(port, "web:new"));
    assert!(direct(port, &format!("/v2/team/web/manifests/{held}")).is_some());
}

#[test]
fn what_a_stage_runs_or_could_go_back_to_stays() {
    if !installed("pruning of what stages ran", &["docker-registry", "skopeo", "git"]) {
        return;
    }
    let repo = Repo::new();
    repo.write(".gitignore", "/.registry*\n");
    let registry = Registry::start(&repo);
    let port = registry.port;
    let release = format!(
        r#"
registry "dev" "127.0.0.1:{port}/team" {{ retain "*" last=1; }}
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; }}
    tags {{ branch "{{branch}}-{{short}}" "{{branch}}-latest"; }}
    push "dev"
}}
stage "develop" {{ on branch="develop"; retain last=2; }}
"#
    );
    repo.write("release.kdl", release);
    repo.write("web", "0");
    repo.git(&["init", "--quiet", "--initial-branch=develop"]);
    repo.commit("Begin");
    let remote = repo.path().with_file_name("remote.git").to_string_lossy().into_owned();
    repo.git(&["init", "--quiet", "--bare", &remote]);
    repo.git(&["remote", "add", "origin", &remote]);
    let mut made: Vec<(String, String)> = Vec::new();
    for content in ["1", "2", "3", "4"] {
        repo.write("web", content);
        repo.commit(content);
        repo.git(&["push", "--quiet", "origin", "develop"]);
        done(&repo.hoist(&["release", "--event", "branch=develop", "--yes"]));
        let tag = format!("develop-{}", repo.git(&["rev-parse", "--short=7", "HEAD"]));
        let digest = digest_of(port, &format!("web:{tag}"));
        made.push((tag, digest));
    }
    let stood = |at: usize| digest_of(port, &format!("web:{}", made[at].0)) == made[at].1;

    // What stages run is not known: nothing is judged.
    repo.git(&["remote", "set-url", "origin", "/nowhere/at/all.git"]);
    refused(&repo.hoist(&["prune", "--yes"]), 3, &["hoist::release::unreachable", "nothing was deleted"]);
    repo.git(&["remote", "set-url", "origin", &remote]);
    assert!((0..4).all(stood));

    let would = first(&repo.hoist(&["prune", "--json"]));
    let mut expected = [made[0].0.as_str(), made[1].0.as_str()];
    expected.sort_unstable();
    assert_eq!(sorted(&would), expected, "{would:#}");
    let reasons: Vec<_> = would["kept"].as_array().expect("a list").iter().map(|one| &one["why"]).collect();
    assert!(reasons.contains(&&json!("`develop` runs it")), "{reasons:?}");
    assert!(reasons.contains(&&json!("`develop` could go back to it")), "{reasons:?}");
    done(&repo.hoist(&["prune", "--yes"]));
    assert_eq!((0..4).map(stood).collect::<Vec<_>>(), [false, false, true, true]);
    // And so it does.
    done(&repo.hoist(&["rollback", "develop", "--yes"]));
    assert_eq!(digest_of(port, "web:develop-latest"), made[2].1);
    // What was rolled back is no more than others that lie between.
    let would = first(&repo.hoist(&["prune", "--json"]));
    assert_eq!(tags_of(&would), Vec::<&str>::new(), "{would:#}");
}
