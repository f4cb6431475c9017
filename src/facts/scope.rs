//! Filling templates.

use indexmap::IndexMap;

use crate::config::{Fact, Field, Name, Part, Release, Template};
use crate::diagnostic::{Code, Problem};
use crate::facts::{Event, Facts, Git, script, short, version_of};
use crate::oci::Platform;

/// What the names in a template stand for at one place of the plan.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    release: &'a Release,
    facts: &'a Facts,
    platform: Option<&'a Platform>,
    matrix: Option<&'a IndexMap<String, String>>,
    groups: &'a [String],
    owner: Option<&'a str>,
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
        Self { release, facts, platform: None, matrix: None, groups: &[], owner: None }
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

    /// The same, for the scripts of a target: a variable of its own file, whose
    /// prefix the target has as well, comes before one of the project.
    #[must_use]
    pub const fn of(mut self, target: &'a str) -> Self {
        self.owner = Some(target);
        self
    }

    /// The facts.
    #[must_use]
    pub const fn facts(&self) -> &'a Facts {
        self.facts
    }

    /// The value of a fact, if it has one here.
    #[must_use]
    pub fn known(&self, fact: Fact) -> Option<String> {
        self.fact(fact, None).ok()
    }

    /// The value that a variable of the file was given on the command line or by the
    /// environment, in place of its own.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<String> {
        let env = self.release.vars.get(name).and_then(|var| var.env.as_deref());
        let of_environment = || self.facts.environment.text(env?).filter(|value| !value.is_empty());
        self.facts.overrides.get(name).map(String::as_str).or_else(of_environment).map(str::to_owned)
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
                    let optional =
                        format!("`${{{}:-}}` in the script is empty where there is none", word.name);
                    return Err(problem(&format!("${}", word.name), missing).note(optional));
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
        let prefixes = self.owner.unwrap_or_default().rmatch_indices('/').map(|(at, _)| at + 1).chain([0]);
        let mut prefixes = prefixes.filter_map(|end| self.owner.unwrap_or_default().get(..end));
        let vars = &self.release.vars;
        let var = prefixes.find_map(|prefix| {
            vars.keys().find(|key| key.strip_prefix(prefix).is_some_and(spelled)).cloned()
        });
        var.map(Name::Var)
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
            Fact::Short => short(&self.git()?.sha).to_owned(),
            Fact::Branch => self.branch()?,
            Fact::Tag => match &self.facts.event {
                Event::Tag(tag) => tag.clone(),
                _ => return Err(self.only_on("tag=v1.2.3")),
            },
            Fact::Describe => self.git()?.describe.clone(),
            Fact::Dirty => self.git()?.dirty.to_string(),
            Fact::CommitTime => self.git()?.time.to_string(),
            Fact::Version => self.version_of_commit()?,
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

    /// The version of the tag event, else what git called the commit before it got tags itself:
    /// so a branch has the same image again after its commit was tagged.
    fn version_of_commit(&self) -> Result<String, Missing> {
        let described = |git: &Git| match &self.facts.event {
            Event::Tag(_) => git.describe.clone(),
            _ => git.described_before.clone(),
        };
        match self.version() {
            Ok(version) => Ok(version.to_string()),
            Err(_) => self.git().map(described),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Var;
    use crate::diagnostic::Spanned;
    use crate::facts::Environment;
    use crate::facts::fixture::{Repo, facts, release, span, template};

    fn tag(name: &str) -> Event {
        Event::Tag(name.to_owned())
    }

    fn with_var(release: &mut Release, name: &str, value: Option<&str>, env: Option<&str>) {
        let var = Var {
            name: Spanned::new(name.to_owned(), span(name)),
            value: value.map(template),
            env: env.map(str::to_owned),
            about: None,
        };
        release.vars.insert(name.to_owned(), var);
    }

    fn fill(facts: &Facts, text: &str) -> Result<String, Problem> {
        Scope::new(&release(), facts).fill(&template(text))
    }

    fn filled(facts: &Facts, text: &str) -> String {
        fill(facts, text).unwrap()
    }

    fn no_value(text: &str, why: &str) -> Problem {
        let field = text.trim_start_matches('{');
        let name = field.trim_end_matches('}');
        Problem::new(Code::NoSuchFact, format!("`{{{name}}}` has no value: {why}"))
            .label(span(name), "has no value here")
    }

    #[test]
    fn facts_of_a_commit_on_a_branch() {
        let repo = Repo::new();
        let facts = Facts { git: Some(repo.read()), ..facts(Event::Branch("feature/a".to_owned())) };
        let sha = repo.read().sha;
        assert_eq!(filled(&facts, "{sha}"), sha);
        assert_eq!(filled(&facts, "{short}-{describe}"), format!("{0}-{0}", &sha[..7]));
        assert_eq!(filled(&facts, "{branch} {dirty}"), "feature/a false");
        assert_eq!(filled(&facts, "{version}"), sha[..7]);
        assert_eq!(
            filled(&facts, "{commit.time} {date} {date:%Y-%m}"),
            "2024-01-02T03:04:05Z 20240102 2024-01"
        );
        assert_eq!(filled(&facts, "{project} of {user}"), "demo of ada");
    }

    #[test]
    fn facts_of_a_version() {
        let facts = facts(tag("v1.2.3-rc.1+b5"));
        assert_eq!(filled(&facts, "{tag} {version}"), "v1.2.3-rc.1+b5 1.2.3-rc.1+b5");
        assert_eq!(filled(&facts, "{major}.{minor}.{patch}|{prerelease}|"), "1.2.3|rc.1|");
    }

    #[test]
    fn a_branch_has_the_same_version_again_after_its_commit_was_tagged() {
        let repo = Repo::new();
        let version = |event: Event| {
            let facts = Facts { git: Some(repo.read()), ..facts(event) };
            filled(&facts, "{version}")
        };
        let branch = || Event::Branch("main".to_owned());
        assert_eq!(version(branch()), repo.read().sha[..7]);
        repo.tag("v0.3.0");
        assert_eq!(version(branch()), repo.read().sha[..7]);
        assert_eq!([version(tag("v0.3.0")), version(tag("nightly"))], ["0.3.0", "v0.3.0"]);
        repo.write("more", "more");
        repo.commit(1_700_000_000);
        let described = format!("v0.3.0-1-g{}", &repo.read().sha[..7]);
        assert_eq!(version(branch()), described);
        repo.tag("v0.4.0");
        assert_eq!([version(branch()), version(tag("v0.4.0"))], [described.as_str(), "0.4.0"]);
    }

    #[test]
    fn a_tag_that_is_no_version_has_the_description_for_one() {
        let repo = Repo::new();
        repo.tag("nightly");
        let facts = Facts { git: Some(repo.read()), ..facts(tag("nightly")) };
        assert_eq!(filled(&facts, "{version}"), "nightly");
        let why = "the git tag `nightly` is not a version";
        assert_eq!(fill(&facts, "{major}"), Err(no_value("{major}", why)));
    }

    #[test]
    fn facts_of_a_platform_are_those_of_the_default_where_there_is_none() {
        let (release, facts) = (release(), facts(Event::Unnamed));
        let platform = "linux/arm/v7".parse().unwrap();
        let scope = Scope::new(&release, &facts);
        let text = template("{platform} {platform.os} {platform.arch}");
        assert_eq!(scope.fill(&text).unwrap(), "linux/amd64 linux amd64");
        assert_eq!(scope.on(&platform).fill(&text).unwrap(), "linux/arm/v7 linux arm");
    }

    #[test]
    fn a_fact_that_the_event_does_not_have_is_told_with_the_event_that_has_it() {
        let facts = facts(Event::Branch("main".to_owned()));
        let on = |event| format!("`--event {event}` gives it one");
        let why = "the event is a branch";
        assert_eq!(fill(&facts, "v{major}"), Err(no_value("{major}", why).help(on("tag=v1.2.3"))));
        assert_eq!(fill(&facts, "{tag}"), Err(no_value("{tag}", why).help(on("tag=v1.2.3"))));
        assert_eq!(fill(&facts, "{number}"), Err(no_value("{number}", why).help(on("pr=NUMBER"))));
        let why = "the environment has no variable `NOT_SET`";
        let help = "set `NOT_SET` in the environment, or in a `dotenv` file";
        assert_eq!(fill(&facts, "{env.NOT_SET}"), Err(no_value("{env.NOT_SET}", why).help(help)));
    }

    #[test]
    fn a_fact_of_the_repository_needs_one() {
        let facts = facts(Event::Branch("main".to_owned()));
        for name in ["sha", "short", "describe", "dirty", "commit.time", "date", "version"] {
            let expected =
                Problem::new(Code::NoGit, format!("`{{{name}}}` needs a git repository with a commit"))
                    .label(span(name), "has no value here")
                    .help("`git init`, `git add --all`, and `git commit` make one");
            assert_eq!(
                fill(&facts, &format!("{{{name}}}")),
                Err(Problem { labels: expected.labels.clone(), ..expected })
            );
        }
        assert_eq!(filled(&facts, "{branch}"), "main");
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_that_over_the_default() {
        let mut release = release();
        with_var(&mut release, "python", Some("3.{minor-of}"), Some("PYTHON"));
        with_var(&mut release, "minor-of", Some("12"), None);
        let mut facts = facts(Event::Unnamed);
        let value = |facts: &Facts| Scope::new(&release, facts).fill(&template("python:{python}")).unwrap();
        assert_eq!(value(&facts), "python:3.12");
        facts.environment = Environment::from_iter([("PYTHON", "")]);
        assert_eq!(value(&facts), "python:3.12");
        facts.environment = Environment::from_iter([("PYTHON", "3.13")]);
        assert_eq!(value(&facts), "python:3.13");
        facts.overrides.insert("python".to_owned(), "{sha}".to_owned());
        assert_eq!(value(&facts), "python:{sha}");
    }

    #[test]
    fn a_variable_without_a_value_says_how_to_give_it_one() {
        let mut release = release();
        with_var(&mut release, "token", None, Some("TOKEN"));
        with_var(&mut release, "a", Some("{b}"), None);
        with_var(&mut release, "b", Some("{a}"), None);
        let facts = facts(Event::Unnamed);
        let scope = Scope::new(&release, &facts);
        let help = "`token=VALUE` on the command line, or `TOKEN` in the environment";
        let expected = no_value("{token}", "it has no default").help(help);
        assert_eq!(scope.fill(&template("{token}")), Err(expected));
        let expected = no_value("{a}", "it is made of itself")
            .label(span("b"), "used here")
            .label(span("a"), "used here");
        assert_eq!(scope.fill(&template("{a}")), Err(expected));
    }

    #[test]
    fn matrix_values_and_groups_are_those_of_the_place() {
        let (release, facts) = (release(), facts(Event::Unnamed));
        let matrix = IndexMap::from([("os".to_owned(), "a".to_owned())]);
        let groups = ["v1".to_owned(), "1".to_owned()];
        let scope = Scope::new(&release, &facts).with_matrix(&matrix).with_groups(&groups);
        assert_eq!(scope.fill(&template("{matrix.os}-{1}")).unwrap(), "a-1");
        assert_eq!(scope.fill(&template("{2}")), Err(no_value("{2}", "the expression has 1 groups")));
    }

    #[test]
    fn a_script_gets_what_it_names_and_nothing_else() {
        let mut release = release();
        with_var(&mut release, "python-version", Some("3.12"), None);
        with_var(&mut release, "port", Some("1"), None);
        with_var(&mut release, "web/port", Some("443"), None);
        with_var(&mut release, "api/port", Some("80"), None);
        with_var(&mut release, "os", Some("var"), None);
        with_var(&mut release, "unused", None, None);
        let facts = facts(tag("v1.2.3"));
        let matrix = IndexMap::from([("os".to_owned(), "matrix".to_owned())]);
        let scope = Scope::new(&release, &facts).with_matrix(&matrix).of("api/lint");
        let script = "echo $os ${python_version} '$port' $HOME # $HOIST_VERSION ${HOIST_SHA:-none} $PATH";
        let expected =
            [("HOIST_VERSION", "1.2.3"), ("os", "matrix"), ("port", "80"), ("python_version", "3.12")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(scope.script_variables(script), Ok(IndexMap::from(expected)));
    }

    #[test]
    fn a_script_that_names_what_is_not_there_is_told_how_to_do_without() {
        let (release, facts) = (release(), facts(Event::Branch("main".to_owned())));
        let problem = Scope::new(&release, &facts).script_variables("echo $HOIST_NUMBER").unwrap_err();
        let expected = Problem::new(Code::NoSuchFact, "`$HOIST_NUMBER` has no value: the event is a branch")
            .help("`--event pr=NUMBER` gives it one");
        assert_eq!(problem, expected.note("`${HOIST_NUMBER:-}` in the script is empty where there is none"));
    }
}
