//! Lists that come page by page (OCI distribution specification, "Listing Tags"
//! and "Listing Referrers"; Docker's registry API for repositories).

use indexmap::IndexSet;
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::diagnostic::Problem;
use crate::store::Registry;
use crate::store::registry::connection::Call;
use crate::store::registry::repository::{Document, Missing};

/// Names that are asked for at once.
const PAGE: usize = 1000;
/// The most pages of a list that are read.
pub(super) const MAX_PAGES: usize = 1000;

/// A part of a list.
pub(super) struct Page {
    /// Where the next one is, if there is one.
    pub(super) next: Option<Url>,
    /// What it holds.
    pub(super) body: Vec<u8>,
}

impl Registry {
    /// All tags, in the order of the registry; none if there is no such repository.
    ///
    /// # Errors
    /// The registry cannot be reached, refuses, or does not answer as specified.
    pub async fn tags(&self) -> Result<Vec<String>, Problem> {
        let call = self.call(Method::GET, "tags/list")?;
        self.names(call, &format!("list the tags of `{}`", self.name.path())).await
    }

    /// Paths of all repositories of the registry that this one is part of, in the
    /// order of the registry. Many registries show them to administrators only.
    ///
    /// # Errors
    /// The registry cannot be reached, refuses, or does not answer as specified.
    pub async fn repositories(&self) -> Result<Vec<String>, Problem> {
        let url = self.connection.url("_catalog")?;
        let call = Call::new(Method::GET, url, vec!["registry:catalog:*".to_owned()]);
        self.names(call, "list its repositories").await
    }

    /// A list of names to its end: along the links, or, where full pages come without
    /// one, by the last name.
    async fn names(&self, mut call: Call, asked: &str) -> Result<Vec<String>, Problem> {
        #[derive(Deserialize)]
        struct Names {
            #[serde(alias = "repositories", default)]
            tags: Option<Vec<String>>,
        }
        let start = call.url.clone();
        call.url.query_pairs_mut().append_pair("n", &PAGE.to_string());
        let mut names = IndexSet::new();
        for _ in 0..MAX_PAGES {
            let Some(page) = self.page(&call, asked).await? else {
                let missing = || self.unexpected("a page of its list is missing");
                return if names.is_empty() { Ok(Vec::new()) } else { Err(missing()) };
            };
            let read: Names =
                serde_json::from_slice(&page.body).map_err(|error| self.unexpected(&error.to_string()))?;
            let (before, read) = (names.len(), read.tags.unwrap_or_default());
            let is_full = read.len() >= PAGE;
            names.extend(read);
            call.url = match (page.next, names.last()) {
                (Some(next), _) => next,
                // Whoever knows no pages says the same again.
                (None, Some(last)) if is_full && names.len() > before => {
                    let mut url = start.clone();
                    url.query_pairs_mut().append_pair("n", &PAGE.to_string()).append_pair("last", last);
                    url
                }
                (None, _) => return Ok(names.into_iter().collect()),
            };
        }
        Err(self.unexpected("its list has no end"))
    }

    /// One part of a list; `None` if there is no such list.
    pub(super) async fn page(&self, call: &Call, asked: &str) -> Result<Option<Page>, Problem> {
        let document = self.document(call, asked, Missing::IsNone).await?;
        let Some(Document { url, headers, bytes }) = document else { return Ok(None) };
        let next = next_page(&url, &headers);
        let next =
            next.map_err(|error| self.unexpected(&format!("the address of its next page: {error}")))?;
        Ok(Some(Page { next, body: bytes }))
    }
}

/// The next page of a list, if there is one: `<…>; rel="next"` (RFC 8288), in any of the
/// headers, each of which may hold several links. One at another host, as registries behind a
/// proxy name by mistake, is looked for at this one: a list that ended there would not be
/// whole, and nobody else is sent the credentials.
///
/// # Errors
/// There is one, and what it is called is no address.
pub(super) fn next_page(url: &Url, headers: &HeaderMap) -> Result<Option<Url>, String> {
    let texts = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = texts.flat_map(links).find(|(_, parameters)| {
        parameters.split([';', ',']).any(|one| matches!(one.trim(), "rel=\"next\"" | "rel=next"))
    });
    let Some((target, _)) = next else { return Ok(None) };
    let found = url.join(target).map_err(|error| error.to_string())?;
    if found.origin() == url.origin() {
        return Ok(Some(found));
    }
    let mut here = url.clone();
    here.set_path(found.path());
    here.set_query(found.query());
    Ok(Some(here))
}

/// The links of a header: each its target, and its parameters as they are written.
fn links(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or(after);
        rest = &after[parameters.len()..];
        Some((target, parameters))
    })
}
