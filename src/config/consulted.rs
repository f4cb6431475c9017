//! What the targets of a release depend on beside its text.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::config::{Command, Condition, Fact, Name, Part, Place, Release, RuleKind, Target, Template};

/// Facts and variables of the environment that targets and `var`s name. While
/// they are the same, so are the steps of targets, but for their files and tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consulted {
    /// Facts.
    pub facts: BTreeSet<Fact>,
    /// Variables of the environment.
    pub variables: BTreeSet<String>,
}

impl Consulted {
    /// What the targets and `var`s of a release name, in templates, conditions,
    /// and scripts. A script that holds the name of a fact anywhere names it.
    #[must_use]
    pub fn of(release: &Release) -> Self {
        let mut consulted = Self::of_vars(release);
        for target in release.targets.values() {
            consulted.target(target);
        }
        consulted
    }

    /// What it takes to tell where images go, who one is there, and which names they get.
    #[must_use]
    pub fn of_places(release: &Release) -> Self {
        let mut consulted = Self::of_vars(release);
        for registry in release.registries.values() {
            if let Place::Remote(place) = &registry.place {
                consulted.templates([place]);
            }
            consulted.templates(registry.login.as_ref().map(|login| &login.username));
        }
        for image in release.images.values() {
            consulted.templates([&image.repository]);
            image.tags.iter().for_each(|rule| consulted.rule(&rule.kind));
        }
        consulted
    }

    fn of_vars(release: &Release) -> Self {
        let mut consulted = Self::default();
        for var in release.vars.values() {
            consulted.variables.extend(var.env.clone());
            consulted.templates(&var.value);
        }
        consulted
    }

    /// What any part of a release may name that was read from these texts: all facts,
    /// and the variables that stand in a template somewhere.
    #[must_use]
    pub fn all_of<'a>(release: &Release, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut consulted = Self::of(release);
        consulted.facts.extend(Fact::ALL);
        consulted.variables.insert("SOURCE_DATE_EPOCH".to_owned());
        for behind in texts.into_iter().flat_map(|text| text.split("env.").skip(1)) {
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            consulted.variables.insert(behind.split_at(end.unwrap_or(behind.len())).0.to_owned());
        }
        consulted
    }

    /// Whether none of the facts tells more of git than the commit, its branch, and
    /// its tags.
    #[must_use]
    pub fn commit_only(&self) -> bool {
        !self.facts.iter().any(|fact| matches!(fact, Fact::Describe | Fact::Dirty | Fact::Version))
    }

    fn target(&mut self, target: &Target) {
        self.templates(target.env.values());
        for command in target.run.iter().chain(&target.tools) {
            match &command.value {
                Command::Argv(arguments) => self.templates(arguments),
                Command::Script(script) => {
                    let named = Fact::ALL.iter().filter(|fact| script.contains(fact.variable()));
                    self.facts.extend(named);
                }
            }
        }
        for condition in &target.when {
            match &condition.value {
                Condition::Env(name, _) => drop(self.variables.insert(name.clone())),
                Condition::Branch(_) => drop(self.facts.insert(Fact::Branch)),
                Condition::Os(_) => {}
            }
        }
    }

    fn rule(&mut self, kind: &RuleKind) {
        match kind {
            RuleKind::Semver { templates, .. } => {
                let mut named = Self::default();
                named.templates(templates);
                // The version of an event that such a rule applies to is that of its tag.
                named.facts.remove(&Fact::Version);
                self.facts.extend(named.facts);
                self.variables.extend(named.variables);
            }
            RuleKind::Branch(templates)
            | RuleKind::PullRequest(templates)
            | RuleKind::Schedule(templates)
            | RuleKind::Local(templates)
            | RuleKind::Raw(templates)
            | RuleKind::Match { templates, .. } => self.templates(templates),
            RuleKind::Sha { .. } => drop(self.facts.insert(Fact::Sha)),
            RuleKind::Describe => drop(self.facts.insert(Fact::Describe)),
            RuleKind::Date { .. } | RuleKind::Calver { .. } => drop(self.facts.insert(Fact::CommitTime)),
            RuleKind::Latest => {}
        }
    }

    fn templates<'a>(&mut self, templates: impl IntoIterator<Item = &'a Template>) {
        for part in templates.into_iter().flat_map(|template| &template.parts) {
            let Part::Field(field) = part else { continue };
            match &field.name {
                Name::Fact(fact) => drop(self.facts.insert(*fact)),
                Name::Env(name) => drop(self.variables.insert(name.clone())),
                Name::Var(_) | Name::Matrix(_) | Name::Group(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::release;

    use super::*;

    #[test]
    fn what_targets_name_anywhere_is_consulted_and_nothing_else() {
        let release = release(
            r#"
            var "mode" "{env.MODE}" env="RELEASE_MODE"
            target "a" { run "echo ${HOIST_SHA}"; env WHEN="{commit.time}"; when env="CI=1" branch="main"; }
            target "b" { run "tool" "--version={version}"; tool "cc $HOIST_USER"; pass-env "TOKEN"; }
            image "c" { assemble from="scratch" { env X="{env.IMAGE}{describe}"; }; }
            "#,
        );
        let consulted = Consulted::of(&release);
        let facts = [Fact::Sha, Fact::Branch, Fact::CommitTime, Fact::Version, Fact::User];
        assert_eq!(consulted.facts, BTreeSet::from(facts));
        let variables = ["CI", "MODE", "RELEASE_MODE"].map(str::to_owned);
        assert_eq!(consulted.variables, BTreeSet::from(variables));
    }

    #[test]
    fn what_places_and_tags_name_is_consulted_for_them_and_nothing_else() {
        let of = |more: &str| {
            let text = format!(
                r#"
                registry "r" "{{env.HOST}}/team"
                target "t" {{ run "echo $HOIST_DESCRIBE"; }}
                image "i" {{
                    assemble from="scratch" {{ env X="{{dirty}}"; }}
                    tags {{ semver "{{version}}-{{env.FLAVOUR}}"; sha; latest; {more} }}
                    push "r"
                }}
                "#
            );
            Consulted::of_places(&release(&text))
        };
        let usual = of("");
        assert_eq!(usual.facts, BTreeSet::from([Fact::Sha]));
        assert_eq!(usual.variables, BTreeSet::from(["FLAVOUR", "HOST"].map(str::to_owned)));
        assert!(usual.commit_only());
        for more in ["describe", "raw \"{version}\"", "branch \"{branch}-{dirty}\""] {
            assert!(!of(more).commit_only(), "{more}");
        }
    }
}
