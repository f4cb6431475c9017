//! Filling templates.

use indexmap::IndexMap;

use crate::config::{Fact, Field, Name, Part, Release, Template};
use crate::diagnostic::{Code, Problem};
use crate::facts::{Event, Facts, Git, script, version_of};
use crate::oci::Platform;

/// What the names in a template stand for at one place of the plan.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    release: &'a Release,
    facts: &'a Facts,
    platform: Option<&'a Platform>,
    matrix: Option<&'a IndexMap<String, String>>,
    groups: &'a [String],
}

/// Why a name has no value here.
enum Missing {
    /// There is no repository with a commit.
    Git,
    /// There is no value; says why, and what to do about it.
    Value(String, Option<String>),
    /// It was to be filled in itself, and that failed.
    Nested(Box<Problem>),
}

impl<'a> Scope<'a> {
    /// Variables and facts, for no platform.
    #[must_use]
    pub const fn new(release: &'a Release, facts: &'a Facts) -> Self {
        Self { release, facts, platform: None, matrix: None, groups: &[] }
    }

    /// The same, for a platform.
    #[must_use]
    pub const fn on(mut self, platform: &'a Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// The same, with values of a matrix.
    #[must_use]
    pub const fn with_matrix(mut self, matrix: &'a IndexMap<String, String>) -> Self {
        self.matrix = Some(matrix);
        self
    }

    /// The same, with the groups of a `match` rule, `{0}` first.
    #[must_use]
    pub const fn with_groups(mut self, groups: &'a [String]) -> Self {
        self.groups = groups;
        self
    }

    /// The facts.
    #[must_use]
    pub const fn facts(&self) -> &'a Facts {
        self.facts
    }

    /// The text of a template.
    ///
    /// # Errors
    /// A field whose fact has no value for this event ([`NoSuchFact`]), or needs
    /// a repository where there is none ([`NoGit`]).
    ///
    /// [`NoSuchFact`]: crate::diagnostic::Code::NoSuchFact
    /// [`NoGit`]: crate::diagnostic::Code::NoGit
    pub fn fill(&self, template: &Template) -> Result<String, Problem> {
        self.fill_within(template, &mut Vec::new())
    }

    /// The variables that a script names and that hoist knows: those of the file,
    /// of the matrix, and the facts as `HOIST_…`. Named anywhere counts, in quotes
    /// and comments as well. One that has no value is left out where the script
    /// says what stands in its place (`${HOIST_TAG:-none}`).
    ///
    /// `-` and `.`, which the name of a variable cannot have, are `_`.
    ///
    /// # Errors
    /// As [`Scope::fill`], without a place.
    pub fn script_variables(&self, script: &str) -> Result<IndexMap<String, String>, Problem> {
        let mut variables = IndexMap::new();
        for word in script::words(script) {
            let Some(name) = self.variable(word.name) else { continue };
            match self.value(&name, None, &mut Vec::new()) {
                Ok(value) => drop(variables.insert(word.name.to_owned(), value)),
                Err(_) if word.optional => {}
                Err(missing) => {
                    let problem = problem(&format!("${}", word.name), missing);
                    let optional =
                        format!("`${{{}:-}}` in the script is empty where there is none", word.name);
                    let help = problem.help.clone().unwrap_or(optional);
                    return Err(problem.help(help));
                }
            }
        }
        variables.sort_keys();
        Ok(variables)
    }

    /// What the name of a variable in a script stands for.
    fn variable(&self, name: &str) -> Option<Name> {
        let spelled = |known: &str| known.replace(['-', '.'], "_") == name;
        let matrix = self.matrix.and_then(|matrix| matrix.keys().find(|key| spelled(key)));
        if let Some(key) = matrix {
            return Some(Name::Matrix(key.clone()));
        }
        if let Some(fact) = Fact::ALL.iter().find(|fact| fact.variable() == name) {
            return Some(Name::Fact(*fact));
        }
        // A script does not know the prefix of its file: the last part counts.
        let last = |key: &str| key.rsplit('/').next().is_some_and(spelled);
        let vars = self.release.vars.keys();
        vars.clone()
            .find(|key| spelled(key))
            .or_else(|| vars.clone().find(|key| last(key)))
            .cloned()
            .map(Name::Var)
    }

    fn fill_within(&self, template: &Template, outer: &mut Vec<String>) -> Result<String, Problem> {
        let mut text = String::new();
        for part in &template.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Field(field) => text.push_str(&self.field(field, outer)?),
            }
        }
        Ok(text)
    }

    fn field(&self, field: &Field, outer: &mut Vec<String>) -> Result<String, Problem> {
        self.value(&field.name, field.format.as_deref(), outer).map_err(|missing| {
            let what = match &field.name {
                Name::Var(name) | Name::Matrix(name) => format!("{{{name}}}"),
                Name::Env(name) => format!("{{env.{name}}}"),
                Name::Fact(fact) => format!("{{{}}}", fact.as_str()),
                Name::Group(number) => format!("{{{number}}}"),
            };
            let problem = problem(&what, missing);
            let label = if problem.labels.is_empty() { "has no value here" } else { "used here" };
            problem.label(field.span, label)
        })
    }

    fn value(&self, name: &Name, format: Option<&str>, outer: &mut Vec<String>) -> Result<String, Missing> {
        match name {
            Name::Var(name) => self.var(name, outer),
            Name::Matrix(name) => {
                let value = self.matrix.and_then(|matrix| matrix.get(name));
                value.cloned().ok_or_else(|| Missing::Value("it belongs to a matrix".to_owned(), None))
            }
            Name::Env(name) => match self.facts.environment.get(name) {
                Some(value) => value.to_str().map(str::to_owned).ok_or_else(|| not_utf8(name)),
                None => Err(Missing::Value(
                    format!("the environment has no variable `{name}`"),
                    Some(format!("set `{name}` in the environment, or in a `dotenv` file")),
                )),
            },
            Name::Fact(fact) => self.fact(*fact, format),
            Name::Group(number) => self.groups.get(*number).cloned().ok_or_else(|| {
                let groups = self.groups.len().saturating_sub(1);
                Missing::Value(format!("the expression has {groups} groups"), None)
            }),
        }
    }

    /// From the command line, else from the environment, else the default.
    fn var(&self, name: &str, outer: &mut Vec<String>) -> Result<String, Missing> {
        if let Some(value) = self.facts.overrides.get(name) {
            return Ok(value.clone());
        }
        let var = self.release.vars.get(name);
        let env = var.and_then(|var| var.env.as_deref());
        if let Some(env) = env
            && let Some(value) = self.facts.environment.get(env).filter(|value| !value.is_empty())
        {
            return value.to_str().map(str::to_owned).ok_or_else(|| not_utf8(env));
        }
        let Some(template) = var.and_then(|var| var.value.as_ref()) else {
            let help = match env {
                Some(env) => format!("`{name}=VALUE` on the command line, or `{env}` in the environment"),
                None => format!("`{name}=VALUE` on the command line"),
            };
            return Err(Missing::Value("it has no default".to_owned(), Some(help)));
        };
        if outer.iter().any(|outer| outer == name) {
            return Err(Missing::Value("it is made of itself".to_owned(), None));
        }
        outer.push(name.to_owned());
        let filled = self.fill_within(template, outer);
        outer.pop();
        filled.map_err(|problem| Missing::Nested(Box::new(problem)))
    }

    fn fact(&self, fact: Fact, format: Option<&str>) -> Result<String, Missing> {
        let platform = self.platform.unwrap_or(&self.facts.platform);
        Ok(match fact {
            Fact::Sha => self.git()?.sha.clone(),
            Fact::Short => self.git()?.sha.chars().take(7).collect(),
            Fact::Branch => self.branch()?,
            Fact::Tag => match &self.facts.event {
                Event::Tag(tag) => tag.clone(),
                _ => return Err(self.only_on("tag=v1.2.3")),
            },
            Fact::Describe => self.git()?.describe.clone(),
            Fact::Dirty => self.git()?.dirty.to_string(),
            Fact::CommitTime => self.git()?.time.to_string(),
            Fact::Version => self.version_or_describe()?,
            Fact::Major => self.version()?.major.to_string(),
            Fact::Minor => self.version()?.minor.to_string(),
            Fact::Patch => self.version()?.patch.to_string(),
            Fact::Prerelease => self.version()?.pre.to_string(),
            Fact::Number => match self.facts.event {
                Event::PullRequest(number) => number.to_string(),
                _ => return Err(self.only_on("pr=NUMBER")),
            },
            Fact::Date => self.date(format.unwrap_or("%Y%m%d"))?,
            Fact::Project => self.release.project.clone(),
            Fact::Platform => platform.to_string(),
            Fact::PlatformOs => platform.os.clone(),
            Fact::PlatformArch => platform.architecture.clone(),
            Fact::User => self.facts.user.clone(),
        })
    }

    fn git(&self) -> Result<&'a Git, Missing> {
        self.facts.git.as_ref().ok_or(Missing::Git)
    }

    fn branch(&self) -> Result<String, Missing> {
        if let Event::Branch(branch) = &self.facts.event {
            return Ok(branch.clone());
        }
        self.git()?.branch.clone().ok_or_else(|| {
            let help = "`git switch BRANCH`, or `--event branch=BRANCH`".to_owned();
            Missing::Value("HEAD is on no branch".to_owned(), Some(help))
        })
    }

    fn version(&self) -> Result<semver::Version, Missing> {
        let Event::Tag(tag) = &self.facts.event else { return Err(self.only_on("tag=v1.2.3")) };
        version_of(tag, self.release)
            .ok_or_else(|| Missing::Value(format!("the git tag `{tag}` is not a version"), None))
    }

    fn version_or_describe(&self) -> Result<String, Missing> {
        match self.version() {
            Ok(version) => Ok(version.to_string()),
            Err(_) => Ok(self.git()?.describe.clone()),
        }
    }

    fn date(&self, format: &str) -> Result<String, Missing> {
        let time = self.git()?.time.to_zoned(jiff::tz::TimeZone::UTC);
        jiff::fmt::strtime::format(format, &time)
            .map_err(|error| Missing::Value(format!("the format `{format}`: {error}"), None))
    }

    fn only_on(&self, event: &str) -> Missing {
        let this = match &self.facts.event {
            Event::Tag(_) => "a git tag",
            Event::Branch(_) => "a branch",
            Event::PullRequest(_) => "a pull request",
            Event::Schedule => "a schedule",
            Event::Unnamed => "a commit that no tag or branch names",
        };
        Missing::Value(format!("the event is {this}"), Some(format!("`--event {event}` gives it one")))
    }
}

fn not_utf8(variable: &str) -> Missing {
    Missing::Value(format!("the variable `{variable}` of the environment is not UTF-8"), None)
}

fn problem(what: &str, missing: Missing) -> Problem {
    match missing {
        Missing::Git => Problem::new(Code::NoGit, format!("`{what}` needs a git repository with a commit"))
            .help("`git init`, `git add --all`, and `git commit` make one"),
        Missing::Value(why, help) => {
            Problem::new(Code::NoSuchFact, format!("`{what}` has no value: {why}")).maybe_help(help)
        }
        Missing::Nested(problem) => *problem,
    }
}
