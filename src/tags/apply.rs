//! When a rule applies.

use globset::GlobBuilder;

use crate::config::{Fact, Rule, RuleKind};
use crate::facts::{Event, Facts};
use crate::tags::evaluate::version;
use crate::tags::fill::mentions;

/// Whether a rule applies to an event.
pub(super) enum Applies {
    /// It does.
    To(Matched),
    /// It does not, for a reason that completes "nothing, for …".
    No(String),
}

/// What was found of an event that a rule applies to.
#[derive(Default)]
pub(super) struct Matched {
    /// The version of a tag event.
    pub(super) version: Option<semver::Version>,
    /// Groups of a `match` rule.
    pub(super) groups: Vec<String>,
}

/// Whether `rule`, one of `rules`, applies to the event.
pub(super) fn applies(rule: &Rule, rules: &[Rule], facts: &Facts) -> Applies {
    let event = &facts.event;
    let narrow = &rule.narrow;
    if !narrow.on.is_empty() && !narrow.on.iter().any(|kind| kind == event.kind()) {
        return Applies::No(format!("it is for events of kind {}", narrow.on.join(", ")));
    }
    if !narrow.branches.is_empty() && !on_branch(event, &narrow.branches) {
        return Applies::No(format!("it is for the branch {}", narrow.branches.join(", ")));
    }
    let wants = |right: bool, what: &str| {
        if right { Applies::To(Matched::default()) } else { Applies::No(format!("it is for {what}")) }
    };
    match &rule.kind {
        RuleKind::Semver { prefix, .. } => {
            of_version(event, prefix.as_ref().map(|prefix| prefix.value.as_str()))
        }
        RuleKind::Latest if narrow.branches.is_empty() => latest(event, rules),
        RuleKind::Branch(_) => wants(matches!(event, Event::Branch(_)), "a branch"),
        RuleKind::PullRequest(_) => wants(matches!(event, Event::PullRequest(_)), "a pull request"),
        RuleKind::Schedule(_) => wants(matches!(event, Event::Schedule), "a schedule"),
        RuleKind::Calver { .. } => wants(matches!(event, Event::Tag(_)), "a tag"),
        RuleKind::Match { regex, .. } => matching(event, &regex.value),
        RuleKind::Latest
        | RuleKind::Local(_)
        | RuleKind::Sha { .. }
        | RuleKind::Describe
        | RuleKind::Date { .. }
        | RuleKind::Raw(_) => Applies::To(Matched::default()),
    }
}

/// Whether a rule is for git tags in particular, and applies to that of the event.
#[must_use]
pub fn is_for_tag(rule: &Rule, facts: &Facts) -> bool {
    let is_for_tags = match &rule.kind {
        RuleKind::Match { .. } | RuleKind::Calver { .. } => true,
        RuleKind::Raw(templates) => templates.iter().any(|template| mentions(template, Fact::Tag)),
        _ => false,
    };
    let is_for_tags = is_for_tags || rule.narrow.on.iter().any(|kind| kind == "tag");
    is_for_tags && names_tag(rule, facts)
}

/// Whether a rule names for others what is made of the git tag of the event.
#[must_use]
pub fn names_tag(rule: &Rule, facts: &Facts) -> bool {
    !matches!(rule.kind, RuleKind::Local(_))
        && matches!(facts.event, Event::Tag(_))
        && matches!(applies(rule, &[], facts), Applies::To(_))
}

/// Whether an event is on one of these branches.
fn on_branch(event: &Event, globs: &[String]) -> bool {
    matches!(event, Event::Branch(name) if is_one_of(name, globs))
}

/// Whether a branch is meant by one of these globs; `*` does not match a `/`.
pub(super) fn is_one_of(name: &str, globs: &[String]) -> bool {
    let matches = |glob: &String| {
        let glob = GlobBuilder::new(glob).literal_separator(true).build();
        glob.is_ok_and(|glob| glob.compile_matcher().is_match(name))
    };
    globs.iter().any(matches)
}

fn of_version(event: &Event, prefix: Option<&str>) -> Applies {
    match (event, version(event, prefix)) {
        (_, Some(version)) => Applies::To(Matched { version: Some(version), groups: Vec::new() }),
        (Event::Tag(name), None) => {
            let prefix = prefix.map(|prefix| format!(" behind `{prefix}`")).unwrap_or_default();
            Applies::No(format!("the tag {name} is no version{prefix}"))
        }
        _ => Applies::No("it is for a tag".to_owned()),
    }
}

/// The newest stable version of what the `semver` rules beside it name: in a
/// repository of several parts, the tag of another part is none of its business.
fn latest<'a>(event: &Event, rules: &'a [Rule]) -> Applies {
    let prefix = |rule: &'a Rule| match &rule.kind {
        RuleKind::Semver { prefix, .. } => Some(prefix.as_ref().map(|prefix| prefix.value.as_str())),
        _ => None,
    };
    let mut prefixes: Vec<Option<&str>> = rules.iter().filter_map(prefix).collect();
    if prefixes.is_empty() {
        prefixes.push(None);
    }
    let mut read: Vec<Applies> = prefixes.iter().map(|prefix| of_version(event, *prefix)).collect();
    let first = read.iter().position(|applies| matches!(applies, Applies::To(_))).unwrap_or(0);
    match read.swap_remove(first) {
        Applies::To(Matched { version: Some(version), .. }) if !version.pre.is_empty() => {
            Applies::No(format!("{version} is a pre-release"))
        }
        applies => applies,
    }
}

fn matching(event: &Event, expression: &str) -> Applies {
    let (Event::Tag(name) | Event::Branch(name)) = event else {
        return Applies::No("it is for a tag or a branch".to_owned());
    };
    let captures = regex::Regex::new(expression).ok().and_then(|regex| {
        let captures = regex.captures(name)?;
        let group = |index| captures.get(index).map_or("", |group| group.as_str()).to_owned();
        Some((0..captures.len()).map(group).collect::<Vec<_>>())
    });
    match captures {
        Some(groups) => Applies::To(Matched { version: None, groups }),
        None => Applies::No(format!("{name} does not match")),
    }
}
