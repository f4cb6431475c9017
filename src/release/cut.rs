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

/// The version behind the highest of some: a pre-release comes before the version that it
/// is one of, which is next then where that raises the number already.
#[must_use]
pub fn next(versions: &[Version], bump: Bump) -> Version {
    let Some(last) = versions.iter().max_by(|one, other| one.cmp_precedence(other)) else {
        return match bump {
            Bump::Major => Version::new(1, 0, 0),
            Bump::Minor => Version::new(0, 1, 0),
            Bump::Patch => Version::new(0, 0, 1),
        };
    };
    let Version { major, minor, patch, .. } = *last;
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
        next(&versions, bump).to_string()
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
