//! Labels of images: those of the file, and those that say where an image comes
//! from (OCI image specification, "pre-defined annotation keys").

use indexmap::IndexMap;

use crate::config::Image;
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
            ("source", git.and_then(|git| git.remote.as_deref()).map(web_address)),
            ("title", Some(name.to_owned())),
            ("version", scope.version_of_commit()),
        ];
        let known = labels.into_iter().filter_map(|(key, value)| Some((key, value?)));
        known.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value)).collect()
    }
}

/// Where a repository is looked at with a browser: `git@host:team/app.git` and
/// `ssh://git@host/team/app.git` are `https://host/team/app`.
pub(super) fn web_address(remote: &str) -> String {
    let bare = remote.strip_suffix('/').unwrap_or(remote);
    let bare = bare.strip_suffix(".git").unwrap_or(bare);
    let ssh = bare.strip_prefix("ssh://").map(|rest| rest.split_once('@').map_or(rest, |(_, rest)| rest));
    let scp = || {
        let (user, rest) = bare.split_once('@')?;
        let (host, path) = rest.split_once(':')?;
        (!user.contains('/') && !host.contains('/')).then(|| format!("https://{host}/{path}"))
    };
    ssh.map(|rest| format!("https://{rest}")).or_else(scp).unwrap_or_else(|| bare.to_owned())
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
            ("/srv/git/web.git", "/srv/git/web"),
        ];
        for (remote, expected) in cases {
            assert_eq!(web_address(remote), expected);
        }
    }
}
