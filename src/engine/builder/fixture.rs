//! Daemons of Docker and Podman for tests, shared by all tests of a process.
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
        exec dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" \
            --host "unix://$1/socket" --storage-driver "$3" --log-level error ;;
    podman)
        # What containers inherit, older kernels and small machines do not grant.
        printf '[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\n[containers]\n%s\n' \
            'default_ulimits=["nofile=1024:1024","nproc=1024:1024"]' > "$1/containers.conf"
        printf '[[registry]]\nlocation="127.0.0.1"\ninsecure=true\n' > "$1/registries.conf"
        export CONTAINERS_CONF="$1/containers.conf" CONTAINERS_REGISTRIES_CONF="$1/registries.conf"
        exec podman --root "$1/data" --runroot "$1/exec" --storage-driver "$3" \
            system service --time=0 "unix://$1/socket" ;;
    esac
}
start "$@" > "$1/log" 2>&1 < /dev/null &
daemon=$!
cat > /dev/null
kill $daemon
wait $daemon
umount "$1"/exec/netns/* "$1"/data/overlay*/*/merged "$1"/data/overlay 2> /dev/null
rm -rf "$1"
"#;

type Daemon = Result<(PathBuf, Mutex<Child>), String>;

/// The socket of a Docker daemon that runs as long as this process, or nothing and word
/// of the test that is left out. Where all tests are asked for, a daemon that is missing
/// is a failure.
pub(crate) fn docker(test: &str) -> Option<PathBuf> {
    static DAEMON: OnceLock<Daemon> = OnceLock::new();
    running(test, "dockerd", DAEMON.get_or_init(|| start("docker", &["overlay2", "vfs"])))
}

/// As [`docker`], of a service of Podman.
pub(crate) fn podman(test: &str) -> Option<PathBuf> {
    static DAEMON: OnceLock<Daemon> = OnceLock::new();
    running(test, "podman", DAEMON.get_or_init(|| start("podman", &["overlay", "vfs"])))
}

fn running(test: &str, program: &str, daemon: &Daemon) -> Option<PathBuf> {
    match daemon {
        Ok((socket, _)) => Some(socket.clone()),
        Err(why) => {
            assert!(std::env::var_os("HOIST_TEST_REQUIRE").is_none(), "{test} needs `{program}`: {why}");
            // Not captured, unlike what the macros print.
            let _ = writeln!(std::io::stderr(), "left out: {test} (`{program}` does not run: {why})");
            None
        }
    }
}

/// Starts a daemon that keeps what it has in the first of these ways that the machine
/// carries.
fn start(kind: &str, drivers: &[&str]) -> Daemon {
    let directory = std::env::temp_dir().join(format!("hoist-test-{kind}-{}", std::process::id()));
    let mut why = String::new();
    for driver in drivers {
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&directory).args([kind, driver]);
        // A Ctrl-C ends the tests, and by that the keeper.
        keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keeper = keeper.spawn().map_err(|error| error.to_string())?;
        let (socket, log) = (directory.join("socket"), directory.join("log"));
        let since = Instant::now();
        while since.elapsed() < STARTING {
            if UnixStream::connect(&socket).is_ok() {
                return Ok((socket, Mutex::new(keeper)));
            }
            why = std::fs::read_to_string(&log).unwrap_or_default();
            if ["failed to start", "not found", "Error:"].iter().any(|word| why.contains(word)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(keeper.stdin.take());
        let _ = keeper.wait();
    }
    Err(why)
}
