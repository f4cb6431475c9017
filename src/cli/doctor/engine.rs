//! Whether docker or podman answer.

use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::doctor::{good, warn};
use crate::cli::place::Places;
use crate::cli::session::Session;
use crate::config::Recipe;
use crate::report::Check;

/// How long the service of an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the service of an engine is.
enum Address {
    Socket(PathBuf),
    /// `HOST:PORT`.
    Network(String),
    /// Where it cannot be asked without more: an address, and why.
    Elsewhere(String, &'static str),
}

/// Services of docker and podman. Without a Dockerfile nothing needs them.
pub(super) fn checks(session: &Session, places: &Places) -> Vec<Check> {
    let recipes = places.known.iter().flat_map(|(loaded, _)| loaded.release.images.values());
    let needed = recipes.map(|image| &image.recipe).any(|recipe| !matches!(recipe, Recipe::Assemble(_)));
    let variable = |name: &str| session.host.environment.text(name).filter(|value| !value.is_empty());
    let docker = match variable("DOCKER_HOST") {
        Some(named) => address(named),
        None => Address::Socket(PathBuf::from("/var/run/docker.sock")),
    };
    let own = variable("XDG_RUNTIME_DIR").map(|runtime| Path::new(runtime).join("podman/podman.sock"));
    let podman = own.into_iter().chain([PathBuf::from("/run/podman/podman.sock")]);
    let podman = podman.map(Address::Socket).collect();
    let all = [engine("docker", vec![docker]), engine("podman", podman)];
    if needed && all.iter().all(Result::is_err) {
        let help = "Dockerfiles are built by docker or podman: start one of them";
        return all.into_iter().filter_map(Result::err).map(|(name, why)| warn(name, why, help)).collect();
    }
    let not_needed = |(name, why): (&str, String)| {
        let rest = if needed { "" } else { ", not needed" };
        good(name, format!("{why}{rest}"))
    };
    all.into_iter().map(|engine| engine.unwrap_or_else(not_needed)).collect()
}

/// What `DOCKER_HOST` names (Docker's command line, "Environment variables").
fn address(named: &str) -> Address {
    // A user may stand before the host, and what stands behind it may be a secret.
    let shown = match named.split_once('@') {
        Some((user, host)) if user.rfind(':') > user.find("//") => {
            format!("{}@{host}", &user[..user.rfind(':').unwrap_or_default()])
        }
        _ => named.to_owned(),
    };
    match named.split_once("://") {
        Some(("unix", path)) => Address::Socket(PathBuf::from(path)),
        Some(("tcp" | "http", host)) => {
            let host = host.trim_end_matches('/');
            Address::Network(if host.contains(':') { host.to_owned() } else { format!("{host}:2375") })
        }
        Some(("ssh", _)) => Address::Elsewhere(shown, "it is reached through ssh, which is not tried here"),
        _ => Address::Elsewhere(shown, "that is no address of an engine"),
    }
}

/// An engine that answers at one of these addresses; or its name, and why it does not.
fn engine(name: &'static str, addresses: Vec<Address>) -> Result<Check, (&'static str, String)> {
    let mut why = Vec::new();
    for address in addresses {
        let (shown, answered) = match address {
            Address::Socket(path) => (path.display().to_string(), connect(&path).and_then(ping)),
            Address::Network(host) => {
                let answered = dial(&host).and_then(ping);
                (host, answered)
            }
            Address::Elsewhere(shown, what) => {
                why.push(format!("{shown}: {what}"));
                continue;
            }
        };
        match answered {
            Ok(()) => return Ok(good(name, format!("answers at {shown}"))),
            Err(error) if error.kind() == ErrorKind::NotFound => why.push(format!("none at {shown}")),
            Err(error) => why.push(format!("{shown}: {error}")),
        }
    }
    Err((name, why.join("; ")))
}

fn connect(socket: &Path) -> IoResult<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn dial(host: &str) -> IoResult<TcpStream> {
    let mut last = Error::new(ErrorKind::NotFound, "the host has no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether an engine's service answers (`GET /_ping`, Docker Engine API).
fn ping(mut stream: impl Read + Write) -> IoResult<()> {
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    if read.is_ok() && answer.ends_with(b" 200") {
        return Ok(());
    }
    let what = "something is there, but does not answer as an engine without TLS";
    Err(Error::other(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_docker_host_is_understood() {
        let found = |named: &str| match address(named) {
            Address::Socket(path) => format!("socket {}", path.display()),
            Address::Network(host) => format!("network {host}"),
            Address::Elsewhere(shown, _) => format!("elsewhere {shown}"),
        };
        assert_eq!(found("unix:///run/docker.sock"), "socket /run/docker.sock");
        assert_eq!(found("tcp://build:2376/"), "network build:2376");
        assert_eq!(found("tcp://build"), "network build:2375");
        assert_eq!(found("ssh://ci@arm-1"), "elsewhere ssh://ci@arm-1");
        assert_eq!(found("ssh://ci:s3cret@arm-1:22"), "elsewhere ssh://ci@arm-1:22");
        assert_eq!(found("nonsense"), "elsewhere nonsense");
    }
}
