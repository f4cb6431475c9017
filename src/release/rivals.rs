//! Versions that others release at the same time.
//!
//! Where a registry cannot compare, two who move one tag may each find that it holds less
//! than theirs, and the last to write wins. But all set the names of versions first, and
//! those never change: they tell who else was there. Pure.

use semver::Version;

use crate::plan::TagStep;
use crate::tags::{Movement, Track};

/// The names of versions in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rivals {
    /// What stands before a version in its name, and behind it.
    around: (String, String),
    /// Names that were there before anything was moved.
    known: Vec<String>,
}

impl Rivals {
    /// Those beside the tags of a step, by how the step names its own version, and as far
    /// as they are not `known`.
    pub(super) fn new(step: &TagStep, known: Vec<String>) -> Self {
        let version = step.tags.iter().find_map(|planned| match &planned.movement {
            Movement::Moving(Track::Version { version, .. }) => Some(in_tags(version)),
            _ => None,
        });
        let names = step.tags.iter().filter(|planned| planned.movement == Movement::Immutable);
        let mut around = names.filter_map(|planned| planned.tag.as_str().split_once(version.as_deref()?));
        let (before, behind) = around.next().unwrap_or_default();
        Self { around: (before.to_owned(), behind.to_owned()), known }
    }

    /// The highest of these names that a tag of so many numbers should hold rather than
    /// this version, and its version.
    pub(super) fn highest<'n>(
        &self,
        names: &'n [String],
        than: (&Version, u8),
    ) -> Option<(Version, &'n str)> {
        self.higher(names, than).max_by(|(one, _), (other, _)| one.cmp_precedence(other))
    }

    fn higher<'n>(
        &self,
        names: &'n [String],
        (version, numbers): (&Version, u8),
    ) -> impl Iterator<Item = (Version, &'n str)> {
        let beyond = |name: &'n String| Some((self.version(name)?, name.as_str()));
        let same = move |other: &Version| match numbers {
            0 => true,
            1 => other.major == version.major,
            _ => (other.major, other.minor) == (version.major, version.minor),
        };
        names.iter().filter_map(beyond).filter(move |(other, _)| {
            other.pre.is_empty() && other.cmp_precedence(version).is_gt() && same(other)
        })
    }

    /// All of those that were there before that a tag of so many numbers should hold rather
    /// than this version, the highest first.
    pub(super) fn all_higher(&self, than: (&Version, u8)) -> Vec<(Version, &str)> {
        let mut all: Vec<_> = self.higher(&self.known, than).collect();
        all.sort_by(|(one, _), (other, _)| other.cmp_precedence(one));
        all
    }

    /// As [`highest`](Self::highest), of those that were there before.
    pub(super) fn highest_known(&self, than: (&Version, u8)) -> Option<(Version, &str)> {
        self.highest(&self.known, than)
    }

    /// Of these names, those that were not there before.
    pub(super) fn new_ones(&self, names: Vec<String>) -> Vec<String> {
        names.into_iter().filter(|name| !self.known.contains(name)).collect()
    }

    fn version(&self, name: &str) -> Option<Version> {
        let (before, behind) = &self.around;
        let text = name.strip_prefix(before.as_str())?.strip_suffix(behind.as_str())?;
        let text = if before.is_empty() { text.strip_prefix('v').unwrap_or(text) } else { text };
        Version::parse(text).ok()
    }
}

/// A version as tags spell it: without what they cannot.
fn in_tags(version: &Version) -> String {
    Version { build: semver::BuildMetadata::EMPTY, ..version.clone() }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProjectPath;
    use crate::diagnostic::{Sources, Span};
    use crate::plan::{RegistryPlace, RegistryPlan, StepIndex};
    use crate::tags::PlannedTag;

    fn rivals(own: &[&str], known: &[&str]) -> Rivals {
        let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
        let planned = |tag: &str, movement| PlannedTag {
            tag: tag.parse().unwrap(),
            rule: "semver",
            span,
            movement,
            local: false,
            returns: None,
        };
        let version = "1.5.0+b1".parse().unwrap();
        let mut tags: Vec<_> = own.iter().map(|tag| planned(tag, Movement::Immutable)).collect();
        tags.push(planned("1.5", Movement::Moving(Track::Version { version, numbers: 2 })));
        let place = RegistryPlace::Layout(ProjectPath::root().join("out").unwrap());
        let registry = RegistryPlan::with_defaults("out", place);
        let step = TagStep { image: StepIndex(0), registry, tags };
        Rivals::new(&step, known.iter().map(|name| (*name).to_owned()).collect())
    }

    fn highest(own: &[&str], names: &[&str], numbers: u8) -> Option<String> {
        let version = "1.5.0+b1".parse().unwrap();
        let found = rivals(own, names);
        found.highest_known((&version, numbers)).map(|(_, name)| name.to_owned())
    }

    #[test]
    fn a_higher_version_of_the_same_track_is_found_by_its_name() {
        let names = ["1.4.9", "1.5.0", "1.5.2", "1.5.10", "1.6.0", "1.7.0-rc.1", "2.0.0", "latest", "2"];
        assert_eq!(highest(&["1.5.0"], &names, 2).as_deref(), Some("1.5.10"));
        assert_eq!(highest(&["1.5.0"], &names, 1).as_deref(), Some("1.6.0"));
        assert_eq!(highest(&["1.5.0"], &names, 0).as_deref(), Some("2.0.0"));
        assert_eq!(highest(&["1.5.0"], &["1.5.0", "1.4.9", "1.5"], 0), None);
    }

    #[test]
    fn names_are_spelled_as_the_own_version_is() {
        let names = ["api-1.5.1", "web-1.5.3-slim", "1.5.4", "v1.5.5", "api-1.5.2-slim"];
        assert_eq!(highest(&["sha-1234567", "api-1.5.0"], &names, 2).as_deref(), Some("api-1.5.1"));
        assert_eq!(highest(&["api-1.5.0-slim"], &names, 2).as_deref(), Some("api-1.5.2-slim"));
        assert_eq!(highest(&["v1.5.0"], &names, 2).as_deref(), Some("v1.5.5"));
        // Where the own version has no name, any that is one is meant.
        assert_eq!(highest(&[], &names, 2).as_deref(), Some("v1.5.5"));
    }

    #[test]
    fn all_higher_versions_of_a_track_come_from_the_highest_down() {
        let names = ["1.5.1", "2.0.0", "1.10.0", "1.6.0", "0.9.0", "3.0.0-rc.1"];
        let (version, found) = ("1.5.0".parse().unwrap(), rivals(&["1.5.0"], &names));
        let all = |numbers| {
            let all = found.all_higher((&version, numbers));
            all.into_iter().map(|(_, name)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(all(0), ["2.0.0", "1.10.0", "1.6.0", "1.5.1"]);
        assert_eq!(all(1), ["1.10.0", "1.6.0", "1.5.1"]);
        assert_eq!(all(2), ["1.5.1"]);
    }

    #[test]
    fn what_was_there_before_is_no_news() {
        let names = ["1.5.1", "1.5.2"].map(str::to_owned).to_vec();
        assert_eq!(rivals(&["1.5.0"], &["1.5.1"]).new_ones(names), ["1.5.2"]);
    }
}
