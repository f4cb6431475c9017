//! Labels of images: those of the file, and those that say where an image comes
//! from (OCI image specification, "pre-defined annotation keys").

use indexmap::IndexMap;

use crate::config::{Fact, Image};
use crate::facts::Scope;
use crate::plan::lower::Lower;

impl Lower<'_> {
    /// All labels; those of the file win over those that hoist sets.
    pub(super) fn labels(&mut self, scope: &Scope<'_>, image: &Image) -> IndexMap<String, String> {
        let mut labels = self.standard_labels(scope, image);
        labels.extend(self.fill_map(scope, &image.labels));
        labels.sort_keys();
        labels
    }

    /// `org.opencontainers.image.*`, as far as facts tell them.
    pub(super) fn standard_labels(&self, scope: &Scope<'_>, image: &Image) -> IndexMap<String, String> {
        let git = self.facts.git.as_ref();
        let name = image.name.value.rsplit('/').next().unwrap_or_default();
        let labels = [
            ("created", Some(self.created().to_string())),
            ("description", image.about.clone()),
            ("revision", git.map(|git| git.sha.clone())),
            ("source", git.and_then(|git| git.remote.as_deref()).and_then(web_address)),
            ("title", Some(name.to_owned())),
            ("version", scope.known(Fact::Version)),
        ];
        let known = labels.into_iter().filter_map(|(key, value)| Some((key, value?)));
        known.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value)).collect()
    }
}

/// Where a repository is looked at with a browser: `git@host:team/app.git` and
/// `ssh://git@host/team/app.git` are `https://host/team/app`. `None` for one that is a
/// directory of some machine, of which an image says nothing.
pub(super) fn web_address(remote: &str) -> Option<String> {
    // A query may hold a token.
    let end = if remote.contains("://") { remote.find(['?', '#']) } else { None };
    let remote = &remote[..end.unwrap_or(remote.len())];
    let bare = remote.strip_suffix('/').unwrap_or(remote);
    let bare = bare.strip_suffix(".git").unwrap_or(bare);
    if let Some((scheme, rest)) = bare.split_once("://") {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let is_web = ["http", "https"].contains(&scheme);
        let is_git = ["ssh", "git", "git+ssh", "ssh+git"].contains(&scheme);
        let scheme = if is_web { scheme } else { "https" };
        return (is_web || is_git).then(|| format!("{scheme}://{host}{path}"));
    }
    let (place, path) = bare.split_once(':')?;
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    // `C:\` is a directory, and so is what has a `/` before the colon.
    let is_host = host.len() > 1 && !place.contains(['/', '\\']) && !path.starts_with(':');
    is_host.then(|| format!("https://{host}/{}", path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_is_told_by_the_address_that_a_browser_understands() {
        let cases = [
            ("git@github.com:acme/web.git", "https://github.com/acme/web"),
            ("ssh://git@github.com/acme/web.git", "https://github.com/acme/web"),
            ("https://github.com/acme/web.git", "https://github.com/acme/web"),
            ("https://github.com/acme/web/", "https://github.com/acme/web"),
            ("https://ci:token@github.com/acme/web.git?token=x", "https://github.com/acme/web"),
            ("ssh://ci:token@github.com/acme/web.git", "https://github.com/acme/web"),
            ("git://github.com/acme/web.git", "https://github.com/acme/web"),
            ("github.com:acme/web.git", "https://github.com/acme/web"),
        ];
        for (remote, expected) in cases {
            assert_eq!(web_address(remote).as_deref(), Some(expected));
        }
    }

    #[test]
    fn of_a_directory_nothing_is_told() {
        for remote in [
            "/srv/git/web.git",
            "../web.git",
            "web",
            "file:///srv/git/web.git",
            "C:\\git\\web",
            "./a:b",
            "ext::sh -c x",
        ] {
            assert_eq!(web_address(remote), None, "{remote}");
        }
    }
}
