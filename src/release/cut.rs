//! The next version. Pure.

use semver::{BuildMetadata, Prerelease, Version};

/// Which number of a version is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bump {
    /// The first; the others are 0 then.
    Major,
    /// The second; the third is 0 then.
    Minor,
    /// The third.
    Patch,
}

/// The version behind that of a commit: the highest of those `behind` it, else of all. Where
/// others of its line were made elsewhere, it comes behind them: of the same two numbers for
/// a patch, of the same first for a minor one. A pre-release comes before the version that
/// it is one of, which is next then where that raises the number already.
#[must_use]
pub fn next(all: &[Version], behind: &[Version], bump: Bump) -> Version {
    let highest = |versions: &mut dyn Iterator<Item = &Version>| -> Option<Version> {
        versions.max_by(|one, other| one.cmp_precedence(other)).cloned()
    };
    let own = highest(&mut behind.iter()).or_else(|| highest(&mut all.iter()));
    let is_of_line = |version: &Version, own: &Version| match bump {
        Bump::Major => true,
        Bump::Minor => version.major == own.major,
        Bump::Patch => (version.major, version.minor) == (own.major, own.minor),
    };
    let last =
        own.map(|own| highest(&mut all.iter().filter(|version| is_of_line(version, &own))).unwrap_or(own));
    let Some(last) = last else {
        return match bump {
            Bump::Major => Version::new(1, 0, 0),
            Bump::Minor => Version::new(0, 1, 0),
            Bump::Patch => Version::new(0, 0, 1),
        };
    };
    let Version { major, minor, patch, .. } = last;
    let released = Version { pre: Prerelease::EMPTY, build: BuildMetadata::EMPTY, ..last.clone() };
    let raises = match bump {
        Bump::Major => minor == 0 && patch == 0,
        Bump::Minor => patch == 0,
        Bump::Patch => true,
    };
    match bump {
        _ if !last.pre.is_empty() && raises => released,
        Bump::Major => Version::new(major.saturating_add(1), 0, 0),
        Bump::Minor => Version::new(major, minor.saturating_add(1), 0),
        Bump::Patch => Version::new(major, minor, patch.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(versions: &[&str], bump: Bump) -> String {
        let versions: Vec<_> = versions.iter().map(|text| text.parse().unwrap()).collect();
        next(&versions, &[], bump).to_string()
    }

    #[test]
    fn an_older_line_goes_on_by_itself() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let all = parse(&["1.2.9", "1.2.10", "1.3.0", "2.0.0"]);
        let cut = |behind: &[&str], bump| next(&all, &parse(behind), bump).to_string();
        let bumps = [Bump::Patch, Bump::Minor, Bump::Major];
        assert_eq!(bumps.map(|bump| cut(&["1.2.9", "1.2.10"], bump)), ["1.2.11", "1.4.0", "3.0.0"]);
        // From a commit in the middle of a line, nothing is cut that is there.
        assert_eq!(cut(&["1.2.9"], Bump::Patch), "1.2.11");
        assert_eq!(bumps.map(|bump| cut(&["2.0.0", "1.3.0"], bump)), ["2.0.1", "2.1.0", "3.0.0"]);
    }

    #[test]
    fn the_highest_version_is_raised_whatever_came_last() {
        let versions = ["1.9.3", "1.10.0", "1.2.3"];
        assert_eq!(cut(&versions, Bump::Patch), "1.10.1");
        assert_eq!(cut(&versions, Bump::Minor), "1.11.0");
        assert_eq!(cut(&versions, Bump::Major), "2.0.0");
        assert_eq!(
            [Bump::Patch, Bump::Minor, Bump::Major].map(|bump| cut(&[], bump)),
            ["0.0.1", "0.1.0", "1.0.0"]
        );
    }

    #[test]
    fn a_pre_release_is_followed_by_its_version() {
        let versions = ["1.4.2", "2.0.0-rc.1"];
        assert_eq!([Bump::Patch, Bump::Minor, Bump::Major].map(|bump| cut(&versions, bump)), ["2.0.0"; 3]);
        let versions = ["1.5.1-rc.1"];
        assert_eq!(cut(&versions, Bump::Patch), "1.5.1");
        assert_eq!(cut(&versions, Bump::Minor), "1.6.0");
        assert_eq!(cut(&["1.0.0+b5"], Bump::Patch), "1.0.1");
    }
}
