//! What the fuzz targets reach of the protocol.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, LINK};

use crate::store::registry::challenge::{Challenge, listed};
use crate::store::registry::page;

pub(in crate::store) fn challenge(text: &str) -> Option<(String, Option<String>)> {
    listed(text).into_iter().find_map(|challenge| match challenge {
        Challenge::Basic => None,
        Challenge::Bearer { realm, service } => Some((realm.into(), service)),
    })
}

pub(in crate::store) fn next_page(url: &Url, link: &str) -> Option<Url> {
    let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_str(link).ok()?)]);
    page::next_page(url, &headers).ok()?
}
