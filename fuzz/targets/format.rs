//! The formatter: what it wrote it leaves as it is, and it means the same.
#![no_main]

use hoist::diagnostic::Sources;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(text) = hoist_fuzz::text(data) else { return };
    let mut sources = Sources::new();
    let source = sources.add("release.kdl", text);
    let parsed = hoist::syntax::parse(source, text);
    match hoist::syntax::format(source, text) {
        Ok(once) => {
            assert!(parsed.is_ok(), "formatted what is no KDL");
            assert_eq!(hoist::syntax::format(source, &once).as_deref(), Ok(once.as_str()));
        }
        Err(problems) => {
            // It says so itself where it would change the meaning; that is a bug, too.
            assert!(parsed.is_err(), "cannot be formatted: {problems:?}");
            hoist_fuzz::check(&problems, &sources);
        }
    }
});
