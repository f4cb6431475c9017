//! Rules that name images.

use crate::config::grammar::image::EVENTS;
use crate::config::grammar::{ArgumentForm, Kind, NodeForm, PropertyForm};

const ON: PropertyForm = PropertyForm::new("on", EVENTS, "Kinds of event on which it applies.");
const BRANCH: PropertyForm = PropertyForm::new("branch", Kind::Globs, "Branches on which it applies.");
const IMMUTABLE: PropertyForm =
    PropertyForm::new("immutable", Kind::Bool, "Whether its tags ever move.").default("by the rule");
const NARROW: &[PropertyForm] = &[ON, BRANCH, IMMUTABLE];
const CLOCK: PropertyForm =
    PropertyForm::new("clock", Kind::Word(&["commit", "now"]), "Whose date.").default("`commit`");
const TEMPLATES: &[ArgumentForm] = &[ArgumentForm::many("tag", Kind::Template, "")];

pub(super) const RULES: &[NodeForm] = &[
    NodeForm::new("semver", "On a git tag that parses as SemVer: each template.")
        .arguments(TEMPLATES)
        .properties(&[
            PropertyForm::new("prefix", Kind::Text, "What stands before the version in the git tag.")
                .default("`v`, or nothing"),
            PropertyForm::new("zero", Kind::Bool, "Whether a `0.x` version yields `{major}`.")
                .default("`#false`"),
            ON,
            BRANCH,
            IMMUTABLE,
        ])
        .repeatable()
        .notes(
            "A pre-release yields only the templates with `{version}`. In a monorepo: `prefix=\"api/v\"`.",
        ),
    NodeForm::new("latest", "On a stable version, or on the branches that it names: `latest`.")
        .properties(NARROW)
        .repeatable(),
    NodeForm::new("branch", "On a branch: each template.")
        .arguments(TEMPLATES)
        .properties(&[
            PropertyForm::new("match", Kind::Globs, "The branches; the same as `branch`."),
            ON,
            BRANCH,
            IMMUTABLE,
        ])
        .repeatable(),
    NodeForm::new("pr", "On a pull request: each template.")
        .arguments(TEMPLATES)
        .properties(NARROW)
        .repeatable(),
    NodeForm::new("schedule", "On a schedule: each template.")
        .arguments(TEMPLATES)
        .properties(NARROW)
        .repeatable(),
    NodeForm::new("local", "Names in the local engine; never pushed.")
        .arguments(TEMPLATES)
        .properties(NARROW)
        .repeatable(),
    NodeForm::new("sha", "The commit.")
        .properties(&[
            PropertyForm::new("short", Kind::Bool, "7 digits instead of 40.").default("`#false`"),
            PropertyForm::new("prefix", Kind::Text, "What stands before it."),
            ON,
            BRANCH,
            IMMUTABLE,
        ])
        .repeatable(),
    NodeForm::new("describe", "git's description of the commit.").properties(NARROW).repeatable(),
    NodeForm::new("date", "A date.")
        .arguments(&[ArgumentForm::optional("format", Kind::DateFormat, "`%Y%m%d`", "")])
        .properties(&[CLOCK, ON, BRANCH, IMMUTABLE])
        .repeatable()
        .notes("That of the commit, in UTC, so that the same commit has the same tags."),
    NodeForm::new("raw", "Each template, on every event.")
        .arguments(TEMPLATES)
        .properties(NARROW)
        .repeatable(),
    NodeForm::new("match", "On a git tag or branch that an expression matches: each template.")
        .arguments(&[
            ArgumentForm::one("expression", Kind::Regex, ""),
            ArgumentForm::many(
                "tag",
                Kind::Template,
                "`{1}` is the expression's first group, `{0}` the whole match.",
            ),
        ])
        .properties(NARROW)
        .repeatable(),
    NodeForm::new("calver", "On a git tag: a date.")
        .arguments(&[ArgumentForm::optional("format", Kind::DateFormat, "`%Y.%m`", "")])
        .properties(&[CLOCK, ON, BRANCH, IMMUTABLE])
        .repeatable(),
];

pub(super) const TAGS: NodeForm = NodeForm::new("tags", "A named set of rules that name images.")
    .arguments(&[ArgumentForm::one("name", Kind::Name, "")])
    .children(RULES)
    .repeatable()
    .notes(
        "Each rule is evaluated against the event; one that does not apply yields nothing. A tag is \
         *immutable* (full versions, commits) or *moving* (`latest`, `1.2`, `main-latest`): an \
         immutable one is never overwritten with another digest, a moving one never goes backwards. \
         What comes from a branch name is turned into what a tag allows. `hoist tags` shows each tag \
         with its rule.",
    )
    .example(
        r#"tags "standard" {
    semver "{version}" "{major}.{minor}" "{major}"
    latest branch="main"
    branch "{branch}-{short}" "{branch}-latest" match="develop,staging"
    pr "pr-{number}"
    schedule "nightly"
    local "local-{short}"
    sha short=#true
    describe on="branch"
    date "%Y%m%d"
    raw "dev" branch="develop"
    match "^release-(.*)$" "rc-{1}"
    calver "%Y.%m"
}
"#,
    );
