//! The targets of a Makefile, as far as their names tell.

/// The explicit targets of a Makefile, in order, those that a person would
/// type: no patterns, no files, no special targets, no variables.
pub(super) fn targets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((names, rest)) = line.split_once(':') else { continue };
        let is_rule =
            !names.starts_with(['\t', ' ', '#', '.']) && !rest.starts_with('=') && !names.contains('=');
        if !is_rule {
            continue;
        }
        for name in names.split_whitespace() {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.chars().all(plain) && !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_a_person_would_type_are_found() {
        let text = "CC := gcc\nA = b:c\n.PHONY: all\nall: build test\nbuild test:\n\t@echo a: b\n%.o: %.c\n\tcc\nout/x: y\nlint::\n# no: x\nall: more\n";
        assert_eq!(targets(text), ["all", "build", "test", "lint"]);
    }
}
