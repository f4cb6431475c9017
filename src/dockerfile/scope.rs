//! Variables that are known at a place.

use std::collections::BTreeMap;

use crate::dockerfile::word::InvalidWord;

/// Most bytes that all that is filled in from one scope may have together: without a
/// bound, a file that repeats a long value costs a thousand times its size.
const MOST: usize = 8 << 20;

/// Values by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    values: BTreeMap<String, String>,
    spent: usize,
}

impl Scope {
    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Counts bytes that were filled in here.
    pub(super) fn spend(&mut self, count: usize) -> Result<(), InvalidWord> {
        self.spent += count;
        if self.spent > MOST { Err(InvalidWord::TooLarge) } else { Ok(()) }
    }

    /// Gives a variable a value.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), InvalidWord> {
        self.spend(name.len() + value.len())?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Scope {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(values: I) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values, spent: 0 }
    }
}
