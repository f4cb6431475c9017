//! Branches whose tags would be taken for something else.

use crate::config::{Fact, Rule, RuleKind, Template};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Event, Facts};
use crate::tags::apply::{is_one_of, on_branch};
use crate::tags::fill::{mentions, slug};

/// Finds branches that share a tag with the event's, and a branch whose tag
/// reads as a release.
pub(super) fn branches(rules: &[Rule], facts: &Facts, problems: &mut Problems) {
    let Event::Branch(name) = &facts.event else { return };
    for rule in rules {
        let RuleKind::Branch(templates) = &rule.kind else { continue };
        if !rule.narrow.branches.is_empty() && !on_branch(&facts.event, &rule.narrow.branches) {
            continue;
        }
        for template in templates.iter().filter(|template| is_of_branch(template)) {
            if is_bare(template) && reads_as_release(&slug(name, true)) {
                let tag = slug(name, true);
                let title = format!("the branch `{name}` gives the tag `{tag}`, which reads as a release");
                let problem =
                    Problem::new(Code::TagCollision, title).label(template.span, "it comes from here");
                problems.push(problem.help("put something before it, such as `branch-{branch}`"));
            }
            let others = facts.git.iter().flat_map(|git| &git.branches).filter(|other| {
                let meant = rule.narrow.branches.is_empty() || is_one_of(other, &rule.narrow.branches);
                *other != name && meant && slug(other, true) == slug(name, true)
            });
            for other in others {
                let tag = slug(name, true);
                let title =
                    format!("the branches `{name}` and `{other}` come to one tag, with `{tag}` for both");
                let problem =
                    Problem::new(Code::TagCollision, title).label(template.span, "it comes from here");
                problems.push(problem.help("add `{short}` to the template, or rename one of the branches"));
            }
        }
    }
}

/// Whether commits of a branch share the tag.
fn is_of_branch(template: &Template) -> bool {
    let of_commit = [Fact::Sha, Fact::Short, Fact::Describe, Fact::Version];
    mentions(template, Fact::Branch) && !of_commit.iter().any(|fact| mentions(template, *fact))
}

fn is_bare(template: &Template) -> bool {
    template.parts.len() == 1
}

/// Whether people take a tag for a version or for the newest one.
fn reads_as_release(tag: &str) -> bool {
    let digits = tag.strip_prefix('v').unwrap_or(tag);
    let numbers = !digits.is_empty()
        && digits.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    tag == "latest" || numbers || digits.parse::<semver::Version>().is_ok()
}
