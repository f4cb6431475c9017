//! The engines that a project may use.

use std::path::Path;

use crate::config::{Address, Builder, ClientCertificate, Release, Secret};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::engine::builder::{Certificates, Engines, NoEngine, Place, PrivateKey};
use crate::facts::{Facts, Scope};
use crate::oci::Platform;
use crate::store::secret_file;

/// The engines that a release file names, and those that this machine may have. None is
/// asked yet.
///
/// # Errors
/// Addresses that are none once their fields are known, and keys that are not there.
pub fn engines(root: &Path, release: &Release, facts: &Facts) -> Result<Engines, Problems> {
    let mut problems = Problems::new();
    let places = release.builders.values().map(|builder| place(root, release, facts, builder));
    let places = places.filter_map(|place| problems.take(place)).collect();
    problems.or(Engines::new(places, &facts.environment))
}

fn place(root: &Path, release: &Release, facts: &Facts, builder: &Builder) -> Result<Place, Problem> {
    let Builder { name, address, platforms, ca, client } = builder;
    let text = Scope::new(release, facts).fill(&address.value)?;
    let parsed = Address::parse(&text).map_err(|why| {
        Problem::new(Code::InvalidValue, "that is not the address of an engine")
            .label(address.span, why)
            .help("such as `ssh://user@host`, `tcp://host:2376`, or `unix:///run/podman/podman.sock`")
    })?;
    let identity = client.as_ref().map(|client| identity(root, facts, client)).transpose()?;
    Ok(Place {
        name: format!("builder `{}`", name.value),
        address: parsed,
        platforms: platforms.iter().map(|platform| platform.value.clone()).collect(),
        certificates: ca
            .as_ref()
            .map(|ca| Certificates { ca: root.join(ca.value.as_path()), identity: identity.clone() }),
    })
}

fn identity(
    root: &Path,
    facts: &Facts,
    client: &ClientCertificate,
) -> Result<(std::path::PathBuf, PrivateKey), Problem> {
    let missing = |title: String| {
        Problem::new(Code::Unauthorized, title).label(client.key.span, "the private key is read from it")
    };
    let key = match &client.key.value {
        Secret::File(path) => PrivateKey::File(secret_file(path, root, &facts.environment)),
        Secret::Env(name) => match facts.environment.get(name).filter(|value| !value.is_empty()) {
            Some(value) => PrivateKey::Held(value.as_encoded_bytes().to_vec()),
            None => {
                return Err(missing(format!("the variable `{name}` is not set"))
                    .help(format!("set `{name}` in the environment or in a `dotenv` file")));
            }
        },
        Secret::Command(_) => return Err(missing("a command is no place of a builder's key".to_owned())),
    };
    Ok((root.join(client.certificate.value.as_path()), key))
}

/// What hoist's images of a project are known by at an engine. Two checkouts of a project
/// have two, and do not take each other's place.
#[must_use]
pub fn owner(root: &Path) -> String {
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let path = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
    format!("{}-{}", plain(&name), path.get(..8).unwrap_or_default())
}

/// A text of the characters that names of images have.
pub(super) fn plain(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = text.chars().map(fits).collect();
    text.trim_matches('-').to_owned()
}

/// Says that there is no engine for a build at this place of the release file.
#[must_use]
pub fn no_engine(wanted: &Platform, span: Span, error: NoEngine) -> Problem {
    let problem = |title: String| Problem::new(Code::NoEngine, title).label(span, "built from this");
    match error {
        NoEngine::Nowhere(tried) => {
            let problem = problem("there is no engine that builds a Dockerfile".to_owned()).help(
                "start Docker (`systemctl start docker`), or install Podman, which hoist starts itself",
            );
            tried.into_iter().fold(problem, |problem, (name, error)| problem.note(format!("{name}: {error}")))
        }
        NoEngine::Builder(name, error) => {
            problem(format!("the {name} for `{wanted}` cannot be used")).note(error.to_string())
        }
        NoEngine::Foreign(engine, native) => problem(format!("no engine builds for `{wanted}`"))
            .note(format!("{engine} runs on `{native}` and emulates nothing for it"))
            .help(format!(
                "`apt-get install qemu-user-static binfmt-support` registers emulators; \
                 or name a builder: `builder \"native\" \"ssh://host\" platforms=\"{wanted}\"`"
            )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_name_and_a_place() {
        let owner = owner(Path::new("/srv/My Shop"));
        assert!(owner.starts_with("my-shop-") && owner.len() == "my-shop-".len() + 8, "{owner}");
        assert_ne!(owner, super::owner(Path::new("/home/My Shop")));
        assert!(super::owner(Path::new("/")).starts_with('-'), "a root has no name");
    }
}
