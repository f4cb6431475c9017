//! What a run is for: a tag, a branch, a pull request, a schedule.

use std::path::Path;

use crate::config::{Release, Rule, RuleKind};
use crate::diagnostic::{Code, Problem, nearest};
use crate::facts::{Environment, Git, Repository, ci, git};

/// The event that a run belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A git tag, by its name.
    Tag(String),
    /// A commit on a branch, by its name.
    Branch(String),
    /// A pull request, by its number.
    PullRequest(u64),
    /// A schedule.
    Schedule,
    /// A commit that no branch or tag names, or no commit at all.
    Unnamed,
}

impl Event {
    /// The word of the language for it: `tag`, `branch`, `pr`, `schedule`, `unnamed`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tag(_) => "tag",
            Self::Branch(_) => "branch",
            Self::PullRequest(_) => "pr",
            Self::Schedule => "schedule",
            Self::Unnamed => "unnamed",
        }
    }

    /// The event as `--event` takes it; none for a state without a name.
    #[must_use]
    pub fn spelled(&self) -> Option<String> {
        match self {
            Self::Tag(name) => Some(format!("tag={name}")),
            Self::Branch(name) => Some(format!("branch={name}")),
            Self::PullRequest(number) => Some(format!("pr={number}")),
            Self::Schedule => Some("schedule".to_owned()),
            Self::Unnamed => None,
        }
    }

    /// The event that `--event` names.
    ///
    /// # Errors
    /// It is none.
    pub fn given(text: &str) -> Result<Self, Problem> {
        let invalid = |title: String| {
            Problem::new(Code::InvalidEvent, title)
                .help("`--event tag=v1.2.3`, `branch=develop`, `pr=42`, or `schedule`")
        };
        let (kind, value) = text.split_once('=').map_or((text, None), |(kind, value)| (kind, Some(value)));
        let ref_name = |directory: &str| match value {
            Some(name) if git2::Reference::is_valid_name(&format!("refs/{directory}/{name}")) => {
                Ok(name.to_owned())
            }
            Some(name) => Err(invalid(format!("`{name}` cannot be the name of a {kind}"))),
            None => Err(invalid(format!("the event `{kind}` needs a name"))),
        };
        match (kind, value) {
            ("tag", _) => ref_name("tags").map(Self::Tag),
            ("branch", _) => ref_name("heads").map(Self::Branch),
            ("pr", Some(number)) => match number.parse() {
                Ok(number) => Ok(Self::PullRequest(number)),
                Err(_) => Err(invalid(format!("`{number}` is not the number of a pull request"))),
            },
            ("pr", None) => Err(invalid("the event `pr` needs a number".to_owned())),
            ("schedule", None) => Ok(Self::Schedule),
            ("schedule", Some(_)) => Err(invalid("the event `schedule` has no value".to_owned())),
            _ => {
                let problem = invalid(format!("`{kind}` is not a kind of event"));
                let near = nearest(kind, ["tag", "branch", "pr", "schedule"]);
                Err(problem.maybe_help(near.map(|near| format!("did you mean `{near}`?"))))
            }
        }
    }
}

/// Where the event was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventSource {
    /// `--event`.
    CommandLine,
    /// Variables of a CI system, by its name.
    Ci(&'static str),
    /// The repository's HEAD.
    Head,
}

/// What the run is for: as given, else as the CI system says, else by HEAD.
pub(super) fn find(
    given: Option<&str>,
    environment: &Environment,
    repository: Option<&Repository>,
    release: &Release,
) -> Result<(Event, EventSource), Problem> {
    if let Some(text) = given {
        return Ok((Event::given(text)?, EventSource::CommandLine));
    }
    if let Some((event, system)) = ci::event(environment)? {
        return Ok((event, EventSource::Ci(system)));
    }
    let version = repository.into_iter().flat_map(|repository| &repository.tags_of_head);
    let tagged = version.filter_map(|tag| Some((version_of(tag, release)?, tag))).max();
    let branch = repository.and_then(|repository| repository.git.branch.clone());
    let event = match (tagged, branch) {
        (Some((_, tag)), _) => Event::Tag(tag.clone()),
        (None, Some(branch)) => Event::Branch(branch),
        (None, None) => Event::Unnamed,
    };
    Ok((event, EventSource::Head))
}

/// What the repository says of a commit that need not be checked out, and the event that
/// it is for: the highest version that tags it, else what was said of it before. `None`:
/// it is not here.
///
/// # Errors
/// The repository cannot be read; `before` is no event.
pub fn commit_and_event(
    directory: &Path,
    environment: &Environment,
    release: &Release,
    (commit, before): (&str, &str),
) -> Result<Option<(Git, Event)>, Problem> {
    let Some(found) = git::read_commit(directory, environment, commit)? else { return Ok(None) };
    let tags = found.tags_of_head.iter();
    let version = tags.filter_map(|tag| Some((version_of(tag, release)?, tag))).max();
    let event = match version {
        Some((_, tag)) => Event::Tag(tag.clone()),
        None => Event::given(before)?,
    };
    let branch = match &event {
        Event::Branch(branch) => Some(branch.clone()),
        _ => None,
    };
    Ok(Some((Git { branch, ..found.git }, event)))
}

/// The version that a git tag says, behind nothing, `v`, or what a rule of the
/// file takes for a prefix.
#[must_use]
pub fn version_of(tag: &str, release: &Release) -> Option<semver::Version> {
    let prefixes = rules(release).filter_map(|rule| match &rule.kind {
        RuleKind::Semver { prefix: Some(prefix), .. } => Some(prefix.value.as_str()),
        _ => None,
    });
    let versions = prefixes.chain(["", "v"]).filter_map(|prefix| tag.strip_prefix(prefix)?.parse().ok());
    versions.max()
}

/// The commit that a git tag names in the repository that `directory` lies in, as 40
/// hex digits; `None` where there is no such tag, or it cannot be read.
#[must_use]
pub fn commit_of_tag(directory: &Path, environment: &Environment, tag: &str) -> Option<String> {
    let repository = git::open(directory, environment).ok()??;
    let reference = repository.find_reference(&format!("refs/tags/{tag}")).ok()?;
    Some(reference.peel_to_commit().ok()?.id().to_string())
}

/// Whether a commit is on a branch, as the repository that `directory` lies in or its
/// remotes know it. `None` where there is no such branch, or it cannot be told: the
/// history is cut off, the commit is not here.
#[must_use]
pub fn is_on_branch(directory: &Path, environment: &Environment, branch: &str, commit: &str) -> Option<bool> {
    let repository = git::open(directory, environment).ok()??;
    let commit = repository.revparse_single(commit).ok()?.id();
    let remotes = repository.remotes().ok()?;
    let remotes = remotes.iter().filter_map(|name| Some(format!("refs/remotes/{}/{branch}", name.ok()??)));
    let names = remotes.chain([format!("refs/heads/{branch}")]);
    let tips =
        names.filter_map(|name| Some(repository.find_reference(&name).ok()?.peel_to_commit().ok()?.id()));
    let found = tips.map(|tip| tip == commit || repository.graph_descendant_of(tip, commit).unwrap_or(false));
    match found.reduce(|one, other| one || other)? {
        false if repository.is_shallow() => None,
        on => Some(on),
    }
}

fn rules(release: &Release) -> impl Iterator<Item = &Rule> {
    let images = release.images.values().flat_map(|image| &image.tags);
    let sets = release.tag_sets.values().flat_map(|set| &set.rules);
    images.chain(sets).chain(release.stages.values().flat_map(|stage| &stage.tags))
}
