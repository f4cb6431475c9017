//! What deployments of a stage do.

use std::time::Duration;

use crate::config::{Deploy, Edit, Fact, ForgeAccess, KubectlSet, NewValue, PullRequest, Stage, Template};
use crate::diagnostic::{Code, Problem, Span, Spanned};
use crate::facts::Scope;
use crate::oci::Digest;
use crate::plan::lower::{Lower, Made};
use crate::plan::{Action, CommandStep, Definition, Effect, StageImage, Subject};

/// Deploys the images of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployStep {
    /// How.
    pub work: Deployment,
    /// The images; commands find them in variables.
    pub images: Vec<StageImage>,
}

/// How images are deployed.
#[derive(Clone, Debug, PartialEq)]
pub enum Deployment {
    /// By commands.
    Run(Box<CommandStep>),
    /// By a commit to a git repository.
    Gitops(Box<GitopsStep>),
    /// By `kubectl`.
    Kubectl(Box<KubectlStep>),
    /// By `docker compose`, or what stands for it.
    Compose(Box<ComposeStep>),
}

/// Edits manifests of a git repository, and commits.
#[derive(Clone, Debug, PartialEq)]
pub struct GitopsStep {
    /// Where the repository is, as git takes it; the project's own if there is none.
    pub repo: Option<String>,
    /// The branch; the repository's default if there is none.
    pub branch: Option<String>,
    /// The edits, in order.
    pub edits: Vec<ManifestEdit>,
    /// Message of the commit.
    pub message: String,
    /// The pull request that is made instead of a push.
    pub pull_request: Option<PullRequestStep>,
    /// The deployment in the source.
    pub span: Span,
}

/// An edit of one file of a repository.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestEdit {
    /// Path of the file, or of the directory of a kustomization, below the repository.
    pub path: String,
    /// What is changed.
    pub change: ManifestChange,
    /// The edit in the source.
    pub span: Span,
}

/// What an edit changes. Images are places in the list of the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestChange {
    /// The entry of a kustomization: its name, its image, and whether the digest is said.
    Image(String, usize, bool),
    /// A value: its path, the new one, and whether aliases of it may change.
    Value(String, String, bool),
    /// A value that is the digest of an image, likewise.
    Digest(String, usize, bool),
    /// What an expression matches, and what stands in its place.
    Pattern(String, String),
}

/// A pull request.
#[derive(Clone, Debug, PartialEq)]
pub struct PullRequestStep {
    /// The branch that it is made from, which no other deployment of any project with
    /// another name has.
    pub head: String,
    /// Its title.
    pub title: String,
    /// Where it is opened.
    pub at: ForgeAccess,
}

/// Sets images of workloads of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct KubectlStep {
    /// What commands see; there are none yet.
    pub command: CommandStep,
    /// What all calls of the client begin with.
    pub options: Vec<String>,
    /// Workload, container, and the place of the image in the list of the step.
    pub sets: Vec<(Spanned<String>, String, usize)>,
    /// How long a rollout may take.
    pub within: Duration,
    /// The deployment in the source.
    pub span: Span,
}

/// Starts services of a compose file.
#[derive(Clone, Debug, PartialEq)]
pub struct ComposeStep {
    /// What commands see; there are none yet.
    pub command: CommandStep,
    /// The file, below the project.
    pub file: String,
    /// The services, and the place of the image of each in the list of the step; empty for
    /// those whose images are the stage's.
    pub services: Vec<(String, usize)>,
    /// The deployment in the source.
    pub span: Span,
}

impl Lower<'_> {
    pub(super) fn deploy(&mut self, stage: &Stage, at: usize) -> Made {
        let Some(deploy) = stage.deploys.get(at) else { return Self::undefined(stage) };
        let images = self.stage_images(stage);
        if !matches!(deploy.value, Deploy::Run(_)) {
            self.check_places(stage, &images, deploy.span);
        }
        let mut definition = Definition::default();
        definition.text(Subject::Format, "deploy 1");
        let work = match &deploy.value {
            Deploy::Run(commands) => {
                let command = self.stage_command(stage, commands);
                definition = self.define_command(&command);
                Deployment::Run(Box::new(command))
            }
            Deploy::Gitops { repo, branch, edits, commit, pull_request } => {
                let scope = Scope::new(self.release, self.facts).of(&stage.name.value);
                let name = &stage.name.value;
                let message = if let Some(commit) = commit {
                    self.fill(&scope, commit)
                } else {
                    let version = scope.known(Fact::Version).unwrap_or_default();
                    format!("Deploy {version} to {name}").replace("  ", " ")
                };
                let repo = self.filled(&scope, repo.as_ref());
                if repo.as_deref().is_some_and(holds_password) {
                    let title = "an address of a repository holds no password";
                    let problem = Problem::new(Code::InvalidValue, title).label(deploy.span, "named here");
                    self.problems.push(problem.help("let git know it: `git config credential.helper …`"));
                }
                let edits = edits.iter().filter_map(|edit| self.manifest_edit(&scope, edit, &images));
                let edits = edits.collect();
                let pull_request = pull_request.as_ref().map(|request| PullRequestStep {
                    head: head(&self.release.project, stage, at),
                    title: self.title(&scope, request, &message),
                    at: request.at.clone(),
                });
                Deployment::Gitops(Box::new(GitopsStep {
                    repo,
                    branch: self.filled(&scope, branch.as_ref()),
                    edits,
                    message,
                    pull_request,
                    span: deploy.span,
                }))
            }
            Deploy::Kubectl { namespace, context, sets, within } => {
                let scope = Scope::new(self.release, self.facts).of(&stage.name.value);
                let mut options = Vec::new();
                for (name, value) in [("namespace", namespace), ("context", context)] {
                    let value = self.filled(&scope, value.as_ref());
                    options.extend(value.map(|value| format!("--{name}={value}")));
                }
                let sets = sets.iter().filter_map(|set| self.kubectl_set(set, &images)).collect();
                Deployment::Kubectl(Box::new(KubectlStep {
                    command: self.stage_command(stage, &[]),
                    options,
                    sets,
                    within: *within,
                    span: deploy.span,
                }))
            }
            Deploy::Compose { file, services } => {
                let services = services.iter().filter_map(|service| {
                    Some((service.value.clone(), self.image_of(None, service, &images)?))
                });
                let services = services.collect();
                Deployment::Compose(Box::new(ComposeStep {
                    command: self.stage_command(stage, &[]),
                    file: file.value.to_string(),
                    services,
                    span: deploy.span,
                }))
            }
        };
        Made::new(Action::Deploy(Box::new(DeployStep { work, images })), definition, Effect::Publishing)
    }

    fn filled(&mut self, scope: &Scope<'_>, template: Option<&Template>) -> Option<String> {
        template.map(|template| self.fill(scope, template)).filter(|text| !text.is_empty())
    }

    /// Who deploys pulls from a registry.
    fn check_places(&mut self, stage: &Stage, images: &[StageImage], span: Span) {
        let in_directory = |place: &String| place.starts_with("oci:");
        for image in images.iter().filter(|image| image.place.as_ref().is_some_and(in_directory)) {
            let title = format!("`{}` deploys `{}` from a directory", stage.name.value, image.name);
            let problem = Problem::new(Code::NotPublishable, title);
            self.problems.push(
                problem
                    .label(span, "what runs there pulls its images from a registry")
                    .help("give the stage a `registry` that is none in a directory"),
            );
        }
    }

    fn manifest_edit(
        &mut self,
        scope: &Scope<'_>,
        edit: &Spanned<Edit>,
        images: &[StageImage],
    ) -> Option<ManifestEdit> {
        let (path, change) = match &edit.value {
            Edit::Kustomize { path, image, is, digest } => {
                let at = self.image_of(is.as_ref(), image, images)?;
                (path, ManifestChange::Image(image.value.clone(), at, *digest))
            }
            Edit::Yaml { path, set, to: NewValue::Text(to), aliases } => {
                (path, ManifestChange::Value(set.clone(), self.fill(scope, to), *aliases))
            }
            Edit::Yaml { path, set, to: NewValue::DigestOf(image), aliases } => {
                let at = self.image_of(Some(image), image, images)?;
                (path, ManifestChange::Digest(set.clone(), at, *aliases))
            }
            Edit::Replace { path, regex, with } => {
                (path, ManifestChange::Pattern(regex.value.clone(), self.fill(scope, with)))
            }
        };
        let path = self.fill(scope, path);
        let inside: Option<Vec<&str>> = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .map(|part| (part != ".." && part != ".git").then_some(part))
            .collect();
        let Some(inside) = inside.filter(|_| !path.starts_with('/')) else {
            let title = format!("`{path}` is no path inside a repository");
            let problem = Problem::new(Code::InvalidValue, title).label(edit.span, "edited by this");
            self.problems.push(problem.help("a path starts at the top of the repository: `apps/web`"));
            return None;
        };
        Some(ManifestEdit { path: inside.join("/"), change, span: edit.span })
    }

    /// The title of a pull request.
    fn title(&mut self, scope: &Scope<'_>, request: &PullRequest, message: &str) -> String {
        let title = self.filled(scope, request.title.as_ref());
        title.unwrap_or_else(|| message.lines().next().unwrap_or_default().to_owned())
    }

    fn kubectl_set(
        &mut self,
        set: &KubectlSet,
        images: &[StageImage],
    ) -> Option<(Spanned<String>, String, usize)> {
        let KubectlSet { workload, container, image } = set;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let named = workload.value.split_once('/').is_some_and(|(kind, name)| {
            let is_word = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric());
            is_word(kind) && is_word(name) && kind.chars().all(fits) && name.chars().all(fits)
        });
        if !named {
            let title = format!("`{}` is no workload", workload.value);
            let problem = Problem::new(Code::InvalidValue, title).label(workload.span, "a kind and a name");
            self.problems.push(problem.help("such as `deployment/web`"));
            return None;
        }
        let said = Spanned::new(container.clone(), workload.span);
        let at = self.image_of(image.as_ref(), &said, images)?;
        Some((workload.clone(), container.clone(), at))
    }

    /// The image of a stage that is meant: the one that is named, the only one, or the one
    /// that another name ends with.
    fn image_of(
        &mut self,
        named: Option<&Spanned<String>>,
        said: &Spanned<String>,
        images: &[StageImage],
    ) -> Option<usize> {
        let position = |name: &str| images.iter().position(|image| image.name == name);
        let there: Vec<_> = images.iter().map(|image| format!("`{}`", image.name)).collect();
        let there = there.join(", ");
        let problem = match named {
            Some(named) => match position(&named.value) {
                Some(at) => return Some(at),
                None => {
                    Problem::new(Code::UnknownName, format!("`{}` is no image of this stage", named.value))
                        .label(named.span, format!("it has {there}"))
                }
            },
            None if images.len() == 1 => return Some(0),
            None => {
                let last = said.value.rsplit('/').next().unwrap_or_default();
                let last = last.split(':').next().unwrap_or_default();
                match position(last) {
                    Some(at) => return Some(at),
                    None => Problem::new(
                        Code::MissingProperty,
                        format!("which image `{}` is set to is not said", said.value),
                    )
                    .label(said.span, format!("the stage has {there}"))
                    .help("call it as one of them, or name the image: see docs/deploying.md"),
                }
            }
        };
        self.problems.push(problem);
        None
    }
}

/// The branch of the pull request of a deployment: always the same for it, so that one is
/// open at a time, and no other's, since projects may share a repository of manifests.
fn head(project: &str, stage: &Stage, at: usize) -> String {
    let asks =
        |deploy: &&Spanned<Deploy>| matches!(deploy.value, Deploy::Gitops { pull_request: Some(_), .. });
    let before = stage.deploys.iter().take(at).filter(asks).count();
    let number = if before == 0 { String::new() } else { format!(".{}", before + 1) };
    format!("hoist/{}/{}{number}", part(project), part(&stage.name.value))
}

/// A name as one part of the name of a branch. What has to be spelled otherwise there is
/// told from others that are spelled alike.
fn part(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(fits) {
        return name.to_owned();
    }
    let spelled: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    format!("{spelled}-{}", Digest::of(name.as_bytes()).short())
}

/// Whether an address shows a password: it would be an argument of a process.
fn holds_password(address: &str) -> bool {
    let authority = address.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}
