//! Globs.

use globset::Glob;

/// Most braces of a glob, each in the one before. What makes a matcher of them
/// calls itself for each.
const DEEPEST: usize = 32;

/// Whether a text is a glob.
///
/// # Errors
/// Says what is wrong with it.
pub fn glob_fits(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut depth = 0usize;
    for byte in text.bytes() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(format!("braces are nested more than {DEEPEST} deep"));
        }
    }
    Glob::new(text).map(drop).map_err(|error| error.kind().to_string())
}

/// A glob without a slash at its end, and whether it had one: then it means directories
/// alone.
#[must_use]
pub fn of_directories(glob: &str) -> (&str, bool) {
    match glob.trim_end_matches('/') {
        "" => (glob, false),
        without => (without, without.len() < glob.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_nested_only_so_deep() {
        let nested = |depth: usize| format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
        assert_eq!(glob_fits(&"{a,b}".repeat(100)), Ok(()));
        assert_eq!(glob_fits(&nested(DEEPEST)), Ok(()));
        let deep = Err("braces are nested more than 32 deep".to_owned());
        assert_eq!(glob_fits(&nested(DEEPEST + 1)), deep);
        assert_eq!(glob_fits(&nested(100_000)), deep);
    }

    #[test]
    fn a_slash_at_the_end_means_directories() {
        assert_eq!(of_directories("node_modules/"), ("node_modules", true));
        assert_eq!(of_directories("a/*"), ("a/*", false));
        assert_eq!(of_directories("/"), ("/", false));
    }
}
