//! Dockerfiles and ignore files: whatever they hold, they are read or told at places
//! that are there, in bounded time.
#![no_main]

use hoist::diagnostic::Sources;
use hoist::dockerfile::{Dockerfile, IgnoreRules, Matched, Request};
use hoist::oci::Platform;
use indexmap::IndexMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(text) = hoist_fuzz::text(data) else { return };
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text);
    let args = IndexMap::from([("A".to_owned(), "$B".to_owned())]);
    let contexts = ["base".to_owned()];
    let platform = Platform::host();
    let request =
        Request { target: None, args: &args, contexts: &contexts, platform: &platform, builder: &platform };
    match Dockerfile::parse(source, text).and_then(|file| file.resolve(&request)) {
        Ok(resolved) => assert!(resolved.stages.contains(&resolved.target)),
        Err(problems) => hoist_fuzz::check(&problems, &sources),
    }
    let Ok(rules) =
        IgnoreRules::parse(source, text).map_err(|problems| hoist_fuzz::check(&problems, &sources))
    else {
        return;
    };
    let (ignored, matched) = rules.matches("a", &Matched::default());
    if ignored && !rules.may_take_back_below("a") {
        assert!(rules.matches("a/b", &matched).0, "something is taken back below what is closed");
    }
});
