//! Images that start from an image of a layout directory.

use hoist::diagnostic::Code;
use hoist::oci::{Descriptor, Digest, ImageConfig, Manifest, media_type};
use hoist::store::Layout;

use crate::examples::containers;
use crate::fixture::Repo;

/// A layout `base` with one image, `1`, whose only layer holds one file.
fn base(repo: &Repo, path: &[u8], content: &[u8]) {
    let layout = Layout::create(repo.path().join("base")).expect("a layout can be made");
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().expect("it is of that kind").name[..path.len()].copy_from_slice(path);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut archive = header.as_bytes().to_vec();
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    let layer = layout.write(media_type::LAYER, &archive).expect("a blob can be written");
    let mut config = ImageConfig::new(&hoist::oci::Platform::host());
    config.config.env = vec!["PATH=/bin".to_owned(), "FROM=base".to_owned()];
    config.rootfs.diff_ids = vec![Digest::of(&archive)];
    let config = layout.write(media_type::CONFIG, &config.to_bytes()).expect("a blob can be written");
    let manifest = Manifest::new(config, vec![layer]).to_bytes();
    let image: Descriptor = layout.write(media_type::MANIFEST, &manifest).expect("a blob can be written");
    layout.set_ref("1", &image).expect("a name can be set");
}

const RELEASE: &str = r#"
image "web" {
    assemble from="oci:base:1" {
        layer { copy "a" "/a"; }
        env MODE="x"
    }
    expect file="/a"
}
"#;

#[test]
fn an_image_has_the_layers_and_the_settings_of_its_base() {
    let repo = Repo::with(RELEASE);
    repo.write("a", "a\n");
    base(&repo, b"etc/base", b"b\n");
    let ended = repo.hoist(&["run", "web"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let inspected: serde_json::Value =
        serde_json::from_str(&repo.hoist(&["inspect", "web", "--json"]).stdout).expect("it is JSON");
    let image = &inspected["platforms"][0];
    assert_eq!(image["layers"].as_array().map(Vec::len), Some(2));
    let variables = serde_json::json!(["PATH=/bin", "FROM=base", "MODE=x"]);
    assert_eq!(image["config"]["config"]["Env"], variables);
}

#[test]
fn another_base_is_another_image() {
    let repo = Repo::with(RELEASE);
    repo.write("a", "a\n");
    base(&repo, b"etc/base", b"b\n");
    assert_eq!(repo.hoist(&["run", "web"]).code, 0);
    base(&repo, b"etc/base", b"c\n");
    let why = repo.hoist(&["why", "web:build*"]).stdout;
    assert!(why.contains("would run") && why.contains("base"), "{why}");
}

#[test]
fn a_base_that_leads_out_of_the_image_is_refused() {
    if !containers("a hostile base image") {
        return;
    }
    let repo = Repo::with(RELEASE);
    repo.write("a", "a\n");
    base(&repo, b"../evil", b"b\n");
    let ended = repo.hoist(&["run", "web:test"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains(Code::HostileLayer.as_str()), "{}", ended.stderr);
    assert!(!repo.has("evil") && !repo.has("../evil"));
}
