//! How a registry says that it wants to know who asks (RFC 9110, "WWW-Authenticate").

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants to be told who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With name and password in every request.
    Basic,
    /// With a token from a server.
    Bearer {
        /// The server's address.
        realm: Url,
        /// What the registry is called there.
        service: Option<String>,
    },
}

/// The challenges of an answer that are understood, tokens first.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut found: Vec<Challenge> = texts.flat_map(listed).collect();
    found.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
    found
}

/// A scheme with its parameters, as they are written.
struct Written<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, String)>,
}

impl Written<'_> {
    fn understood(self) -> Option<Challenge> {
        if self.scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !self.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |wanted: &str| {
            let mut all = self.parameters.iter();
            all.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone())
        };
        Some(Challenge::Bearer { realm: value("realm")?.parse().ok()?, service: value("service") })
    }
}

/// The challenges of one header that are understood. Commas stand between them, and between
/// the parameters of one: a word is a parameter if `=` follows it, else a scheme.
pub(super) fn listed(text: &str) -> Vec<Challenge> {
    const SPACE: [char; 2] = [' ', '\t'];
    const BETWEEN: [char; 3] = [' ', '\t', ','];
    let (mut written, mut rest) = (Vec::<Written<'_>>::new(), text);
    loop {
        rest = rest.trim_start_matches(BETWEEN);
        if rest.is_empty() {
            break;
        }
        let (word, after) = rest.split_at(rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len()));
        let Some(value) = after.trim_start_matches(SPACE).strip_prefix('=') else {
            written.push(Written { scheme: word, parameters: Vec::new() });
            rest = after;
            continue;
        };
        let value = value.trim_start_matches(SPACE);
        let read = if let Some(quoted) = value.strip_prefix('"') {
            unquoted(quoted)
        } else {
            let (value, left) = value.split_at(value.find(BETWEEN).unwrap_or(value.len()));
            Some((value.to_owned(), left))
        };
        let Some((value, left)) = read else {
            // What is cut off is not guessed at.
            written.pop();
            break;
        };
        if let Some(last) = written.last_mut() {
            last.parameters.push((word, value));
        }
        rest = left;
    }
    written.into_iter().filter_map(Written::understood).collect()
}

/// A text up to the quote that ends it, and what comes after; `None` if nothing ends it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, letter) in text.char_indices() {
        match letter {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => return Some((value, text.get(at + 1..)?)),
            _ => {
                value.push(letter);
                is_escaped = false;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.parse().unwrap(), service: service.map(str::to_owned) }
    }

    #[test]
    fn a_challenge_says_where_tokens_are_given() {
        let ghcr =
            r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull,push""#;
        let expected = [bearer("https://ghcr.io/token", Some("ghcr.io"))];
        assert_eq!(listed(ghcr), expected);
        assert_eq!(listed("bearer Realm=https://ghcr.io/token, service=ghcr.io"), expected);
        assert_eq!(listed(r#"Bearer realm = "https://ghcr.io/token" , service = "gh\cr.io""#), expected);
        assert_eq!(listed(r#"Basic realm="x""#), [Challenge::Basic]);
        for none in ["", ",", "=", "Negotiate", "Bearer service=x", "Bearer realm=\"unclosed", "Bearer =\"\\"]
        {
            assert_eq!(listed(none), [], "{none}");
        }
    }

    #[test]
    fn several_challenges_may_stand_in_one_header() {
        let token = bearer("https://x.io/t?a=b,c", Some("Basic, or not"));
        for text in [
            r#"Basic realm="A, \"B\"", Bearer realm="https://x.io/t?a=b,c",service="Basic, or not""#,
            r#"Bearer service="Basic, or not",realm="https://x.io/t?a=b,c", , Basic"#,
            r#"Negotiate YWJj==,Bearer realm="https://x.io/t?a=b,c",service="Basic, or not",Basic realm=A"#,
            r#"Bearer realm="https://x.io/t?a=b,c",service="Basic, or not", Basic realm=A, Bearer realm="cut"#,
        ] {
            let mut headers = HeaderMap::new();
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
            assert_eq!(challenges(&headers), [token.clone(), Challenge::Basic], "{text}");
        }
    }

    #[test]
    fn a_token_is_preferred_to_a_password_in_every_request() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=x"));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"https://x.io/t\""));
        assert_eq!(challenges(&headers), [bearer("https://x.io/t", None), Challenge::Basic]);
    }
}
