//! The cache's own files, with anything in them: what is none of the form is as
//! good as not there. The first byte says which file it is.
#![no_main]

use hoist::cache::fuzzing::{journal, record, snapshot, steps};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind {
        b'j' => drop(journal(bytes)),
        b'r' => assert_ne!(record(bytes), Some(false), "a record changes by being written"),
        b's' => assert_ne!(snapshot(bytes), Some(false), "a snapshot changes by being written"),
        // A snapshot behind its length, and its steps.
        _ => {
            let length = usize::from(*bytes.first().unwrap_or(&0)) * 8;
            if let Some((snapshot, rest)) = bytes.split_at_checked(length) {
                let _ = steps(snapshot, rest);
            }
        }
    }
});
