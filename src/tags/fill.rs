//! Templates to texts that fit the grammar of tags.

use jiff::tz::TimeZone;

use crate::config::{Fact, Field, Name, Part, Template};
use crate::diagnostic::{Code, Problem, Span, Spanned};
use crate::facts::{Facts, Scope};

/// What a template came to.
pub(super) struct Text {
    /// With what comes from git references made to fit.
    pub(super) tag: String,
    /// As it was before.
    pub(super) raw: String,
    /// The template.
    pub(super) span: Span,
    /// How many of a version's numbers it has; `None` for all of them.
    pub(super) numbers: Option<u8>,
    /// Whether it names the commit or the full version.
    pub(super) of_commit: bool,
    /// Whether it names the branch.
    pub(super) of_branch: bool,
}

impl Text {
    pub(super) fn plain(text: &str, span: Span) -> Self {
        Self {
            tag: text.to_owned(),
            raw: text.to_owned(),
            span,
            numbers: Some(0),
            of_commit: false,
            of_branch: false,
        }
    }

    pub(super) fn behind(mut self, prefix: &str) -> Self {
        self.tag.insert_str(0, prefix);
        self.raw.insert_str(0, prefix);
        self
    }
}

/// Whether a template names a fact.
pub(super) fn mentions(template: &Template, fact: Fact) -> bool {
    template
        .parts
        .iter()
        .any(|part| matches!(part, Part::Field(Field { name: Name::Fact(f), .. }) if *f == fact))
}

/// Fills a template. What stands for a branch, a git tag, or a description of a
/// commit is made to fit; the version is `version` where there is one, without
/// its build metadata, for which tags have no spelling.
pub(super) fn fill(
    scope: &Scope<'_>,
    template: &Template,
    version: Option<&semver::Version>,
) -> Result<Text, Problem> {
    let (mut tag, mut raw) = (String::new(), String::new());
    for part in &template.parts {
        match part {
            Part::Text(text) => {
                tag.push_str(text);
                raw.push_str(text);
            }
            Part::Field(field) => {
                let value = match (&field.name, version) {
                    (Name::Fact(fact), Some(version)) => of_version(*fact, version),
                    _ => None,
                };
                let alone = || Template { parts: vec![part.clone()], span: template.span };
                let value = value.map_or_else(|| scope.fill(&alone()), Ok)?;
                let reference = matches!(
                    field.name,
                    Name::Fact(Fact::Branch | Fact::Tag | Fact::Describe | Fact::Version) | Name::Group(_)
                );
                tag.push_str(&if reference { slug(&value, tag.is_empty()) } else { value.clone() });
                raw.push_str(&value);
            }
        }
    }
    let has = |fact| mentions(template, fact);
    let full = has(Fact::Version) || (has(Fact::Major) && has(Fact::Minor) && has(Fact::Patch));
    let numbers = if full { None } else { Some(u8::from(has(Fact::Major)) + u8::from(has(Fact::Minor))) };
    let of_commit = full || has(Fact::Sha) || has(Fact::Short) || has(Fact::Describe) || has(Fact::Tag);
    Ok(Text { tag, raw, span: template.span, numbers, of_commit, of_branch: has(Fact::Branch) })
}

fn of_version(fact: Fact, version: &semver::Version) -> Option<String> {
    match fact {
        Fact::Version => {
            let tag = semver::Version { build: semver::BuildMetadata::EMPTY, ..version.clone() };
            Some(tag.to_string())
        }
        Fact::Major => Some(version.major.to_string()),
        Fact::Minor => Some(version.minor.to_string()),
        Fact::Patch => Some(version.patch.to_string()),
        Fact::Prerelease => Some(version.pre.to_string()),
        _ => None,
    }
}

/// A name with each run of characters that tags do not have as one `-`; at the
/// start of a tag without the characters that a tag cannot start with.
pub(super) fn slug(name: &str, starts: bool) -> String {
    let mut slug = String::new();
    let mut gap = false;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') {
            slug.push(c);
            gap = false;
        } else if !gap {
            slug.push('-');
            gap = true;
        }
    }
    if starts { slug.trim_start_matches(['.', '-']).to_owned() } else { slug }
}

/// The date of the commit, or of the clock, in UTC.
pub(super) fn date(facts: &Facts, format: &Spanned<String>, now: bool) -> Result<Text, Problem> {
    let span = format.span;
    let time = match (&facts.git, now) {
        (_, true) => facts.now,
        (Some(git), false) => git.time,
        (None, false) => {
            let problem =
                Problem::new(Code::NoGit, "the date of the commit is needed, and there is no commit");
            let problem = problem.label(span, "needed here");
            return Err(problem.help("commit something, or take the date of the run with `clock=\"now\"`"));
        }
    };
    let text = jiff::fmt::strtime::format(&format.value, &time.to_zoned(TimeZone::UTC)).map_err(|error| {
        let title = format!("`{}` is not a format of a date", format.value);
        Problem::new(Code::InvalidValue, title).label(span, "").note(error.to_string())
    })?;
    Ok(Text::plain(&text, span))
}
