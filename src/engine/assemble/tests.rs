//! Images of files, on bases, with deletions.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::diagnostic::{Code, SourceId, Sources, Span};
use crate::engine::image::Image;
use crate::facts::Stat;
use crate::oci::{FileTree, Index, LayerCompression, Platform, decompress, read_archive};
use crate::plan::{CopyPlan, RemovePlan};

/// A project, a layout for images, and a place to point at.
struct Bench {
    root: tempfile::TempDir,
    images: Layout,
    source: SourceId,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path().join("images")).unwrap();
        Self { root, images, source: Sources::new().add("release.kdl", ""), _directory: directory }
    }

    fn copy(&self, from: &str, to: &str) -> CopyPlan {
        CopyPlan {
            from: from.to_owned(),
            to: to.to_owned(),
            mode: None,
            uid: 0,
            gid: 0,
            exclude: Vec::new(),
            span: Span::new(self.source, 1..2),
        }
    }

    fn step(&self, layers: Vec<Vec<CopyPlan>>) -> AssembleStep {
        AssembleStep {
            platform: "linux/arm64".parse().unwrap(),
            base: BaseSource::Scratch,
            layers: layers.into_iter().map(layer).collect(),
            settings: settings(),
            span: Span::new(self.source, 0..9),
        }
    }

    fn assemble(&self, layers: Vec<Vec<CopyPlan>>) -> Result<Image, Problem> {
        self.on(None, &self.step(layers))
    }

    fn on(&self, base: Option<&Descriptor>, step: &AssembleStep) -> Result<Image, Problem> {
        let base = base.map(|base| (&self.images, base));
        let made = assemble(step, self.root.path(), base, &self.images, &|_, _| None)?;
        Image::read(&self.images, &made.image)
    }

    /// The archive of a layer, a line for each entry: mode, owner, path, and
    /// link or content.
    fn layer(&self, image: &Image, at: usize) -> Vec<String> {
        let layer = &image.manifest.layers[at];
        let blob = self.images.open_blob(layer).unwrap();
        let mut lines = Vec::new();
        let compression = media_type::compression(&layer.media_type).unwrap();
        let archive = decompress(compression, blob).unwrap();
        read_archive(archive, 1000, &mut |entry, content| {
            let mut text = String::new();
            content.read_to_string(&mut text)?;
            let text = match &entry.kind {
                crate::oci::ArchiveKind::Directory => "/".to_owned(),
                crate::oci::ArchiveKind::Symlink(link) => {
                    format!(" -> {}", String::from_utf8_lossy(link))
                }
                _ => format!(" {text}"),
            };
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            lines.push(format!("{:o} {}:{} {path}{text}", entry.mode, entry.uid, entry.gid));
            Ok::<_, io::Error>(())
        })
        .unwrap();
        lines
    }
}

fn layer(copies: Vec<CopyPlan>) -> LayerPlan {
    LayerPlan { compression: LayerCompression::GZIP, removes: Vec::new(), copies }
}

fn settings() -> ImageSettings {
    ImageSettings {
        entrypoint: None,
        cmd: None,
        user: None,
        workdir: None,
        expose: Vec::new(),
        volumes: Vec::new(),
        env: indexmap::IndexMap::new(),
        labels: indexmap::IndexMap::new(),
        stop_signal: None,
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

#[test]
fn a_glob_that_is_left_out_and_ends_with_a_slash_means_directories() {
    let bench = Bench::new(&[("d/node_modules/x", "x"), ("d/a/node_modules", "n"), ("d/a/b/c", "c")]);
    let exclude = vec!["**/node_modules/".to_owned(), "a/b/".to_owned()];
    let image = bench.assemble(vec![vec![CopyPlan { exclude, ..bench.copy("d", "/d") }]]).unwrap();
    let left = ["755 0:0 d/", "755 0:0 d/a/", "644 0:0 d/a/node_modules n"];
    assert_eq!(bench.layer(&image, 0), left);
}

#[test]
fn files_directories_and_globs_go_where_the_copy_says() {
    let bench = Bench::new(&[
        ("app", "run"),
        ("static/a.css", "a"),
        ("static/deep/b.css", "b"),
        ("static/a.map", "m"),
        ("lib/x.so", "x"),
        ("lib/x.txt", "t"),
        ("lib/y/z.so", "z"),
    ]);
    fs::set_permissions(bench.root.path().join("app"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("a.css", bench.root.path().join("static/link")).unwrap();
    let directory =
        CopyPlan { exclude: vec!["**/*.map".to_owned()], uid: 7, gid: 8, ..bench.copy("static", "/srv") };
    let moded = CopyPlan { mode: Some(0o600), uid: 9, ..bench.copy("lib/**/*.so", "/lib") };
    let image = bench.assemble(vec![
        vec![bench.copy("app", "/bin/server"), bench.copy("app", "/opt/"), directory],
        vec![moded],
    ]);
    let image = image.unwrap();
    assert_eq!(
        bench.layer(&image, 0),
        [
            "755 0:0 bin/",
            "755 0:0 bin/server run",
            "755 0:0 opt/",
            "755 0:0 opt/app run",
            "755 7:8 srv/",
            "644 7:8 srv/a.css a",
            "755 7:8 srv/deep/",
            "644 7:8 srv/deep/b.css b",
            "777 7:8 srv/link -> a.css",
        ]
    );
    assert_eq!(
        bench.layer(&image, 1),
        ["755 9:0 lib/", "600 9:0 lib/x.so x", "755 9:0 lib/y/", "600 9:0 lib/y/z.so z"]
    );
}

#[test]
fn the_image_does_not_depend_on_times_and_owners_of_files() {
    let bench = Bench::new(&[("a/x", "1"), ("a/y", "2")]);
    let first = bench.assemble(vec![vec![bench.copy("a", "/a")]]).unwrap();
    let other = Bench::new(&[("a/y", "2"), ("a/x", "1")]);
    File::options()
        .write(true)
        .open(other.root.path().join("a/x"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    fs::set_permissions(other.root.path().join("a/y"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(other.assemble(vec![vec![other.copy("a", "/a")]]).unwrap(), first);
}

#[test]
fn several_names_of_one_file_are_files_of_their_own() {
    let bench = Bench::new(&[("a/x", "1"), ("a/y", "1")]);
    let linked = Bench::new(&[("a/x", "1")]);
    fs::hard_link(linked.root.path().join("a/x"), linked.root.path().join("a/y")).unwrap();
    let image = bench.assemble(vec![vec![bench.copy("a", "/a")]]).unwrap();
    assert_eq!(linked.assemble(vec![vec![linked.copy("a", "/a")]]).unwrap(), image);
    assert_eq!(linked.layer(&image_of(&linked, &image), 0), ["755 0:0 a/", "644 0:0 a/x 1", "644 0:0 a/y 1"]);
}

/// The same image, which another bench has made, too.
fn image_of(bench: &Bench, image: &Image) -> Image {
    Image::read(&bench.images, &image.descriptor).unwrap()
}

#[test]
fn a_layer_is_compressed_as_its_plan_says() {
    let bench = Bench::new(&[("a", "1"), ("b", "2")]);
    let zstd = LayerPlan { compression: LayerCompression::ZSTD, ..layer(vec![bench.copy("b", "/b")]) };
    let step =
        AssembleStep { layers: vec![layer(vec![bench.copy("a", "/a")]), zstd], ..bench.step(Vec::new()) };
    let image = bench.on(None, &step).unwrap();
    let types: Vec<_> = image.manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
    assert_eq!(types, [media_type::LAYER_GZIP, media_type::LAYER_ZSTD]);
    assert_eq!(bench.layer(&image, 1), ["644 0:0 b 2"]);
}

#[test]
fn a_layer_that_was_written_before_is_not_written_again() {
    let bench = Bench::new(&[("a", "1"), ("b", "2")]);
    let copies = || vec![vec![bench.copy("a", "/a")], vec![bench.copy("b", "/b")]];
    let first = bench.assemble(copies()).unwrap();
    let inode = |image: &Image, at: usize| {
        let path = bench.images.blob_path(&image.manifest.layers[at].digest);
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
    };
    let before = [inode(&first, 0), inode(&first, 1)];
    let other = AssembleStep { platform: "linux/amd64".parse().unwrap(), ..bench.step(copies()) };
    assert_eq!(bench.on(None, &other).unwrap().manifest.layers, first.manifest.layers);
    // Of the same size: only the content tells them apart.
    fs::write(bench.root.path().join("b"), "3").unwrap();
    let second = bench.assemble(copies()).unwrap();
    assert_eq!([inode(&first, 0), inode(&first, 1)], before);
    assert_eq!(bench.layer(&second, 1), ["644 0:0 b 3"]);
    // A layer that is gone is written again.
    fs::remove_file(bench.images.blob_path(&second.manifest.layers[1].digest)).unwrap();
    assert_eq!(bench.assemble(copies()).unwrap(), second);
    assert_eq!(bench.layer(&second, 1), ["644 0:0 b 3"]);
}

#[test]
fn what_is_known_of_files_is_relied_on_if_it_held_while_they_were_read() {
    let bench = Bench::new(&[("a", "1")]);
    let step = bench.step(vec![vec![bench.copy("a", "/a")]]);
    let assemble = |known: KnownContent<'_>| {
        let made = assemble(&step, bench.root.path(), None, &bench.images, known).unwrap();
        bench.layer(&Image::read(&bench.images, &made.image).unwrap(), 0)
    };
    let write = |text: &str| fs::write(bench.root.path().join("a"), text).unwrap();
    // It is touched before it is read.
    let changing = |path: &Path, _: &Stat| {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        Some([1; 32])
    };
    assert_eq!(assemble(&changing), ["644 0:0 a 1"]);
    write("2");
    assert_eq!(assemble(&|_, _| Some([1; 32])), ["644 0:0 a 2"]);
    // Whoever knows that nothing is new is believed.
    write("3");
    assert_eq!(assemble(&|_, _| Some([1; 32])), ["644 0:0 a 2"]);
    assert_eq!(assemble(&|_, _| Some([3; 32])), ["644 0:0 a 3"]);
    write("4");
    assert_eq!(assemble(&|_, _| None), ["644 0:0 a 4"]);
    write("5");
    assert_eq!(assemble(&|_, _| Some([3; 32])), ["644 0:0 a 5"]);
}

#[test]
fn a_layer_describes_the_directories_of_lower_ones_that_it_adds_to() {
    let bench = Bench::new(&[("data/sub/a", "1"), ("b", "2")]);
    let owned = CopyPlan { uid: 7, gid: 8, ..bench.copy("data", "/srv/data") };
    let base = bench.assemble(vec![vec![owned]]).unwrap();
    let remove = RemovePlan { path: "/srv/data/sub/a".to_owned(), span: Span::new(bench.source, 1..2) };
    let removing = LayerPlan { removes: vec![remove], ..layer(vec![bench.copy("b", "/opt/x/b")]) };
    let layers = vec![removing, layer(vec![bench.copy("b", "/srv/data/b")])];
    let image = bench.on(Some(&base.descriptor), &AssembleStep { layers, ..bench.step(Vec::new()) });
    let image = image.unwrap();
    assert_eq!(
        bench.layer(&image, 1),
        [
            "755 0:0 opt/",
            "755 0:0 opt/x/",
            "644 0:0 opt/x/b 2",
            "755 0:0 srv/",
            "755 7:8 srv/data/",
            "755 7:8 srv/data/sub/",
            "644 0:0 srv/data/sub/.wh.a ",
        ]
    );
    assert_eq!(bench.layer(&image, 2), ["755 0:0 srv/", "755 7:8 srv/data/", "644 0:0 srv/data/b 2"]);
}

#[test]
fn what_is_removed_of_the_base_is_not_in_the_image() {
    let bench =
        Bench::new(&[("a", "1"), ("base/etc/apt/list", "x"), ("base/etc/os", "y"), ("base/srv/old", "z")]);
    symlink("etc", bench.root.path().join("base/conf")).unwrap();
    let base = bench.assemble(vec![vec![bench.copy("base", "/")]]).unwrap();
    let removing = |paths: &[&str]| {
        let span = Span::new(bench.source, 3..4);
        let remove = |path: &&str| RemovePlan { path: (*path).to_owned(), span };
        let copies = vec![bench.copy("a", "/srv/new")];
        let layers = vec![LayerPlan { removes: paths.iter().map(remove).collect(), ..layer(copies) }];
        bench.on(Some(&base.descriptor), &AssembleStep { layers, ..bench.step(Vec::new()) })
    };
    // A link on the way is followed, and one that is named is not.
    let image = removing(&["/conf/apt/list", "/srv", "/conf"]).unwrap();
    assert_eq!(
        bench.layer(&image, 1),
        [
            "644 0:0 .wh.conf ",
            "755 0:0 etc/",
            "755 0:0 etc/apt/",
            "644 0:0 etc/apt/.wh.list ",
            "755 0:0 srv/",
            "644 0:0 srv/.wh..wh..opq ",
            "644 0:0 srv/new 1"
        ]
    );
    let mut tree = FileTree::default();
    image.apply(&bench.images, &mut tree).unwrap();
    let weight = Weight::of(&tree);
    assert_eq!(Weight::recall(&image.descriptor.digest, &bench.images), Some(weight));
    let left: Vec<_> = tree.iter().map(|(path, _)| String::from_utf8_lossy(path)).collect();
    assert_eq!(left, ["etc", "etc/apt", "etc/os", "srv", "srv/new"]);
    assert_eq!(
        image.config.history[1].created_by.as_deref(),
        Some("hoist: remove /conf/apt/list; remove /srv; remove /conf; copy a /srv/new")
    );
    let refused = removing(&["/etc/oss"]).unwrap_err();
    let expected = Problem::new(Code::Assemble, "`/etc/oss` is not in the layers below")
        .label(Span::new(bench.source, 3..4), "nothing to remove")
        .help("did you mean `/etc/os`?");
    assert_eq!(refused, expected);
    assert_eq!(removing(&["/"]).unwrap_err().code, Code::Assemble);
}

#[test]
fn a_name_that_means_a_deletion_cannot_be_copied() {
    let bench = Bench::new(&[("d/.wh.x", "1")]);
    let refused = bench.assemble(vec![vec![bench.copy("d", "/d")]]).unwrap_err();
    let expected = Problem::new(Code::Assemble, "`/d/.wh.x` cannot be part of a layer")
        .label(Span::new(bench.source, 1..2), "names that begin with `.wh.` stand for deletions in a layer")
        .help("leave it out with `exclude=`; to delete what the base has: `remove \"/d/x\"`");
    assert_eq!(refused, expected);
}

#[test]
fn an_image_from_nothing_is_pinned_to_the_byte() {
    let bench = Bench::new(&[("hello", "hello\n")]);
    let mut step = bench.step(vec![vec![bench.copy("hello", "/hello")]]);
    step.settings.entrypoint = Some(vec!["/hello".to_owned()]);
    let image = bench.on(None, &step).unwrap();
    let config = String::from_utf8(bench.images.read(&image.manifest.config).unwrap()).unwrap();
    let diff_id = image.config.rootfs.diff_ids[0];
    assert_eq!(
        config,
        format!(
            "{}{diff_id}{}",
            r#"{"created":"2026-01-02T03:04:05Z","architecture":"arm64","os":"linux","config":{"Entrypoint":["/hello"]},"rootfs":{"type":"layers","diff_ids":[""#,
            r#""]},"history":[{"created":"2026-01-02T03:04:05Z","created_by":"hoist: copy hello /hello"}]}"#,
        )
    );
    // Computed with another writer of archives.
    let archive = "sha256:ebf7c5aa5f0fe7829767f0539e7c0b9cdf9035e0030bb0de4382d4df5a0f8650";
    assert_eq!(diff_id.to_string(), archive);
}

#[test]
fn a_later_copy_wins() {
    let bench = Bench::new(&[("a", "1"), ("b", "2")]);
    let image = bench.assemble(vec![vec![bench.copy("a", "/x"), bench.copy("b", "/x")]]).unwrap();
    assert_eq!(bench.layer(&image, 0), ["644 0:0 x 2"]);
}

#[test]
fn an_image_grows_on_the_image_of_its_platform_in_an_index() {
    let bench = Bench::new(&[("a", "1"), ("b", "2")]);
    let mut step = bench.step(vec![vec![bench.copy("a", "/usr/bin/a")]]);
    step.settings.env = [("PATH", "/usr/bin"), ("A", "1")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    step.settings.cmd = Some(vec!["old".to_owned()]);
    step.settings.user = Some("nobody".to_owned());
    let base = bench.on(None, &step).unwrap();
    let entry = |platform: &str| Descriptor {
        platform: Some(platform.parse::<Platform>().unwrap()),
        ..base.descriptor.clone()
    };
    let index = Index::new(vec![entry("linux/s390x"), entry("linux/arm64")]);
    let index = bench.images.write(media_type::INDEX, &index.to_bytes()).unwrap();
    let mut step = bench.step(vec![vec![bench.copy("b", "/usr/bin/b")]]);
    step.settings.env = [("A", "2"), ("B", "3")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    step.settings.entrypoint = Some(vec!["/usr/bin/b".to_owned()]);
    let image = bench.on(Some(&index), &step).unwrap();
    assert_eq!(image.manifest.layers[0], base.manifest.layers[0]);
    assert_eq!(bench.layer(&image, 1), ["755 0:0 usr/", "755 0:0 usr/bin/", "644 0:0 usr/bin/b 2"]);
    let config = &image.config.config;
    assert_eq!(config.env, ["PATH=/usr/bin", "A=2", "B=3"]);
    assert_eq!((config.user.as_deref(), config.cmd.as_ref()), (Some("nobody"), None));
    assert_eq!(image.config.history.len(), 2);
    let mut twice = base.config.clone();
    twice.config.env = ["A", "PATH=/bin", "A=1"].map(ToOwned::to_owned).to_vec();
    let config = bench.images.write(media_type::CONFIG, &twice.to_bytes()).unwrap();
    let manifest = Manifest::new(config, base.manifest.layers.clone()).to_bytes();
    let twice = bench.images.write(media_type::MANIFEST, &manifest).unwrap();
    assert_eq!(bench.on(Some(&twice), &step).unwrap().config.config.env, ["A=2", "PATH=/bin", "B=3"]);
    let mut other = step;
    other.platform = "linux/riscv64".parse().unwrap();
    let refused = bench.on(Some(&index), &other).unwrap_err();
    assert_eq!(refused.title, "the base image is not for `linux/riscv64`");
    assert_eq!(refused.labels[0].text, "its platforms: `linux/s390x`, `linux/arm64`");
}

#[test]
fn links_and_directories_of_a_base_stay_what_they_are() {
    let bench = Bench::new(&[("a", "1"), ("base/usr/bin/sh", "#")]);
    symlink("usr/bin", bench.root.path().join("base/bin")).unwrap();
    let base = bench.assemble(vec![vec![bench.copy("base", "/")]]).unwrap();
    let step = bench.step(vec![vec![bench.copy("a", "/bin/a")]]);
    let image = bench.on(Some(&base.descriptor), &step).unwrap();
    assert_eq!(bench.layer(&image, 1), ["755 0:0 usr/", "755 0:0 usr/bin/", "644 0:0 usr/bin/a 1"]);
    let mut tree = FileTree::default();
    image.apply(&bench.images, &mut tree).unwrap();
    assert_eq!(tree.resolve(b"bin/a"), Some(b"usr/bin/a".to_vec()));
    let step = bench.step(vec![vec![bench.copy("a", "/usr")]]);
    let refused = bench.on(Some(&base.descriptor), &step).unwrap_err();
    assert_eq!(refused.help.as_deref(), Some("to copy into it: `copy \"a\" \"/usr/\"`"));
}

#[test]
fn what_is_not_there_is_named_with_what_is_most_like_it() {
    let bench = Bench::new(&[("dist/server", "1")]);
    let refused = bench.assemble(vec![vec![bench.copy("dits/server", "/x")]]).unwrap_err();
    let expected = Problem::new(Code::Assemble, "`dits/server` does not exist")
        .label(Span::new(bench.source, 1..2), "no such file or directory")
        .help("did you mean `dist/server`?");
    assert_eq!(refused, expected);
    let refused = bench.assemble(vec![vec![bench.copy("dist/*.so", "/x")]]).unwrap_err();
    assert_eq!(refused.title, "nothing matches `dist/*.so`");
}

#[test]
fn a_link_that_is_named_is_followed_within_the_project() {
    let bench = Bench::new(&[("bin/app-1.2", "1")]);
    symlink("app-1.2", bench.root.path().join("bin/app")).unwrap();
    symlink("bin", bench.root.path().join("current")).unwrap();
    let copies = vec![bench.copy("current/app", "/opt/"), bench.copy("current", "/all")];
    let image = bench.assemble(vec![copies]).unwrap();
    assert_eq!(
        bench.layer(&image, 0),
        [
            "755 0:0 all/",
            "777 0:0 all/app -> app-1.2",
            "644 0:0 all/app-1.2 1",
            "755 0:0 opt/",
            "644 0:0 opt/app 1",
        ]
    );
}

#[test]
fn nothing_is_copied_from_outside_the_project() {
    let bench = Bench::new(&[("x", "1")]);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    symlink(outside.path(), bench.root.path().join("out")).unwrap();
    symlink(outside.path().join("secret"), bench.root.path().join("link")).unwrap();
    for from in ["../x", "/etc/passwd", "out/secret", "out/", "out", "link", "out/*"] {
        let refused = bench.assemble(vec![vec![bench.copy(from, "/x")]]).unwrap_err();
        assert_eq!((refused.code, refused.labels.len()), (Code::OutsideProject, 1), "{from}: {refused:?}");
    }
}

#[test]
fn sockets_and_pipes_are_no_content() {
    let bench = Bench::new(&[("d/x", "1")]);
    let _socket = std::os::unix::net::UnixListener::bind(bench.root.path().join("d/s")).unwrap();
    let refused = bench.assemble(vec![vec![bench.copy("d", "/d")]]).unwrap_err();
    assert_eq!(refused.labels[0].text, "a socket is no content");
    let without = CopyPlan { exclude: vec!["s".to_owned()], ..bench.copy("d", "/d") };
    assert!(bench.assemble(vec![vec![without]]).is_ok());
}

#[test]
fn names_that_are_not_utf8_are_copied() {
    let bench = Bench::new(&[]);
    let name = std::ffi::OsStr::from_bytes(b"d/caf\xe9");
    fs::create_dir(bench.root.path().join("d")).unwrap();
    fs::write(bench.root.path().join(name), "x").unwrap();
    let image = bench.assemble(vec![vec![bench.copy("d", "/d")]]).unwrap();
    let mut tree = FileTree::default();
    image.apply(&bench.images, &mut tree).unwrap();
    assert!(tree.get(b"d/caf\xe9").is_some());
}
