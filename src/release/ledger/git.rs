//! What the git program does for the ledger.

use std::path::Path;

use crate::deploy::Git;
use crate::diagnostic::{Code, Problem};
use crate::facts::Environment;

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
    let git = Git { directory: Path::new("."), repository: Some(repository), environment, set: &[] };
    let ended = git.call(words, &[]).map_err(|error| {
        Problem::new(Code::Ledger, "`git` cannot be started, which reaches remotes")
            .note(error.to_string())
            .help("install git: it knows how your remotes are reached")
    })?;
    Ok(Ended {
        success: ended.success,
        stdout: String::from_utf8_lossy(&ended.stdout).into_owned(),
        complaint: ended.complaint,
    })
}
