//! Daemons of Docker, Podman, and BuildKit for tests, shared by all tests of a process.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long a daemon may take until it answers.
const STARTING: Duration = Duration::from_mins(1);

/// Ends a daemon and removes all that it has when the test's process goes away,
/// however it does: then the standard input ends.
const KEEPER: &str = r#"
umask 022
start() {
    case $2 in
    docker)
        engine=$1 driver=$3
        shift 3
        exec dockerd --data-root "$engine/data" --exec-root "$engine/exec" --pidfile "$engine/pid" \
            --host "unix://$engine/socket" --storage-driver "$driver" --log-level error "$@" ;;
    podman)
        # What containers inherit, older kernels and small machines do not grant.
        printf '[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\n[containers]\n%s\n' \
            'default_ulimits=["nofile=1024:1024","nproc=1024:1024"]' > "$1/containers.conf"
        printf '[[registry]]\nlocation="127.0.0.1"\ninsecure=true\n' > "$1/registries.conf"
        export CONTAINERS_CONF="$1/containers.conf" CONTAINERS_REGISTRIES_CONF="$1/registries.conf"
        exec podman --root "$1/data" --runroot "$1/exec" --storage-driver "$3" \
            system service --time=0 "unix://$1/socket" ;;
    buildkit)
        engine=$1 driver=$3
        shift 3
        printf 'insecure-entitlements = ["network.host"]\n' > "$engine/buildkitd.toml"
        exec buildkitd --config "$engine/buildkitd.toml" --root "$engine/data" --addr "unix://$engine/socket" \
            --oci-worker true --containerd-worker false --oci-worker-snapshotter "$driver" "$@" ;;
    esac
}
[ -z "$DISK" ] || { mkdir "$1/data" && mount -t tmpfs -o "size=$DISK" tmpfs "$1/data" || exit 1; }
start "$@" > "$1/log" 2>&1 < /dev/null &
daemon=$!
echo $daemon > "$1/daemon"
cat > /dev/null
kill $daemon
wait $daemon
umount "$1"/exec/netns/* "$1"/data/overlay*/*/merged "$1"/data/overlay 2> /dev/null
[ -z "$DISK" ] || umount "$1/data"
rm -rf "$1"
"#;

type Shared = Result<Mutex<Daemon>, String>;

/// A daemon, which ends when this is dropped or the process ends.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    keeper: Child,
}

impl Daemon {
    /// Starts one of a test's own: `docker` or `buildkit` with further arguments, or
    /// `podman`. It keeps what it has in the first way that the machine carries.
    pub(crate) fn start(kind: &str, name: &str, more: &[&str]) -> Result<Self, String> {
        Self::start_with(kind, name, more, "")
    }

    /// As [`start`](Self::start), with a disk of this size alone, such as `64m`.
    pub(crate) fn start_with(kind: &str, name: &str, more: &[&str], disk: &str) -> Result<Self, String> {
        let drivers = match kind {
            "docker" => ["overlay2", "vfs"],
            "buildkit" => ["overlayfs", "native"],
            _ => ["overlay", "vfs"],
        };
        start(kind, &drivers, name, more, disk)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The socket of a Docker daemon that runs as long as this process, or nothing and word
/// of the test that is left out. Where all tests are asked for, a daemon that is missing
/// is a failure.
pub(crate) fn docker(test: &str) -> Option<PathBuf> {
    static DAEMON: OnceLock<Shared> = OnceLock::new();
    running(test, "docker", &DAEMON)
}

/// As [`docker`], of a service of Podman.
pub(crate) fn podman(test: &str) -> Option<PathBuf> {
    static DAEMON: OnceLock<Shared> = OnceLock::new();
    running(test, "podman", &DAEMON)
}

/// As [`docker`], of BuildKit's own daemon.
pub(crate) fn buildkit(test: &str) -> Option<PathBuf> {
    static DAEMON: OnceLock<Shared> = OnceLock::new();
    running(test, "buildkit", &DAEMON)
}

fn running(test: &str, kind: &str, shared: &OnceLock<Shared>) -> Option<PathBuf> {
    match shared.get_or_init(|| Daemon::start(kind, "shared", &[]).map(Mutex::new)) {
        Ok(daemon) => daemon.lock().ok().map(|daemon| daemon.socket.clone()),
        Err(why) => {
            assert!(std::env::var_os("HOIST_TEST_REQUIRE").is_none(), "{test} needs {kind}: {why}");
            // Not captured, unlike what the macros print.
            let _ = writeln!(std::io::stderr(), "left out: {test} ({kind} does not run: {why})");
            None
        }
    }
}

fn start(kind: &str, drivers: &[&str], name: &str, more: &[&str], disk: &str) -> Result<Daemon, String> {
    let directory = std::env::temp_dir().join(format!("hoist-test-{kind}-{}-{name}", std::process::id()));
    let mut why = String::new();
    for driver in drivers {
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(&directory)
            .args([kind, driver])
            .args(more)
            .env("DISK", disk);
        // A Ctrl-C ends the tests, and by that the keeper.
        keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = keeper.spawn().map_err(|error| error.to_string())?;
        let daemon = Daemon { socket: directory.join("socket"), keeper };
        let since = Instant::now();
        while since.elapsed() < STARTING {
            if UnixStream::connect(&daemon.socket).is_ok() {
                return Ok(daemon);
            }
            why = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            if ["failed to start", "not found", "Error:"].iter().any(|word| why.contains(word)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Err(why)
}
