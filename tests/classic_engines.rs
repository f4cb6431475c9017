//! Docker as it was before it had BuildKit, and on other machines than this.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use crate::daemons;
use crate::engine_faults::{FAILING, fails_at, project, says};
use crate::engines::{Published, base, publish};
use crate::fixture::installed;
use crate::registry::Registry;

/// A Docker that says it is one of old: what it is asked for as such, it still does.
fn old_docker(test: &str) -> Option<String> {
    // The last version of its API that has no BuildKit.
    docker(test, b"\"ApiVersion\":\"1.", b"38")
}

/// A Docker in whose answers `instead` comes after `said`, in the place of as many bytes.
fn docker(test: &str, said: &'static [u8], instead: &'static [u8]) -> Option<String> {
    if !installed(test, &["busybox"]) {
        return None;
    }
    let socket = daemons::docker(test)?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut engine = connect(&socket);
            let (mut asked, mut to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
            thread::spawn(move || {
                let _ = io::copy(&mut asked, &mut to);
                to.shutdown(Shutdown::Write)
            });
            thread::spawn(move || {
                let mut piece = vec![0; 64 << 10];
                while let Ok(count @ 1..) = engine.read(&mut piece) {
                    let piece = &mut piece[..count];
                    for at in 0..count.saturating_sub(said.len() + instead.len()) {
                        if piece[at..].starts_with(said) {
                            piece[at + said.len()..][..instead.len()].copy_from_slice(instead);
                        }
                    }
                    if client.write_all(piece).is_err() {
                        break;
                    }
                }
                client.shutdown(Shutdown::Both)
            });
        }
    });
    Some(address)
}

fn connect(socket: &Path) -> UnixStream {
    UnixStream::connect(socket).unwrap()
}

#[test]
fn what_only_the_build_needs_is_not_in_an_image() {
    let Some(engine) = old_docker("contexts of Docker without BuildKit") else { return };
    let project = project(&engine, "FROM scratch\nCOPY . /\n");
    let files = || {
        project.release();
        let image = Published::read(&project, "dist/web");
        image.paths().filter(|path| path.starts_with('.')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(files(), Vec::<String>::new());
    // What the project has of such files is another matter.
    project.repo.write("web/.containerignore", "*\n");
    assert_eq!(files(), [".containerignore"]);
    project.repo.write("web/.dockerignore", "*.log\n.dockerignore\n");
    assert_eq!(files(), [".containerignore"]);
    project.repo.write("web/.dockerignore", "*.log\n");
    assert_eq!(files(), [".containerignore", ".dockerignore"]);
    let image = Published::read(&project, "dist/web");
    assert!(image.file(".dockerignore").starts_with("*.log\n"));
}

#[test]
fn an_engine_that_is_too_old_is_told() {
    let Some(engine) = docker("engines that are too old", b"\"ApiVersion\":\"1.", b"24") else { return };
    let project = project(&engine, "FROM scratch\nCOPY bin /bin\n");
    says(&project.hoist(&["run", "web"]), 3, &["hoist::engine::no_engine", "it is too old", "1.24"]);
}

#[test]
fn the_line_that_failed_is_found_by_its_number() {
    let Some(engine) = old_docker("failures of Docker without BuildKit") else { return };
    let project = project(&engine, "");
    for (line, dockerfile) in FAILING {
        fails_at(&project, line, dockerfile);
    }
}

#[test]
fn an_image_for_the_builder_is_not_taken_for_a_builder_of_another_platform() {
    const TEST: &str = "builders of other platforms";
    if hoist::oci::Platform::host().architecture != "amd64" || !installed(TEST, &["docker-registry"]) {
        return;
    }
    let Some(engine) = docker(TEST, b"\"Arch\":\"", b"arm64") else { return };
    let project = project(&engine, "");
    let registry = Registry::start(&project.repo);
    let team = format!("127.0.0.1:{}/team", registry.port);
    publish(&project, &base(&project, "one", "linux/amd64"), &format!("{team}/base:1"));
    let write = |from: &str| {
        let stages = format!("{from} AS made\nRUN true\nFROM scratch\nCOPY --from=made /base /\n");
        project.repo.write("web/Dockerfile", stages);
    };
    let text = project.repo.read("release.kdl");
    project.repo.write("release.kdl", text.replace("tags {", "platforms \"linux/arm64\"; tags {"));
    write(&format!("FROM --platform=$BUILDPLATFORM {team}/base:1"));
    let told = ["hoist::engine::no_engine", "base:1", "`linux/arm64`", "linux/amd64", "release.kdl:2:"];
    says(&project.hoist(&["run", "web"]), 3, &told);
    // A name has to be known before there is an engine.
    publish(&project, &base(&project, "named", "linux/arm64"), &format!("{team}/base:amd64"));
    write(&format!("FROM {team}/base:$BUILDARCH"));
    let told =
        ["hoist::engine::no_engine", "`linux/amd64`", "`linux/arm64`", "release.kdl:2:", "builder \"NAME\""];
    says(&project.hoist(&["run", "web"]), 3, &told);
    // With what is said to be native there, it is planned for that.
    let text = project.repo.read("release.kdl");
    project
        .repo
        .write("release.kdl", format!("{text}builder \"far\" \"{engine}\" platforms=\"linux/arm64\"\n"));
    says(&project.hoist(&["run", "web"]), 2, &["::unknown_base", "there is no image `arm64`"]);
}
