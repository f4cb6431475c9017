use indexmap::IndexMap;
use jiff::Timestamp;
use std::collections::HashMap;

use super::*;
use crate::config::{LoadedDocument, ProjectPath, decode};
use crate::diagnostic::Sources;
use crate::facts::{Environment, EventSource, Git, Walked};
use crate::oci::Platform;
use crate::syntax::parse;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// A case: rules, and the event that they are asked for.
struct Case {
    sources: Sources,
    release: Release,
    facts: Facts,
}

impl Case {
    fn new(rules: &str, event: &str) -> Self {
        let mut sources = Sources::new();
        let text = format!("tags \"t\" {{\n{rules}\n}}\n");
        let source = sources.add("release.kdl", text.as_str());
        let document = parse(source, &text).expect("it is KDL");
        let document = LoadedDocument { document, path: ProjectPath::root(), prefix: String::new() };
        let release = decode(&[document], "project").expect("it is a release");
        let event = match event.split_once('=') {
            Some(("tag", name)) => Event::Tag(name.to_owned()),
            Some(("branch", name)) => Event::Branch(name.to_owned()),
            Some(("pr", number)) => Event::PullRequest(number.parse().expect("a number")),
            _ if event == "schedule" => Event::Schedule,
            _ => Event::Unnamed,
        };
        Self { sources, release, facts: facts(event) }
    }

    fn branches(mut self, names: &[&str]) -> Self {
        let git = self.facts.git.as_mut().expect("a repository");
        git.branches = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    fn evaluate(&self) -> Result<Tagging, Problems> {
        evaluate(&self.release, &self.facts, &self.release.tag_sets["t"].rules)
    }

    /// The tags in order: the name, and a sign of how it moves.
    fn tags(&self) -> Vec<String> {
        let tagging = self.evaluate().expect("tags");
        let shown = |tag: &PlannedTag| {
            let movement = match &tag.movement {
                Movement::Immutable => "fixed".to_owned(),
                Movement::Moving(Track::Free | Track::Back { .. }) => "free".to_owned(),
                Movement::Moving(Track::Branch) => "branch".to_owned(),
                Movement::Moving(Track::Version { version, numbers }) => format!("{version}/{numbers}"),
            };
            format!("{} {movement}{}", tag.tag, if tag.local { " local" } else { "" })
        };
        tagging.tags.iter().map(shown).collect()
    }

    /// The problems: the code, the title, and what the labels cover.
    fn problems(&self) -> Vec<(Code, String, Vec<&str>)> {
        let problems = self.evaluate().expect_err("refused");
        let shown = |problem: &Problem| {
            let places = problem.labels.iter().map(|label| self.sources.slice(label.span)).collect();
            (problem.code, problem.title.clone(), places)
        };
        problems.as_slice().iter().map(shown).collect()
    }
}

fn facts(event: Event) -> Facts {
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    Facts {
        event,
        event_source: EventSource::CommandLine,
        git: Some(Git {
            sha: SHA.to_owned(),
            branch: None,
            describe: "v1.2.2-4-g0123456".to_owned(),
            described_before: "v1.2.2-4-g0123456".to_owned(),
            dirty: false,
            time: time("2026-02-03T23:30:00Z"),
            branches: vec!["develop".to_owned(), "main".to_owned()],
            remote: None,
            shallow: false,
        }),
        environment: Environment::default(),
        dotenv: Vec::new(),
        overrides: IndexMap::new(),
        now: time("2027-04-05T06:07:08Z"),
        os: "linux",
        platform: "linux/amd64".parse::<Platform>().expect("a platform"),
        user: "me".to_owned(),
        inputs: Vec::new(),
        walked: Walked::default(),
        tools: Vec::new(),
        dockerfiles: Vec::new(),
        bases: Vec::new(),
        images: HashMap::new(),
    }
}

#[track_caller]
fn yields(rules: &str, event: &str, expected: &[&str]) {
    assert_eq!(Case::new(rules, event).tags(), expected, "{rules} on {event}");
}

const STANDARD: &str = r#"
    semver "{version}" "{major}.{minor}" "{major}"
    latest
    describe
    sha short=#true
    date "%Y%m%d"
    pr "pr-{number}"
"#;

#[test]
fn a_stable_version_yields_fixed_tags_first_and_latest_last() {
    yields(
        STANDARD,
        "tag=v1.2.3",
        &[
            "1.2.3 fixed",
            "v1.2.2-4-g0123456 fixed",
            "0123456 fixed",
            "20260203 free",
            "1.2 1.2.3/2",
            "1 1.2.3/1",
            "latest 1.2.3/0",
        ],
    );
}

#[test]
fn a_pre_release_yields_its_full_name_only() {
    yields(
        "semver \"{version}\" \"{major}.{minor}\" \"v{version}\"\nlatest",
        "tag=v2.0.0-rc.1",
        &["2.0.0-rc.1 fixed", "v2.0.0-rc.1 fixed"],
    );
}

#[test]
fn a_version_below_one_promises_nothing_by_its_major() {
    let rule = "semver \"{version}\" \"{major}.{minor}\" \"{major}\" \"{major}-slim\"";
    yields(rule, "tag=v0.4.1", &["0.4.1 fixed", "0.4 0.4.1/2"]);
    let zero = format!("{rule} zero=#true");
    yields(&zero, "tag=v0.4.1", &["0.4.1 fixed", "0.4 0.4.1/2", "0 0.4.1/1", "0-slim 0.4.1/1"]);
}

#[test]
fn build_metadata_is_dropped() {
    yields(
        "semver \"{version}\" \"{major}.{minor}.{patch}-x\"",
        "tag=v1.2.3+b5",
        &["1.2.3 fixed", "1.2.3-x fixed"],
    );
}

#[test]
fn a_prefix_is_asked_for_and_by_default_may_be_left_out() {
    let bare = "semver \"{version}\"\nlatest";
    yields(bare, "tag=1.2.3", &["1.2.3 fixed", "latest 1.2.3/0"]);
    yields(bare, "tag=api/v1.2.3", &[]);
    let api = "semver \"{version}\" prefix=\"api/v\"\nlatest";
    yields(api, "tag=api/v1.2.3", &["1.2.3 fixed", "latest 1.2.3/0"]);
    yields(api, "tag=v1.2.3", &[]);
    yields("semver \"{version}\" prefix=\"\"", "tag=v1.2.3", &[]);
    yields("latest", "tag=v1.2.3", &["latest 1.2.3/0"]);
    yields("latest", "tag=nightly", &[]);
}

#[test]
fn latest_can_follow_a_branch_instead() {
    yields("latest branch=\"main\"", "branch=main", &["latest branch"]);
    yields("latest branch=\"main\"", "branch=develop", &[]);
    yields("latest branch=\"main\"", "tag=v1.2.3", &[]);
}

#[test]
fn branches_are_made_to_fit_and_narrowed_by_globs() {
    let rule = "branch \"{branch}-{short}\" \"{branch}-latest\" match=\"develop,feature/*\"";
    yields(rule, "branch=develop", &["develop-0123456 fixed", "develop-latest branch"]);
    yields(rule, "branch=feature/é x", &["feature-x-0123456 fixed", "feature-x-latest branch"]);
    yields(rule, "branch=feature/a/b", &[]);
    yields(rule, "branch=main", &[]);
    yields("branch \"{branch}\"", "branch=-.odd", &["odd branch"]);
    yields("branch \"x{branch}\"", "branch=-.odd", &["x-.odd branch"]);
    yields(rule, "tag=develop", &[]);
}

#[test]
fn each_kind_of_event_has_its_rule() {
    let rules = "pr \"pr-{number}\"\nschedule \"nightly\"\ncalver\nbranch \"{branch}\"";
    yields(rules, "pr=42", &["pr-42 free"]);
    yields(rules, "schedule", &["nightly free"]);
    yields(rules, "tag=anything", &["2026.02 free"]);
    yields(rules, "branch=main", &["main branch"]);
    yields(rules, "unnamed", &[]);
}

#[test]
fn rules_for_any_event_are_narrowed() {
    let rules = "sha prefix=\"sha-\" on=\"branch\"\nraw \"dev\" branch=\"develop\"\ndescribe on=\"tag\"";
    let fixed = format!("sha-{SHA} fixed");
    yields(rules, "branch=develop", &[&fixed, "dev free"]);
    yields(rules, "branch=main", &[&fixed]);
    yields(rules, "tag=x", &["v1.2.2-4-g0123456 fixed"]);
    yields(rules, "schedule", &[]);
}

#[test]
fn dates_are_the_commits_or_the_clocks() {
    yields("date \"%Y%m%d-%H\"", "branch=main", &["20260203-23 free"]);
    yields("date \"%Y%m%d-%H\" clock=\"now\"", "branch=main", &["20270405-06 free"]);
    yields("calver \"%Y.%-m\" clock=\"now\" immutable=#true", "tag=x", &["2027.4 fixed"]);
}

#[test]
fn an_expression_gives_its_groups() {
    let rule = "match \"^release/([0-9]+)[.]([0-9]+)(-.*)?$\" \"r{1}-{2}{3}\" \"{0}\"";
    yields(rule, "branch=release/4.7", &["r4-7 free", "release-4.7 free"]);
    yields(rule, "tag=release/4.7-b/c", &["r4-7-b-c free", "release-4.7-b-c free"]);
    yields(rule, "branch=main", &[]);
    yields(rule, "pr=1", &[]);
}

#[test]
fn names_of_the_local_engine_come_last_and_stand_beside_the_others() {
    let rules = "local \"{short}\" \"local\"\nsha short=#true";
    yields(rules, "branch=main", &["0123456 fixed", "0123456 fixed local", "local free local"]);
}

#[test]
fn what_a_rule_says_of_movement_overrides_its_kind() {
    yields("raw \"dev\" immutable=#true", "branch=main", &["dev fixed"]);
    yields("sha short=#true immutable=#false", "branch=main", &["0123456 free"]);
}

#[test]
fn a_tag_that_two_rules_spell_alike_is_made_once() {
    yields("raw \"1.2.3\" immutable=#true\nsemver \"{version}\"", "tag=v1.2.3", &["1.2.3 fixed"]);
}

#[test]
fn every_rule_says_what_it_yielded_or_why_nothing() {
    let rules = format!(
        "{STANDARD}    branch \"{{branch}}\" match=\"main\"\n    raw \"dev\" on=\"branch,schedule\"\n"
    );
    let outcomes = |event: &str| {
        let tagging = Case::new(&rules, event).evaluate().expect("tags");
        let shown = |outcome: &Outcome| {
            let tags: Vec<_> = outcome.tags.iter().map(Tag::as_str).collect();
            format!("{}: {}", outcome.rule, outcome.reason().map_or(tags.join(" "), |why| format!("({why})")))
        };
        tagging.outcomes.iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(
        outcomes("tag=v1.2.3-rc.1"),
        [
            "semver: 1.2.3-rc.1",
            "latest: (1.2.3-rc.1 is a pre-release)",
            "describe: v1.2.2-4-g0123456",
            "sha: 0123456",
            "date: 20260203",
            "pr: (it is for a pull request)",
            "branch: (it is for the branch main)",
            "raw: (it is for events of kind branch, schedule)",
        ]
    );
    assert_eq!(
        outcomes("tag=nightly")[..2],
        ["semver: (the tag nightly is no version)", "latest: (the tag nightly is no version)"]
    );
    assert_eq!(outcomes("branch=main")[0], "semver: (it is for a tag)");
}

#[test]
fn names_that_come_to_one_tag_collide() {
    let case = Case::new("branch \"{branch}\"\nraw \"feature-a\"", "branch=feature/a");
    let title = "`feature/a` and `feature-a` come to one tag, `feature-a`".to_owned();
    assert_eq!(case.problems(), [(Code::TagCollision, title, vec!["\"feature-a\"", "\"{branch}\""])]);

    let case = Case::new("branch \"{branch}-x\" \"{branch}-{short}\"", "branch=feature/a");
    let case = case.branches(&["feature-a", "feature/a", "main"]);
    let title = "the branches `feature/a` and `feature-a` come to one tag, `feature-a-x`".to_owned();
    assert_eq!(case.problems(), [(Code::TagCollision, title, vec!["\"{branch}-x\""])]);
    let case = Case::new("branch \"{branch}\" match=\"feature/*\"", "branch=feature/a");
    assert_eq!(case.branches(&["feature-a", "feature/a"]).tags(), ["feature-a branch"]);
}

#[test]
fn a_branch_does_not_pass_for_a_release() {
    for (branch, template, tag) in [
        ("latest", "{branch}", "latest"),
        ("1.2", "{branch}", "1.2"),
        ("2.0", "v{branch}", "v2.0"),
        ("v1.2.3", "{branch}-{short}", "v1.2.3-0123456"),
    ] {
        let case = Case::new(&format!("branch \"{template}\""), &format!("branch={branch}"));
        let title = format!("the branch `{branch}` gives the tag `{tag}`, which reads as a release");
        assert_eq!(case.problems(), [(Code::TagCollision, title, vec![format!("\"{template}\"").as_str()])]);
    }
    yields("branch \"branch-{branch}\"", "branch=1.2", &["branch-1.2 branch"]);
    yields("branch \"latest\" match=\"main\"", "branch=main", &["latest branch"]);
}

#[test]
fn what_is_no_tag_is_refused_with_its_template() {
    let long = "x".repeat(129);
    let case = Case::new("branch \"{branch}\"\ndate \"%Y/%m\"", &format!("branch={long}"));
    let long = format!("`{long}` is not a tag: a tag has at most 128 characters");
    let slash = "`2026/02` is not a tag: a tag consists of letters, digits, `_`, `.`, and `-`".to_owned();
    assert_eq!(
        case.problems(),
        [(Code::InvalidTag, long, vec!["\"{branch}\""]), (Code::InvalidTag, slash, vec!["\"%Y/%m\""]),]
    );
    let case = Case::new("branch \"{branch}\"", "branch=…");
    let empty = "`` is not a tag: a tag has at least one character".to_owned();
    assert_eq!(case.problems(), [(Code::InvalidTag, empty, vec!["\"{branch}\""])]);
}

#[test]
fn a_fact_that_the_event_does_not_have_is_said_with_its_place() {
    let case = Case::new("raw \"x-{number}\" \"y-{major}\"", "branch=main");
    let codes: Vec<_> = case.problems().into_iter().map(|(code, _, places)| (code, places)).collect();
    assert_eq!(codes, [(Code::NoSuchFact, vec!["{number}"]), (Code::NoSuchFact, vec!["{major}"])]);
    let mut case = Case::new("date \"%Y\"", "branch=main");
    case.facts.git = None;
    let title = "the date of the commit is needed, and there is no commit".to_owned();
    assert_eq!(case.problems(), [(Code::NoGit, title, vec!["\"%Y\""])]);
}
