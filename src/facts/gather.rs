//! Answering all questions.

use std::path::Path;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::config::Release;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{
    Environment, Event, EventSource, Facts, Host, Needs, Project, base, ci, dotenv, event, git, inputs,
    nearest, tool,
};
use crate::oci::Platform;

/// The variable that gives reproducible builds their time, in seconds since 1970.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What is asked of the world for one run.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What must be known.
    pub needs: &'a Needs,
    /// Values of variables, from the command line.
    pub overrides: &'a IndexMap<String, String>,
    /// The event, from the command line: `tag=v1.2.3`, `branch=develop`, `pr=42`,
    /// or `schedule`.
    pub event: Option<&'a str>,
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
    let mut repository = problems.take(git::read(&project.root, &host.environment)).flatten();
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
        tools: Vec::new(),
        bases: Vec::new(),
    };
    let needs = question.needs;
    let (files, tools) = rayon::join(
        || inputs::read_all(&project.root, release, &facts, &needs.inputs),
        || tool::run_all(&project.root, release, &facts, &needs.tools),
    );
    facts.inputs = problems.take(files).unwrap_or_default();
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
        let near = nearest::name(name, release.vars.keys().map(String::as_str));
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
