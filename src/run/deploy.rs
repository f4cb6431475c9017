//! Carries out deployments, and makes sure before that they can be.
#![expect(clippy::disallowed_methods, reason = "whether there is `docker compose` only docker says")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio::sync::watch;

use crate::config::ProjectPath;
use crate::deploy::{self, Committed, Gitops, Project, Proposed, Service, overriding, services};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::facts::{Environment, short};
use crate::plan::{
    Action, CommandStep, ComposeStep, DeployStep, Deployment, Exec, KubectlStep, PullRequestStep, StageImage,
    Step,
};
use crate::run::Request;
use crate::run::command::Unsuccessful;
use crate::run::enter::with_images;
use crate::run::image::{Known, Yielded};
use crate::run::manifests::{World, digest, edits};
use crate::run::process::Halt;
use crate::run::program::Programs;
use crate::run::task::Task;
use crate::run::teller::{Teller, Told};
use crate::run::worker::{Worker, blocking};
use crate::store::find_secret;

/// Workloads that are rolled out, by what their kinds begin with.
const ROLLED_OUT: [&str; 5] = ["deploy", "daemonset", "ds", "statefulset", "sts"];
/// The program that starts services with Podman.
const PODMAN_COMPOSE: &str = "podman-compose";

impl Worker {
    /// Deploys the images of a stage.
    pub(super) async fn deploy(
        &self,
        (step, deploy): (&Step, &DeployStep),
        task: &Task,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<Yielded, Unsuccessful> {
        let known = &task.images;
        match &deploy.work {
            Deployment::Run(command) => {
                let command = with_images(command, &deploy.images, known);
                self.run_for_stage(step, &command, halt, teller).await?;
            }
            Deployment::Gitops(gitops) => {
                let request = self.request();
                let set = self.images().tagged();
                let manifests = edits(&World::of(request), &set, gitops, (&deploy.images, known));
                if let Some(asked) = &gitops.pull_request {
                    let opened = propose(request, manifests, asked).await;
                    let (text, again) = opened.map_err(Unsuccessful::Failed)?;
                    teller.tell(Told::Notice(text)).await;
                    return Ok(if again { Yielded::Again } else { Yielded::Nothing });
                }
                let (root, environment) = (request.root.clone(), request.facts.environment.clone());
                let done = blocking(move || manifests.deploy(&root, &environment)).await;
                let text = match done.map_err(Unsuccessful::Failed)? {
                    Committed::Nothing => {
                        let text = "the manifests say so already: nothing was committed".to_owned();
                        teller.tell(Told::Notice(text)).await;
                        return Ok(Yielded::Again);
                    }
                    Committed::Commit { id, branch, repository } => {
                        let short = short(&id);
                        format!("commit {short} on `{branch}` of {repository}")
                    }
                };
                teller.tell(Told::Notice(text)).await;
            }
            Deployment::Kubectl(kubectl) => {
                let command = with_images(&kubectl.command, &deploy.images, known);
                let commands = kubectl_commands(kubectl, &deploy.images, known);
                let command = CommandStep { commands, ..command };
                self.run_for_stage(step, &command, halt, teller).await?;
            }
            Deployment::Compose(compose) => {
                let Request { root, facts, .. } = self.request();
                let failed = |problem: Problem| Unsuccessful::failed(problem);
                let program = composer(&facts.environment, root, compose.span).map_err(failed)?;
                let images = images_of_services(root, compose, &deploy.images, known).map_err(failed)?;
                let place = TempDir::new().and_then(|place| {
                    std::fs::write(place.path().join("images.json"), overriding(&images))?;
                    Ok(place)
                });
                let place = place.map_err(|error| {
                    let problem = Problem::new(Code::CannotStart, "the images cannot be written down");
                    Unsuccessful::failed(problem.note(error.to_string()))
                })?;
                let command = with_images(&compose.command, &deploy.images, known);
                let over = place.path().join("images.json").to_string_lossy().into_owned();
                let commands = compose_commands(&program, compose, &over, &images);
                let command = CommandStep { commands, dir: ProjectPath::root(), ..command };
                self.run_for_stage(step, &command, halt, teller).await?;
            }
        }
        Ok(Yielded::Nothing)
    }
}

/// Makes sure, before anything is built, that everything can be deployed: that programs are
/// there, and that manifests can be fetched and edited.
///
/// # Errors
/// All of what is wrong.
pub(super) async fn check_deployments(request: Request) -> Result<(), Problems> {
    let mut problems = Problems::new();
    for step in &request.plan.steps {
        let Action::Deploy(deploy) = &step.action else { continue };
        let Deployment::Gitops(gitops) = &deploy.work else { continue };
        let Some(asked) = &gitops.pull_request else { continue };
        let manifests = edits(&World::of(&request), &[], gitops, (&deploy.images, &Known::new()));
        problems.take(check_forge(&request, manifests, asked).await);
    }
    let checked = check_here(request).await;
    problems.take(checked);
    problems.or(())
}

/// The part of the check that waits for processes and files.
async fn check_here(request: Request) -> Result<(), Problems> {
    blocking(move || {
        let mut problems = Problems::new();
        let Request { plan, root, facts, .. } = &request;
        for step in &plan.steps {
            let Action::Deploy(deploy) = &step.action else { continue };
            match &deploy.work {
                Deployment::Run(_) => {}
                Deployment::Gitops(gitops) => {
                    let manifests = edits(&World::of(&request), &[], gitops, (&deploy.images, &Known::new()));
                    problems.take(manifests.check(root, &facts.environment));
                }
                Deployment::Kubectl(kubectl) => {
                    if !is_there("kubectl", &facts.environment, root) {
                        problems.push(
                            Problem::new(Code::NoTool, "there is no `kubectl`, which reaches the cluster")
                                .label(kubectl.span, "deployed by this")
                                .help("install `kubectl`, or add its directory to PATH"),
                        );
                    }
                }
                Deployment::Compose(compose) => {
                    problems.take(composer(&facts.environment, root, compose.span));
                    problems.take(images_of_services(root, compose, &deploy.images, &Known::new()));
                }
            }
        }
        problems.or(())
    })
    .await
}

/// What keeps the repository of manifests, and what lets one in.
async fn forge(
    request: &Request,
    manifests: Gitops,
    asked: &PullRequestStep,
) -> Result<(Project, String), Problems> {
    let (root, environment) = (request.root.clone(), request.facts.environment.clone());
    let address = blocking(move || manifests.address(&root, &environment)).await?;
    let project = Project::of(&address.unwrap_or_default(), &asked.at);
    let project = project.map_err(|problem| problem.label(asked.at.span, "asked for by this"))?;
    let secret = project.token_of(&asked.at);
    let token = find_secret("a token", &secret, &request.root, &request.facts.environment).await?;
    Ok((project, token.reveal().to_owned()))
}

async fn check_forge(request: &Request, manifests: Gitops, asked: &PullRequestStep) -> Result<(), Problems> {
    let (project, token) = forge(request, manifests, asked).await?;
    let checked = project.check(&token).await;
    Ok(checked.map_err(|problem| problem.label(asked.at.span, "asked for by this"))?)
}

/// Opens the pull request of a stage, or finds it. Returns what there is to know, and whether
/// all of it was there already.
async fn propose(
    request: &Request,
    manifests: Gitops,
    asked: &PullRequestStep,
) -> Result<(String, bool), Problems> {
    let (project, token) = forge(request, manifests.clone(), asked).await?;
    let (root, environment) = (request.root.clone(), request.facts.environment.clone());
    let (head, text) = (asked.head.clone(), manifests.message.clone());
    let proposed = blocking(move || manifests.propose(&root, &environment, &head)).await?;
    let Proposed::Branch { base, again } = proposed else {
        return Ok(("the manifests say so already: no pull request is needed".to_owned(), true));
    };
    let wanted = deploy::Request { head: &asked.head, base: &base, title: &asked.title, text: &text };
    let opened = project.open(&wanted, &token).await;
    let opened = opened.map_err(|problem| problem.label(asked.at.span, "asked for by this"))?;
    let again = again && opened.again;
    let said = if again { "is open already" } else { "is open" };
    Ok((format!("the pull request {} {said}", opened.address), again))
}

/// `REPOSITORY@DIGEST` of an image of a stage.
fn by_digest(images: &[StageImage], at: usize, known: &Known) -> String {
    images.get(at).map_or_else(String::new, |image| {
        format!("{}@{}", image.place.as_deref().unwrap_or_default(), digest(image, known))
    })
}

/// Sets the images of each workload at once, and waits until each is rolled out.
fn kubectl_commands(step: &KubectlStep, images: &[StageImage], known: &Known) -> Vec<Exec> {
    let mut workloads: Vec<(&str, Span)> = Vec::new();
    for (workload, ..) in &step.sets {
        if workloads.iter().all(|(known, _)| *known != workload.value) {
            workloads.push((&workload.value, workload.span));
        }
    }
    let call = |words: Vec<String>, span: Span| {
        let begin = ["kubectl".to_owned()].into_iter().chain(step.options.iter().cloned());
        Exec { argv: begin.chain(words).collect(), span }
    };
    let set = |(workload, span): &(&str, Span)| {
        let sets = step.sets.iter().filter(|(of, ..)| of.value == *workload);
        let sets = sets.map(|(_, container, at)| format!("{container}={}", by_digest(images, *at, known)));
        let words = ["set", "image", workload].map(str::to_owned).into_iter().chain(sets);
        call(words.collect(), *span)
    };
    let wait = |(workload, span): &(&str, Span)| {
        let kind = workload.split(['/', '.']).next().unwrap_or_default().to_ascii_lowercase();
        let within = format!("--timeout={}s", step.within.as_secs().max(1));
        let words = ["rollout", "status", workload, &within].map(str::to_owned).to_vec();
        ROLLED_OUT.iter().any(|known| kind.starts_with(known)).then(|| call(words, *span))
    };
    workloads.iter().map(set).chain(workloads.iter().filter_map(wait)).collect()
}

/// Fetches the images of services, and starts them with these.
fn compose_commands(
    program: &[&str],
    step: &ComposeStep,
    over: &str,
    images: &[(String, String)],
) -> Vec<Exec> {
    let call = |words: &[&str]| {
        let files = ["-f", step.file.as_str(), "-f", over];
        let begin = program.iter().chain(&files);
        let services = images.iter().map(|(service, _)| service.as_str());
        let argv = begin.copied().chain(words.iter().copied()).chain(services).map(str::to_owned);
        Exec { argv: argv.collect(), span: step.span }
    };
    if program != [PODMAN_COMPOSE] {
        return vec![call(&["pull"]), call(&["up", "-d", "--no-build"])];
    }
    // It fetches all services or none, and leaves what runs as it is whatever its image.
    let pull = |image: &String| Exec {
        argv: ["podman", "pull", "--quiet", image].map(str::to_owned).to_vec(),
        span: step.span,
    };
    let fetched: BTreeSet<&String> = images.iter().map(|(_, image)| image).collect();
    let up = call(&["up", "-d", "--no-build", "--force-recreate"]);
    fetched.into_iter().map(pull).chain([up]).collect()
}

/// The images of the services that are started.
///
/// # Errors
/// The file cannot be read, or has no such service.
fn images_of_services(
    root: &Path,
    step: &ComposeStep,
    images: &[StageImage],
    known: &Known,
) -> Result<Vec<(String, String)>, Problem> {
    let wrong = |why: String| {
        Problem::new(Code::Manifest, format!("`{}` cannot be deployed: {why}", step.file))
            .label(step.span, "deployed by this")
    };
    let text = std::fs::read_to_string(root.join(&step.file)).map_err(|error| wrong(error.to_string()))?;
    let beside = root.join(&step.file);
    let read = |path: &str| std::fs::read_to_string(beside.parent()?.join(path)).ok();
    let there = services(&text, &read).map_err(|unfit| wrong(unfit.why))?;
    let names: Vec<_> = there.iter().map(|service| format!("`{}`", service.name)).collect();
    let names = names.join(", ");
    if let Some((name, _)) =
        step.services.iter().find(|(name, _)| there.iter().all(|known| known.name != *name))
    {
        return Err(wrong(format!("there is no service `{name}`")).note(format!("it has {names}")));
    }
    let meant: Vec<(String, usize)> = if step.services.is_empty() {
        let image_of = |service: &Service| {
            let runs = |image: &StageImage| {
                let rest = service.image.as_ref()?.strip_prefix(image.place.as_deref()?)?;
                Some(rest.is_empty() || rest.starts_with([':', '@']))
            };
            let running = images.iter().position(|image| runs(image) == Some(true));
            running.or_else(|| images.iter().position(|image| image.name == service.name))
        };
        there.iter().filter_map(|service| Some((service.name.clone(), image_of(service)?))).collect()
    } else {
        step.services.clone()
    };
    if meant.is_empty() {
        let problem = wrong("no service runs an image of the stage, or is called as one".to_owned());
        return Err(problem.note(format!("it has {names}")).help("name the services: `service \"web\"`"));
    }
    Ok(meant.into_iter().map(|(name, at)| (name, by_digest(images, at, known))).collect())
}

/// What there is to start services with.
///
/// # Errors
/// Nothing.
fn composer(environment: &Environment, root: &Path, span: Span) -> Result<Vec<&'static str>, Problem> {
    let plugin = is_there("docker", environment, root) && {
        let mut docker = Command::new("docker");
        docker.args(["compose", "version"]).env_clear().envs(environment.iter());
        let ended = docker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.is_ok_and(|status| status.success())
    };
    if plugin {
        return Ok(vec!["docker", "compose"]);
    }
    for name in ["docker-compose", PODMAN_COMPOSE] {
        if is_there(name, environment, root) {
            return Ok(vec![name]);
        }
    }
    Err(Problem::new(Code::NoTool, "there is nothing that starts services of a compose file")
        .label(span, "deployed by this")
        .note("`docker compose`, `docker-compose`, and `podman-compose` are not there")
        .help("install one of them, or add its directory to PATH"))
}

fn is_there(program: &str, environment: &Environment, root: &Path) -> bool {
    Programs::default().find(program, environment.get("PATH"), root, root).is_some()
}
