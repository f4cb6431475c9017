//! Rules to tags.

use crate::config::{Fact, Field, Name, Part, Release, Rule, RuleKind, Template};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::facts::{Event, Facts, Scope};
use crate::oci::{InvalidTag, Tag};
use crate::tags::apply::{Applies, applies};
use crate::tags::fill::{Text, date, fill, mentions};
use crate::tags::{Movement, PlannedTag, Track, collision};

/// What the rules of an image yield for an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tagging {
    /// The tags, each once, in the order in which they become visible: immutable
    /// ones, then moving ones from narrow to wide, `latest` last, and those that
    /// are never pushed.
    pub tags: Vec<PlannedTag>,
    /// What became of each rule, in order.
    pub outcomes: Vec<Outcome>,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its name, as in the language.
    pub rule: &'static str,
    /// The rule.
    pub span: Span,
    /// What it yielded.
    pub tags: Vec<Tag>,
    silent: Option<String>,
}

impl Outcome {
    /// Why the rule yielded nothing, if it did not.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.silent.as_deref()
    }
}

/// One tag before it is compared with the others.
struct Yield {
    tag: PlannedTag,
    /// What the tag was before it was made to fit the grammar.
    raw: String,
}

/// What `rules` yield for the event of `facts`.
///
/// # Errors
/// A template whose fact has no value; a result that is not a tag
/// ([`Code::InvalidTag`]); different names that come to one tag, or a branch
/// whose tag reads as a release ([`Code::TagCollision`]).
pub fn evaluate(release: &Release, facts: &Facts, rules: &[Rule]) -> Result<Tagging, Problems> {
    let mut problems = Problems::new();
    let mut yields: Vec<Yield> = Vec::new();
    let mut outcomes = Vec::new();
    for rule in rules {
        let name = rule.kind.name();
        let mut outcome = Outcome { rule: name, span: rule.span, tags: Vec::new(), silent: None };
        match applies(rule, rules, facts) {
            Applies::No(reason) => outcome.silent = Some(reason),
            Applies::To(matched) => {
                let scope = Scope::new(release, facts).with_groups(&matched.groups);
                for text in texts(rule, facts, &scope, matched.version.as_ref(), &mut problems) {
                    match planned(rule, facts, matched.version.as_ref(), &text) {
                        Ok(tag) => {
                            collision::of_branch(rule, &text, facts, &mut problems);
                            outcome.tags.push(tag.tag.clone());
                            yields.push(Yield { tag, raw: text.raw });
                        }
                        Err(problem) => problems.push(problem),
                    }
                }
                if outcome.tags.is_empty() {
                    outcome.silent = Some("none of its templates applies to this version".to_owned());
                }
            }
        }
        outcomes.push(outcome);
    }
    let mut tags = unique(yields, &mut problems);
    tags.sort_by_key(PlannedTag::rank);
    problems.or(Tagging { tags, outcomes })
}

/// The texts that a rule yields, with the template that each comes from.
fn texts(
    rule: &Rule,
    facts: &Facts,
    scope: &Scope<'_>,
    version: Option<&semver::Version>,
    problems: &mut Problems,
) -> Vec<Text> {
    let fixed = |fact: Fact| {
        let field = Field { name: Name::Fact(fact), format: None, span: rule.span };
        Template { parts: vec![Part::Field(field)], span: rule.span }
    };
    let single = |fact: Fact| fill(scope, &fixed(fact), version);
    match &rule.kind {
        RuleKind::Semver { templates, zero, .. } => {
            let wanted = templates
                .iter()
                .filter(|template| version.is_none_or(|version| yields_for(template, version, *zero)));
            wanted.filter_map(|template| problems.take(fill(scope, template, version))).collect()
        }
        RuleKind::Latest => vec![Text::plain("latest", rule.span)],
        RuleKind::Branch(templates)
        | RuleKind::PullRequest(templates)
        | RuleKind::Schedule(templates)
        | RuleKind::Local(templates)
        | RuleKind::Raw(templates)
        | RuleKind::Match { templates, .. } => {
            let filled = templates.iter().map(|template| fill(scope, template, version));
            filled.filter_map(|text| problems.take(text)).collect()
        }
        RuleKind::Sha { short, prefix } => {
            let text = single(if *short { Fact::Short } else { Fact::Sha });
            problems.take(text).map(|text| text.behind(prefix)).into_iter().collect()
        }
        RuleKind::Describe => problems.take(single(Fact::Describe)).into_iter().collect(),
        RuleKind::Date { format, now } | RuleKind::Calver { format, now } => {
            problems.take(date(facts, format, *now)).into_iter().collect()
        }
    }
}

/// Whether a template of a `semver` rule yields a tag for this version: a
/// pre-release has only its full name, and `0` promises nothing.
fn yields_for(template: &Template, version: &semver::Version, zero: bool) -> bool {
    if !version.pre.is_empty() {
        return mentions(template, Fact::Version);
    }
    let only_major = mentions(template, Fact::Major)
        && !mentions(template, Fact::Minor)
        && !mentions(template, Fact::Version);
    zero || version.major > 0 || !only_major
}

fn planned(
    rule: &Rule,
    facts: &Facts,
    version: Option<&semver::Version>,
    text: &Text,
) -> Result<PlannedTag, Problem> {
    let tag: Tag = text.tag.parse().map_err(|invalid: InvalidTag| {
        let title = format!("`{}` is not a tag: {invalid}", text.tag);
        Problem::new(Code::InvalidTag, title).label(text.span, "it comes from here").help(
            "a tag has at most 128 letters, digits, `_`, `.`, and `-`, and does not start with `.` or `-`",
        )
    })?;
    let local = matches!(rule.kind, RuleKind::Local(_));
    let movement = movement(rule, facts, version, text);
    Ok(PlannedTag { tag, rule: rule.kind.name(), span: text.span, movement, local, returns: None })
}

/// Whether the tag may come to hold another digest, by what it is made of.
fn movement(rule: &Rule, facts: &Facts, version: Option<&semver::Version>, text: &Text) -> Movement {
    let natural = match &rule.kind {
        RuleKind::Semver { .. } => match (version, text.numbers) {
            (Some(version), Some(numbers)) => track(version, numbers),
            _ => Movement::Immutable,
        },
        RuleKind::Latest => match version {
            Some(version) => track(version, 0),
            None => Movement::Moving(Track::Branch),
        },
        RuleKind::Describe if facts.git.as_ref().is_some_and(|git| git.dirty) => {
            Movement::Moving(Track::Free)
        }
        RuleKind::Sha { .. } | RuleKind::Describe => Movement::Immutable,
        _ if text.of_commit => Movement::Immutable,
        RuleKind::Branch(_) => Movement::Moving(Track::Branch),
        _ => Movement::Moving(Track::Free),
    };
    match (rule.immutable, natural) {
        (Some(true), _) => Movement::Immutable,
        (Some(false), Movement::Immutable) => Movement::Moving(Track::Free),
        (_, natural) => natural,
    }
}

fn track(version: &semver::Version, numbers: u8) -> Movement {
    Movement::Moving(Track::Version { version: version.clone(), numbers })
}

/// Each tag once: the first rule that makes it keeps it. Two names that differ
/// and come to one tag collide.
fn unique(yields: Vec<Yield>, problems: &mut Problems) -> Vec<PlannedTag> {
    let mut kept: Vec<Yield> = Vec::new();
    for new in yields {
        let same = |old: &&Yield| old.tag.tag == new.tag.tag && old.tag.local == new.tag.local;
        match kept.iter().find(same) {
            None => kept.push(new),
            Some(old) if old.raw == new.raw => {}
            Some(old) => {
                let title = format!("`{}` and `{}` come to one tag, `{}`", old.raw, new.raw, new.tag.tag);
                let problem =
                    Problem::new(Code::TagCollision, title).label(new.tag.span, "this rule makes it");
                let problem = problem.label(old.tag.span, "and so does this one");
                problems.push(problem.help("tell the two apart by a prefix"));
            }
        }
    }
    kept.into_iter().map(|one| one.tag).collect()
}

/// The event's tag as a version, behind the prefix.
pub(super) fn version(event: &Event, prefix: Option<&str>) -> Option<semver::Version> {
    let Event::Tag(name) = event else { return None };
    let text = match prefix {
        Some(prefix) => name.strip_prefix(prefix)?,
        None => name.strip_prefix('v').unwrap_or(name),
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests;
