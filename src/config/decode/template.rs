//! Texts with fields in braces.

use std::ops::Range;

use crate::config::decode::Decoder;
use crate::config::decode::names::Noun;
use crate::config::{Fact, Field, Name, Part, Template, value};
use crate::diagnostic::{Code, Problem, Span, nearest};
use crate::syntax::Value;

/// What templates may name beside variables, facts, and the environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Keys of the target's matrix.
    pub(super) matrix: Vec<String>,
    /// How many groups the rule's expression has, the whole match included.
    pub(super) groups: usize,
}

impl Decoder<'_> {
    /// The template of a string.
    pub(super) fn template(&mut self, value: &Value) -> Template {
        let text = value.as_str().unwrap_or_default();
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = 0..text.len();
        while let Some(next) = text.get(rest.clone()).and_then(|rest| rest.chars().next()) {
            let after = text.get(rest.clone()).unwrap_or_default();
            if after.starts_with("{{") || after.starts_with("}}") {
                literal.push(next);
                rest.start += 2;
            } else if next == '{' {
                let end = after[1..].find(['{', '}']).map(|at| rest.start + 1 + at);
                let Some(end) = end.filter(|end| text.as_bytes().get(*end) == Some(&b'}')) else {
                    self.problems.push(unbalanced(value.part(rest.start..rest.start + 1), '{'));
                    break;
                };
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.extend(self.field(value, text, rest.start + 1..end).map(Part::Field));
                rest.start = end + 1;
            } else {
                if next == '}' {
                    self.problems.push(unbalanced(value.part(rest.start..rest.start + 1), '}'));
                }
                literal.push(next);
                rest.start += next.len_utf8();
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Template { parts, span: value.span }
    }

    /// The field whose text between the braces is `inside`.
    fn field(&mut self, value: &Value, text: &str, inside: Range<usize>) -> Option<Field> {
        let content = text.get(inside.clone()).unwrap_or_default();
        let span = value.part(inside.start - 1..inside.end + 1);
        let (word, format) = match content.split_once(':') {
            Some((word, format)) => (word, Some(format.to_owned())),
            None => (content, None),
        };
        let name = self.field_name(word, span)?;
        if let Some(format) = &format {
            let of = inside.start + word.len() + 1..inside.end;
            self.check_format(&name, word, format, value.part(of))?;
        }
        Some(Field { name, format, span })
    }

    fn check_format(&mut self, name: &Name, word: &str, format: &str, span: Span) -> Option<()> {
        let problem = if *name == Name::Fact(Fact::Date) {
            let why = value::date_format(format).err();
            why.map(|why| {
                Problem::new(Code::InvalidTemplate, format!("`{format}` is not a format of dates"))
                    .label(span, why)
                    .help("such as `{date:%Y%m%d}`")
            })
        } else {
            let problem = Problem::new(Code::InvalidTemplate, format!("`{{{word}}}` takes no format"))
                .label(span, "only `date` has one")
                .help(format!("write `{{{word}}}`"));
            Some(problem)
        };
        let fits = problem.is_none();
        self.problems.extend(problem);
        fits.then_some(())
    }

    fn field_name(&mut self, word: &str, span: Span) -> Option<Name> {
        if word.is_empty() {
            let problem = Problem::new(Code::InvalidTemplate, "a field without a name")
                .label(span, "names nothing")
                .help("for braces in the text write `{{` and `}}`");
            self.problems.push(problem);
            return None;
        }
        let found = self.known_name(word);
        if found.is_none() {
            let problem = self.unknown_fact(word, span);
            self.problems.push(problem);
        }
        found
    }

    fn known_name(&self, word: &str) -> Option<Name> {
        if self.scope.matrix.iter().any(|key| key == word) {
            return Some(Name::Matrix(word.to_owned()));
        }
        if let Some((_, name)) = self.names.resolve(&[Noun::Var], self.prefix, word) {
            return Some(Name::Var(name));
        }
        if let Some(variable) = word.strip_prefix("env.") {
            return value::variable(variable).is_ok().then(|| Name::Env(variable.to_owned()));
        }
        if let Some(group) = word.parse().ok().filter(|group| *group < self.scope.groups) {
            return Some(Name::Group(group));
        }
        Fact::ALL.iter().find(|fact| fact.as_str() == word).map(|fact| Name::Fact(*fact))
    }

    fn unknown_fact(&self, word: &str, span: Span) -> Problem {
        let problem = Problem::new(Code::UnknownFact, format!("there is no variable or fact `{word}`"))
            .label(span, "names nothing");
        if word.parse::<usize>().is_ok() {
            return problem.help(match self.scope.groups {
                0 => "a number names a group of the expression of a `match` rule; there is none here"
                    .to_owned(),
                groups => format!("the expression has the groups `{{0}}` to `{{{}}}`", groups - 1),
            });
        }
        let facts = Fact::ALL.iter().map(|fact| fact.as_str());
        let vars = self.names.callable(&[Noun::Var], self.prefix);
        let matrix = self.scope.matrix.iter().map(String::as_str);
        if let Some(near) = nearest(word.trim(), matrix.chain(vars).chain(facts)) {
            return problem.help(format!("did you mean `{{{near}}}`?"));
        }
        let identifier =
            word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/'));
        if !identifier {
            return problem.help("for braces in the text write `{{` and `}}`");
        }
        problem.help(format!(
            "declare it: `var \"{word}\" \"…\"`; for braces in the text write `{{{{` and `}}}}`"
        ))
    }
}

fn unbalanced(span: Span, brace: char) -> Problem {
    let (title, label) = match brace {
        '{' => ("a field that does not end", "no `}` ends it"),
        _ => ("a `}` that ends nothing", "no `{` begins it"),
    };
    Problem::new(Code::InvalidTemplate, title)
        .label(span, label)
        .help(format!("for a brace in the text write `{brace}{brace}`"))
}
