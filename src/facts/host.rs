//! What is known of the machine and the caller before any file is read.
#![expect(clippy::disallowed_methods, reason = "this is where the world is looked at")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::diagnostic::{Code, Problem};
use crate::facts::Stat;

/// The machine and the caller.
#[derive(Clone, Debug)]
pub struct Host {
    /// The working directory, absolute.
    pub directory: PathBuf,
    /// The environment.
    pub environment: Environment,
    /// The time at which the run began.
    pub now: Timestamp,
    /// Operating system, by the names of Rust's `std::env::consts::OS`.
    pub os: &'static str,
    /// Processors that may be used.
    pub processors: usize,
    /// Name of the user.
    pub user: String,
    /// What the file system says of this program, if that can be told.
    pub program: Option<Stat>,
    /// Whether standard input is a terminal.
    pub input_is_terminal: bool,
    /// Whether standard output is a terminal.
    pub output_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub error_is_terminal: bool,
    /// Whether standard output and standard error are the same file, so that what
    /// is written to one cannot be told from what is written to the other.
    pub one_output: bool,
}

impl Host {
    /// The day at which the run began, in UTC.
    #[must_use]
    pub fn today(&self) -> Date {
        self.now.to_zoned(TimeZone::UTC).date()
    }

    /// The machine and the caller of this process.
    ///
    /// # Errors
    /// A working directory that does not exist any more.
    pub fn current() -> Result<Self, Problem> {
        let directory = std::env::current_dir().map_err(|error| {
            Problem::new(Code::Unreadable, "the working directory cannot be read")
                .help("change into a directory that exists")
                .note(error.to_string())
        })?;
        let environment: Environment = std::env::vars_os().collect();
        Ok(Self {
            directory,
            now: Timestamp::now(),
            os: std::env::consts::OS,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            user: user_name(&environment),
            program: std::env::current_exe().and_then(std::fs::metadata).ok().map(|found| Stat::of(&found)),
            input_is_terminal: std::io::stdin().is_terminal(),
            output_is_terminal: std::io::stdout().is_terminal(),
            error_is_terminal: std::io::stderr().is_terminal(),
            one_output: same_file(std::io::stdout(), std::io::stderr()),
            environment,
        })
    }

    /// A machine of which only the given is known: one processor, no terminal,
    /// a user called `nobody`, Linux. Looks at nothing of the real one.
    #[must_use]
    pub fn fixed(directory: impl Into<PathBuf>, environment: Environment, now: Timestamp) -> Self {
        Self {
            directory: directory.into(),
            environment,
            now,
            os: "linux",
            processors: 1,
            user: "nobody".to_owned(),
            program: None,
            input_is_terminal: false,
            output_is_terminal: false,
            error_is_terminal: false,
            one_output: false,
        }
    }
}

/// Whether two open files are one.
fn same_file(one: impl AsFd, other: impl AsFd) -> bool {
    let (Ok(one), Ok(other)) = (rustix::fs::fstat(one), rustix::fs::fstat(other)) else { return false };
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// The name that the environment gives, else the one that the system has for the
/// user's number, else the number.
fn user_name(environment: &Environment) -> String {
    let given = ["USER", "LOGNAME"].iter().find_map(|name| environment.text(name));
    if let Some(name) = given.filter(|name| !name.is_empty()) {
        return name.to_owned();
    }
    let number = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

/// Variables of an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// What commands see that must not depend on who calls them.
    pub const STRICT: &[&str] = &["PATH", "HOME", "USER", "LANG", "TERM", "TMPDIR"];

    /// The value of a variable, if it is set and valid UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.0.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// Sets a variable that is not yet set, as `.env` files do.
    pub fn set_default(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.entry(name.into()).or_insert_with(|| value.into());
    }

    /// All variables, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Those of [`Environment::STRICT`] that are set.
    pub fn strict(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.iter().filter(|(name, _)| Self::STRICT.iter().any(|strict| name == strict))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
