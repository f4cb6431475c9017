//! The targets of a Makefile, as far as its text tells.

/// A target that a person would type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MakeTarget<'a> {
    pub(super) name: &'a str,
    /// What is said of it behind `##`, as many Makefiles do for their `help`.
    pub(super) about: Option<&'a str>,
}

/// Words that begin a line that is no rule, although a `:` may stand in it.
const DIRECTIVES: &[&str] =
    &["include", "-include", "sinclude", "vpath", "export", "unexport", "override", "undefine", "load"];

/// The explicit targets of a Makefile, in order, those that a person would
/// type: no patterns, no files, no special targets, no variables, none that begins
/// with `_`.
pub(super) fn targets(text: &str) -> Vec<MakeTarget<'_>> {
    let mut found: Vec<MakeTarget<'_>> = Vec::new();
    for (names, rest) in rules(text) {
        let about = rest.split_once("##").map(|(_, about)| about.trim()).filter(|about| !about.is_empty());
        for name in names.split_whitespace().filter(|name| is_typable(name)) {
            match found.iter_mut().find(|known| known.name == name) {
                Some(known) => known.about = known.about.or(about),
                None => found.push(MakeTarget { name, about }),
            }
        }
    }
    found
}

/// What `make` makes where nothing is named: what `.DEFAULT_GOAL` says, else the
/// first target. `None` where that is nothing that a person would type.
pub(super) fn default(text: &str) -> Option<&str> {
    let goal = text.lines().find_map(|line| {
        let value = line.strip_prefix(".DEFAULT_GOAL")?.trim_start().trim_start_matches([':', '?']);
        value.strip_prefix('=').map(str::trim)
    });
    let first =
        || rules(text).flat_map(|(names, _)| names.split_whitespace()).find(|name| !name.contains('%'));
    goal.or_else(first).filter(|name| is_typable(name))
}

fn is_typable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// The lines that begin a rule: what stands before and behind the `:`.
fn rules(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut defines = false;
    text.lines().filter_map(move |line| {
        let word = line.split_whitespace().next().unwrap_or_default();
        let inside = defines;
        defines = word == "define" || defines && word != "endef";
        let (names, rest) = line.split_once(':').filter(|_| !inside)?;
        let is_variable = rest.trim_start_matches(':').starts_with('=') || names.contains(['=', '#']);
        let is_rule = !names.starts_with(['\t', ' ', '.']) && !DIRECTIVES.contains(&word);
        (is_rule && !is_variable).then_some((names, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&str> {
        targets(text).iter().map(|target| target.name).collect()
    }

    #[test]
    fn targets_that_a_person_would_type_are_found() {
        let text = "CC := gcc\nA = b:c\n.PHONY: all\nall: build test\nbuild test:\n\t@echo a: b\n%.o: %.c\n\tcc\nout/x: y\nlint::\n# no: x\nall: more\n";
        assert_eq!(names(text), ["all", "build", "test", "lint"]);
    }

    #[test]
    fn what_only_looks_like_a_rule_is_none() {
        let text = "A ::= b\nB :::= c\ninclude a:b\nvpath x y:z\nexport P: q\ndefine D\nin: side\nendef\n_private: x\nreal: y\n";
        assert_eq!(names(text), ["real"]);
    }

    #[test]
    fn what_is_said_of_a_target_is_found_where_it_is_said() {
        let found = targets("build: deps ## Build it\ntest: ##\ntest: ## Test it\n");
        let about = found.iter().map(|target| target.about);
        assert_eq!(about.collect::<Vec<_>>(), [Some("Build it"), Some("Test it")]);
    }

    #[test]
    fn the_default_is_the_one_that_make_would_take() {
        assert_eq!(default(".PHONY: x\n%.o: %.c\nhelp: x\nall:\n"), Some("help"));
        assert_eq!(default("help:\nall:\n.DEFAULT_GOAL := all\n"), Some("all"));
        assert_eq!(default("build/app: x\nall:\n"), None);
        assert_eq!(default(""), None);
    }
}
