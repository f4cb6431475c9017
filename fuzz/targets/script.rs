//! The names of variables in a script: none that a shell would see is missed.
#![no_main]

use hoist::facts::fuzzing::words;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(text) = hoist_fuzz::text(data) else { return };
    let found = words(text);
    let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
    assert!(found.iter().all(|name| !name.is_empty() && name.chars().all(plain)));
    // However it is quoted, and whatever stands around it.
    let named = |word: &str| words(&format!("{text} {word} {text}")).iter().any(|found| found == "a_name");
    assert!(named("$a_name") && named("'${a_name:-x}'") && named("\"${#a_name}\""));
    let count = |text: &str| words(text).len();
    assert_eq!(count(&format!("{text}\n{text}")), 2 * found.len());
});
