//! A service of Podman that is started for a run.
#![expect(clippy::disallowed_methods, reason = "engines are programs, too")]

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::config::Address;
use crate::engine::builder::engine::Engine;
use crate::engine::builder::error::{EngineError, chain};

/// How long it may take until the service answers.
const STARTING: Duration = Duration::from_secs(20);
/// How often it is asked.
const TICK: Duration = Duration::from_millis(20);

/// Starts the service in the directory `$1`. Once nobody holds the other end of the standard
/// input, as hoist does however it ends, the service is ended, and the directory removed.
const START: &str = r#"
exec 3<&0 < /dev/null
{ read -r _ <&3; kill $$; rm -rf "$1"; } 2> /dev/null &
exec 3<&- podman system service --time=3600 "unix://$1/podman.sock"
"#;
/// The status of a shell that finds no program.
const NOT_FOUND: i32 = 127;

/// A service that ends when this is dropped.
pub(super) struct PodmanService {
    _process: Child,
    _directory: TempDir,
}

impl PodmanService {
    /// Starts one, and connects to it.
    ///
    /// # Errors
    /// There is no Podman, or it does not start: its last words.
    pub(super) async fn start() -> Result<(Self, Engine), EngineError> {
        let failed = |error: std::io::Error| EngineError::Unreachable(chain(&error));
        let directory = tempfile::Builder::new().prefix("hoist-podman-").tempdir().map_err(failed)?;
        let socket = directory.path().join("podman.sock");
        let log = directory.path().join("log");
        let mut process = Command::new("/bin/sh")
            .args(["-c", START, "sh"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).map_err(failed)?)
            // Ctrl-C is hoist's to hear.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let address = Address::Unix(socket);
        let since = Instant::now();
        loop {
            match Engine::connect(&address, None).await {
                Ok(engine) => return Ok((Self { _process: process, _directory: directory }, engine)),
                Err(error) if since.elapsed() > STARTING => return Err(error),
                Err(_) => {}
            }
            if let Ok(Some(status)) = process.try_wait() {
                if status.code() == Some(NOT_FOUND) {
                    return Err(EngineError::Unreachable("`podman` is not installed".to_owned()));
                }
                let words = std::fs::read_to_string(&log).unwrap_or_default();
                let last = words.lines().last().unwrap_or_default();
                return Err(EngineError::Unreachable(format!("`podman system service`: {status}: {last}")));
            }
            sleep(TICK).await;
        }
    }
}
