//! What `hoist inspect` shows of images and repositories, and what `hoist remove` takes
//! away.

use serde_json::Value;

use crate::fixture::{Repo, installed};
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
