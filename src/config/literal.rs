//! Braces in scripts, which stay as they are.

use crate::config::{Command, Deploy, Fact, Release};
use crate::diagnostic::{Code, Problem, Spanned};

impl Release {
    /// The scripts in which a variable, a key of their matrix, or a fact stands in braces, as
    /// in templates: each with what to write there.
    #[must_use]
    pub fn literal_fields(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for (name, target) in &self.targets {
            let axes: Vec<&str> = target.matrix.keys().map(String::as_str).collect();
            for command in target.run.iter().chain(&target.tools) {
                found.extend(self.literal(command, name, &axes));
            }
        }
        for (name, image) in &self.images {
            for command in image.scans.iter().flat_map(|scan| &scan.run) {
                found.extend(self.literal(command, name, &[]));
            }
        }
        for (name, stage) in &self.stages {
            let deploys = stage.deploys.iter().filter_map(|deploy| match &deploy.value {
                Deploy::Run(commands) => Some(commands),
                _ => None,
            });
            let verify = stage.verify.as_ref().map(|verify| &verify.value.run);
            for command in deploys.chain(verify).flatten() {
                found.extend(self.literal(command, name, &[]));
            }
        }
        found
    }

    fn literal(&self, command: &Spanned<Command>, owner: &str, axes: &[&str]) -> Option<Problem> {
        let Command::Script(script) = &command.value else { return None };
        let (mut braces, mut variables) = (Vec::new(), Vec::new());
        for (written, word) in fields(script) {
            let written = format!("`{written}`");
            if let Some(variable) = self.variable_of(word, owner, axes).filter(|_| !braces.contains(&written))
            {
                braces.push(written);
                variables.push(format!("`${variable}`"));
            }
        }
        let stays = if braces.len() == 1 { "stays as it is" } else { "stay as they are" };
        (!braces.is_empty()).then(|| {
            let title = format!("{} {stays} in a script", braces.join(", "));
            Problem::new(Code::InvalidTemplate, title)
                .label(command.span, "one string is given to the shell as it is")
                .help(format!("write {}, outside of single quotes", variables.join(", ")))
        })
    }

    /// The variable of the environment by which a script has what a field stands for.
    fn variable_of(&self, word: &str, owner: &str, axes: &[&str]) -> Option<String> {
        let prefixes = owner.match_indices('/').map(|(at, _)| at + 1).chain([0]);
        let mut prefixes = prefixes.filter_map(|end| owner.get(..end));
        let is_var = prefixes.any(|prefix| self.vars.contains_key(&format!("{prefix}{word}")));
        if is_var || axes.contains(&word) {
            return Some(word.replace(['-', '.'], "_"));
        }
        Fact::ALL.iter().find(|fact| fact.as_str() == word).map(|fact| fact.variable().to_owned())
    }
}

/// What stands in braces, one or two, with and without them. `${…}` is the shell's own, and
/// `%{…}` and `@{…}` are those of other programs.
fn fields(script: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(open) = script.get(rest..).and_then(|tail| tail.find('{')).map(|at| rest + at) {
        let behind = script.get(open..).unwrap_or_default();
        let braces = if behind.starts_with("{{") { 2 } else { 1 };
        rest = open + braces;
        let Some(close) = script.get(rest..).and_then(|tail| tail.find('}')).map(|at| rest + at) else {
            break;
        };
        let foreign = script.get(..open).is_some_and(|before| before.ends_with(['$', '%', '@']));
        let word = script.get(rest..close).unwrap_or_default().trim();
        if let Some(written) =
            script.get(open..close + braces).filter(|text| !foreign && text.ends_with(&"}}"[..braces]))
        {
            found.push((written, word));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::release;

    #[test]
    fn what_stands_in_braces_is_found_where_it_is_no_word_of_another_program() {
        let script = "echo {a} {{b}} {{ c-d }} ${e} HEAD@{f} %{g} {{.H}} {i,j} {} { k; } {l";
        let found: Vec<_> = fields(script).into_iter().map(|(_, word)| word).collect();
        assert_eq!(found, ["a", "b", "c-d", ".H", "i,j", "", "k;"]);
        assert_eq!(fields("{{ c }} {x}}"), [("{{ c }}", "c"), ("{x}", "x")]);
    }

    #[test]
    fn scripts_that_name_in_braces_what_hoist_knows_are_told_what_to_write() {
        let release = release(
            r#"
            var "greeting" "hello"
            target "a" { run "echo {greeting} v={version} {greeting} {nobody}"; }
            target "b" { matrix { py "3"; }; run "tox {{py}}"; run "tox" "{py}"; run "echo ${version}"; }
            target "c" { run "tox {py}"; }
            "#,
        );
        let found = release.literal_fields();
        let found: Vec<_> =
            found.iter().map(|one| (one.title.as_str(), one.help.as_deref().unwrap())).collect();
        assert_eq!(
            found,
            [
                (
                    "`{greeting}`, `{version}` stay as they are in a script",
                    "write `$greeting`, `$HOIST_VERSION`, outside of single quotes"
                ),
                ("`{{py}}` stays as it is in a script", "write `$py`, outside of single quotes"),
            ]
        );
    }
}
