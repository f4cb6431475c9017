//! What refers to a manifest (OCI distribution specification, "Listing Referrers",
//! "Pushing Manifests with Subject", and "Referrers Tag Schema").

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue};

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, Index, media_type};
use crate::store::Registry;
use crate::store::referrer::{fallback_tag, is_of};
use crate::store::registry::page::MAX_PAGES;

/// The subject of a manifest that a registry took note of by itself.
const OCI_SUBJECT: &str = "oci-subject";
/// How often the list of a fallback tag is written before it is given up: each time
/// somebody else wrote it in the same moment.
const RACES: u32 = 5;

impl Registry {
    /// What refers to a manifest, of one type or of all, as the registry lists it;
    /// where it keeps no such lists, as the fallback tag does.
    ///
    /// # Errors
    /// The registry cannot be reached, refuses, or does not answer as specified. That is
    /// never taken for an empty list.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Problem> {
        let mut call = self.call(Method::GET, &format!("referrers/{subject}"))?;
        call.headers.insert(ACCEPT, HeaderValue::from_static(media_type::INDEX));
        if let Some(artifact_type) = artifact_type {
            call.url.query_pairs_mut().append_pair("artifactType", artifact_type);
        }
        let asked = format!("list what refers to `{}`", self.shown(&subject.to_string()));
        let mut found = Vec::new();
        for at in 0..MAX_PAGES {
            let Some(page) = self.page(&call, &asked).await? else {
                if at > 0 {
                    return Err(self.unexpected("a page of its list of referrers is missing"));
                }
                found = self.fallback(subject).await?.manifests;
                break;
            };
            let index = Index::parse(&page.body).map_err(|error| self.unexpected(&error.to_string()))?;
            found.extend(index.manifests);
            match page.next {
                Some(next) if at + 1 < MAX_PAGES => call.url = next,
                Some(_) => return Err(self.unexpected("its list of referrers has no end")),
                None => break,
            }
        }
        // Whether it filters is up to the registry.
        found.retain(|entry| is_of(entry, artifact_type));
        Ok(found)
    }

    /// Stores a manifest that refers to another, and makes sure that it is listed
    /// there: by the registry, if it says so, else under the fallback tag.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses; others change the list all the time.
    pub(in crate::store) async fn put_referrer(
        &self,
        subject: &Digest,
        entry: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), Problem> {
        let headers = self.put_manifest(&entry.digest.to_string(), entry, bytes).await?;
        if headers.get(OCI_SUBJECT).is_some_and(|value| value.as_bytes() == subject.to_string().as_bytes()) {
            return Ok(());
        }
        let _turn = self.referring.lock().await;
        for race in 0..=RACES {
            if race > 1 {
                tokio::time::sleep(self.connection.backoff(race)).await;
            }
            let mut index = self.fallback(subject).await?;
            if index.manifests.iter().any(|listed| listed.digest == entry.digest) {
                return Ok(());
            }
            // What was written last is read, too.
            if race == RACES {
                break;
            }
            index.manifests.push(entry.clone());
            let bytes = index.to_bytes();
            self.put(&fallback_tag(subject), &Descriptor::of(media_type::INDEX, &bytes), &bytes).await?;
        }
        let title = format!("`{}` is changed all the time", self.shown(&fallback_tag(subject)));
        Err(Problem::new(Code::Registry, title).note("it lists what refers to an image").help("run again"))
    }

    /// The list under the fallback tag; an empty one if there is none.
    async fn fallback(&self, subject: &Digest) -> Result<Index, Problem> {
        match self.get(&fallback_tag(subject)).await? {
            None => Ok(Index::new(Vec::new())),
            Some((_, bytes)) => Index::parse(&bytes).map_err(|error| {
                let title = format!("`{}` does not list referrers", self.shown(&fallback_tag(subject)));
                Problem::new(Code::Registry, title).note(error.to_string())
            }),
        }
    }
}
