//! References (the grammar of `github.com/distribution/reference`).

use std::fmt;
use std::str::FromStr;

use crate::oci::{Digest, InvalidDigest, Tag};
use serde::{Deserialize, Serialize};

/// The host that names without a host belong to.
const DOCKER: &str = "docker.io";

/// The tag that is meant where none is given.
pub const LATEST: &str = "latest";

/// The name of a repository: a registry and a path in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RepositoryName {
    host: String,
    path: String,
}

impl RepositoryName {
    /// The registry, with its port if one is given: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path in the registry: `library/alpine`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Names an image: a repository, and a tag or a digest or both in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// Where.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Option<Tag>,
    /// The digest; with a tag, the digest decides.
    pub digest: Option<Digest>,
}

impl Reference {
    /// What the repository knows the image by: the digest, else the tag, else `latest`.
    #[must_use]
    pub fn name(&self) -> String {
        let digest = self.digest.as_ref().map(ToString::to_string);
        let name = digest.or_else(|| self.tag.as_ref().map(ToString::to_string));
        name.unwrap_or_else(|| LATEST.to_owned())
    }

    /// Whether it names neither a tag nor a digest: `latest` is meant.
    #[must_use]
    pub const fn is_bare(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }
}

/// What other tools write before the place of an image that lies in no registry.
const TRANSPORTS: [&str; 7] =
    ["docker-archive", "docker-daemon", "containers-storage", "oci-archive", "dir", "ostree", "sif"];

/// Why a text is not a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidReference {
    /// Nothing, or nothing before the tag.
    Empty,
    /// The host, or its port, is not well formed.
    Host,
    /// An upper-case letter in the path.
    UpperCase,
    /// Another character or separator that the path may not have.
    Path,
    /// More than 255 characters.
    TooLong,
    /// 64 hex digits: they would be taken for an image's id.
    Identifier,
    /// The part behind the last colon is no tag.
    Tag,
    /// The part behind `@` is no sha256 digest.
    Digest(InvalidDigest),
    /// It begins as an address of the web does.
    Scheme,
    /// It is how other tools name an image that lies in this kind of place.
    Transport(&'static str),
}

impl fmt::Display for InvalidReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name of the repository is missing",
            Self::Host => "the host of a registry is a name or address, with `:` and a port at most",
            Self::UpperCase => "the path of a repository has no upper-case letters",
            Self::Path => {
                "the path of a repository consists of lower-case letters and digits, separated by `/`, `.`, `_`, `__`, or `-`"
            }
            Self::TooLong => "the name of a repository has at most 255 characters",
            Self::Identifier => "64 hex digits alone are an image id, not the name of a repository",
            Self::Tag => "a tag consists of at most 128 letters, digits, `_`, `.`, and `-`",
            Self::Scheme => "an image is named by its host first, with nothing such as `https://` before it",
            Self::Digest(why) => return fmt::Display::fmt(why, f),
            Self::Transport(kind) => {
                return write!(
                    f,
                    "hoist knows registries and layout directories: `skopeo copy {kind}:… oci:DIR:TAG` \
                     makes a layout of this, and the other way round"
                );
            }
        })
    }
}

impl std::error::Error for InvalidReference {}

impl FromStr for RepositoryName {
    type Err = InvalidReference;

    /// A name without a host belongs to `docker.io`; a single word there to its
    /// `library`.
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if text.is_empty() {
            return Err(InvalidReference::Empty);
        }
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidReference::Identifier);
        }
        let (host, path) = match text.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest),
            _ => (DOCKER, text),
        };
        let host = if host == "index.docker.io" { DOCKER } else { host };
        check_host(host)?;
        check_path(path)?;
        let library = host == DOCKER && !path.contains('/');
        let path = if library { format!("library/{path}") } else { path.to_owned() };
        if host.len() + 1 + path.len() > 255 {
            return Err(InvalidReference::TooLong);
        }
        Ok(Self { host: host.to_owned(), path })
    }
}

/// Whether the first part of a name is a host, not part of the path.
fn is_host(part: &str) -> bool {
    part == "localhost"
        || part.contains(['.', ':', '['])
        || part.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_host(host: &str) -> Result<(), InvalidReference> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(InvalidReference::Host)?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(InvalidReference::Host);
        }
        (None, port)
    } else {
        let at = host.find(':').unwrap_or(host.len());
        (host.get(..at), host.get(at..).unwrap_or_default())
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port_fits = match port.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    if name.is_none_or(|name| name.split('.').all(label)) && port_fits {
        Ok(())
    } else {
        Err(InvalidReference::Host)
    }
}

fn check_path(path: &str) -> Result<(), InvalidReference> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(InvalidReference::UpperCase);
    }
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separator = |text: &str| {
        matches!(text, "." | "_" | "__") || !text.is_empty() && text.bytes().all(|byte| byte == b'-')
    };
    let component = |part: &str| {
        let ends = [part.bytes().next(), part.bytes().next_back()];
        ends.iter().all(|end| end.is_some_and(word))
            && part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|gap| {
                // Between two letters that touch there is an empty gap.
                gap.is_empty() || separator(gap)
            })
    };
    if path.split('/').all(component) { Ok(()) } else { Err(InvalidReference::Path) }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let is_of = |kind: &&&str| {
            let place = text.strip_prefix(**kind).and_then(|rest| rest.strip_prefix(':'));
            // Some image may be called `dir`.
            place.is_some_and(|place| **kind != "dir" || place.starts_with(['/', '.']))
        };
        if let Some(kind) = TRANSPORTS.iter().find(is_of) {
            return Err(InvalidReference::Transport(kind));
        }
        if text.contains("://") {
            return Err(InvalidReference::Scheme);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().map_err(InvalidReference::Digest)?)),
            None => (text, None),
        };
        // A colon before the last slash is that of a port.
        let after_slash = name.rfind('/').map_or(0, |at| at + 1);
        let colon = name.get(after_slash..).and_then(|last| last.find(':')).map(|at| after_slash + at);
        let (name, tag) = match colon.and_then(|at| name.split_at_checked(at)) {
            Some((name, tag)) => {
                let tag = tag.strip_prefix(':').unwrap_or_default();
                (name, Some(tag.parse().map_err(|_| InvalidReference::Tag)?))
            }
            None => (name, None),
        };
        Ok(Self { repository: name.parse()?, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, InvalidReference> {
        text.parse::<Reference>().map(|reference| reference.to_string())
    }

    #[test]
    fn names_without_a_host_belong_to_docker() {
        assert_eq!(shown("alpine"), Ok("docker.io/library/alpine".to_owned()));
        assert_eq!(shown("alpine:3.20"), Ok("docker.io/library/alpine:3.20".to_owned()));
        assert_eq!(shown("index.docker.io/a/b"), Ok("docker.io/a/b".to_owned()));
        assert_eq!(shown("acme/web"), Ok("docker.io/acme/web".to_owned()));
    }

    #[test]
    fn a_host_has_a_dot_or_a_port_or_is_localhost() {
        assert_eq!(shown("localhost/web"), Ok("localhost/web".to_owned()));
        assert_eq!(shown("host:5000/web:1"), Ok("host:5000/web:1".to_owned()));
        assert_eq!(shown("[::1]:5000/web"), Ok("[::1]:5000/web".to_owned()));
        let digest = format!("ghcr.io/acme/web:1@{}", Digest::of(b""));
        assert_eq!(shown(&digest), Ok(digest));
    }

    #[test]
    fn what_is_not_a_reference_is_refused_for_its_reason() {
        assert_eq!(shown(""), Err(InvalidReference::Empty));
        assert_eq!(shown(":1"), Err(InvalidReference::Empty));
        assert_eq!(shown("acme/Web"), Err(InvalidReference::UpperCase));
        assert_eq!(shown("Acme/web"), Ok("Acme/web".to_owned()));
        assert_eq!(shown("acme/web-"), Err(InvalidReference::Path));
        assert_eq!(shown("acme//web"), Err(InvalidReference::Path));
        assert_eq!(shown("acme/a..b"), Err(InvalidReference::Path));
        assert_eq!(shown("acme/a__b---c.d"), Ok("docker.io/acme/a__b---c.d".to_owned()));
        assert_eq!(shown("acme/a___b"), Err(InvalidReference::Path));
        assert_eq!(shown("a_b.c/web"), Err(InvalidReference::Host));
        assert_eq!(shown("host:70000/web"), Err(InvalidReference::Host));
        assert_eq!(shown("host:/web"), Err(InvalidReference::Host));
        assert_eq!(shown("web:"), Err(InvalidReference::Tag));
        assert_eq!(shown("web:-1"), Err(InvalidReference::Tag));
        assert_eq!(shown("web@sha256:12"), Err(InvalidReference::Digest(InvalidDigest::Malformed)));
        let other = InvalidDigest::Algorithm("sha512".to_owned());
        assert_eq!(shown(&format!("web@sha512:{}", "0".repeat(128))), Err(InvalidReference::Digest(other)));
        assert_eq!(shown("docker-archive:web.tar"), Err(InvalidReference::Transport("docker-archive")));
        assert_eq!(shown("docker-daemon:alpine:3"), Err(InvalidReference::Transport("docker-daemon")));
        assert_eq!(shown("https://ghcr.io/acme/web"), Err(InvalidReference::Scheme));
        assert_eq!(shown("dir:./web"), Err(InvalidReference::Transport("dir")));
        assert_eq!(shown("dir:1"), Ok("docker.io/library/dir:1".to_owned()));
        assert_eq!(shown("docker-archive"), Ok("docker.io/library/docker-archive".to_owned()));
        assert_eq!(shown(&"a".repeat(64)), Err(InvalidReference::Identifier));
        assert_eq!(shown(&format!("h.io/{}", "x".repeat(300))), Err(InvalidReference::TooLong));
    }

    proptest::proptest! {
        #[test]
        fn a_reference_reads_as_it_is_shown(text in "[a-zA-Z0-9._:/@\\[\\]-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                assert_eq!(reference.to_string().parse(), Ok(reference));
            }
        }
    }
}
