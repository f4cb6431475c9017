//! Rules: of the images with some tags, how many are kept, and for how long.

use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use jiff::{SignedDuration, Timestamp};

use crate::config::{Bounds, Retain};
use crate::diagnostic::{Code, Problem};
use crate::oci::Digest;
use crate::release::retention::kind::Kind;

/// How long what hoist made for itself is kept where no rule says: a cache entry, or an
/// image whose tags moved on.
const OWN: Duration = Duration::from_hours(30 * 24);

/// The rules for a repository, in their order: the first that matches a tag decides.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Rule>);

/// One rule.
#[derive(Clone, Debug)]
struct Rule {
    /// As they were written.
    written: Vec<String>,
    globs: GlobSet,
    bounds: Bounds,
    versions: bool,
    /// Whether it is for nothing but what hoist made for itself.
    own: bool,
}

/// What the rules say of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// This rule decides.
    By(usize),
    /// It stays, and why.
    Stays(&'static str),
}

impl Rules {
    /// Rules, and behind them those for what hoist made for itself.
    ///
    /// # Errors
    /// One has a glob that is none.
    pub fn new<'a>(given: impl IntoIterator<Item = &'a Retain>) -> Result<Self, Problem> {
        let own = |glob: &str| Retain {
            matches: vec![glob.to_owned()],
            bounds: Bounds { last: None, younger: Some(OWN) },
            versions: false,
        };
        let own = [own("k-*"), own("keep-*")];
        let given = given.into_iter().map(|retain| Rule::new(retain, false));
        let rules = given.chain(own.iter().map(|retain| Rule::new(retain, true)));
        rules.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn of(&self, tag: &str, digest: &Digest) -> Ruling {
        let kind = Kind::of(tag, digest);
        match kind {
            Kind::Latest => return Ruling::Stays("`latest` always does"),
            Kind::List(_) => return Ruling::Stays("it goes with what it is about"),
            _ => {}
        }
        let mut matching = (0..).zip(&self.0).filter(|(_, rule)| rule.means(tag, kind)).peekable();
        let any = matching.peek().is_some();
        match matching.find(|(_, rule)| kind != Kind::Version || rule.versions) {
            Some((at, _)) => Ruling::By(at),
            None if any => Ruling::Stays("it names a version, which no rule says is meant"),
            None => Ruling::Stays("no rule is for it"),
        }
    }

    pub(super) fn bounds(&self, at: usize) -> Option<Bounds> {
        self.0.get(at).map(|rule| rule.bounds)
    }

    /// Why a rule lets an image go: a phrase.
    pub(super) fn why(&self, at: usize) -> String {
        let Some(rule) = self.0.get(at) else { return String::new() };
        let globs: Vec<_> = rule.written.iter().map(|glob| format!("`{glob}`")).collect();
        let globs = globs.join(", ");
        match (rule.bounds.last, rule.bounds.younger) {
            (Some(last), Some(younger)) => {
                format!("{globs}: not among the last {last}, nor younger than {}", span(younger))
            }
            (Some(last), None) => format!("{globs}: not among the last {last}"),
            (None, Some(younger)) => format!("{globs}: not younger than {}", span(younger)),
            (None, None) => globs,
        }
    }
}

impl Rule {
    fn new(retain: &Retain, own: bool) -> Result<Self, Problem> {
        let mut globs = GlobSetBuilder::new();
        let wrong = |glob: &str, error: &globset::Error| {
            Problem::new(Code::InvalidValue, format!("`{glob}` is not a glob")).note(error.kind().to_string())
        };
        for glob in &retain.matches {
            globs.add(Glob::new(glob).map_err(|error| wrong(glob, &error))?);
        }
        Ok(Self {
            globs: globs.build().map_err(|error| wrong(&retain.matches.join(", "), &error))?,
            written: retain.matches.clone(),
            bounds: retain.bounds,
            versions: retain.versions,
            own,
        })
    }

    /// Whether it is for a tag. One that hoist made for itself is meant by no glob that
    /// does not begin like it.
    fn means(&self, tag: &str, kind: Kind) -> bool {
        let prefix = kind.prefix();
        if self.own && prefix.is_none() {
            return false;
        }
        let meant = self.globs.matches(tag).into_iter().filter_map(|at| self.written.get(at));
        meant.into_iter().any(|glob| prefix.is_none_or(|prefix| glob.starts_with(prefix)))
    }
}

/// Whether something is not yet as old as a limit. What lies in the future is young.
pub(super) fn is_younger(then: Timestamp, limit: Duration, now: Timestamp) -> bool {
    SignedDuration::try_from(limit).map_or(true, |limit| now.duration_since(then) < limit)
}

/// A duration in its largest unit that it is a whole number of.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retain(glob: &str, versions: bool) -> Retain {
        let bounds = Bounds { last: Some(2), younger: Some(Duration::from_hours(48)) };
        Retain { matches: vec![glob.to_owned()], bounds, versions }
    }

    #[test]
    fn the_first_rule_that_means_a_tag_decides() {
        let given = [retain("develop-*", false), retain("*-rc.*", true), retain("*", false)];
        let rules = Rules::new(&given).unwrap();
        let image = Digest::of(b"web");
        let of = |tag: &str| rules.of(tag, &image);
        assert_eq!(of("develop-1"), Ruling::By(0));
        assert_eq!(of("1.0.0-rc.1"), Ruling::By(1));
        assert_eq!(of("pr-7"), Ruling::By(2));
        assert_eq!(of("1.0.0"), Ruling::Stays("it names a version, which no rule says is meant"));
        assert_eq!(of("latest"), Ruling::Stays("`latest` always does"));
        assert_eq!(of(&format!("k-{}", "0".repeat(40))), Ruling::By(3));
        let keep = format!("keep-{}", &image.hex()[..12]);
        assert_eq!(of(&keep), Ruling::By(4));
        assert_eq!(rules.why(0), "`develop-*`: not among the last 2, nor younger than 2d");
        let alone = Rules::new(&[]).unwrap();
        for tag in ["develop-1", "keep-me", "k-1"] {
            assert_eq!(alone.of(tag, &image), Ruling::Stays("no rule is for it"), "{tag}");
        }
        assert!(Rules::new(&[retain("[", false)]).is_err());
    }

    #[test]
    fn durations_are_shown_in_whole_units() {
        let shown = [90, 3600, 5400, 30 * 86_400, 0].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(shown, ["90s", "1h", "90m", "30d", "0s"]);
    }
}
