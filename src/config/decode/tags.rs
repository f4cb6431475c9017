//! Rules that name images.

use regex::Regex;

use crate::config::decode::Decoder;
use crate::config::decode::names::Noun;
use crate::config::decode::read::{argument, boolean, children, property, string, text};
use crate::config::{Narrow, Part, Rule, RuleKind, TagSet, Template, value};
use crate::diagnostic::{Code, Problem, Spanned};
use crate::syntax::{Node, Value};

impl Decoder<'_> {
    /// A named set.
    pub(super) fn tag_set(&mut self, node: &Node) -> Option<TagSet> {
        let rules = self.rules_in(node);
        Some(TagSet { name: self.declared(node)?, rules })
    }

    /// The rules of all `tags` of an image or a stage, named sets first.
    pub(super) fn rules(&mut self, node: &Node) -> Vec<Rule> {
        let mut rules = Vec::new();
        for tags in children(node, "tags") {
            for value in &tags.arguments {
                let set = self.name_of(&[Noun::Tags], value).and_then(|name| self.tag_sets.get(&name.value));
                rules.extend(set.into_iter().flat_map(|set| set.rules.iter().cloned()));
            }
            rules.extend(self.rules_in(tags));
        }
        rules
    }

    fn rules_in(&mut self, node: &Node) -> Vec<Rule> {
        node.children.iter().flatten().filter_map(|rule| self.rule(rule)).collect()
    }

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        let kind = match node.name.value.as_str() {
            "semver" => RuleKind::Semver {
                templates: self.tag_templates(&node.arguments),
                prefix: property(node, "prefix").and_then(|value| self.version_prefix(value)),
                zero: boolean(property(node, "zero")).unwrap_or(false),
            },
            "latest" => RuleKind::Latest,
            "branch" => RuleKind::Branch(self.tag_templates(&node.arguments)),
            "pr" => RuleKind::PullRequest(self.tag_templates(&node.arguments)),
            "schedule" => RuleKind::Schedule(self.tag_templates(&node.arguments)),
            "local" => RuleKind::Local(self.tag_templates(&node.arguments)),
            "sha" => RuleKind::Sha {
                short: boolean(property(node, "short")).unwrap_or(false),
                prefix: string(property(node, "prefix")).unwrap_or_default(),
            },
            "describe" => RuleKind::Describe,
            "date" => {
                let (format, now) = dated(node, "%Y%m%d");
                RuleKind::Date { format, now }
            }
            "raw" => RuleKind::Raw(self.tag_templates(&node.arguments)),
            "match" => self.matching(node)?,
            "calver" => {
                let (format, now) = dated(node, "%Y.%m");
                RuleKind::Calver { format, now }
            }
            _ => return None,
        };
        let branches = ["branch", "match"].into_iter().flat_map(|name| list(property(node, name)));
        let narrow = Narrow { on: list(property(node, "on")), branches: branches.collect() };
        Some(Rule { kind, narrow, immutable: boolean(property(node, "immutable")), span: node.header })
    }

    fn matching(&mut self, node: &Node) -> Option<RuleKind> {
        let regex = argument(node, 0).and_then(text)?;
        let groups = Regex::new(&regex.value).map(|regex| regex.captures_len());
        self.scope.groups = groups.unwrap_or(usize::MAX);
        let templates = self.tag_templates(node.arguments.get(1..).unwrap_or_default());
        self.scope.groups = 0;
        Some(RuleKind::Match { regex, templates })
    }

    fn tag_templates(&mut self, values: &[Value]) -> Vec<Template> {
        values.iter().map(|value| self.tag_template(value)).collect()
    }

    fn tag_template(&mut self, value: &Value) -> Template {
        let known = self.problems.as_slice().len();
        let template = self.template(value);
        if self.problems.as_slice().len() == known {
            self.check_tag(&template);
        }
        template
    }

    /// What no event can make a tag of: characters that stand there as text.
    fn check_tag(&mut self, template: &Template) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let texts = template.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Field(_) => None,
        });
        let refused = texts.flat_map(|text| text.chars()).find(|c| !allowed(*c));
        let leads = match template.parts.first() {
            Some(Part::Text(text)) => text.starts_with(['.', '-']),
            Some(Part::Field(_)) => false,
            None => true,
        };
        let why = match refused {
            Some(character) => format!("`{}` is not allowed in a tag", character.escape_debug()),
            None if leads => "a tag starts with a letter, a digit, or `_`".to_owned(),
            None => return,
        };
        let problem = Problem::new(Code::InvalidTag, format!("`{template}` yields no tag"))
            .label(template.span, why)
            .help("a tag is up to 128 letters, digits, `_`, `.`, and `-`");
        self.problems.push(problem);
    }

    /// What can stand before a version in the name of a git tag.
    fn version_prefix(&mut self, value: &Value) -> Option<Spanned<String>> {
        let prefix = text(value)?;
        let refused = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
        let why = if let Some(character) = prefix.value.chars().find(|c| refused(*c)) {
            format!("`{}` is not allowed in a git tag", character.escape_debug())
        } else if prefix.value.contains("..") || prefix.value.contains("//") || prefix.value.contains("@{") {
            "`..`, `//`, and `@{` are not allowed in a git tag".to_owned()
        } else if prefix.value.starts_with(['/', '-', '.']) {
            "a git tag does not start with `/`, `-`, or `.`".to_owned()
        } else if prefix.value.ends_with(|c: char| c.is_ascii_digit()) {
            "its last digit would belong to the version".to_owned()
        } else {
            return Some(prefix);
        };
        let problem =
            Problem::new(Code::InvalidValue, format!("`{}` cannot stand before a version", prefix.value))
                .label(value.span, why)
                .help("such as `prefix=\"v\"` for `v1.2.3`, or `prefix=\"api/v\"` for `api/v1.2.3`");
        self.problems.push(problem);
        None
    }
}

/// The format and the clock of a rule that yields a date.
fn dated(node: &Node, default: &str) -> (Spanned<String>, bool) {
    let format = argument(node, 0).and_then(text);
    let now = property(node, "clock").and_then(Value::as_str) == Some("now");
    (format.unwrap_or_else(|| Spanned::new(default.to_owned(), node.header)), now)
}

/// The words of a comma-separated list.
pub(super) fn list(value: Option<&Value>) -> Vec<String> {
    let text = value.and_then(Value::as_str);
    text.into_iter().flat_map(value::list).map(|(_, word)| word.to_owned()).collect()
}
