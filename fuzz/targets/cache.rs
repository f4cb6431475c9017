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
        // A snapshot and the texts of its steps, behind their lengths, and the steps.
        _ => {
            let Some(([of_snapshot, of_texts], bytes)) = bytes.split_first_chunk() else { return };
            let Some((snapshot, bytes)) = bytes.split_at_checked(usize::from(*of_snapshot) * 8) else {
                return;
            };
            if let Some((texts, rows)) = bytes.split_at_checked(usize::from(*of_texts) * 8) {
                let _ = steps(snapshot, rows, texts);
            }
        }
    }
});
