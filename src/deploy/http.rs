//! Asking what was deployed.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Url};

use crate::diagnostic::causes;

/// Longest that one answer is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Redirects that are followed, one after the other.
const REDIRECTS: usize = 10;

/// Authorities that vouch for certificates, beside those of the system.
#[derive(Clone, Debug, Default)]
pub struct Authorities(Vec<Certificate>);

impl Authorities {
    /// Those whose certificates a file in PEM holds.
    ///
    /// # Errors
    /// It cannot be read, or holds none: why, in a sentence without a period.
    pub fn read(file: &Path) -> Result<Self, String> {
        let pem = std::fs::read(file).map_err(|error| error.to_string())?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|error| causes(&error))?;
        if found.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(Self(found)) }
    }
}

/// The status that an address answers with, within a time: where it leads elsewhere, that
/// of the end, unless it is the redirect itself that is `wanted`. A certificate is good
/// that the system's authorities or these vouch for.
///
/// # Errors
/// It is no address of HTTP; nothing answers in time: why, in a sentence without a period.
pub async fn status_of(
    address: &str,
    wanted: u16,
    authorities: Authorities,
    within: Duration,
) -> Result<u16, String> {
    let follow = if (300..400).contains(&wanted) { Policy::none() } else { Policy::default() };
    let client = builder(within.clamp(Duration::from_millis(100), PATIENCE)).redirect(follow);
    let client = authorities.0.into_iter().fold(client, ClientBuilder::add_root_certificate);
    let client = client.build().map_err(|error| causes(&error))?;
    let answer = client.get(address).send().await.map_err(|error| causes(&error.without_url()))?;
    Ok(answer.status().as_u16())
}

/// A client of HTTP that waits so long for a whole answer, at most, and is not led to
/// another origin: what lets one in there is for nobody else. The redirect is the answer then.
///
/// # Errors
/// The machine has not what it needs: what, in a sentence without a period.
pub(super) fn client(patience: Duration) -> Result<Client, String> {
    let client = builder(patience).redirect(Policy::custom(within_origin));
    client.build().map_err(|error| causes(&error))
}

fn within_origin(attempt: Attempt<'_>) -> Action {
    let first = attempt.previous().first().map(Url::origin);
    if attempt.previous().len() > REDIRECTS {
        attempt.error("it leads in circles")
    } else if first == Some(attempt.url().origin()) {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn builder(patience: Duration) -> ClientBuilder {
    // It is set once for the process; a second time says that it is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let agent = concat!("hoist/", env!("CARGO_PKG_VERSION"));
    Client::builder().user_agent(agent).timeout(patience)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_redirect_is_followed_unless_it_is_what_is_wanted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serve = std::thread::spawn(move || {
            for _ in 0..3 {
                let mut reader = BufReader::new(listener.accept().unwrap().0);
                let mut first = String::new();
                reader.read_line(&mut first).unwrap();
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap() > 2 {
                    line.clear();
                }
                let head = if first.starts_with("GET /new ") {
                    "204 No Content"
                } else {
                    "301 Moved Permanently\r\nLocation: /new"
                };
                let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                reader.into_inner().write_all(answer.as_bytes()).unwrap();
            }
        });
        let asked = |wanted| status_of(&address, wanted, Authorities::default(), PATIENCE);
        assert_eq!(asked(301).await, Ok(301));
        assert_eq!(asked(204).await, Ok(204));
        serve.join().unwrap();
    }

    #[test]
    fn a_file_without_a_certificate_is_no_authority() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Authorities::read(file.path()).map(drop), Err("it holds no certificate".to_owned()));
    }
}
