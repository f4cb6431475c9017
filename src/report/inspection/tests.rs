//! How an image is described.

use super::*;
use crate::inspect::LayerReport;
use crate::oci::{Digest, History, ImageConfig, NodeKind, Written, media_type};
use crate::run::schema::wrong;

const SCHEMA: &str = include_str!("../../../schema/inspect.schema.json");

/// An image of two layers, the second of which replaces a file of the first.
fn report(with_files: bool) -> ImageReport {
    let mut files = FileTree::default();
    files.begin_layer();
    files.insert(b"etc/a", NodeKind::File, 2000);
    files.begin_layer();
    files.insert(b"etc/a", NodeKind::File, 500);
    files.insert(b"bin/\x1b[31mb\n", NodeKind::File, 1000);
    let layer = |text: &[u8], size| LayerReport {
        descriptor: Descriptor::of(media_type::LAYER_GZIP, text),
        diff_id: Digest::of(text),
        size: with_files.then_some(size),
        created_by: Some(format!("RUN\t{}", String::from_utf8_lossy(text))),
    };
    let made = |by: &str, empty_layer| History {
        created_by: Some(by.to_owned()),
        empty_layer,
        ..History::default()
    };
    let mut config =
        ImageConfig { created: Some("2026-01-02T03:04:05Z".to_owned()), ..ImageConfig::default() };
    config.history = vec![made("RUN\tone", false), made("CMD [\"b\"]", true), made("RUN\ttwo", false)];
    config.config.user = Some("65532".to_owned());
    config.config.env = vec!["TOKEN=\u{1b}]0;title\u{7}x".to_owned()];
    config.config.labels.insert("a.b".to_owned(), "one\ntwo".to_owned());
    let annotations: IndexMap<_, _> = [("key".to_owned(), "value".to_owned())].into();
    let image = PlatformReport {
        promised: None,
        platform: "linux/amd64".parse().unwrap(),
        manifest: Descriptor::of(media_type::MANIFEST, b"{}"),
        annotations: annotations.clone(),
        layers: vec![layer(b"one", 2000), layer(b"two", 1500)],
        config,
        files: with_files.then_some(files),
    };
    let mut signature = Descriptor::of(media_type::MANIFEST, b"signature");
    signature.unknown.insert("artifactType".to_owned(), Written::of("application/example.signature"));
    ImageReport {
        foreign: Vec::new(),
        descriptor: Descriptor::of(media_type::INDEX, b"{}"),
        annotations,
        platforms: vec![image],
        others: Vec::new(),
        referrers: vec![signature],
    }
}

#[test]
fn an_image_is_described_with_its_files() {
    let digest = Descriptor::of(media_type::INDEX, b"{}").digest;
    let (one, two) = (Digest::of(b"one").short(), Digest::of(b"two").short());
    let signature = Digest::of(b"signature").short();
    let expected = format!(
        "{digest}
application/vnd.oci.image.index.v1+json
Annotations
  key  value

linux/amd64  2 layers, 3.5 kB unpacked, 6 B to transfer
  Layers
    digest        type  unpacked  transfer  made by
    {one}  gzip  2.0 kB    3 B       RUN one
    -             -     -         -         CMD [\"b\"]
    {two}  gzip  1.5 kB    3 B       RUN two
  Largest files
    1.0 kB  layer 2  /bin/b
    500 B   layer 2  /etc/a
  Wasted: 2.0 kB, efficiency 42.9 %
    2.0 kB  layer 1, replaced in 2  /etc/a
  Configuration
    created  2026-01-02T03:04:05Z
    user     65532
    env      TOKEN=x
    label    a.b=one two
  Annotations
    key  value

Attached
  {signature}  9 B  application/example.signature
"
    );
    assert_eq!(inspection(&report(true), 10, Look::PLAIN), expected);
    let few = inspection(&report(true), 0, Look::PLAIN);
    assert!(few.contains("and 1 more: `--top N` shows so many"), "{few}");
}

#[test]
fn what_was_not_looked_at_is_not_said() {
    let text = inspection(&report(false), 10, Look::PLAIN);
    assert!(text.contains("linux/amd64  2 layers, 6 B to transfer\n"), "{text}");
    assert!(text.contains("digest        type  transfer  made by\n"), "{text}");
    assert!(!text.contains("Wasted") && !text.contains("unpacked"), "{text}");
}

#[test]
fn the_json_is_as_the_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for with_files in [true, false] {
        let value = inspection_json(&report(with_files));
        assert_eq!(wrong(&schema, &value, &schema), None, "{value:#}");
        assert_eq!(value["platforms"][0].get("wasted").is_some(), with_files);
    }
}
