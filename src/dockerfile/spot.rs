//! Instructions as the builders of engines name them.

use crate::diagnostic::Span;
use crate::dockerfile::{Dockerfile, Instruction, Keyword, Stage};

/// Where an instruction stands in a Dockerfile, as a builder tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Its first line, counted from 1.
    Line(usize),
    /// Its number among all of the file, counted from 1: the `ARG`s before the first
    /// `FROM` and each `FROM` are counted, too.
    Number(usize),
    /// One of a stage, counted from 0.
    OfStage {
        /// The stage.
        stage: usize,
        /// How many instructions of the stage follow it; what a base sets aside with
        /// `ONBUILD` comes before all of them.
        after: usize,
        /// What it is.
        keyword: Keyword,
    },
    /// One of those that make layers.
    Layer {
        /// The stage: its name, `stage-` and its number counted from 0, or nothing where
        /// there is but one.
        stage: String,
        /// How many of them follow it in the stage.
        after: usize,
        /// What it is.
        keyword: Keyword,
    },
}

/// The instructions that make layers.
const LAYERS: [Keyword; 4] = [Keyword::Add, Keyword::Copy, Keyword::Run, Keyword::Workdir];

impl Spot {
    /// The line of words such as `dockerfile parse error on line 3: …`, which some builders
    /// say without `on`.
    #[must_use]
    pub fn in_words(words: &str) -> Option<Self> {
        let (_, rest) = words.split_once("parse error ")?;
        let rest = rest.strip_prefix("on ").unwrap_or(rest).strip_prefix("line ")?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok().map(Self::Line)
    }

    /// What BuildKit calls a step by: `[made 2/3] RUN true`; `all` are the names of all steps,
    /// for what a base set aside is numbered, and not counted.
    #[must_use]
    pub fn in_name<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (stage, number, count, instruction) = numbered(name)?;
        let others = all.filter_map(numbered).filter(|(other, ..)| *other == stage);
        let count = others.map(|(_, number, ..)| number).fold(count, usize::max);
        let keyword = Keyword::named(instruction.split_whitespace().next()?)?;
        Some(Self::Layer { stage: stage.to_owned(), after: count.checked_sub(number)?, keyword })
    }
}

/// The stage, the number, the count, and the instruction in the name of a step.
fn numbered(name: &str) -> Option<(&str, usize, usize, &str)> {
    let (counted, instruction) = name.strip_prefix('[')?.split_once("] ")?;
    let (stage, counted) = counted.rsplit_once(' ').unwrap_or(("", counted));
    let (number, count) = counted.split_once('/')?;
    Some((stage.trim_end(), number.parse().ok()?, count.parse().ok()?, instruction))
}

impl Dockerfile {
    /// The instruction at a spot; `text` is what this was read from.
    #[must_use]
    pub fn at(&self, spot: &Spot, text: &str) -> Option<Span> {
        match spot {
            Spot::Line(line) => {
                let before = text.split_inclusive('\n').take(*line).map(str::len).sum::<usize>();
                self.spans().filter(|span| (span.start as usize) < before).last()
            }
            Spot::Number(number) => self.spans().nth(number.checked_sub(1)?),
            Spot::OfStage { stage, after, keyword } => {
                let stage = self.stages.get(*stage)?;
                let Some(found) = stage.instructions.iter().rev().nth(*after) else {
                    return Some(stage.span);
                };
                (found.keyword.value == *keyword).then_some(found.span)
            }
            Spot::Layer { stage, after, keyword } => {
                let is_named = |found: &Stage| found.name.as_ref().is_some_and(|name| name.value == *stage);
                let at = match stage.strip_prefix("stage-").and_then(|number| number.parse().ok()) {
                    _ if stage.is_empty() => Some(0).filter(|_| self.stages.len() == 1),
                    Some(number) => Some(number),
                    None => self.stages.iter().rposition(is_named),
                };
                let layers = self.stages.get(at?)?.instructions.iter().rev();
                let found = layers.filter(|one| LAYERS.contains(&one.keyword.value)).nth(*after)?;
                (found.keyword.value == *keyword).then_some(found.span)
            }
        }
    }

    /// All instructions, in order.
    fn spans(&self) -> impl Iterator<Item = Span> {
        let span = |instruction: &Instruction| instruction.span;
        let stages = self.stages.iter();
        let stages = stages
            .flat_map(move |stage| std::iter::once(stage.span).chain(stage.instructions.iter().map(span)));
        self.globals.iter().map(span).chain(stages)
    }
}
