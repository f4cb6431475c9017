//! The engines that could build the project's images of Dockerfiles.

use std::time::Duration;

use indexmap::IndexMap;

use crate::cli::doctor::{good, missing, warn};
use crate::cli::place::Places;
use crate::config::Address;
use crate::diagnostic::Span;
use crate::engine::builder::{About, Engine, EngineError, EngineKind, Engines, Surveyed};
use crate::facts::Environment;
use crate::oci::Platform;
use crate::plan::{Action, Plan};
use crate::report::{Check, EngineFound};
use crate::run::{engines, no_engine};

/// How long an engine may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Each engine that could be used, or why it cannot be; and each platform of the project
/// for which there is none. Without a Dockerfile nothing needs them.
pub(super) async fn checks(places: &Places, environment: &Environment, plan: Option<&Plan>) -> Vec<Check> {
    let engines = match &places.known {
        Some((loaded, facts)) => engines(&loaded.project.root, &loaded.release, facts),
        None => Ok(Engines::new(Vec::new(), environment)),
    };
    let engines = match engines {
        Ok(engines) => engines,
        Err(problems) => {
            let titles = problems.as_slice().iter().map(|problem| problem.title.clone());
            let help = problems.as_slice().iter().find_map(|problem| problem.help.clone());
            let found = titles.collect::<Vec<_>>().join("; ");
            return vec![missing("builders", true, found, &help.unwrap_or_default())];
        }
    };
    let mut wanted: IndexMap<Platform, Span> = IndexMap::new();
    for step in plan.iter().flat_map(|plan| &plan.steps) {
        if let Action::Dockerfile(build) = &step.action {
            wanted.entry(build.platform.clone()).or_insert(build.span);
        }
    }
    let mut checks = Vec::new();
    if let Some(error) = engines.misnamed() {
        let help = "such as `unix:///run/docker.sock`, `tcp://host:2376`, or `ssh://user@host`";
        checks.push(missing("DOCKER_HOST", !wanted.is_empty(), error.to_string(), help));
    }
    let surveyed = engines.survey(PATIENCE).await;
    let mut builds: Vec<(Address, Platform)> = Vec::new();
    let mut unserved = Vec::new();
    for (platform, span) in &wanted {
        match engines.find(platform).await {
            Ok(engine) => builds.push((engine.address().clone(), platform.clone())),
            Err(error) => {
                let problem = no_engine(platform, *span, error);
                let help = problem.help.unwrap_or_else(|| "repair it, or name another builder".to_owned());
                // What each place says stands in its own line.
                unserved.push(missing(&format!("build for {platform}"), true, problem.title, &help));
            }
        }
    }
    let spared = wanted.is_empty() || surveyed.iter().any(|found| found.answer.is_ok());
    let mut absent: IndexMap<&str, Vec<String>> = IndexMap::new();
    for found in &surveyed {
        match &found.answer {
            Ok(engine) => checks.push(usable(found, engine, &builds).await),
            Err(error) if is_usual(found) && !matches!(error, EngineError::Denied(_)) => {
                let why = match &found.address {
                    Some(Address::Unix(path)) if !path.exists() => format!("none at {}", path.display()),
                    Some(address) => format!("{address}: {error}"),
                    None => error.to_string(),
                };
                absent.entry(&found.name).or_default().push(why);
            }
            Err(error) => {
                let is_meant = |platform: &Platform| found.platforms.iter().any(|own| own.serves(platform));
                let is_needed = wanted.keys().any(|wanted| found.platforms.is_empty() || is_meant(wanted));
                checks.push(unusable(found, error, is_needed));
            }
        }
    }
    for (name, why) in absent {
        let rest = if spared { ", not needed" } else { "" };
        checks.push(good(name, format!("{}{rest}", why.join("; "))));
    }
    checks.extend(unserved);
    checks
}

/// `builder arm`, `docker`.
fn title(found: &Surveyed) -> String {
    found.name.replace('`', "")
}

/// Whether nobody named it, so that it need not be there.
fn is_usual(found: &Surveyed) -> bool {
    ["docker", "podman"].contains(&found.name.as_str())
}

/// An engine that answers, and what it is for.
async fn usable(found: &Surveyed, engine: &Engine, builds: &[(Address, Platform)]) -> Check {
    let About { kind, version, platform, has_buildkit } = engine.about();
    let program = kind.name();
    let others = engine.other_platforms().await;
    let texts = |platforms: &[Platform]| platforms.iter().map(ToString::to_string).collect::<Vec<_>>();
    let builds = builds.iter().filter(|(address, _)| address == engine.address());
    let builds: Vec<String> = builds.map(|(_, platform)| platform.to_string()).collect();
    let place = match &found.address {
        Some(address) => format!("at {address}"),
        None => "that hoist starts for a run".to_owned(),
    };
    let buildkit = if *has_buildkit && *kind == EngineKind::Docker { " with BuildKit" } else { "" };
    let runs = match &others {
        None => format!("runs {platform}, what else is not known"),
        Some(others) if others.is_empty() => format!("runs {platform}, emulates nothing"),
        Some(others) => format!("runs {platform} and {}", texts(others).join(" ")),
    };
    let mut says = vec![format!("{program} {version}{buildkit} {place}"), runs];
    if !found.platforms.is_empty() {
        says.push(format!("meant for {}", texts(&found.platforms).join(" ")));
    }
    if !builds.is_empty() {
        says.push(format!("builds {} here", builds.join(" ")));
    }
    let name = title(found);
    let check = if *kind == EngineKind::Docker && !has_buildkit {
        let help = "it builds without secrets, ssh, caches, and mounts: update it to Docker 18.09 or later";
        warn(&name, says.join(", "), help)
    } else {
        good(&name, says.join(", "))
    };
    let engine = EngineFound {
        program: program.to_owned(),
        version: version.clone(),
        address: found.address.as_ref().map(ToString::to_string),
        platform: platform.to_string(),
        others: others.map(|others| texts(&others)),
        buildkit: *has_buildkit,
        builds,
    };
    Check { engine: Some(Box::new(engine)), ..check }
}

/// An engine that was named, or that may not be used.
fn unusable(found: &Surveyed, error: &EngineError, is_needed: bool) -> Check {
    let place = found.address.as_ref().map(|address| format!("{address}: ")).unwrap_or_default();
    let help = match (error, &found.address) {
        (EngineError::Denied(_), Some(Address::Unix(_))) if found.name == "docker" => {
            "who may use Docker is in its group, which is as good as root: `sudo usermod -aG docker $USER`, and \
             log in anew; or set up rootless Docker or Podman"
        }
        (EngineError::Denied(_), Some(Address::Unix(_))) => {
            "the socket belongs to another user; for one of your own: `systemctl --user enable --now podman.socket`"
        }
        (_, Some(Address::Ssh(_))) => {
            "`ssh -o BatchMode=yes HOST docker version` has to work: the key in the agent, the host known, and \
             `docker` installed there"
        }
        (_, Some(Address::Tcp(_))) => {
            "does it listen there? With TLS it needs `ca`, `cert`, and `key`, or `DOCKER_TLS_VERIFY`"
        }
        _ => "start it, or name another",
    };
    let found_there = format!("{place}{error}");
    if is_usual(found) {
        warn(&found.name, found_there, help)
    } else {
        missing(&title(found), is_needed, found_there, help)
    }
}
