//! References to what is declared elsewhere in the project.

use crate::config::GOALS;
use crate::config::decode::Decoder;
use crate::config::decode::names::Noun;
use crate::config::grammar::article;
use crate::diagnostic::{Code, Problem, Span, Spanned, nearest};
use crate::syntax::Value;

/// The kinds of step of an image.
const STEPS: &[&str] = &["build", "index", "test", "budget", "scan", "push", "sign", "attest", "tag"];

impl Decoder<'_> {
    /// The full name of what a string names.
    pub(super) fn name_of(&mut self, nouns: &[Noun], value: &Value) -> Option<Spanned<String>> {
        let text = value.as_str()?;
        self.named(nouns, text, value.span).map(|(_, name)| Spanned::new(name, value.span))
    }

    /// The same for a part of a string.
    pub(super) fn named(&mut self, nouns: &[Noun], name: &str, span: Span) -> Option<(Noun, String)> {
        let found = self.names.resolve(nouns, self.prefix, name);
        if found.is_none() {
            let problem = self.unknown(nouns, name, span);
            self.problems.push(problem);
        }
        found
    }

    fn unknown(&self, nouns: &[Noun], name: &str, span: Span) -> Problem {
        let what = nouns.iter().map(|noun| noun.about()).collect::<Vec<_>>().join(" or ");
        let problem = Problem::new(Code::UnknownName, format!("there is no {what} `{name}`"))
            .label(span, "nothing declares it");
        // Where very much is unknown, a whole file is missing: no slip of the finger.
        let slip = self.problems.as_slice().len() < 100;
        if let Some(near) = nearest(name, self.names.callable(nouns, self.prefix).filter(|_| slip)) {
            return problem.help(format!("did you mean `{near}`?"));
        }
        let other =
            [Noun::Target, Noun::Image, Noun::Stage, Noun::Pool, Noun::Registry, Noun::Tags, Noun::Var];
        if let Some((noun, _)) = self.names.resolve(&other, self.prefix, name) {
            let is = noun.about();
            return problem.help(format!(
                "`{name}` is {} {is}; {} {what} is needed here",
                article(is),
                article(&what)
            ));
        }
        let node = nouns.first().map_or("target", |noun| noun.node());
        problem.help(format!("declare it: `{node} \"{name}\" …`"))
    }

    /// A target, an image, or a step of one: `lint`, `web:test`,
    /// `web:push@ghcr`, `lint[python=3.11]`.
    pub(super) fn work(&mut self, value: &Value) -> Option<Spanned<String>> {
        let text = value.as_str()?;
        let end = text.find([':', '[', '@']).unwrap_or(text.len());
        let (name, step) = text.split_at(end);
        let (noun, full) = self.named(&[Noun::Target, Noun::Image], name, value.part(0..end))?;
        match (noun, step.strip_prefix(':')) {
            (Noun::Image, Some(rest)) => {
                let kind = rest.split('@').next().unwrap_or_default();
                let kind_end = end + 1 + kind.len();
                if !STEPS.contains(&kind) {
                    self.problems.push(unknown_step(name, kind, value.part(end + 1..kind_end)));
                    return None;
                }
            }
            (_, None) if step.is_empty() => {}
            (Noun::Target, None) if step.starts_with('[') && step.ends_with(']') => {
                self.check_braces(value, step, end);
            }
            (noun, _) => {
                let help = if noun == Noun::Target {
                    format!("write `{name}`, or `{name}[key=value]` where it has a matrix")
                } else {
                    format!("write `{name}`, or a step of it such as `{name}:test`")
                };
                let problem = Problem::new(Code::UnknownName, format!("there is no step `{text}`"))
                    .label(
                        value.part(end..text.len()),
                        format!("`{name}` is {} {}", article(noun.about()), noun.about()),
                    )
                    .help(help);
                self.problems.push(problem);
                return None;
            }
        }
        Some(Spanned::new(format!("{full}{step}"), value.span))
    }

    /// A word of the command line: beside targets, images, and steps also a
    /// goal, or a glob over steps.
    pub(super) fn goal(&mut self, value: &Value) -> Option<Spanned<String>> {
        let text = value.as_str()?;
        let declared = self.names.resolve(&[Noun::Target, Noun::Image], self.prefix, text).is_some();
        if !declared && (GOALS.contains(&text) || text.contains('*')) {
            return Some(Spanned::new(text.to_owned(), value.span));
        }
        self.work(value)
    }
}

fn unknown_step(image: &str, kind: &str, span: Span) -> Problem {
    let all = STEPS.iter().map(|step| format!("`{step}`")).collect::<Vec<_>>().join(", ");
    let near = nearest(kind, STEPS.iter().copied()).map(|near| format!("did you mean `{image}:{near}`?"));
    Problem::new(Code::UnknownName, format!("an image has no step `{kind}`"))
        .label(span, "no such step")
        .help(near.unwrap_or_else(|| format!("the steps are {all}")))
}
