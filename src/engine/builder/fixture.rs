//! A Docker daemon for tests, shared by all tests of a process.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long a daemon may take until it answers.
const STARTING: Duration = Duration::from_mins(1);

/// Ends the daemon and removes all that it has when the test's process goes away,
/// however it does: then the standard input ends.
const KEEPER: &str = r#"
dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" --host "unix://$1/docker.sock" \
    --storage-driver "$2" --log-level error > "$1/log" 2>&1 < /dev/null &
daemon=$!
cat > /dev/null
kill $daemon
wait $daemon
umount "$1"/exec/netns/* "$1"/data/overlay2/*/merged 2> /dev/null
rm -rf "$1"
"#;

/// The socket of a daemon that runs as long as this process, or nothing and word of the
/// test that is left out. Where all tests are asked for, a daemon that is missing is a
/// failure.
pub(crate) fn docker(test: &str) -> Option<PathBuf> {
    static DAEMON: OnceLock<Result<(PathBuf, Mutex<Child>), String>> = OnceLock::new();
    match DAEMON.get_or_init(start) {
        Ok((socket, _)) => Some(socket.clone()),
        Err(why) => {
            assert!(std::env::var_os("HOIST_TEST_REQUIRE").is_none(), "{test} needs `dockerd`: {why}");
            // Not captured, unlike what the macros print.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("left out: {test} (there is no `dockerd`: {why})\n"),
            );
            None
        }
    }
}

fn start() -> Result<(PathBuf, Mutex<Child>), String> {
    let directory = std::env::temp_dir().join(format!("hoist-test-dockerd-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let mut why = String::new();
    // Not every file system carries an overlay.
    for driver in ["overlay2", "vfs"] {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&directory).arg(driver);
        // A Ctrl-C ends the tests, and by that the keeper.
        keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keeper = keeper.spawn().map_err(|error| error.to_string())?;
        let socket = directory.join("docker.sock");
        let since = Instant::now();
        while since.elapsed() < STARTING {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return Ok((socket, Mutex::new(keeper)));
            }
            let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            if log.contains("failed to start") || log.contains("not found") {
                why = log;
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(keeper.stdin.take());
        let _ = keeper.wait();
        let _ = std::fs::create_dir_all(&directory);
    }
    Err(why)
}
