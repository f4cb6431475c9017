//! Credentials that are kept, and forgotten.
#![expect(clippy::disallowed_methods, reason = "credential helpers are programs")]

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::diagnostic::{Code, Problem};
use crate::facts::Environment;
use crate::store::registry::auth_file::{change, read};
use crate::store::registry::credentials::{files, names_of, normal, server};
use crate::store::registry::secret::{Password, output};

/// Where credentials were kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// With a credential helper, by the name of its program.
    Helper(String),
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// Paths of the host that have credentials of their own in it, which are found
        /// first for what lies below them: `quay.io/acme`.
        narrower: Vec<String>,
    },
}

/// Keeps credentials where docker keeps them: with the helper that its file names for
/// the host, else in the file, whose other content stays as it is.
///
/// # Errors
/// There is no place for the file, it is damaged, or cannot be written; the helper
/// fails.
pub async fn keep(
    host: &str,
    username: &str,
    password: &Password,
    environment: &Environment,
) -> Result<Kept, Problem> {
    let Some(path) = files(environment).into_iter().next() else {
        let problem = Problem::new(Code::ReadOnly, "there is no place for credentials: `HOME` is not set");
        return Err(problem.help("set `DOCKER_CONFIG` to a directory"));
    };
    let file = read(&path)?.unwrap_or_default();
    let server = server(host);
    if let Some(helper) = helper(&file, host) {
        let text = json!({ "ServerURL": server, "Username": username, "Secret": password.reveal() });
        let program = call(&helper, "store", text.to_string().as_bytes(), environment).await;
        let program = program.map_err(|(program, why)| {
            let title = format!("`{program}` did not keep the credentials");
            Problem::new(Code::ReadOnly, title).note(why).note(format!("it is named in {}", path.display()))
        })?;
        // A password that the file had is old, and lies there unencrypted.
        change(&path, |auths| {
            let named = auths.iter_mut().filter(|(key, value)| is_named(key, host) && **value != json!({}));
            named.map(|(_, value)| *value = json!({})).count() > 0
        })?;
        return Ok(Kept::Helper(program));
    }
    let auth = STANDARD.encode(format!("{username}:{}", password.reveal()));
    let mut narrower = Vec::new();
    change(&path, |auths| {
        // Under whatever name the host stood there before, it would be found first.
        auths.retain(|key, _| !is_named(key, host));
        auths.insert(server.to_owned(), json!({ "auth": auth }));
        narrower = below(auths, host);
        true
    })?;
    Ok(Kept::File { path, narrower })
}

/// Forgets the credentials for a host in every file that hoist reads, and with the
/// helpers that these name. Where something was forgotten.
///
/// # Errors
/// A file is damaged or cannot be written; a helper fails. The others are done all the
/// same.
pub async fn forget(host: &str, environment: &Environment) -> Result<Vec<String>, Problem> {
    let (mut forgotten, mut failed) = (Vec::new(), None);
    for path in files(environment) {
        let result = forget_in(&path, host, environment, &mut forgotten).await;
        failed = failed.or(result.err());
    }
    match failed {
        None => Ok(forgotten),
        Some(problem) if forgotten.is_empty() => Err(problem),
        Some(problem) => Err(problem.note(format!("forgotten was what is in {}", forgotten.join(", ")))),
    }
}

async fn forget_in(
    path: &Path,
    host: &str,
    environment: &Environment,
    forgotten: &mut Vec<String>,
) -> Result<(), Problem> {
    let Some(file) = read(path)? else { return Ok(()) };
    let auths = file.get("auths").and_then(Value::as_object);
    if auths.is_some_and(|auths| auths.keys().any(|key| is_named(key, host))) {
        let less = |auths: &mut Map<String, Value>| {
            let before = auths.len();
            auths.retain(|key, _| !is_named(key, host));
            auths.len() < before
        };
        if change(path, less)? {
            forgotten.push(path.display().to_string());
        }
    }
    if let Some(helper) = helper(&file, host) {
        let erased = call(&helper, "erase", server(host).as_bytes(), environment).await;
        let program = erased.map_err(|(program, why)| {
            let title = format!("`{program}` did not forget the credentials");
            Problem::new(Code::ReadOnly, title).note(why)
        })?;
        forgotten.push(program);
    }
    Ok(())
}

/// Whether a key of `auths` is a name of the host.
fn is_named(key: &str, host: &str) -> bool {
    names_of(host).iter().any(|name| normal(key) == normal(name))
}

/// The keys of `auths` that are paths of the host, as podman writes them.
fn below(auths: &Map<String, Value>, host: &str) -> Vec<String> {
    let is_below = |key: &&str| key.strip_prefix(host).is_some_and(|rest| rest.starts_with('/'));
    auths.keys().map(|key| normal(key)).filter(is_below).map(ToOwned::to_owned).collect()
}

/// The helper that a file names for a host.
fn helper(file: &Map<String, Value>, host: &str) -> Option<String> {
    let of_host = file.get("credHelpers").and_then(Value::as_object);
    let of_host = of_host.and_then(|all| names_of(host).iter().find_map(|name| all.get(name)));
    let named = of_host.or_else(|| file.get("credsStore")).and_then(Value::as_str);
    named.filter(|name| !name.is_empty()).map(ToOwned::to_owned)
}

/// Calls `docker-credential-NAME`, and returns that; else also why it failed. What it
/// says is not repeated: it may quote a secret.
async fn call(
    helper: &str,
    verb: &str,
    input: &[u8],
    environment: &Environment,
) -> Result<String, (String, String)> {
    let program = format!("docker-credential-{helper}");
    if helper.contains('/') {
        return Err((program, "that is no name of a credential helper".to_owned()));
    }
    let mut command = Command::new(&program);
    command.arg(verb);
    match output(command, environment, input).await {
        Ok(_) => Ok(program),
        // The words are part of the protocol of helpers.
        Err(failure) if verb == "erase" && failure.said.reveal().contains("credentials not found") => {
            Ok(program)
        }
        Err(failure) => Err((program, failure.how)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::Surroundings;
    use crate::store::registry::{Access, Account, Network, Who};

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn with(self, path: &str, text: &str) -> Self {
            fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
            fs::write(self.path(path), text).unwrap();
            fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
            self
        }

        fn environment(&self) -> Environment {
            let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
            [("HOME", self.0.path().to_str().unwrap()), ("PATH", &path)].into_iter().collect()
        }

        async fn keep(&self, host: &str) -> Result<Kept, Problem> {
            keep(host, "u", &Password::new("s3cret"), &self.environment()).await
        }

        async fn account(&self, name: &str) -> Account {
            let surroundings =
                Surroundings { root: self.0.path().to_owned(), environment: self.environment() };
            Network::new(surroundings).account(&name.parse().unwrap(), &Access::default()).await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_file_is_made_that_only_its_owner_reads_and_hoist_finds() {
        let home = Home::new();
        let path = home.path(".docker/config.json");
        assert_eq!(home.keep("ghcr.io").await, Ok(Kept::File { path: path.clone(), narrower: vec![] }));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let account = home.account("ghcr.io/acme/web").await;
        let source = Some(path.display().to_string());
        assert_eq!(account, Account { who: Who::User("u".to_owned()), source, notes: Vec::new() });
        assert_eq!(forget("ghcr.io", &home.environment()).await, Ok(vec![path.display().to_string()]));
        assert_eq!(home.account("ghcr.io/acme/web").await.who, Who::Anonymous);
        assert_eq!(forget("ghcr.io", &home.environment()).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn all_else_in_the_file_stays_in_its_order() {
        let text = r#"{"z": [1, {"b": null, "a": 1.5}], "auths": {"quay.io": {"auth": "eDp5"}, "https://ghcr.io/v2/": {"auth": "b2xkOm9sZA=="}}, "a": "ü"}"#;
        let home = Home::new().with("real.json", text);
        fs::create_dir(home.path(".docker")).unwrap();
        std::os::unix::fs::symlink(home.path("real.json"), home.path(".docker/config.json")).unwrap();
        home.keep("ghcr.io").await.unwrap();
        // The link still is one.
        assert!(home.path(".docker/config.json").is_symlink());
        let written = fs::read_to_string(home.path("real.json")).unwrap();
        let auth = STANDARD.encode("u:s3cret");
        let expected = text.replace(
            r#""https://ghcr.io/v2/": {"auth": "b2xkOm9sZA=="}"#,
            &format!(r#""ghcr.io": {{"auth": "{auth}"}}"#),
        );
        let compact = |text: &str| serde_json::from_str::<Value>(text).unwrap().to_string();
        assert_eq!(compact(&written), compact(&expected));
        assert!(written.starts_with("{\n\t\"z\""), "{written}");
    }

    #[tokio::test]
    async fn docker_hub_is_kept_by_its_old_name() {
        let home = Home::new();
        home.keep("docker.io").await.unwrap();
        let written = fs::read_to_string(home.path(".docker/config.json")).unwrap();
        assert!(written.contains("\"https://index.docker.io/v1/\""), "{written}");
        assert_eq!(home.account("alpine").await.who, Who::User("u".to_owned()));
        assert_eq!(forget("docker.io", &home.environment()).await.unwrap().len(), 1);
        assert_eq!(home.account("alpine").await.who, Who::Anonymous);
    }

    /// A helper that keeps what it is given in a file beside it.
    const HELPER: &str = "#!/bin/sh\nf=$HOME/kept\ncase $1 in\nstore) cat > $f;;\nget) \
                          [ -e $f ] || { echo credentials not found in native keychain; exit 1; }; cat $f;;\n\
                          erase) rm $f;;\nesac\n";

    #[tokio::test]
    async fn a_credential_helper_keeps_instead_of_the_file() {
        let config = r#"{"credsStore": "none", "credHelpers": {"ghcr.io": "test"}}"#;
        let home = Home::new().with(".docker/config.json", config).with("bin/docker-credential-test", HELPER);
        let helper = "docker-credential-test".to_owned();
        assert_eq!(home.keep("ghcr.io").await, Ok(Kept::Helper(helper.clone())));
        let kept: Value = serde_json::from_str(&fs::read_to_string(home.path("kept")).unwrap()).unwrap();
        assert_eq!(kept, json!({ "ServerURL": "ghcr.io", "Username": "u", "Secret": "s3cret" }));
        assert_eq!(fs::read_to_string(home.path(".docker/config.json")).unwrap(), config);
        let account = home.account("ghcr.io/acme/web").await;
        assert_eq!(account.who, Who::User("u".to_owned()));
        let source = account.source.unwrap();
        assert!(source.starts_with("`docker-credential-test`, named in "), "{source}");
        assert_eq!(forget("ghcr.io", &home.environment()).await, Ok(vec![helper]));
        assert!(!home.path("kept").exists());
        let missing = home.keep("quay.io").await.unwrap_err();
        assert_eq!(missing.title, "`docker-credential-none` did not keep the credentials");
        assert!(!format!("{missing:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn a_password_in_the_file_is_not_left_behind_one_that_a_helper_keeps() {
        let config = r#"{"credsStore": "test", "auths": {"quay.io": {"auth": "eDp5"}, "https://ghcr.io/v2/": {"auth": "b2xkOm9sZA=="}}}"#;
        let home = Home::new().with(".docker/config.json", config).with("bin/docker-credential-test", HELPER);
        home.keep("ghcr.io").await.unwrap();
        let written: Value =
            serde_json::from_str(&fs::read_to_string(home.path(".docker/config.json")).unwrap()).unwrap();
        let auths = json!({ "quay.io": { "auth": "eDp5" }, "https://ghcr.io/v2/": {} });
        assert_eq!(written, json!({ "credsStore": "test", "auths": auths }));
    }

    #[tokio::test]
    async fn a_file_in_which_nothing_is_null_is_one_without_it() {
        for before in [r#"{"auths": null, "credHelpers": null, "x": null}"#, "\u{feff}{\"x\": null}"] {
            let home = Home::new().with(".docker/config.json", before);
            assert_eq!(forget("ghcr.io", &home.environment()).await, Ok(vec![]), "{before}");
            home.keep("ghcr.io").await.unwrap();
            let file = read(&home.path(".docker/config.json")).unwrap().unwrap();
            assert_eq!(
                (&file["x"], file["auths"].as_object().map(Map::len)),
                (&Value::Null, Some(1)),
                "{before}"
            );
        }
    }

    #[tokio::test]
    async fn all_files_forget_though_a_helper_fails() {
        let docker = r#"{"credsStore": "none", "auths": {"ghcr.io": {"auth": "eDp5"}}}"#;
        let podman = r#"{"auths": {"ghcr.io": {"auth": "eDp5"}}}"#;
        let home =
            Home::new().with(".docker/config.json", docker).with(".config/containers/auth.json", podman);
        let problem = forget("ghcr.io", &home.environment()).await.unwrap_err();
        assert_eq!(problem.title, "`docker-credential-none` did not forget the credentials");
        for path in [".docker/config.json", ".config/containers/auth.json"] {
            assert!(!fs::read_to_string(home.path(path)).unwrap().contains("eDp5"), "{path}");
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_left_alone() {
        let home = Home::new().with(".docker/config.json", "{\n\"auths\": s3cret");
        let problem = home.keep("ghcr.io").await.unwrap_err();
        assert_eq!((problem.code, problem.notes[0].as_str()), (Code::ReadOnly, "line 2 is no valid JSON"));
        assert_eq!(fs::read_to_string(home.path(".docker/config.json")).unwrap(), "{\n\"auths\": s3cret");
    }

    #[tokio::test]
    async fn the_file_keeps_its_owner_and_who_may_read_it() {
        let home = Home::new().with(".docker/config.json", "{}");
        let path = home.path(".docker/config.json");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&path, Some(12345), Some(54321)).unwrap();
        }
        home.keep("ghcr.io").await.unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(after.permissions().mode() & 0o777, 0o640);
        if is_root {
            use std::os::unix::fs::MetadataExt as _;
            assert_eq!((after.uid(), after.gid()), (12345, 54321));
        }
    }

    #[tokio::test]
    async fn several_who_keep_at_the_same_time_lose_nothing() {
        let home = Home::new();
        let hosts: Vec<String> = (0..20).map(|number| format!("r{number}.example.com")).collect();
        let all = hosts.iter().map(|host| {
            let (host, environment) = (host.clone(), home.environment());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(keep(&host, "u", &Password::new("p"), &environment)).unwrap();
            })
        });
        let all: Vec<_> = all.collect();
        for thread in all {
            thread.join().unwrap();
        }
        let file = read(&home.path(".docker/config.json")).unwrap().unwrap();
        assert_eq!(file["auths"].as_object().unwrap().len(), hosts.len());
    }

    #[tokio::test]
    async fn paths_of_a_host_with_credentials_of_their_own_are_named() {
        let config = r#"{"auths": {"quay.io/acme": {"auth": "eDp5"}, "quay.iot": {}, "ghcr.io/x": {}}}"#;
        let home = Home::new().with(".docker/config.json", config);
        let Ok(Kept::File { narrower, .. }) = home.keep("quay.io").await else { panic!("a file") };
        assert_eq!(narrower, ["quay.io/acme"]);
        assert_eq!(home.account("quay.io/acme/web").await.who, Who::User("x".to_owned()));
        assert_eq!(home.account("quay.io/other/web").await.who, Who::User("u".to_owned()));
    }
}
