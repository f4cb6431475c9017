//! Setting tags: several with one request, and only while they hold what is expected,
//! where a registry can do that.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::StatusCode;
use reqwest::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use tokio::sync::OnceCell;

use crate::diagnostic::Problem;
use crate::oci::{Descriptor, Digest, Tag};
use crate::store::Registry;
use crate::store::registry::connection::Call;

/// The tags that a registry has set (OCI distribution specification, "Pushing
/// Manifests": `?tag=`). One that knows no such thing does not answer with it.
const OCI_TAG: &str = "oci-tag";

/// What a repository was found to be able to.
#[derive(Default)]
pub(super) struct Abilities {
    /// Whether it sets a name only while that holds what is expected (RFC 9110,
    /// "Conditional Requests"); asked once.
    compares: OnceCell<bool>,
    /// Whether it sets one tag at a time.
    one_by_one: AtomicBool,
    /// Whether it was seen to compare names with something else than digests.
    compares_otherwise: AtomicBool,
}

impl Registry {
    /// Whether several tags may be set at once, as far as it is known.
    #[must_use]
    pub fn may_take_tags(&self) -> bool {
        !self.abilities.one_by_one.load(Ordering::Relaxed)
    }

    /// Whether [`swap_tag`](Self::swap_tag) is known to compare: nobody's tag is overwritten.
    #[must_use]
    pub fn is_comparing(&self) -> bool {
        let otherwise = self.abilities.compares_otherwise.load(Ordering::Relaxed);
        !otherwise && self.abilities.compares.get() == Some(&true)
    }

    /// Sets several tags with one request; those that the registry says it has set.
    /// Where it does not know how, or refuses, none.
    pub async fn put_tags(&self, tags: &[&Tag], image: &Descriptor, document: &[u8]) -> Vec<Tag> {
        let taken = self.ask_for_tags(tags, image, document).await.unwrap_or_default();
        if taken.is_empty() {
            self.abilities.one_by_one.store(true, Ordering::Relaxed);
        }
        taken
    }

    async fn ask_for_tags(
        &self,
        tags: &[&Tag],
        image: &Descriptor,
        document: &[u8],
    ) -> Result<Vec<Tag>, Problem> {
        let name = image.digest.to_string();
        let mut call = self.putting(&name, image, document)?;
        call.url.query_pairs_mut().extend_pairs(tags.iter().map(|tag| ("tag", tag.as_str())));
        let response = self.connection.send(&call).await?;
        let headers = self.stored(&name, image, response).await?;
        let said = headers.get_all(OCI_TAG).iter().filter_map(|value| value.to_str().ok());
        let said = said.flat_map(|value| value.split(',')).filter_map(|tag| tag.trim().parse().ok());
        Ok(said.filter(|tag| tags.contains(&tag)).collect())
    }

    /// Sets a tag to an image that is here if it holds what is expected; `false` if it
    /// does not. Where the registry cannot compare, it is set whatever it holds.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses.
    pub async fn swap_tag(
        &self,
        tag: &Tag,
        expected: Option<Digest>,
        image: &Descriptor,
        document: &[u8],
    ) -> Result<bool, Problem> {
        self.learn_to_compare(image, document).await;
        self.set_tag(tag, expected, image, document).await
    }

    /// As [`swap_tag`](Self::swap_tag), but does not find out whether the registry can
    /// compare: where that is not known, the tag is set whatever it holds.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses.
    pub async fn set_tag(
        &self,
        tag: &Tag,
        expected: Option<Digest>,
        image: &Descriptor,
        document: &[u8],
    ) -> Result<bool, Problem> {
        if self.abilities.compares.get() == Some(&true) {
            let condition = match expected {
                Some(digest) => (IF_MATCH, format!("\"{digest}\"")),
                None => (IF_NONE_MATCH, "*".to_owned()),
            };
            if self.put_if(tag.as_str(), condition, image, document).await? {
                return Ok(true);
            }
            let found = self.resolve(tag.as_str()).await?.map(|found| found.digest);
            if found != expected {
                // An answer may have been lost, and the request sent again.
                return Ok(found == Some(image.digest));
            }
            // What it compares is not the digest.
            self.abilities.compares_otherwise.store(true, Ordering::Relaxed);
        }
        self.put(tag.as_str(), image, document).await.map(|()| true)
    }

    /// Stores a manifest or index that is not there under its digest. Where it is not
    /// known yet, this finds out whether the registry takes no note of conditions.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses.
    pub async fn put_new(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Problem> {
        let name = descriptor.digest.to_string();
        if !self.abilities.compares.initialized() {
            let call = self.putting_if(&name, never(), descriptor, bytes)?;
            let response = self.connection.send(&call).await?;
            if response.status().is_success() {
                let _known = self.abilities.compares.set(false);
                return self.stored(&name, descriptor, response).await.map(drop);
            }
        }
        self.put(&name, descriptor, bytes).await
    }

    /// Finds out whether the registry sets a name only while that holds what is expected. It is
    /// asked to store what it has, under conditions that do not hold: one that takes no
    /// note of them changes nothing by that.
    async fn learn_to_compare(&self, image: &Descriptor, document: &[u8]) {
        let probe = async || {
            let name = image.digest.to_string();
            for condition in [(IF_NONE_MATCH, "*".to_owned()), never()] {
                if self.put_if(&name, condition, image, document).await? {
                    return Ok(false);
                }
            }
            Ok::<_, Problem>(true)
        };
        self.abilities.compares.get_or_init(async || probe().await.unwrap_or(false)).await;
    }

    /// Stores a manifest or index under a condition; `false` if the registry says that
    /// it does not hold.
    async fn put_if(
        &self,
        name: &str,
        condition: (HeaderName, String),
        image: &Descriptor,
        document: &[u8],
    ) -> Result<bool, Problem> {
        let call = self.putting_if(name, condition, image, document)?;
        let response = self.connection.send(&call).await?;
        if response.status() == StatusCode::PRECONDITION_FAILED {
            return Ok(false);
        }
        self.stored(name, image, response).await.map(|_| true)
    }

    /// The request for that.
    fn putting_if(
        &self,
        name: &str,
        (header, value): (HeaderName, String),
        image: &Descriptor,
        document: &[u8],
    ) -> Result<Call, Problem> {
        let mut call = self.putting(name, image, document)?;
        let value = HeaderValue::from_str(&value).map_err(|error| self.unexpected(&error.to_string()))?;
        call.headers.insert(header, value);
        Ok(call)
    }
}

/// A condition that no image meets.
fn never() -> (HeaderName, String) {
    (IF_MATCH, format!("\"{}\"", Digest::of(b"")))
}
