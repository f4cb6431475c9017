//! References and their parts: what is read is written so that it reads the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use hoist::oci::{Digest, Platform, Reference, RepositoryName, Tag};
use libfuzzer_sys::fuzz_target;

fn same<T: FromStr + Display + Debug + PartialEq>(text: &str)
where
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(read) => {
            let written = read.to_string();
            assert_eq!(written.parse::<T>().ok().as_ref(), Some(&read), "{text:?} is written as {written:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(text) = hoist_fuzz::text(data) else { return };
    same::<Digest>(text);
    same::<Platform>(text);
    same::<Reference>(text);
    same::<RepositoryName>(text);
    same::<Tag>(text);
});
