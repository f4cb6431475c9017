//! BuildKit's own daemon: what it has that other engines do not, and how it is reached.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::daemons::{self, Daemon};
use crate::engine_faults::says;
use crate::engines::{Project, Published};
use crate::fixture::{Repo, installed, left_out};
use crate::registry::{Registry, digest_of};
use crate::remote_engines::Ssh;

/// A project with one image, of these settings of its Dockerfile.
fn project(engine: &str, settings: &str) -> Project {
    let project = Project::new(engine);
    project.repo.write(
        "release.kdl",
        format!(
            "image \"web\" {{\n    dockerfile context=\"web\" {{ {settings} }}\n    tags {{ raw \"dev\"; }}\n    \
             push \"images\"\n}}\nregistry \"images\" \"oci:dist\"\n"
        ),
    );
    project.repo.write("web/Dockerfile", "FROM scratch AS made\nCOPY bin /bin\nRUN echo made > /made\nRUN echo more > /more\nFROM scratch\nCOPY --from=made /made /more /\n");
    project.tools("web/bin");
    project.repo.commit("Begin");
    project
}

/// A daemon that has nothing yet.
fn fresh(test: &str, name: &str) -> Option<Daemon> {
    match Daemon::start("buildkit", name, &[]) {
        Ok(daemon) => Some(daemon),
        Err(why) => {
            left_out(test, &why);
            None
        }
    }
}

fn address(daemon: &Daemon) -> String {
    format!("unix://{}", daemon.socket.display())
}

/// How many instructions came from the engine's cache, as a run tells it.
fn cached(told: &str) -> &str {
    let line = told.lines().find(|line| line.contains("from its cache")).unwrap_or_else(|| panic!("{told}"));
    line.rsplit_once(": ").unwrap().1
}

#[test]
fn a_directory_keeps_layers_for_an_engine_that_has_none() {
    const TEST: &str = "caches in directories";
    let (Some(first), Some(second)) = (fresh(TEST, "cache-a"), fresh(TEST, "cache-b")) else { return };
    let project = project(&address(&first), "cache local=\"../layers\"");
    project.repo.write("release.kdl", project.repo.read("release.kdl").replace("../layers", ".layers"));
    project.repo.write(".gitignore", "/dist/\n/.hoist/\n/.layers/\n");
    let told = project.release();
    assert!(cached(&told).starts_with("0 of 4"), "{told}");
    let image = Published::read(&project, "dist/web");
    let layers = project.repo.path().join(".layers");
    let blobs = || fs::read_dir(layers.join("blobs/sha256")).unwrap().filter_map(Result::ok).count();
    let held = blobs();
    assert!(held > 3, "layers, a configuration, and a manifest");
    assert!(project.repo.read(".layers/index.json").contains("\"latest\""));

    // Another engine, and a hoist that knows nothing.
    assert_eq!(project.hoist(&["clean", "--cache"]).code, 0);
    let project = Project { engine: address(&second), ..project };
    let told = project.release();
    assert!(cached(&told).starts_with("4 of 4"), "{told}");
    assert_eq!(Published::read(&project, "dist/web").digest, image.digest);

    // What is not needed any more does not stay.
    project.repo.write("web/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    project.release();
    assert!(blobs() < held, "{} {held}", blobs());
    // What is no cache is told, and left alone.
    fs::remove_dir_all(&layers).unwrap();
    fs::write(&layers, "mine").unwrap();
    says(&project.hoist(&["run", "web", "--force"]), 1, &[".layers"]);
    assert_eq!(fs::read_to_string(&layers).unwrap(), "mine");
}

#[test]
fn a_registry_keeps_layers_for_an_engine_that_has_none() {
    const TEST: &str = "caches in registries";
    if !installed(TEST, &["docker-registry"]) {
        return;
    }
    let (Some(first), Some(second)) = (fresh(TEST, "cache-c"), fresh(TEST, "cache-d")) else { return };
    let keeper = Repo::new();
    let registry = Registry::start(&keeper);
    let cache = format!("cache registry=\"127.0.0.1:{}/layers:cache\" mode=\"max\"", registry.port);
    let project = project(&address(&first), &cache);
    let told = project.release();
    assert!(cached(&told).starts_with("0 of 4"), "{told}");
    let image = Published::read(&project, "dist/web");
    assert_eq!(project.hoist(&["clean", "--cache"]).code, 0);
    let project = Project { engine: address(&second), ..project };
    let told = project.release();
    assert!(cached(&told).starts_with("4 of 4"), "{told}");
    assert_eq!(Published::read(&project, "dist/web").digest, image.digest);
    // A registry that is gone is no reason not to build.
    drop(registry);
    project.repo.write("web/new", "1");
    says(&project.hoist(&["run", "web", "--no-cache"]), 0, &[]);
}

#[test]
fn an_image_keeps_the_layers_that_it_is_made_of_and_stays_what_it_is() {
    const TEST: &str = "caches in images";
    if !installed(TEST, &["docker-registry"]) {
        return;
    }
    let (Some(first), Some(second)) = (fresh(TEST, "cache-e"), fresh(TEST, "cache-f")) else { return };
    let keeper = Repo::new();
    let registry = Registry::start(&keeper);
    let place = format!("127.0.0.1:{}/team", registry.port);
    let cache = format!("cache inline=#true; cache registry=\"{place}/web:dev\"");
    let project = project(&address(&first), &cache);
    // What was built is not found as a whole.
    let text = project.repo.read("release.kdl").replace("oci:dist", &place);
    project.repo.write("release.kdl", format!("{text}cache registry=#false\n"));
    project.repo.write("web/Dockerfile", "FROM scratch\nCOPY bin /bin\nRUN echo made > /made\n");
    let told = project.release();
    assert!(cached(&told).starts_with("0 of 2"), "{told}");
    let image = digest_of(registry.port, "web:dev");
    assert_ne!(image, "none");
    assert_eq!(project.hoist(&["clean", "--cache"]).code, 0);
    let project = Project { engine: address(&second), ..project };
    let told = project.release();
    assert!(cached(&told).starts_with("2 of 2"), "{told}");
    assert_eq!(digest_of(registry.port, "web:dev"), image);
}

#[test]
fn an_image_that_is_to_keep_its_layers_is_made_again() {
    let Some(socket) = daemons::buildkit("images that are to keep their layers") else { return };
    let project = project(&format!("unix://{}", socket.display()), "");
    project.release();
    let is_kept = || Published::read(&project, "dist/web").config.get("moby.buildkit.cache.v0").is_some();
    assert!(!is_kept());
    let text = project.repo.read("release.kdl");
    project.repo.write("release.kdl", text.replace("{  }", "{ cache inline=#true; }"));
    let why = project.hoist(&["why", "web:build*"]).stdout;
    assert!(why.contains("cache inline"), "{why}");
    project.release();
    assert!(is_kept());
}

#[test]
fn the_network_of_the_machine_is_given_where_the_engine_allows_it() {
    const TEST: &str = "the network of the machine";
    let Some(socket) = daemons::buildkit(TEST) else { return };
    let project = project(&format!("unix://{}", socket.display()), "");
    let text = project.repo.read("release.kdl");
    project.repo.write("release.kdl", text.replace("context=", "network=\"host\" context="));
    project.release();
    let Ok(strict) = Daemon::start("buildkit", "strict", &["--config", "/dev/null"]) else { return };
    let project = Project { engine: address(&strict), ..project };
    says(&project.hoist(&["run", "web", "--force"]), 1, &["hoist::engine::build_failed", "network.host"]);
}

#[test]
fn an_engine_behind_ssh_is_reached_by_its_own_client_where_docker_is_not_there() {
    const TEST: &str = "BuildKit behind ssh";
    if !rustix::process::geteuid().is_root() || !installed(TEST, &["ssh", "ssh-keygen", "buildctl"]) {
        return;
    }
    let Some(socket) = daemons::buildkit(TEST) else { return };
    let keys = Repo::new();
    let programs = keys.path().join("programs");
    fs::create_dir_all(&programs).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let found = |name: &str| std::env::split_paths(&path).map(|at| at.join(name)).find(|path| path.exists());
    for name in ["sh", "buildctl"] {
        symlink(found(name).unwrap_or_else(|| PathBuf::from(name)), programs.join(name)).unwrap();
    }
    let settings = format!("SetEnv PATH={}\n", programs.display());
    let ssh = match Ssh::start(keys.path().join("ssh"), &settings) {
        Ok(ssh) => ssh,
        Err(why) => return left_out(TEST, &why),
    };
    let project = project("unix:///nowhere", "");
    let builder = |address: &str| {
        let platform = hoist::oci::Platform::host();
        let text = project.repo.read("release.kdl");
        let text = text.split("builder ").next().unwrap_or_default().to_owned();
        project
            .repo
            .write("release.kdl", format!("{text}builder \"far\" \"{address}\" platforms=\"{platform}\"\n"));
        project.hoist_with(&["release", "--yes", "--allow-dirty"], &[("PATH", &ssh.path())])
    };
    says(&builder(&format!("ssh://root@127.0.0.1:{}{}", ssh.port, socket.display())), 0, &["BuildKit"]);
    assert_eq!(Published::read(&project, "dist/web").file("more"), "more\n");
    project.repo.write("web/new", "1");
    says(&builder("ssh://engine/nowhere/buildkitd.sock"), 3, &["hoist::engine::no_engine", "builder `far`"]);
}
