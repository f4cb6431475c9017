//! Which variables the text of a script names.

/// A variable that a script names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// The script says what stands in its place where it is not set.
    pub(super) optional: bool,
}

/// Every `$name` and `${name…}`, in order. Quotes and comments are not looked
/// at: to take a variable for used that is not costs a rerun, the other way
/// round a wrong result.
pub(super) fn words(script: &str) -> impl Iterator<Item = Word<'_>> {
    script.split('$').skip(1).filter_map(|rest| {
        let braced = rest.strip_prefix('{');
        // `${#name}` is the length of its value, `${!name}` what its value names.
        let rest = braced.map_or(rest, |inner| inner.strip_prefix(['#', '!']).unwrap_or(inner));
        let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let optional = braced.is_some() && behind.trim_start_matches(':').starts_with(['-', '+', '=', '?']);
        let named = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
        named.then_some(Word { name, optional })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(script: &str) -> Vec<&str> {
        words(script).map(|word| word.name).collect()
    }

    #[test]
    fn variables_are_found_plain_in_braces_and_in_quotes() {
        assert_eq!(names("echo $a ${b} \"$c/${d%.*}\" '$e' # $f"), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(names("${#length} ${!pointer} ${a:-$b}$c"), ["length", "pointer", "a", "b", "c"]);
    }

    #[test]
    fn what_the_shell_sets_itself_is_no_name() {
        assert_eq!(names("$1 $@ $$ $? $(date) $((1 + 2)) $"), Vec::<&str>::new());
    }

    #[test]
    fn a_default_makes_a_variable_optional() {
        let optional = |script| words(script).map(|word| word.optional).collect::<Vec<_>>();
        assert_eq!(
            optional("${a:-x} ${a-x} ${a:+x} ${a:?x} $a-x ${a} ${a%-x}"),
            [true, true, true, true, false, false, false]
        );
    }
}
