//! What reads text, in the open for the fuzz targets.

use crate::facts::{dotenv, script};

/// The variables of a `.env` file; if it is wrong, the numbers of the lines that
/// are.
///
/// # Errors
/// At least one line.
pub fn dotenv(text: &str) -> Result<Vec<(String, String)>, Vec<usize>> {
    dotenv::parse(text).map_err(|invalid| invalid.iter().map(|invalid| invalid.line).collect())
}

/// The names of variables in a script, in order.
#[must_use]
pub fn words(script: &str) -> Vec<String> {
    script::words(script).map(|word| word.name.to_owned()).collect()
}
