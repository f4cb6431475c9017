//! `hoist doctor`: what this machine and the registries give.

use std::process::ExitCode;

use indexmap::IndexMap;
use rustix::fs::statvfs;

use crate::cli::place::{Places, until_signalled};
use crate::cli::session::{Session, exit_code};
use crate::diagnostic::{Class, Code, Problem, Problems, bytes, counted};
use crate::engine::Runtime;
use crate::facts::short;
use crate::plan::{Action, Goals, Plan};
use crate::report::{Check, Level, Look, checkup, checkup_json};
use crate::run::sandbox_support;

mod engine;
mod key;
mod registry;
mod scanner;

/// Less free space than this is worth a word, in bytes.
const LITTLE: u64 = 1_000_000_000;

/// Exit code 0, unless something is missing that the release file needs.
pub(crate) fn doctor(session: &mut Session) -> Result<ExitCode, Problems> {
    let mut checks = Vec::new();
    let places = match Places::read_with_git(session) {
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
    checks.push(cache(session, &places));
    let bases = places.known.as_ref().map(|(loaded, _)| session.bases_of_dockerfiles(loaded));
    let bases = bases.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|problems| {
        checks.push(first_of("Dockerfiles", &problems, "`hoist plan` shows where"));
        Vec::new()
    });
    let publisher = places.publisher(session);
    let environment = places.environment(session);
    let work = async {
        let mut found = engine::checks(&places, &environment, plan.as_ref()).await;
        found.extend(registry::bases(&places, bases, &publisher).await);
        found.extend(registry::registries(&places, plan.as_ref(), &publisher).await);
        found.extend(scanner::scanners(&places, &environment));
        found.extend(key::keys(&places, plan.as_ref(), &publisher).await);
        Ok::<_, Problem>(found)
    };
    checks.extend(until_signalled(work, "checking was stopped")?);
    let text = if session.global.json {
        format!("{}\n", checkup_json(&checks))
    } else if session.host.output_is_terminal {
        checkup(&checks, session.output_look())
    } else {
        // Whoever reads it line by line gets whole lines.
        checkup(&checks, Look { width: usize::MAX, ..session.output_look() })
    };
    session.output(&text)?;
    let failed = checks.iter().any(|check| check.level == Level::Bad);
    Ok(if failed { exit_code(Class::Failed) } else { ExitCode::SUCCESS })
}

fn good(name: &str, found: String) -> Check {
    Check { name: name.to_owned(), level: Level::Good, found, help: None, engine: None }
}

fn warn(name: &str, found: String, help: &str) -> Check {
    Check { name: name.to_owned(), level: Level::Warn, found, help: Some(help.to_owned()), engine: None }
}

/// What is missing is a failure only where it is needed.
fn missing(name: &str, needed: bool, found: String, help: &str) -> Check {
    let level = if needed { Level::Bad } else { Level::Warn };
    Check { name: name.to_owned(), level, found, help: Some(help.to_owned()), engine: None }
}

/// The release file is wrong.
fn wrong(problems: &Problems) -> Check {
    first_of("release.kdl", problems, "`hoist check` shows where")
}

/// The first of some problems, and how many there are.
fn first_of(name: &str, problems: &Problems, help: &str) -> Check {
    let all = problems.as_slice();
    let first = problems.title();
    let more = all.len().checked_sub(1).filter(|more| *more > 0);
    let more = more.map(|more| format!(", and {}", counted(more, "other problem"))).unwrap_or_default();
    missing(name, true, format!("{first}{more}"), help)
}

fn git(places: &Places) -> Check {
    let Some((_, facts)) = &places.known else {
        return good("git", "libgit2 is part of hoist".to_owned());
    };
    let Some(git) = &facts.git else {
        let help = "tags and labels that name a commit have no value: `git init`, and commit";
        return warn("git", "the project is in no repository with a commit".to_owned(), help);
    };
    let short = short(&git.sha);
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
