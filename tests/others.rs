//! What other programs make of the images that hoist writes.

use std::process::Command;

use crate::examples::{containers, example};
use crate::fixture::installed;

/// Calls a program, which must succeed, and returns what it prints.
fn call(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{said}");
    text
}

#[test]
fn skopeo_podman_and_umoci_accept_a_released_image() {
    let what = "what skopeo, podman, and umoci make of an image";
    if !installed(what, &["skopeo", "podman", "umoci", "runc"]) || !containers(what) {
        return;
    }
    let repo = example("hello");
    let released = repo.hoist(&["release"]);
    assert_eq!(released.code, 0, "{}", released.stderr);
    let layout = repo.path().join("dist/images/hello").to_string_lossy().into_owned();
    let reference = format!("oci:{layout}:latest");

    let inspected: serde_json::Value =
        serde_json::from_str(&call("skopeo", &["inspect", &reference])).expect("it is JSON");
    assert_eq!(inspected["Labels"]["org.opencontainers.image.revision"], repo.git(&["rev-parse", "HEAD"]));
    assert_eq!(inspected["Created"], "2026-01-02T03:04:05Z");

    let bundle = repo.path().join("bundle").to_string_lossy().into_owned();
    call("umoci", &["unpack", "--image", &format!("{layout}:latest"), &bundle]);
    assert!(repo.has("bundle/rootfs/bin/hello"));

    let store = repo.path().join("podman");
    let root = store.join("root").to_string_lossy().into_owned();
    let state = store.join("run").to_string_lossy().into_owned();
    std::fs::create_dir_all(&store).expect("a directory can be made");
    // The settings under which podman runs inside of a container.
    let settings = store.join("containers.conf");
    let text = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
                [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
    std::fs::write(&settings, text).expect("a file can be written");
    let output = Command::new("podman")
        .args(["--root", &root, "--runroot", &state, "--storage-driver", "vfs"])
        .args(["run", "--rm", "--network", "none", &reference, "podman"])
        .env("CONTAINERS_CONF", &settings)
        .output()
        .expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello, podman!\n", "{said}");
}
