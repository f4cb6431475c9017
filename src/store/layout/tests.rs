//! Layouts on a real file system.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use super::*;

fn layout() -> (tempfile::TempDir, Layout) {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::create(directory.path().join("a/b")).unwrap();
    (directory, layout)
}

fn files(layout: &Layout) -> Vec<String> {
    let entries = fs::read_dir(layout.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_layout_has_what_the_specification_asks_for_and_nothing_else() {
    let (_directory, layout) = layout();
    assert_eq!(files(&layout), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(Layout::open(layout.path()), Ok(layout.clone()));
    assert_eq!(layout.refs(), Ok(vec![]));
    assert_eq!(layout.only().map_err(|problem| problem.code), Err(Code::NotFound));
}

#[test]
fn another_directory_is_no_layout() {
    let directory = tempfile::tempdir().unwrap();
    let refused = Layout::open(directory.path()).unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    fs::write(directory.path().join(MARKER), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert_eq!(Layout::open(directory.path()).unwrap_err().code, Code::Registry);
}

#[test]
fn a_blob_is_read_as_it_was_written() {
    let (_directory, layout) = layout();
    let descriptor = layout.write("text/plain", b"hello").unwrap();
    assert_eq!(descriptor, Descriptor::of("text/plain", b"hello"));
    assert!(layout.has(&descriptor.digest) && layout.holds(&descriptor));
    assert_eq!(layout.read(&descriptor), Ok(b"hello".to_vec()));
}

#[test]
fn a_blob_that_is_not_finished_leaves_nothing() {
    let (_directory, layout) = layout();
    let mut writer = layout.writer().unwrap();
    writer.write_all(b"half").unwrap();
    assert_eq!(files(&layout).len(), 4);
    drop(writer);
    assert_eq!(files(&layout).len(), 3);
    assert!(!layout.has(&Digest::of(b"half")));
}

#[test]
fn content_that_was_announced_as_something_else_is_not_stored() {
    let (_directory, layout) = layout();
    let mut writer = layout.writer().unwrap();
    writer.write_all(b"evil").unwrap();
    let expected = Descriptor::of("text/plain", b"good");
    assert_eq!(writer.commit_as(&expected).unwrap_err().code, Code::DigestMismatch);
    assert!(!layout.has(&expected.digest) && !layout.has(&Digest::of(b"evil")));
}

#[test]
fn damaged_content_is_never_handed_out() {
    let (_directory, layout) = layout();
    let descriptor = layout.write("text/plain", b"hello").unwrap();
    fs::write(layout.blob_path(&descriptor.digest), b"hullo").unwrap();
    assert_eq!(layout.read(&descriptor).unwrap_err().code, Code::DigestMismatch);
    let mut piecewise = layout.open_blob(&descriptor).unwrap();
    let error = io::copy(&mut piecewise, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    fs::write(layout.blob_path(&descriptor.digest), b"hell").unwrap();
    assert_eq!(layout.read(&descriptor).unwrap_err().code, Code::DigestMismatch);
    assert!(!layout.holds(&descriptor));
    // Written again it is mended, whatever size it has.
    for damaged in ["hell", "hullo"] {
        fs::write(layout.blob_path(&descriptor.digest), damaged).unwrap();
        layout.write("text/plain", b"hello").unwrap();
        assert_eq!(layout.read(&descriptor), Ok(b"hello".to_vec()));
    }
    fs::write(layout.blob_path(&descriptor.digest), b"hullo").unwrap();
    let mut writer = layout.writer().unwrap();
    writer.write_all(b"hello").unwrap();
    assert_eq!(writer.commit("text/plain"), Ok(descriptor.clone()));
    assert_eq!(layout.read(&descriptor), Ok(b"hello".to_vec()));
}

#[test]
fn a_name_moves_and_an_image_keeps_its_other_names() {
    let (_directory, layout) = layout();
    let one = layout.write(media_type::MANIFEST, b"{\"one\":1}").unwrap();
    let two = layout.write(media_type::MANIFEST, b"{\"two\":2}").unwrap();
    layout.set_ref("latest", &one).unwrap();
    layout.set_ref("1.0", &one).unwrap();
    assert_eq!(layout.only(), Ok(one.clone()));
    layout.set_ref("latest", &two).unwrap();
    let named = |name: &str, top: &Descriptor| (name.to_owned(), top.clone());
    assert_eq!(layout.refs(), Ok(vec![named("latest", &two), named("1.0", &one)]));
    assert_eq!(layout.resolve("1.0"), Ok(Some(one.clone())));
    assert_eq!(layout.resolve("2.0"), Ok(None));
    assert_eq!(layout.resolve(&two.digest.to_string()), Ok(Some(two)));
    let several = layout.only().unwrap_err();
    assert_eq!(several.help.as_deref(), Some("name one of them: latest, 1.0"));
}

#[test]
fn a_name_is_not_taken_from_somebody_who_was_faster() {
    let (_directory, layout) = layout();
    let one = layout.write(media_type::MANIFEST, b"{\"one\":1}").unwrap();
    let two = layout.write(media_type::MANIFEST, b"{\"two\":2}").unwrap();
    assert_eq!(layout.swap_ref("latest", None, &one), Ok(true));
    assert_eq!(layout.swap_ref("latest", None, &two), Ok(false));
    assert_eq!(layout.resolve("latest"), Ok(Some(one.clone())));
    assert_eq!(layout.swap_ref("latest", Some(one.digest), &two), Ok(true));
    assert_eq!(layout.resolve("latest"), Ok(Some(two)));
}

#[test]
fn a_manifest_without_a_name_is_found_by_its_digest() {
    let (_directory, layout) = layout();
    let bytes = crate::oci::Index::new(vec![]).to_bytes();
    let index = layout.write(media_type::INDEX, &bytes).unwrap();
    assert_eq!(layout.resolve(&index.digest.to_string()), Ok(Some(index)));
    assert_eq!(layout.resolve(&Digest::of(b"").to_string()), Ok(None));
}

#[test]
fn what_other_tools_wrote_to_the_index_stays() {
    let (_directory, layout) = layout();
    let foreign = json!({
        "schemaVersion": 2, "annotations": { "x": "y" }, "future": [1],
        "manifests": [
            { "mediaType": "a/b", "digest": "sha512:00", "size": 1, "urls": ["u"] },
            { "mediaType": "a/b", "digest": Digest::of(b"x").to_string(), "size": 1, "data": "eA==" },
        ],
    });
    fs::write(layout.path().join(INDEX), foreign.to_string()).unwrap();
    let image = layout.write(media_type::MANIFEST, b"{}").unwrap();
    layout.set_ref("1", &image).unwrap();
    let mut expected = foreign;
    expected["manifests"].as_array_mut().unwrap().push(json!({
        "mediaType": media_type::MANIFEST, "digest": image.digest.to_string(), "size": 2,
        "annotations": { REF_NAME: "1" },
    }));
    let written = fs::read(layout.path().join(INDEX)).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), expected);
}

#[test]
fn names_set_at_the_same_time_are_all_kept() {
    let (_directory, layout) = layout();
    let image = layout.write(media_type::MANIFEST, b"{}").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (layout, image) = (&layout, &image);
            scope.spawn(move || {
                for name in 0..8 {
                    layout.set_ref(&format!("{thread}-{name}"), image).unwrap();
                }
            });
        }
    });
    let mut names: Vec<String> = layout.refs().unwrap().into_iter().map(|(name, _)| name).collect();
    names.sort();
    let all = (0..4).flat_map(|thread| (0..8).map(move |name| format!("{thread}-{name}")));
    assert_eq!(names, all.collect::<Vec<_>>());
}

#[test]
fn an_index_that_is_damaged_is_said_to_be() {
    let (_directory, layout) = layout();
    fs::write(layout.path().join(INDEX), "{").unwrap();
    assert_eq!(layout.refs().unwrap_err().code, Code::Registry);
}

#[test]
fn other_tools_accept_a_layout() {
    use crate::store::fixture::{empty_archive, image, index, program};
    use std::process::Command;

    let test = "other_tools_accept_a_layout";
    let (directory, layout) = layout();
    let amd64 = image(&layout, "linux/amd64", &empty_archive(), &[("a", "b")]);
    let arm64 = image(&layout, "linux/arm64", &empty_archive(), &[]);
    let both = index(&layout, vec![amd64.clone(), arm64]);
    layout.set_ref("one", &amd64).unwrap();
    layout.set_ref("both", &both).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    if let Some(skopeo) = program(test, "skopeo", "HOIST_TEST_SKOPEO_BIN") {
        let shown: Value = serde_json::from_str(&run(&skopeo, &["inspect", "oci:a/b:one"])).unwrap();
        assert_eq!(shown["Digest"], amd64.digest.to_string());
        assert_eq!(shown["Labels"], json!({ "a": "b" }));
        let raw = run(&skopeo, &["inspect", "--raw", "oci:a/b:both"]);
        assert_eq!(Digest::of(raw.as_bytes()), both.digest);
    }
    if let Some(umoci) = program(test, "umoci", "HOIST_TEST_UMOCI_BIN") {
        assert_eq!(run(&umoci, &["ls", "--layout", "a/b"]), "one\nboth\n");
        run(&umoci, &["unpack", "--rootless", "--image", "a/b:one", "bundle"]);
    }
}

#[test]
fn an_image_without_a_name_is_listed_once_and_found() {
    let (_directory, layout) = layout();
    let image = layout.write(media_type::MANIFEST, b"{}").unwrap();
    layout.list(&image).unwrap();
    layout.list(&image).unwrap();
    assert_eq!((layout.only(), layout.refs()), (Ok(image.clone()), Ok(vec![])));
    assert_eq!(layout.tops().unwrap().len(), 1);
    let other = layout.write(media_type::MANIFEST, b"{ }").unwrap();
    layout.list(&other).unwrap();
    let help = layout.only().unwrap_err().help;
    assert_eq!(help, Some(format!("name one of them: @{}, @{}", image.digest, other.digest)));
    layout.set_ref("1", &image).unwrap();
    assert_eq!(layout.tops().unwrap().len(), 2);
}

#[test]
fn a_name_is_taken_away_and_by_a_digest_all_of_them() {
    let (_directory, layout) = layout();
    let one = layout.write(media_type::MANIFEST, b"{}").unwrap();
    let two = layout.write(media_type::MANIFEST, b"{ }").unwrap();
    for (name, top) in [("a", &one), ("b", &one), ("c", &two)] {
        layout.set_ref(name, top).unwrap();
    }
    assert_eq!((layout.remove_ref("a"), layout.remove_ref("a")), (Ok(true), Ok(false)));
    assert_eq!(layout.resolve("a"), Ok(None));
    assert_eq!(layout.remove_ref(&one.digest.to_string()), Ok(true));
    assert_eq!(layout.refs(), Ok(vec![("c".to_owned(), two)]));
}

/// An image with one layer of these bytes, listed under a name.
fn named_image(layout: &Layout, name: &str, layer: &[u8]) -> Descriptor {
    let image = crate::store::fixture::image(layout, "linux/amd64", layer, &[]);
    layout.set_ref(name, &image).unwrap();
    image
}

fn blobs(layout: &Layout) -> usize {
    fs::read_dir(layout.blobs()).unwrap().count()
}

#[test]
fn blobs_that_nothing_needs_are_collected_and_no_others() {
    let (_directory, layout) = layout();
    named_image(&layout, "one", b"shared");
    let other = crate::store::fixture::image(&layout, "linux/arm64", b"shared", &[("a", "b")]);
    let both = crate::store::fixture::index(&layout, vec![other]);
    layout.set_ref("both", &both).unwrap();
    layout.list(&layout.write("text/plain", b"not a document").unwrap()).unwrap();
    let before = blobs(&layout);
    assert_eq!(layout.collect(), Ok(Some(Collected::default())));
    layout.remove_ref("both").unwrap();
    let freed = layout.collect().unwrap().unwrap();
    // The index, its manifest, and its configuration; the layer is another's, too.
    assert_eq!((freed.blobs, blobs(&layout)), (3, before - 3));
    assert!(freed.bytes > both.size);
    assert!(layout.check_whole(&layout.resolve("one").unwrap().unwrap()).is_ok());
}

#[test]
fn nothing_is_collected_while_somebody_brings_an_image_or_where_it_is_not_understood() {
    let (_directory, layout) = layout();
    layout.write("text/plain", b"on its way").unwrap();
    let hold = layout.hold().unwrap();
    assert!(layout.hold().is_some(), "several bring images at once");
    assert_eq!(layout.collect(), Ok(None));
    drop(hold);
    let index = fs::read_to_string(layout.path().join(INDEX)).unwrap();
    let foreign = r#""manifests":[{"mediaType":"a/b","digest":"sha512:ab","size":1}]"#;
    fs::write(layout.path().join(INDEX), index.replace("\"manifests\":[]", foreign)).unwrap();
    assert_eq!(layout.collect(), Ok(None));
    fs::write(layout.path().join(INDEX), index).unwrap();
    assert_eq!(layout.collect().unwrap().map(|freed| freed.blobs), Some(1));
    // A manifest that cannot be read may need anything.
    let broken = layout.write(media_type::MANIFEST, b"{").unwrap();
    layout.set_ref("broken", &broken).unwrap();
    assert!(layout.collect().is_err() && layout.has(&broken.digest));
}

#[test]
fn no_name_is_given_to_what_was_collected_meanwhile() {
    let (_directory, layout) = layout();
    let image = crate::store::fixture::image(&layout, "linux/amd64", b"layer", &[]);
    fs::remove_file(layout.blob_path(&Digest::of(b"layer"))).unwrap();
    let refused = layout.swap_ref("latest", None, &image).unwrap_err();
    assert_eq!(refused.code, Code::Registry);
    assert_eq!(refused.notes, [format!("`{}` is missing", Digest::of(b"layer"))]);
    assert_eq!(layout.list(&image), Err(refused));
    assert_eq!(layout.refs(), Ok(vec![]));
}
