//! What keeps repositories and takes pull requests: GitHub, GitLab, and Gitea or Forgejo, each
//! by its own API.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::config::{Forge, ForgeAccess, Secret};
use crate::deploy::http::{PATIENCE, client};
use crate::diagnostic::{Code, Problem, Spanned, causes};

/// What one page of a list has, and the most pages.
const PAGE: usize = 100;
const PAGES: usize = 40;
/// What says where the API is.
const SAY_API: &str = "say where the API is: `pull-request api=\"https://…\"`";

/// A repository of a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// What keeps it.
    pub forge: Forge,
    /// Where its API is.
    pub api: String,
    /// Its owner and name; of GitLab all groups above.
    pub path: String,
}

/// A pull request that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The branch with the commits.
    pub head: &'a str,
    /// The branch that they are for.
    pub base: &'a str,
    /// What it is called.
    pub title: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// A pull request that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where it is seen.
    pub address: String,
    /// Whether it was open as it is already.
    pub again: bool,
}

impl Project {
    /// The repository of an address as git takes it, with what its host does not say.
    ///
    /// # Errors
    /// It says neither what keeps it nor where the API is.
    pub fn of(address: &str, access: &ForgeAccess) -> Result<Self, Problem> {
        let (host, path) = parts(address);
        let forge = access.forge;
        let api = access.api.as_ref().map(|api| api.value.trim_end_matches('/'));
        let unknown =
            |title: String, help: &str| Problem::new(Code::PullRequest, title).help(help.to_owned());
        let Some(forge) = forge.or_else(|| forge_of(host?)) else {
            let title = "what keeps the repository is not known".to_owned();
            return Err(unknown(
                title,
                "say it: `pull-request forge=\"github\"`, `\"gitlab\"`, or `\"gitea\"`",
            ));
        };
        let api = match (api, host, forge) {
            (Some(api), ..) => api.to_owned(),
            (None, Some("github.com"), Forge::GitHub) => "https://api.github.com".to_owned(),
            (None, Some(host), Forge::GitHub) => format!("https://{host}/api/v3"),
            (None, Some(host), Forge::GitLab) => format!("https://{host}/api/v4"),
            (None, Some(host), Forge::Gitea) => format!("https://{host}/api/v1"),
            (None, None, _) => {
                let title = "the repository has no host".to_owned();
                return Err(unknown(title, SAY_API));
            }
        };
        if !path.contains('/') {
            let title = "the repository has no owner".to_owned();
            return Err(unknown(title, "an address ends with an owner and a name: `acme/manifests.git`"));
        }
        Ok(Self { forge, api, path })
    }

    /// Where the token is that lets one in: in a variable where the file names nothing else.
    #[must_use]
    pub fn token_of(&self, access: &ForgeAccess) -> Spanned<Secret> {
        let variable = match self.forge {
            Forge::GitHub => "GITHUB_TOKEN",
            Forge::GitLab => "GITLAB_TOKEN",
            Forge::Gitea => "GITEA_TOKEN",
        };
        let usual = || Spanned::new(Secret::Env(variable.to_owned()), access.span);
        access.token.clone().unwrap_or_else(usual)
    }

    /// Makes sure that the forge answers, and lets the token in.
    ///
    /// # Errors
    /// It does not ([`Code::PullRequest`]).
    pub async fn check(&self, token: &str) -> Result<(), Problem> {
        self.ask(Method::GET, &self.address(), None, token).await.map(drop)
    }

    /// Where its API tells of it.
    pub(super) fn address(&self) -> String {
        match self.forge {
            Forge::GitHub | Forge::Gitea => format!("{}/repos/{}", self.api, self.path),
            Forge::GitLab => format!("{}/projects/{}", self.api, encoded(&self.path)),
        }
    }

    /// Where its API tells of its pull requests.
    pub(super) fn requests(&self) -> String {
        let word = if self.forge == Forge::GitLab { "merge_requests" } else { "pulls" };
        format!("{}/{word}", self.address())
    }

    /// Where its API tells of the pull requests by which a commit came.
    pub(super) fn requests_of(&self, commit: &str) -> String {
        let address = self.address();
        match self.forge {
            Forge::GitHub => format!("{address}/commits/{commit}/pulls"),
            Forge::Gitea => format!("{address}/commits/{commit}/pull"),
            Forge::GitLab => format!("{address}/repository/commits/{commit}/merge_requests"),
        }
    }

    /// Opens a pull request between two branches, or finds the one that is open, and gives it
    /// this title.
    ///
    /// # Errors
    /// The forge does not answer, or refuses.
    pub async fn open(&self, request: &Request<'_>, token: &str) -> Result<Opened, Problem> {
        let list = self.requests();
        if let Some(found) = self.find(&list, request, token).await? {
            if found["title"].as_str() == Some(request.title) {
                return Ok(Opened { address: self.seen(&found), again: true });
            }
            let number = &found[if self.forge == Forge::GitLab { "iid" } else { "number" }];
            let method = if self.forge == Forge::GitLab { Method::PUT } else { Method::PATCH };
            let body = json!({ "title": request.title });
            let changed = self.ask(method, &format!("{list}/{number}"), Some(&body), token).await?;
            return Ok(Opened { address: self.seen(&changed), again: false });
        }
        let Request { head, base, title, text } = *request;
        let body = match self.forge {
            Forge::GitHub | Forge::Gitea => {
                json!({ "title": title, "head": head, "base": base, "body": text })
            }
            Forge::GitLab => json!({
                "title": title,
                "source_branch": head,
                "target_branch": base,
                "description": text,
                "remove_source_branch": true,
            }),
        };
        let made = self.ask(Method::POST, &list, Some(&body), token).await?;
        Ok(Opened { address: self.seen(&made), again: false })
    }

    /// The pull request between two branches that is open.
    async fn find(&self, list: &str, request: &Request<'_>, token: &str) -> Result<Option<Value>, Problem> {
        let Request { head, base, .. } = *request;
        let owner = self.path.split('/').next().unwrap_or_default();
        let query = |pairs: &[(&str, &str)]| {
            form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
        };
        let full = format!("{owner}:{head}");
        let between = |found: &Value| match self.forge {
            Forge::GitHub | Forge::Gitea => {
                found["head"]["ref"].as_str() == Some(head) && found["base"]["ref"].as_str() == Some(base)
            }
            Forge::GitLab => {
                found["source_branch"].as_str() == Some(head) && found["target_branch"].as_str() == Some(base)
            }
        };
        let query = match self.forge {
            Forge::GitHub => query(&[("state", "open"), ("head", &full), ("base", base)]),
            Forge::GitLab => query(&[("state", "opened"), ("source_branch", head), ("target_branch", base)]),
            Forge::Gitea => query(&[("state", "open")]),
        };
        Ok(self.pages(&format!("{list}?{query}"), token).await?.into_iter().find(between))
    }

    /// A list as a whole.
    pub(super) async fn pages(&self, list: &str, token: &str) -> Result<Vec<Value>, Problem> {
        let limit = if self.forge == Forge::Gitea { "limit" } else { "per_page" };
        let joint = if list.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let address = format!("{list}{joint}{limit}={PAGE}&page={page}");
            let Value::Array(found) = self.read(&address, token).await? else { return Err(self.no_api()) };
            // How many a page has at most, a server may rule.
            if found.is_empty() {
                return Ok(all);
            }
            all.extend(found);
        }
        let title = format!("`{}` answers with more than {PAGES} pages for `{}`", self.api, self.path);
        Err(Problem::new(Code::PullRequest, title))
    }

    /// Where a pull request is seen.
    pub(super) fn seen(&self, found: &Value) -> String {
        let name = if self.forge == Forge::GitLab { "web_url" } else { "html_url" };
        found[name].as_str().unwrap_or("a pull request").to_owned()
    }

    /// What the forge says.
    pub(super) async fn read(&self, address: &str, token: &str) -> Result<Value, Problem> {
        self.ask(Method::GET, address, None, token).await
    }

    /// What the forge says; nothing where there is nothing, or nothing that the token may see.
    pub(super) async fn find_at(&self, address: &str, token: &str) -> Result<Option<Value>, Problem> {
        let (status, said) = self.answer(Method::GET, address, None, token).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.agreed(status, said).map(Some)
    }

    async fn ask(
        &self,
        method: Method,
        address: &str,
        body: Option<&Value>,
        token: &str,
    ) -> Result<Value, Problem> {
        let (status, said) = self.answer(method, address, body, token).await?;
        self.agreed(status, said)
    }

    async fn answer(
        &self,
        method: Method,
        address: &str,
        body: Option<&Value>,
        token: &str,
    ) -> Result<(StatusCode, Value), Problem> {
        let unanswered = |why: String| {
            Problem::new(Code::PullRequest, format!("`{}` does not answer", self.api)).note(why)
        };
        let client = client(PATIENCE).map_err(unanswered)?;
        let mut request = client.request(method, address).header("accept", "application/json");
        request = match self.forge {
            Forge::GitHub => request
                .header("authorization", format!("Bearer {token}"))
                .header("x-github-api-version", "2022-11-28"),
            Forge::GitLab => request.header("authorization", format!("Bearer {token}")),
            Forge::Gitea => request.header("authorization", format!("token {token}")),
        };
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| unanswered(causes(&error.without_url())))?;
        if let Some(elsewhere) = leads_to(&answer) {
            let title = format!("`{}` leads to `{elsewhere}`, where the token is not sent", self.api);
            return Err(Problem::new(Code::PullRequest, title).help(SAY_API));
        }
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| unanswered(causes(&error.without_url())))?;
        match serde_json::from_slice(&bytes) {
            Ok(said) => Ok((status, said)),
            Err(_) if !status.is_success() => Ok((status, Value::Null)),
            Err(_) => Err(self.no_api()),
        }
    }

    fn no_api(&self) -> Problem {
        Problem::new(Code::PullRequest, format!("`{}` does not answer as an API", self.api)).help(SAY_API)
    }

    fn agreed(&self, status: StatusCode, said: Value) -> Result<Value, Problem> {
        if status.is_success() {
            return Ok(said);
        }
        let title = format!("`{}` answers {status} for `{}`", self.api, self.path);
        let problem = Problem::new(Code::PullRequest, title);
        let problem = match &said["message"] {
            Value::Null => problem,
            Value::String(text) => problem.note(text.chars().take(300).collect::<String>()),
            other => problem.note(other.to_string().chars().take(300).collect::<String>()),
        };
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                problem.help("the token has to be one that may work with pull requests there")
            }
            StatusCode::NOT_FOUND => problem.help(format!(
                "what the token may not see is not found either: `{}` has to be the path there, and the token \
                 one that may read it",
                self.path
            )),
            _ => problem,
        })
    }
}

/// The origin that an answer leads to, if it is a redirect.
fn leads_to(answer: &Response) -> Option<String> {
    let location = answer.headers().get("location").filter(|_| answer.status().is_redirection())?;
    let address = answer.url().join(location.to_str().ok()?).ok()?;
    Some(address.origin().ascii_serialization())
}

/// What keeps the repositories of a host.
fn forge_of(host: &str) -> Option<Forge> {
    let known = [
        ("github", Forge::GitHub),
        ("gitlab", Forge::GitLab),
        ("gitea", Forge::Gitea),
        ("forgejo", Forge::Gitea),
        ("codeberg.org", Forge::Gitea),
    ];
    known.into_iter().find(|(word, _)| host.contains(word)).map(|(_, forge)| forge)
}

/// The host of an address, and the path of the repository there.
fn parts(address: &str) -> (Option<&str>, String) {
    let bare = |path: &str| {
        let path = path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path).to_owned()
    };
    let local = |path: &str| {
        let mut last: Vec<&str> = path.rsplit('/').filter(|part| !part.is_empty()).take(2).collect();
        last.reverse();
        (None, bare(&last.join("/")))
    };
    if let Some((scheme, rest)) = address.split_once("://") {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if scheme == "file" {
            return local(path);
        }
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // The port of SSH is not that of the API.
        let host = if scheme.starts_with("http") { host } else { host.split(':').next().unwrap_or(host) };
        return (Some(host), bare(path));
    }
    match address.split_once(':') {
        Some((host, path)) if !host.contains('/') => {
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            (Some(host), bare(path))
        }
        _ => local(address),
    }
}

/// A path or a name as one part of an address.
pub(super) fn encoded(path: &str) -> String {
    form_urlencoded::byte_serialize(path.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Sources, Span};

    fn access(forge: Option<Forge>, api: Option<&str>) -> ForgeAccess {
        let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
        let api = api.map(|api| Spanned::new(api.to_owned(), span));
        ForgeAccess { forge, api, token: None, span }
    }

    #[test]
    fn an_address_says_what_keeps_a_repository() {
        let cases = [
            ("git@github.com:acme/m.git", Forge::GitHub, "https://api.github.com", "acme/m"),
            (
                "https://ci:x@github.acme.dev/acme/m",
                Forge::GitHub,
                "https://github.acme.dev/api/v3",
                "acme/m",
            ),
            ("ssh://git@gitlab.com:22/a/b/m.git", Forge::GitLab, "https://gitlab.com/api/v4", "a/b/m"),
            ("https://codeberg.org/acme/m.git", Forge::Gitea, "https://codeberg.org/api/v1", "acme/m"),
            ("http://gitea.lan:3000/acme/m", Forge::Gitea, "https://gitea.lan:3000/api/v1", "acme/m"),
        ];
        for (address, forge, api, path) in cases {
            let found = Project::of(address, &access(None, None)).unwrap();
            assert_eq!(found, Project { forge, api: api.to_owned(), path: path.to_owned() });
        }
        assert!(Project::of("git@host:acme/m.git", &access(None, None)).is_err());
        assert!(Project::of("../m.git", &access(Some(Forge::Gitea), None)).is_err());
        let local = Project::of("/srv/acme/m.git", &access(Some(Forge::Gitea), Some("http://x/"))).unwrap();
        assert_eq!((local.api.as_str(), local.path.as_str()), ("http://x", "acme/m"));
    }
}
