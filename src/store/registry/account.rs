//! Who one is at a registry: shown, checked, kept, and forgotten.
#![expect(clippy::disallowed_methods, reason = "credential helpers are programs")]

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::diagnostic::{Code, Problem};
use crate::facts::Environment;
use crate::oci::RepositoryName;
use crate::store::registry::answer::refused;
use crate::store::registry::connection::{Access, Call, Connection};
use crate::store::registry::credentials::{
    self, Credentials, Found, MAX_FILE, files, names_of, normal, server,
};
use crate::store::registry::secret::{Password, output};
use crate::store::registry::{Network, Registry};

/// Who one is at a registry, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub who: Who,
    /// Where the credentials were found; `None` for nobody.
    pub source: Option<String>,
    /// What went wrong while they were looked for.
    pub notes: Vec<String>,
}

/// Whom a registry sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody.
    Anonymous,
    /// A user with a password.
    User(String),
    /// The bearer of a token.
    Token,
}

/// Where credentials were kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// With a credential helper, by the name of its program.
    Helper(String),
    /// In a file, readable for its owner.
    File(PathBuf),
}

impl Network {
    /// Who one is for a repository. Nothing is sent.
    ///
    /// # Errors
    /// The secret of a `login` cannot be found.
    pub async fn account(&self, name: &RepositoryName, access: &Access) -> Result<Account, Problem> {
        let Found { credentials, source, notes } =
            credentials::find(name, access.login.as_ref(), self.surroundings()).await?;
        let who = match credentials {
            Credentials::Anonymous => Who::Anonymous,
            Credentials::Basic { username, .. } => Who::User(username),
            Credentials::Identity(_) => Who::Token,
        };
        Ok(Account { who, source, notes })
    }

    /// Shows credentials to a registry. `false` if it did not ask for any, so that
    /// nothing is known of them.
    ///
    /// # Errors
    /// [`Code::Unauthorized`]: it does not accept them. It cannot be reached.
    pub async fn verify(
        &self,
        name: &RepositoryName,
        access: &Access,
        username: &str,
        password: &Password,
    ) -> Result<bool, Problem> {
        let credentials = Credentials::Basic { username: username.to_owned(), password: password.clone() };
        let source = Some("what was typed".to_owned());
        let found = Found { credentials, source, notes: Vec::new() };
        let connection = Connection::with(name.host(), access, found, self.surroundings()).await?;
        let response = connection.send(&Call::new(Method::GET, connection.url("")?, Vec::new())).await?;
        if !response.status().is_success() {
            return Err(refused(name.host(), "let anybody in", response).await);
        }
        Ok(connection.was_challenged())
    }
}

impl Registry {
    /// Whether the registry lets one read here; what does not exist can be read.
    ///
    /// # Errors
    /// It cannot be reached, or refuses.
    pub async fn check_pull(&self) -> Result<(), Problem> {
        self.clone().to_read().resolve(crate::oci::LATEST).await.map(drop)
    }
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
    let mut file = read(&path)?.unwrap_or_default();
    let server = server(host);
    if let Some(helper) = helper(&file, host) {
        let text = json!({ "ServerURL": server, "Username": username, "Secret": password.reveal() });
        let program = call(&helper, "store", text.to_string().as_bytes(), environment).await;
        let program = program.map_err(|(program, why)| {
            let title = format!("`{program}` did not keep the credentials");
            Problem::new(Code::ReadOnly, title).note(why).note(format!("it is named in {}", path.display()))
        })?;
        // A password that the file had is old, and lies there unencrypted.
        let named = file.get_mut("auths").and_then(Value::as_object_mut).into_iter().flatten();
        let mut held = named.filter(|(key, value)| is_named(key, host) && **value != json!({})).peekable();
        if held.peek().is_some() {
            held.for_each(|(_, value)| *value = json!({}));
            write(&path, &file).map_err(|error| unwritable(&path, &error))?;
        }
        return Ok(Kept::Helper(program));
    }
    let auth = STANDARD.encode(format!("{username}:{}", password.reveal()));
    let auths = file.entry("auths").or_insert_with(|| json!({}));
    let Some(auths) = auths.as_object_mut() else {
        return Err(damaged(&path, "`auths` is no object"));
    };
    // Under whatever name the host stood there before, it would be found first.
    auths.retain(|key, _| !is_named(key, host));
    auths.insert(server.to_owned(), json!({ "auth": auth }));
    write(&path, &file).map_err(|error| unwritable(&path, &error))?;
    Ok(Kept::File(path))
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
    let Some(mut file) = read(path)? else { return Ok(()) };
    if let Some(auths) = file.get_mut("auths").and_then(Value::as_object_mut) {
        let before = auths.len();
        auths.retain(|key, _| !is_named(key, host));
        if auths.len() < before {
            write(path, &file).map_err(|error| unwritable(path, &error))?;
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

fn read(path: &Path) -> Result<Option<Map<String, Value>>, Problem> {
    let text = match fs::read_to_string(path) {
        Ok(text) if text.len() as u64 > MAX_FILE => return Err(damaged(path, "it is too large")),
        Ok(text) if text.trim().is_empty() => return Ok(None),
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(path, &error.to_string())),
    };
    // The message of the JSON reader could quote a secret.
    let invalid =
        |error: serde_json::Error| damaged(path, &format!("line {} is no valid JSON", error.line()));
    match serde_json::from_str(&text).map_err(invalid)? {
        Value::Object(file) => Ok(Some(file)),
        _ => Err(damaged(path, "it is no JSON object")),
    }
}

/// Writes a file as a whole or not at all, for its owner alone to read. A link leads
/// to the file that is written.
fn write(path: &Path, file: &Map<String, Value>) -> io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut written = NamedTempFile::new_in(directory)?;
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    serde::Serialize::serialize(file, &mut serializer)?;
    text.push(b'\n');
    written.write_all(&text)?;
    written.as_file().sync_data()?;
    written.persist(&path).map(drop).map_err(|error| error.error)
}

fn damaged(path: &Path, why: &str) -> Problem {
    Problem::new(Code::ReadOnly, format!("`{}` cannot be changed", path.display()))
        .note(why.to_owned())
        .help("mend it, or name another file in `REGISTRY_AUTH_FILE`")
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(Code::ReadOnly, format!("`{}` cannot be written", path.display())).note(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::Surroundings;
    use crate::store::fixture::DockerRegistry;

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
        assert_eq!(home.keep("ghcr.io").await, Ok(Kept::File(path.clone())));
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
    async fn credentials_are_shown_to_the_registry_before_they_are_kept() {
        let home = Home::new();
        // `s3cret`, as `htpasswd -B` writes it.
        let users = home.path("users");
        fs::write(&users, "user:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n").unwrap();
        let settings = format!("auth: {{htpasswd: {{realm: x, path: {}}}}}", users.display());
        let Some(closed) = DockerRegistry::start("verify", "", &settings) else { return };
        let open = DockerRegistry::start("verify", "", "").unwrap();
        let surroundings = Surroundings { root: home.0.path().to_owned(), environment: home.environment() };
        let network = Network::new(surroundings);
        let verify = async |server: &DockerRegistry, password: &str| {
            let name = format!("{}/x", server.address).parse().unwrap();
            network.verify(&name, &Access::default(), "user", &Password::new(password)).await
        };
        let wrong = verify(&closed, "wrong").await.unwrap_err();
        assert_eq!(wrong.code, Code::Unauthorized);
        assert!(wrong.notes.iter().any(|note| note == "asked as `user`, from what was typed"), "{wrong:?}");
        assert_eq!(verify(&open, "any").await, Ok(false));
        assert_eq!(verify(&closed, "s3cret").await, Ok(true));
    }
}
