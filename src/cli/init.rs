//! `hoist init`: a first release.kdl.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::arguments::Init;
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems};
use crate::interop::{Found, starter};

/// Writes the file if there is none; never over one that is there.
pub(crate) fn init(session: &mut Session, options: &Init) -> Result<ExitCode, Problems> {
    let directory = session.host.directory.clone();
    let found = look_around(&directory);
    let text = starter(&found);
    if options.print {
        session.output(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = directory.join("release.kdl");
    let written = fs::OpenOptions::new().write(true).create_new(true).open(&path);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            let problem = Problem::new(Code::WouldChange, "`release.kdl` is there already");
            problem.help("see what hoist would write with `hoist init --print`")
        } else {
            Problem::new(Code::ReadOnly, "`release.kdl` cannot be written").note(error.to_string())
        }
    })?;
    session.say("wrote release.kdl; `hoist` lists what it declares, `hoist run` does its default\n");
    if !found.dockerfiles.is_empty() {
        session.say("images are built by Docker or Podman; `hoist doctor` says whether there is one\n");
    }
    Ok(ExitCode::SUCCESS)
}

fn look_around(directory: &Path) -> Found {
    let text = |name: &str| fs::read_to_string(directory.join(name)).ok();
    let is_file = |name: &str| directory.join(name).is_file();
    Found {
        name: directory.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        makefile: ["GNUmakefile", "makefile", "Makefile"].into_iter().find_map(text),
        cargo: is_file("Cargo.toml"),
        package_json: text("package.json"),
        pyproject: is_file("pyproject.toml"),
        dockerfiles: dockerfiles(directory),
        registry: crate::facts::remote(directory).as_deref().and_then(registry),
    }
}

fn dockerfiles(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for below in ["", "docker"] {
        let Ok(entries) = fs::read_dir(directory.join(below)) else { continue };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let named =
                name == "Dockerfile" || name.ends_with(".Dockerfile") || name.starts_with("Dockerfile.");
            if named && !name.ends_with(".dockerignore") && entry.path().is_file() {
                found.push(if below.is_empty() { name } else { format!("{below}/{name}") });
            }
        }
    }
    found.sort();
    found
}

/// The registry that belongs to a forge.
fn registry(remote: &str) -> Option<String> {
    let rest = remote.split_once("://").map_or(remote, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest).replacen(':', "/", 1);
    let mut parts = rest.split('/').filter(|part| !part.is_empty());
    let (host, owner) = (parts.next()?, parts.next()?);
    match host {
        "github.com" => Some(format!("ghcr.io/{}", owner.to_ascii_lowercase())),
        "gitlab.com" => {
            let path: Vec<_> = rest.split('/').skip(1).collect();
            let path = path.join("/").to_ascii_lowercase();
            Some(format!("registry.gitlab.com/{}", path.trim_end_matches(".git")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::registry;

    #[test]
    fn a_forge_s_registry_is_known_from_the_remote() {
        assert_eq!(registry("git@github.com:Acme/shop.git").as_deref(), Some("ghcr.io/acme"));
        assert_eq!(registry("https://github.com/acme/shop").as_deref(), Some("ghcr.io/acme"));
        let gitlab = registry("ssh://git@gitlab.com/Team/sub/shop.git");
        assert_eq!(gitlab.as_deref(), Some("registry.gitlab.com/team/sub/shop"));
        assert_eq!(registry("/srv/git/shop.git"), None);
    }
}
