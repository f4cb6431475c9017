//! What a stage sets of the configuration of its image.

use crate::diagnostic::{Problems, Span, Spanned};
use crate::dockerfile::base::{Links, Origin, not_expanded};
use crate::dockerfile::scope::Scope;
use crate::dockerfile::word::{InvalidWord, Style, expand};
use crate::dockerfile::{Dockerfile, Instruction, Keyword, Request};

/// What the built stage, with the stages of this file that it starts from, sets of the
/// image's configuration. What is not set is that of the image below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The last `USER`; a variable that only the image below can have stays as it is
    /// written.
    pub user: Option<Spanned<String>>,
    /// The last `ENTRYPOINT`, unless it is empty.
    pub entrypoint: Option<Span>,
    /// The last `CMD`, unless it is empty.
    pub cmd: Option<Span>,
    /// The ports of all `EXPOSE`, as they are written, variables filled in.
    pub exposed: Vec<Spanned<String>>,
}

/// The effect of a stage.
pub(super) fn of(
    file: &Dockerfile,
    target: usize,
    links: &[Links],
    request: &Request<'_>,
    globals: &Scope,
    problems: &mut Problems,
) -> Effect {
    let mut chain = Vec::new();
    let mut at = Some(target);
    // No stage starts from itself: the chain is not longer than the file.
    while let Some(stage) = at.take_if(|_| chain.len() < links.len()) {
        let Some(links) = links.get(stage) else { break };
        if !links.is_replaced {
            chain.push(stage);
        }
        at = match links.base.0 {
            Origin::Stage(below) => Some(below),
            _ => None,
        };
    }
    let mut walk =
        Walk { escape: file.escape(), request, globals, scope: Scope::default(), effect: Effect::default() };
    let stages = chain.into_iter().rev().filter_map(|stage| file.stages.get(stage));
    // What follows a word that is wrong may be wrong for that alone.
    let wrong = stages.flat_map(|stage| &stage.instructions).find_map(|it| walk.step(it).err());
    problems.extend(wrong.map(|(word, error)| not_expanded(word, &error)));
    walk.effect
}

struct Walk<'a> {
    escape: char,
    request: &'a Request<'a>,
    globals: &'a Scope,
    scope: Scope,
    effect: Effect,
}

type Wrong<'i> = (&'i Spanned<String>, InvalidWord);

impl Walk<'_> {
    fn step<'i>(&mut self, instruction: &'i Instruction) -> Result<(), Wrong<'i>> {
        let arguments = &instruction.arguments;
        let place = (!arguments.is_empty()).then_some(instruction.span);
        match instruction.keyword.value {
            Keyword::Arg => arguments.iter().try_for_each(|word| self.argument(word)),
            Keyword::Env => arguments.iter().try_for_each(|word| {
                let (name, value) = word.split_once('=').unwrap_or((word, ""));
                let value = self.fill(word, value)?;
                self.scope.set(name, value).map_err(|error| (word, error))
            }),
            Keyword::User => {
                for word in arguments {
                    self.effect.user = Some(Spanned::new(self.fill(word, word)?, word.span));
                }
                Ok(())
            }
            Keyword::Entrypoint => {
                self.effect.entrypoint = place;
                Ok(())
            }
            Keyword::Cmd => {
                self.effect.cmd = place;
                Ok(())
            }
            Keyword::Expose => {
                for word in arguments {
                    let style = Style { keep_unset: true, ..Style::plain(self.escape) };
                    let ports = expand(word, &self.scope, style).map_err(|error| (word, error))?.words;
                    let count = ports.iter().map(String::len).sum();
                    self.scope.spend(count).map_err(|error| (word, error))?;
                    self.effect.exposed.extend(ports.into_iter().map(|port| Spanned::new(port, word.span)));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn fill<'i>(&mut self, word: &'i Spanned<String>, text: &str) -> Result<String, Wrong<'i>> {
        let style = Style { keep_unset: true, ..Style::plain(self.escape) };
        let filled = expand(text, &self.scope, style).map_err(|error| (word, error))?.text;
        self.scope.spend(filled.len()).map_err(|error| (word, error))?;
        Ok(filled)
    }

    /// An argument: that of the build, else its default, else that before the first
    /// `FROM`.
    fn argument<'i>(&mut self, word: &'i Spanned<String>) -> Result<(), Wrong<'i>> {
        let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
        let value = match (self.request.args.get(name), default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(self.fill(word, default)?),
            (None, None) => self.globals.get(name).map(str::to_owned),
        };
        value.map_or(Ok(()), |value| self.scope.set(name, value).map_err(|error| (word, error)))
    }
}
