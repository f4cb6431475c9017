//! An image of a Dockerfile, built by engines that the bench starts, and by their own
//! commands.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Bench;
use crate::daemons::Daemon;
use crate::directory;
use crate::image;
use crate::measure::{Contender, in_turns, run};
use crate::table::{against, left_out};

/// Forgets what hoist knows.
fn forget(root: &Path) {
    for known in [".hoist", "cache"] {
        let _not_there = fs::remove_dir_all(root.join(known));
    }
}

/// Calls the shell, whatever comes of it.
fn call(root: &Path, script: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(root).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// An engine, and how its own command is asked for the same.
struct Rival {
    daemon: Daemon,
    /// Begins a call of its own command.
    command: String,
    /// Forgets what it has.
    prune: String,
    /// The kinds of builds, each with what it is called.
    builds: Vec<(&'static str, String)>,
}

impl Rival {
    fn docker() -> Result<Self, String> {
        let daemon = Daemon::start("docker", "bench", &[])?;
        let command = format!("DOCKER_HOST=unix://{} docker", daemon.socket.display());
        let prune = format!(
            "{command} system prune --all --force; curl --silent --request POST --unix-socket {} \
             'http://docker/v1.41/build/prune?all=1'",
            daemon.socket.display()
        );
        let classic = format!("DOCKER_BUILDKIT=0 {command} build --quiet --tag bench --file Containerfile .");
        let by_plugin = format!("{command} buildx build --quiet --tag bench --file Containerfile .");
        let builds = vec![("docker build, without BuildKit", classic), ("docker buildx build", by_plugin)];
        Ok(Self { daemon, command, prune, builds })
    }

    fn podman() -> Result<Self, String> {
        let daemon = Daemon::start("podman", "bench", &[])?;
        let at = daemon.socket.parent().map(|at| at.display().to_string()).unwrap_or_default();
        let driver = if Path::new(&at).join("data/vfs").exists() { "vfs" } else { "overlay" };
        let command = format!(
            "CONTAINERS_CONF={at}/containers.conf podman --root {at}/data --runroot {at}/exec --storage-driver {driver}"
        );
        let prune = format!("{command} system prune --all --force");
        let build = format!("{command} build --quiet --tag bench --file Containerfile .");
        Ok(Self { daemon, command, prune, builds: vec![("podman build", build)] })
    }

    fn address(&self) -> String {
        format!("unix://{}", self.daemon.socket.display())
    }
}

impl Bench {
    /// A context of small files and a large one, by engine.
    pub(crate) fn engine(&self, files: usize) {
        for (kind, rival) in [("docker", Rival::docker()), ("podman", Rival::podman())] {
            match rival {
                Ok(rival) => self.engine_of(kind, &rival, files),
                Err(why) => {
                    left_out(&format!("Dockerfile by {kind}"), why.lines().last().unwrap_or_default());
                }
            }
        }
    }

    fn engine_of(&self, kind: &str, rival: &Rival, files: usize) {
        let directory = directory();
        let root = directory.path();
        image::write(root, files);
        fs::write(root.join(".dockerignore"), "*\n!data\n").expect("a file can be written");
        let text = format!(
            "builder \"it\" \"{}\"\ndefault \"web\"\nimage \"web\" {{ dockerfile \"Containerfile\"; }}\n",
            rival.address()
        );
        fs::write(root.join("release.kdl"), text).expect("a file can be written");
        let what = format!("Dockerfile with {files} files and one of 200 MB, by {kind}");
        let cold = |_| {
            forget(root);
            call(root, &rival.prune);
        };
        let hoist = || self.hoist(&["run", "--quiet"]);
        let mut others = Vec::new();
        for (name, script) in &rival.builds {
            if !call(root, script) {
                left_out(&format!("{what}, beside {name}"), "it does not run");
                continue;
            }
            others.push(Contender::new(name, &["sh", "-c", script]).before(cold));
            let save = format!("{script} && {} save bench | pigz -p2 > saved", rival.command);
            if call(root, &save) {
                others.push(
                    Contender {
                        name: "the same, and `save | pigz`",
                        ..Contender::new("", &["sh", "-c", &save])
                    }
                    .before(cold),
                );
            }
        }
        self.compare(
            &directory,
            &format!("{what}, cold"),
            "≤ 1.1 × its own command",
            hoist().before(cold),
            others,
        );

        run(root, &hoist().line);
        let nothing = in_turns(root, self.rounds, &[hoist()]).remove(0);
        against(&format!("{what}, nothing changed"), &nothing, "", Duration::from_millis(50), "≤ 50 ms");
    }

    /// Two platforms, each by a builder of its own; what they do takes time, and nothing
    /// of this machine.
    pub(crate) fn builders(&self, seconds: usize) {
        let what = format!("two platforms, `RUN sleep {seconds}`, two builders");
        let daemons = (Daemon::start("buildkit", "first", &[]), Daemon::start("buildkit", "second", &[]));
        let (Ok(first), Ok(second)) = daemons else {
            return left_out(&what, "`buildkitd` does not run: `tests/buildkitd` builds it");
        };
        let directory = directory();
        let root = directory.path();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let busybox = std::env::split_paths(&path).map(|at| at.join("busybox")).find(|path| path.is_file());
        let Some(busybox) = busybox else { return left_out(&what, "busybox is not installed") };
        fs::copy(busybox, root.join("busybox")).expect("a file can be copied");
        let text = format!("FROM scratch\nCOPY busybox /\nRUN [\"/busybox\", \"sleep\", \"{seconds}\"]\n");
        fs::write(root.join("Dockerfile"), text).expect("a file can be written");
        let declare = |platforms: &str| {
            forget(root);
            let text = format!(
                "builder \"a\" \"unix://{}\" platforms=\"linux/amd64\"\n\
                 builder \"b\" \"unix://{}\" platforms=\"linux/arm64\"\n\
                 default \"web\"\nimage \"web\" {{ dockerfile; platforms {platforms}; }}\n",
                first.socket.display(),
                second.socket.display()
            );
            fs::write(root.join("release.kdl"), text).expect("a file can be written");
        };
        let hoist = |platforms: &'static str| {
            let contender = self.hoist(&["run", "--quiet", "--no-cache"]);
            contender.before(move |_| declare(platforms))
        };
        let single = |name, platforms| Contender { name, ..hoist(platforms) };
        let singles = [
            single("hoist, the first alone", "\"linux/amd64\""),
            single("hoist, the second alone", "\"linux/arm64\""),
        ];
        self.compare(
            &directory,
            &what,
            "≤ 1.15 × the slower",
            hoist("\"linux/amd64\" \"linux/arm64\""),
            singles,
        );
    }
}
