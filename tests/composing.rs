//! Stages whose services run for real: `docker compose` and docker-compose before a Docker
//! daemon, podman-compose before Podman.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::daemons;
use crate::engines::busybox;
use crate::fixture::{Repo, done, installed, left_out, refused};
use crate::registry::{Registry, digest_of};

/// A service that needs no network.
const ALONE: &str = "    network_mode: none\n";

/// A project whose only service runs at an engine.
struct World {
    name: &'static str,
    repo: Repo,
    registry: Registry,
    /// What hoist and compose are called with.
    environment: Vec<(&'static str, String)>,
    /// The client of the engine, with what it is to be called with.
    engine: Vec<String>,
}

impl World {
    /// With containers of this name, since tests share daemons, and a service of which
    /// this is said, too.
    fn new(
        name: &'static str,
        service: &str,
        engine: &[&str],
        environment: impl FnOnce(&Repo) -> Vec<(&'static str, String)>,
    ) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n/bin\n/docker\n/containers\n");
        let registry = Registry::start(&repo);
        repo.write_program("busybox", busybox());
        let port = registry.port;
        let release = format!(
            r#"project "composed"
registry "prod" "127.0.0.1:{port}/team" insecure=#true
image "web" {{
    assemble from="scratch" {{
        layer {{ copy "busybox" "/busybox"; copy "content" "/content"; }}
        entrypoint "/busybox" "sh" "-c" "trap 'exit 0' TERM; /busybox sleep 1000 & wait"
    }}
    tags {{ latest; semver "{{version}}"; }}
    push "prod"
}}
stage "production" {{
    on tag="v*"
    deploy "compose" {{ file "compose.yaml"; }}
    verify within="1s" {{ run "./works"; }}
}}
"#
        );
        repo.write("release.kdl", release);
        repo.write(
            "compose.yaml",
            format!("services:\n  web:\n    image: 127.0.0.1:{port}/team/web:latest\n{service}"),
        );
        let client = engine.join(" ");
        let works = format!(
            "#!/bin/sh\n! {client} exec $({client} ps -q -f name={name}.web) /busybox grep broken /content\n"
        );
        repo.write_program("works", works);
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        let engine = engine.iter().map(|word| (*word).to_owned()).collect();
        let mut environment = environment(&repo);
        environment.push(("COMPOSE_PROJECT_NAME", name.to_owned()));
        Self { name, repo, registry, environment, engine }
    }

    fn hoist(&self, arguments: &[&str]) -> crate::fixture::Ended {
        let environment = self.environment.iter().map(|(name, value)| (*name, value.as_str()));
        self.repo.hoist_with(arguments, &environment.collect::<Vec<_>>())
    }

    fn ship(&self, content: &str, version: &str) -> crate::fixture::Ended {
        self.repo.write("content", content);
        self.repo.commit(content);
        self.repo.git(&["tag", version]);
        self.hoist(&["release", "--yes", "--event", &format!("tag={version}")])
    }

    /// What the engine says.
    fn ask(&self, words: &[&str]) -> String {
        let (client, first) = self.engine.split_first().unwrap();
        let mut command = Command::new(client);
        let output = command.args(first).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The containers of the service that run, or all.
    fn containers(&self, which: &[&str]) -> String {
        let filter = format!("name={}.web", self.name);
        self.ask(&[&["ps", "--quiet", "--filter", &filter], which].concat())
    }

    /// What the service runs.
    fn content(&self) -> String {
        let running = self.containers(&[]);
        assert_eq!(running.lines().count(), 1, "one container runs: {running}");
        self.ask(&["exec", &running, "/busybox", "cat", "/content"])
    }

    /// The image that the service was started with.
    fn image(&self) -> String {
        self.ask(&["inspect", "--format", "{{.Config.Image}}", &self.containers(&[])])
    }

    /// A version, another one, back, and one that does not work.
    fn goes_forth_and_back(&self) {
        done(&self.ship("one", "v1.0.0"));
        assert_eq!(self.content(), "one");
        let digest = digest_of(self.registry.port, "web:1.0.0");
        assert_eq!(self.image(), format!("127.0.0.1:{}/team/web@{digest}", self.registry.port));
        done(&self.ship("two", "v1.1.0"));
        assert_eq!(self.content(), "two");
        done(&self.hoist(&["rollback", "production", "--yes"]));
        assert_eq!(self.content(), "one");
        done(&self.hoist(&["release", "--yes", "--lift-hold", "--event", "tag=v1.1.0"]));
        assert_eq!(self.content(), "two");
        refused(&self.ship("broken", "v1.2.0"), 4, &["production"]);
        assert_eq!(self.content(), "two");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for container in self.containers(&["--all"]).lines() {
            self.ask(&["rm", "--force", container]);
        }
    }
}

/// A `PATH` that leads to all that is installed, but for these programs.
fn path_without(repo: &Repo, hidden: &[&str]) -> (&'static str, String) {
    let bin = repo.path().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    for directory in std::env::split_paths(&path).filter_map(|directory| directory.read_dir().ok()) {
        for entry in directory.map(Result::unwrap) {
            let is_hidden = hidden.iter().any(|name| entry.file_name() == *name);
            let link = bin.join(entry.file_name());
            if !is_hidden && link.symlink_metadata().is_err() {
                symlink(entry.path(), link).unwrap();
            }
        }
    }
    ("PATH", bin.display().to_string())
}

/// Where a program is.
fn found(name: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|directory| directory.join(name));
    places.find(|place| place.is_file()).expect("it is installed").display().to_string()
}

fn host(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

#[test]
fn the_plugin_of_docker_runs_services_by_digest_and_goes_back() {
    let what = "services of `docker compose`";
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/verifiers/bin/docker-compose");
    if !plugin.is_file() {
        return left_out(what, "`tests/verifiers target/verifiers` was not run");
    }
    let needed = ["docker", "docker-registry", "skopeo", "busybox"];
    let Some(socket) = daemons::docker(what).filter(|_| installed(what, &needed)) else { return };
    let world = World::new("plugin", ALONE, &[&found("docker"), "--host", &host(&socket)], |repo| {
        let plugins = repo.path().join("docker/cli-plugins");
        std::fs::create_dir_all(&plugins).unwrap();
        symlink(&plugin, plugins.join("docker-compose")).unwrap();
        let config = repo.path().join("docker").display().to_string();
        vec![("DOCKER_HOST", host(&socket)), ("DOCKER_CONFIG", config)]
    });
    world.goes_forth_and_back();
}

#[test]
fn docker_compose_of_its_own_runs_services_by_digest_and_goes_back() {
    let what = "services of docker-compose";
    let needed = ["docker", "docker-compose", "docker-registry", "skopeo", "busybox"];
    let Some(socket) = daemons::docker(what).filter(|_| installed(what, &needed)) else { return };
    let world = World::new("alone", ALONE, &[&found("docker"), "--host", &host(&socket)], |repo| {
        // There is no plugin.
        vec![("DOCKER_HOST", host(&socket)), path_without(repo, &["docker"])]
    });
    world.goes_forth_and_back();
}

#[test]
fn podman_compose_runs_services_by_digest_and_goes_back() {
    let what = "services of podman-compose";
    let needed = ["podman", "podman-compose", "docker-registry", "skopeo", "busybox"];
    let Some(socket) = daemons::podman(what).filter(|_| installed(what, &needed)) else { return };
    // Older ones call all after the directory, and join a network whatever is said.
    let world = World::new("project", "", &[&found("podman"), "--url", &host(&socket)], |repo| {
        let client = format!("#!/bin/sh\nexec {} --url {} \"$@\"\n", found("podman"), host(&socket));
        repo.write_program("bin/podman", client);
        vec![("DOCKER_HOST", host(&socket)), path_without(repo, &["docker", "docker-compose"])]
    });
    world.goes_forth_and_back();
}
