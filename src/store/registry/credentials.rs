//! Credentials, where docker and podman keep them.
#![expect(clippy::disallowed_methods, reason = "credential helpers are programs")]

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use indexmap::IndexMap;
use serde::Deserialize;
use tokio::process::Command;

use crate::config::Secret;
use crate::diagnostic::{Problem, Spanned};
use crate::facts::Environment;
use crate::oci::RepositoryName;
use crate::store::registry::secret::{self, Password, output};

/// The largest file of credentials that is read, in bytes.
pub(super) const MAX_FILE: u64 = 4 << 20;

/// What editors of Windows put before a text.
pub(super) const MARK: &str = "\u{feff}";

/// Where credentials come from that release.kdl names.
pub(super) const LOGIN: &str = "the `login` of the registry";

/// The surroundings that credentials are found in.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Directory that paths in the release file are relative to.
    pub root: PathBuf,
    /// The environment, `dotenv` files included.
    pub environment: Environment,
}

/// Who one is for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nobody.
    Anonymous,
    /// A user with a password.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Password,
    },
    /// The bearer of a token that is exchanged for others (OAuth 2 refresh token).
    Identity(Password),
}

/// User names that stand before a token of identity: that of credential helpers, and the
/// one of Azure.
const BEARERS: &[&str] = &["<token>", "00000000-0000-0000-0000-000000000000"];

impl Credentials {
    fn new(username: &str, password: Password) -> Self {
        if BEARERS.contains(&username) {
            return Self::Identity(password);
        }
        Self::Basic { username: username.to_owned(), password }
    }
}

/// Credentials, and how they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) credentials: Credentials,
    /// Where, for messages: `~/.docker/config.json`.
    pub(super) source: Option<String>,
    /// What went wrong on the way.
    pub(super) notes: Vec<String>,
}

/// The credentials for a repository: those of the release file, else the first
/// that docker and podman know, else none.
///
/// # Errors
/// The secret that the release file names cannot be found.
pub(super) async fn find(
    name: &RepositoryName,
    login: Option<&(String, Spanned<Secret>)>,
    surroundings: &Surroundings,
) -> Result<Found, Problem> {
    if let Some((username, password)) = login {
        let password =
            secret::find("a password", password, &surroundings.root, &surroundings.environment).await?;
        let credentials = Credentials::new(username, password);
        let source = Some(LOGIN.to_owned());
        return Ok(Found { credentials, source, notes: Vec::new() });
    }
    let mut notes = Vec::new();
    for path in files(&surroundings.environment) {
        let shown = path.display();
        let file = match read(&path) {
            Ok(Some(file)) => file,
            Ok(None) => continue,
            Err(error) => {
                notes.push(format!("{shown} was passed over: {error}"));
                continue;
            }
        };
        let (found, undecoded) = file.find(name, &surroundings.environment).await;
        notes.extend(undecoded.into_iter().map(|key| {
            format!("{shown}: the `auth` of `{key}` was passed over: it is no `user:password` in base64")
        }));
        match found {
            Ok(Some((credentials, helper))) => {
                let source = match helper {
                    Some(helper) => format!("`docker-credential-{helper}`, named in {shown}"),
                    None => shown.to_string(),
                };
                return Ok(Found { credentials, source: Some(source), notes });
            }
            Ok(None) => {}
            Err(error) => notes.push(format!("{shown} was passed over: {error}")),
        }
    }
    Ok(Found { credentials: Credentials::Anonymous, source: None, notes })
}

/// Where credentials are kept, in the order in which they are looked for.
pub(super) fn files(environment: &Environment) -> Vec<PathBuf> {
    let directory = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |below: &str| directory("HOME").map(|home| home.join(below));
    let docker = directory("DOCKER_CONFIG").or_else(|| home(".docker"));
    let runtime = directory("XDG_RUNTIME_DIR");
    let config = directory("XDG_CONFIG_HOME").or_else(|| home(".config"));
    let places = [
        directory("REGISTRY_AUTH_FILE"),
        docker.map(|directory| directory.join("config.json")),
        runtime.map(|directory| directory.join("containers/auth.json")),
        config.map(|directory| directory.join("containers/auth.json")),
    ];
    places.into_iter().flatten().collect()
}

/// docker's `config.json` and podman's `auth.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CredentialFile {
    auths: Option<IndexMap<String, Option<Entry>>>,
    cred_helpers: Option<IndexMap<String, Option<String>>>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

fn read(path: &Path) -> Result<Option<CredentialFile>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    // The message of the JSON reader could quote a secret.
    let invalid = |error: serde_json::Error| format!("line {} is no valid JSON", error.line());
    let text = bytes.strip_prefix(MARK.as_bytes()).unwrap_or(&bytes);
    serde_json::from_slice(text).map_err(invalid)
}

impl CredentialFile {
    /// Credentials, with the helper that gave them; and the keys of entries that would have
    /// some, and cannot be decoded.
    async fn find(
        &self,
        name: &RepositoryName,
        environment: &Environment,
    ) -> (Result<Option<(Credentials, Option<&str>)>, String>, Vec<&str>) {
        let given = |helper, found: Option<Credentials>| found.map(|found| (found, Some(helper)));
        let all = self.cred_helpers.iter().flatten();
        let of_host =
            || names_of(name.host()).iter().find_map(|host| all.clone().find(|(key, _)| *key == host));
        let of_host = of_host().map(|(_, helper)| helper.as_deref().unwrap_or_default());
        if let Some(helper) = of_host.filter(|helper| !helper.is_empty()) {
            let found = ask(helper, server(name.host()), environment).await;
            return (found.map(|found| given(helper, found)), Vec::new());
        }
        let (stored, undecoded) = self.stored(name);
        let stored = stored.map(|stored| (stored, None));
        let store = self.creds_store.as_deref().filter(|helper| of_host.is_none() && !helper.is_empty());
        let found = match store {
            None => Ok(stored),
            Some(helper) => match (ask(helper, server(name.host()), environment).await, stored) {
                // What is stored beside a helper is older than it, but better than nothing.
                (Ok(None) | Err(_), Some(stored)) => Ok(Some(stored)),
                (found, _) => found.map(|found| given(helper, found)),
            },
        };
        (found, undecoded)
    }

    /// The entry of the longest path that leads to the repository; and the keys of those on
    /// the way there that cannot be decoded.
    fn stored(&self, name: &RepositoryName) -> (Option<Credentials>, Vec<&str>) {
        let mut path = Some(name.path());
        let mut scopes = Vec::new();
        while let Some(here) = path {
            scopes.push(format!("{}/{here}", name.host()));
            path = here.rsplit_once('/').map(|(above, _)| above);
        }
        scopes.extend(names_of(name.host()));
        let mut undecoded = Vec::new();
        for scope in scopes {
            let found = self.auths.iter().flatten().find(|(key, _)| normal(key) == scope.as_str());
            let Some((key, Some(entry))) = found else { continue };
            match entry.credentials() {
                Ok(None) => {}
                Ok(found) => return (found, undecoded),
                Err(Undecoded) => undecoded.push(key.as_str()),
            }
        }
        (None, undecoded)
    }
}

/// An `auth` is no base64 of a user's name, a colon, and a password.
#[derive(Debug, PartialEq, Eq)]
struct Undecoded;

impl Entry {
    fn credentials(&self) -> Result<Option<Credentials>, Undecoded> {
        if let Some(token) = self.identitytoken.as_deref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credentials::Identity(Password::new(token))));
        }
        let (username, password) = match self.auth.as_deref().filter(|auth| !auth.is_empty()) {
            Some(auth) => {
                let decoded = STANDARD.decode(auth).or_else(|_| STANDARD_NO_PAD.decode(auth));
                let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(Undecoded)?;
                let (username, password) = text.split_once(':').ok_or(Undecoded)?;
                (username.to_owned(), password.trim_end_matches('\0').to_owned())
            }
            None => match (&self.username, &self.password) {
                (Some(username), Some(password)) => (username.clone(), password.clone()),
                _ => return Ok(None),
            },
        };
        if username.is_empty() && password.is_empty() {
            return Ok(None);
        }
        Ok(Some(Credentials::new(&username, Password::new(password))))
    }
}

/// Docker Hub: what it is called, and where it answers.
const HUB: [&str; 2] = ["docker.io", "registry-1.docker.io"];
/// What Docker Hub was called once: docker keeps credentials for it by that.
const OLD_HUB: &str = "https://index.docker.io/v1/";

/// All names that a host goes by in files of credentials.
pub(super) fn names_of(host: &str) -> Vec<String> {
    let mut names = vec![host.to_owned()];
    if HUB.contains(&host) {
        let others = [OLD_HUB, "docker.io", "index.docker.io", "registry-1.docker.io"];
        names.extend(others.into_iter().filter(|other| *other != host).map(String::from));
    }
    names
}

/// The name that a credential helper knows a host by.
pub(super) fn server(host: &str) -> &str {
    if HUB.contains(&host) { OLD_HUB } else { host }
}

/// A key of `auths` without what old versions put around the host.
pub(super) fn normal(key: &str) -> &str {
    if key == OLD_HUB {
        return key;
    }
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks `docker-credential-NAME`; `None` if it knows nothing of the server.
async fn ask(helper: &str, server: &str, environment: &Environment) -> Result<Option<Credentials>, String> {
    let program = format!("docker-credential-{helper}");
    if helper.contains('/') {
        return Err(format!("`{helper}` is no name of a credential helper"));
    }
    let mut command = Command::new(&program);
    command.arg("get");
    let text = match output(command, environment, server.as_bytes()).await {
        Ok(text) => text,
        // The words are part of the protocol of helpers.
        Err(failure) if failure.said.reveal().contains("credentials not found") => return Ok(None),
        Err(failure) => return Err(format!("`{program}` failed: {}", failure.how)),
    };
    let answer: Answer =
        serde_json::from_str(&text).map_err(|_| format!("`{program}` did not answer in JSON"))?;
    Ok(Some(Credentials::new(&answer.username, Password::new(answer.secret))))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn with(self, path: &str, text: &str) -> Self {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            self
        }

        async fn find(&self, name: &str) -> Found {
            let home = self.0.path();
            let path = format!("{}:{}", home.join("bin").display(), std::env::var("PATH").unwrap());
            let environment = [("HOME", home.to_str().unwrap()), ("PATH", &path)].into_iter().collect();
            let surroundings = Surroundings { root: home.to_owned(), environment };
            find(&name.parse().unwrap(), None, &surroundings).await.unwrap()
        }
    }

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic { username: username.to_owned(), password: Password::new(password) }
    }

    fn auth(pair: &str) -> String {
        STANDARD.encode(pair)
    }

    #[tokio::test]
    async fn nobody_is_known_where_nothing_is_kept() {
        let found = Home::new().find("ghcr.io/acme/web").await;
        assert_eq!(found, Found { credentials: Credentials::Anonymous, source: None, notes: vec![] });
    }

    #[tokio::test]
    async fn the_file_of_docker_comes_before_that_of_podman() {
        let docker = format!(r#"{{"auths": {{"https://ghcr.io/v2/": {{"auth": "{}"}}}}}}"#, auth("d:1:2"));
        let podman = format!(
            r#"{{"auths": {{"ghcr.io": {{"auth": "{}"}}, "quay.io": {{"auth": "{}"}}}}}}"#,
            auth("p:3"),
            auth("q:4")
        );
        let home =
            Home::new().with(".docker/config.json", &docker).with(".config/containers/auth.json", &podman);
        assert_eq!(home.find("ghcr.io/acme/web").await.credentials, basic("d", "1:2"));
        assert_eq!(home.find("quay.io/acme/web").await.credentials, basic("q", "4"));
    }

    #[tokio::test]
    async fn the_longest_path_of_podman_wins() {
        let file = format!(
            r#"{{"auths": {{"quay.io": {{"auth": "{}"}}, "quay.io/acme": {{"auth": "{}"}}}}}}"#,
            auth("all:1"),
            auth("acme:2")
        );
        let home = Home::new().with(".config/containers/auth.json", &file);
        assert_eq!(home.find("quay.io/acme/web").await.credentials, basic("acme", "2"));
        assert_eq!(home.find("quay.io/acmeother/web").await.credentials, basic("all", "1"));
    }

    #[tokio::test]
    async fn docker_hub_goes_by_its_old_name() {
        let file =
            format!(r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{}"}}}}}}"#, auth("h:1"));
        let home = Home::new().with(".docker/config.json", &file);
        assert_eq!(home.find("alpine").await.credentials, basic("h", "1"));
        assert_eq!(home.find("registry-1.docker.io/library/alpine").await.credentials, basic("h", "1"));
    }

    #[tokio::test]
    async fn a_credential_helper_is_asked() {
        let helper = "#!/bin/sh\nread server\necho \"{\\\"Username\\\": \\\"u\\\", \\\"Secret\\\": \\\"$server\\\"}\"\n";
        let home = Home::new()
            .with(".docker/config.json", r#"{"credHelpers": {"ghcr.io": "test"}, "credsStore": "none"}"#)
            .with("bin/docker-credential-test", helper)
            .with(
                "bin/docker-credential-none",
                "#!/bin/sh\necho credentials not found in keychain; exit 1\n",
            );
        assert_eq!(home.find("ghcr.io/acme/web").await.credentials, basic("u", "ghcr.io"));
        let unknown = home.find("quay.io/acme/web").await;
        assert_eq!(unknown, Found { credentials: Credentials::Anonymous, source: None, notes: vec![] });
    }

    #[tokio::test]
    async fn a_host_without_a_helper_of_its_own_name_is_kept_in_the_file() {
        let file = format!(
            r#"{{"credsStore": "none", "credHelpers": {{"ghcr.io": ""}}, "auths": {{"ghcr.io": {{"auth": "{}"}}}}}}"#,
            auth("u:1")
        );
        let found = Home::new().with(".docker/config.json", &file).find("ghcr.io/acme/web").await;
        assert_eq!((found.credentials, found.notes), (basic("u", "1"), vec![]));
    }

    #[tokio::test]
    async fn a_helper_that_is_missing_is_noted_and_passed_over() {
        let home = Home::new().with(".docker/config.json", r#"{"credsStore": "desktop"}"#);
        let found = home.find("ghcr.io/acme/web").await;
        assert_eq!(found.credentials, Credentials::Anonymous);
        assert!(found.notes[0].contains("`docker-credential-desktop` failed"), "{:?}", found.notes);
    }

    #[tokio::test]
    async fn a_damaged_file_is_noted_without_its_content() {
        let home = Home::new().with(".docker/config.json", "{\n\"auths\": s3cret");
        let found = home.find("ghcr.io/acme/web").await;
        assert_eq!(found.credentials, Credentials::Anonymous);
        assert!(found.notes[0].ends_with("line 2 is no valid JSON"), "{:?}", found.notes);
    }

    #[test]
    fn an_identity_token_is_no_password() {
        let entry = Entry { identitytoken: Some("t".to_owned()), auth: Some(auth("u:")), ..Entry::default() };
        assert_eq!(entry.credentials(), Ok(Some(Credentials::Identity(Password::new("t")))));
    }

    #[tokio::test]
    async fn null_is_nothing_and_a_mark_before_the_text_no_part_of_it() {
        let known = auth("u:1");
        for file in [
            format!(
                r#"{{"auths": {{"ghcr.io": {{"auth": "{known}", "username": null}}}}, "credHelpers": null, "credsStore": null}}"#
            ),
            format!("\u{feff}{{\"auths\": {{\"quay.io\": null, \"ghcr.io\": {{\"auth\": \"{known}\"}}}}}}"),
            format!(
                r#"{{"auths": {{"ghcr.io": {{"auth": "{known}"}}}}, "credHelpers": {{"ghcr.io": null}}}}"#
            ),
        ] {
            let found = Home::new().with(".docker/config.json", &file).find("ghcr.io/acme/web").await;
            assert_eq!((found.credentials, found.notes), (basic("u", "1"), vec![]), "{file}");
        }
        for file in [r#"{"auths": null}"#, "null"] {
            let found = Home::new().with(".docker/config.json", file).find("ghcr.io/acme/web").await;
            assert_eq!((found.credentials, found.notes), (Credentials::Anonymous, vec![]), "{file}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_decoded_is_noted_and_passed_over() {
        let file = format!(
            r#"{{"auths": {{"ghcr.io/acme": {{"auth": "s3cret"}}, "ghcr.io": {{"auth": "{}"}}, "quay.io": {{"auth": "{}"}}}}}}"#,
            auth("u:1"),
            auth("nobody")
        );
        let home = Home::new().with(".docker/config.json", &file);
        let found = home.find("ghcr.io/acme/web").await;
        assert_eq!(found.credentials, basic("u", "1"));
        let said = "the `auth` of `ghcr.io/acme` was passed over: it is no `user:password` in base64";
        assert!(found.notes[0].ends_with(said), "{:?}", found.notes);
        let found = home.find("quay.io/acme/web").await;
        assert_eq!((found.credentials, found.notes.len()), (Credentials::Anonymous, 1));
    }
}
