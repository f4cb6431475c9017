//! Answering all questions.

use std::collections::HashMap;
use std::path::Path;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::config::Release;
use crate::diagnostic::{Code, Problem, Problems, nearest};
use crate::facts::{
    Environment, Event, EventSource, Facts, Host, KnownFiles, Needs, Project, Walked, base, ci, dotenv,
    event, git, inputs, tool,
};
use crate::oci::Platform;

/// The variable that gives reproducible builds their time, in seconds since 1970.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What is asked of the world for one run.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What must be known.
    pub needs: &'a Needs,
    /// Files that were read before.
    pub known: &'a KnownFiles,
    /// Values of variables, from the command line.
    pub overrides: &'a IndexMap<String, String>,
    /// The event, from the command line: `tag=v1.2.3`, `branch=develop`, `pr=42`,
    /// or `schedule`.
    pub event: Option<&'a str>,
    /// Is told of each tool that takes more than a second to say what it is.
    pub waiting: &'a (dyn Fn(&str) + Sync),
}

/// Looks at the world and answers what was asked, and nothing else.
///
/// # Errors
/// Everything that is missing or cannot be read.
pub fn gather(
    host: &Host,
    project: &Project,
    release: &Release,
    question: &Question<'_>,
) -> Result<Facts, Problems> {
    let mut problems = Problems::new();
    problems.extend(unknown_overrides(release, question.overrides));
    let mut environment = host.environment.clone();
    let dotenv = problems.take(read_dotenv(&project.root, release, &mut environment)).unwrap_or_default();
    let epoch = problems.take(source_date(&environment)).flatten();
    let mut repository =
        problems.take(git::read(&project.root, &host.environment, question.needs.commit_only)).flatten();
    let found = event::find(question.event, &host.environment, repository.as_ref(), release);
    let (event, event_source) = problems.take(found).unwrap_or((Event::Unnamed, EventSource::Head));
    if let Some(repository) = &mut repository {
        repository.git.time = epoch.unwrap_or(repository.git.time);
        if repository.git.branch.is_none() && matches!(event, Event::Schedule) {
            repository.git.branch = ci::branch(&host.environment);
        }
    }
    let mut facts = Facts {
        event,
        event_source,
        git: repository.map(|repository| repository.git),
        environment,
        dotenv,
        overrides: question.overrides.clone(),
        now: epoch.unwrap_or(host.now),
        os: host.os,
        platform: Platform::host(),
        user: host.user.clone(),
        inputs: Vec::new(),
        walked: Walked::default(),
        tools: Vec::new(),
        dockerfiles: Vec::new(),
        bases: Vec::new(),
        images: HashMap::new(),
    };
    let needs = question.needs;
    let (files, tools) = rayon::join(
        || inputs::read_all(&project.root, release, &facts, &needs.inputs, question.known),
        || tool::run_all(&project.root, release, &facts, &needs.tools, question.waiting),
    );
    (facts.inputs, facts.walked) = problems.take(files).unwrap_or_default();
    facts.tools = problems.take(tools).unwrap_or_default();
    let bases = needs.bases.iter().filter_map(|base| problems.take(base::resolve(&project.root, base)));
    facts.bases = bases.collect();
    problems.or(facts)
}

fn unknown_overrides<'a>(
    release: &'a Release,
    overrides: &'a IndexMap<String, String>,
) -> impl Iterator<Item = Problem> + 'a {
    overrides.keys().filter(|name| !release.vars.contains_key(*name)).map(|name| {
        let near = nearest(name, release.vars.keys().map(String::as_str));
        Problem::new(Code::UnknownName, format!("there is no variable `{name}`"))
            .help(format!("`var \"{name}\" \"…\"` in the release file declares one"))
            .maybe_help(near.map(|near| format!("did you mean `{near}=…`?")))
    })
}

/// Adds the variables of the `dotenv` files that the environment does not have,
/// and returns the names of those that came from there. A file that does not
/// exist is passed over: such files are not checked in.
fn read_dotenv(
    root: &Path,
    release: &Release,
    environment: &mut Environment,
) -> Result<Vec<String>, Problems> {
    let mut problems = Problems::new();
    let mut variables = IndexMap::new();
    for path in &release.dotenv {
        let title = format!("`{}` cannot be read", path.value);
        let unreadable = Problem::new(Code::Unreadable, title).label(path.span, "named here");
        let bytes = match std::fs::read(root.join(path.value.as_path())) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                problems.push(unreadable.note(error.to_string()));
                continue;
            }
        };
        match String::from_utf8(bytes).map(|text| dotenv::parse(&text)) {
            Ok(Ok(found)) => variables.extend(found),
            Ok(Err(invalid)) => {
                let lines = invalid.iter().map(|wrong| format!("line {}: {}", wrong.line, wrong.what));
                problems.push(lines.fold(unreadable, Problem::note));
            }
            Err(_) => problems.push(unreadable.note("it is not UTF-8")),
        }
    }
    variables.retain(|name: &String, _: &mut String| environment.get(name).is_none());
    let names = variables.keys().cloned().collect();
    for (name, value) in variables {
        environment.set_default(name, value);
    }
    problems.or(names)
}

fn source_date(environment: &Environment) -> Result<Option<Timestamp>, Problem> {
    let Some(given) = environment.get(SOURCE_DATE_EPOCH).filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    let seconds = given.to_str().and_then(|seconds| seconds.parse().ok());
    match seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        Some(time) => Ok(Some(time)),
        None => Err(Problem::new(Code::InvalidValue, format!("`{SOURCE_DATE_EPOCH}` is not a time"))
            .help("it is a number of seconds since 1970, as `date +%s` prints")
            .note(format!("{SOURCE_DATE_EPOCH}={}", given.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Sources;
    use crate::facts::fixture::{Files, START, base, inputs, tool};
    use crate::facts::load;

    struct World {
        files: Files,
        host: Host,
        release: Release,
        needs: Needs,
        overrides: IndexMap<String, String>,
    }

    impl World {
        fn with(release: &str) -> Self {
            let files = Files::with(&[("release.kdl", release)]);
            let host = files.host(&[]);
            let release = load(&files.project(), &mut Sources::new()).unwrap();
            Self { files, host, release, needs: Needs::default(), overrides: IndexMap::new() }
        }

        fn set(&mut self, name: &str, value: &str) {
            self.host.environment.set_default(name, value);
        }

        fn ask(&self, event: Option<&str>) -> Result<Facts, Problems> {
            let question = Question {
                needs: &self.needs,
                known: &KnownFiles::new(),
                overrides: &self.overrides,
                event,
                waiting: &|_| (),
            };
            gather(&self.host, &self.files.project(), &self.release, &question)
        }

        fn event(&self, given: Option<&str>) -> (Event, EventSource) {
            let facts = self.ask(given).unwrap();
            (facts.event, facts.event_source)
        }

        fn problems(&self, event: Option<&str>) -> Vec<Problem> {
            self.ask(event).unwrap_err().as_slice().to_vec()
        }
    }

    fn tag(name: &str) -> Event {
        Event::Tag(name.to_owned())
    }

    fn branch(name: &str) -> Event {
        Event::Branch(name.to_owned())
    }

    #[test]
    fn the_event_is_the_one_given_else_of_the_ci_system_else_of_head() {
        let mut world = World::with("");
        assert_eq!(world.event(None), (branch("main"), EventSource::Head));
        world.files.repo.tag("v1.2.3");
        assert_eq!(world.event(None), (tag("v1.2.3"), EventSource::Head));
        world.set("GITLAB_CI", "true");
        world.set("CI_COMMIT_BRANCH", "develop");
        assert_eq!(world.event(None), (branch("develop"), EventSource::Ci("GitLab")));
        assert_eq!(world.event(Some("pr=42")), (Event::PullRequest(42), EventSource::CommandLine));
        assert_eq!(world.event(Some("tag=api/v1.0.0")), (tag("api/v1.0.0"), EventSource::CommandLine));
        assert_eq!(world.event(Some("schedule")), (Event::Schedule, EventSource::CommandLine));
    }

    #[test]
    fn of_the_versions_at_head_the_highest_counts() {
        let world = World::with("");
        for name in ["nightly", "v1.9.0", "v1.10.0", "v1.10.0-rc.1", "2024", "api/v9.0.0"] {
            world.files.repo.tag(name);
        }
        assert_eq!(world.event(None), (tag("v1.10.0"), EventSource::Head));
        let world = World::with("tags \"api\" { semver \"{version}\" prefix=\"api/v\"; }");
        world.files.repo.tag("v1.0.0");
        world.files.repo.tag("api/v9.0.0");
        assert_eq!(world.event(None), (tag("api/v9.0.0"), EventSource::Head));
    }

    #[test]
    fn a_head_without_a_branch_is_unnamed_and_a_schedule_knows_its_branch() {
        let mut world = World::with("");
        let git = &world.files.repo.git;
        git.set_head_detached(git.head().unwrap().target().unwrap()).unwrap();
        assert_eq!(world.event(None), (Event::Unnamed, EventSource::Head));
        world.set("GITHUB_ACTIONS", "true");
        world.set("GITHUB_EVENT_NAME", "schedule");
        world.set("GITHUB_REF", "refs/heads/main");
        let facts = world.ask(None).unwrap();
        assert_eq!(facts.event, Event::Schedule);
        assert_eq!(facts.git.unwrap().branch.as_deref(), Some("main"));
    }

    #[test]
    fn an_event_that_cannot_be_understood_is_told_with_what_can_be() {
        let world = World::with("");
        let problem = |title: &str, help: &str| vec![Problem::new(Code::InvalidEvent, title).help(help)];
        let all = "`--event tag=v1.2.3`, `branch=develop`, `pr=42`, or `schedule`";
        assert_eq!(world.problems(Some("pr=x")), problem("`x` is not the number of a pull request", all));
        assert_eq!(world.problems(Some("pr")), problem("the event `pr` needs a number", all));
        assert_eq!(world.problems(Some("tag")), problem("the event `tag` needs a name", all));
        assert_eq!(world.problems(Some("tag=")), problem("`` cannot be the name of a tag", all));
        assert_eq!(
            world.problems(Some("branch=a..b")),
            problem("`a..b` cannot be the name of a branch", all)
        );
        assert_eq!(world.problems(Some("schedule=x")), problem("the event `schedule` has no value", all));
        let near = problem("`brnach` is not a kind of event", "did you mean `branch`?");
        assert_eq!(world.problems(Some("brnach=main")), near);
    }

    #[test]
    fn files_of_variables_fill_what_the_environment_lacks() {
        let mut world = World::with("dotenv \".env\" \"more.env\" \"missing.env\"");
        world.files.repo.write(".env", "A=1\nB=1\nC=1\n");
        world.files.repo.write("more.env", "export B='2'\n");
        world.set("C", "host");
        let facts = world.ask(None).unwrap();
        let value = |name: &str| facts.environment.text(name).unwrap();
        assert_eq!((value("A"), value("B"), value("C")), ("1", "2", "host"));
        assert_eq!(facts.dotenv, ["A", "B"]);
    }

    #[test]
    fn a_wrong_file_of_variables_is_told_without_what_is_in_it() {
        let world = World::with("dotenv \".env\"");
        world.files.repo.write(".env", "A=1\nhunter2\n");
        let problems = world.problems(None);
        assert_eq!((problems.len(), problems[0].code), (1, Code::Unreadable));
        assert_eq!(problems[0].notes, ["line 2: there is no `=` behind the name"]);
        assert!(!format!("{problems:?}").contains("hunter2"));
    }

    #[test]
    fn the_given_time_rules_the_run_and_the_commit() {
        let mut world = World::with("");
        assert_eq!(world.ask(None).unwrap().git.unwrap().time.as_second(), START);
        world.set("SOURCE_DATE_EPOCH", "86400");
        let facts = world.ask(None).unwrap();
        assert_eq!((facts.now.as_second(), facts.git.unwrap().time.as_second()), (86400, 86400));
        let mut world = World::with("");
        world.set("SOURCE_DATE_EPOCH", "yesterday");
        let expected = Problem::new(Code::InvalidValue, "`SOURCE_DATE_EPOCH` is not a time")
            .help("it is a number of seconds since 1970, as `date +%s` prints")
            .note("SOURCE_DATE_EPOCH=yesterday");
        assert_eq!(world.problems(None), [expected]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let mut world = World::with("var \"python\" \"3\"");
        world.overrides.insert("pyhton".to_owned(), "3.12".to_owned());
        world.overrides.insert("x".to_owned(), "y".to_owned());
        world.needs.inputs = vec![inputs(&["missing"])];
        world.needs.tools = vec![tool(&["false"])];
        world.needs.bases = vec![base("no-layout", None)];
        let problems = world.problems(Some("nonsense"));
        let told: Vec<_> = problems.iter().map(|problem| (problem.code, problem.title.as_str())).collect();
        assert_eq!(
            told,
            [
                (Code::UnknownName, "there is no variable `pyhton`"),
                (Code::UnknownName, "there is no variable `x`"),
                (Code::InvalidEvent, "`nonsense` is not a kind of event"),
                (Code::MissingInput, "the input `missing` does not exist"),
                (Code::CommandFailed, "the tool `false` ended with exit status 1"),
                (Code::UnknownBase, "`no-layout` is not an OCI image layout"),
            ]
        );
        assert_eq!(problems[0].help.as_deref(), Some("did you mean `python=…`?"));
    }
}
