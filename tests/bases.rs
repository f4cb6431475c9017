//! Assembled images: what they start from, what is left of their tests, and disks that
//! are full.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use hoist::diagnostic::Code;
use hoist::oci::{Descriptor, Digest, ImageConfig, Index, Manifest, media_type};
use hoist::store::Layout;

use rustix::process::{Pid, Signal, kill_process};

use crate::examples::containers;
use crate::fixture::{Repo, done, installed, refused};

/// A layout `base` with one image, `1`, whose only layer holds one file.
fn base(repo: &Repo, path: &[u8], content: &[u8]) {
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
    base_of(repo, &archive);
}

/// A layout `base` with one image, `1`, whose only layer is this archive.
fn base_of(repo: &Repo, archive: &[u8]) {
    let layout = Layout::create(repo.path().join("base")).expect("a layout can be made");
    let layer = layout.write(media_type::LAYER, archive).expect("a blob can be written");
    let mut config = ImageConfig::new(&hoist::oci::Platform::host());
    config.config.env = vec!["PATH=/bin".to_owned(), "FROM=base".to_owned()];
    config.rootfs.diff_ids = vec![Digest::of(archive)];
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
fn a_base_whose_index_lies_about_its_platform_is_refused() {
    let repo = Repo::with(RELEASE);
    repo.write("a", "a\n");
    base(&repo, b"etc/base", b"b\n");
    let layout = Layout::open(repo.path().join("base")).expect("it is one");
    let image = layout.resolve("1").expect("it can be read").expect("it is there");
    let other = if cfg!(target_arch = "x86_64") { "linux/arm64" } else { "linux/amd64" };
    let lie = Descriptor { platform: Some(other.parse().expect("it is a platform")), ..image };
    let index =
        layout.write(media_type::INDEX, &Index::new(vec![lie]).to_bytes()).expect("it can be written");
    layout.set_ref("1", &index).expect("a name can be set");
    repo.write("release.kdl", RELEASE.replace("expect file=\"/a\"", &format!("platforms \"{other}\"")));
    let ended = repo.hoist(&["run", "web"]);
    let said = format!("the base image for `{other}` is for `");
    refused(&ended, 1, &[said.as_str(), "do not say the same"]);
}

#[test]
fn a_base_whose_layers_are_not_what_it_says_is_refused() {
    let repo = Repo::with(RELEASE);
    repo.write("a", "a\n");
    base(&repo, b"etc/base", b"b\n");
    let layout = Layout::open(repo.path().join("base")).expect("it is one");
    let image = layout.resolve("1").expect("it can be read").expect("it is there");
    let manifest = Manifest::parse(&layout.read(&image).expect("it can be read")).expect("it is one");
    let config = layout.read(&manifest.config).expect("it can be read");
    let lie = |diff_ids: &[Digest]| {
        let mut config = ImageConfig::parse(&config).expect("it is one");
        config.rootfs.diff_ids = diff_ids.to_vec();
        let config = layout.write(media_type::CONFIG, &config.to_bytes()).expect("it can be written");
        let manifest = Manifest::new(config, manifest.layers.clone()).to_bytes();
        let image = layout.write(media_type::MANIFEST, &manifest).expect("it can be written");
        layout.set_ref("1", &image).expect("a name can be set");
        repo.hoist(&["run", "web"])
    };
    let other = Digest::of(b"another");
    refused(&lie(&[other]), 1, &["hoist::store::digest_mismatch", "is not what its image says"]);
    refused(&lie(&[other, other]), 1, &["its manifest has 1 layer, its configuration 2"]);
    let seen = repo.hoist(&["inspect", "oci:base:1"]);
    refused(&seen, 1, &["its manifest has 1 layer, its configuration 2"]);
}

#[test]
fn an_artifact_is_no_base() {
    let repo = Repo::with(RELEASE);
    repo.write("a", "a\n");
    base(&repo, b"etc/base", b"b\n");
    let layout = Layout::open(repo.path().join("base")).expect("it is one");
    let config = layout.write("application/vnd.oci.empty.v1+json", b"{}").expect("it can be written");
    let mut manifest = Manifest::new(config.clone(), vec![config]);
    manifest.artifact_type = Some("application/vnd.example.chart".to_owned());
    let chart = layout.write(media_type::MANIFEST, &manifest.to_bytes()).expect("it can be written");
    layout.set_ref("1", &chart).expect("a name can be set");
    refused(
        &repo.hoist(&["run", "web"]),
        2,
        &["is not an image", "of the type application/vnd.example.chart"],
    );
    let platform = Some(hoist::oci::Platform::host());
    let index = Index::new(vec![Descriptor { platform, ..chart }]).to_bytes();
    let index = layout.write(media_type::INDEX, &index).expect("it can be written");
    layout.set_ref("1", &index).expect("a name can be set");
    refused(
        &repo.hoist(&["run", "web"]),
        2,
        &["is not an image", "of the type application/vnd.example.chart"],
    );
}

#[test]
fn a_name_that_no_file_system_takes_is_refused_as_what_it_is() {
    let repo = Repo::with(RELEASE);
    repo.write("a", "a\n");
    let long = "x".repeat(256);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    builder.append_data(&mut header, &long, std::io::empty()).expect("it can be written");
    let archive = builder.into_inner().expect("it is whole");
    base_of(&repo, &archive);
    refused(&repo.hoist(&["run", "web"]), 3, &["hoist::engine::hostile_layer", "more than 255 bytes"]);
}

#[test]
fn an_archive_is_no_base_and_it_is_told_what_is() {
    let repo =
        Repo::with("image \"web\" { assemble from=\"oci:base.tar\" { layer { copy \"a\" \"/a\"; }; }; }");
    repo.write("a", "a\n");
    repo.write("base.tar", "");
    let said = ["`base.tar` is a file", "`skopeo copy oci-archive:base.tar oci:DIR:TAG`"];
    refused(&repo.hoist(&["run", "web"]), 2, &said);
    let text = repo.read("release.kdl").replace("oci:base.tar", "docker-archive:base.tar");
    repo.write("release.kdl", text);
    let said = ["hoist knows registries and layout directories", "`skopeo copy docker-archive:"];
    refused(&repo.hoist(&["run", "web"]), 2, &said);
}

#[test]
fn files_at_any_depth_are_found_and_put_into_an_image() {
    let deep = vec!["d"; 450].join("/");
    let repo = Repo::with(
        r#"
        image "web" { assemble from="scratch" { layer { copy "t" "/t"; }; }; }
        target "sum" { inputs "t/**"; run "sh" "-c" "find t -type f"; }
        "#,
    );
    repo.write(&format!("t/{deep}/file"), "1");
    repo.write("t/a", "1");
    done(&repo.hoist(&["run", "web"]));
    done(&repo.hoist(&["run", "sum"]));
    let inspected = repo.hoist(&["inspect", "web", "--json"]);
    assert!(inspected.stdout.contains(&format!("t/{deep}/file")), "{}", inspected.stderr);
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

const SERVER: &str = r#"
image "web" {
    assemble from="scratch" {
        layer { copy "root" "/"; }
        cmd "/busybox" "sh" "-c" "echo $$ is up; exec /busybox sleep 1000"
    }
    test "serves" { expect { http port=8080; }; timeout "10m"; }
}
"#;

/// The processes of this machine that have a word among their arguments.
fn processes(word: &str) -> Vec<String> {
    let lines = fs::read_dir("/proc").expect("it is mounted").filter_map(|entry| {
        let line = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(word)).collect()
}

/// Waits until something holds, and says whether it came to that.
fn soon(holds: impl Fn() -> bool) -> bool {
    let until = Instant::now() + Duration::from_mins(1);
    while Instant::now() < until {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    holds()
}

#[test]
fn nothing_is_left_of_a_container_when_hoist_is_interrupted_or_killed() {
    const TEST: &str = "containers of a hoist that is killed";
    if !containers(TEST) || !installed(TEST, &["busybox"]) {
        return;
    }
    let repo = Repo::with(SERVER);
    let path = std::env::var("PATH").expect("there is a path");
    let busybox = path.split(':').map(|at| Path::new(at).join("busybox")).find(|path| path.is_file());
    repo.write("root/busybox", fs::read(busybox.expect("it is installed")).expect("it can be read"));
    let set = fs::Permissions::from_mode(0o755);
    fs::set_permissions(repo.path().join("root/busybox"), set).expect("it can be executed");
    assert_eq!(repo.hoist(&["run", "web:index"]).code, 0);
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let temporary = repo.path().join("../temporary");
        fs::create_dir_all(&temporary).expect("a directory can be made");
        let temporary = temporary.canonicalize().expect("it is there");
        let word = temporary.to_str().expect("its path is text").to_owned();
        let mut command = repo.command(&["run", "web:test"]);
        let mut hoist = command
            .env("TMPDIR", &temporary)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let is_up = || {
            let outputs = fs::read_dir(repo.path().join(".hoist/runs")).ok().into_iter().flatten();
            outputs
                .filter_map(Result::ok)
                .any(|run| !processes("busybox sleep 1000").is_empty() && run.path().exists())
        };
        assert!(soon(is_up), "the container runs");
        assert_eq!(processes(&word).len(), 1, "the runtime of the container");
        kill_process(Pid::from_child(&hoist), signal).expect("hoist runs");
        assert_eq!(hoist.wait().expect("it ends").code(), code);
        let is_gone = || processes(&word).is_empty() && processes("busybox sleep 1000").is_empty();
        assert!(soon(is_gone), "{:?}", processes(&word));
        let left: Vec<_> = fs::read_dir(&temporary).expect("it is there").collect();
        assert!(left.is_empty(), "{left:?}");
        let mounts = fs::read_to_string("/proc/self/mounts").expect("it is there");
        assert!(!mounts.contains(&word), "{mounts}");
    }
}

/// A file system of a few MiB; unmounted when it is dropped.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir_all(&at).expect("a directory can be made");
        rustix::mount::mount("tmpfs", &at, "tmpfs", rustix::mount::MountFlags::empty(), Some(c"size=4m"))
            .expect("root mounts it");
        Self(at)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _gone = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Bytes that cannot be compressed.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..size / 8).flat_map(|_| next()).collect()
}

#[test]
fn a_disk_that_is_full_is_told_and_nothing_of_the_image_is_kept() {
    if !containers("a full disk") {
        return;
    }
    let repo = Repo::with("image \"web\" { assemble from=\"scratch\" { layer { copy \"a\" \"/a\"; }; }; }");
    repo.write("a", noise(8 << 20));
    let cache = repo.path().join("../tiny");
    let tiny = Tiny::mount(cache.clone());
    let variable = [("HOIST_CACHE_DIR", cache.to_str().expect("its path is text"))];
    let ended = repo.hoist_with(&["run", "web"], &variable);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("a layer cannot be written"), "{}", ended.stderr);
    assert!(ended.stderr.contains("No space left on device"), "{}", ended.stderr);
    let blobs = fs::read_dir(cache.join("v4/images/blobs/sha256")).expect("the store is there").count();
    let unfinished = fs::read_dir(cache.join("v4/images")).expect("the store is there");
    let unfinished = unfinished
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(".hoist-"));
    assert_eq!((blobs, unfinished.count()), (0, 0));
    // What was not kept is not taken for done.
    repo.write("a", noise(1 << 20));
    let ended = repo.hoist_with(&["run", "web"], &variable);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    drop(tiny);
}

#[test]
fn a_base_that_unpacks_to_more_than_the_disk_has_is_refused_before_it_is_full() {
    const TEST: &str = "a base image that unpacks to very much";
    if !containers(TEST) {
        return;
    }
    let repo = Repo::with(&RELEASE.replace("expect file=\"/a\"", "test \"x\" { run \"/a\"; }"));
    repo.write("a", "a\n");
    base(&repo, b"zeros", &vec![0; 64 << 20]);
    let tiny = Tiny::mount(repo.path().join("../tiny"));
    let ended =
        repo.hoist_with(&["run", "web:test"], &[("TMPDIR", tiny.0.to_str().expect("its path is text"))]);
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("it has 67108864 bytes, and "), "{}", ended.stderr);
    assert_eq!(fs::read_dir(&tiny.0).expect("it is there").count(), 0);
}

#[test]
fn a_base_of_another_platform_is_found_before_anything_runs() {
    let repo = Repo::with("image \"web\" { platforms \"linux/s390x\"; assemble from=\"oci:base:1\"; }");
    base(&repo, b"etc/base", b"b\n");
    let ended = repo.hoist(&["plan", "web"]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("the base image is not for `linux/s390x`"), "{}", ended.stderr);
}

#[test]
fn layers_are_the_same_bytes_whatever_the_machine() {
    let text = r#"
        image "web" {
            platforms "linux/amd64" "linux/arm64"
            assemble from="scratch" compression="zstd" {
                layer { copy "a" "/a"; }
                layer compression="gzip" compression-level=9 { copy "b" "/b"; }
            }
            push "out"
        }
        registry "out" "oci:out"
    "#;
    let layers = |umask: &str, threads: &str| {
        let repo = Repo::with(text);
        repo.write("a", noise(5 << 20));
        let script = "umask $0; mkdir b; echo 1 > b/x; echo 2 > b/y; ln -s x b/z; ln b/x b/w";
        let made =
            std::process::Command::new("sh").args(["-c", script, umask]).current_dir(repo.path()).status();
        assert!(made.expect("there is a shell").success());
        let ended = repo.hoist_with(
            &["run", "web:push", "--event", "branch=main", "--allow-dirty"],
            &[("RAYON_NUM_THREADS", threads)],
        );
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let layout = Layout::open(repo.path().join("out/web")).expect("it was pushed");
        let mut blobs: Vec<_> = fs::read_dir(layout.path().join("blobs/sha256"))
            .expect("it has blobs")
            .map(|blob| {
                let blob = blob.expect("it can be listed");
                (blob.file_name(), blob.metadata().expect("it is there").len())
            })
            .collect();
        blobs.sort();
        blobs
    };
    let first = layers("022", "1");
    assert_eq!(layers("077", "4"), first);
    // Two layers, and for each platform a configuration and a manifest; and the index.
    assert_eq!(first.len(), 7);
}

#[test]
fn a_template_cannot_make_a_base_that_is_no_image_of_a_registry() {
    let repo = Repo::with(
        "var \"from\" \"localhost:1/a\"\nimage \"web\" { assemble from=\"{from}\" { layer { copy \"release.kdl\" \"/a\"; }; }; }",
    );
    for from in ["scratch", "oci:base", "image:web"] {
        let ended = repo.hoist(&["build", &format!("from={from}")]);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!("a template cannot make the base `{from}`")),
            "{}",
            ended.stderr
        );
    }
}
