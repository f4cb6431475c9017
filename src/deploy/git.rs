//! The git program: it knows how to reach remotes, with all that a user has set up for it:
//! keys, agents, helpers, proxies.
#![expect(clippy::disallowed_methods, reason = "remotes are reached as the user's git reaches them")]

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::facts::Environment;

/// Variables by which a hook of one repository leads git to it.
const OF_A_HOOK: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
];

/// How git ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Whether it did what it was to do.
    pub success: bool,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of, credentials in addresses removed.
    pub complaint: String,
}

impl Ended {
    /// What it printed, as a text without the white space around it.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

/// A call of git.
#[derive(Debug)]
pub struct Git<'a> {
    /// The directory that it is called in.
    pub directory: &'a Path,
    /// The git directory, if it is not to be found from there.
    pub repository: Option<&'a Path>,
    /// What it sees, but for what leads it elsewhere.
    pub environment: &'a Environment,
    /// What it sees besides.
    pub set: &'a [(&'a str, OsString)],
}

impl Git<'_> {
    /// Calls git with these words and this input. It asks nobody anything.
    ///
    /// # Errors
    /// There is no git.
    pub fn call(&self, words: &[&str], input: &[u8]) -> io::Result<Ended> {
        let mut child = self.start(words)?;
        if let Some(mut stdin) = child.stdin.take() {
            // What git does not read, it does not need.
            let _ = stdin.write_all(input);
        }
        ended(child)
    }

    /// As [`call`](Self::call), without input; what takes longer is given up.
    ///
    /// # Errors
    /// There is no git; it took longer.
    pub fn call_within(&self, words: &[&str], limit: Duration) -> io::Result<Ended> {
        let mut child = self.start(words)?;
        drop(child.stdin.take());
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() >= limit {
                child.kill()?;
                child.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        ended(child)
    }

    fn start(&self, words: &[&str]) -> io::Result<Child> {
        let mut command = Command::new("git");
        command.current_dir(self.directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).env_clear();
        if let Some(repository) = self.repository {
            command.arg("--git-dir").arg(repository);
        }
        command.args(words);
        let hook = |name: &OsStr| OF_A_HOOK.iter().any(|known| name == *known);
        command.envs(self.environment.iter().filter(|(name, _)| !hook(name)));
        command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        command.spawn()
    }
}

fn ended(child: Child) -> io::Result<Ended> {
    let output = child.wait_with_output()?;
    Ok(Ended {
        success: output.status.success(),
        stdout: output.stdout,
        complaint: without_credentials(String::from_utf8_lossy(&output.stderr).trim()),
    })
}

/// A text in which no address shows who logs in there.
pub(super) fn without_credentials(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        clean.extend([before, "://"]);
        let end = after.find(['/', ' ', '\'', '"', '\n']).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        clean.push_str(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
        rest = behind;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn what_git_complains_of_shows_no_password() {
        let text = "fatal: unable to access 'https://ci:se@cret@host/x.git/': no\nhttps://a@b";
        let clean = "fatal: unable to access 'https://host/x.git/': no\nhttps://b";
        assert_eq!(without_credentials(text), clean);
        assert_eq!(without_credentials("git@host:a/b.git"), "git@host:a/b.git");
    }
}
