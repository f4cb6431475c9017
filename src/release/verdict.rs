//! Whether a tag may move. Pure.

use std::cmp::Ordering;

use semver::Version;

use crate::facts::short;
use crate::oci::Digest;
use crate::release::history::Kinship;
use crate::release::label::Labels;
use crate::tags::{Movement, Track};

/// What a tag holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) digest: Digest,
    pub(super) labels: Labels,
    /// The version that it is, or that it comes behind, as far as that is known.
    pub(super) version: Option<Version>,
}

/// Whether a tag may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds the image.
    Already,
    /// It may.
    Move,
    /// It may, and what it holds may not take its place again: an order says which comes
    /// after the other.
    Advance,
    /// It is to stay, for this reason: a sentence without a period.
    Keep(String),
    /// It is immutable and holds another image.
    Conflict,
}

/// Whether a tag may move from what it holds to the image `to`. `kinship` says
/// how the image's commit stands to that of what it holds, where both name one.
pub(super) fn judge(
    movement: &Movement,
    held: Option<&Held>,
    to: Digest,
    kinship: Option<Kinship>,
) -> Verdict {
    let Some(held) = held else { return Verdict::Move };
    if held.digest == to {
        return Verdict::Already;
    }
    match movement {
        Movement::Immutable => Verdict::Conflict,
        Movement::Moving(Track::Free) => Verdict::Move,
        Movement::Moving(Track::Back { from }) if held.digest == *from => Verdict::Move,
        Movement::Moving(Track::Back { .. }) => Verdict::Keep("somebody else moved it since".to_owned()),
        Movement::Moving(Track::Branch) => {
            let commit = short(held.labels.revision.as_deref().unwrap_or_default());
            match kinship {
                // What does not say its commit has no place in the history.
                None | Some(Kinship::Same | Kinship::Replaces) => Verdict::Move,
                Some(Kinship::Follows) => Verdict::Advance,
                Some(Kinship::Precedes) => {
                    Verdict::Keep(format!("it holds commit {commit}, which comes after this one"))
                }
                Some(Kinship::Strays) => {
                    Verdict::Keep(format!("it holds commit {commit}, which this one does not follow"))
                }
                Some(Kinship::Unknown) => Verdict::Keep(format!(
                    "it is not known whether this commit comes after {commit}, which it holds"
                )),
            }
        }
        Movement::Moving(Track::Version { version, .. }) => {
            match held.version.as_ref().map(|there| (version.cmp_precedence(there), there)) {
                Some((Ordering::Less, there)) => {
                    Verdict::Keep(format!("it holds {there}, which is higher than {version}"))
                }
                Some((Ordering::Greater, _)) => Verdict::Advance,
                // The same version built again may take its own place.
                Some((Ordering::Equal, _)) | None => Verdict::Move,
            }
        }
    }
}

/// A version as images carry it: often with a `v`. What `git describe` makes of a commit
/// behind a tag reads like one, and is none: `1.2.3-4-g0123abc`.
pub(super) fn read_version(text: &str) -> Option<Version> {
    let text = text.trim();
    let is_described = described(text).is_some();
    Version::parse(text.strip_prefix('v').unwrap_or(text)).ok().filter(|_| !is_described)
}

/// The version that an image has, or the one that its commit comes behind, by what it says
/// of itself. It may have become a higher one since: what is promoted is not built again.
pub(super) fn least_version(text: &str) -> Option<Version> {
    read_version(described(text.trim()).unwrap_or(text))
}

/// The tag that a commit comes behind, by what `git describe` makes of it.
fn described(text: &str) -> Option<&str> {
    let (rest, hash) = text.strip_suffix("-dirty").unwrap_or(text).rsplit_once("-g")?;
    let (tag, count) = rest.rsplit_once('-')?;
    let is_count = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let is_hash = hash.len() >= 4 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_count && is_hash).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(version: Option<&str>) -> Held {
        let labels = Labels { version: version.map(str::to_owned), revision: Some("0123456789".to_owned()) };
        let version = labels.version.as_deref().and_then(least_version);
        Held { digest: Digest::of(b"held"), labels, version }
    }

    fn versions(from: &str, to: &str) -> Verdict {
        let track = Track::Version { version: Version::parse(to).unwrap(), numbers: 0 };
        judge(&Movement::Moving(track), Some(&held(Some(from))), Digest::of(b"new"), None)
    }

    fn branch(kinship: Option<Kinship>) -> Verdict {
        judge(&Movement::Moving(Track::Branch), Some(&held(None)), Digest::of(b"new"), kinship)
    }

    #[test]
    fn a_version_tag_never_goes_backwards() {
        assert_eq!(versions("1.2.3", "1.2.4"), Verdict::Advance);
        assert_eq!(versions("v1.9.0", "1.10.0"), Verdict::Advance);
        assert_eq!(versions("1.2.3", "1.2.3"), Verdict::Move);
        assert_eq!(versions("2.0.0-rc.1", "2.0.0"), Verdict::Advance);
        let kept = Verdict::Keep("it holds 2.0.1, which is higher than 1.9.1".to_owned());
        assert_eq!(versions("2.0.1", "1.9.1"), kept);
        let kept = Verdict::Keep("it holds 2.0.0, which is higher than 2.0.0-rc.1".to_owned());
        assert_eq!(versions("2.0.0", "2.0.0-rc.1"), kept);
    }

    #[test]
    fn what_is_described_by_a_version_is_none_and_comes_behind_it() {
        let kept = Verdict::Keep("it holds 2.0.0, which is higher than 1.9.1".to_owned());
        assert_eq!(versions("v2.0.0-4-gabcdef0", "1.9.1"), kept);
        assert_eq!(versions("2.0.0-10-gabcdef0-dirty", "2.0.1"), Verdict::Advance);
        assert_eq!(read_version("1.0.0-9-g4809f4f"), None);
        assert_eq!(read_version("v1.0.0-rc.1"), Version::parse("1.0.0-rc.1").ok());
    }

    #[test]
    fn an_image_that_does_not_say_its_version_is_no_obstacle() {
        assert_eq!(versions("v1.2.3-4-gabcdef0-dirty.x..y", "1.0.0"), Verdict::Move);
        let track = Track::Version { version: Version::new(1, 0, 0), numbers: 1 };
        let verdict = judge(&Movement::Moving(track), Some(&held(None)), Digest::of(b"new"), None);
        assert_eq!(verdict, Verdict::Move);
    }

    #[test]
    fn a_branch_tag_moves_to_later_commits_only() {
        assert_eq!(branch(Some(Kinship::Follows)), Verdict::Advance);
        for moves in [None, Some(Kinship::Same), Some(Kinship::Replaces)] {
            assert_eq!(branch(moves), Verdict::Move);
        }
        let stays = [
            (Kinship::Precedes, "it holds commit 0123456, which comes after this one"),
            (Kinship::Strays, "it holds commit 0123456, which this one does not follow"),
            (Kinship::Unknown, "it is not known whether this commit comes after 0123456, which it holds"),
        ];
        for (kinship, why) in stays {
            assert_eq!(branch(Some(kinship)), Verdict::Keep(why.to_owned()));
        }
    }

    #[test]
    fn a_tag_goes_back_from_what_the_stage_set_it_to_alone() {
        let judge = |from: &[u8]| {
            let movement = Movement::Moving(Track::Back { from: Digest::of(from) });
            judge(&movement, Some(&held(None)), Digest::of(b"old"), None)
        };
        assert_eq!(judge(b"held"), Verdict::Move);
        assert_eq!(judge(b"new"), Verdict::Keep("somebody else moved it since".to_owned()));
    }

    #[test]
    fn an_immutable_tag_holds_one_image_for_ever() {
        let judge = |held: Option<&Held>, to: &[u8]| judge(&Movement::Immutable, held, Digest::of(to), None);
        assert_eq!(judge(None, b"new"), Verdict::Move);
        assert_eq!(judge(Some(&held(None)), b"held"), Verdict::Already);
        assert_eq!(judge(Some(&held(None)), b"new"), Verdict::Conflict);
    }
}
