//! Symbolic links of the project through which paths lead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Places of the project that are symbolic links, and where in the project they lead.
/// A link that leads nowhere, or out of the project, is none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<String, String>);

/// A path that leads through a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The same path without symbolic links.
    pub text: String,
    /// The link, and where it leads.
    pub link: (String, String),
}

impl Links {
    /// Looks at each of these places, once; relative to the project's directory.
    #[must_use]
    pub fn read(root: &Path, places: &BTreeSet<String>) -> Self {
        let is_link = |place: &&String| {
            root.join(place.as_str()).symlink_metadata().is_ok_and(|found| found.is_symlink())
        };
        let links: Vec<&String> = places.iter().filter(is_link).collect();
        // Most projects have none.
        let Some(root) = (!links.is_empty()).then(|| root.canonicalize().ok()).flatten() else {
            return Self::default();
        };
        let found = links.into_iter().filter_map(|link| {
            let real = root.join(link).canonicalize().ok()?;
            Some((link.clone(), real.strip_prefix(&root).ok()?.to_str()?.to_owned()))
        });
        Self(found.collect())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that do not lie at such places.
    #[must_use]
    pub fn without(&self, at: impl Fn(&str) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(link, _)| !at(link))
                .map(|(link, real)| (link.clone(), real.clone()))
                .collect(),
        )
    }

    /// A path or glob by the place that it leads to; `None` if no link is on its way. What
    /// a wildcard matches is not looked at.
    #[must_use]
    pub fn resolve(&self, text: &str) -> Option<Resolved> {
        if self.is_empty() {
            return None;
        }
        let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
        // The innermost link says where all of the way to it leads.
        let mut links = ends.filter_map(|end| self.0.get_key_value(text.get(..end)?));
        let (link, real) = links.next_back()?;
        let rest = text.get(link.len()..)?;
        let place = globset::escape(real);
        let text = if place.is_empty() { rest.trim_start_matches('/').to_owned() } else { place + rest };
        Some(Resolved { text, link: (link.clone(), real.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_innermost_link_that_stays_in_the_project_is_resolved() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("project");
        fs::create_dir_all(root.join("real/deep")).unwrap();
        symlink("real", root.join("out")).unwrap();
        symlink("../real", root.join("real/round")).unwrap();
        symlink("/", root.join("away")).unwrap();
        symlink(".", root.join("here")).unwrap();
        let places = ["out", "out/round", "away", "here", "real", "none"].map(str::to_owned);
        let links = Links::read(&root, &places.into_iter().collect());
        let resolved = |text: &str| links.resolve(text).map(|resolved| resolved.text);
        let cases = [
            ("out/x", Some("real/x")),
            ("out", Some("real")),
            ("out/**/*.c", Some("real/**/*.c")),
            ("out/round/x", Some("real/x")),
            ("here/real/x", Some("real/x")),
            ("real/x", None),
            ("outer/x", None),
            ("away/x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(resolved(text).as_deref(), expected, "{text}");
        }
    }
}
