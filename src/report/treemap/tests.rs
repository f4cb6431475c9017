//! What the page of an image shows.

use super::*;
use crate::oci::{Descriptor, ImageConfig, NodeKind, media_type};

/// A report on an image with these files: layer by layer, path and size.
fn report(layers: &[&[(&str, u64)]]) -> ImageReport {
    let mut files = FileTree::default();
    for layer in layers {
        files.begin_layer();
        for (path, size) in *layer {
            files.insert(path.as_bytes(), NodeKind::File, *size);
        }
    }
    let platform = PlatformReport {
        promised: None,
        platform: "linux/amd64".parse().unwrap(),
        manifest: Descriptor::of(media_type::MANIFEST, b"{}"),
        annotations: indexmap::IndexMap::new(),
        config: ImageConfig::default(),
        layers: Vec::new(),
        files: Some(files),
    };
    ImageReport {
        foreign: Vec::new(),
        descriptor: Descriptor::of(media_type::MANIFEST, b"{}"),
        annotations: indexmap::IndexMap::new(),
        platforms: vec![platform],
        others: Vec::new(),
        referrers: Vec::new(),
    }
}

#[test]
fn files_are_drawn_by_directory_in_the_colour_of_their_layer() {
    let page = treemap(&report(&[&[("usr/bin/a", 3000), ("etc/b", 1000)], &[("etc/b", 500)]]), "web");
    for part in [
        "title=\"/usr/bin/a 3.0 kB, layer 1\">a</i>",
        "<i class=\"l0 w\"",
        "title=\"/etc/b 1.0 kB, layer 1, replaced in layer 2\">b</i>",
        "title=\"/etc/b 500 B, layer 2\">b</i>",
        // A way that has no branch is one step.
        "title=\"/usr/bin 3.0 kB\">usr/bin <small>3.0 kB</small></a>",
        "1.0 kB wasted, efficiency 77.8 %",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
}

#[test]
fn what_is_too_small_to_be_seen_is_drawn_as_one_and_counted() {
    let names: Vec<String> = (0..10_000).map(|at| format!("lib/{}/f{at}", at % 50)).collect();
    let mut files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 10)).collect();
    files.push(("large", 1_000_000));
    let page = treemap(&report(&[&files]), "web");
    assert!(page.contains("10000 small files drawn together with their neighbours."), "{page}");
    assert!(page.len() < 25_000, "{}", page.len());
    // At most some thousand pieces, whatever the sizes are.
    let same: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1000)).collect();
    let page = treemap(&report(&[&same]), "web");
    assert!(page.matches("<i ").count() < 8000 && page.len() < 1_500_000, "{}", page.len());
}

#[test]
fn names_of_an_image_are_text_and_nothing_else() {
    let evil = "a\"><script>alert('1')</script>&\u{202e}\u{7}";
    let mut report = report(&[&[(evil, 10), ("<b>/c", 5)]]);
    report.platforms[0].platform.os = "<i>".to_owned();
    let page = treemap(&report, evil);
    for tag in ["<script", "<b>", "<i>", "alert('1')", "\u{202e}", "\u{7}"] {
        assert!(!page.contains(tag), "{tag} is in {page}");
    }
    assert!(page.contains("a&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;\u{fffd}\u{fffd}"));
    // Nothing is loaded, and nothing runs.
    assert!(page.contains("default-src 'none'") && !page.contains("src=") && !page.contains("http:"));
}

#[test]
fn a_path_of_any_depth_is_drawn() {
    let deep = "d/".repeat(50_000) + "f";
    let page = treemap(&report(&[&[(&deep, 10)]]), "web");
    assert!(page.contains("10 B in 1 file") && page.len() < 20_000, "{}", page.len());
}

#[test]
fn an_image_without_content_says_so() {
    let page = treemap(&report(&[&[("empty", 0)]]), "web");
    assert!(page.contains("no file has any content") && page.contains("efficiency 100.0 %"), "{page}");
}
