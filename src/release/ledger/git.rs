//! What the git program does for the ledger: it knows how to reach remotes, with all
//! that a user has set up for it: keys, agents, helpers, proxies.
#![expect(clippy::disallowed_methods, reason = "remotes are reached as the user's git reaches them")]

use std::path::Path;
use std::process::{Command, Stdio};

use crate::diagnostic::{Code, Problem};
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
pub(in crate::release) struct Ended {
    pub(in crate::release) success: bool,
    pub(in crate::release) stdout: String,
    /// What it complained of, credentials in addresses removed.
    pub(in crate::release) complaint: String,
}

/// Calls git for a repository, by its git directory. It asks nobody anything.
///
/// # Errors
/// There is no git.
pub(in crate::release) fn git(
    repository: &Path,
    environment: &Environment,
    words: &[&str],
) -> Result<Ended, Problem> {
    let mut command = Command::new("git");
    command.arg("--git-dir").arg(repository).args(words).stdin(Stdio::null()).env_clear();
    let hook = |name: &std::ffi::OsStr| OF_A_HOOK.iter().any(|known| name == *known);
    command.envs(environment.iter().filter(|(name, _)| !hook(name)));
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    let output = command.output().map_err(|error| {
        Problem::new(Code::Ledger, "`git` cannot be started, which reaches remotes")
            .note(error.to_string())
            .help("install git: it knows how your remotes are reached")
    })?;
    Ok(Ended {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        complaint: without_credentials(String::from_utf8_lossy(&output.stderr).trim()),
    })
}

/// A text in which no address shows who logs in there.
fn without_credentials(text: &str) -> String {
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
mod unit {
    use super::without_credentials;

    #[test]
    fn what_git_complains_of_shows_no_password() {
        let text = "fatal: unable to access 'https://ci:se@cret@host/x.git/': no\nhttps://a@b";
        let clean = "fatal: unable to access 'https://host/x.git/': no\nhttps://b";
        assert_eq!(without_credentials(text), clean);
        assert_eq!(without_credentials("git@host:a/b.git"), "git@host:a/b.git");
    }
}
