//! Asking what was deployed.

use std::time::Duration;

use reqwest::Client;

/// Longest that one answer is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The status that an address answers with, within a time; where it leads elsewhere, that
/// of the end.
///
/// # Errors
/// It is no address of HTTP; nothing answers in time: why, in a sentence without a period.
pub async fn status_of(address: &str, within: Duration) -> Result<u16, String> {
    let client = client(within.clamp(Duration::from_millis(100), PATIENCE))?;
    let answer = client.get(address).send().await.map_err(|error| chain(&error.without_url()))?;
    Ok(answer.status().as_u16())
}

/// A client of HTTP that waits so long for a whole answer, at most.
///
/// # Errors
/// The machine has not what it needs: what, in a sentence without a period.
pub(super) fn client(patience: Duration) -> Result<Client, String> {
    // It is set once for the process; a second time says that it is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let agent = concat!("hoist/", env!("CARGO_PKG_VERSION"));
    Client::builder().user_agent(agent).timeout(patience).build().map_err(|error| chain(&error))
}

/// An error with what caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
