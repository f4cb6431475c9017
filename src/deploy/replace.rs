//! The edit of what a regular expression matches.

use regex::{NoExpand, Regex};

use crate::deploy::Unfit;

/// Puts a text in the place of all that an expression matches; `^` and `$` are the ends of
/// lines. A line ends as it ended.
///
/// # Errors
/// It is no expression; nothing matches.
pub fn replace(text: &str, expression: &str, with: &str) -> Result<String, Unfit> {
    let regex = Regex::new(&format!("(?mR){expression}"))
        .map_err(|_| Unfit::new(format!("`{expression}` is no regular expression")))?;
    if !regex.is_match(text) {
        let unfit = Unfit::new(format!("nothing in it matches `{expression}`"));
        return Err(unfit.help("an edit that changes nothing would deploy nothing: correct the expression"));
    }
    Ok(regex.replace_all(text, NoExpand(with)).into_owned())
}
