//! What a registry answers when it does not do what was asked.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::Deserialize;

use crate::diagnostic::{Code, Problem};
use crate::store::registry::retry::{causes, is_certificate, is_damage};

/// The most that is read of an answer that says why not, in bytes.
const MAX_BODY: usize = 64 << 10;
/// The most characters of a registry's words that are shown.
const MAX_SHOWN: usize = 300;

/// How long is waited for an answer that says why not, once it has begun.
const WORDS: Duration = Duration::from_secs(10);

/// Why there is no answer, or not all of it.
pub(super) enum NoAnswer {
    /// The connection could not be made, or broke.
    Failed(reqwest::Error),
    /// Nothing came for so long, so many times.
    Silent(Duration, u32),
}

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> Self {
        Self::Failed(error)
    }
}

/// The body of a failed request (OCI distribution specification, "Error Codes").
#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

/// Why a registry did not do what was asked: `asked` completes "the registry
/// `host` did not …".
pub(super) async fn refused(host: &str, asked: &str, mut response: Response) -> Problem {
    let status = response.status();
    let code = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Code::Unauthorized,
        StatusCode::NOT_FOUND => Code::NotFound,
        _ => Code::Registry,
    };
    let mut body = Vec::new();
    let words = async {
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > MAX_BODY {
                break;
            }
        }
    };
    // What came until then is shown.
    let _ = tokio::time::timeout(WORDS, words).await;
    let problem = Problem::new(code, format!("the registry `{host}` did not {asked}"));
    let mut problem = problem.note(status.to_string());
    let errors = serde_json::from_slice::<Errors>(&body).unwrap_or_default().errors;
    for error in errors.into_iter().take(5) {
        problem = problem.note(match error.message.filter(|message| !message.is_empty()) {
            Some(message) => format!("{}: {}", printable(&error.code), printable(&message)),
            None => printable(&error.code),
        });
    }
    problem
}

/// A request that got no answer.
pub(super) fn unreachable(host: &str, why: impl Into<NoAnswer>) -> Problem {
    let error = match why.into() {
        NoAnswer::Failed(error) => error,
        NoAnswer::Silent(wait, times) => return silent(host, wait, times),
    };
    if is_damage(&error) {
        let problem = Problem::new(Code::DigestMismatch, "content to be sent is damaged");
        return problem.note(causes(&error).last().map(ToString::to_string).unwrap_or_default());
    }
    let certificate = is_certificate(&error);
    // Addresses may hold what is as good as a password.
    let error = error.without_url();
    let mut problem = Problem::new(Code::Registry, format!("the registry `{host}` cannot be reached"));
    problem = problem.note(error.to_string());
    if let Some(cause) = causes(&error).last() {
        problem = problem.note(printable(&cause.to_string()));
    }
    let is_of_authority = problem.notes.iter().any(|note| note.contains("CaUsedAsEndEntity"));
    if is_of_authority {
        problem = problem.help("its certificate is that of an authority (`CA:TRUE`), which `ca=` names: have the authority sign one for the host, or make it with `CA:FALSE`");
    } else if certificate {
        problem = problem.help("name its certificate authority with `ca=\"ca.pem\"`, or say `insecure=#true` if it speaks plain HTTP");
    }
    problem
}

/// Nothing came for so long, so many times.
fn silent(host: &str, wait: Duration, times: u32) -> Problem {
    let seconds = wait.as_secs_f64();
    let often = if times == 1 { String::new() } else { format!(", {times} times") };
    Problem::new(Code::Registry, format!("the registry `{host}` does not answer"))
        .note(format!("nothing came for {seconds} s{often}"))
        .help("run again when it works: what is there is not sent twice")
}

/// An answer that does not keep to the specification.
pub(super) fn unexpected(host: &str, what: &str) -> Problem {
    Problem::new(Code::Registry, format!("the registry `{host}` does not answer as specified"))
        .note(what.to_owned())
}

/// Text of a registry, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_registry_cannot_steer_a_terminal() {
        assert_eq!(printable("no\u{1b}[2J\nway"), "no [2J way");
        assert_eq!(printable(&"x".repeat(1000)).len(), MAX_SHOWN);
    }
}
