//! Where an engine listens.

use std::fmt;
use std::path::PathBuf;

/// Where an engine listens, as `DOCKER_HOST` and `builder` spell it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `unix:///run/docker.sock`.
    Unix(PathBuf),
    /// `tcp://host:port`.
    Tcp(String),
    /// `ssh://user@host:port`: the engine that `docker` reaches there.
    Ssh(Destination),
}

/// The other end of an ssh connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Who logs in; by default whom ssh's own configuration names.
    pub user: Option<String>,
    /// A host, or a name of ssh's own configuration.
    pub host: String,
    /// Its port; by default that of ssh's own configuration.
    pub port: Option<u16>,
    /// The socket there, if not the one that the client there uses.
    pub socket: Option<String>,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// A noun phrase that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) =
            text.split_once("://").ok_or("no scheme: `unix://`, `tcp://`, or `ssh://`".to_owned())?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err("a path that is not absolute".to_owned()),
            "tcp" => authority(rest.trim_end_matches('/')).map(Self::Tcp),
            "ssh" => destination(rest).map(Self::Ssh),
            _ => Err(format!("an unknown scheme `{scheme}`: `unix`, `tcp`, and `ssh` are known")),
        }
    }
}

/// `host:port`; docker's default port is 2375 without TLS and 2376 with it, and
/// guessing which would be worse than asking.
fn authority(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) if text.starts_with(':') => Err("no host".to_owned()),
        Some(Ok(_)) => Ok(text.to_owned()),
        Some(Err(_)) => Err("a port that is no number".to_owned()),
        None => Err("no port".to_owned()),
    }
}

fn destination(text: &str) -> Result<Destination, String> {
    let (place, socket) = match text.split_once('/') {
        Some((place, "")) => (place, None),
        Some((place, path)) => (place, Some(format!("/{path}"))),
        None => (text, None),
    };
    let (user, host) = match place.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, place),
    };
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| "a port that is no number".to_owned())?)),
        None => (host, None),
    };
    // What is after the user would be shown wherever the address is.
    if user.as_deref().is_some_and(|user| user.contains(':')) {
        return Err("a password: ssh has keys and an agent for that".to_owned());
    }
    // A host that began with `-` would be an option of ssh.
    let is_sound = |part: &str| !part.is_empty() && !part.starts_with('-');
    if !is_sound(host) || user.as_deref().is_some_and(|user| !is_sound(user)) {
        return Err("no host".to_owned());
    }
    // A shell at the other end reads it.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%,:=".contains(c);
    if socket.as_deref().is_some_and(|socket| !socket.chars().all(is_plain)) {
        return Err(
            "a path of a socket with other characters than letters, digits, and `/._-+@%,:=`".to_owned()
        );
    }
    Ok(Destination { user, host: host.to_owned(), port, socket })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
            Self::Ssh(Destination { user, host, port, socket }) => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                f.write_str(host)?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(socket.as_deref().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_it_was_written_as() {
        let sound = [
            "unix:///run/user/1000/podman/podman.sock",
            "tcp://10.0.0.1:2376",
            "ssh://arm-1",
            "ssh://ci@arm-1:2222",
            "ssh://ci@arm-1/run/user/1000/podman/podman.sock",
        ];
        for text in sound {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        let wrong = [
            ("/run/docker.sock", "no scheme: `unix://`, `tcp://`, or `ssh://`"),
            ("unix://docker.sock", "a path that is not absolute"),
            ("tcp://host", "no port"),
            ("tcp://host:http", "a port that is no number"),
            ("tcp://:2375", "no host"),
            ("ssh://", "no host"),
            ("ssh://ci:s3cret@arm-1", "a password: ssh has keys and an agent for that"),
            ("ssh://-oProxyCommand=x", "no host"),
            ("ssh://-l@host", "no host"),
            (
                "ssh://host/run/a;b",
                "a path of a socket with other characters than letters, digits, and `/._-+@%,:=`",
            ),
            ("npipe:////./pipe/docker", "an unknown scheme `npipe`: `unix`, `tcp`, and `ssh` are known"),
        ];
        for (text, why) in wrong {
            assert_eq!(Address::parse(text).unwrap_err(), why, "{text}");
        }
    }
}
