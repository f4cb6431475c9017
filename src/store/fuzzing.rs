//! What the fuzz targets reach, and nobody else.

use reqwest::Url;

use crate::oci::{Descriptor, Digest, media_type};
use crate::store::referrer;
use crate::store::registry::fuzzing;

/// The server for tokens and the service that a `WWW-Authenticate` names; `None` if it
/// asks for none.
#[must_use]
pub fn challenge(text: &str) -> Option<(String, Option<String>)> {
    fuzzing::challenge(text)
}

/// The next page that a `Link` names, as seen from the page at an address.
#[must_use]
pub fn next_page(address: &str, link: &str) -> Option<String> {
    fuzzing::next_page(&Url::parse(address).ok()?, link).map(String::from)
}

/// What a manifest refers to, and how it is listed there.
#[must_use]
pub fn listing(bytes: &[u8]) -> Option<(Digest, Descriptor)> {
    referrer::listing(&Descriptor::of(media_type::MANIFEST, bytes), bytes)
}
