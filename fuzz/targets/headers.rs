//! What registries say in headers: the server for tokens, and the next page of a list.
//! The first line is a `WWW-Authenticate`, the second a `Link`.
#![no_main]

use hoist::store::fuzzing::{challenge, next_page};
use libfuzzer_sys::fuzz_target;

/// Where the pages come from.
const HERE: &str = "https://registry.example/v2/acme/web/tags/list?n=1000";

fuzz_target!(|data: &[u8]| {
    let Some(text) = hoist_fuzz::text(data) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    if let Some((realm, service)) = challenge(first) {
        // Said as it was understood, it is understood as the same.
        // What has quotes or backslashes in it is said otherwise in quotes.
        let is_plain = |text: &str| !text.contains(['"', '\\']);
        if let Some(service) = service.filter(|service| is_plain(service) && is_plain(&realm)) {
            let said = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
            assert_eq!(challenge(&said), Some((realm, Some(service))), "{first:?}");
        }
    }
    if let Some(next) = next_page(HERE, second) {
        assert!(next.starts_with("https://registry.example/"), "{next} is elsewhere");
    }
});
