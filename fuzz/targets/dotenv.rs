//! Files of variables: what is wrong is said by the number of its line.
#![no_main]

use hoist::facts::fuzzing::dotenv;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(text) = hoist_fuzz::text(data) else { return };
    match dotenv(text) {
        Ok(variables) => {
            for (name, value) in variables {
                assert!(!name.is_empty() && !name.contains(['=', '\0', '\n']) && !value.contains('\0'));
            }
        }
        Err(lines) => {
            let last = text.matches('\n').count() + 1;
            assert!(!lines.is_empty() && lines.iter().all(|line| (1..=last).contains(line)));
        }
    }
});
