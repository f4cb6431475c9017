//! What CI systems say of the event, by their variables.

use crate::diagnostic::{Code, Problem};
use crate::facts::{Environment, Event};

/// A CI system, and the variables in which it says what a run is for.
struct System {
    name: &'static str,
    /// Set, and neither empty nor `false`, on this system alone.
    present: &'static str,
    /// A variable and its value on a schedule.
    schedule: Option<(&'static str, &'static str)>,
    /// A variable and its value on what is neither a branch nor a tag although
    /// it looks like one: builds and checks, and publishes nothing.
    unnamed: Option<(&'static str, &'static str)>,
    /// A variable and its value on a pull request whose number is in a file
    /// alone, and the variable that names the file.
    payload: Option<(&'static str, &'static str, &'static str)>,
    /// Hold the number of a pull request, or an address that ends in it.
    pull_request: &'static [&'static str],
    /// Holds a whole git reference: `refs/heads/…`, `refs/tags/…`, `refs/pull/…`.
    reference: Option<&'static str>,
    /// Hold the name of a tag.
    tag: &'static [&'static str],
    /// Hold the name of a branch, with or without `origin/`.
    branch: &'static [&'static str],
}

const NONE: System = System {
    name: "",
    present: "",
    schedule: None,
    unnamed: None,
    payload: None,
    pull_request: &[],
    reference: None,
    tag: &[],
    branch: &[],
};

/// The first one that is present counts. Those that agents of others may run
/// under come last.
const SYSTEMS: &[System] = &[
    System {
        name: "GitHub",
        present: "GITHUB_ACTIONS",
        schedule: Some(("GITHUB_EVENT_NAME", "schedule")),
        unnamed: Some(("GITHUB_EVENT_NAME", "merge_group")),
        payload: Some(("GITHUB_EVENT_NAME", "pull_request_target", "GITHUB_EVENT_PATH")),
        reference: Some("GITHUB_REF"),
        ..NONE
    },
    System {
        name: "GitLab",
        present: "GITLAB_CI",
        schedule: Some(("CI_PIPELINE_SOURCE", "schedule")),
        pull_request: &["CI_MERGE_REQUEST_IID", "CI_EXTERNAL_PULL_REQUEST_IID"],
        tag: &["CI_COMMIT_TAG"],
        branch: &["CI_COMMIT_BRANCH"],
        ..NONE
    },
    System {
        name: "Buildkite",
        present: "BUILDKITE",
        schedule: Some(("BUILDKITE_SOURCE", "schedule")),
        pull_request: &["BUILDKITE_PULL_REQUEST"],
        tag: &["BUILDKITE_TAG"],
        branch: &["BUILDKITE_BRANCH"],
        ..NONE
    },
    System {
        name: "CircleCI",
        present: "CIRCLECI",
        pull_request: &["CIRCLE_PR_NUMBER", "CIRCLE_PULL_REQUEST"],
        tag: &["CIRCLE_TAG"],
        branch: &["CIRCLE_BRANCH"],
        ..NONE
    },
    System {
        name: "Bitbucket",
        present: "BITBUCKET_BUILD_NUMBER",
        pull_request: &["BITBUCKET_PR_ID"],
        tag: &["BITBUCKET_TAG"],
        branch: &["BITBUCKET_BRANCH"],
        ..NONE
    },
    System {
        name: "Azure",
        present: "TF_BUILD",
        schedule: Some(("BUILD_REASON", "Schedule")),
        pull_request: &["SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "SYSTEM_PULLREQUEST_PULLREQUESTID"],
        reference: Some("BUILD_SOURCEBRANCH"),
        ..NONE
    },
    System {
        name: "Drone",
        present: "DRONE",
        schedule: Some(("DRONE_BUILD_EVENT", "cron")),
        pull_request: &["DRONE_PULL_REQUEST"],
        tag: &["DRONE_TAG"],
        branch: &["DRONE_BRANCH"],
        ..NONE
    },
    System {
        name: "Jenkins",
        present: "JENKINS_URL",
        schedule: Some(("BUILD_CAUSE", "TIMERTRIGGER")),
        pull_request: &["CHANGE_ID"],
        tag: &["TAG_NAME"],
        branch: &["BRANCH_NAME", "GIT_BRANCH"],
        ..NONE
    },
];

/// The event that the CI system names, and the system's name. `None` where there
/// is no CI system, or it says nothing of the commit.
pub(super) fn event(environment: &Environment) -> Result<Option<(Event, &'static str)>, Problem> {
    let Some(system) = present(environment) else { return Ok(None) };
    let is =
        |pair: Option<(&str, &str)>| pair.is_some_and(|(name, value)| set(environment, name) == Some(value));
    let event = if is(system.schedule) {
        Some(Event::Schedule)
    } else if is(system.unnamed) {
        Some(Event::Unnamed)
    } else if let Some(number) = pull_request(system, environment)? {
        Some(Event::PullRequest(number))
    } else if let Some(tag) = tag(system, environment) {
        Some(Event::Tag(tag.to_owned()))
    } else {
        branch_of(system, environment).map(Event::Branch)
    };
    Ok(event.map(|event| (event, system.name)))
}

/// The branch that the CI system names, where HEAD is on none because the system
/// checked out a commit.
pub(super) fn branch(environment: &Environment) -> Option<String> {
    branch_of(present(environment)?, environment)
}

fn present(environment: &Environment) -> Option<&'static System> {
    let is_true = |system: &&System| set(environment, system.present).is_some_and(|value| value != "false");
    SYSTEMS.iter().find(is_true)
}

fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.text(name).filter(|value| !value.is_empty())
}

fn reference<'a>(system: &System, environment: &'a Environment, kind: &str) -> Option<&'a str> {
    set(environment, system.reference?)?.strip_prefix("refs/")?.strip_prefix(kind)?.strip_prefix('/')
}

fn pull_request(system: &System, environment: &Environment) -> Result<Option<u64>, Problem> {
    let unclear = |name: &str, value: &str| {
        Problem::new(
            Code::InvalidEvent,
            format!("`{name}` of {} does not tell the number of the pull request", system.name),
        )
        .help("`--event pr=NUMBER` gives it")
        .note(format!("{name}={value}"))
    };
    if let Some(merge) = reference(system, environment, "pull") {
        let name = system.reference.unwrap_or_default();
        let number = merge.split('/').next().and_then(|number| number.parse().ok());
        return number.map(Some).ok_or_else(|| unclear(name, merge));
    }
    for name in system.pull_request {
        match set(environment, name) {
            None | Some("false") => {}
            Some(value) => {
                let number = value.rsplit('/').next().and_then(|number| number.parse().ok());
                return number.map(Some).ok_or_else(|| unclear(name, value));
            }
        }
    }
    match system.payload {
        Some((name, value, file)) if set(environment, name) == Some(value) => {
            let path = set(environment, file).unwrap_or_default();
            number_in(path).map(Some).ok_or_else(|| unclear(file, path))
        }
        _ => Ok(None),
    }
}

/// The number of the pull request that the JSON of an event is about.
fn number_in(path: &str) -> Option<u64> {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    json.pointer("/pull_request/number").or_else(|| json.get("number"))?.as_u64()
}

fn tag<'a>(system: &System, environment: &'a Environment) -> Option<&'a str> {
    let named = system.tag.iter().find_map(|name| set(environment, name));
    named.or_else(|| reference(system, environment, "tags"))
}

fn branch_of(system: &System, environment: &Environment) -> Option<String> {
    let named = system.branch.iter().find_map(|name| set(environment, name));
    let branch = named.or_else(|| reference(system, environment, "heads"))?;
    let short =
        ["refs/heads/", "refs/remotes/origin/", "origin/"].iter().find_map(|it| branch.strip_prefix(it));
    // What Jenkins calls a commit that was checked out without a branch.
    (branch != "detached").then(|| short.unwrap_or(branch).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(variables: &[(&str, &str)]) -> Result<Option<(Event, &'static str)>, Problem> {
        event(&variables.iter().copied().collect())
    }

    fn of(variables: &[(&str, &str)]) -> Option<(Event, &'static str)> {
        asked(variables).expect("the event is clear")
    }

    fn tag(name: &str) -> Event {
        Event::Tag(name.to_owned())
    }

    fn on(name: &str) -> Event {
        Event::Branch(name.to_owned())
    }

    #[test]
    fn github_tells_by_reference_and_event() {
        let github = |event: &str, reference: &str| {
            of(&[("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", event), ("GITHUB_REF", reference)])
        };
        assert_eq!(github("push", "refs/heads/feature/a"), Some((on("feature/a"), "GitHub")));
        assert_eq!(github("push", "refs/tags/v1.2.3"), Some((tag("v1.2.3"), "GitHub")));
        assert_eq!(github("release", "refs/tags/v1.2.3"), Some((tag("v1.2.3"), "GitHub")));
        assert_eq!(github("pull_request", "refs/pull/42/merge"), Some((Event::PullRequest(42), "GitHub")));
        assert_eq!(github("schedule", "refs/heads/main"), Some((Event::Schedule, "GitHub")));
        assert_eq!(github("workflow_dispatch", "refs/heads/main"), Some((on("main"), "GitHub")));
    }

    #[test]
    fn a_merge_queue_publishes_nothing() {
        let reference = "refs/heads/gh-readonly-queue/main/pr-42-0123";
        let variables =
            [("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "merge_group"), ("GITHUB_REF", reference)];
        assert_eq!(of(&variables), Some((Event::Unnamed, "GitHub")));
    }

    #[test]
    fn a_pull_request_that_runs_on_its_target_branch_is_not_taken_for_that_branch() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("event.json");
        std::fs::write(&path, r#"{"number": 7, "pull_request": {"number": 7}}"#).unwrap();
        let mut variables = vec![
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", "pull_request_target"),
            ("GITHUB_REF", "refs/heads/main"),
        ];
        assert_eq!(
            asked(&variables),
            Err(Problem::new(
                Code::InvalidEvent,
                "`GITHUB_EVENT_PATH` of GitHub does not tell the number of the pull request"
            )
            .help("`--event pr=NUMBER` gives it")
            .note("GITHUB_EVENT_PATH="))
        );
        variables.push(("GITHUB_EVENT_PATH", path.to_str().unwrap()));
        assert_eq!(of(&variables), Some((Event::PullRequest(7), "GitHub")));
    }

    #[test]
    fn gitlab_tells_merge_requests_tags_branches_and_schedules() {
        let gitlab = |variable: (&'static str, &'static str)| of(&[("GITLAB_CI", "true"), variable]);
        assert_eq!(gitlab(("CI_MERGE_REQUEST_IID", "42")), Some((Event::PullRequest(42), "GitLab")));
        assert_eq!(gitlab(("CI_COMMIT_TAG", "v1.0.0")), Some((tag("v1.0.0"), "GitLab")));
        assert_eq!(gitlab(("CI_COMMIT_BRANCH", "develop")), Some((on("develop"), "GitLab")));
        assert_eq!(gitlab(("CI_PIPELINE_SOURCE", "schedule")), Some((Event::Schedule, "GitLab")));
    }

    #[test]
    fn buildkite_says_false_where_there_is_no_pull_request() {
        let buildkite = |more: &[(&'static str, &'static str)]| {
            of(&[&[("BUILDKITE", "true"), ("BUILDKITE_BRANCH", "main")], more].concat())
        };
        assert_eq!(buildkite(&[("BUILDKITE_PULL_REQUEST", "false")]), Some((on("main"), "Buildkite")));
        assert_eq!(
            buildkite(&[("BUILDKITE_PULL_REQUEST", "42")]),
            Some((Event::PullRequest(42), "Buildkite"))
        );
        assert_eq!(buildkite(&[("BUILDKITE_TAG", "v1")]), Some((tag("v1"), "Buildkite")));
        assert_eq!(buildkite(&[("BUILDKITE_SOURCE", "schedule")]), Some((Event::Schedule, "Buildkite")));
    }

    #[test]
    fn circleci_tells_a_pull_request_by_its_address() {
        let circle = |more: (&'static str, &'static str)| of(&[("CIRCLECI", "true"), more]);
        let address = "https://github.com/acme/web/pull/42";
        assert_eq!(circle(("CIRCLE_PULL_REQUEST", address)), Some((Event::PullRequest(42), "CircleCI")));
        assert_eq!(circle(("CIRCLE_PR_NUMBER", "42")), Some((Event::PullRequest(42), "CircleCI")));
        assert_eq!(circle(("CIRCLE_TAG", "v1.0.0")), Some((tag("v1.0.0"), "CircleCI")));
        assert_eq!(circle(("CIRCLE_BRANCH", "main")), Some((on("main"), "CircleCI")));
    }

    #[test]
    fn bitbucket_tells_pull_requests_tags_and_branches() {
        let bitbucket =
            |more: &[(&'static str, &'static str)]| of(&[&[("BITBUCKET_BUILD_NUMBER", "1")], more].concat());
        let pull_request = [("BITBUCKET_PR_ID", "42"), ("BITBUCKET_BRANCH", "feature")];
        assert_eq!(bitbucket(&pull_request), Some((Event::PullRequest(42), "Bitbucket")));
        assert_eq!(bitbucket(&[("BITBUCKET_TAG", "v1.0.0")]), Some((tag("v1.0.0"), "Bitbucket")));
        assert_eq!(bitbucket(&[("BITBUCKET_BRANCH", "main")]), Some((on("main"), "Bitbucket")));
    }

    #[test]
    fn azure_tells_by_reference_and_reason() {
        let azure = |reason: &str, reference: &str| {
            of(&[("TF_BUILD", "True"), ("BUILD_REASON", reason), ("BUILD_SOURCEBRANCH", reference)])
        };
        assert_eq!(azure("IndividualCI", "refs/heads/main"), Some((on("main"), "Azure")));
        assert_eq!(azure("IndividualCI", "refs/tags/v1.0.0"), Some((tag("v1.0.0"), "Azure")));
        assert_eq!(azure("PullRequest", "refs/pull/42/merge"), Some((Event::PullRequest(42), "Azure")));
        assert_eq!(azure("Schedule", "refs/heads/main"), Some((Event::Schedule, "Azure")));
    }

    #[test]
    fn drone_names_the_target_branch_of_a_pull_request_too() {
        let drone = |more: &[(&'static str, &'static str)]| {
            of(&[&[("DRONE", "true"), ("DRONE_BRANCH", "main")], more].concat())
        };
        assert_eq!(drone(&[]), Some((on("main"), "Drone")));
        assert_eq!(drone(&[("DRONE_PULL_REQUEST", "42")]), Some((Event::PullRequest(42), "Drone")));
        assert_eq!(drone(&[("DRONE_TAG", "v1.0.0")]), Some((tag("v1.0.0"), "Drone")));
        assert_eq!(drone(&[("DRONE_BUILD_EVENT", "cron")]), Some((Event::Schedule, "Drone")));
    }

    #[test]
    fn jenkins_tells_with_and_without_a_multibranch_pipeline() {
        let jenkins = |more: &[(&'static str, &'static str)]| {
            of(&[&[("JENKINS_URL", "https://ci.acme.dev/")], more].concat())
        };
        let change = [("CHANGE_ID", "42"), ("BRANCH_NAME", "PR-42")];
        assert_eq!(jenkins(&change), Some((Event::PullRequest(42), "Jenkins")));
        assert_eq!(jenkins(&[("TAG_NAME", "v1"), ("BRANCH_NAME", "v1")]), Some((tag("v1"), "Jenkins")));
        assert_eq!(jenkins(&[("BRANCH_NAME", "feature/a")]), Some((on("feature/a"), "Jenkins")));
        assert_eq!(jenkins(&[("GIT_BRANCH", "origin/develop")]), Some((on("develop"), "Jenkins")));
        assert_eq!(jenkins(&[("GIT_BRANCH", "detached")]), None);
    }

    #[test]
    fn without_a_system_nothing_is_said() {
        assert_eq!(
            of(&[("CI", "true"), ("GITHUB_ACTIONS", "false"), ("GITHUB_REF", "refs/heads/main")]),
            None
        );
    }
}
