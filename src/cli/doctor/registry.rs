//! What registries let one do: read bases, and publish.

use crate::cli::doctor::{good, missing, warn};
use crate::cli::login::{Seen, who};
use crate::cli::place::Places;
use crate::config::{Base, Recipe};
use crate::diagnostic::{Code, Problem};
use crate::oci::{InvalidReference, Reference};
use crate::plan::{
    Action, DockerfileBase, Plan, RegistryPlace, RegistryPlan, declared_registries, destinations, remote_base,
};
use crate::release::{End, Publisher, check_place};
use crate::report::{Check, Level};

/// What is said of a registry that does not answer.
const UNREACHED: &str = "cannot be reached";

/// Each base image of a registry: whether it is there, and as whom one sees it.
pub(super) async fn bases(
    places: &Places,
    of_dockerfiles: Vec<DockerfileBase>,
    publisher: &Publisher,
) -> Vec<Check> {
    let Some((loaded, facts)) = &places.known else { return Vec::new() };
    let mut checks: Vec<Check> = Vec::new();
    for DockerfileBase { reference, registry, .. } in of_dockerfiles {
        checks.push(base(reference, registry, publisher).await);
    }
    for image in loaded.release.images.values() {
        let Recipe::Assemble(recipe) = &image.recipe else { continue };
        let Base::Reference(template) = &recipe.from.value else { continue };
        let check = match remote_base(&loaded.release, facts, template) {
            Ok((reference, registry)) => base(reference, registry, publisher).await,
            Err(problem) => {
                let name = format!("base of {}", image.name.value);
                missing(&name, true, problem.title, "`hoist check` shows where")
            }
        };
        if !checks.iter().any(|known| known.name == check.name) {
            checks.push(check);
        }
    }
    checks
}

async fn base(reference: Reference, registry: RegistryPlan, publisher: &Publisher) -> Check {
    let name = format!("base {reference}");
    let RegistryPlace::Remote(place) = &registry.place else { return good(&name, String::new()) };
    let seen = who(publisher, &registry, place).await;
    let end = End::Registry { reference, registry: Box::new(registry) };
    let found = async {
        let repository = end.open_to_read(publisher).await?;
        end.find(&repository).await
    };
    match found.await {
        Ok(found) => good(&name, format!("is there, {}{}", found.digest.short(), seen_as(seen))),
        Err(problem) if problem.code == Code::Unauthorized => {
            failed(&name, format!("may not be read{}", seen_as(seen)), &problem)
        }
        Err(problem) => failed(&name, brief(&problem), &problem),
    }
}

/// Each repository that something is pushed to, and each registry that is declared.
pub(super) async fn registries(places: &Places, plan: Option<&Plan>, publisher: &Publisher) -> Vec<Check> {
    let mut pushed: Vec<RegistryPlan> = Vec::new();
    let planned = plan.iter().flat_map(|plan| &plan.steps).filter_map(|step| match &step.action {
        Action::Push(push) => Some(push.registry.clone()),
        _ => None,
    });
    // What only other events publish, or stages bring there, matters as well.
    let of_others = places.known.iter().flat_map(|(loaded, facts)| destinations(&loaded.release, facts));
    for registry in planned.chain(of_others.filter_map(|(_, registry)| registry.ok())) {
        if !pushed.contains(&registry) {
            pushed.push(registry);
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

/// A place that something is pushed to, asked as a release asks before it begins.
async fn repository(registry: &RegistryPlan, publisher: &Publisher) -> Check {
    let name = format!("registry {}", registry.name);
    let place = shown(registry);
    let push = check_place(registry, publisher).await;
    let RegistryPlace::Remote(remote) = &registry.place else {
        return match push {
            Ok(()) => good(&name, format!("{place}, can be written")),
            Err(problem) => failed(&name, format!("{place}: {}", problem.title), &problem),
        };
    };
    let seen = seen_as(who(publisher, registry, remote).await);
    match (push, pull(registry, publisher).await) {
        (Ok(()), Ok(())) => good(&name, format!("{place}: may pull, may push{seen}")),
        (Err(problem), Ok(())) if problem.code == Code::Unauthorized => {
            failed(&name, format!("{place}: may pull, may not push{seen}"), &problem)
        }
        (Err(problem), Err(other)) if [&problem, &other].iter().all(|one| one.code == Code::Unauthorized) => {
            failed(&name, format!("{place}: may neither pull nor push{seen}"), &problem)
        }
        (Ok(()), Err(problem)) if problem.code == Code::Unauthorized => {
            failed(&name, format!("{place}: may not pull, may push{seen}"), &problem)
        }
        (Err(problem), _) | (_, Err(problem)) => {
            failed(&name, format!("{place}: {}", brief(&problem)), &problem)
        }
    }
}

async fn pull(registry: &RegistryPlan, publisher: &Publisher) -> Result<(), Problem> {
    let RegistryPlace::Remote(place) = &registry.place else { return Ok(()) };
    let name = place
        .parse()
        .map_err(|why: InvalidReference| Problem::new(Code::InvalidReference, format!("`{place}`: {why}")))?;
    publisher.network().open(&name, &publisher.access(registry)?).await?.check_pull().await
}

/// What went wrong, beside the place where it did: `cannot be reached: connection refused`.
fn brief(problem: &Problem) -> String {
    let title = problem.title.strip_prefix("the registry `").and_then(|rest| rest.split_once("` "));
    let title = title.map_or(problem.title.as_str(), |(_, what)| what);
    match problem.notes.iter().rfind(|note| is_cause(note)).filter(|_| title.ends_with(UNREACHED)) {
        Some(cause) => format!("{title}: {cause}"),
        None => title.to_owned(),
    }
}

/// What to do; and what the registry said, but for what stands in the line already.
fn failed(name: &str, found: String, problem: &Problem) -> Check {
    let is_new = |text: &&str| !found.contains(*text) && !found.contains(UNREACHED);
    let said = problem.notes.iter().map(String::as_str).filter(|note| is_cause(note));
    let said: Vec<&str> = [problem.title.as_str()].into_iter().chain(said).filter(is_new).collect();
    let said = Some(said.join("; ")).filter(|said| !said.is_empty());
    let help: Vec<String> = said.into_iter().chain(problem.help.clone()).collect();
    let help = Some(help.join("\n")).filter(|help| !help.is_empty());
    Check { name: name.to_owned(), level: Level::Bad, found, help, engine: None }
}

/// Whether a note says why, and not who one was, which the line does, or what was asked.
fn is_cause(note: &str) -> bool {
    !note.starts_with("asked ") && !note.starts_with("it was to ")
}

/// Who one is there, and why: ` as user (~/.docker/config.json)`.
fn seen_as(Seen { who, source, why }: Seen) -> String {
    let user = who.map(|user| format!(" as {user}")).unwrap_or_default();
    let from: Vec<String> = source.into_iter().chain(why).collect();
    if from.is_empty() { user } else { format!("{user} ({})", from.join("; ")) }
}

/// A registry that nothing is pushed to: who one would be there.
async fn unused(registry: &RegistryPlan, publisher: &Publisher) -> Check {
    let name = format!("registry {}", registry.name);
    let place = shown(registry);
    let RegistryPlace::Remote(remote) = &registry.place else {
        return good(&name, format!("{place}, nothing is pushed there"));
    };
    let seen = seen_as(who(publisher, registry, remote).await);
    good(&name, format!("{place}: nothing is pushed there{seen}"))
}

fn shown(registry: &RegistryPlan) -> String {
    match &registry.place {
        RegistryPlace::Layout(path) => format!("oci:{path}"),
        RegistryPlace::Remote(place) => place.clone(),
    }
}
