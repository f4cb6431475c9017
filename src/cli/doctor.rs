//! `hoist doctor`: what this machine and the registries give.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indexmap::IndexMap;
use rustix::fs::statvfs;

use crate::cli::login::who;
use crate::cli::place::{Places, until_signalled};
use crate::cli::session::{Session, exit_code};
use crate::config::Recipe;
use crate::diagnostic::{Class, Code, Problem, Problems, bytes, counted};
use crate::engine::Runtime;
use crate::oci::InvalidReference;
use crate::plan::{Action, Goals, Plan, RegistryPlace, RegistryPlan, declared_registries};
use crate::release::{Publisher, check_place};
use crate::report::{Check, Level, checkup, checkup_json};
use crate::run::sandbox_support;
use crate::store::Network;

/// Less free space than this is worth a word, in bytes.
const LITTLE: u64 = 1_000_000_000;
/// How long the service of an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Exit code 0, unless something is missing that the release file needs.
pub(crate) fn doctor(session: &mut Session) -> Result<ExitCode, Problems> {
    let mut checks = Vec::new();
    let places = match Places::read(session) {
        Ok(places) => places,
        Err(problems) => {
            checks.push(wrong(&problems));
            Places { known: None }
        }
    };
    let mut plan = None;
    if let Some((loaded, _)) = &places.known {
        let file = loaded.project.file.display().to_string();
        match session.outline(loaded, &Goals::All, &IndexMap::new()) {
            Ok(outline) => {
                checks.push(good("release.kdl", file));
                plan = Some(outline);
            }
            Err(problems) => checks.push(wrong(&problems)),
        }
    } else if checks.is_empty() {
        let help = "`hoist init` writes one; `--file` and `-C` name another place";
        checks.push(warn("release.kdl", "there is none here or above".to_owned(), help));
    }
    checks.push(git(&places));
    checks.push(runtime(plan.as_ref()));
    checks.push(sandbox(plan.as_ref()));
    checks.extend(engines(session, &places));
    checks.push(cache(session, &places));
    let publisher = places.publisher(session);
    let work = async { Ok::<_, Problem>(registries(&places, plan.as_ref(), &publisher).await) };
    checks.extend(until_signalled(work, "checking was stopped")?);
    let text = if session.global.json {
        format!("{}\n", checkup_json(&checks))
    } else {
        checkup(&checks, session.output_look())
    };
    session.output(&text)?;
    let failed = checks.iter().any(|check| check.level == Level::Bad);
    Ok(if failed { exit_code(Class::Failed) } else { ExitCode::SUCCESS })
}

fn good(name: &str, found: String) -> Check {
    Check { name: name.to_owned(), level: Level::Good, found, help: None }
}

fn warn(name: &str, found: String, help: &str) -> Check {
    Check { name: name.to_owned(), level: Level::Warn, found, help: Some(help.to_owned()) }
}

/// What is missing is a failure only where it is needed.
fn missing(name: &str, needed: bool, found: String, help: &str) -> Check {
    let level = if needed { Level::Bad } else { Level::Warn };
    Check { name: name.to_owned(), level, found, help: Some(help.to_owned()) }
}

/// The release file is wrong.
fn wrong(problems: &Problems) -> Check {
    let all = problems.as_slice();
    let first = all.first().map(|problem| problem.title.clone()).unwrap_or_default();
    let more = all.len().checked_sub(1).filter(|more| *more > 0);
    let more = more.map(|more| format!(", and {}", counted(more, "other problem"))).unwrap_or_default();
    missing("release.kdl", true, format!("{first}{more}"), "`hoist check` shows where")
}

fn git(places: &Places) -> Check {
    let Some((_, facts)) = &places.known else {
        return good("git", "libgit2 is part of hoist".to_owned());
    };
    let Some(git) = &facts.git else {
        let help = "tags and labels that name a commit have no value: `git init`, and commit";
        return warn("git", "the project is in no repository with a commit".to_owned(), help);
    };
    let short = git.sha.get(..7).unwrap_or(&git.sha);
    let on = git.branch.as_ref().map(|branch| format!(" on {branch}")).unwrap_or_default();
    if git.shallow {
        let help = "fetch all of it (`git fetch --unshallow --tags`, `fetch-depth: 0`), or `{describe}` and \
                    versions are not known";
        return warn("git", format!("{short}{on}, its history is cut off"), help);
    }
    let dirty = if git.dirty { ", with changes: nothing is published" } else { "" };
    good("git", format!("{short}{on}{dirty}"))
}

/// The embedded runtime, which runs the tests of images.
fn runtime(plan: Option<&Plan>) -> Check {
    let needed = plan.is_some_and(|plan| {
        plan.steps.iter().any(|step| matches!(&step.action, Action::Test(test) if !test.tests.is_empty()))
    });
    match Runtime::current().probe() {
        Ok(()) => good("containers", "the embedded runtime gets its namespaces".to_owned()),
        Err(problem) => {
            let help = problem.help.unwrap_or_default();
            missing("containers", needed, problem.notes.join("; "), &help)
        }
    }
}

fn sandbox(plan: Option<&Plan>) -> Check {
    let needed = plan.is_some_and(|plan| plan.steps.iter().any(|step| step.action.is_sandboxed()));
    match sandbox_support() {
        Ok(()) => good("sandbox", "the kernel has Landlock".to_owned()),
        Err(why) => {
            let help =
                "Linux 5.19 or newer with Landlock (`lsm=landlock,…`) has it; else leave `sandbox` out";
            missing("sandbox", needed, why, help)
        }
    }
}

/// Services of docker and podman. Without a Dockerfile nothing needs them.
fn engines(session: &Session, places: &Places) -> Vec<Check> {
    let recipes = places.known.iter().flat_map(|(loaded, _)| loaded.release.images.values());
    let needed = recipes.map(|image| &image.recipe).any(|recipe| !matches!(recipe, Recipe::Assemble(_)));
    let variable = |name: &str| session.host.environment.text(name).filter(|value| !value.is_empty());
    let named = variable("DOCKER_HOST").and_then(|host| host.strip_prefix("unix://"));
    let docker = vec![PathBuf::from(named.unwrap_or("/var/run/docker.sock"))];
    let own = variable("XDG_RUNTIME_DIR").map(|runtime| Path::new(runtime).join("podman/podman.sock"));
    let podman = own.into_iter().chain([PathBuf::from("/run/podman/podman.sock")]).collect();
    let all = [engine("docker", docker), engine("podman", podman)];
    if needed && all.iter().all(Result::is_err) {
        let help = "Dockerfiles are built by docker or podman: start one of them";
        return all.into_iter().filter_map(Result::err).map(|(name, why)| warn(name, why, help)).collect();
    }
    let not_needed = |(name, why): (&str, String)| good(name, format!("{why}, not needed"));
    all.into_iter().map(|engine| engine.unwrap_or_else(not_needed)).collect()
}

/// An engine that answers at one of these sockets; or its name, and why it does not.
fn engine(name: &'static str, sockets: Vec<PathBuf>) -> Result<Check, (&'static str, String)> {
    let mut why = Vec::new();
    for socket in sockets {
        let shown = socket.display();
        match ping(&socket) {
            Ok(()) => return Ok(good(name, format!("answers at {shown}"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                why.push(format!("none at {shown}"));
            }
            Err(error) => why.push(format!("{shown}: {error}")),
        }
    }
    Err((name, why.join("; ")))
}

/// Whether an engine's service answers (`GET /_ping`, Docker Engine API).
fn ping(socket: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if answer.ends_with(b" 200") {
        Ok(())
    } else {
        Err(std::io::Error::other("it does not answer as an engine"))
    }
}

fn cache(session: &Session, places: &Places) -> Check {
    let directory = match &places.known {
        Some((loaded, _)) => session.cache_directory(&loaded.release, &loaded.project),
        None => session.users_cache().ok_or_else(|| {
            Problem::new(Code::CacheUnusable, "there is no place for the cache")
                .help("set `HOIST_CACHE_DIR` to a directory")
        }),
    };
    let directory = match directory {
        Ok(directory) => directory,
        Err(problem) => {
            return missing("cache", true, problem.title, problem.help.as_deref().unwrap_or_default());
        }
    };
    let shown = directory.display();
    let Some(existing) = directory.ancestors().find(|above| above.exists()) else {
        return good("cache", shown.to_string());
    };
    let help = "name another directory with `HOIST_CACHE_DIR`, or `cache dir=` in release.kdl";
    // A file without a name: what root may, only trying tells.
    if let Err(error) = tempfile::tempfile_in(existing) {
        return missing("cache", true, format!("{shown} cannot be written: {error}"), help);
    }
    match statvfs(existing) {
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let found = format!("{shown}, {} free", bytes(free));
            if free < LITTLE { warn("cache", found, help) } else { good("cache", found) }
        }
        Err(error) => warn("cache", format!("{shown}, free space is not known: {error}"), help),
    }
}

/// Each repository that something is pushed to, and each registry that is declared.
async fn registries(places: &Places, plan: Option<&Plan>, publisher: &Publisher) -> Vec<Check> {
    let mut pushed: Vec<&RegistryPlan> = Vec::new();
    for step in plan.iter().flat_map(|plan| &plan.steps) {
        if let Action::Push(push) = &step.action
            && !pushed.contains(&&push.registry)
        {
            pushed.push(&push.registry);
        }
    }
    let mut checks = Vec::new();
    for registry in &pushed {
        checks.push(repository(registry, publisher).await);
    }
    let declared =
        places.known.iter().flat_map(|(loaded, facts)| declared_registries(&loaded.release, facts));
    for (name, registry) in declared {
        if pushed.iter().any(|registry| registry.name == name) {
            continue;
        }
        checks.push(match registry {
            Ok(registry) => unused(&registry, publisher).await,
            Err(problem) => {
                warn(&format!("registry {name}"), problem.title, "it matters when it is published to")
            }
        });
    }
    checks
}

/// A place that something is pushed to.
async fn repository(registry: &RegistryPlan, publisher: &Publisher) -> Check {
    let name = format!("registry {}", registry.name);
    let RegistryPlace::Remote(place) = &registry.place else {
        return match check_place(registry, publisher).await {
            Ok(()) => good(&name, format!("{}, can be written", shown(registry))),
            Err(problem) => failed(&name, format!("{}: {}", shown(registry), problem.title), problem),
        };
    };
    let account = who(publisher, registry, place).await;
    let user = account.who.map(|user| format!(" as {user}")).unwrap_or_default();
    let source = account.source.into_iter().chain(account.why).collect::<Vec<_>>().join("; ");
    let pull = pull(registry, publisher).await;
    let push = check_place(registry, publisher).await;
    let may = |done: &Result<(), Problem>| if done.is_ok() { "may" } else { "may not" };
    let found = format!("{place}: {} pull, {} push{user} ({source})", may(&pull), may(&push));
    match push.and(pull) {
        Ok(()) => good(&name, found),
        Err(problem) => failed(&name, found, problem),
    }
}

async fn pull(registry: &RegistryPlan, publisher: &Publisher) -> Result<(), Problem> {
    let RegistryPlace::Remote(place) = &registry.place else { return Ok(()) };
    let name = place
        .parse()
        .map_err(|why: InvalidReference| Problem::new(Code::InvalidReference, format!("`{place}`: {why}")))?;
    let network: &Network = publisher.network();
    network.open(&name, &publisher.access(registry)?).await?.check_pull().await
}

fn failed(name: &str, found: String, problem: Problem) -> Check {
    let notes = problem.notes.join("; ");
    let help = problem.help.map(|help| format!("\n  {help}")).unwrap_or_default();
    missing(name, true, found, &format!("{} ({notes}){help}", problem.title))
}

/// A registry that nothing is pushed to: who one would be there.
async fn unused(registry: &RegistryPlan, publisher: &Publisher) -> Check {
    let name = format!("registry {}", registry.name);
    let RegistryPlace::Remote(place) = &registry.place else {
        return good(&name, format!("{}, nothing is pushed there", shown(registry)));
    };
    let account = who(publisher, registry, place).await;
    let user = account.who.map(|user| format!(" as {user}")).unwrap_or_default();
    let source = account.source.into_iter().chain(account.why).collect::<Vec<_>>().join("; ");
    good(&name, format!("{place}: nothing is pushed there{user} ({source})"))
}

fn shown(registry: &RegistryPlan) -> String {
    match &registry.place {
        RegistryPlace::Layout(path) => format!("oci:{path}"),
        RegistryPlace::Remote(place) => place.clone(),
    }
}
