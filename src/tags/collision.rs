//! Branches whose tags would be taken for something else.

use crate::config::Rule;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{Event, Facts};
use crate::tags::apply::is_one_of;
use crate::tags::fill::{Text, slug};

/// Finds other branches that would come to the tag that a rule made of the
/// event's branch, and a tag of a branch that reads as a release.
pub(super) fn of_branch(rule: &Rule, text: &Text, facts: &Facts, problems: &mut Problems) {
    let Event::Branch(name) = &facts.event else { return };
    if !text.of_branch {
        return;
    }
    let tag = &text.tag;
    let collision =
        |title: String| Problem::new(Code::TagCollision, title).label(text.span, "it comes from here");
    if reads_as_release(tag) {
        let title = format!("the branch `{name}` gives the tag `{tag}`, which reads as a release");
        problems.push(collision(title).help("put something before it, such as `branch-{branch}`"));
    }
    // Commits have tags of their own, whatever their branches are called.
    let others = facts.git.iter().filter(|_| !text.of_commit).flat_map(|git| &git.branches);
    let same = others.filter(|other| {
        let meant = rule.narrow.branches.is_empty() || is_one_of(other, &rule.narrow.branches);
        *other != name && meant && slug(other, true) == slug(name, true)
    });
    for other in same {
        let title = format!("the branches `{name}` and `{other}` come to one tag, `{tag}`");
        problems.push(collision(title).help("add `{short}` to the template, or rename one of the branches"));
    }
}

/// Whether people take a tag for a version, also a pre-release, or for the newest
/// one. Leading zeroes, which versions do not have, make no difference to them.
fn reads_as_release(tag: &str) -> bool {
    let version = tag.strip_prefix('v').unwrap_or(tag);
    let (core, more) = version.split_once('-').map_or((version, false), |(core, _)| (core, true));
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    tag == "latest" || (core.split('.').all(number) && (!more || core.split('.').count() == 3))
}
