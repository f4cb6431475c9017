//! What `hoist inspect` shows of images and repositories, and what `hoist remove` takes
//! away.

use serde_json::Value;

use hoist::oci::{Index, media_type};
use hoist::store::Layout;

use crate::fixture::{Repo, installed, refused};
use crate::proxy::{Fault, Proxy};
use crate::registry::Registry;

/// A project whose image has two platforms, a file that is replaced, and a registry.
fn project() -> Option<(Repo, Registry, String)> {
    if !installed("images at a registry, inspected and removed", &["docker-registry"]) {
        return None;
    }
    let repo = Repo::new();
    repo.write(".gitignore", "/.registry*\n");
    let registry = Registry::start(&repo);
    let port = registry.port;
    repo.write(
        "release.kdl",
        format!(
            r#"
registry "local" "127.0.0.1:{port}/team"
image "web" {{
    assemble from="scratch" {{
        layer {{ copy "old" "/etc/a"; }}
        layer {{ copy "new" "/etc/a"; }}
        entrypoint "/web"
    }}
    platforms "linux/amd64" "linux/arm64"
    label com.example.team="core"
    tags {{ raw "1.2"; raw "1"; }}
    push "local"
}}
"#
        ),
    );
    repo.write("old", "12345");
    repo.write("new", "1");
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    let released = repo.hoist(&["release", "--event", "branch=main", "--yes"]);
    assert_eq!(released.code, 0, "{}", released.stderr);
    Some((repo, registry, format!("127.0.0.1:{port}/team/web")))
}

/// What a call prints, which must succeed.
fn out(repo: &Repo, arguments: &[&str]) -> String {
    let ended = repo.hoist(arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

fn json(repo: &Repo, arguments: &[&str]) -> Value {
    serde_json::from_str(&out(repo, arguments)).expect("it is JSON")
}

#[test]
fn an_image_at_a_registry_is_seen_by_its_documents_or_down_to_its_files() {
    let Some((repo, _registry, web)) = project() else { return };
    let tagged = format!("{web}:1.2");
    let light = json(&repo, &["inspect", &tagged, "--json"]);
    let here = json(&repo, &["inspect", "web", "--json"]);
    assert_eq!(light["digest"], here["digest"]);
    assert_eq!(light["platforms"][1]["platform"], "linux/arm64");
    assert_eq!(light["platforms"][0].get("wasted"), None, "layers were read");
    let files = json(&repo, &["inspect", &tagged, "--json", "--files"]);
    assert_eq!(files["platforms"], here["platforms"]);
    assert_eq!(files["platforms"][0]["wasted"], 5);
    assert_eq!(files["platforms"][0]["wastedFiles"][0]["path"], "/etc/a");

    let one = json(&repo, &["inspect", &tagged, "--json", "--platform", "linux/arm64"]);
    assert_eq!(one["platforms"].as_array().map(Vec::len), Some(1));
    let other = repo.hoist(&["inspect", &tagged, "--platform", "linux/s390x"]);
    assert_eq!(other.code, 2);
    assert!(other.stderr.contains("it is for linux/amd64, linux/arm64"), "{}", other.stderr);

    // One bare line for scripts.
    let digest = format!("{}\n", here["digest"].as_str().expect("a text"));
    assert_eq!(out(&repo, &["inspect", &tagged, "--digest"]), digest);
    let arm = out(&repo, &["inspect", &tagged, "--digest", "--platform", "linux/arm64"]);
    assert_eq!(arm.trim_end(), here["platforms"][1]["manifest"]);
    assert_eq!(out(&repo, &["inspect", &tagged, "--label", "com.example.team"]), "core\n");
    let none = repo.hoist(&["inspect", &tagged, "--label", "nope"]);
    assert_eq!(none.code, 2, "{}", none.stderr);

    let page = out(&repo, &["inspect", &tagged, "--html", "map.html"]);
    assert_eq!(page, "");
    let page = repo.read("map.html");
    assert!(page.contains("/etc/a 5 B, layer 1, replaced in layer 2"), "{page}");
}

#[test]
fn a_repository_without_a_tag_lists_its_tags() {
    let Some((repo, _registry, web)) = project() else { return };
    let listed = out(&repo, &["inspect", &web]);
    let digest = out(&repo, &["inspect", &format!("{web}:1"), "--digest"]);
    let short = &digest["sha256:".len()..][..12];
    let size = listed.split_whitespace().filter(|word| *word == short).count();
    assert_eq!(size, 2, "{listed}");
    assert!(listed.contains("2026-01-02T03:04:05  linux/amd64 linux/arm64"), "{listed}");
    assert_eq!(out(&repo, &["inspect", &web, "-q"]), "1\n1.2\n");
    let first = out(&repo, &["inspect", &web, "--json"]);
    let first: Value = serde_json::from_str(first.lines().next().expect("a line")).expect("it is JSON");
    assert_eq!((&first["tag"], first["digest"].as_str()), (&Value::from("1"), Some(digest.trim_end())));
    let none = repo.hoist(&["inspect", &format!("{web}-none")]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("has no tags"), "{}", none.stderr);
    // A digest is all that is asked for in few words.
    assert_eq!(out(&repo, &["inspect", &format!("{web}:1"), "-q"]), digest);
    let list =
        [out(&repo, &["inspect", web.split('/').next().expect("a host")]), out(&repo, &["inspect", &web])];
    assert_eq!((list[0].as_str(), list[1].as_str()), (format!("{web}\n").as_str(), listed.as_str()));
}

#[test]
fn a_name_that_is_not_there_is_answered_with_the_one_that_was_meant() {
    let Some((repo, _registry, web)) = project() else { return };
    out(&repo, &["copy", &format!("{web}:1"), &format!("{web}:stable"), "oci:out:stable"]);
    for (asked, meant) in [
        (format!("{web}:stabel"), format!("did you mean `{web}:stable`?")),
        (web.replace("team/web", "team/wbe"), format!("did you mean `{web}`?")),
        (web.replace("team/web", "team/wbe:1"), format!("did you mean `{web}`?")),
        ("oci:out:stabel".to_owned(), "did you mean `stable`?".to_owned()),
    ] {
        let ended = repo.hoist(&["inspect", &asked]);
        assert_eq!(ended.code, 2, "{asked}: {}", ended.stderr);
        assert!(ended.stderr.contains(&meant), "{asked}: {}", ended.stderr);
    }
    let far = repo.hoist(&["copy", &format!("{web}:nothing-like-it"), "oci:x"]);
    assert!(far.stderr.contains("it has `1`, `1.2`, `stable`"), "{}", far.stderr);
    // Where nothing is named, it is said what was asked for.
    let bare = repo.hoist(&["copy", &web, "oci:x"]);
    refused(&bare, 2, &["there is no image `latest` in", "`latest` is meant", "it has `1`,"]);
    let app = format!("image \"app\" {{ assemble from=\"{web}\" {{ layer {{ copy \"old\" \"/a\"; }}; }}; }}");
    repo.write("release.kdl", app);
    let said = ["there is no image `latest`", "`latest` is meant", "it has `1`,", "release.kdl:1:"];
    refused(&repo.hoist(&["run", "app"]), 2, &said);
}

/// Changes a byte of a blob of a layout, and not its size.
fn damage(repo: &Repo, layout: &str, digest: &str) {
    let path = format!("{layout}/blobs/sha256/{}", digest.trim_end().trim_start_matches("sha256:"));
    let mut bytes = std::fs::read(repo.path().join(&path)).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    repo.write(&path, bytes);
}

#[test]
fn what_is_damaged_is_damaged_whoever_reads_it() {
    let Some((repo, _registry, web)) = project() else { return };
    out(&repo, &["copy", &format!("{web}:1"), "oci:out:1"]);
    let seen = json(&repo, &["inspect", "oci:out:1", "--json"]);
    damage(&repo, "out", seen["platforms"][0]["layers"][0]["digest"].as_str().expect("a digest"));
    for call in [&["inspect", "oci:out:1"][..], &["copy", "oci:out:1", "oci:other:1"]] {
        let ended = repo.hoist(call);
        assert_eq!(ended.code, 1, "{call:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("hoist::store::digest_mismatch"), "{call:?}: {}", ended.stderr);
    }
    // Where it is to be brought to, it is not taken for what it was.
    let again = repo.hoist(&["copy", &format!("{web}:1"), "oci:out:1"]);
    assert!(again.stderr.contains("1 blob sent"), "{}", again.stderr);
    out(&repo, &["inspect", "oci:out:1"]);
}

#[test]
fn a_release_file_that_is_wrong_is_in_nobodys_way_who_does_not_need_it() {
    let Some((repo, registry, web)) = project() else { return };
    repo.write("release.kdl", "imag \"web\"\n");
    let image = format!("{web}:1");
    let seen = repo.hoist(&["inspect", &image, "--digest"]);
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    let said = "The release file is left aside, for it has 1 problem: `hoist check` shows them.\n";
    assert_eq!(seen.stderr, said);
    assert_eq!(out(&repo, &["copy", &image, "oci:out:1"]), seen.stdout);
    // It may say that the tag never changes, or what `web` is.
    let target = format!("127.0.0.1:{}/team/other:1", registry.port);
    for call in [&["copy", &image, &target][..], &["copy", "web", "oci:out:2"], &["inspect", "web"]] {
        let refused = repo.hoist(call);
        assert_eq!(refused.code, 2, "{call:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("hoist::config::unknown_node"), "{call:?}: {}", refused.stderr);
    }
    assert_eq!(out(&repo, &["copy", "--force", &image, &target]), seen.stdout);
}

#[test]
fn a_tag_that_cannot_be_read_hides_no_other() {
    let Some((repo, _registry, web)) = project() else { return };
    out(&repo, &["copy", &format!("{web}:1"), "oci:out:fine", "oci:out:other"]);
    let arm = out(&repo, &["inspect", &format!("{web}:1"), "--digest", "--platform", "linux/arm64"]);
    out(&repo, &["copy", &format!("{web}@{}", arm.trim_end()), "oci:bad:1"]);
    repo.write("new", "other");
    repo.commit("Another");
    out(&repo, &["run", "web"]);
    out(&repo, &["copy", "web", "oci:out:broken"]);
    damage(&repo, "out", &out(&repo, &["inspect", "oci:out:broken", "-q"]));
    let listed = out(&repo, &["inspect", "oci:out"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 4, "{listed}");
    assert!(lines[1].starts_with("broken") && lines[1].contains("cannot be read: "), "{listed}");
    assert!(lines[2].starts_with("fine") && lines[2].ends_with("linux/amd64 linux/arm64"), "{listed}");
    let removed = repo.hoist(&["remove", "oci:out:fine", "--yes"]);
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert_eq!(out(&repo, &["inspect", "oci:out", "-q"]), "broken\nother\n");
}

#[test]
fn the_tag_of_a_copy_follows_one_rule() {
    let Some((repo, _registry, web)) = project() else { return };
    let tags = |place: &str| repo.hoist(&["inspect", place, "-q"]).stdout;
    out(&repo, &["copy", &format!("{web}:1"), "oci:one:c"]);
    // The tag of the place, then that of the image, then the only one.
    out(&repo, &["copy", "oci:one", &format!("{web}-a"), &format!("{web}-b:x"), "oci:two"]);
    assert_eq!((tags(&format!("{web}-a")).as_str(), tags(&format!("{web}-b")).as_str()), ("c\n", "x\n"));
    assert!(out(&repo, &["inspect", "oci:two:c"]).contains("linux/arm64"));
    // Of two tags of one image none is the one; what was built has none.
    out(&repo, &["copy", "oci:one:c", "oci:one:d"]);
    let copied = json(&repo, &["copy", "oci:one", &format!("{web}-c"), "--json"]);
    assert_eq!((&copied["tag"], &copied["before"]), (&Value::Null, &Value::Null));
    let built = json(&repo, &["copy", "web", &format!("{web}-d"), "--json"]);
    assert_eq!((&built["tag"], &built["digest"]), (&Value::Null, &copied["digest"]));
    assert_eq!(tags(&format!("{web}-d")), "");
    let taken = repo.hoist_with(&["copy", "wep", "oci:x"], &[("HTTPS_PROXY", "http://127.0.0.1:1")]);
    assert!(
        taken.stderr.contains("`wep` was taken for an image of Docker Hub; release.kdl declares `web`"),
        "{}",
        taken.stderr
    );
    let named = repo.hoist(&["copy", "web:1", "oci:three"]);
    assert_eq!(named.code, 2, "{}", named.stderr);
    assert!(named.stderr.contains("is an image of release.kdl, which has no tags here"), "{}", named.stderr);
    // `latest` is what a registry is asked for where nothing is named.
    out(&repo, &["copy", "oci:one:c", &format!("{web}-e:latest")]);
    out(&repo, &["copy", &format!("{web}-e"), "oci:four"]);
    assert!(out(&repo, &["inspect", "oci:four:latest"]).contains("linux/arm64"));
}

#[test]
fn one_platform_can_be_copied_alone() {
    let Some((repo, _registry, web)) = project() else { return };
    let arm = out(&repo, &["inspect", &format!("{web}:1"), "--digest", "--platform", "linux/arm64"]);
    let copied = out(&repo, &["copy", &format!("{web}:1"), "oci:arm", "--platform", "linux/arm64"]);
    assert_eq!(copied, arm);
    assert_eq!(out(&repo, &["inspect", "oci:arm:1", "-q"]), arm);
    let other = repo.hoist(&["copy", &format!("{web}:1"), "oci:x", "--platform", "linux/s390x"]);
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(other.stderr.contains("it is for linux/amd64, linux/arm64"), "{}", other.stderr);
}

#[test]
fn images_that_an_index_names_without_a_platform_are_found_by_their_configuration() {
    let Some((repo, registry, web)) = project() else { return };
    let index = |name: &str, open: &dyn Fn(Index, &Layout) -> Index| {
        let layout = Layout::open(repo.path().join("open")).expect("it is one");
        let image = layout.resolve("1").expect("it can be read").expect("it is there");
        let index = Index::parse(&layout.read(&image).expect("it can be read")).expect("it is one");
        let bytes = open(index, &layout).to_bytes();
        let open = layout.write(media_type::INDEX, &bytes).expect("it can be written");
        layout.set_ref(name, &open).expect("a name can be set");
    };
    out(&repo, &["copy", &format!("{web}:1"), "oci:open:1"]);
    let arm = out(&repo, &["inspect", "oci:open:1", "--digest", "--platform", "linux/arm64"]);
    let open = |mut index: Index| {
        index.manifests.iter_mut().for_each(|entry| entry.platform = None);
        index
    };
    index("open", &|index, _| open(index));
    index("nested", &|index, layout| {
        let inner = layout.write(media_type::INDEX, &open(index).to_bytes()).expect("it can be written");
        Index::new(vec![inner])
    });
    for name in ["open", "nested"] {
        let [here, there] = [format!("oci:open:{name}"), format!("{web}:{name}")];
        out(&repo, &["copy", &here, &there]);
        for (at, place) in [here, there].into_iter().enumerate() {
            let found = out(&repo, &["inspect", &place, "--digest", "--platform", "linux/arm64"]);
            assert_eq!(found, arm, "{place}");
            let to = format!("oci:{name}-{at}:arm");
            assert_eq!(out(&repo, &["copy", &place, &to, "--platform", "linux/arm64"]), arm, "{place}");
            for command in [&["inspect", &place][..], &["copy", &place, "oci:x:x"]] {
                let none = repo.hoist(&[command, &["--platform", "linux/s390x"]].concat());
                refused(&none, 2, &["no image for `linux/s390x`", "it is for linux/amd64, linux/arm64"]);
            }
            let layer = "layer { copy \"old\" \"/b\"; }";
            let app = |platforms: &str| {
                format!(
                    "image \"app\" {{ assemble from=\"{place}\" {{ {layer}; }}; platforms {platforms}; }}"
                )
            };
            repo.write("release.kdl", app("\"linux/amd64\" \"linux/arm64\""));
            out(&repo, &["run", "app"]);
            let made = json(&repo, &["inspect", "app", "--json"]);
            assert_eq!(made["platforms"][1]["platform"], "linux/arm64", "{place}");
            assert_eq!(made["platforms"][1]["layers"].as_array().map(Vec::len), Some(3), "{place}");
            repo.write("release.kdl", app("\"linux/s390x\""));
            let said = ["is not for `linux/s390x`", "its platforms: `linux/amd64`, `linux/arm64`"];
            refused(&repo.hoist(&["run", "app"]), 2, &said);
        }
    }
    // Each document is read once, also where all tags are listed.
    let proxy = Proxy::start(registry.port, Box::new(|_, _| None));
    let place = format!("127.0.0.1:{}/team/web", proxy.port);
    out(&repo, &["copy", &format!("{place}:1"), "oci:once:arm", "--platform", "linux/arm64"]);
    let asked = |name: &str| proxy.asked(&format!("GET /v2/team/web/manifests/{name}"));
    assert_eq!([asked("1"), asked(arm.trim_end())], [1, 1]);
    out(&repo, &["inspect", &place]);
    out(&repo, &["inspect", &format!("{place}:1")]);
    assert_eq!([asked("1"), proxy.asked("HEAD /v2/team/web/manifests/1")], [3, 0]);
    // For its digest alone nothing is handed out.
    out(&repo, &["inspect", &format!("{place}:1"), "-q"]);
    assert_eq!([asked("1"), proxy.asked("HEAD /v2/team/web/manifests/1")], [3, 1]);
}

#[test]
fn what_git_says_of_files_is_asked_only_where_a_place_or_a_tag_names_it() {
    let Some((repo, _registry, web)) = project() else { return };
    // Whoever compares files with a commit reads this.
    repo.write(".git/index", "damaged");
    out(&repo, &["inspect", &format!("{web}:1"), "-q"]);
    out(&repo, &["copy", &format!("{web}:1"), &format!("{web}:copied")]);
    let release = repo.read("release.kdl").replace("raw \"1\";", "describe; raw \"1\";");
    repo.write("release.kdl", release);
    let ended = repo.hoist(&["copy", &format!("{web}:1"), &format!("{web}:again")]);
    refused(&ended, 2, &["`git status` tells whether git can read it"]);
}

#[test]
fn of_a_copy_to_several_places_it_is_said_what_stands() {
    let Some((repo, registry, web)) = project() else { return };
    out(&repo, &["copy", &format!("{web}:1"), "oci:damaged:x"]);
    repo.write("damaged/index.json", "{");
    let denied = |name: &str| name.starts_with("PUT ") && name.ends_with("/bad/manifests/x");
    let proxy = Proxy::start(
        registry.port,
        Box::new(move |name, _| denied(name).then_some(Fault::Status("403 Forbidden", None))),
    );
    let bad = format!("127.0.0.1:{}/bad:x", proxy.port);
    let from = format!("{web}:1");
    let before = out(&repo, &["inspect", &web, "-q"]);
    // One that cannot be reached stops all before anything is visible.
    let ended = repo.hoist(&["copy", &from, &format!("{web}:a"), "127.0.0.1:1/x:b"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("`{web}:a` was not set")), "{}", ended.stderr);
    assert!(ended.stderr.contains("`127.0.0.1:1/x:b` was not set"), "{}", ended.stderr);
    assert_eq!(out(&repo, &["inspect", &web, "-q"]), before);
    // So does one whose names cannot be read.
    let ended = repo.hoist(&["copy", &from, &format!("{web}:a"), "oci:damaged:x"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("`{web}:a` was not set")), "{}", ended.stderr);
    // One that takes the content and no name is found too late.
    let ended = repo.hoist(&["copy", &from, &format!("{web}:1"), &format!("{web}:a"), &bad, "oci:c:x"]);
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    let digest = out(&repo, &["inspect", &from, "-q"]);
    let digest = digest.trim_end();
    let said = [
        format!("`{web}:1` held {digest} before"),
        format!("`{web}:a` holds {digest} now"),
        format!("`{bad}` was not set"),
        "/c:x` was not set".to_owned(),
    ];
    for said in said {
        assert!(ended.stderr.contains(&said), "{said}: {}", ended.stderr);
    }
    assert!(ended.stderr.contains("hoist::release::half_released"), "{}", ended.stderr);
    let lines = repo.hoist(&["copy", &from, &format!("{web}:b"), &bad, "--json"]).stdout;
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("it is JSON");
    assert_eq!((&first["tag"], &first["digest"]), (&Value::from("b"), &Value::from(digest)));
}

#[test]
fn a_tag_that_never_changes_is_not_overwritten_by_a_copy() {
    let Some((repo, _registry, web)) = project() else { return };
    let other = format!("{web}:other");
    out(&repo, &["copy", &format!("{web}:1"), &format!("{web}:2.0.0"), &format!("{web}:fixed")]);
    repo.write("new", "2");
    repo.commit("Another");
    out(&repo, &["run", "web"]);
    out(&repo, &["copy", "web", &other]);
    let release = repo.read("release.kdl").replace("raw \"1\";", "raw \"1\"; raw \"fixed\" immutable=#true;");
    repo.write("release.kdl", release);
    for (tag, why) in [("2.0.0", "it names a full version"), ("fixed", "a rule of release.kdl says so")] {
        let to = format!("{web}:{tag}");
        let before = out(&repo, &["inspect", &to, "-q"]);
        let refused = repo.hoist(&["copy", &other, &format!("{web}:moves"), &to]);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("hoist::release::immutable_tag"), "{}", refused.stderr);
        assert!(refused.stderr.contains(why) && refused.stderr.contains("`--force`"), "{}", refused.stderr);
        assert_eq!(out(&repo, &["inspect", &to, "-q"]), before);
        assert!(!out(&repo, &["inspect", &web, "-q"]).contains("moves"));
        // What holds the same is no conflict.
        out(&repo, &["copy", &to, &to]);
    }
    out(&repo, &["copy", &other, &format!("{web}:2.0.0"), "--force"]);
    assert_eq!(
        out(&repo, &["inspect", &format!("{web}:2.0.0"), "-q"]),
        out(&repo, &["inspect", &other, "-q"])
    );
}

#[test]
fn a_layout_with_several_images_lists_them() {
    let Some((repo, _registry, web)) = project() else { return };
    out(&repo, &["copy", &format!("{web}:1"), "oci:out"]);
    repo.write("new", "2");
    out(&repo, &["build"]);
    let only = out(&repo, &["inspect", "oci:out", "--digest"]);
    assert_eq!(only, out(&repo, &["inspect", &format!("{web}:1"), "--digest"]));
    out(&repo, &["copy", &format!("{web}:1"), "oci:out:a"]);
    assert_eq!(out(&repo, &["inspect", "oci:out:a", "--digest"]), only);
    let one = repo.hoist(&["inspect", "oci:out"]);
    assert_eq!((one.code, one.stderr.as_str()), (0, "2 tags, one image: 1, a\n"));
    assert!(one.stdout.starts_with(&only), "{}", one.stdout);
}

#[test]
fn several_tags_are_given_at_once_and_an_image_is_brought_by_its_digest() {
    let Some((repo, _registry, web)) = project() else { return };
    let digest = out(&repo, &["inspect", &format!("{web}:1"), "--digest"]);
    let copied = out(&repo, &["copy", &format!("{web}:1"), &format!("{web}:a"), &format!("{web}:b")]);
    assert_eq!(copied, digest);
    assert_eq!(out(&repo, &["inspect", &web, "-q"]), "a\nb\n1\n1.2\n");
    let pinned = format!("{web}@{}", digest.trim_end());
    assert_eq!(out(&repo, &["copy", &pinned, "oci:out"]), digest);
}

#[test]
fn what_is_removed_is_said_before_and_nothing_else_goes_with_it() {
    let Some((repo, _registry, web)) = project() else { return };
    let (tagged, other) = (format!("{web}:1.2"), format!("{web}:keep"));
    // Nobody is there to be asked.
    let asked = repo.hoist(&["remove", &tagged]);
    assert_eq!(asked.code, 3, "{}", asked.stderr);
    assert!(asked.stderr.contains("This would remove the tag `1.2` of sha256:"), "{}", asked.stderr);
    // This registry removes no tag alone, and `1` is the same image.
    let shared = repo.hoist(&["remove", &tagged, "--yes"]);
    assert_eq!(shared.code, 3, "{}", shared.stderr);
    assert!(shared.stderr.contains("with the image would go `1`"), "{}", shared.stderr);
    let digest = out(&repo, &["inspect", &tagged, "--digest"]);
    let by_digest = format!("{web}@{}", digest.trim_end());
    let shared = repo.hoist(&["remove", &by_digest, "--yes"]);
    assert_eq!(shared.code, 3, "{}", shared.stderr);
    assert!(shared.stderr.contains("with the image would go `1`, `1.2`"), "{}", shared.stderr);
    // Nor may an index lose a platform.
    let arm = out(&repo, &["inspect", &tagged, "--digest", "--platform", "linux/arm64"]);
    let part = repo.hoist(&["remove", &format!("{web}@{}", arm.trim_end()), "--yes"]);
    assert_eq!(part.code, 3, "{}", part.stderr);
    assert!(part.stderr.contains("it is part of `1`, `1.2`"), "{}", part.stderr);
    assert_eq!(out(&repo, &["inspect", &web, "-q"]), "1\n1.2\n");

    // The image alone, of all that are there.
    repo.write("new", "3");
    repo.commit("Another");
    out(&repo, &["build"]);
    out(&repo, &["copy", &format!("{web}@{}", arm.trim_end()), &other]);
    // A tag of its own that the registry does not remove alone is no reason to break the index.
    let part = repo.hoist(&["remove", &other, "--yes"]);
    assert_eq!(part.code, 3, "{}", part.stderr);
    assert!(part.stderr.contains("it is part of `1`, `1.2`"), "{}", part.stderr);
    assert_eq!(out(&repo, &["inspect", &web, "-q"]), "keep\n1\n1.2\n");
    let removed = json(&repo, &["remove", &tagged, "--all-tags", "--yes", "--json"]);
    assert_eq!(removed["tags"], serde_json::json!(["1", "1.2"]));
    assert_eq!(out(&repo, &["inspect", &web, "-q"]), "keep\n");
    let gone = repo.hoist(&["remove", &tagged, "--yes"]);
    assert_eq!(gone.code, 2, "{}", gone.stderr);
    // A tag that no other shares.
    let last = repo.hoist(&["remove", &other, "--yes"]);
    assert_eq!((last.code, last.stdout), (0, arm), "{}", last.stderr);
}

#[test]
fn of_a_layout_a_tag_goes_alone() {
    let Some((repo, _registry, web)) = project() else { return };
    out(&repo, &["copy", &format!("{web}:1"), "oci:out:a", "oci:out:b"]);
    out(&repo, &["remove", "oci:out:a", "--yes"]);
    assert_eq!(repo.hoist(&["inspect", "oci:out:a"]).code, 2);
    assert!(out(&repo, &["inspect", "oci:out:b"]).contains("linux/arm64"));
}

#[test]
fn several_images_are_removed_at_once_and_what_nothing_needs_goes_with_them() {
    let Some((repo, _registry, web)) = project() else { return };
    out(&repo, &["copy", &format!("{web}:1"), "oci:out:a", "oci:out:b"]);
    let blobs = || std::fs::read_dir(repo.path().join("out/blobs/sha256")).expect("it is there").count();
    let first = blobs();
    repo.write("new", "2");
    repo.commit("Another");
    out(&repo, &["run", "web"]);
    out(&repo, &["copy", "web", "oci:out:c"]);
    assert!(blobs() > first);
    // What cannot go is said beside what is gone.
    let ended = repo.hoist(&["remove", "oci:out:c", &format!("{web}:1"), "--yes"]);
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("was removed: the tag `c` of"), "{}", ended.stderr);
    assert!(ended.stderr.contains("was not removed: the tag `1` of"), "{}", ended.stderr);
    out(&repo, &["copy", "web", "oci:out:c"]);
    // Layers that both have stay.
    let ended = repo.hoist(&["remove", "oci:out:c", "oci:out:a", "--yes"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("that nothing needs any more"), "{}", ended.stderr);
    assert_eq!((blobs(), ended.stdout.lines().count()), (first, 2));
    out(&repo, &["copy", "oci:out:b", "oci:whole"]);
    out(&repo, &["remove", "oci:out:b", "--yes"]);
    assert_eq!(blobs(), 0);
    // All tags of an image are as good as the image, where tags do not go alone.
    let removed = json(&repo, &["remove", &format!("{web}:1"), &format!("{web}:1.2"), "--yes", "--json"]);
    assert_eq!((&removed["image"], &removed["tags"]), (&Value::Bool(true), &serde_json::json!(["1", "1.2"])));
}

#[test]
fn what_a_registry_never_does_is_not_offered() {
    let Some((repo, registry, web)) = project() else { return };
    let settings = repo.read(".registry.yml").replace("enabled: true", "enabled: false");
    drop(registry);
    repo.write(".registry.yml", settings);
    let config = repo.path().join(".registry.yml");
    let mut child = std::process::Command::new("docker-registry")
        .args(["serve", &config.to_string_lossy()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the registry can be started");
    let host = web.split('/').next().expect("a host");
    while std::net::TcpStream::connect(host).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ended = repo.hoist(&["remove", &format!("{web}:1"), "--yes"]);
    child.kill().and_then(|()| child.wait()).expect("it ends");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("allows no deletion, neither of tags nor of images"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("--all-tags"), "{}", ended.stderr);
}

/// What a call shows on a terminal.
fn on_terminal(repo: &Repo, arguments: &[&str]) -> String {
    let mut words = vec![env!("CARGO_BIN_EXE_hoist")];
    words.extend(arguments);
    let hoist = repo.command(&[]);
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &words.join(" "), "/dev/null"]).current_dir(repo.path()).env_clear();
    command.envs(hoist.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.env("TERM", "xterm").stdin(std::process::Stdio::null()).output();
    let output = output.expect("it is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[test]
fn a_terminal_is_steered_by_no_label_and_shows_how_far_a_copy_is() {
    let Some((repo, _registry, web)) = project() else { return };
    if !installed("what a terminal shows", &["script"]) {
        return;
    }
    let release = repo.read("release.kdl").replace("\"core\"", r#""core\u{1b}[2J\u{7}""#);
    repo.write("release.kdl", release);
    repo.commit("A label that steers");
    out(&repo, &["run", "web"]);
    let raw = out(&repo, &["inspect", "web", "--label", "com.example.team"]);
    assert_eq!(raw, "core\u{1b}[2J\u{7}\n");
    let shown = on_terminal(&repo, &["inspect", "web", "--label", "com.example.team"]);
    assert_eq!(shown, "core\r\n");
    let copied = on_terminal(&repo, &["copy", &format!("{web}:1"), "oci:seen:1"]);
    assert!(copied.contains("%  ") && copied.contains(" of "), "{copied:?}");
    // The line is gone before anything else is said.
    let (_, after) = copied.rsplit_once('%').expect("it was there");
    assert!(after.contains("\r\u{1b}[K"), "{copied:?}");
    let quiet = on_terminal(&repo, &["copy", &format!("{web}:1"), "oci:other:1", "-q"]);
    assert!(!quiet.contains('%'), "{quiet:?}");
}
