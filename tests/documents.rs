//! Images whose documents are unusual, or lie: what `hoist inspect` and `hoist copy` make
//! of them.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use hoist::oci::{Descriptor, ImageConfig, Index, Manifest, Platform, Written, media_type};
use hoist::store::Layout;

use crate::fixture::{Repo, done, installed, refused};
use crate::registry::Registry;

/// An image without layers in the layout `images`, for a platform.
fn image(layout: &Layout, platform: &str) -> Descriptor {
    let platform: Platform = platform.parse().expect("it is a platform");
    let config = ImageConfig::new(&platform).to_bytes();
    let config = layout.write(media_type::CONFIG, &config).expect("it can be written");
    let manifest = Manifest::new(config, Vec::new()).to_bytes();
    let image = layout.write(media_type::MANIFEST, &manifest).expect("it can be written");
    Descriptor { platform: Some(platform), ..image }
}

/// Names an index of some entries in the layout.
fn index(layout: &Layout, name: &str, entries: Vec<Descriptor>) -> Descriptor {
    let index = Index::new(entries).to_bytes();
    let index = layout.write(media_type::INDEX, &index).expect("it can be written");
    layout.set_ref(name, &index).expect("it can be named");
    index
}

fn layout(repo: &Repo) -> Layout {
    Layout::create(repo.path().join("images")).expect("a layout can be made")
}

#[test]
fn an_index_that_lies_about_a_platform_is_shown_and_its_image_not_taken() {
    let repo = Repo::new();
    let layout = layout(&repo);
    let amd64 = image(&layout, "linux/amd64");
    let lie = Descriptor { platform: Some("linux/arm64".parse().expect("it is one")), ..amd64.clone() };
    index(&layout, "lie", vec![image(&layout, "linux/s390x"), lie]);
    let said = "its index says linux/arm64, its configuration linux/amd64";
    let seen = repo.hoist(&["inspect", "oci:images:lie"]);
    done(&seen);
    assert!(seen.stdout.contains(said), "{}", seen.stdout);
    let seen = repo.hoist(&["inspect", "oci:images:lie", "--json"]);
    let seen: serde_json::Value = serde_json::from_str(&seen.stdout).expect("it is JSON");
    assert_eq!(seen["platforms"][1]["promised"], "linux/arm64");
    assert_eq!(seen["platforms"][0].get("promised"), None);
    for call in [&["inspect", "oci:images:lie", "-q"][..], &["copy", "oci:images:lie", "oci:out:1"]] {
        let asked = [call, &["--platform", "linux/arm64"]].concat();
        refused(
            &repo.hoist(&asked),
            1,
            &["the image for `linux/arm64` is for `linux/amd64`", "its index says"],
        );
        done(&repo.hoist(&[call, &["--platform", "linux/s390x"]].concat()));
    }
}

#[test]
fn what_lies_in_an_index_in_an_index_is_shown_like_the_others() {
    let repo = Repo::new();
    let layout = layout(&repo);
    let (amd64, arm64) = (image(&layout, "linux/amd64"), image(&layout, "linux/arm64"));
    let inner = index(&layout, "inner", vec![arm64.clone()]);
    index(&layout, "outer", vec![amd64, inner]);
    let seen = repo.hoist(&["inspect", "oci:images:outer"]);
    done(&seen);
    assert!(seen.stdout.contains("linux/amd64") && seen.stdout.contains("linux/arm64"), "{}", seen.stdout);
    let one = repo.hoist(&["inspect", "oci:images:outer", "-q", "--platform", "linux/arm64"]);
    assert_eq!((one.code, one.stdout), (0, format!("{}\n", arm64.digest)), "{}", one.stderr);
}

#[test]
fn the_only_image_of_an_index_need_not_be_named_with_its_platform() {
    let repo = Repo::with(
        "image \"web\" { assemble from=\"oci:images:one\" { layer { copy \"a\" \"/a\"; }; }; platforms \"linux/s390x\"; }",
    );
    repo.write("a", "a");
    let layout = layout(&repo);
    let only = Descriptor { platform: None, ..image(&layout, "linux/s390x") };
    index(&layout, "one", vec![only]);
    done(&repo.hoist(&["run", "web"]));
    done(&repo.hoist(&["copy", "oci:images:one", "oci:out:1", "--platform", "linux/s390x"]));
    let other = ["--platform", "linux/amd64"];
    refused(
        &repo.hoist(&[&["inspect", "oci:images:one"][..], &other].concat()),
        2,
        &["it is for linux/s390x"],
    );
    let copied = repo.hoist(&[&["copy", "oci:images:one", "oci:out:2"][..], &other].concat());
    refused(&copied, 2, &["it is for linux/s390x"]);
    repo.write("release.kdl", repo.read("release.kdl").replace("\"linux/s390x\"", "\"linux/amd64\""));
    refused(&repo.hoist(&["run", "web"]), 2, &["the base image is not for `linux/amd64`"]);
}

#[test]
fn an_artifact_in_an_index_stands_beside_its_images() {
    let repo = Repo::new();
    let layout = layout(&repo);
    let empty = layout.write("application/vnd.oci.empty.v1+json", b"{}").expect("it can be written");
    let mut chart = Manifest::new(empty.clone(), vec![empty]);
    chart.artifact_type = Some("application/vnd.example.chart".to_owned());
    let chart = layout.write(media_type::MANIFEST, &chart.to_bytes()).expect("it can be written");
    index(&layout, "both", vec![chart.clone(), image(&layout, "linux/amd64")]);
    let seen = repo.hoist(&["inspect", "oci:images:both"]);
    done(&seen);
    assert!(
        seen.stdout.contains("linux/amd64") && seen.stdout.contains(&chart.digest.short()),
        "{}",
        seen.stdout
    );
    index(&layout, "chart", vec![chart]);
    refused(
        &repo.hoist(&["inspect", "oci:images:chart"]),
        2,
        &["is not an image", "application/vnd.example.chart"],
    );
}

#[test]
fn a_digest_of_another_algorithm_disturbs_nobody_who_does_not_ask_for_it() {
    let repo = Repo::with(
        "image \"web\" { assemble from=\"oci:images:both\" { layer { copy \"a\" \"/a\"; }; }; platforms \"linux/amd64\"; }",
    );
    repo.write("a", "a");
    let layout = layout(&repo);
    let amd64 = image(&layout, "linux/amd64");
    let digest = format!("sha512:{}", "0".repeat(128));
    let other = format!(
        r#"{{"mediaType":"{}","digest":"{digest}","size":1,"platform":{{"os":"linux","architecture":"arm64"}},
        "annotations":{{"org.opencontainers.image.ref.name":"other"}}}}"#,
        media_type::MANIFEST
    );
    let add = |document: &[u8]| {
        let text = String::from_utf8(document.to_vec()).expect("it is text");
        let at = text.rfind(']').expect("it has a list");
        format!("{},{other}{}", &text[..at], &text[at..])
    };
    let both = add(&Index::new(vec![amd64.clone()]).to_bytes());
    let both = layout.write(media_type::INDEX, both.as_bytes()).expect("it can be written");
    layout.set_ref("both", &both).expect("it can be named");
    layout.set_ref("one", &amd64).expect("it can be named");
    let top = repo.path().join("images/index.json");
    fs::write(&top, add(&fs::read(&top).expect("it is there"))).expect("it can be written");

    let said = "digest algorithm `sha512` is not supported";
    done(&repo.hoist(&["inspect", "oci:images:one"]));
    let seen = repo.hoist(&["inspect", "oci:images:both"]);
    done(&seen);
    assert!(seen.stdout.contains(said) && seen.stdout.contains("linux/amd64"), "{}", seen.stdout);
    done(&repo.hoist(&["copy", "oci:images:both", "oci:out:1", "--platform", "linux/amd64"]));
    done(&repo.hoist(&["run", "web"]));
    for call in [
        &["inspect", "oci:images:other"][..],
        &["copy", "oci:images:other", "oci:out:2"],
        // Half an index is none.
        &["copy", "oci:images:both", "oci:out:2"],
        &["copy", "oci:images:both", "oci:out:2", "--platform", "linux/arm64"],
    ] {
        refused(&repo.hoist(call), 1, &[said]);
    }
    refused(&repo.hoist(&["inspect", &format!("oci:images@{digest}")]), 2, &[said]);
    refused(&repo.hoist(&["inspect", &format!("127.0.0.1:1/x@{digest}")]), 2, &[said]);
    let release = repo.read("release.kdl");
    repo.write("release.kdl", release.replace("linux/amd64", "linux/arm64"));
    refused(&repo.hoist(&["run", "web"]), 1, &[said]);
    repo.write("release.kdl", release.replace("images:both", "images:other"));
    refused(&repo.hoist(&["run", "web"]), 2, &[said]);
}

#[test]
fn a_layer_that_is_kept_elsewhere_is_shown_with_where_that_is() {
    let repo = Repo::new();
    let layout = layout(&repo);
    let platform: Platform = "windows/amd64".parse().expect("it is one");
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let mut layer = Descriptor::of(foreign, b"elsewhere");
    layer.unknown.insert("urls".to_owned(), Written::of(&["https://example.org/layer"]));
    let mut config = ImageConfig::new(&platform);
    config.rootfs.diff_ids = vec![layer.digest];
    let config = layout.write(media_type::CONFIG, &config.to_bytes()).expect("it can be written");
    let manifest = Manifest::new(config, vec![layer]).to_bytes();
    let image = layout.write(media_type::MANIFEST, &manifest).expect("it can be written");
    layout.set_ref("1", &image).expect("it can be named");
    let seen = repo.hoist(&["inspect", "oci:images:1"]);
    done(&seen);
    assert!(seen.stdout.contains("https://example.org/layer"), "{}", seen.stdout);
    let files = repo.hoist(&["inspect", "oci:images:1", "--files"]);
    refused(&files, 3, &["all here", "https://example.org/layer"]);
    done(&repo.hoist(&["copy", "oci:images:1", "oci:out:1"]));
    repo.write("a", "a");
    repo.write(
        "release.kdl",
        "image \"web\" { assemble from=\"oci:images:1\" { layer { copy \"a\" \"/a\"; }; }; platforms \"windows/amd64\"; }",
    );
    refused(&repo.hoist(&["run", "web"]), 2, &["such layers are not fetched", "https://example.org/layer"]);
}

#[test]
fn places_of_other_tools_are_told_with_what_is_read_instead() {
    let repo = Repo::new();
    repo.write("web.tar", "");
    for kind in ["docker-archive", "docker-daemon", "containers-storage", "oci-archive"] {
        for call in [
            ["inspect", &format!("{kind}:web.tar")][..].to_vec(),
            vec!["copy", &format!("{kind}:web.tar"), "oci:out:1"],
            vec!["copy", "oci:web", &format!("{kind}:web.tar")],
        ] {
            let ended = repo.hoist(&call);
            refused(
                &ended,
                2,
                &["knows registries and layout directories", &format!("`skopeo copy {kind}:")],
            );
        }
    }
    let layout = layout(&repo);
    layout.set_ref("1", &image(&layout, "linux/amd64")).expect("it can be named");
    for (named, meant) in [
        ("https://ghcr.io/acme/web:1", "ghcr.io/acme/web:1"),
        ("oci://ghcr.io/acme/chart:1", "ghcr.io/acme/chart:1"),
        ("oci-layout://images:1", "oci:images:1"),
        ("./images", "oci:./images"),
        ("images", "oci:images"),
    ] {
        refused(&repo.hoist(&["inspect", named]), 2, &[&format!("did you mean `{meant}`?")]);
    }
    refused(&repo.hoist(&["inspect", "oci:images:"]), 2, &["the tag is missing"]);
    refused(&repo.hoist(&["inspect", "oci:web.tar"]), 2, &["`web.tar` is a file", "oci-archive:web.tar"]);
}

#[test]
fn a_registry_on_this_machine_that_speaks_tls_is_spoken_with_so() {
    if !installed("a registry on this machine with TLS", &["docker-registry", "openssl"]) {
        return;
    }
    let repo = Repo::new();
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let made = command.args(arguments.split(' ')).current_dir(repo.path()).output();
        assert!(made.expect("it can be started").status.success(), "{arguments}");
    };
    let new = "-newkey rsa:2048 -nodes -days 2";
    openssl(&format!("req -x509 {new} -keyout ca.key -out ca.pem -subj /CN=ca"));
    repo.write("extensions", "subjectAltName=IP:127.0.0.1\n");
    openssl("req -newkey rsa:2048 -nodes -keyout own.key -out request -subj /CN=own");
    openssl(
        "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out own.pem",
    );
    let registry = Registry::start_over_tls(&repo, "own.pem", "own.key");
    let layout = layout(&repo);
    layout.set_ref("1", &image(&layout, "linux/amd64")).expect("it can be named");
    let name = format!("127.0.0.1:{}/team/web:1", registry.port);
    let copy = ["copy", "oci:images:1", &name];
    refused(&repo.hoist(&copy), 1, &["cannot be reached", "name its certificate authority with `ca="]);
    let authority = repo.path().join("ca.pem").display().to_string();
    let trusting = [("SSL_CERT_FILE", authority.as_str())];
    done(&repo.hoist_with(&copy, &trusting));
    done(&repo.hoist_with(&["inspect", &name], &trusting));
    // Some servers understand plain HTTP well enough to refuse it, or to lead to TLS.
    for status in ["400 Bad Request", "301 Moved Permanently", "308 Permanent Redirect"] {
        let port = before(registry.port, status);
        let name = format!("127.0.0.1:{port}/team/{}:1", status[..3].replace('3', "three"));
        done(&repo.hoist_with(&["copy", "oci:images:1", &name], &trusting));
        done(&repo.hoist_with(&["inspect", &name], &trusting));
        refused(&repo.hoist(&["inspect", &name]), 1, &["name its certificate authority with `ca="]);
    }
}

/// The port of a server before a registry that speaks TLS, as many a proxy does: who speaks
/// plain HTTP with it gets this answer.
fn before(registry: u16, status: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it has an address").port();
    let serve = move |mut stream: TcpStream| -> io::Result<()> {
        let mut first = [0];
        if stream.peek(&mut first)? == 1 && first == [0x16] {
            let mut there = TcpStream::connect(("127.0.0.1", registry))?;
            let (mut back, mut answers) = (stream.try_clone()?, there.try_clone()?);
            thread::spawn(move || io::copy(&mut answers, &mut back));
            io::copy(&mut stream, &mut there)?;
            return there.shutdown(Shutdown::Write);
        }
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut line, mut head) = (String::new(), String::new());
        reader.read_line(&mut line)?;
        while reader.read_line(&mut head)? > 2 {}
        let path = line.split(' ').nth(1).unwrap_or("/");
        let location = format!("Location: https://127.0.0.1:{port}{path}\r\n");
        let location = if status.starts_with('3') { &location } else { "" };
        write!(stream, "HTTP/1.1 {status}\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n")
    };
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream));
        }
    });
    port
}

#[test]
fn a_registry_may_be_named_by_an_address_of_ipv6() {
    let free = TcpListener::bind("[::1]:0").and_then(|listener| listener.local_addr());
    let Ok(free) = free else { return };
    let repo = Repo::new();
    let name = format!("[::1]:{}/x", free.port());
    refused(
        &repo.hoist(&["inspect", &name]),
        1,
        &[&format!("the registry `[::1]:{}` cannot be", free.port())],
    );
    refused(&repo.hoist(&["inspect", &format!("[::1]:{}", free.port())]), 1, &["cannot be reached"]);
}
