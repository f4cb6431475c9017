//! Secrets, and where they are found.
#![expect(clippy::disallowed_methods, reason = "a secret may be what a command prints")]

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::config::Secret;
use crate::diagnostic::{Code, Problem, Spanned};
use crate::facts::Environment;

/// How long a command that prints a secret, or a credential helper, may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// The most that such a command may print, in bytes.
const MAX_OUTPUT: u64 = 1 << 20;

/// A value that is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A value that is to be hidden.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, to be sent to whom it belongs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a file with a secret lies: below the home directory behind `~/`, else
/// as seen from the project.
#[must_use]
pub fn secret_file(path: &str, root: &Path, environment: &Environment) -> PathBuf {
    match (path.strip_prefix("~/"), environment.text("HOME")) {
        (Some(below), Some(home)) => Path::new(home).join(below),
        _ => root.join(path),
    }
}

/// The bytes of a file with a secret. What can be read but once, as the pipe that `<(…)`
/// of a shell is, is kept for as long as hoist runs.
///
/// # Errors
/// It cannot be read, or is no file and has more than a secret may have.
pub fn read_secret_file(file: &Path) -> io::Result<Vec<u8>> {
    static KEPT: Mutex<BTreeMap<PathBuf, Vec<u8>>> = Mutex::new(BTreeMap::new());
    if std::fs::metadata(file)?.is_file() {
        return std::fs::read(file);
    }
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = kept.get(file) {
        return Ok(bytes.clone());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(MAX_OUTPUT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_OUTPUT {
        return Err(io::Error::other("it goes on too long"));
    }
    kept.insert(file.to_owned(), bytes.clone());
    Ok(bytes)
}

/// The value of a secret of the release file; `what` names it: "a password".
///
/// # Errors
/// [`Code::Unauthorized`] at the secret's place: it is not set, cannot be read,
/// or its command fails. The value is in no message.
pub async fn find(
    what: &str,
    secret: &Spanned<Secret>,
    root: &Path,
    environment: &Environment,
) -> Result<Password, Problem> {
    let refuse =
        |title: String, label: String| Problem::new(Code::Unauthorized, title).label(secret.span, label);
    let read = || format!("{what} is read from it");
    let value = match &secret.value {
        Secret::Env(name) => match environment.text(name) {
            Some(value) if !value.is_empty() => value.to_owned(),
            _ => {
                let problem = refuse(format!("the variable `{name}` is not set"), read());
                return Err(problem.help(format!("set `{name}` in the environment or in a `dotenv` file")));
            }
        },
        Secret::File(path) => read_secret_file(&secret_file(path, root, environment))
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8")))
            .map_err(|error| refuse(format!("cannot read `{path}`"), read()).note(error.to_string()))?,
        Secret::Command(script) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(script).current_dir(root);
            output(command, environment, b"").await.map_err(|error| {
                refuse(format!("the command for {what} failed"), "it is to print it".to_owned())
                    .note(error.how)
            })?
        }
    };
    // An editor or `echo` ends the value with a line break that is not meant.
    let value = value.strip_suffix('\n').unwrap_or(&value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() {
        return Err(refuse(format!("{what} is empty"), "it is read from here".to_owned()));
    }
    Ok(Password::new(value))
}

/// How a command failed.
pub(super) struct Failure {
    /// Its status, or why it has none.
    pub(super) how: String,
    /// What it printed, which may be secret.
    pub(super) said: Password,
}

impl Failure {
    fn new(how: impl Into<String>) -> Self {
        Self { how: how.into(), said: Password::new("") }
    }
}

/// What a command prints on its standard output. What it says on standard error
/// is not kept: it may be secret.
pub(super) async fn output(
    mut command: Command,
    environment: &Environment,
    input: &[u8],
) -> Result<String, Failure> {
    command.env_clear().envs(environment.iter()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let failure = |error: io::Error| Failure::new(error.to_string());
    let work = async {
        let mut child = command.spawn().map_err(failure)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input is not wrong for that.
            let _ = stdin.write_all(input).await;
        }
        let mut bytes = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(MAX_OUTPUT + 1).read_to_end(&mut bytes).await.map_err(failure)?;
        }
        if bytes.len() as u64 > MAX_OUTPUT {
            return Err(Failure::new("it printed too much"));
        }
        let status = child.wait().await.map_err(failure)?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::new("it printed what is not UTF-8"))?;
        if status.success() {
            Ok(text)
        } else {
            Err(Failure { how: status.to_string(), said: Password::new(text) })
        }
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(format!("it did not end within {} s", PATIENCE.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{SourceId, Sources, Span};

    fn here() -> Span {
        let mut sources = Sources::default();
        let source: SourceId = sources.add("release.kdl", "login");
        Span::new(source, 0..5)
    }

    async fn found(secret: Secret) -> Result<String, (String, Vec<String>)> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("token"), "s3cret\r\n").unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let home = root.path().as_os_str().to_owned();
        let variables = [("TOKEN", "from env".into()), ("PATH", path), ("HOME", home)];
        let environment: Environment = variables.into_iter().collect();
        let secret = Spanned::new(secret, here());
        let found = find("a password", &secret, root.path(), &environment).await;
        found.map(|value| value.reveal().to_owned()).map_err(|problem| (problem.title, problem.notes))
    }

    #[tokio::test]
    async fn a_secret_is_found_in_a_variable_a_file_or_what_a_command_prints() {
        assert_eq!(found(Secret::Env("TOKEN".to_owned())).await, Ok("from env".to_owned()));
        assert_eq!(found(Secret::File("token".to_owned())).await, Ok("s3cret".to_owned()));
        assert_eq!(found(Secret::File("~/token".to_owned())).await, Ok("s3cret".to_owned()));
        assert_eq!(found(Secret::Command("echo $TOKEN".to_owned())).await, Ok("from env".to_owned()));
    }

    #[tokio::test]
    async fn a_secret_that_is_not_there_is_said_to_be_missing() {
        let unset = found(Secret::Env("NOPE".to_owned())).await.unwrap_err();
        assert_eq!(unset.0, "the variable `NOPE` is not set");
        let failed = found(Secret::Command("echo hidden; exit 3".to_owned())).await.unwrap_err();
        let title = "the command for a password failed".to_owned();
        assert_eq!(failed, (title, vec!["exit status: 3".to_owned()]));
    }

    #[tokio::test]
    async fn what_can_be_read_once_is_read_once() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        let writer = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::write(writer, "s3cret\n").unwrap());
        let secret = Spanned::new(Secret::File(pipe.display().to_string()), here());
        for _ in 0..2 {
            let found = find("a password", &secret, root.path(), &Environment::default()).await.unwrap();
            assert_eq!(found.reveal(), "s3cret");
        }
        writer.join().unwrap();
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(format!("{:?}", Password::new("s3cret")), "***");
    }
}
